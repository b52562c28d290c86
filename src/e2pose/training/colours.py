"""Pixels varied where they are: colours, and what cameras and files do to them."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.training.config import AugmentConfig

_BLUR = (0.5, 1.5)  # standard deviation in canvas pixels
_NOISE = (3.0, 15.0)  # standard deviation in grey levels
_QUALITY = (25, 75)  # of JPEG files; cameras use 90 and more

Pixels = UInt8[np.ndarray, "_ _ 3"]


def vary_colours(pixels: Pixels, config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """Changes brightness, contrast and saturation, and sometimes takes the colour away."""
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    brightness = 255 * rng.uniform(-0.5, 0.5) * config.brightness
    saturation = 0.0 if rng.random() < config.grey else 1 + rng.uniform(-1, 1) * config.saturation
    luma = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    mix = contrast * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * luma)
    offset = 128 * (1 - contrast) + brightness
    return np.asarray(cv2.transform(pixels, np.column_stack([mix, np.full(3, offset)]).astype(np.float32)))


def degrade(pixels: Pixels, config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """Sometimes blurs, adds noise and compresses, in the order in which a camera does it."""
    if rng.random() < config.blur:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(*_BLUR)))
    if rng.random() < config.noise:
        noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(*_NOISE))
        pixels = np.asarray(cv2.add(pixels, noise, dtype=cv2.CV_8U))
    if rng.random() < config.jpeg:
        quality = int(rng.integers(*_QUALITY))
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return pixels
