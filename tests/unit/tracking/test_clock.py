"""Time of a run for all kinds of inputs."""

from fractions import Fraction

import numpy as np
import pytest

from e2pose.core.frame import Frame, Origin
from e2pose.tracking.clock import Clock

VIDEO, OTHER = (Origin(name, rate=Fraction(25)) for name in "ab")
FIRST, SECOND = Origin("1.jpg"), Origin("2.jpg")


def advance(*frames):
    """Returns for each (origin, time, size) whether it continues the sequence, and the time of the run."""
    clock = Clock()
    results = []
    for origin, time_s, size in frames:
        continues = clock.advance(Frame(np.zeros((size, 4, 3), np.uint8), origin, 0, time_s))
        results.append((continues, pytest.approx(clock.time_s)))
    return results


def test_video_frames_have_their_own_times():
    assert advance((VIDEO, 5, 4), (VIDEO, 5.04, 4), (VIDEO, 5.04, 4), (VIDEO, 7, 4)) == [
        (False, 0),
        (True, 0.04),
        (True, 0.04),
        (True, 2),
    ]


@pytest.mark.parametrize("other", [(OTHER, 1.1, 4), (VIDEO, 1.1, 5), (VIDEO, 0.9, 4), (FIRST, 1.1, 4)])
def test_new_sequence_does_not_advance_the_time(other):
    assert advance((VIDEO, 1, 4), other) == [(False, 0), (False, 0)]


def test_still_images_of_one_size_are_frames_at_30_per_second():
    assert advance((FIRST, 0, 4), (SECOND, 0, 4), (FIRST, 0, 4)) == [(False, 0), (True, 1 / 30), (True, 2 / 30)]
    assert advance((FIRST, 0, 4), (SECOND, 0, 5))[1] == (False, 0)
    assert advance((FIRST, 0, 4), (FIRST, 0.5, 4), (FIRST, 0.7, 4))[2] == (True, 0.7), "explicit times count"
