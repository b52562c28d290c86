"""Draws only persons with high scores, using a custom stage: python examples/filter_poses.py SOURCE OUT [MODEL]."""

import sys

import numpy as np

import e2pose


def keep_high_scores(_: e2pose.Frame, poses: e2pose.Poses) -> e2pose.Poses:
    """Removes persons with a score below 0.6."""
    return poses[poses.scores >= 0.6]


def draw(frame: e2pose.Frame, poses: e2pose.Poses) -> np.ndarray:
    """Draws keypoints with a score of at least 0.5."""
    return e2pose.draw_poses(frame.image, poses, threshold=0.5)


source, out, model = (*sys.argv[1:], "default")[:3]
sink = e2pose.open_sink(out, draw=draw)
summary = e2pose.run(e2pose.load(model), e2pose.open_source(source), stages=[keep_high_scores], sinks=[sink])
print(f"{summary.persons} persons in {summary.frames} frames")
