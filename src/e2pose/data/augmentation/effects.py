"""Effects on the pixels alone: colours, blur, sensor noise and JPEG compression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from e2pose.data.config import AugmentConfig
from e2pose.data.image_store import Pixels

_BLUR_SIGMA = (0.5, 1.5)  # pixels
_NOISE_SIGMA = (3.0, 15.0)  # grey levels
_JPEG_QUALITY = (25, 75)  # cameras use 90 and more


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects in the order in which they are applied, which is that of a camera; 0 disables an effect."""

    colours: Float32[np.ndarray, "3 4"]  # rgb -> colours[:, :3] @ rgb + colours[:, 3]
    blur_sigma: float = 0.0  # of a Gaussian, in pixels
    noise_sigma: float = 0.0  # of white noise, in grey levels
    noise_seed: int = 0
    jpeg_quality: int = 0  # 1 to 100


def draw_effects(config: AugmentConfig, rng: np.random.Generator) -> Effects:
    """Draws a change of colours and, with the chances of the configuration, blur, noise and compression."""
    colours = _draw_colours(config, rng)
    blur_sigma = rng.uniform(*_BLUR_SIGMA) if rng.random() < config.blur else 0.0
    noise_sigma = rng.uniform(*_NOISE_SIGMA) if rng.random() < config.noise else 0.0
    jpeg_quality = int(rng.integers(*_JPEG_QUALITY)) if rng.random() < config.jpeg else 0
    return Effects(colours, blur_sigma, noise_sigma, int(rng.integers(2**31)), jpeg_quality)


def apply_effects(pixels: Pixels, effects: Effects) -> Pixels:
    """Returns a changed copy of an image."""
    pixels = np.asarray(cv2.transform(pixels, effects.colours))
    if effects.blur_sigma:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), effects.blur_sigma))
    if effects.noise_sigma:
        noise = np.random.default_rng(effects.noise_seed).standard_normal(pixels.shape, np.float32)
        pixels = np.asarray(cv2.add(pixels, noise * np.float32(effects.noise_sigma), dtype=cv2.CV_8U))
    if effects.jpeg_quality:
        _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, effects.jpeg_quality])
        pixels = np.asarray(cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB))
    return pixels


def _draw_colours(config: AugmentConfig, rng: np.random.Generator) -> Float32[np.ndarray, "3 4"]:
    """Draws contrast, brightness and saturation; greyscale with the chance `config.grey`."""
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    brightness = 255 * rng.uniform(-0.5, 0.5) * config.brightness
    saturation = 0.0 if rng.random() < config.grey else 1 + rng.uniform(-1, 1) * config.saturation
    luma = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    mix = contrast * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * luma)
    offset = 128 * (1 - contrast) + brightness
    return np.column_stack([mix, np.full(3, offset)]).astype(np.float32)
