"""Number of images in an encoded file: pages of a TIFF, frames of an animation.

Source: the APNG specification (`acTL`), the WebP container specification (`ANMF`), GIF89a, ISO/IEC 14496-12 section
8.7.3 (`stsz`, for AVIF).
"""

from __future__ import annotations

from itertools import takewhile

from e2pose.sources.heif_header import boxes, find_box
from e2pose.sources.image_format import png_chunks, riff_chunks
from e2pose.sources.tiff_header import TiffDirectory, read_directories

_GIF_EXTENSION, _GIF_IMAGE = 0x21, 0x2C
_GIF_CONTROL = 0xF9  # the label of the extension that states the delay of the next image


def count_images(data: bytes, image_format: str) -> int:
    """Returns the number of images that the headers state, at least 1."""
    if image_format == "TIFF":
        return max(1, len(tiff_pages(data)))
    if image_format == "PNG":
        header = takewhile(lambda chunk: chunk[0] != b"IDAT", png_chunks(data))  # the image itself may be long
        counts = (int.from_bytes(content[:4]) for kind, content in header if kind == b"acTL")
        return max(1, next(counts, 1))
    if image_format == "WebP":
        return max(1, sum(kind == b"ANMF" for kind, _ in riff_chunks(data)))
    if image_format == "GIF":
        return max(1, len(gif_delays(data)))
    return max(1, _count_samples(data)) if image_format == "AVIF" else 1


def tiff_pages(data: bytes) -> list[TiffDirectory]:
    """Returns the directories of a TIFF that are images of their own, at least the first directory."""
    directories = read_directories(data)
    return [directory for directory in directories if directory.is_page] or directories[:1]


def gif_delays(data: bytes) -> list[int | None]:
    """Returns the hundredths of a second for which each image of a GIF is shown; None where it states no delay."""
    delays: list[int | None] = []
    delay, position = None, 13 + _palette_bytes(data[10:11])
    while position < len(data):
        kind = data[position]
        if kind == _GIF_IMAGE:
            delays.append(delay)
            delay = None
            position += 11 + _palette_bytes(data[position + 9 : position + 10])
        elif kind == _GIF_EXTENSION:
            if data[position + 1 : position + 2] == bytes([_GIF_CONTROL]):
                delay = int.from_bytes(data[position + 4 : position + 6], "little")
            position += 2
        else:
            break
        while length := int.from_bytes(data[position : position + 1]):
            position += 1 + length
        position += 1
    return delays


def _palette_bytes(flags: bytes) -> int:
    value = int.from_bytes(flags)
    return 3 << (value & 7) + 1 if value & 0x80 else 0


def _count_samples(data: bytes) -> int:
    tracks = [box.content for box in boxes(find_box(data, b"moov")) if box.kind == b"trak"]
    sizes = [find_box(track, b"mdia", b"minf", b"stbl", b"stsz") for track in tracks]
    return max((int.from_bytes(size[8:12]) for size in sizes), default=1)
