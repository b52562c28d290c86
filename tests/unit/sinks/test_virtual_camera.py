"""VirtualCameraSink, without a driver; and the guarantee that sinks only show what was drawn."""

import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from e2pose.core.errors import MissingExtraError, OutputError
from e2pose.sinks import virtual_camera
from e2pose.sinks.open import open_sink
from helpers.media import (
    GREEN,
    RED,
    decode_video,
    draw_nothing,
    flat,
    some_persons,
    still_frame,
    video_frame,
    write_frames,
)


class FakeDriver(types.ModuleType):
    """Replaces the module pyvirtualcam and its camera."""

    def __init__(self):
        super().__init__("pyvirtualcam")
        self.sent = []

    def Camera(self, width, height, fps, device):
        if device == "/dev/none":
            raise RuntimeError("device not found")
        self.width, self.height, self.fps, self.device, self.is_closed = width, height, fps, device, False
        return self

    def send(self, image):
        self.sent.append(image)

    def close(self):
        self.is_closed = True


@pytest.fixture
def driver(monkeypatch):
    module = FakeDriver()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    return module


@pytest.mark.parametrize(("target", "device"), [("camera:", None), ("camera:/dev/video2", "/dev/video2")])
def test_frames_are_sent_to_the_device(driver, target, device):
    frames = [video_frame(0, flat(RED, (48, 64))), video_frame(1, flat(GREEN, (96, 128)))]
    write_frames(open_sink(target, draw=draw_nothing), frames)
    assert (driver.width, driver.height, driver.fps, driver.device) == (64, 48, 25.0, device)
    assert [image.shape for image in driver.sent] == [(48, 64, 3)] * 2
    assert [tuple(image[20, 20]) for image in driver.sent] == [RED, GREEN]
    assert driver.is_closed


def test_frames_are_sent_at_their_own_times(driver, monkeypatch):
    clock_s, sent_s = [100.0], []
    monkeypatch.setattr(virtual_camera, "monotonic", lambda: clock_s[0])
    monkeypatch.setattr(virtual_camera, "sleep", lambda seconds: clock_s.append(clock_s.pop() + seconds))
    driver.send = lambda image: sent_s.append(clock_s[0])
    frames = [video_frame(index, time_s=time_s) for index, time_s in enumerate([5.0, 5.25, 7.0])]
    write_frames(open_sink("camera:", draw=draw_nothing), frames)
    assert sent_s == pytest.approx([100.0, 100.25, 102.0])


def test_missing_device_is_an_error(driver):
    with pytest.raises(OutputError, match="device not found") as caught:
        write_frames(open_sink("camera:/dev/none", draw=draw_nothing), [video_frame(0)])
    assert "v4l2loopback" in caught.value.hint


def test_missing_virtual_camera_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MissingExtraError) as caught:
        open_sink("camera:", draw=draw_nothing)
    assert "e2pose[virtual-camera]" in caught.value.hint


CHECKERS = np.kron(np.indices((12, 16)).sum(axis=0) % 2, np.ones((4, 4)))[..., None].repeat(3, axis=2)
TARGETS = ["a.mp4", "a.mov", "a.mkv", "a.png", "a.jpg", "a.webp", "a.bmp", "a.tif", "%d.png", "folder/", "camera:"]


@pytest.mark.parametrize("target", TARGETS)
def test_sinks_only_show_what_was_drawn(tmp_path, target, driver):
    """The frames are checkered and the drawing is grey, so everything that a sink shows is grey."""

    def draw_grey(frame, poses):
        return np.full_like(frame.image, 128)

    image = (255 * CHECKERS).astype(np.uint8)
    sink = open_sink(target if target == "camera:" else f"{tmp_path}/{target}", draw=draw_grey)
    if target in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tif"):
        frames = [still_frame("in.png", image)]
    else:
        frames = [video_frame(index, image) for index in range(5)]
    write_frames(sink, frames, some_persons(2))
    shown = driver.sent + [image for path in tmp_path.rglob("*.*") for image in decode(path)]
    assert len(shown) == len(frames)
    assert all(np.abs(image.astype(int) - 128).max() <= 3 for image in shown)


def decode(path: Path) -> list[np.ndarray]:
    if path.suffix in (".mp4", ".mov", ".mkv"):
        return decode_video(path)[0]
    return [cv2.imread(str(path))]
