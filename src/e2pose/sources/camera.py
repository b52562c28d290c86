"""Cameras of this computer."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.sources.images import quiet_opencv

_USUAL_RATE = Fraction(30)


class CameraConnection:
    """One camera, with the size and rate that it has by itself.

    Args:
        number: Which one, from 0.

    Raises:
        InputError: It is not there, or somebody else uses it.
    """

    def __init__(self, number: int) -> None:
        with quiet_opencv():
            self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise InputError(
                f"camera {number} cannot be opened",
                "check that it is plugged in, that no other program uses it, and that you may; the first one is 0",
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # where this is understood no frame grows old in a queue

    @property
    def rate(self) -> Fraction:
        """What the camera says, or 30."""
        stated = self._capture.get(cv2.CAP_PROP_FPS)
        return Fraction(stated).limit_denominator(1001) if 0 < stated < 1000 else _USUAL_RATE

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The pictures.

        Raises:
            InputError: No more come.
        """
        while True:
            arrived, bgr = self._capture.read()
            if not arrived:
                raise InputError("it gives no pictures any more", "check that it is plugged in")
            yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Lets others use the camera."""
        self._capture.release()
