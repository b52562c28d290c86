"""Still pictures as frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.sources.base import SourceInfo
from e2pose.sources.containers import exif_block, has_no_pixels, is_complete, picture_format, stored_size
from e2pose.sources.orientation import exif_orientation
from e2pose.sources.pixels import on_white

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".jp2",
        ".pgm",
        ".ppm",
        ".avif",
    }
)
"""File names that end like this are taken for pictures; what they really are is told by their first bytes."""

_RESAVE = "save it as 8-bit JPEG or PNG first"


class ImageSource:
    """One still picture as one frame.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.origin = Origin(name=str(path), path=Path(path), frame_count=1)

    @property
    def info(self) -> SourceInfo:
        """One frame."""
        assert self.origin.path is not None
        return SourceInfo(frame_count=1, paths=(self.origin.path,))

    def __iter__(self) -> Iterator[Frame]:
        """Reads the picture.

        Raises:
            InputError: It cannot be read.
        """
        yield Frame(read_image(self.origin.name), self.origin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing: the file is only open while it is read."""


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Reads a picture as RGB, upright, on white where it is transparent, with 16 bits scaled to 8.

    Raises:
        InputError: There is no such file, or it is not a complete picture of a kind that can be read.
    """
    data = _read_bytes(Path(path))
    kind = picture_format(data)
    if kind is None:
        raise InputError(
            f"'{path}' is not a picture: its first bytes are those of no known format",
            "accepted are JPEG, PNG, WebP, BMP, TIFF, JPEG 2000, AVIF and PNM",
        )
    if not is_complete(data, kind):
        raise InputError(
            f"the {kind} picture '{path}' is truncated or damaged: {len(data):,} bytes do not reach its end",
            "copy or download it again",
        )
    if has_no_pixels(data, kind):
        raise InputError(f"the {kind} picture '{path}' has a width or height of 0", "make it again")
    stored = _decode(data, kind, path)
    return exif_orientation(exif_block(data, kind)).apply(_to_rgb(stored, kind, path))


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Returns the (height, width) of `read_image(path)`; the pixels of a JPEG or PNG are not decoded.

    Raises:
        InputError: The file does not exist or is not an image in a supported format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError:
        data = b""  # `read_image` reports the reason
    kind = picture_format(data)
    size_hw = stored_size(data, kind) if kind else None
    if kind is None or not size_hw or min(size_hw) < 1:
        height, width = read_image(path).shape[:2]
        return height, width
    return size_hw[::-1] if exif_orientation(exif_block(data, kind)).transposed else size_hw


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no file '{path}'", "check the spelling of the path") from error
    except IsADirectoryError as error:
        raise InputError(f"'{path}' is a folder, not a picture", "name a file in it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read '{path}': {reason}", "check the path and the file's permissions") from error
    if not data:
        raise InputError(f"'{path}' is empty: it has 0 bytes", "copy or download it again")
    return data


def _decode(data: bytes, kind: str, path: str | Path) -> np.ndarray[Any, np.dtype[Any]]:
    """Decodes as stored: any depth, alpha kept, not turned.

    The fourth channel of a BMP is padding more often than alpha, so it is left out.
    """
    flags = cv2.IMREAD_COLOR if kind == "BMP" else cv2.IMREAD_UNCHANGED
    try:
        with quiet_opencv():
            stored = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f"the {kind} picture '{path}' cannot be decoded: {error.err}", _RESAVE) from error
    if stored is None or stored.size == 0:
        raise InputError(f"the {kind} picture '{path}' cannot be decoded: it is damaged or of a rare variety", _RESAVE)
    return stored


def _to_rgb(stored: np.ndarray[Any, np.dtype[Any]], kind: str, path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    if stored.dtype == np.uint16:
        stored = cv2.convertScaleAbs(stored, alpha=1 / 257)  # 65535 = 257 * 255
    channels = 1 if stored.ndim == 2 else stored.shape[2]
    if stored.dtype != np.uint8 or channels not in (1, 3, 4):
        raise InputError(
            f"the {kind} picture '{path}' has {channels} channels of {stored.dtype} values, "
            "but only grey, RGB and RGBA of 8 or 16 bits can be read",
            "map its values to 8 bits first" if stored.dtype.kind == "f" else _RESAVE,
        )
    if channels == 1:
        return cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
    if channels == 3:
        return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    return on_white(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA))


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keeps OpenCV's own log off the terminal: what it says about a bad file ends up in the error."""
    log = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2  # it moved between versions 4 and 5
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)
