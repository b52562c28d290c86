"""Sizes of encoded images from their headers, before any pixel is decoded.

Source: ITU-T T.800 annex A.5.1 (JPEG 2000), RFC 9649 (WebP), GIF89a section 18, the BITMAPINFOHEADER structure of
Windows (BMP), https://netpbm.sourceforge.net/doc/pnm.html; JPEG and PNG: `image_format.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import Literal

from e2pose.sources.heif_header import find_box, read_heif_header
from e2pose.sources.image_format import jpeg_size_hw
from e2pose.sources.tiff_header import read_directories

_Size = tuple[int, int] | None

_CODESTREAM = b"\xff\x4f\xff\x51"
_PNM_GAP = rb"(?:\s|#[^\n]*\n)+"
_PNM_HEADER = re.compile(rb"P[1-6]" + (_PNM_GAP + rb"(\d{1,9})") * 2 + rb"(?:" + _PNM_GAP + rb"(\d{1,5})\s)?")


def stored_size_hw(data: bytes, image_format: str) -> tuple[int, int] | None:
    """Returns (height, width) in pixels from the header, before rotation; None if the header is damaged."""
    return _SIZES[image_format](data)


def max_decoded_pixels(data: bytes, image_format: str) -> int:
    """Returns the number of pixels of the largest image that a decoder may allocate, at least those of the image.

    The pages and tiles of a TIFF, and the images and tracks of an AVIF, have sizes of their own.
    """
    sizes = [stored_size_hw(data, image_format) or (0, 0)]
    if image_format == "TIFF":
        sizes += [size for page in read_directories(data) for size in (page.size_hw, page.tile_hw)]
    largest = max(map(prod, sizes))
    return max(largest, read_heif_header(data).max_pixels) if image_format in ("AVIF", "HEIC") else largest


def max_value(data: bytes, image_format: str) -> int | None:
    """Returns the value of white as OpenCV decodes the image; None for the largest value of the data type."""
    if image_format == "AVIF":
        return (1 << read_heif_header(data).bits) - 1
    if image_format == "JPEG 2000":
        return (1 << (_codestream(data)[42] & 0x7F) + 1) - 1
    if image_format == "PNM" and (header := _PNM_HEADER.match(data)) and header[3]:
        is_text = data[1:2] in b"123"  # of which OpenCV scales smaller values
        return max(int(header[3]), 255) if is_text else max(int(header[3]), 1)
    return None


def _png(data: bytes) -> _Size:
    return _pair(data, 16, 4, "big")


def _gif(data: bytes) -> _Size:
    return _pair(data, 6, 2, "little")


def _bmp(data: bytes) -> _Size:
    if data[14:18] == b"\x0c\0\0\0":  # the header of OS/2
        return _pair(data, 18, 2, "little")
    if len(data) < 26:
        return None
    width, height = (int.from_bytes(data[start : start + 4], "little", signed=True) for start in (18, 22))
    return abs(height), width  # the height is negative if the first row is at the top


def _webp(data: bytes) -> _Size:
    kind = data[12:16]
    if kind == b"VP8 ":
        size = _pair(data, 26, 2, "little")
        return size and (size[0] & 0x3FFF, size[1] & 0x3FFF)  # the upper two bits are a scale
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    size = _pair(data, 24, 3, "little") if kind == b"VP8X" else None
    return size and (size[0] + 1, size[1] + 1)


def _tiff(data: bytes) -> _Size:
    directories = read_directories(data)
    return directories[0].size_hw if directories else None


def _jpeg_2000(data: bytes) -> _Size:
    stream = _codestream(data)
    size, offset = _pair(stream, 8, 4, "big"), _pair(stream, 16, 4, "big")
    return (size[0] - offset[0], size[1] - offset[1]) if size and offset and len(stream) > 42 else None


def _codestream(data: bytes) -> bytes:
    """Returns the first bytes of a JPEG 2000 codestream, which hold the size; empty if it is missing."""
    stream = data[:64] if data.startswith(_CODESTREAM) else bytes(find_box(data, b"jp2c")[:64])
    return stream if stream.startswith(_CODESTREAM) else b""


def _pnm(data: bytes) -> _Size:
    header = _PNM_HEADER.match(data[:4096])
    return header and (int(header[2]), int(header[1]))


def _heif(data: bytes) -> _Size:
    return read_heif_header(data).size_hw


def _pair(data: bytes, start: int, length: int, order: Literal["little", "big"]) -> _Size:
    """Returns (height, width) from two numbers of `length` bytes each, width first."""
    if len(data) < start + 2 * length:
        return None
    width, height = (int.from_bytes(data[at : at + length], order) for at in (start, start + length))
    return height, width


_SIZES: dict[str, Callable[[bytes], _Size]] = {
    "JPEG": jpeg_size_hw,
    "PNG": _png,
    "WebP": _webp,
    "BMP": _bmp,
    "TIFF": _tiff,
    "GIF": _gif,
    "AVIF": _heif,
    "HEIC": _heif,
    "JPEG 2000": _jpeg_2000,
    "PNM": _pnm,
}
