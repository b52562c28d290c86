"""The window: every image fits the screen, every key arrives once."""

import sys

import numpy as np
import pytest

from e2pose.core.errors import OutputError
from e2pose.live.window import Window
from helpers.fake_tk import FakeTk
from helpers.media import GREEN, RED, flat


@pytest.fixture
def toolkit(monkeypatch):
    module = FakeTk(screen_hw=(100, 100))
    monkeypatch.setitem(sys.modules, "tkinter", module)
    return module


def test_images_are_shown_unchanged(toolkit):
    noise = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    window = Window()
    for image in (noise, flat(GREEN, (9, 5)), noise.transpose(1, 0, 2)):
        window.show(image)
        np.testing.assert_array_equal(toolkit.shown[-1], image)
    window.close()
    assert toolkit.is_open is False


@pytest.mark.parametrize(
    ("size_hw", "fitted_hw"),
    [((48, 64), (48, 64)), ((90, 90), (90, 90)), ((300, 100), (90, 30)), ((10, 500), (2, 90)), ((1, 9000), (1, 90))],
)
def test_images_larger_than_the_screen_are_scaled_down(toolkit, size_hw, fitted_hw):
    fitted = Window().fit(flat(RED, size_hw))
    assert fitted.shape[:2] == fitted_hw
    assert tuple(fitted[0, fitted_hw[1] // 2]) == RED


def test_keys_arrive_once_and_in_order(toolkit):
    window = Window()
    toolkit.press("b", "space", "plus", "KP_Subtract", "F1", "Shift_L", "Escape", "close button")
    assert window.take_keys() == ["b", "space", "+", "-", "F1", "Shift_L", "Escape", "Escape"]
    assert window.take_keys() == []


def test_keys_pressed_while_an_image_is_shown_are_kept(toolkit):
    window = Window()
    toolkit.plan[1] = ["s"]
    window.show(flat(RED))
    assert window.take_keys() == ["s"]


def test_missing_screen_and_missing_tk_are_output_errors(toolkit, monkeypatch):
    def fail(**_):
        raise RuntimeError("no display name and no $DISPLAY environment variable")

    monkeypatch.setattr(toolkit, "Tk", fail)
    with pytest.raises(OutputError, match="cannot open a window on this machine: no display") as caught:
        Window()
    assert "-o" in caught.value.hint
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(OutputError, match="this Python has no Tk"):
        Window()
