"""The main loop: frames from a source pass the estimator and the stages, and end in the sinks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from jaxtyping import UInt8

from e2pose.core.arguments import check_callable, check_count, check_list, check_methods
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import Sink
from e2pose.sources.base import Source

PoseFunction = Callable[[UInt8[np.ndarray, "h w 3"]], Poses]
"""Returns the poses of all persons in an RGB image, as an `Estimator` does."""

Stage = Callable[[Frame, Poses], Poses]
"""Returns new poses for a frame: tracks, smooths or filters them."""


@dataclass(frozen=True)
class RunSummary:
    """Totals of a run."""

    frames: int  # read from the source
    persons: int  # written to the sinks, over all frames
    estimator_s: float  # seconds in the estimator, summed over parallel frames
    wall_s: float  # seconds from opening the source to closing the last sink


def run(
    estimator: PoseFunction,
    source: Source,
    stages: Sequence[Stage] = (),
    sinks: Sequence[Sink] = (),
    on_frame: Callable[[Frame, Poses], None] | None = None,
    *,
    num_parallel: int = 1,
) -> RunSummary:
    """Processes all frames of a source in order.

    Args:
        estimator: Finds the poses in an image. With parallel frames, several threads call it at the same time.
        source: Yields the frames; opened and closed here.
        stages: Applied to the poses in order.
        sinks: Receive each frame with its poses; opened and closed here.
        on_frame: Called after all sinks have received a frame, for example to report progress.
        num_parallel: Number of frames that the estimator processes in parallel. More parallel frames raise the frame
            rate and delay each frame by as many frames: useful for files, harmful for cameras.

    Raises:
        OptionError: An argument has the wrong type, or `num_parallel` is below 1.
    """
    check_callable("the estimator", estimator, hint="load one with e2pose.load()")
    check_methods("the source", source, ("__iter__", "__enter__"), hint="open one with e2pose.open_source(...)")
    stages = check_list("the stages", stages, hint="pass a list of functions: [tracker]")
    sinks = check_list("the sinks", sinks, hint="pass a list of sinks: [e2pose.open_sink(...)]")
    for stage in stages:
        check_callable("a stage", stage, hint="pass functions that take a frame and poses and return poses")
    for sink in sinks:
        check_methods("a sink", sink, ("write", "__enter__"), hint="open one with e2pose.open_sink(...)")
    if on_frame is not None:
        check_callable("'on_frame'", on_frame, hint="pass a function that takes a frame and poses, or omit it")
    num_parallel = check_count("'num_parallel'", num_parallel, hint="use 1 to process single frames")
    frames, persons, estimator_s, start = 0, 0, 0.0, perf_counter()
    with ExitStack() as opened:
        opened.enter_context(source)
        for sink in sinks:
            opened.enter_context(sink)

        for frame, poses, seconds in _estimate(estimator, source, num_parallel):
            for stage in stages:
                poses = stage(frame, poses)  # noqa: PLW2901
            for sink in sinks:
                sink.write(frame, poses)

            frames += 1
            persons += len(poses)
            estimator_s += seconds
            if on_frame is not None:
                on_frame(frame, poses)
    return RunSummary(frames, persons, estimator_s, perf_counter() - start)


_Result = tuple[Frame, Poses, float]  # with the seconds in the estimator


def _estimate(estimator: PoseFunction, source: Iterable[Frame], num_parallel: int) -> Iterator[_Result]:
    """Yields the poses of all frames, in order."""

    def estimate(frame: Frame) -> _Result:
        start = perf_counter()
        poses = estimator(frame.image)
        return frame, poses, perf_counter() - start

    if num_parallel == 1:
        yield from map(estimate, source)
        return

    def submit(threads: ThreadPoolExecutor) -> Iterator[Future[_Result]]:
        try:
            for frame in source:
                yield threads.submit(estimate, frame)
        except Exception as error:  # raised in order, after the results of the frames before it
            failed: Future[_Result] = Future()
            failed.set_exception(error)
            yield failed

    pending: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(num_parallel, "e2pose-estimator") as threads:
        for future in submit(threads):
            pending.append(future)
            if len(pending) > num_parallel:  # one more than threads, so that none idles while stages and sinks work
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
