"""Clock: timestamps of frames become times that rise strictly."""

from fractions import Fraction
from itertools import pairwise

import pytest

from e2pose.sources.clock import Clock

FRAME_S = Fraction(1, 10)


def times_of(stamps, **options):
    """The times in seconds of timestamps in tenths of a second; None for a frame without one."""
    clock = Clock(FRAME_S, **options)
    stamps_s = [None if stamp is None else Fraction(str(stamp)) / 10 for stamp in stamps]
    times_s = [clock.time_of(*pair) for pair in pairwise([*stamps_s, None])]
    assert times_s[0] == 0
    assert all(before < after for before, after in pairwise(times_s))
    return [float(10 * time_s) for time_s in times_s], clock


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([70, 71, 75.5, 90], [0, 1, 5.5, 20]),  # a variable rate that does not start at 0
        ([-4, -3, -2], [0, 1, 2]),
        ([None, None, None], [0, 1, 2]),  # a bare stream
        ([None, 8, 9], [0, 1, 2]),
        ([5, None, 7], [0, 1, 2]),
        ([0, 1, 1, 2], [0, 1, 1.5, 2]),  # repeated
        ([0, 1, 0.5, 2], [0, 0.25, 0.5, 2]),
        ([0, 1, 2, 3, 0, 5, 6], [0, 1, 2, 3, 4, 5, 6]),  # a single wrong timestamp
        ([0, 1, 2, 90_000, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]),
        ([0, 1, 2, 3, 3, 3, 3, 7], [0, 1, 2, 3, 3.5, 4, 5.5, 7]),
    ],
)
def test_times_start_at_0_and_rise(stamps, expected):
    times, clock = times_of(stamps)
    assert times == pytest.approx(expected)
    assert clock.num_joints == 0


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([50, 51, 52, 0, 1, 2], [0, 1, 2, 3, 4, 5]),
        ([0, 1, 2, 3, 4, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7]),  # an overlap of 0.3 s
        ([9, 10, 5], [0, 1, 2]),
    ],
)
def test_time_continues_where_a_recording_is_joined(stamps, expected):
    times, clock = times_of(stamps)
    assert times == pytest.approx(expected)
    assert clock.num_joints == 1
    assert float(clock.shift_s) == pytest.approx((expected[-1] - stamps[-1]) / 10)


def test_steps_forward_are_kept_unless_the_container_allows_joints():
    stamps = [0, 1, 900, 901]
    assert times_of(stamps)[0] == stamps
    assert times_of(stamps, closes_gaps=True)[0] == [0, 1, 2, 3]
    assert times_of([0, 1, 90, 91], closes_gaps=True)[0] == [0, 1, 90, 91]  # below 10 s
