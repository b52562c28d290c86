# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = [
#   "jax==0.7.1",
#   "jaxlib==0.7.1",
#   "mediapipe==0.10.21",
#   "numpy==1.26.4",
#   "opencv-contrib-python==4.11.0.86",
#   "protobuf==4.25.9",
# ]
#
# [tool.e2pose-bench]
# name = "MediaPipe Pose"
# licence = "Apache-2.0"
# homepage = "https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker"
# ///
"""MediaPipe Pose (BlazePose) by Google, with the weights that lie in its wheel.

One person per frame. Every frame is looked at for itself unless `mode` is `video`, where the person is followed from
one frame to the next and smoothed. Of its 33 keypoints the 17 that COCO has too are passed on. Coordinates come as
parts of the frame. It gives no score to the person: that is the mean visibility of the 17 keypoints.

Its graph cannot be timed in parts: all of it, scaling included, counts as the network.
"""

from __future__ import annotations

from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from serve import Peer, Pose, Stopwatch, serve

LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Where COCO's keypoints, in COCO's order, lie among the 33.

Source: the names in `mediapipe.solutions.pose.PoseLandmark`.
"""

NETWORKS = {1: "full", 0: "lite", 2: "heavy"}
"""The network of each complexity."""


def load(options: Namespace) -> Peer:
    """Builds the library's graph."""
    import cv2
    import mediapipe

    cv2.setNumThreads(options.threads)
    modules = Path(mediapipe.__file__).parent / "modules"
    name = f"pose_landmark_{NETWORKS[options.complexity]}.tflite"
    weights = [modules / "pose_detection" / "pose_detection.tflite", modules / "pose_landmark" / name]
    if not weights[1].exists():
        raise ValueError(f"complexity {options.complexity} needs {name}, which the wheel does not hold; 1 has its own")
    pose = mediapipe.solutions.pose.Pose(
        static_image_mode=options.mode == "image", model_complexity=options.complexity, smooth_landmarks=True
    )

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("network"):
            found = pose.process(image).pose_landmarks
        with watch("postprocess"):
            return [] if found is None else [to_pose(found.landmark, image.shape[:2])]

    return Peer(
        estimate,
        name="MediaPipe Pose" + ("" if options.complexity == 1 else f" {NETWORKS[options.complexity]}"),
        version=version("mediapipe"),
        licence="Apache-2.0",
        runtime=f"mediapipe {version('mediapipe')} (TensorFlow Lite)",
        threads=1,
        weights=weights,
        people="one",
        note=f"one person; {options.mode} mode; preprocessing counts as network",
    )


def to_pose(landmarks: list, size_hw: tuple[int, int]) -> Pose:
    """The person that was found; `x` and `y` of a landmark are parts of the frame."""
    chosen = [landmarks[index] for index in LANDMARKS]
    height, width = size_hw
    triples = np.array([(one.x * width, one.y * height, one.visibility) for one in chosen])
    return Pose(triples[:, 2].mean(), triples)


if __name__ == "__main__":
    serve(load, complexity=tuple(NETWORKS), mode=("image", "video"))
