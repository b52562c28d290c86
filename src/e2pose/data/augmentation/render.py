"""From the plan of a canvas to its pixels, on the processor."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.affine import Affine
from e2pose.data.augmentation.plan import CanvasPlan, Finish, Layer
from e2pose.data.image_store import PictureStore, Pixels
from e2pose.transforms.warp import warp


def render(plan: CanvasPlan, pictures: PictureStore, input_size_hw: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """Makes a canvas.

    Args:
        plan: What shall be on it.
        pictures: Where its pictures are.
        input_size_hw: Its height and width.
    """
    canvas = np.empty((*input_size_hw, 3), np.uint8)
    for layer in plan.layers:
        _lay(canvas, layer, move_pixels(pictures[layer.picture], pictures.size_hw(layer.picture), layer))
    for cut in plan.cuts:
        x, y, width, height = cut.box
        canvas[y : y + height, x : x + width] = cut.rgb
    return finish(canvas, plan.finish)


def move_pixels(pixels: Pixels, size_hw: tuple[int, int], layer: Layer) -> Pixels:
    """What a layer shows in its box.

    Args:
        pixels: The picture, or a smaller copy of it.
        size_hw: The picture's own size, which the layer counts in.
        layer: Where it goes.
    """
    x, y, width, height = layer.box
    to_own_size = Affine.scaling(size_hw[1] / pixels.shape[1], size_hw[0] / pixels.shape[0])
    return warp(pixels, Affine.translation(-x, -y) @ layer.affine @ to_own_size, (height, width))


def finish(pixels: Pixels, how: Finish) -> Pixels:
    """Changes colours, then blurs, adds noise and compresses, in the order in which a camera does it."""
    pixels = np.asarray(cv2.transform(pixels, how.colours))
    if how.blur:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), how.blur))
    if how.noise:
        noise = np.random.default_rng(how.noise_seed).standard_normal(pixels.shape, np.float32)
        pixels = np.asarray(cv2.add(pixels, noise * np.float32(how.noise), dtype=cv2.CV_8U))
    if how.quality:
        _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, how.quality])
        pixels = np.asarray(cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB))
    return pixels


def _lay(canvas: Pixels, layer: Layer, pixels: Pixels) -> None:
    x, y, width, height = layer.box
    region = canvas[y : y + height, x : x + width]
    if not layer.edge:
        region[:] = pixels
        return
    ramps = [np.minimum(1, (np.minimum(i, i[::-1]) + 0.5) / (2 * layer.edge)) for i in map(np.arange, (height, width))]
    weight = np.minimum.outer(*ramps).astype(np.float32)
    region[:] = cv2.blendLinear(pixels, region.copy(), weight, 1 - weight)
