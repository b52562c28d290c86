"""The window of a run: what it shows, and how its keys change the run."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Self

from e2pose.core.errors import E2PoseError
from e2pose.live.snapshot import save_snapshot
from e2pose.live.view import MOST_THRESHOLD, View, draw_panels, draw_view, press
from e2pose.live.window import Window
from e2pose.render.hud import Numbers
from e2pose.runtimes.select import RUNTIMES
from e2pose.zoo.catalogue import local_models, read_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from e2pose.core.frame import Frame
    from e2pose.core.poses import Poses
    from e2pose.inference.estimator import Estimator
    from e2pose.live.estimator import LiveEstimator
    from e2pose.runtimes.options import RuntimeOptions
    from e2pose.sources.prefetch import Prefetch

_GLANCE_S = 0.03
_RECENT = 30


class LiveSession:
    """A sink that a person sees, and whose keys are obeyed between two frames and while there is none.

    Args:
        view: What to show in the beginning.
        model: What finds the poses.
        ahead: Where the frames come from; stopped when the person has seen enough.
        models: What `open_model` may be asked for; the first is the one that runs.
        open_model: Opens one of them, or raises an error, and then the run goes on with the one before.
        report: Receives the errors of actions that a key started.
        notify: Receives messages for the user, such as the name of a saved file.
    """

    def __init__(
        self,
        view: View,
        model: LiveEstimator,
        ahead: Prefetch,
        *,
        models: Sequence[str],
        open_model: Callable[[str], Estimator],
        report: Callable[[E2PoseError], None],
        notify: Callable[[str], None],
    ) -> None:
        self._model = model
        self.view = self._with_threshold(replace(view, models=len(models)))
        self._ahead = ahead
        self._models = models
        self._open_model = open_model
        self._report = report
        self._notify = notify
        self._shown: tuple[Frame, Poses] | None = None
        self._times_s: deque[float] = deque(maxlen=_RECENT)
        self._window = Window()
        ahead.on_wait = self.attend

    def write(self, frame: Frame, poses: Poses) -> None:
        """Shows a frame, obeys the keys, and does not return while the person wants to pause."""
        if not self.view.is_open:
            return
        self._times_s.append(perf_counter())
        self._shown = frame, poses
        self._draw()
        self.attend()
        if self.view.is_paused:
            while self.view.is_paused and not self._ahead.is_stopped:
                sleep(_GLANCE_S)
                self.attend()
            self._times_s.clear()

    def attend(self) -> None:
        """Obeys the keys that were pressed meanwhile, one after the other."""
        if not self.view.is_open:
            return
        for key in self._window.pressed():
            before, self.view = self.view, press(self.view, key)
            self._obey(before)
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
        self._ahead.on_wait = None
        self._window.close()

    def _obey(self, before: View) -> None:
        if not self.view.is_open:
            self._window.hide()
            self._ahead.stop()
        if self.view.saves != before.saves:
            self._save()
        if self.view.threshold != before.threshold:
            self._model.look_for(self.view.threshold)
            self._look_again()
        if self.view.model != before.model:
            self._change_model(self._models[self.view.model])

    def _save(self) -> None:
        if self._shown is None:
            return
        frame, poses = self._shown
        image = draw_view(frame, poses, self.view, keypoint_threshold=self._model.keypoint_threshold)
        try:
            self._notify(f"saved {save_snapshot(image, frame, Path())}")
        except E2PoseError as error:
            self._report(error)

    def _change_model(self, name: str) -> None:
        self._draw(f"opening {Path(name).name} ...")
        try:
            self._model.use(self._open_model(name))
        except E2PoseError as error:
            self._report(error)
            return
        self.view = self._with_threshold(self.view)
        self._look_again()

    def _with_threshold(self, view: View) -> View:
        """The view of the model as it is; a blur that was asked for loses nobody to a higher threshold."""
        threshold = self._model.threshold
        most = MOST_THRESHOLD if view.least_blur is None else threshold
        return replace(view, threshold=threshold, most_threshold=most)

    def _look_again(self) -> None:
        """Looks at the shown frame anew if it stays, unless this could uncover somebody whom the tracker knew."""
        if self.view.is_paused and self._shown is not None and self.view.least_blur is None:
            frame, _ = self._shown
            self._shown = frame, self._model.look_again(frame.image)

    def _draw(self, model: str | None = None) -> None:
        if self._shown is None:
            return
        frame, poses = self._shown
        image = draw_view(frame, poses, self.view, keypoint_threshold=self._model.keypoint_threshold)
        numbers = Numbers(
            model=model or self._model.spec.name,
            images_per_second=self._rate(),
            latency_ms=self._model.stopwatch.latency_ms,
            persons=len(poses),
            threshold=self.view.threshold,
            dropped=self._ahead.num_dropped if self._ahead.info.is_live else None,
        )
        self._window.show(draw_panels(self._window.fitted(image), self.view, numbers))

    def _rate(self) -> float:
        if len(self._times_s) < 2:
            return 0.0
        return (len(self._times_s) - 1) / (self._times_s[-1] - self._times_s[0])


def models_in_turn(asked: Sequence[str], options: RuntimeOptions) -> list[str]:
    """The models that a key goes through: those asked for, then those of the catalogue that need no fetching.

    Args:
        asked: Names and files; at least one.
        options: What runs them.
    """
    _, default = read_catalogue()
    known = {default if name == "default" else name for name in asked}
    at_hand = local_models(RUNTIMES[options.runtime or "onnxruntime"].suffixes)
    return [*dict.fromkeys(asked), *(name for name in at_hand if name not in known)]
