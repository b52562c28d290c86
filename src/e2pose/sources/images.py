"""Image files as RGB arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.sources.base import reason_of
from e2pose.sources.image_format import detect_format, exif_block, is_complete, stored_size_hw
from e2pose.sources.orientation import exif_orientation

_SUFFIXES = "avif bmp dib jfif jp2 jpe jpeg jpg pgm png ppm tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of files that are read as images; the first bytes of the file determine the format."""

_CONVERT = "convert it to an 8-bit JPEG or PNG"
_COPY_AGAIN = "copy or download the file again"


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Reads an image file as upright RGB.

    EXIF orientation is applied, transparent pixels are blended on white and 16-bit values are scaled to 8 bits.

    Raises:
        InputError: The file does not exist, is damaged or is not an image in a supported format.
    """
    data = _read_bytes(Path(path))
    image_format = detect_format(data)
    if image_format is None:
        raise InputError(
            f"'{path}' is not an image in a supported format",
            "supported formats are JPEG, PNG, WebP, BMP, TIFF, JPEG 2000, AVIF and PNM",
        )
    name = f"the {image_format} image '{path}'"
    if not is_complete(data, image_format):
        raise InputError(f"{name} is truncated or damaged: its end is missing after {len(data):,} bytes", _COPY_AGAIN)
    if 0 in (stored_size_hw(data, image_format) or ()):  # on which the PNG decoder prints to the terminal
        raise InputError(f"{name} has a width or height of 0", "export the image again")
    stored = _decode(data, image_format, name)
    return exif_orientation(exif_block(data, image_format)).apply(_to_rgb(stored, name))


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Returns the (height, width) of `read_image(path)`; the pixels of a JPEG or PNG are not decoded.

    Raises:
        InputError: The file does not exist or is not an image in a supported format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError:
        data = b""  # `read_image` reports the reason
    image_format = detect_format(data)
    size_hw = stored_size_hw(data, image_format) if image_format else None
    if image_format is None or not size_hw or min(size_hw) < 1:
        height, width = read_image(path).shape[:2]
        return height, width
    return size_hw[::-1] if exif_orientation(exif_block(data, image_format)).transposed else size_hw


def blend_on_white(rgba: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Returns an RGBA image blended on white, rounded to the nearest value."""
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colour)
    opacity = alpha.astype(np.uint16)  # 255 * 255 + 127 fits into 16 bits
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Suppresses OpenCV's own log messages, because an `InputError` reports the problem."""
    log = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2  # OpenCV 4 or 5
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no file '{path}'", "check the spelling of the path") from error
    except IsADirectoryError as error:
        raise InputError(f"'{path}' is a folder, not an image", "choose a file in it") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read '{path}': {reason_of(error)}", "check the path and its permissions") from error
    if not data:
        raise InputError(f"'{path}' is empty: it has 0 bytes", _COPY_AGAIN)
    return data


def _decode(data: bytes, image_format: str, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Decodes the stored pixels, with any bit depth, with alpha and not rotated.

    The fourth channel of a BMP is usually padding rather than alpha, so it is discarded.
    """
    flags = cv2.IMREAD_COLOR if image_format == "BMP" else cv2.IMREAD_UNCHANGED
    try:
        with quiet_opencv():
            stored = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f"{name} cannot be decoded: {error.err}", _CONVERT) from error
    if stored is None or stored.size == 0:
        raise InputError(f"{name} cannot be decoded: it is damaged or uses an unsupported variant", _CONVERT)
    return stored


def _to_rgb(stored: np.ndarray[Any, np.dtype[Any]], name: str) -> UInt8[np.ndarray, "h w 3"]:
    if stored.dtype == np.uint16:
        stored = cv2.convertScaleAbs(stored, alpha=1 / 257)  # 65535 = 257 * 255
    channels = 1 if stored.ndim == 2 else stored.shape[2]
    if stored.dtype != np.uint8 or channels not in (1, 3, 4):
        raise InputError(
            f"{name} has {channels} channels of {stored.dtype} values; supported are grey, RGB and RGBA with 8 or "
            "16 bits",
            "map its values to 8 bits" if stored.dtype.kind == "f" else _CONVERT,
        )
    if channels == 1:
        return cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
    if channels == 3:
        return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    return blend_on_white(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA))
