"""`e2pose predict`: pictures and videos to poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, Self

from cyclopts import Parameter

from e2pose.cli.interrupts import Interrupts
from e2pose.cli.opening import open_estimator
from e2pose.cli.terminal import Progress, complain, say
from e2pose.core.errors import OptionError
from e2pose.runtimes.options import USUAL, RuntimeOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    import numpy as np
    from jaxtyping import UInt8

    from e2pose.core.errors import E2PoseError
    from e2pose.core.frame import Frame
    from e2pose.core.poses import Poses
    from e2pose.inference.run import RunSummary, Stage
    from e2pose.inference.stopwatch import Stopwatch
    from e2pose.sinks.base import Draw, Sink
    from e2pose.sources.base import Source, SourceInfo

    Image = UInt8[np.ndarray, "h w 3"]

STILL_THE_SAME = 0.5
"""Somebody who is tracked is still seen at this part of the threshold."""

OVERLAYS = "out/"
"""Where overlays go if nobody says where."""


@Parameter(name="*")
@dataclass(frozen=True)
class PredictOptions:
    """How to look for poses, and where to write them.

    Args:
        output: Where to write; repeat it for several. A folder, picture or video gets the poses drawn, and so does
            camera:, a virtual camera; .json gets COCO results, .jsonl a line for each picture, .csv and .parquet a
            table; with %06d in the name each frame gets a file. Overlays go to out/ if it is not given.
        model: A name that `e2pose models` lists, or a model file.
        threshold: Leave out persons with a lower score, from 0 to 1; if not given, the model's own value.
        keypoint_threshold: Do not draw keypoints with a lower score, from 0 to 1; if not given, the model's own value.
        track: Give everybody a number that stays the same from frame to frame.
        smooth: Make keypoints tremble less from frame to frame.
        blur: What to make unrecognisable before drawing.
        show: Show the poses in a window; overlays do not go to out/ then.
        fps: Draw how many pictures per second the model manages; reading and writing do not count.
        runtime: What runs the model, and how.
        quiet: Print nothing but errors.
    """

    output: Annotated[tuple[str, ...], Parameter(name=("--output", "-o"))] = ()
    model: str = "default"
    threshold: float | None = None
    keypoint_threshold: float | None = None
    track: bool = False
    smooth: bool = False
    blur: Literal["heads", "people", "frame"] | None = None
    show: bool = False
    fps: bool = False
    runtime: Annotated[RuntimeOptions, Parameter(name="*")] = USUAL
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False


def predict(*source: Annotated[str, Parameter(required=True)], options: PredictOptions = PredictOptions()) -> int:
    """Find everybody's pose in pictures and videos.

    Args:
        source: Pictures, videos, folders or patterns such as `'photos/*.jpg'`; or, alone, the number of a camera, the
            address of a stream, or `screen:`.
        options: How to look for poses, and where to write them.
    """
    from e2pose.inference.run import run
    from e2pose.inference.stopwatch import Stopwatch
    from e2pose.sinks.behind import WriteBehind
    from e2pose.sinks.open import open_sink
    from e2pose.sinks.several import SeveralSinks
    from e2pose.sinks.window import WindowSink
    from e2pose.sources.base import SourceInfo
    from e2pose.sources.open import open_source
    from e2pose.sources.prefetch import LatestFrame, Prefetch

    problems: list[E2PoseError] = []

    def report(problem: E2PoseError) -> None:
        problems.append(problem)
        complain(problem)

    inputs = open_source(source, on_error=report, on_notice=say)
    if inputs.info == SourceInfo(frame_count=0):
        return 1
    estimator = open_estimator(options.model, options.runtime, threshold=options.threshold, quiet=options.quiet)
    stages = memory(options, estimator.threshold)
    if options.track:
        estimator = estimator.with_threshold(STILL_THE_SAME * estimator.threshold)
    stopwatch = Stopwatch(estimator)
    draw = drawing(options, estimator.spec.keypoint_threshold, stopwatch)
    targets = options.output or (() if options.show else (OVERLAYS,))
    ahead = LatestFrame(inputs) if inputs.info.is_live else Prefetch(inputs)
    sinks: list[Sink] = [WindowSink(draw, on_close=ahead.stop)] if options.show else []
    if targets:
        files = [open_sink(target, draw=draw, inputs=inputs.info.paths) for target in targets]
        sinks.append(WriteBehind(SeveralSinks(files, on_error=report)))
    frames = NeverEmpty(ahead)
    try:
        with (
            Interrupts(ahead.stop) as interrupts,
            Progress(inputs.info.frame_count, shown=not options.quiet) as progress,
        ):
            summary = run(stopwatch, frames, stages, sinks, on_frame=lambda *_: progress.advance())
    except NothingRead:
        return interrupts.exit_code or 1
    if not options.quiet:
        say(sentence(summary, ahead.dropped, targets))
    return interrupts.exit_code or (1 if problems else 0)


def memory(options: PredictOptions, threshold: float) -> list[Stage]:
    """The stages that remember earlier frames.

    Args:
        options: What was asked for.
        threshold: Least score of a person.
    """
    from e2pose.tracking.smoothing import Smoother
    from e2pose.tracking.tracker import Tracker

    if not options.smooth:
        return [Tracker(threshold)] if options.track else []
    tracked: list[Stage] = [Tracker(threshold), Smoother()]
    return tracked if options.track else [*tracked, lambda _, poses: replace(poses, track_ids=None)]


class NothingRead(Exception):  # noqa: N818 - every input has been reported as an error already
    """Not one input could be read."""


class NeverEmpty:
    """A source that fails if the one inside gives nothing, so that no sink keeps an empty file.

    Args:
        source: Where the frames come from; entered and left together with this one.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def info(self) -> SourceInfo:
        """What the source inside says."""
        return self._source.info

    def __iter__(self) -> Iterator[Frame]:
        """The frames of the source inside.

        Raises:
            NothingRead: There are none.
        """
        frame = None
        for frame in self._source:
            yield frame
        if frame is None:
            raise NothingRead

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the source inside."""
        self._source.__exit__(kind, error, trace)


def drawing(options: PredictOptions, threshold: float, stopwatch: Stopwatch) -> Draw:
    """What overlays show: the picture, blurred if asked for, the poses, and the rate if asked for.

    Args:
        options: What was asked for.
        threshold: The model's own threshold for keypoints.
        stopwatch: Knows the rate.

    Raises:
        OptionError: The threshold asked for is out of range.
    """
    from e2pose.render.blur import blur_image
    from e2pose.render.hud import draw_rate
    from e2pose.render.overlay import draw_poses

    if options.keypoint_threshold is not None:
        threshold = options.keypoint_threshold
    if not 0 <= threshold <= 1:
        raise OptionError(
            f"the keypoint threshold must lie between 0 and 1, not {threshold}", "leave it out, or say 0.5"
        )

    def draw(frame: Frame, poses: Poses) -> Image:
        image = frame.image
        if options.blur is not None:
            image = blur_image(image, poses, options.blur)
        image = draw_poses(image, poses, threshold=threshold)
        return draw_rate(image, stopwatch.images_per_second) if options.fps else image

    return draw


def sentence(summary: RunSummary, dropped: int, targets: Sequence[str]) -> str:
    """What a run has done, in a line."""
    pictures = f"{summary.frames} picture" + ("s" if summary.frames != 1 else "")
    persons = f"{summary.persons} person" + ("s" if summary.persons != 1 else "")
    each_ms = 1000 * summary.estimator_s / summary.frames
    missed = f", {dropped} dropped" if dropped else ""
    written = f", written to {', '.join(targets)}" if targets else ""
    return f"{pictures}{missed}, {persons}, {each_ms:.0f} ms per picture{written}"
