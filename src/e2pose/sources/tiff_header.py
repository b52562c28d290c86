"""Directories of a TIFF file, which describe its pages. EXIF blocks have the same layout.

Source: TIFF 6.0 sections 2 and 8, and the BigTIFF design of https://libtiff.gitlab.io/libtiff/specification/bigtiff.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 254, 256, 257, 274, 322, 323
_EXTRA_SAMPLE = 338
_NOT_A_PAGE = 0b101  # bits of the subfile type: an image at reduced resolution, a transparency mask
_NUMBER_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}  # of the field types BYTE, SHORT, LONG and LONG8
_SHORT = 3
_MAX_DIRECTORIES = 65_536


@dataclass(frozen=True)
class TiffDirectory:
    """The numbers in one directory by tag; only fields with a single integer."""

    offset: int  # of the directory in the file
    numbers: dict[int, int] = field(default_factory=dict)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels before rotation; 0 if unknown."""
        return self.numbers.get(_HEIGHT, 0), self.numbers.get(_WIDTH, 0)

    @property
    def tile_hw(self) -> tuple[int, int]:
        """Height and width of a tile, which is decoded as a whole; 0 for an image without tiles."""
        return self.numbers.get(_TILE_HEIGHT, 0), self.numbers.get(_TILE_WIDTH, 0)

    @property
    def orientation(self) -> int:
        """The EXIF orientation; 1 (upright) if missing."""
        return self.numbers.get(_ORIENTATION, 1)

    @property
    def extra_sample(self) -> int | None:
        """The meaning of a single additional channel: 0 other data, 1 premultiplied alpha, 2 alpha; None if unknown."""
        return self.numbers.get(_EXTRA_SAMPLE)

    @property
    def is_page(self) -> bool:
        """Whether this is an image of its own, rather than a smaller copy or the mask of another one."""
        return not self.numbers.get(_SUBFILE_TYPE, 0) & _NOT_A_PAGE


def read_directories(data: bytes) -> list[TiffDirectory]:
    """Returns the directories of a TIFF file or EXIF block in order; empty if it is not one."""
    return [
        TiffDirectory(
            offset,
            {
                layout.number(entry, 2): layout.number(entry + layout.value, length)
                for entry in entries
                if (length := _NUMBER_BYTES.get(layout.number(entry + 2, 2)))
                and layout.number(entry + 4, layout.offset) == 1
            },
        )
        for layout, offset, entries in _walk(data)
    ]


def is_camera_raw(data: bytes) -> bool:
    """Returns whether a TIFF is a photo in a raw format such as DNG, NEF or CR2, whose pages are only previews."""
    if data[8:10] == b"CR":  # CR2
        return True
    directories = read_directories(data)
    return bool(directories) and not any(directory.is_page for directory in directories)


def page_data(data: bytes, page: TiffDirectory) -> bytes:
    """Returns the file with `page` as its first page and without any orientation.

    Decoders differ in which orientations they apply at which bit depth, therefore they receive upright images only.
    """
    edited = bytearray(data)
    for layout, _, entries in _walk(data):
        first = layout.offset  # the position of the first offset: 4, or 8 in a BigTIFF
        edited[first : first + layout.offset] = page.offset.to_bytes(layout.offset, layout.order)
        for entry in entries:
            if layout.number(entry, 2) == _ORIENTATION:
                edited[entry + 2 : entry + 4] = _SHORT.to_bytes(2, layout.order)
                edited[entry + 4 : entry + layout.value] = (1).to_bytes(layout.offset, layout.order)
                edited[entry + layout.value : entry + layout.value + 2] = (1).to_bytes(2, layout.order)
    return bytes(edited)


@dataclass(frozen=True)
class _Layout:
    data: bytes
    order: Literal["little", "big"]
    offset: int  # bytes of an offset, which is also the position of the first one
    count: int  # bytes of the number of entries

    @property
    def value(self) -> int:
        """Position of the value in an entry."""
        return 4 + self.offset

    def number(self, start: int, length: int) -> int:
        return int.from_bytes(self.data[start : start + length], self.order)


def _walk(data: bytes) -> Iterator[tuple[_Layout, int, list[int]]]:
    """Yields, for each directory, the layout of the file, the directory's offset and those of its entries."""
    if data[:2] not in (b"II", b"MM"):
        return
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    is_big = int.from_bytes(data[2:4], order) == 43
    layout = _Layout(data, order, offset=8 if is_big else 4, count=8 if is_big else 2)
    directory, visited = layout.number(layout.offset, layout.offset), set[int]()
    while directory and directory not in visited and len(visited) < _MAX_DIRECTORIES:
        visited.add(directory)
        first, length = directory + layout.count, 4 + 2 * layout.offset
        num_complete = max(0, len(data) - first) // length
        end = first + length * min(layout.number(directory, layout.count), num_complete)
        yield layout, directory, list(range(first, end, length))
        directory = layout.number(end, layout.offset)
