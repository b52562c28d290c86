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
"""MediaPipe Pose (BlazePose) by Google, with the weights in its wheel.

It detects one person per frame. The `mode` `image` processes each frame independently; `video` tracks and smooths the
person. The 17 keypoints of COCO are selected from its 33. Coordinates are fractions of the frame. It has no person
score; the mean visibility of the 17 keypoints is used.

The stages of its graph cannot be measured: all of it, including preprocessing, counts as the network.
"""

from __future__ import annotations

from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from serve import Peer, Pose, Stopwatch, serve

LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Indices of the COCO keypoints, in their order, among the 33 landmarks.

Source: the names in `mediapipe.solutions.pose.PoseLandmark`.
"""


def load(options: Namespace) -> Peer:
    """Creates the graph."""
    import cv2
    import mediapipe

    cv2.setNumThreads(options.threads)
    modules = Path(mediapipe.__file__).parent / "modules"
    weights = ["pose_detection/pose_detection.tflite", "pose_landmark/pose_landmark_full.tflite"]
    pose = mediapipe.solutions.pose.Pose(
        static_image_mode=options.mode == "image",
        model_complexity=1,  # the wheel contains the weights of no other complexity
        smooth_landmarks=True,
    )

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("network"):
            result = pose.process(image).pose_landmarks
        with watch("postprocess"):
            return [] if result is None else [to_pose(result.landmark, image.shape[:2])]

    return Peer(
        estimate,
        name="MediaPipe Pose",
        version=version("mediapipe"),
        licence="Apache-2.0",
        runtime=f"mediapipe {version('mediapipe')} (TensorFlow Lite)",
        threads=1,
        weights=[modules / name for name in weights],
        multi_person=False,
        note=f"{options.mode} mode; preprocessing counts as network",
    )


def to_pose(landmarks: list, size_hw: tuple[int, int]) -> Pose:
    """Converts landmarks, whose `x` and `y` are fractions of the frame."""
    selected = [landmarks[index] for index in LANDMARKS]
    height, width = size_hw
    triples = np.array([(point.x * width, point.y * height, point.visibility) for point in selected])
    return Pose(triples[:, 2].mean(), triples)


if __name__ == "__main__":
    serve(load, mode=("image", "video"))
