"""Image files as RGB arrays."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.address import is_address, redact_address
from e2pose.core.arguments import check_path
from e2pose.core.errors import InputError, SkippedImagesWarning
from e2pose.core.files import expand_home, reason_of
from e2pose.sources.encoded_image import COPY_AGAIN, EncodedImage

_SUFFIXES = "apng avif bmp dib j2k jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of files that are read as images; the first bytes of the file determine the format."""

MAX_PIXELS = 100_000_000
"""Default limit on the pixels of an image: 100 megapixels, which take 300 MB in memory."""


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """Reads an image file as upright RGB, as `decode_image` does.

    Raises:
        InputError: The file does not exist, is damaged, is too large or is not an image in a supported format.
    """
    path = check_path("the path of an image", path, error=InputError)
    if is_address(path):
        raise InputError(
            f"'{redact_address(path)}' is an address, not a file",
            "download it, or use e2pose.open_source(...)",
        )
    return decode_image(read_bytes(Path(path)), str(path), max_pixels)


def decode_image(
    data: bytes | bytearray | memoryview, name: str = "", max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes an image in any supported format as upright RGB.

    The orientation is applied, transparent pixels are blended on white and more than 8 bits are scaled to 8 bits. Of
    several pages or frames, the first one is returned and a `SkippedImagesWarning` is issued.

    Args:
        data: The content of an image file.
        name: Name of the image in error messages.
        max_pixels: Accepted number of pixels. It is compared with the header before any pixel is decoded.

    Raises:
        InputError: The image is damaged, has more than `max_pixels` pixels or is not in a supported format.

    Example:
        >>> image = decode_image(Path("street.jpg").read_bytes())
    """
    image = EncodedImage.open(bytes(data), name, max_pixels)
    if image.count > 1:
        warnings.warn(f"{image.what} holds {image.count} images; only the first is used", SkippedImagesWarning, 3)
    return image.first()


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Returns the (height, width) of `read_image(path)` from the header; the pixels are not decoded.

    Raises:
        InputError: The file does not exist or is not an image in a supported format.
    """
    return EncodedImage.open(read_bytes(Path(path)), str(path)).size_hw


def read_bytes(path: Path) -> bytes:
    """Reads an image file.

    Raises:
        InputError: The file does not exist, is empty or cannot be read.
    """
    try:
        data = expand_home(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no file '{path}'", "check the spelling of the path") from error
    except IsADirectoryError as error:
        raise InputError(f"'{path}' is a folder, not an image", "choose a file in it") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read '{path}': {reason_of(error)}", "check the path and its permissions") from error
    if not data:
        raise InputError(f"'{path}' is empty: it has 0 bytes", COPY_AGAIN)
    return data
