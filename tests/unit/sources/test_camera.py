"""Cameras, without a camera."""

import cv2
import pytest

from e2pose.sources.open import open_source
from helpers.media import BLUE, NTSC, flat


class FakeCapture:
    """Replaces `cv2.VideoCapture`; the camera is available unless the index of the attempt is in `failures`."""

    opened: list["FakeCapture"]
    failures = (1,)

    def __init__(self, number):
        self.number, self.remaining, self.is_released = number, 3, False
        self.is_available = len(self.opened) not in self.failures
        self.opened.append(self)

    def isOpened(self):
        return self.is_available

    def set(self, *_):
        return True

    def get(self, _):
        return 29.97002997

    def read(self):
        self.remaining -= 1
        return self.remaining >= 0, flat(BLUE)[..., ::-1]

    def release(self):
        self.is_released = True


@pytest.fixture
def captures(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    FakeCapture.opened = []
    return FakeCapture.opened


@pytest.mark.parametrize("name", ["2", "/dev/video2"])
def test_camera_is_selected_by_its_number(captures, name):
    with open_source(name) as source:
        assert source.info.is_live
        frame = next(iter(source))
    assert captures[0].number == 2
    assert tuple(frame.image[8, 8]) == BLUE
    assert frame.origin.rate == NTSC


def test_disconnected_camera_is_opened_again(captures):
    notices = []
    with open_source("2", on_notice=notices.append) as source:
        frames = iter(source)
        indices = [next(frames).index for _ in range(4)]
        frames.close()
    assert indices == [0, 1, 2, 3]
    assert "the camera sends no more images" in notices[0]
    assert [capture.number for capture in captures] == [2, 2, 2]
    assert captures[0].is_released
    assert captures[2].is_released
