"""Prints where everybody's nose is: python examples/one_picture.py PICTURE [MODEL]."""

import sys

import e2pose

picture, model = (*sys.argv[1:], "default")[:2]
poses = e2pose.load(model)(picture)
nose = poses.schema.keypoints.index("nose")
for score, (x, y) in zip(poses.scores, poses.keypoints[:, nose], strict=True):
    print(f"score {score:.2f}, nose at ({x:.1f}, {y:.1f})")
