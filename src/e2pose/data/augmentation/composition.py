"""A training image composed of source images, and its rendering.

Geometry and labels are drawn first, pixels are resampled once at the end: each source image reaches the training image
by one affine map, however many steps placed it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.affine import Affine
from e2pose.data.image_store import ImageStore, Pixels
from e2pose.data.targets import SampleLabels
from e2pose.transforms.warp import warp

Box = tuple[int, int, int, int]
"""x, y, width and height in pixels of the training image."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A box of the training image that is filled from a source image."""

    image: int  # number of the source image in the `ImageStore`
    affine: Affine  # from pixels of the source image, in its original size, to pixels of the training image
    box: Box
    edge: int = 0  # half of the width in pixels over which the layer fades into the layers below

    def shifted(self, x: int, y: int) -> Layer:
        """Returns the layer `x` pixels further right and `y` pixels further down."""
        left, top, width, height = self.box
        return replace(self, affine=Affine.translation(x, y) @ self.affine, box=(left + x, top + y, width, height))


@dataclass(frozen=True)
class CutOut:
    """A box of the training image that is filled with one colour."""

    box: Box
    rgb: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Composition:
    """Layers from bottom to top, the labels of the whole, and cut-outs over all layers."""

    layers: tuple[Layer, ...]
    labels: SampleLabels
    cut_outs: tuple[CutOut, ...] = ()


def render(composition: Composition, images: ImageStore, size_hw: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the pixels of a composition, which has to cover the whole training image of size `size_hw`."""
    pixels = np.empty((*size_hw, 3), np.uint8)
    for layer in composition.layers:
        _blend(pixels, layer, warp_layer(images[layer.image], images.size_hw(layer.image), layer))
    for cut_out in composition.cut_outs:
        x, y, width, height = cut_out.box
        pixels[y : y + height, x : x + width] = cut_out.rgb
    return pixels


def warp_layer(pixels: Pixels, original_hw: tuple[int, int], layer: Layer) -> Pixels:
    """Returns the content of a layer's box.

    `pixels` is the source image or a smaller copy of it; `layer.affine` refers to its original size.
    """
    x, y, width, height = layer.box
    to_original = Affine.scaling(original_hw[1] / pixels.shape[1], original_hw[0] / pixels.shape[0])
    return warp(pixels, Affine.translation(-x, -y) @ layer.affine @ to_original, (height, width))


def _blend(image: Pixels, layer: Layer, content: Pixels) -> None:
    """Writes the content of a layer's box into the image; the opacity rises linearly over twice the edge."""
    x, y, width, height = layer.box
    region = image[y : y + height, x : x + width]
    if not layer.edge:
        region[:] = content
        return
    ramps = [np.minimum(1, (np.minimum(i, i[::-1]) + 0.5) / (2 * layer.edge)) for i in map(np.arange, (height, width))]
    opacity = np.minimum.outer(*ramps).astype(np.float32)
    region[:] = cv2.blendLinear(content, region.copy(), opacity, 1 - opacity)
