"""Format, completeness and EXIF block of an encoded image.

Decoders fill the missing part of a truncated JPEG with grey without an error, so completeness is checked here.

Source: ITU-T T.81 annex B (JPEG), the PNG specification section 5, the WebP container specification.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "GIF": (b"GIF87a", b"GIF89a"),
    "PFM": (b"PF\n", b"Pf\n"),
    "Radiance HDR": (b"#?RADIANCE", b"#?RGBE"),
    "OpenEXR": (b"\x76\x2f\x31\x01",),
}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1")
FLOAT_FORMATS = ("PFM", "Radiance HDR", "OpenEXR")
"""Formats that hold light intensities, which have no fixed maximum."""

CONVERTERS = {
    "HEIC": "heif-convert photo.heic photo.jpg",
    "JPEG XL": "djxl photo.jxl photo.jpg",
    "camera raw": "dcraw -e photo.dng",
}
"""Formats that are recognised but not read, with a command that converts them."""

SIGNATURE_LENGTH = 64
"""Number of bytes from the start of a file that `detect_format` needs."""

_PNM = re.compile(rb"P[1-6]\s")
# A marker: 0xFF and a byte that is neither stuffing (00), a restart (D0 to D7) nor fill (FF).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_APP1 = 0xE1
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_END = 0xD9
_EXIF_HEADER = b"Exif\0\0"


def detect_format(head: bytes) -> str | None:
    """Returns the name of the image format that a file begins with; None if it is not an image."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _heif_format(head)
    if _PNM.match(head):
        return "PNM"
    return next((name for name, signatures in _SIGNATURES.items() if head.startswith(signatures)), None)


def _heif_format(head: bytes) -> str | None:
    """Returns "AVIF" or "HEIC" by the brands of the first box: the major brand, a version and compatible brands."""
    length = min(int.from_bytes(head[:4]), len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, length, 4))]
    if brands[0] not in _AVIF_BRANDS + _HEIF_BRANDS:
        return None
    return "AVIF" if any(brand in _AVIF_BRANDS for brand in brands) else "HEIC"


def is_complete(data: bytes, image_format: str) -> bool:
    """Returns whether a JPEG, PNG or WebP reaches its end; True for formats whose decoders report truncation."""
    if image_format == "JPEG":
        return any(marker == _JPEG_END for marker, _ in _jpeg_segments(data))
    if image_format == "PNG":
        return any(chunk == b"IEND" for chunk, _ in png_chunks(data))
    if image_format == "WebP":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return True


def jpeg_size_hw(data: bytes) -> tuple[int, int] | None:
    """Returns (height, width) of a JPEG before rotation; None if its header is damaged."""
    frames = (block for marker, block in _jpeg_segments(data) if marker in _JPEG_FRAMES and len(block) >= 5)
    frame = next(frames, None)
    return None if frame is None else (int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big"))


def exif_block(data: bytes, image_format: str) -> bytes:
    """Returns the EXIF block of an image, which has the layout of a TIFF file; empty if there is none."""
    if image_format == "JPEG":
        blocks = (block for marker, block in _jpeg_segments(data) if marker == _JPEG_APP1)
        return next((block[6:] for block in blocks if block.startswith(_EXIF_HEADER)), b"")
    if image_format == "PNG":
        return next((block for chunk, block in png_chunks(data) if chunk == b"eXIf"), b"")
    if image_format == "WebP":
        block = next((block for chunk, block in riff_chunks(data) if chunk == b"EXIF"), b"")
        return block.removeprefix(_EXIF_HEADER)
    return data if image_format == "TIFF" else b""


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the markers after the first one with their contents, up to and including the end of the image.

    Entropy-coded data contains no markers, so searching for the next marker skips it.
    """
    position = 2
    while found := _JPEG_MARKER.search(data, position):
        marker, start = data[found.end() - 1], found.end()
        if marker == _JPEG_END:
            yield marker, b""
            return
        length = int.from_bytes(data[start : start + 2], "big")
        yield marker, data[start + 2 : start + length]
        position = start + max(length, 2)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the chunks of a PNG up to the first one that is incomplete or has a wrong checksum."""
    position = 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return
        yield data[position + 4 : position + 8], data[position + 8 : end]
        position = end + 4


def riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the chunks of a WebP in order."""
    position = 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
