"""The model of a run, which may be changed while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2pose.live.stopwatch import Stopwatch

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from e2pose.core.poses import Poses
    from e2pose.core.spec import ModelSpec
    from e2pose.inference.estimator import Estimator
    from e2pose.tracking.tracker import Tracker

STILL_THE_SAME = 0.5
"""Somebody who is tracked is still seen at this part of the threshold."""


class LiveEstimator:
    """Finds poses; model and threshold may change from one picture to the next, and the tracker goes along.

    Args:
        estimator: The first model, with the threshold of a person.
        tracker: What tells people apart, if anything does.
        keeps_doubtful: Whether tracked people are kept down to a part of the threshold.
        keypoint_threshold: Keypoints with a lower score are not drawn; None for each model's own value.
        num_parallel: How many pictures it looks at at the same time; it cannot be changed while these are several.
    """

    def __init__(
        self,
        estimator: Estimator,
        tracker: Tracker | None = None,
        *,
        keeps_doubtful: bool = False,
        keypoint_threshold: float | None = None,
        num_parallel: int = 1,
    ) -> None:
        self.num_parallel = num_parallel
        self.tracker = tracker
        self._share = STILL_THE_SAME if keeps_doubtful else 1.0
        self._keypoint_threshold = keypoint_threshold
        self._estimator = estimator
        self.stopwatch = Stopwatch(self._with_margin(estimator), num_parallel)
        """How fast it is."""

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> Poses:
        """Finds everybody in one picture."""
        return self.stopwatch(image)

    def look_again(self, image: UInt8[np.ndarray, "h w 3"]) -> Poses:
        """Finds everybody in a picture without regard to the run: no memory, no margin, no measurement."""
        return self._estimator(image)

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""
        return self._estimator.spec

    @property
    def threshold(self) -> float:
        """Persons with a lower score are left out, or only continued."""
        return self._estimator.threshold

    @property
    def keypoint_threshold(self) -> float:
        """Keypoints with a lower score are not drawn."""
        return self.spec.keypoint_threshold if self._keypoint_threshold is None else self._keypoint_threshold

    def use(self, estimator: Estimator) -> None:
        """Goes on with another model or threshold; people are new if the model has other keypoints."""
        self.stopwatch.use(self._with_margin(estimator))
        if self.tracker is not None:
            self.tracker.threshold = estimator.threshold
            if estimator.spec.schema != self.spec.schema:
                self.tracker.reset()
        self._estimator = estimator

    def look_for(self, threshold: float) -> None:
        """Goes on with the same model and another threshold."""
        self.use(self._estimator.with_threshold(threshold))

    def _with_margin(self, estimator: Estimator) -> Estimator:
        return estimator.with_threshold(self._share * estimator.threshold)
