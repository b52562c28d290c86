"""What kind of picture some bytes are, whether they are all there, and where their EXIF block is.

Decoders fill the missing part of a truncated JPEG with grey and say nothing, so the end is looked for here.

Source: ITU-T T.81 annex B (JPEG), the PNG specification section 5, the WebP container specification.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"P5\n": "PNM",
    b"P6\n": "PNM",
    b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR",
    b"\x76\x2f\x31\x01": "OpenEXR",
}
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
}
SIGNATURE_LENGTH = 16
"""How many bytes from the start of a file `picture_format` needs."""

# A marker: 0xFF and a byte that is neither stuffing (00), a restart (D0 to D7) nor fill (FF).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_APP1 = 0xE1
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_END = 0xD9
_EXIF_HEADER = b"Exif\0\0"


def picture_format(head: bytes) -> str | None:
    """The name of the picture format that the first bytes of a file belong to, or None if they are no picture."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)


def is_complete(data: bytes, kind: str) -> bool:
    """Whether a picture is there up to its end; True for the formats whose decoder notices that itself."""
    if kind == "JPEG":
        return any(marker == _JPEG_END for marker, _ in _jpeg_segments(data))
    if kind == "PNG":
        return any(chunk == b"IEND" for chunk, _ in _png_chunks(data))
    if kind == "WebP":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return True


def has_no_pixels(data: bytes, kind: str) -> bool:
    """Whether the header of a PNG gives a width or height of 0, about which its decoder writes to the terminal."""
    return kind == "PNG" and (data[16:20] == bytes(4) or data[20:24] == bytes(4))


def stored_size(data: bytes, kind: str) -> tuple[int, int] | None:
    """Height and width in the header of a JPEG or PNG, before the picture is turned; None for other kinds."""
    if kind == "JPEG":
        frames = (block for marker, block in _jpeg_segments(data) if marker in _JPEG_FRAMES and len(block) >= 5)
        frame = next(frames, None)
        return None if frame is None else (int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big"))
    if kind == "PNG" and len(data) >= 24:
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    return None


def exif_block(data: bytes, kind: str) -> bytes:
    """The EXIF block of a picture, which is laid out like a TIFF file; empty if there is none."""
    if kind == "JPEG":
        blocks = (block for marker, block in _jpeg_segments(data) if marker == _JPEG_APP1)
        return next((block[6:] for block in blocks if block.startswith(_EXIF_HEADER)), b"")
    if kind == "PNG":
        return next((block for chunk, block in _png_chunks(data) if chunk == b"eXIf"), b"")
    if kind == "WebP":
        block = next((block for chunk, block in _riff_chunks(data) if chunk == b"EXIF"), b"")
        return block.removeprefix(_EXIF_HEADER)
    return data if kind == "TIFF" else b""


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The markers after the first one with their contents, up to and including the end of the image.

    Entropy-coded data has no markers of its own, so searching for the next marker skips it.
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


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG up to the first one that is incomplete or whose checksum is wrong."""
    position = 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return
        yield data[position + 4 : position + 8], data[position + 8 : end]
        position = end + 4


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
