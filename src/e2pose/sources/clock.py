"""Times of video frames."""

from __future__ import annotations

from fractions import Fraction

_MAX_GAP_S = 10  # Source: the default of the option -dts_delta_threshold of the program ffmpeg


class Clock:
    """Converts the timestamps of a video, in display order, to seconds since its first frame, which rise strictly.

    A frame without a timestamp follows its predecessor after the duration of a frame, and so does the first frame of a
    joined recording, whose timestamps step back. A single timestamp that does not lie between its neighbours, or one
    that repeats, is moved between them.

    Args:
        frame_s: Duration of a frame in seconds.
        closes_gaps: Whether a joined recording may also start with a step forward, of more than 10 s.
    """

    def __init__(self, frame_s: Fraction, *, closes_gaps: bool = False) -> None:
        self._frame_s = frame_s
        self._closes_gaps = closes_gaps
        self._last_s = -frame_s
        self.shift_s: Fraction | None = None
        """Seconds to add to the timestamps of the current recording; None before the first timestamp."""
        self.num_joints = 0
        """Number of recordings that were joined to the first one."""

    def time_of(self, stamp_s: Fraction | None, next_stamp_s: Fraction | None = None) -> Fraction:
        """Returns the time of the next frame. `next_stamp_s` is the timestamp of the frame after it, if known."""
        expected_s = self._last_s + self._frame_s
        if stamp_s is None:
            self._last_s = expected_s
            return expected_s
        if self.shift_s is None:
            self.shift_s = expected_s - stamp_s
        time_s = stamp_s + self.shift_s
        next_s = None if next_stamp_s is None else next_stamp_s + self.shift_s
        if next_s is not None and next_s > self._last_s and not self._last_s < time_s <= next_s:
            time_s = (self._last_s + next_s) / 2  # a single wrong timestamp
        elif self._is_joint(time_s):
            self.shift_s += expected_s - time_s
            self.num_joints += 1
            time_s = expected_s
        elif time_s <= self._last_s:
            time_s = self._last_s + self._frame_s / 2
        self._last_s = time_s
        return time_s

    def _is_joint(self, time_s: Fraction) -> bool:
        is_forward = self._closes_gaps and time_s > self._last_s + _MAX_GAP_S
        return is_forward or time_s < self._last_s - self._frame_s
