"""A sink that writes one picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import Draw, is_kept

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
"""The suffixes of the picture formats that can be written."""


class ImageFileSink:
    """Writes one picture with its poses drawn; the suffix chooses the format.

    Args:
        path: The file to write.
        draw: Makes the picture.

    Raises:
        OutputError: The suffix is not that of a picture.
    """

    def __init__(self, path: str | Path, draw: Draw) -> None:
        self._path = Path(path)
        self._draw = draw
        self._encoded: bytes | None = None
        if self._path.suffix.lower() not in IMAGE_SUFFIXES:
            raise OutputError(
                f"'{path}' does not end like a picture that can be written",
                f"use one of {', '.join(sorted(IMAGE_SUFFIXES))}",
            )

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draws the picture.

        Raises:
            OutputError: It is the second one, it would replace the input, or the format cannot hold it.
        """
        if self._encoded is not None:
            raise OutputError(
                f"'{self._path}' can hold one picture, but '{frame.origin.name}' brings another one",
                f"give a folder to write several: '{self._path.with_suffix('')}/'",
            )
        check_not_an_input(self._path, [frame.origin.path] if frame.origin.path else [])
        self._encoded = encode_image(self._draw(frame, poses), self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes the file, unless there is no picture or none that is kept."""
        if is_kept(error) and self._encoded is not None:
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(self._encoded)


def check_not_an_input(target: Path, inputs: Iterable[Path]) -> None:
    """Checks that an output is none of the inputs, however the two are spelt; on some systems case does not matter.

    Raises:
        OutputError: It is.
    """
    if any(target.exists() and path.exists() and target.samefile(path) for path in inputs):
        raise OutputError(f"'{target}' is an input and will not be overwritten", "choose another name or folder")


def encode_image(image: UInt8[np.ndarray, "h w 3"], path: Path) -> bytes:
    """The bytes of a picture in the format that the suffix of its path names.

    Raises:
        OutputError: The format cannot hold it.
    """
    suffix = path.suffix.lower()
    height, width = image.shape[:2]
    try:
        encoded, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _ENCODER_OPTIONS[suffix])
    except cv2.error:
        encoded = False
    if not encoded:
        raise OutputError(
            f"a picture of {width} x {height} pixels cannot be written as '{path.name}'",
            "WebP holds up to 16383 pixels a side and JPEG 65500; PNG holds more",
        )
    return data.tobytes()
