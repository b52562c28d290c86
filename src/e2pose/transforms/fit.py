"""Fits images to the network's input."""

from __future__ import annotations

import math

from e2pose.core.affine import Affine
from e2pose.core.spec import Fit, ModelSpec

_TOLERANCE_PX = 1e-6  # rounding error of a scaled side


def input_size_for(source_hw: tuple[int, int], spec: ModelSpec) -> tuple[int, int]:
    """Returns the network's input size for the size of an image, cropped to multiples if the model allows it."""
    if spec.multiple_of is None:
        return spec.input_size_hw
    scale = min(target / source for target, source in zip(spec.input_size_hw, source_hw, strict=True))
    height, width = (
        spec.multiple_of * math.ceil((scale * side - _TOLERANCE_PX) / spec.multiple_of) for side in source_hw
    )
    return height, width


def fit_affine(source_hw: tuple[int, int], input_size_hw: tuple[int, int], fit: Fit) -> Affine:
    """Returns the map from pixels of an image to pixels of the network's input.

    "letterbox" keeps the aspect ratio and centres the image; "stretch" fills the input.
    """
    scale_y, scale_x = (target / source for target, source in zip(input_size_hw, source_hw, strict=True))
    if fit == "stretch":
        return Affine.scaling(scale_x, scale_y)
    scale = min(scale_x, scale_y)
    margin_y, margin_x = (
        (target - scale * source) / 2 for target, source in zip(input_size_hw, source_hw, strict=True)
    )
    return Affine.translation(margin_x, margin_y) @ Affine.scaling(scale)
