from dataclasses import replace

import cv2
import numpy as np
import pytest

from e2pose.data.augmentation.effects import Effects, apply_effects, draw_effects
from e2pose.data.config import AugmentConfig

NONE = AugmentConfig(brightness=0, contrast=0, saturation=0, grey=0, blur=0)
IDENTITY = Effects(np.eye(3, 4, dtype=np.float32))
LUMA = np.array([0.299, 0.587, 0.114])
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def draw(count=1000, **changes) -> list[Effects]:
    config, rng = NONE.model_copy(update=changes), np.random.default_rng(1)
    return [draw_effects(config, rng) for _ in range(count)]


def assert_uniform(values, low, high):
    """Checks range, extremes and mean of 1000 values."""
    extent = high - low
    assert low - 1e-4 * extent <= min(values) < low + 0.05 * extent
    assert high - 0.05 * extent < max(values) <= high + 1e-4 * extent
    assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.05 * extent)


def test_effects_of_zero_strength_change_nothing():
    for effects in draw(20):
        np.testing.assert_array_equal(apply_effects(PIXELS, effects), PIXELS)


def test_brightness_is_added_in_both_directions():
    colours = np.array([effects.colours for effects in draw(brightness=0.4)])
    np.testing.assert_allclose(colours[:, :, :3], np.broadcast_to(np.eye(3), (1000, 3, 3)))
    assert (np.ptp(colours[:, :, 3], axis=1) == 0).all()
    assert_uniform(colours[:, 0, 3], -0.4 * 127.5, 0.4 * 127.5)


def test_contrast_is_a_factor_about_medium_grey():
    colours = np.array([effects.colours for effects in draw(contrast=0.3)])
    factors = colours[:, 0, 0]
    np.testing.assert_allclose(colours[:, :, :3], factors[:, None, None] * np.eye(3), atol=1e-6)
    np.testing.assert_allclose(colours @ [128, 128, 128, 1], 128, atol=1e-4)
    assert_uniform(factors, 0.7, 1.3)


def test_saturation_keeps_grey_and_scales_the_difference_from_it():
    colours = np.array([effects.colours for effects in draw(saturation=0.4)])
    saturations = colours[:, 0, 0] - colours[:, 1, 0]
    expected = saturations[:, None, None] * np.eye(3) + (1 - saturations)[:, None, None] * LUMA
    np.testing.assert_allclose(colours[:, :, :3], expected, atol=1e-6)
    np.testing.assert_allclose(colours @ [90, 90, 90, 1], 90, atol=1e-4)
    assert_uniform(saturations, 0.6, 1.4)


def test_greyscale_is_the_luma_of_bt601():
    grey = apply_effects(PIXELS, draw(1, grey=1.0)[0])
    np.testing.assert_allclose(
        grey, np.repeat((PIXELS @ LUMA)[..., None], 3, axis=2), atol=0.6
    )  # OpenCV rounds in fixed point
    share = np.mean([np.ptp(effects.colours[:, 0]) == 0 for effects in draw(grey=0.2)])
    assert share == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize(
    ("name", "field", "low", "high"),
    [("blur", "blur_sigma", 0.5, 1.5), ("noise", "noise_sigma", 3, 15), ("jpeg", "jpeg_quality", 25, 75)],
)
def test_degradations_have_their_chance_and_range(name, field, low, high):
    values = np.array([getattr(effects, field) for effects in draw(3000, **{name: 0.3})])
    assert (values > 0).mean() == pytest.approx(0.3, abs=0.03)
    assert_uniform(values[values > 0], low, high)
    assert not any(getattr(effects, field) for effects in draw(20))


def test_blur_has_its_standard_deviation_in_pixels():
    spot = np.zeros((41, 41, 3), np.uint8)
    spot[19:22, 19:22] = 255
    blurred = apply_effects(spot, replace(IDENTITY, blur_sigma=1.4))[..., 0].astype(float)
    offsets = np.arange(41) - 20
    variance = (blurred.sum(axis=0) * offsets**2).sum() / blurred.sum()
    assert variance == pytest.approx(2 / 3 + 1.4**2, rel=0.05)  # 2/3 is the variance of three equal pixels


def test_noise_has_its_standard_deviation_and_depends_on_the_seed():
    grey = np.full((100, 100, 3), 128, np.uint8)
    one, same, other = (apply_effects(grey, replace(IDENTITY, noise_sigma=10.0, noise_seed=seed)) for seed in (1, 1, 2))
    assert one.std() == pytest.approx(10, rel=0.03)
    assert one.mean() == pytest.approx(128, abs=0.5)
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.5
    assert len({effects.noise_seed for effects in draw(20, noise=1.0)}) == 20


def test_noise_does_not_wrap_around():
    white = np.full((40, 50, 3), 255, np.uint8)
    assert apply_effects(white, replace(IDENTITY, noise_sigma=15.0)).min() > 150


def test_jpeg_compression_equals_a_file_of_this_quality():
    _, data = cv2.imencode(".jpg", cv2.cvtColor(PIXELS, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 30])
    expected = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(apply_effects(PIXELS, replace(IDENTITY, jpeg_quality=30)), expected)


@pytest.mark.parametrize("name", ["brightness", "blur", "noise", "jpeg"])
def test_input_is_not_changed_and_channels_keep_their_order(name):
    flat = np.full((40, 50, 3), (200, 120, 40), np.uint8)
    before = flat.copy()
    means = apply_effects(flat, draw(1, **{name: 0.1 if name == "brightness" else 1.0})[0]).mean(axis=(0, 1))
    np.testing.assert_array_equal(flat, before)
    np.testing.assert_allclose(means, (200, 120, 40), atol=13)
