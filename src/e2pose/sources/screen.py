"""Screen capture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from time import monotonic, sleep
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from mss import MSS

SCREEN_PREFIX = "screen:"
_REGION = re.compile(r"(-?\d+),(-?\d+),(\d+),(\d+)")


class ScreenConnection:
    """A screen or a region of it, captured 30 times per second.

    `area` is empty for the first screen, the number of a screen from 1, or "left,top,width,height" in pixels.

    Raises:
        MissingExtraError: The extra "screen" is not installed.
        OptionError: `area` has none of these forms.
        InputError: The screen does not exist, or there is no desktop session.
    """

    rate = Fraction(30)

    def __init__(self, area: str = "") -> None:
        with _open_grabber() as grabber:
            self._region = _parse_region(area, grabber.monitors)
            _grab(grabber, self._region)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Yields images; raises an `InputError` when the screen is no longer available."""
        due = monotonic()
        with _open_grabber() as grabber:  # a grabber belongs to the thread that uses it
            while True:
                yield _grab(grabber, self._region)
                due = max(due + float(1 / self.rate), monotonic())
                sleep(max(0.0, due - monotonic()))

    def close(self) -> None:
        """Does nothing: the iterator releases the screen."""


def _open_grabber() -> MSS:
    try:
        from mss import MSS, ScreenShotError
    except ImportError as error:
        raise MissingExtraError("mss", "screen") from error
    try:
        return MSS()
    except ScreenShotError as error:
        raise InputError(f"no screen can be captured: {error}", "run e2pose in a desktop session") from error


def _grab(grabber: MSS, region: dict[str, int]) -> UInt8[np.ndarray, "h w 3"]:
    from mss import ScreenShotError

    try:
        shot = grabber.grab(region)
    except ScreenShotError as error:
        raise InputError(f"the screen cannot be captured: {error}", "choose a region inside the screen") from error
    return cv2.cvtColor(np.frombuffer(shot.bgra, np.uint8).reshape(shot.height, shot.width, 4), cv2.COLOR_BGRA2RGB)


def _parse_region(area: str, monitors: list[dict[str, int]]) -> dict[str, int]:
    """Returns the region that `area` names; `monitors[0]` covers all screens."""
    if match := _REGION.fullmatch(area):
        left, top, width, height = (int(number) for number in match.groups())
        if width and height:
            return {"left": left, "top": top, "width": width, "height": height}
    elif area == "" or area.isdecimal():
        number = int(area or 1)
        if 1 <= number < len(monitors):
            return monitors[number]
        raise InputError(
            f"there is no screen {number}",
            f"use a number from 1 to {len(monitors) - 1}, or '{SCREEN_PREFIX}' for the first",
        )
    raise OptionError(
        f"'{SCREEN_PREFIX}{area}' is not a screen or region",
        f"use '{SCREEN_PREFIX}', '{SCREEN_PREFIX}2' or '{SCREEN_PREFIX}left,top,width,height'",
    )
