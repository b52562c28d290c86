"""Scene cuts: hard cuts are noticed, whatever a camera and people do in one scene is not."""

import cv2
import numpy as np
import pytest

from e2pose.tracking.scene_cut import CutDetector


def scene(seed, size_hw=(180, 320)):
    """A picture like a photograph: large and small things in a few colours."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size_hw, 3), np.float32) + rng.uniform(0, 255, 3)
    for cells in (3, 6, 12, 24):
        grid = rng.uniform(-1, 1, (cells * 9 // 16 + 1, cells, 1)) * rng.uniform(0, 300 / cells**0.5, 3)
        image += cv2.resize(grid.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def cuts(*images):
    detector = CutDetector()
    return [detector(image) for image in images]


def test_cuts_between_scenes_are_noticed_once():
    found = cuts(*(scene(seed) for seed in range(60) for _ in range(2)))
    assert not any(found[1::2]), "the second picture of a shot"
    assert sum(found[2::2]) >= 57


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_a_camera_that_turns_makes_no_cut(share):
    for seed in range(6):
        wide = scene(seed, (180, 1280))
        step = round(share * 320)
        views = [cv2.blur(wide[:, start : start + 320], (step, 1)) for start in range(0, 960, step)][:8]
        assert not any(cuts(*views))


def test_light_and_people_make_no_cut():
    still = scene(0)
    darker, brighter = (np.clip(still * factor, 0, 255).astype(np.uint8) for factor in (0.5, 1.5))
    person = still.copy()
    person[30:, 100:220] = (200, 160, 140)
    noisy = np.clip(still + np.random.default_rng(0).normal(0, 25, still.shape), 0, 255).astype(np.uint8)
    assert not any(cuts(still, darker, brighter, still, person, still, noisy, still))


def test_blank_pictures_are_passed_over():
    black, white = np.zeros((180, 320, 3), np.uint8), np.full((180, 320, 3), 255, np.uint8)
    assert cuts(scene(0), black, white, scene(0)) == [False] * 4
    assert cuts(scene(0), black, scene(1)) == [False, False, True]


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3000), (37, 53), (2160, 3840)])
def test_every_size(size_hw):
    rng = np.random.default_rng(0)
    same = rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    assert cuts(same, same[:, ::-1][:, ::-1], same) == [False] * 3
