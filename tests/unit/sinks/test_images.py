"""ImageFileSink: one image with its poses drawn."""

import cv2
import numpy as np
import pytest

from e2pose.core.errors import OutputError
from e2pose.sinks.images import ImageFileSink
from helpers.media import (
    BLUE,
    HALVES,
    RED,
    assert_colour,
    draw_negative,
    draw_nothing,
    files_in,
    flat,
    still_frame,
    write_frames,
)


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png", ".webp", ".bmp", ".tif"])
def test_image_is_written_as_drawn(tmp_path, suffix):
    path = tmp_path / "näw folder" / f"ünï çödé{suffix}"
    write_frames(ImageFileSink(path, draw_negative), [still_frame("a.png")])
    written = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert written.shape == HALVES.shape
    assert_colour(written[24, 8], 255 - np.array(RED))
    assert_colour(written[24, 56], 255 - np.array(BLUE))


def test_second_image_is_rejected_and_the_first_is_kept(tmp_path):
    with pytest.raises(OutputError, match=r"holds one image, but 'b\.png' has another one") as caught:
        write_frames(ImageFileSink(tmp_path / "out.png", draw_nothing), [still_frame("a.png"), still_frame("b.png")])
    assert f"{tmp_path / 'out'}/" in caught.value.hint
    assert files_in(tmp_path) == ["out.png"]


def test_image_too_wide_for_its_format_is_an_error(tmp_path):
    with pytest.raises(OutputError, match=r"20000 x 2 pixels cannot be written as 'a\.webp'"):
        write_frames(ImageFileSink(tmp_path / "a.webp", draw_nothing), [still_frame("a.png", flat(RED, (2, 20_000)))])
    assert files_in(tmp_path) == []
