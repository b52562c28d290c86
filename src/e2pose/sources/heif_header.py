"""Boxes of the ISO base media file format, and the properties of the image in an AVIF or HEIC file.

Source: ISO/IEC 14496-12 section 4.2 (boxes), ISO/IEC 23008-12 sections 6.5 and 9.3 (image properties).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from e2pose.sources.orientation import EXIF_ORIENTATIONS, UPRIGHT, Orientation, display_orientation

_QUARTER_TURN = EXIF_ORIENTATIONS[8]  # anticlockwise
_SAMPLE_ENTRIES = (b"mdia", b"minf", b"stbl", b"stsd")
_MIRRORS = {0: Orientation(flipped_y=True), 1: Orientation(flipped_x=True)}


@dataclass(frozen=True)
class Box:
    """The kind of a box, four letters, and its content."""

    kind: bytes
    content: memoryview


@dataclass(frozen=True)
class HeifHeader:
    """What an AVIF or HEIC file states about its primary image, or about its first track if it has no images."""

    size_hw: tuple[int, int] | None
    """Height and width before rotation; None if unknown."""
    bits: int
    """Bits of a value in AVIF; 8 in HEIC, where it is not used."""
    orientation: Orientation
    max_pixels: int
    """Number of pixels of the largest image or track in the file."""


def read_heif_header(data: bytes) -> HeifHeader:
    """Reads the boxes before the pixels; missing ones give the defaults."""
    meta = find_box(data, b"meta")[4:]  # without version and flags
    every = list(boxes(find_box(meta, b"iprp", b"ipco")))
    primary = [every[index - 1] for index in _primary_properties(meta) if 0 < index <= len(every)]
    tracks = [box.content for box in boxes(find_box(data, b"moov")) if box.kind == b"trak"]
    entries = [entry for track in tracks for entry in boxes(find_box(track, *_SAMPLE_ENTRIES)[8:])]
    track_sizes = [(_number(entry.content, 26, 2), _number(entry.content, 24, 2)) for entry in entries]
    sizes = [_size(box) for box in primary if box.kind == b"ispe"] + track_sizes
    codecs = [*primary, *every, *(box for entry in entries for box in boxes(entry.content[78:]))]
    return HeifHeader(
        size_hw=sizes[0] if sizes else None,
        bits=next((_av1_bits(box.content) for box in codecs if box.kind == b"av1C"), 8),
        orientation=_orientation(primary) if primary else _track_orientation(tracks),
        max_pixels=max(
            (height * width for height, width in [*track_sizes, *(_size(box) for box in every if box.kind == b"ispe")]),
            default=0,
        ),
    )


def boxes(data: bytes | memoryview) -> Iterator[Box]:
    """Yields the boxes in a file, or in the content of a box; stops at a box that is damaged."""
    view, position = memoryview(data), 0
    while position + 8 <= len(view):
        size, header = int.from_bytes(view[position : position + 4]), 8
        if size == 1:
            size, header = int.from_bytes(view[position + 8 : position + 16]), 16
        end = len(view) if size == 0 else position + size
        if end < position + header:
            return
        yield Box(bytes(view[position + 4 : position + 8]), view[position + header : end])
        position = end


def find_box(data: bytes | memoryview, *path: bytes) -> memoryview:
    """Returns the content of the first box at a path such as `b"moov", b"trak"`; empty if there is none."""
    view = memoryview(data)
    for kind in path:
        view = next((box.content for box in boxes(view) if box.kind == kind), memoryview(b""))
    return view


def _number(content: memoryview, start: int, length: int) -> int:
    return int.from_bytes(content[start : start + length])


def _size(box: Box) -> tuple[int, int]:
    return _number(box.content, 8, 4), _number(box.content, 4, 4)


def _av1_bits(content: memoryview) -> int:
    """Returns the bit depth in the configuration of an AV1 decoder; source: AV1 in ISOBMFF, section 2.3."""
    flags = _number(content, 2, 1)
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _primary_properties(meta: memoryview) -> list[int]:
    """Returns the 1-based indices of the properties of the primary image, in the order in which they apply."""
    primary, table = find_box(meta, b"pitm"), find_box(meta, b"iprp", b"ipma")
    item = _number(primary, 4, 2 if _number(primary, 0, 1) == 0 else 4)
    item_bytes = 2 if _number(table, 0, 1) == 0 else 4
    index_bytes, index_mask = (2, 0x7FFF) if _number(table, 3, 1) & 1 else (1, 0x7F)
    position = 8
    while position + item_bytes < len(table):
        first = position + item_bytes + 1
        position_after = first + index_bytes * _number(table, first - 1, 1)
        if _number(table, position, item_bytes) == item:
            starts = range(first, position_after, index_bytes)
            return [_number(table, start, index_bytes) & index_mask for start in starts]
        position = position_after
    return []


def _orientation(properties: list[Box]) -> Orientation:
    orientation = UPRIGHT
    for box in properties:
        value = _number(box.content, 0, 1)
        if box.kind == b"irot":
            for _ in range(value & 3):
                orientation = orientation.then(_QUARTER_TURN)
        elif box.kind == b"imir":
            orientation = orientation.then(_MIRRORS[value & 1])
    return orientation


def _track_orientation(tracks: list[memoryview]) -> Orientation:
    header = find_box(tracks[0], b"tkhd") if tracks else memoryview(b"")
    start = 52 if _number(header, 0, 1) == 1 else 40
    matrix = header[start : start + 36]
    return display_orientation(np.frombuffer(matrix, ">i4").astype(np.int32)) if len(matrix) == 36 else UPRIGHT
