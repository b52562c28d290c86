"""The belt: every frame from a source through the estimator and the stages into the sinks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import OptionError
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
        estimator_s: Seconds spent in the estimator; if it looks at several frames at once, those of each of them.
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
    *,
    num_parallel: int = 1,
) -> RunSummary:
    """Takes all frames of a source to the stages and sinks, one after the other.

    Args:
        estimator: Finds the poses.
        source: Gives the frames; opened and closed here.
        stages: Applied to the poses in order.
        sinks: Take each frame with its poses; opened and closed here.
        on_frame: Told of each frame when all sinks have taken it, for progress.
        num_parallel: At how many frames the estimator looks at the same time, each in a thread of its own, which it must
            bear. Several give more frames per second, but each frame waits until so many more have come: right for
            files, wrong for cameras.

    Raises:
        OptionError: `num_parallel` is below 1.
    """
    if num_parallel < 1:
        raise OptionError(
            f"'num_parallel' must be at least 1, not {num_parallel}", "say 1 to look at one frame after the other"
        )
    frames, persons, estimator_s, start = 0, 0, 0.0, perf_counter()
    with ExitStack() as opened:
        opened.enter_context(source)
        for sink in sinks:
            opened.enter_context(sink)

        for found in _found(estimator, source, num_parallel):
            frame, poses = found.frame, found.poses
            estimator_s += found.seconds
            for stage in stages:
                poses = stage(frame, poses)
            for sink in sinks:
                sink.write(frame, poses)

            frames += 1
            persons += len(poses)
            if on_frame is not None:
                on_frame(frame, poses)
    return RunSummary(frames, persons, estimator_s, perf_counter() - start)


class _Found(NamedTuple):
    frame: Frame
    poses: Poses
    seconds: float


def _found(estimator: PoseFunction, source: Iterable[Frame], num_parallel: int) -> Iterator[_Found]:
    """The poses of all frames, in order."""

    def find(frame: Frame) -> _Found:
        start = perf_counter()
        poses = estimator(frame.image)
        return _Found(frame, poses, perf_counter() - start)

    if num_parallel == 1:
        yield from map(find, source)
        return
    threads = ThreadPoolExecutor(num_parallel, "e2pose-estimator")

    def begin() -> Iterator[Future[_Found]]:
        try:
            for frame in source:
                yield threads.submit(find, frame)
        except Exception as error:  # it comes after the frames before it
            failed: Future[_Found] = Future()
            failed.set_exception(error)
            yield failed

    begun: deque[Future[_Found]] = deque()
    try:
        for future in begin():
            begun.append(future)
            if len(begun) > num_parallel:  # one more, so that no thread waits while the stages and sinks are at work
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
