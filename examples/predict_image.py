"""Prints the position of every nose in an image: python examples/predict_image.py IMAGE [MODEL]."""

import sys

import e2pose

image, model = (*sys.argv[1:], "default")[:2]
poses = e2pose.load(model)(image)
nose = poses.schema.keypoints.index("nose")
for score, (x, y) in zip(poses.scores, poses.keypoints[:, nose], strict=True):
    print(f"score {score:.2f}, nose at ({x:.1f}, {y:.1f})")
