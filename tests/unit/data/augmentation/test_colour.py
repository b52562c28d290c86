import numpy as np
import pytest

from e2pose.data.augmentation.effects import apply_effects, draw_effects
from e2pose.data.config import AugmentConfig

PLAIN = AugmentConfig(brightness=0, contrast=0, saturation=0, grey=0, blur=0)
COLOURFUL = AugmentConfig(blur=0)
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)


def test_colours_vary_and_the_input_stays():
    before = PIXELS.copy()
    varied = apply_effects(PIXELS, draw_effects(COLOURFUL, RNG))
    assert (varied.shape, varied.dtype) == (PIXELS.shape, np.uint8)
    assert (varied != PIXELS).any()
    np.testing.assert_array_equal(PIXELS, before)
    np.testing.assert_array_equal(apply_effects(PIXELS, draw_effects(PLAIN, RNG)), PIXELS)
    grey = apply_effects(PIXELS, draw_effects(PLAIN.model_copy(update={"grey": 1.0}), RNG))
    assert (grey.max(axis=2) - grey.min(axis=2)).max() <= 1


@pytest.mark.parametrize("way", ["blur", "noise", "jpeg"])
def test_each_way_to_degrade_changes_pixels_alone(way):
    config = PLAIN.model_copy(update={way: 1.0})
    flat = np.full((40, 50, 3), (200, 120, 40), np.uint8)
    before = PIXELS.copy()
    degraded = apply_effects(PIXELS, draw_effects(config, RNG))
    assert (degraded.shape, degraded.dtype) == (PIXELS.shape, np.uint8)
    assert (degraded != PIXELS).any()
    np.testing.assert_array_equal(PIXELS, before)
    means = apply_effects(flat, draw_effects(config, RNG)).mean(axis=(0, 1))
    np.testing.assert_allclose(means, (200, 120, 40), atol=5)  # red stays red: no channels change places
    np.testing.assert_array_equal(apply_effects(PIXELS, draw_effects(PLAIN, RNG)), PIXELS)


def test_noise_is_not_the_same_everywhere_and_does_not_wrap_around():
    config = PLAIN.model_copy(update={"noise": 1.0})
    white = apply_effects(np.full((40, 50, 3), 255, np.uint8), draw_effects(config, np.random.default_rng(1)))
    assert white.min() > 150
    assert len(np.unique(white)) > 5
