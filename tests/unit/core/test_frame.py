"""Frames, and the validation of arrays that users pass in."""

from fractions import Fraction

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.core.frame import IN_MEMORY, Frame, Origin, check_image

IMAGE = np.zeros((4, 6, 3), np.uint8)


def test_defaults_describe_an_image_in_memory():
    frame = Frame(IMAGE)
    assert frame.size_hw == (4, 6)
    assert (frame.origin, frame.index, frame.time_s) == (IN_MEMORY, 0, 0.0)
    assert frame.origin.is_still
    assert not Origin("a.mp4", rate=Fraction(30000, 1001)).is_still


def test_valid_image_is_returned_unchanged():
    assert check_image(IMAGE) is IMAGE
    view = IMAGE[::-1, ::2]
    assert check_image(view) is view


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("image", "message", "hint"),
    [
        ([[1]], "must be a NumPy array, not \\[\\[1\\]\\]", "np.asarray"),
        (None, "must be a NumPy array, not None", "np.asarray"),
        (np.zeros((4, 6), np.uint8), r"shape \(H, W, 3\), not \(4, 6\)", "np.stack"),
        (np.zeros((4, 6, 4), np.uint8), r"not \(4, 6, 4\)", "image\\[:, :, :3\\]"),
        (np.zeros((1, 4, 6, 3), np.uint8), r"not \(1, 4, 6, 3\)", "grey"),
        (np.zeros((4, 6, 3), np.float32), "must be uint8 with values from 0 to 255, not float32", "astype"),
        (np.zeros((4, 6, 3), np.uint16), "not uint16", "0..255"),
        (np.zeros((0, 6, 3), np.uint8), r"at least one pixel, but its shape is \(0, 6, 3\)", "cropped"),
    ],
)
def test_invalid_image_is_rejected_with_a_hint(image, message, hint):
    with pytest.raises(OptionError, match=message) as caught:
        check_image(image)
    assert hint.replace("\\", "") in caught.value.hint
