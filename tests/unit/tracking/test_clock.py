"""The time of a run over all kinds of inputs."""

from fractions import Fraction

import numpy as np
import pytest

from e2pose.core.frame import Frame, Origin
from e2pose.tracking.clock import STILL_STEP_S, Clock

VIDEO, OTHER = (Origin(name, rate=Fraction(25)) for name in "ab")
FIRST, SECOND = Origin("1.jpg"), Origin("2.jpg")


def read(*frames):
    """Whether each frame continues the one before it, and the time at it."""
    clock = Clock()
    answers = []
    for origin, time_s, size in frames:
        continues = clock.advance(Frame(np.zeros((size, 4, 3), np.uint8), origin, 0, time_s))
        answers.append((continues, pytest.approx(clock.time_s)))
    return answers


def test_a_video_has_its_own_time():
    assert read((VIDEO, 5, 4), (VIDEO, 5.04, 4), (VIDEO, 5.04, 4), (VIDEO, 7, 4)) == [
        (False, 0),
        (True, 0.04),
        (True, 0.04),
        (True, 2),
    ]


def test_what_does_not_continue_takes_no_time():
    others = [(OTHER, 1.1, 4), (VIDEO, 1.1, 5), (VIDEO, 0.9, 4), (FIRST, 1.1, 4), (VIDEO, float("nan"), 4)]
    for other in others:
        assert read((VIDEO, 1, 4), other) == [(False, 0), (False, 0)]


def test_pictures_in_a_row_are_a_video():
    assert read((FIRST, 0, 4), (SECOND, 0, 4), (FIRST, 0, 4)) == [
        (False, 0),
        (True, STILL_STEP_S),
        (True, 2 * STILL_STEP_S),
    ]
    assert read((FIRST, 0, 4), (SECOND, 0, 5))[1] == (False, 0)
    assert read((FIRST, 0, 4), (FIRST, 0.5, 4), (FIRST, 0.7, 4))[2] == (True, 0.7), "a program gives times"
