"""How an image is laid onto a canvas."""

from __future__ import annotations

from e2pose.core.affine import Affine
from e2pose.core.spec import Fit


def fit_affine(source_hw: tuple[int, int], canvas_hw: tuple[int, int], fit: Fit) -> Affine:
    """The map from pixels of a source image to pixels of a canvas.

    Args:
        source_hw: Height and width of the image.
        canvas_hw: Height and width of the canvas.
        fit: "letterbox" keeps the aspect ratio and centres the image; "stretch" fills the canvas.
    """
    scale_y, scale_x = (canvas / source for canvas, source in zip(canvas_hw, source_hw, strict=True))
    if fit == "stretch":
        return Affine.scaling(scale_x, scale_y)
    scale = min(scale_x, scale_y)
    margin_y, margin_x = ((canvas - scale * source) / 2 for canvas, source in zip(canvas_hw, source_hw, strict=True))
    return Affine.translation(margin_x, margin_y) @ Affine.scaling(scale)
