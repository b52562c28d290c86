"""How an image is laid onto a canvas."""

from __future__ import annotations

import math

from e2pose.core.affine import Affine
from e2pose.core.spec import Fit, ModelSpec

_ROUNDING = 1e-6  # of a pixel, by which a fitted side may come out too long


def input_size_for(source_hw: tuple[int, int], spec: ModelSpec) -> tuple[int, int]:
    """Height and width of the canvas for a source image: that of the model, or what the image needs of it.

    Args:
        source_hw: Height and width of the image.
        spec: The model's canvas, and whether it may be shortened.
    """
    if spec.multiple_of is None:
        return spec.input_size_hw
    scale = min(canvas / source for canvas, source in zip(spec.input_size_hw, source_hw, strict=True))
    height, width = (spec.multiple_of * math.ceil((scale * side - _ROUNDING) / spec.multiple_of) for side in source_hw)
    return max(height, spec.multiple_of), max(width, spec.multiple_of)


def fit_affine(source_hw: tuple[int, int], input_size_hw: tuple[int, int], fit: Fit) -> Affine:
    """The map from pixels of a source image to pixels of a canvas.

    Args:
        source_hw: Height and width of the image.
        input_size_hw: Height and width of the canvas.
        fit: "letterbox" keeps the aspect ratio and centres the image; "stretch" fills the canvas.
    """
    scale_y, scale_x = (canvas / source for canvas, source in zip(input_size_hw, source_hw, strict=True))
    if fit == "stretch":
        return Affine.scaling(scale_x, scale_y)
    scale = min(scale_x, scale_y)
    margin_y, margin_x = (
        (canvas - scale * source) / 2 for canvas, source in zip(input_size_hw, source_hw, strict=True)
    )
    return Affine.translation(margin_x, margin_y) @ Affine.scaling(scale)
