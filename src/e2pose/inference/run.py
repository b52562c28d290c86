"""The belt: every frame from a source through the estimator and the stages into the sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from jaxtyping import UInt8

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import Sink
from e2pose.sources.base import Source

PoseFunction = Callable[[UInt8[np.ndarray, "h w 3"]], Poses]
"""Finds everybody in an RGB picture, as an `Estimator` does."""

Stage = Callable[[Frame, Poses], Poses]
"""Turns the poses of a frame into others: tracks, smooths, filters."""


@dataclass(frozen=True)
class RunSummary:
    """What a run has done.

    Args:
        frames: How many frames came from the source.
        persons: How many poses went to the sinks, over all frames.
        estimator_s: Seconds spent in the estimator.
        wall_s: Seconds from the opening of the source to the closing of the last sink.
    """

    frames: int
    persons: int
    estimator_s: float
    wall_s: float


def run(
    estimator: PoseFunction,
    source: Source,
    stages: Sequence[Stage] = (),
    sinks: Sequence[Sink] = (),
    on_frame: Callable[[Frame, Poses], None] | None = None,
) -> RunSummary:
    """Takes all frames of a source to the sinks, one after the other.

    Args:
        estimator: Finds the poses.
        source: Gives the frames; opened and closed here.
        stages: Applied to the poses in order.
        sinks: Take each frame with its poses; opened and closed here.
        on_frame: Told of each frame when all sinks have taken it, for progress.
    """
    frames, persons, estimator_s, start = 0, 0, 0.0, perf_counter()
    with ExitStack() as opened:
        opened.enter_context(source)
        for sink in sinks:
            opened.enter_context(sink)

        for frame in source:
            before = perf_counter()
            poses = estimator(frame.image)
            estimator_s += perf_counter() - before
            for stage in stages:
                poses = stage(frame, poses)
            for sink in sinks:
                sink.write(frame, poses)

            frames += 1
            persons += len(poses)
            if on_frame is not None:
                on_frame(frame, poses)
    return RunSummary(frames, persons, estimator_s, perf_counter() - start)
