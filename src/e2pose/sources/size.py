"""How large a picture is, without its pixels."""

from __future__ import annotations

from pathlib import Path

from e2pose.sources.containers import exif_block, picture_format, stored_size
from e2pose.sources.images import read_image
from e2pose.sources.orientation import exif_orientation


def read_size(path: str | Path) -> tuple[int, int]:
    """The height and width that `read_image` gives a picture, without decoding it if it is a JPEG or PNG.

    Raises:
        InputError: There is no such file, or it is not a picture of a kind that can be read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError:
        data = b""  # `read_image` says what is wrong
    kind = picture_format(data)
    size_hw = stored_size(data, kind) if kind else None
    if kind is None or not size_hw or min(size_hw) < 1:
        height, width = read_image(path).shape[:2]
        return height, width
    return size_hw[::-1] if exif_orientation(exif_block(data, kind)).transposed else size_hw
