"""Cameras attached to this computer."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.sources.encoded_image import quiet_opencv


class CameraConnection:
    """A camera, numbered from 0, with its default resolution and frame rate.

    Raises:
        InputError: The camera does not exist or is in use.
    """

    def __init__(self, number: int) -> None:
        with quiet_opencv():
            self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise InputError(
                f"camera {number} cannot be opened",
                "connect it, close other programs that use it and check its permissions; the first camera is 0",
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # avoids a queue of old frames where drivers support it

    @property
    def rate(self) -> Fraction:
        """Frames per second as the driver reports them, otherwise 30."""
        reported = self._capture.get(cv2.CAP_PROP_FPS)
        return Fraction(reported).limit_denominator(1001) if 0 < reported < 1000 else Fraction(30)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Yields images; raises an `InputError` when the camera stops sending them."""
        while True:
            received, bgr = self._capture.read()
            if not received:
                raise InputError("the camera sends no more images", "check that it is connected")
            yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Releases the camera."""
        self._capture.release()
