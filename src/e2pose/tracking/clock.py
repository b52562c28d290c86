"""Time of a run across images, videos and cameras."""

from __future__ import annotations

from e2pose.core.arguments import check_number
from e2pose.core.frame import Frame, Origin

STILL_STEP_S = 1 / 30
"""Assumed time between consecutive still images without timestamps, as if they were frames of a video."""


class Clock:
    """Seconds of a run, which never decrease.

    A frame starts a new sequence if it comes from another video or camera, has another size, or an earlier time. Still
    images of one size form one sequence.
    """

    def __init__(self) -> None:
        self.time_s = 0.0
        self._last: tuple[Origin, tuple[int, int], float] | None = None

    def advance(self, frame: Frame) -> bool:
        """Advances to a frame and returns whether it continues the sequence of the previous frame."""
        last, self._last = self._last, (frame.origin, frame.size_hw, frame.time_s)
        if last is None:
            return False
        origin, size_hw, time_s = last
        step_s = frame.time_s - time_s
        both_still = frame.origin.is_still and origin.is_still
        if both_still and step_s <= 0:
            step_s = STILL_STEP_S
        if not (both_still or frame.origin == origin) or frame.size_hw != size_hw or not step_s >= 0:
            return False
        self.time_s += step_s
        return True


def check_time(time_s: float, previous_s: float) -> None:
    """Raises an `OptionError` if a time decreases or is no finite number."""
    hint = "pass frames in order of time; call reset() before another video"
    check_number("the time of a frame in seconds", time_s, previous_s, hint=hint)
