"""A sink that writes one image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import Draw, keeps_output

_ENCODER_OPTIONS = {
    ".jpg": (cv2.IMWRITE_JPEG_QUALITY, 95),
    ".jpeg": (cv2.IMWRITE_JPEG_QUALITY, 95),
    ".png": (),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 90),
    ".bmp": (),
    ".tif": (),
    ".tiff": (),
}
IMAGE_SUFFIXES = frozenset(_ENCODER_OPTIONS)
"""Suffixes of the image formats that can be written."""

_MAX_SIDES = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}


class ImageFileSink:
    """Writes one image with its poses drawn, in the format of the suffix, one of `IMAGE_SUFFIXES`."""

    def __init__(self, path: str | Path, draw: Draw) -> None:
        self._path = Path(path)
        self._draw = draw
        self._encoded: bytes | None = None

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draws and encodes the image.

        Raises:
            OutputError: The sink already has an image, the file is the input, or the format cannot hold the image.
        """
        if self._encoded is not None:
            raise OutputError(
                f"'{self._path}' holds one image, but '{frame.origin.name}' has another one",
                f"use a folder for several images: '{self._path.with_suffix('')}/'",
            )
        check_not_an_input(self._path, [frame.origin.path] if frame.origin.path else [])
        self._encoded = encode_image(self._draw(frame, poses), self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Writes the file, unless there is no image or `keeps_output` discards it."""
        if keeps_output(error) and self._encoded is not None:
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(self._encoded)


def check_not_an_input(target: Path, inputs: Iterable[Path]) -> None:
    """Checks that an output file is not one of the inputs, under whatever path (links, letter case).

    Raises:
        OutputError: The output is an input.
    """
    if any(target.exists() and path.exists() and target.samefile(path) for path in inputs):
        raise OutputError(f"'{target}' is an input and will not be overwritten", "choose another name or folder")


def encode_image(image: UInt8[np.ndarray, "h w 3"], path: Path) -> bytes:
    """Encodes an RGB image in the format of the path's suffix.

    Raises:
        OutputError: The format cannot hold the image.
    """
    suffix = path.suffix.lower()
    height, width = image.shape[:2]
    encoded = False
    if max(height, width) <= _MAX_SIDES.get(suffix, max(height, width)):  # OpenCV would print its own messages
        try:
            encoded, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _ENCODER_OPTIONS[suffix])
        except cv2.error:
            encoded = False
    if not encoded:
        raise OutputError(
            f"an image of {width} x {height} pixels cannot be written as '{path.name}'",
            "WebP holds at most 16383 pixels per side and JPEG 65500; use PNG for larger images",
        )
    return data.tobytes()
