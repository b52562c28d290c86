"""Contact sheets: many small images on one large one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

_BACKGROUND = 32


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "h w 3"]], columns: int, gap: int = 4
) -> UInt8[np.ndarray, "height width 3"]:
    """Arranges images of one size, at least one, row by row on a dark background, with gaps in pixels."""
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size_hw = rows * (height + gap) - gap, columns * (width + gap) - gap
    sheet = np.full((*size_hw, 3), _BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        y, x = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet
