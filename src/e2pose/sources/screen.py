"""What the screen shows."""

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

PREFIX = "screen:"
_RATE = Fraction(30)
_REGION = re.compile(r"(-?\d+),(-?\d+),(\d+),(\d+)")


class ScreenConnection:
    """A screen or a part of it, 30 times a second.

    Args:
        what: Nothing for the first screen, a number from 1 for one of several, or "left,top,width,height" in pixels.

    Raises:
        MissingExtraError: The extra "screen" is not installed.
        OptionError: The text is none of these.
        InputError: There is no such screen, or no screen at all.
    """

    rate = _RATE

    def __init__(self, what: str = "") -> None:
        with _grabber() as grabber:
            self._region = _region(what, grabber.monitors)
            _grab(grabber, self._region)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The pictures.

        Raises:
            InputError: The screen is gone.
        """
        due = monotonic()
        with _grabber() as grabber:  # which belongs to the thread that uses it
            while True:
                yield _grab(grabber, self._region)
                due = max(due + float(1 / _RATE), monotonic())
                sleep(max(0.0, due - monotonic()))

    def close(self) -> None:
        """Does nothing: the screen is let go when the pictures end."""


def _grabber() -> MSS:
    try:
        from mss import MSS, ScreenShotError
    except ImportError as error:
        raise MissingExtraError("mss", "screen") from error
    try:
        return MSS()
    except ScreenShotError as error:
        raise InputError(f"no screen can be read: {error}", "run it in a desktop session") from error


def _grab(grabber: MSS, region: dict[str, int]) -> UInt8[np.ndarray, "h w 3"]:
    from mss import ScreenShotError

    try:
        shot = grabber.grab(region)
    except ScreenShotError as error:
        raise InputError(f"the screen cannot be read: {error}", "choose a region within the screen") from error
    return cv2.cvtColor(np.frombuffer(shot.bgra, np.uint8).reshape(shot.height, shot.width, 4), cv2.COLOR_BGRA2RGB)


def _region(what: str, monitors: list[dict[str, int]]) -> dict[str, int]:
    """The region that a text means; the first of the monitors is all of them together."""
    if found := _REGION.fullmatch(what):
        left, top, width, height = (int(number) for number in found.groups())
        if width and height:
            return {"left": left, "top": top, "width": width, "height": height}
    elif what == "" or what.isdecimal():
        number = int(what or 1)
        if 1 <= number < len(monitors):
            return monitors[number]
        raise InputError(f"there is no screen {number}", f"there are {len(monitors) - 1}, counted from 1")
    raise OptionError(
        f"'{PREFIX}{what}' is no part of a screen", f"say '{PREFIX}', '{PREFIX}2' or '{PREFIX}left,top,width,height'"
    )
