"""The time of a run, across pictures, videos and cameras."""

from __future__ import annotations

from e2pose.core.frame import Frame, Origin

STILL_STEP_S = 1 / 30
"""Still pictures in a row count as the frames of a video, this many seconds apart, unless they have times."""


class Clock:
    """Seconds of a run; they never go back.

    A frame does not continue the one before it if it comes from another video or camera, has another size, or an
    earlier time.
    """

    def __init__(self) -> None:
        self.time_s = 0.0
        self._last: tuple[Origin, tuple[int, int], float] | None = None

    def advance(self, frame: Frame) -> bool:
        """Goes on to a frame and says whether it continues the one before it."""
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
