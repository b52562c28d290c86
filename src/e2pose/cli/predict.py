"""`e2pose predict`: pictures and videos to poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, Self

from cyclopts import Parameter

from e2pose.cli.interrupts import Interrupts
from e2pose.cli.opening import open_estimator
from e2pose.cli.terminal import Progress, print_error, print_message
from e2pose.core.errors import ModelError, OptionError
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    import numpy as np
    from jaxtyping import UInt8

    from e2pose.core.errors import E2PoseError
    from e2pose.core.frame import Frame
    from e2pose.core.poses import Poses
    from e2pose.inference.estimator import Estimator
    from e2pose.inference.run import RunSummary, Stage
    from e2pose.live.estimator import LiveEstimator
    from e2pose.live.session import LiveSession
    from e2pose.sinks.base import Draw, Sink
    from e2pose.sources.base import Source, SourceInfo
    from e2pose.sources.prefetch import Prefetch
    from e2pose.tracking.tracker import Tracker

    Image = UInt8[np.ndarray, "h w 3"]

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
        model: A name that `e2pose models` lists, or a model file. With --show it may be repeated: m goes to the next.
        threshold: Leave out persons with a lower score, from 0 to 1; if not given, the model's own value.
        keypoint_threshold: Do not draw keypoints with a lower score, from 0 to 1; if not given, the model's own value.
        track: Give everybody a number that stays the same from frame to frame.
        smooth: Make keypoints tremble less from frame to frame.
        blur: What to make unrecognisable before drawing.
        show: Show the poses in a window, where h lists the keys; overlays do not go to out/ then.
        fps: Draw into outputs how many pictures per second the model manages; reading and writing do not count.
        runtime: What runs the model, and how.
        quiet: Print nothing but errors.
    """

    output: Annotated[tuple[str, ...], Parameter(name=("--output", "-o"))] = ()
    model: tuple[str, ...] = ("default",)
    threshold: float | None = None
    keypoint_threshold: float | None = None
    track: bool = False
    smooth: bool = False
    blur: Literal["heads", "people", "frame"] | None = None
    show: bool = False
    fps: bool = False
    runtime: Annotated[RuntimeOptions, Parameter(name="*")] = DEFAULT_OPTIONS
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False


def predict(*source: Annotated[str, Parameter(required=True)], options: PredictOptions = PredictOptions()) -> int:
    """Find everybody's pose in pictures and videos.

    Args:
        source: Pictures, videos, folders or patterns such as `'photos/*.jpg'`; or, alone, the number of a camera, the
            address of a stream, or `screen:`.
        options: How to look for poses, and where to write them.
    """
    from e2pose.inference.run import run
    from e2pose.sinks.open import open_sink
    from e2pose.sinks.tee import TeeSink
    from e2pose.sinks.threaded import ThreadedSink
    from e2pose.sources.base import SourceInfo
    from e2pose.sources.open import open_source
    from e2pose.sources.prefetch import LatestFrame, Prefetch

    problems: list[E2PoseError] = []

    def report(problem: E2PoseError) -> None:
        problems.append(problem)
        print_error(problem)

    if len(options.model) > 1 and not options.show:
        raise OptionError(
            f"{len(options.model)} models are given, but a run takes one: {', '.join(options.model)}",
            "name one of them; or add --show, where the key m goes to the next",
        )
    inputs = open_source(source, on_error=report, on_notice=print_message)
    if inputs.info == SourceInfo(frame_count=0):
        return 1
    model = first_model(options, inputs.info)
    draw = drawing(options, model)
    targets = options.output or (() if options.show else (OVERLAYS,))
    ahead = LatestFrame(inputs) if inputs.info.is_live else Prefetch(inputs)
    sinks: list[Sink] = [live_view(options, model, ahead, targets, report)] if options.show else []
    if targets:
        files = [open_sink(target, draw=draw, inputs=inputs.info.paths) for target in targets]
        sinks.append(ThreadedSink(TeeSink(files, on_error=report)))
    try:
        with (
            Interrupts(ahead.stop) as interrupts,
            Progress(inputs.info.frame_count, shown=not options.quiet) as progress,
        ):
            stages = memory(options, model.tracker)
            summary = run(
                model, NeverEmpty(ahead), stages, sinks, lambda *_: progress.advance(), num_parallel=model.num_parallel
            )
    except NothingRead:
        return interrupts.exit_code or 1
    if not options.quiet:
        print_message(sentence(summary, model.num_parallel, ahead.num_dropped, targets))
    return interrupts.exit_code or (1 if problems else 0)


