"""An estimator whose model and threshold can change during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2pose.inference.anonymise import BlurThresholds
from e2pose.live.stopwatch import Stopwatch
from e2pose.tracking.tracker import TRACKED_THRESHOLD

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from e2pose.core.poses import Poses
    from e2pose.core.spec import ModelSpec
    from e2pose.inference.estimator import Estimator
    from e2pose.tracking.tracker import Tracker


class LiveEstimator:
    """Detects poses; model and threshold may change between two images, and the tracker is updated with them.

    Args:
        estimator: First model, with its person threshold. If it runs images in parallel, it must not be replaced.
        tracker: Tracker of the run, if any.
        keep_tracked: Whether tracked persons are kept down to half the threshold.
        with_blur: Whether persons are also detected down to the threshold of `PersonsToBlur`, which must be the first
            stage of the run.
        keypoint_threshold: Minimum score of a drawn keypoint; None for the value of the current model.
    """

    def __init__(
        self,
        estimator: Estimator,
        tracker: Tracker | None = None,
        *,
        keep_tracked: bool = False,
        with_blur: bool = False,
        keypoint_threshold: float | None = None,
    ) -> None:
        self._tracker = tracker
        self._threshold_factor = TRACKED_THRESHOLD if keep_tracked else 1.0
        self._with_blur = with_blur
        self._keypoint_threshold = keypoint_threshold
        self._estimator = estimator
        self.stopwatch = Stopwatch(self._with_margin(estimator))
        """Measures rate and latency."""

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Poses:
        """Detects the persons in the next image of the run."""
        return self.stopwatch(image)

    def detect_once(self, image: UInt8[np.ndarray, "h w 3"]) -> Poses:
        """Detects the persons in an image outside of the run: exact threshold, no time measurement."""
        return self._estimator(image)

    @property
    def spec(self) -> ModelSpec:
        """Description of the current model."""
        return self._estimator.spec

    @property
    def threshold(self) -> float:
        """Minimum score of a new person; may be changed between images."""
        return self._estimator.threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self.switch_to(self._estimator.with_threshold(threshold))

    def blur_thresholds(self) -> BlurThresholds:
        """Returns the current thresholds for `PersonsToBlur`."""
        return self._blur_thresholds(self._estimator)

    @property
    def keypoint_threshold(self) -> float:
        """Minimum score of a drawn keypoint."""
        return self.spec.keypoint_threshold if self._keypoint_threshold is None else self._keypoint_threshold

    def switch_to(self, estimator: Estimator) -> None:
        """Replaces the model; the tracker starts anew if the keypoint schema differs."""
        self.stopwatch.switch_to(self._with_margin(estimator))
        if self._tracker is not None:
            self._tracker.threshold = estimator.threshold
            if estimator.spec.schema != self.spec.schema:
                self._tracker.reset()
        self._estimator = estimator

    def _with_margin(self, estimator: Estimator) -> Estimator:
        if self._with_blur:
            return estimator.with_threshold(self._blur_thresholds(estimator).known)
        return estimator.with_threshold(self._threshold_factor * estimator.threshold)

    def _blur_thresholds(self, estimator: Estimator) -> BlurThresholds:
        output = self._threshold_factor * estimator.threshold
        return BlurThresholds.of(estimator.threshold, estimator.spec, output=output)
