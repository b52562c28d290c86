"""The run behind `e2pose predict`: source, model, tracking, live view and files."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from e2pose.core.errors import E2PoseError, ModelError
from e2pose.inference.anonymise import LOOKAHEAD_S, BlurSink, PersonsToBlur
from e2pose.inference.run import run
from e2pose.live.estimator import LiveEstimator
from e2pose.live.session import LiveSession, list_models
from e2pose.live.view import View
from e2pose.render.blur import check_region
from e2pose.render.hud import draw_rate
from e2pose.render.overlay import draw_poses
from e2pose.sinks.open import check_distinct, open_sink
from e2pose.sinks.tee import TeeSink
from e2pose.sinks.threaded import ThreadedSink
from e2pose.sources.prefetch import LatestFrame, Prefetch
from e2pose.tracking.smoothing import Smoother
from e2pose.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    import numpy as np
    from jaxtyping import UInt8

    from e2pose.core.frame import Frame
    from e2pose.core.poses import Poses
    from e2pose.inference.estimator import Estimator
    from e2pose.inference.run import RunSummary, Stage
    from e2pose.live.options import PredictOptions
    from e2pose.runtimes.options import RuntimeOptions
    from e2pose.sinks.base import Sink
    from e2pose.sources.base import Source

_DEFAULT_OUTPUT = "out/"


class Pipeline:
    """Connects a source to a model, stages and sinks.

    Files are processed in parallel; live sources and the window skip frames instead of lagging behind.

    Args:
        source: Opened source.
        options: What to detect and draw.
        runtime: Runtime of the models.
        outputs: Files and folders to write; if empty, overlays go to `out/` unless a window shows them.
        open_estimator: Opens a model for a number of images; None if unknown.
        report: Receives errors that do not end the run.
        notify: Receives messages for the user.

    Raises:
        E2PoseError: The model, the window or an output cannot be opened.
    """

    def __init__(
        self,
        source: Source,
        options: PredictOptions,
        runtime: RuntimeOptions,
        outputs: Sequence[str],
        *,
        open_estimator: Callable[[str, int | None], Estimator],
        report: Callable[[E2PoseError], None],
        notify: Callable[[str], None],
    ) -> None:
        self._options = options
        self._open_estimator = open_estimator
        self.outputs = tuple(outputs) or (() if options.show else (_DEFAULT_OUTPUT,))
        """Files and folders that are written."""
        check_distinct(self.outputs)
        is_interactive = source.info.is_live or options.show
        estimator = open_estimator(options.model[0], 1 if is_interactive else source.info.frame_count)
        self.num_parallel = estimator.num_parallel
        """Number of images that the model processes in parallel."""
        if options.blur is not None:
            check_region(estimator.spec.schema, options.blur)
        self._with_blur = options.show or options.blur is not None
        self._tracker = Tracker(estimator.threshold) if options.track or options.smooth else None
        self._estimator = LiveEstimator(
            estimator,
            self._tracker,
            keep_tracked=options.track,
            with_blur=self._with_blur,
            keypoint_threshold=options.keypoint_threshold,
        )
        self._persons = PersonsToBlur(self._estimator.blur_thresholds) if self._with_blur else None
        self._source = LatestFrame(source) if source.info.is_live else Prefetch(source)
        sinks: dict[str, Sink] = {}
        self._files: TeeSink | None = None
        if options.show:
            window = LiveSession(
                View(blur=options.blur, min_blur=options.blur, is_paused=source.info.frame_count == 1),
                self._estimator,
                self._source,
                self._persons,
                models=list_models(options.model, runtime),
                open_model=self._open_next_model,
                report=report,
                notify=notify,
            )
            sinks["--show"] = window
        if self.outputs:
            notify_once = functools.cache(notify)  # outputs of the same video have the same notices
            files = [
                open_sink(output, draw=self._draw, inputs=source.info.paths, on_notice=notify_once)
                for output in self.outputs
            ]
            self._files = TeeSink(files, self.outputs, on_error=report)
            sinks[", ".join(self.outputs)] = self._blurred(ThreadedSink(self._files))
        self._sink = TeeSink(list(sinks.values()), list(sinks), on_error=report)

    @property
    def written(self) -> list[str]:
        """The outputs that have not failed."""
        return [output for output in self.outputs if self._files is None or output not in self._files.failed]

    @property
    def num_dropped(self) -> int:
        """Frames of a live source that were skipped."""
        return self._source.num_dropped

    def stop(self) -> None:
        """Ends the run after the current frame. Can be called from any thread and from a signal handler."""
        self._source.stop()

    def run(self, on_frame: Callable[[], None]) -> RunSummary | None:
        """Processes all frames and calls `on_frame` after each.

        Returns None if the source yields no frame; no output is written then.
        """
        try:
            return run(
                self._estimator,
                self._source,
                self._stages(),
                [self._sink, _RequireFrames()],
                lambda *_: on_frame(),
                num_parallel=self.num_parallel,
            )
        except _NoFramesError:
            return None

    def _blurred(self, sink: Sink) -> Sink:
        """Returns the sink behind the blur of the options: no sink receives the original frames."""
        if self._options.blur is None or self._persons is None:
            return sink
        lookahead_s = 0.0 if self._source.info.is_live or self._options.blur == "frame" else LOOKAHEAD_S
        return BlurSink(sink, self._persons, self._options.blur, lookahead_s=lookahead_s)

    def _stages(self) -> list[Stage]:
        stages: list[Stage] = [] if self._persons is None else [self._persons]
        if self._tracker is None:
            return stages
        stages.append(self._tracker)
        if self._options.smooth:
            stages.append(Smoother())
        if not self._options.track:
            stages.append(lambda _, poses: replace(poses, track_ids=None))
        return stages

    def _draw(self, frame: Frame, poses: Poses) -> UInt8[np.ndarray, "h w 3"]:
        image = draw_poses(frame.image, poses, threshold=self._estimator.keypoint_threshold)
        return draw_rate(image, self._estimator.stopwatch.images_per_second) if self._options.fps else image

    def _open_next_model(self, name: str) -> Estimator:
        estimator = self._open_estimator(name, 1)
        schema, new_schema = self._estimator.spec.schema, estimator.spec.schema
        if self.outputs and new_schema != schema:
            raise ModelError(
                f"'{name}' detects the keypoints of '{new_schema.name}', but the outputs of this run hold those of "
                f"'{schema.name}'",
                "omit -o to switch between models with different keypoints",
            )
        return estimator


class _NoFramesError(Exception):
    """The source yielded no frame; it has already reported the reason."""


class _RequireFrames:
    """A sink that fails a run without frames, so that the other sinks discard their empty files."""

    _is_empty = True

    def write(self, _frame: Frame, _poses: Poses) -> None:
        self._is_empty = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_empty and error is None:
            raise _NoFramesError
