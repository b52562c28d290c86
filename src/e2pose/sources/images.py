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
from e2pose.sources.heif_header import read_heif_header
from e2pose.sources.image_format import FLOAT_FORMATS, SIGNATURE_LENGTH, detect_format, exif_block, is_complete
from e2pose.sources.image_size import max_decoded_pixels, max_value, stored_size_hw
from e2pose.sources.orientation import Orientation, exif_orientation
from e2pose.sources.tiff_header import page_data, read_directories

_SUFFIXES = "avif bmp dib jfif jp2 jpe jpeg jpg pgm png ppm tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of files that are read as images; the first bytes of the file determine the format."""

_CONVERT = "convert it to an 8-bit JPEG or PNG"
_COPY_AGAIN = "copy or download the file again"


MAX_PIXELS = 100_000_000
"""Default limit on the pixels of an image: 100 megapixels, which take 300 MB in memory."""


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """Reads an image file as upright RGB, as `decode_image` does.

    Raises:
        InputError: The file does not exist, is damaged, is too large or is not an image in a supported format.
    """
    return decode_image(_read_bytes(Path(path)), str(path), max_pixels)


def decode_image(
    data: bytes | bytearray | memoryview, name: str = "", max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes an image in any supported format as upright RGB.

    The orientation is applied, transparent pixels are blended on white and more than 8 bits are scaled to 8 bits.

    Args:
        data: The content of an image file.
        name: Name of the image in error messages.
        max_pixels: Accepted number of pixels. It is compared with the header before any pixel is decoded.

    Raises:
        InputError: The image is damaged, has more than `max_pixels` pixels or is not in a supported format.

    Example:
        >>> image = decode_image(Path("street.jpg").read_bytes())
    """
    data = bytes(data)
    image_format = _check_format(data, name)
    what = _describe(image_format, name)
    if not is_complete(data, image_format):
        raise InputError(f"{what} is truncated or damaged: its end is missing after {len(data):,} bytes", _COPY_AGAIN)
    _check_size(data, image_format, what, max_pixels)
    if image_format == "TIFF":
        stored = _decode(page_data(data, read_directories(data)[0]), image_format, what)
    else:
        stored = _decode(data, image_format, what)
    return orientation_of(data, image_format).apply(_to_rgb(stored, what, max_value(data, image_format)))


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Returns the (height, width) of `read_image(path)` from the header; the pixels are not decoded.

    Raises:
        InputError: The file does not exist or is not an image in a supported format.
    """
    data = _read_bytes(Path(path))
    image_format = _check_format(data, str(path))
    height, width = _check_size(data, image_format, _describe(image_format, str(path)))
    return (width, height) if orientation_of(data, image_format).transposed else (height, width)


def orientation_of(data: bytes, image_format: str) -> Orientation:
    """Returns the orientation that an encoded image states, by the rules of its format."""
    if image_format in ("AVIF", "HEIC"):  # whose EXIF orientation is ignored
        return read_heif_header(data).orientation
    return exif_orientation(exif_block(data, image_format))


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


def _check_format(data: bytes, name: str) -> str:
    image_format = detect_format(data[:SIGNATURE_LENGTH])
    what = f"'{name}'" if name else "the data"
    if image_format is None:
        raise InputError(
            f"{what} is not an image in a supported format",
            "supported formats are JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000, AVIF and PNM",
        )
    if image_format == "HEIC":
        raise InputError(
            f"{_describe(image_format, name)} cannot be read: HEIC is not supported",
            "convert it to JPEG, for example with: heif-convert photo.heic photo.jpg",
        )
    if image_format in FLOAT_FORMATS:
        raise InputError(
            f"{_describe(image_format, name)} has floating-point values; supported are 8 or 16 bits",
            "map its values to 8 bits",
        )
    return image_format


def _check_size(data: bytes, image_format: str, what: str, max_pixels: int | None = None) -> tuple[int, int]:
    """Returns (height, width) before rotation, from the header."""
    size_hw = stored_size_hw(data, image_format)
    if size_hw is None:
        raise InputError(f"{what} is truncated or damaged: its header is incomplete", _COPY_AGAIN)
    height, width = size_hw
    if min(size_hw) < 1:  # on which the PNG decoder prints to the terminal
        raise InputError(f"{what} has a width or height of 0", "export the image again")
    if max_pixels is not None and (pixels := max_decoded_pixels(data, image_format)) > max_pixels:
        raise InputError(
            f"{what} has {width:,} x {height:,} pixels and needs memory for {pixels:,}; accepted are {max_pixels:,}",
            "scale the image down before, or raise 'max_pixels' of e2pose.sources.images.decode_image",
        )
    return size_hw


def _describe(image_format: str, name: str) -> str:
    return f"the {image_format} image '{name}'" if name else f"the {image_format} image"


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


def _to_rgb(stored: np.ndarray[Any, np.dtype[Any]], name: str, white: int | None) -> UInt8[np.ndarray, "h w 3"]:
    if stored.dtype in (np.uint8, np.uint16) and (white := white or np.iinfo(stored.dtype).max) != 255:
        stored = cv2.convertScaleAbs(stored, alpha=255 / white)
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
