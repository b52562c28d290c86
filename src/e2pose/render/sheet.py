"""Many small pictures on one large one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

_BACKGROUND = 32


def contact_sheet(
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]], columns: int, gap: int = 4
) -> UInt8[np.ndarray, "height width 3"]:
    """Lays pictures of one size side by side, row by row, on a dark ground.

    Args:
        pictures: At least one.
        columns: How many in a row.
        gap: Pixels between them.
    """
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    size_hw = rows * (height + gap) - gap, columns * (width + gap) - gap
    sheet = np.full((*size_hw, 3), _BACKGROUND, np.uint8)
    for index, picture in enumerate(pictures):
        y, x = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet
