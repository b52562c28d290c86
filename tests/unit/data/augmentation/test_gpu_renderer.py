"""Canvases made by tensors are those made by OpenCV."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from e2pose.core.affine import Affine
from e2pose.core.errors import TrainingError
from e2pose.data.augmentation import gpu_renderer as device_render
from e2pose.data.augmentation.colour import draw_finish
from e2pose.data.augmentation.gpu_renderer import DeviceRenderer, PlanBatch
from e2pose.data.augmentation.jpeg import compress
from e2pose.data.augmentation.plan import CanvasPlan, CutOut, Layer
from e2pose.data.augmentation.render import finish, render
from e2pose.data.config import AugmentConfig
from helpers.synthetic_inputs import PLAIN, Shelf

CANVAS = (64, 96)
WHOLE = (0, 0, 96, 64)
CPU = torch.device("cpu")


def smooth(seed, height, width, coarseness=8) -> np.ndarray:
    """A picture without detail that resampling could lose."""
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 256, (height // coarseness, width // coarseness, 3), dtype=np.uint8)
    return cv2.resize(few, (width, height), interpolation=cv2.INTER_CUBIC)


PICTURES = [smooth(0, 80, 120), smooth(1, 120, 72), smooth(2, 40, 48)]
SHELF = Shelf(*PICTURES, sizes_hw=[(160, 240), (120, 72), (40, 48)])  # the first is kept at half of its size


def both(*plans, shelf=SHELF, input_size_hw=CANVAS):
    """The canvases as OpenCV and as tensors make them, (B, H, W, 3)."""
    expected = np.stack([render(plan, shelf, input_size_hw) for plan in plans])
    made = DeviceRenderer(shelf, input_size_hw, CPU)(PlanBatch.of(plans))
    assert made.dtype == torch.uint8
    assert made.is_contiguous(memory_format=torch.channels_last)
    return expected.astype(int), made.permute(0, 2, 3, 1).numpy().astype(int)


def random_affine(rng, scale=(0.7, 1.4)) -> Affine:
    turn = Affine.rotation(rng.uniform(-60, 60)) @ Affine.scaling(rng.uniform(*scale) * rng.choice([-1, 1]), 1.1)
    return Affine.translation(*rng.uniform(20, 60, 2)) @ turn @ Affine.translation(-40, -30)


def test_pictures_lie_where_they_should_to_a_fraction_of_a_pixel():
    rng = np.random.default_rng(3)
    plans = [CanvasPlan((Layer(int(rng.integers(3)), random_affine(rng), WHOLE),), (), PLAIN) for _ in range(30)]
    expected, made = both(*plans)
    assert np.abs(made - expected).mean() < 0.6  # OpenCV knows 32 places between two pixels
    shifted = [replace(plan, layers=(plan.layers[0].moved(1, 0),)) for plan in plans]
    shifted = [replace(plan, layers=(replace(plan.layers[0], box=WHOLE),)) for plan in shifted]
    other, _ = both(*shifted)
    assert np.abs(other - expected).mean() > 4, "a pixel would be seen"


def test_tiles_pieces_and_cut_outs_lie_one_over_the_other():
    rng = np.random.default_rng(4)
    plans = []
    for _ in range(10):
        tiles = [Layer(index, random_affine(rng), box) for index, box in enumerate([(0, 0, 40, 64), (40, 0, 56, 64)])]
        pieces = [Layer(2, random_affine(rng), (20, 10, 50, 40), 3), Layer(0, random_affine(rng), (60, 30, 20, 30), 1)]
        cuts = (CutOut((5, 6, 20, 10), (10, 250, 30)), CutOut((15, 6, 30, 5), (200, 0, 0)))
        plans.append(CanvasPlan((*tiles, *pieces), cuts, PLAIN))
    plans += [CanvasPlan(plans[0].layers[:1], (), PLAIN)]
    plans[-1] = replace(plans[-1], layers=(replace(plans[-1].layers[0], box=WHOLE),))
    expected, made = both(*plans)
    assert np.abs(made - expected).mean() < 0.6
    assert (made[:-1, 8, 20] == (200, 0, 0)).all()
    assert (made[:-1, 14, 20] == (10, 250, 30)).all()


def test_what_shrinks_is_averaged():
    noise = np.random.default_rng(5).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    plans = [CanvasPlan((Layer(0, Affine.scaling(scale), WHOLE),), (), PLAIN) for scale in (0.24, 0.12)]
    expected, made = both(*plans, shelf=Shelf(noise))
    inside = np.s_[0, 5:60, 5:90]
    assert made[inside].std() == pytest.approx(expected[inside].std(), rel=0.35)
    assert made[inside].std() < 0.5 * noise.std()
    assert made[1, 2:34, 2:46].std() < 0.3 * noise.std()


def test_colours_and_blur():
    rng = np.random.default_rng(6)
    config = AugmentConfig(blur=0.5, grey=0.2)
    plans = [CanvasPlan((Layer(0, random_affine(rng), WHOLE),), (), draw_finish(config, rng)) for _ in range(20)]
    expected, made = both(*plans)
    assert np.abs(made - expected).mean() < 0.8
    plain, _ = both(*[replace(plan, finish=PLAIN) for plan in plans])
    assert np.abs(plain - expected).mean() > 8


def test_noise_is_of_its_strength_and_comes_from_its_seed():
    grey = Shelf(np.full((64, 96, 3), 128, np.uint8))
    layer = Layer(0, Affine.identity(), WHOLE)
    plans = [CanvasPlan((layer,), (), replace(PLAIN, noise=10.0, noise_seed=seed)) for seed in (1, 2, 1)]
    _, made = both(*plans, shelf=grey)
    assert made[0].std() == pytest.approx(10, rel=0.05)
    assert made[0].mean() == pytest.approx(128, abs=0.5)
    assert (made[0] == made[2]).all()
    assert (made[0] != made[1]).mean() > 0.5


@pytest.mark.parametrize("quality", [20, 50, 75, 95])
def test_compression_is_that_of_a_jpeg_file(quality):
    rng = np.random.default_rng(7)
    pixels = cv2.add(smooth(8, 60, 84), rng.normal(0, 12, (60, 84, 3)), dtype=cv2.CV_8U)
    expected = finish(pixels, replace(PLAIN, quality=quality)).astype(int)
    made = compress(torch.from_numpy(pixels).permute(2, 0, 1).float(), quality).permute(1, 2, 0).numpy()
    harm = np.abs(expected - pixels).mean()
    assert harm > 1
    assert np.abs(made - expected).mean() < 0.35 * harm
    assert np.abs(made - pixels).mean() == pytest.approx(harm, rel=0.1)


def test_pictures_that_do_not_fit_are_an_error_that_says_what_to_do(monkeypatch):
    def refuse(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(device_render.torch, "empty", refuse)
    with pytest.raises(TrainingError, match=r"images need 0\.0 GB of memory on cpu") as caught:
        DeviceRenderer(SHELF, CANVAS, CPU)
    assert "data.cache" in caught.value.hint
