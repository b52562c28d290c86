"""Draws poses into images and joins them side by side: python examples/grid.py OUT.jpg IMAGE... [--model MODEL]."""

import argparse

import cv2
import numpy as np

import e2pose

HEIGHT = 360

parser = argparse.ArgumentParser()
parser.add_argument("out")
parser.add_argument("images", nargs="+")
parser.add_argument("--model", default="default")
options = parser.parse_args()

estimator = e2pose.load(options.model)
tiles = []
for frame in e2pose.open_source(options.images):
    drawn = e2pose.draw_poses(frame.image, estimator(frame.image), threshold=estimator.spec.keypoint_threshold)
    width = round(drawn.shape[1] * HEIGHT / drawn.shape[0])
    tiles.append(cv2.resize(drawn, (width, HEIGHT), interpolation=cv2.INTER_AREA))
cv2.imwrite(options.out, np.hstack(tiles)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