def first_model(options: PredictOptions, inputs: SourceInfo) -> LiveEstimator:
    """The model that was asked for, with what tells people apart if that was.

    Args:
        options: What was asked for.
        inputs: Whether somebody waits for each picture, or for all of them.
    """
    from e2pose.live.estimator import LiveEstimator
    from e2pose.tracking.tracker import Tracker

    estimator = open_estimator(
        options.model[0],
        options.runtime,
        threshold=options.threshold,
        num_images=1 if inputs.is_live or options.show else inputs.frame_count,
        quiet=options.quiet,
    )
    return LiveEstimator(
        estimator,
        Tracker(estimator.threshold) if options.track or options.smooth else None,
        keeps_doubtful=options.track,
        keypoint_threshold=options.keypoint_threshold,
        num_parallel=estimator.num_parallel,
    )


def memory(options: PredictOptions, tracker: Tracker | None) -> list[Stage]:
    """The stages that remember earlier frames.

    Args:
        options: What was asked for.
        tracker: The first of them, if there are any.
    """
    from e2pose.tracking.smoothing import Smoother

    if tracker is None:
        return []
    if not options.smooth:
        return [tracker]
    tracked: list[Stage] = [tracker, Smoother()]
    return tracked if options.track else [*tracked, lambda _, poses: replace(poses, track_ids=None)]


def live_view(
    options: PredictOptions,
    model: LiveEstimator,
    ahead: Prefetch,
    targets: Sequence[str],
    report: Callable[[E2PoseError], None],
) -> LiveSession:
    """The window of a run.

    Args:
        options: What was asked for.
        model: What finds the poses.
        ahead: Where the frames come from.
        targets: What else shows or keeps the poses.
        report: Told of what a key could not do.
    """
    from e2pose.live.session import LiveSession, models_in_turn
    from e2pose.live.view import View

    def open_model(name: str) -> Estimator:
        estimator = open_estimator(name, options.runtime, threshold=options.threshold, quiet=options.quiet)
        if targets and estimator.spec.schema != model.spec.schema:
            raise ModelError(
                f"'{name}' finds keypoints of '{estimator.spec.schema.name}', but the outputs of this run hold those "
                f"of '{model.spec.schema.name}'",
                "leave out -o to change to it",
            )
        return estimator

    return LiveSession(
        View(blur=options.blur, least_blur=options.blur, is_paused=ahead.info.frame_count == 1),
        model,
        ahead,
        models=models_in_turn(options.model, options.runtime),
        open_model=open_model,
        report=report,
        notify=print_message,
    )


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


def drawing(options: PredictOptions, model: LiveEstimator) -> Draw:
    """What overlays show: the picture, blurred if asked for, the poses, and the rate if asked for.

    Args:
        options: What was asked for.
        model: Knows the rate.

    Raises:
        OptionError: The threshold asked for is out of range.
    """
    from e2pose.live.view import View, draw_view
    from e2pose.render.hud import draw_rate

    if not 0 <= model.keypoint_threshold <= 1:
        raise OptionError(
            f"the keypoint threshold must lie between 0 and 1, not {model.keypoint_threshold}",
            "leave it out, or say 0.5",
        )
    view = View(blur=options.blur)

    def draw(frame: Frame, poses: Poses) -> Image:
        image = draw_view(frame, poses, view, keypoint_threshold=model.keypoint_threshold)
        return draw_rate(image, model.stopwatch.images_per_second) if options.fps else image

    return draw


def sentence(summary: RunSummary, num_parallel: int, dropped: int, targets: Sequence[str]) -> str:
    """What a run has done, in a line."""
    pictures = f"{summary.frames} picture" + ("s" if summary.frames != 1 else "")
    persons = f"{summary.persons} person" + ("s" if summary.persons != 1 else "")
    each_ms = 1000 * summary.estimator_s / summary.frames / num_parallel
    missed = f", {dropped} dropped" if dropped else ""
    written = f", written to {', '.join(targets)}" if targets else ""
    return f"{pictures}{missed}, {persons}, {each_ms:.0f} ms per picture{written}"
