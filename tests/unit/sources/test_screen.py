"""Screen capture, without a screen."""

import sys
import types

import numpy as np
import pytest

from e2pose.core.errors import InputError, MissingExtraError, OptionError
from e2pose.sources.open import open_source
from helpers.media import BLUE


class FakeScreens:
    """Replaces `mss.MSS`: two blue screens, whose first column has the value of `left`."""

    monitors = [  # noqa: RUF012
        {"left": 0, "top": 0, "width": 60, "height": 20},
        {"left": 0, "top": 0, "width": 40, "height": 20},
        {"left": 40, "top": 0, "width": 20, "height": 20},
    ]

    def grab(self, region):
        pixels = np.full((region["height"], region["width"], 4), [*BLUE[::-1], 0], np.uint8)
        pixels[:, 0, :3] = region["left"]
        return types.SimpleNamespace(bgra=pixels.tobytes(), height=region["height"], width=region["width"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def screens(monkeypatch):
    module = types.SimpleNamespace(MSS=FakeScreens, ScreenShotError=RuntimeError)
    monkeypatch.setitem(sys.modules, "mss", module)
    return module


@pytest.mark.parametrize(
    ("name", "size_hw", "left"),
    [("screen:", (20, 40), 0), ("screen:2", (20, 20), 40), ("screen:7,3,30,10", (10, 30), 7)],
)
def test_screen_or_region_is_captured(screens, name, size_hw, left):
    with open_source(name) as source:
        frames = iter(source)
        images = [next(frames).image for _ in range(3)]
        frames.close()
    assert [image.shape[:2] for image in images] == [size_hw] * 3
    assert tuple(images[0][5, 5]) == BLUE
    assert tuple(images[0][5, 0]) == (left,) * 3


@pytest.mark.parametrize("name", ["screen:0", "screen:3"])
def test_missing_screen_is_an_error(screens, name):
    with pytest.raises(InputError, match="there is no screen"):
        open_source(name)


@pytest.mark.parametrize("name", ["screen:left", "screen:1,2,3", "screen:1,2,0,4"])
def test_invalid_region_is_an_error(screens, name):
    with pytest.raises(OptionError, match="is not a screen or region"):
        open_source(name)


def test_machine_without_a_screen_is_an_error(screens):
    def refuse():
        raise RuntimeError("$DISPLAY not set")

    screens.MSS = refuse
    with pytest.raises(InputError, match="DISPLAY not set"):
        open_source("screen:")


def test_missing_screen_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(MissingExtraError) as caught:
        open_source("screen:")
    assert "e2pose[screen]" in caught.value.hint
