"""What shall be on a canvas, before any pixel is touched.

Labels and chance need a processor, pixels are better moved where the network is: so a canvas is planned first and
rendered later, by `e2pose.data.augmentation.render` or, on a GPU, by `e2pose.data.augmentation.gpu_renderer`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from e2pose.core.affine import Affine

Box = tuple[int, int, int, int]
"""x, y, width and height in canvas pixels."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture on a part of a canvas, over what lies there.

    Args:
        picture: Its number in `e2pose.data.image_store.Pictures`.
        affine: Map from its pixels, in its own size, to those of the canvas.
        box: The part of the canvas.
        edge: Half of the width in pixels in which it turns into what lies below.
    """

    picture: int
    affine: Affine
    box: Box
    edge: int = 0

    def moved(self, x: int, y: int) -> Layer:
        """The same further to the right and down."""
        left, top, width, height = self.box
        return replace(self, affine=Affine.translation(x, y) @ self.affine, box=(left + x, top + y, width, height))


@dataclass(frozen=True)
class CutOut:
    """A box of a canvas that is painted over with one colour."""

    box: Box
    rgb: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Finish:
    """What happens to all pixels of a canvas in the end, in this order.

    Args:
        colours: `rgb -> colours[:, :3] @ rgb + colours[:, 3]`.
        blur: Standard deviation in pixels; 0 for none.
        noise: Standard deviation in grey levels; 0 for none.
        noise_seed: Where the noise comes from.
        quality: Of the compression as a JPEG file, 1 to 100; 0 for none.
    """

    colours: Float32[np.ndarray, "3 4"]
    blur: float = 0.0
    noise: float = 0.0
    noise_seed: int = 0
    quality: int = 0


@dataclass(frozen=True, eq=False)
class CanvasPlan:
    """A canvas: pictures from below to above, then cut-outs, then the finish."""

    layers: tuple[Layer, ...]
    cuts: tuple[CutOut, ...]
    finish: Finish
