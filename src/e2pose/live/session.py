"""The window of a run, whose keys change the run."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Self

from e2pose.core.errors import E2PoseError
from e2pose.live.snapshot import save_snapshot
from e2pose.live.view import MAX_THRESHOLD, View, draw_panels, draw_view, for_schema, press
from e2pose.live.window import Window
from e2pose.render.hud import RunStats
from e2pose.runtimes.select import RUNTIMES
from e2pose.zoo.catalogue import local_models, read_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    import numpy as np
    from jaxtyping import UInt8

    from e2pose.core.frame import Frame
    from e2pose.core.poses import Poses
    from e2pose.inference.anonymise import PersonsToBlur
    from e2pose.inference.estimator import Estimator
    from e2pose.live.estimator import LiveEstimator
    from e2pose.runtimes.options import RuntimeOptions
    from e2pose.sources.prefetch import Prefetch

_POLL_S = 0.03
_RATE_WINDOW = 30  # frames


class LiveSession:
    """A sink that shows frames in a window and handles its keys between frames and while waiting for a frame.

    Args:
        view: Initial state of the view.
        estimator: Detects the poses.
        source: Source of the frames; stopped when the window is closed.
        persons: Finds the persons to blur; the first stage of the run. By default, the detected ones are blurred.
        models: Arguments for `open_model` that the model key cycles through; the first one is running.
        open_model: Opens a model. If it raises an `E2PoseError`, the run continues with the current model.
        report: Receives the errors of actions that a key started.
        notify: Receives messages for the user, such as the name of a saved file.
    """

    def __init__(
        self,
        view: View,
        estimator: LiveEstimator,
        source: Prefetch,
        persons: PersonsToBlur | None = None,
        *,
        models: Sequence[str],
        open_model: Callable[[str], Estimator],
        report: Callable[[E2PoseError], None],
        notify: Callable[[str], None],
    ) -> None:
        self._estimator = estimator
        self.view = self._with_model_threshold(replace(view, num_models=len(models)))
        self._source = source
        self._persons = persons
        self._models = models
        self._open_model = open_model
        self._report = report
        self._notify = notify
        self._shown: tuple[Frame, Poses] | None = None
        self._times_s: deque[float] = deque(maxlen=_RATE_WINDOW)
        self._window = Window()
        source.on_wait = self.handle_keys

    def write(self, frame: Frame, poses: Poses) -> None:
        """Shows a frame and handles keys; returns only after the end of a pause."""
        if not self.view.is_open:
            return
        self._times_s.append(perf_counter())
        self._shown = frame, poses
        self._draw()
        self.handle_keys()
        if self.view.is_paused:
            while self.view.is_paused and not self._source.is_stopped:
                sleep(_POLL_S)
                self.handle_keys()
            self._times_s.clear()

    def handle_keys(self) -> None:
        """Applies all pending key presses in order."""
        if not self.view.is_open:
            return
        for key in self._window.take_keys():
            before, self.view = self.view, press(self.view, key)
            self._apply_changes(before)
            if not self.view.is_open:
                return
            if self.view != before:
                self._draw()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the window."""
        self._source.on_wait = None
        self._window.close()

    def _apply_changes(self, before: View) -> None:
        if not self.view.is_open:
            self._window.hide()
            self._source.stop()
        if self.view.num_saves != before.num_saves:
            self._save()
        if self.view.threshold != before.threshold:
            self._estimator.threshold = self.view.threshold
            self._redetect()
        if self.view.model_index != before.model_index:
            self._change_model(self._models[self.view.model_index])

    def _save(self) -> None:
        if self._shown is None:
            return
        frame, poses = self._shown
        image = self._draw_view(frame, poses)
        try:
            self._notify(f"saved {save_snapshot(image, frame, Path())}")
        except E2PoseError as error:
            self._report(error)

    def _change_model(self, name: str) -> None:
        self._draw(f"opening {Path(name).name} ...")
        try:
            self._estimator.switch_to(self._open_model(name))
        except E2PoseError as error:
            self._report(error)
            return
        self.view = self._with_model_threshold(self.view)
        self._redetect()

    def _with_model_threshold(self, view: View) -> View:
        """Returns the view with the threshold and the regions of the model.

        With a blur from the command line, keys cannot raise the threshold, because persons below it are not blurred.
        """
        threshold = self._estimator.threshold
        max_threshold = MAX_THRESHOLD if view.min_blur is None else threshold
        return replace(for_schema(view, self._estimator.spec.schema), threshold=threshold, max_threshold=max_threshold)

    def _redetect(self) -> None:
        """Updates the poses of a paused frame.

        Skipped with a blur from the command line, because a single detection could miss a person that the tracker kept.
        """
        if self.view.is_paused and self._shown is not None and self.view.min_blur is None:
            frame, _ = self._shown
            self._shown = frame, self._estimator.detect_once(frame.image)

    def _draw(self, model: str | None = None) -> None:
        if self._shown is None:
            return
        frame, poses = self._shown
        image = self._draw_view(frame, poses)
        stats = RunStats(
            model=model or self._estimator.spec.name,
            images_per_second=self._rate(),
            latency_ms=self._estimator.stopwatch.latency_ms,
            num_persons=len(poses),
            threshold=self.view.threshold,
            num_dropped=self._source.num_dropped if self._source.info.is_live else None,
        )
        self._window.show(draw_panels(self._window.fit(image), self.view, stats))

    def _draw_view(self, frame: Frame, poses: Poses) -> UInt8[np.ndarray, "h w 3"]:
        targets = self._persons.latest if self._persons is not None else None
        threshold = self._estimator.keypoint_threshold
        return draw_view(frame, poses, self.view, keypoint_threshold=threshold, targets=targets)

    def _rate(self) -> float:
        if len(self._times_s) < 2:
            return 0.0
        return (len(self._times_s) - 1) / (self._times_s[-1] - self._times_s[0])


def list_models(requested: Sequence[str], options: RuntimeOptions) -> list[str]:
    """Returns the models that the model key cycles through.

    The requested names and files come first, followed by all catalogue models that need no download.
    """
    _, default = read_catalogue()
    listed = {default if name == "default" else name for name in requested}
    local = local_models(RUNTIMES[options.runtime or "onnxruntime"].suffixes)
    return [*dict.fromkeys(requested), *(name for name in local if name not in listed)]
