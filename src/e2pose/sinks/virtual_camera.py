"""A sink that other programs use as a camera."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Self

import numpy as np

from e2pose.core.errors import MissingExtraError, OutputError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import Draw
from e2pose.sinks.letterbox import letterbox

if TYPE_CHECKING:
    from pyvirtualcam import Camera

CAMERA_PREFIX = "camera:"


class VirtualCameraSink:
    """Sends the frames, with the poses drawn, to a virtual camera, for example for video calls.

    Frames are sent at their own times. Frames whose size differs from the first are letterboxed. `device` is the
    virtual camera, such as "/dev/video2"; empty for the first one.

    Raises:
        MissingExtraError: The extra "virtual-camera" is not installed.
    """

    def __init__(self, draw: Draw, device: str = "") -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise MissingExtraError("pyvirtualcam", "virtual-camera") from error
        self._library = pyvirtualcam
        self._draw = draw
        self._device = device or None
        self._camera: Camera | None = None
        self._start_s = 0.0

    def write(self, frame: Frame, poses: Poses) -> None:
        """Waits until the time of the frame, then sends it.

        Raises:
            OutputError: No virtual camera is available.
        """
        image = self._draw(frame, poses)
        if self._camera is None:
            self._camera = self._open(frame, (image.shape[0], image.shape[1]))
            self._start_s = monotonic() - frame.time_s
        sleep(max(0.0, self._start_s + frame.time_s - monotonic()))
        self._camera.send(np.ascontiguousarray(letterbox(image, (self._camera.height, self._camera.width))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the virtual camera."""
        if self._camera is not None:
            self._camera.close()

    def _open(self, frame: Frame, size_hw: tuple[int, int]) -> Camera:
        height, width = size_hw
        rate = float(frame.origin.rate or 25)
        try:
            return self._library.Camera(width=width, height=height, fps=rate, device=self._device)
        except RuntimeError as error:
            raise OutputError(
                f"no virtual camera is available: {error}",
                "on Linux load the module v4l2loopback; elsewhere install OBS Studio and start its virtual camera once",
            ) from error
