"""Pixels varied where they are: colours, and what cameras and files do to them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from e2pose.data.augmentation.plan import Finish
from e2pose.data.config import AugmentConfig

_BLUR = (0.5, 1.5)  # standard deviation in canvas pixels
_NOISE = (3.0, 15.0)  # standard deviation in grey levels
_QUALITY = (25, 75)  # of JPEG files; cameras use 90 and more


def draw_finish(config: AugmentConfig, rng: np.random.Generator) -> Finish:
    """Draws how a canvas is finished: other colours, and sometimes blur, noise and compression."""
    colours = _draw_colours(config, rng)
    blur = rng.uniform(*_BLUR) if rng.random() < config.blur else 0.0
    noise = rng.uniform(*_NOISE) if rng.random() < config.noise else 0.0
    quality = int(rng.integers(*_QUALITY)) if rng.random() < config.jpeg else 0
    return Finish(colours, blur, noise, int(rng.integers(2**31)), quality)


def _draw_colours(config: AugmentConfig, rng: np.random.Generator) -> Float32[np.ndarray, "3 4"]:
    """Other brightness, contrast and saturation, and sometimes no colour at all."""
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    brightness = 255 * rng.uniform(-0.5, 0.5) * config.brightness
    saturation = 0.0 if rng.random() < config.grey else 1 + rng.uniform(-1, 1) * config.saturation
    luma = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    mix = contrast * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * luma)
    offset = 128 * (1 - contrast) + brightness
    return np.column_stack([mix, np.full(3, offset)]).astype(np.float32)
