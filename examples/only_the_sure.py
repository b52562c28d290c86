"""Draws only persons above a score, with a stage of one's own: python examples/only_the_sure.py SOURCE OUT [MODEL]."""

import sys

import numpy as np

import e2pose


def only_the_sure(_: e2pose.Frame, poses: e2pose.Poses) -> e2pose.Poses:
    """Leaves out everybody with a score below 0.6."""
    return poses[poses.scores >= 0.6]


def draw(frame: e2pose.Frame, poses: e2pose.Poses) -> np.ndarray:
    """Draws keypoints that score at least 0.5."""
    return e2pose.draw_poses(frame.image, poses, threshold=0.5)


source, out, model = (*sys.argv[1:], "default")[:3]
sink = e2pose.open_sink(out, draw=draw)
summary = e2pose.run(e2pose.load(model), e2pose.open_source(source), stages=[only_the_sure], sinks=[sink])
print(f"{summary.persons} persons in {summary.frames} frames")
