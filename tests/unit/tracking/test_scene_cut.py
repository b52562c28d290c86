"""Hard cuts are detected; camera motion, light and persons within a scene are not cuts."""

import cv2
import numpy as np
import pytest

from e2pose.tracking import scene_cut
from e2pose.tracking.scene_cut import CutDetector


def scene(seed, size_hw=(180, 320)):
    """An image with large and small structures in a few colours, like a photograph."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size_hw, 3), np.float32) + rng.uniform(0, 255, 3)
    for cells in (3, 6, 12, 24):
        grid = rng.uniform(-1, 1, (cells * 9 // 16 + 1, cells, 1)) * rng.uniform(0, 300 / cells**0.5, 3)
        image += cv2.resize(grid.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def detect_cuts(*images):
    detector = CutDetector()
    return [detector(image) for image in images]


def test_cut_between_scenes_is_reported_once():
    found = detect_cuts(*(scene(seed) for seed in range(60) for _ in range(2)))
    assert not any(found[1::2]), "the second image of a shot"
    assert sum(found[2::2]) >= 57


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_camera_pan_is_no_cut(share):
    for seed in range(6):
        wide = scene(seed, (180, 1280))
        step = round(share * 320)
        views = [cv2.blur(wide[:, start : start + 320], (step, 1)) for start in range(0, 960, step)][:8]
        assert not any(detect_cuts(*views))


def test_light_persons_and_noise_are_no_cuts():
    still = scene(0)
    darker, brighter = (np.clip(still * factor, 0, 255).astype(np.uint8) for factor in (0.5, 1.5))
    person = still.copy()
    person[30:, 100:220] = (200, 160, 140)
    noisy = np.clip(still + np.random.default_rng(0).normal(0, 25, still.shape), 0, 255).astype(np.uint8)
    assert not any(detect_cuts(still, darker, brighter, still, person, still, noisy, still))


@pytest.mark.parametrize(
    ("correlation", "overlap", "is_cut"),
    [(0.65, 0.0, True), (0.75, 0.0, False), (0.3, 0.75, True), (0.3, 0.85, False), (0.0, 1.0, True)],
)
def test_cut_needs_low_correlation_and_low_total_likeness(monkeypatch, correlation, overlap, is_cut):
    monkeypatch.setattr(scene_cut, "_center_correlation", lambda *_: correlation)
    monkeypatch.setattr(scene_cut, "_color_overlap", lambda *_: overlap)
    assert detect_cuts(scene(0), scene(1)) == [False, is_cut]


def test_centre_is_found_after_a_shift_of_almost_a_quarter_of_the_sides():
    wide = np.random.default_rng(0).uniform(0, 255, (72, 128, 3)).astype(np.float32)
    near, far = (
        scene_cut._center_correlation(wide[:36, :64], wide[dy : dy + 36, dx:][:, :64]) for dy, dx in ((8, 15), (8, 20))
    )
    assert near > 0.99
    assert far < 0.5


def test_colour_overlap_is_the_common_share_of_the_histograms():
    red, half = np.zeros((36, 64, 3), np.float32), np.zeros((36, 64, 3), np.float32)
    red[..., 0] = half[:, :32, 0] = 200
    assert scene_cut._color_overlap(red, red) == pytest.approx(1)
    assert scene_cut._color_overlap(red, half) == pytest.approx(0.5)


def test_blank_images_are_skipped():
    black, white = np.zeros((180, 320, 3), np.uint8), np.full((180, 320, 3), 255, np.uint8)
    assert detect_cuts(scene(0), black, white, scene(0)) == [False] * 4
    assert detect_cuts(scene(0), black, scene(1)) == [False, False, True]


@pytest.mark.parametrize(("contrast", "is_cut"), [(3, False), (5, True)])
def test_images_with_a_brightness_deviation_below_4_are_blank(contrast, is_cut):
    flat = np.full((180, 320, 3), 100 - contrast, np.uint8)
    flat[:, 160:] += np.uint8(2 * contrast)
    assert detect_cuts(scene(0), flat) == [False, is_cut]


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3000), (37, 53), (2160, 3840)])
def test_any_image_size_is_accepted(size_hw):
    rng = np.random.default_rng(0)
    same = rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    assert detect_cuts(same, same[:, ::-1][:, ::-1], same) == [False] * 3
