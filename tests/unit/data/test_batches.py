"""Batches are the same wherever their canvases are made."""

import numpy as np
import pytest
import torch

from e2pose.data.augmentation.gpu_renderer import DeviceRenderer
from e2pose.data.batches import Batches
from e2pose.data.image_sets import open_set
from e2pose.data.training_images import TrainingImages
from e2pose.training.recipe import load_recipe
from helpers.targets import SCHEMA
from helpers.training_runs import write_recipe, write_set


@pytest.fixture(scope="module")
def recipe_and_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batches")
    root = write_set(folder / "data")
    changes = ["augment.mosaic=0.5", "augment.cutout=0.5", "augment.grey=0.3", "optim.accumulate=2", "workers=0"]
    recipe = load_recipe(write_recipe(folder, root, steps=6), changes)
    return recipe, TrainingImages([open_set(recipe.data.sets[0], root, SCHEMA)], recipe, SCHEMA)


@pytest.mark.parametrize("workers", [0, 1])
def test_canvases_made_on_the_device_are_those_made_where_they_are_planned(recipe_and_images, workers):
    recipe, images = recipe_and_images
    recipe = recipe.model_copy(update={"workers": workers})
    device = torch.device("cpu")
    renderer = DeviceRenderer(images.pictures, recipe.input_size_hw, device)
    here, there = (Batches(images, recipe, 0, device, maker) for maker in (None, renderer))
    steps = 0
    for parts, planned in zip(here.since(2), there.since(2), strict=True):
        assert len(parts) == len(planned) == 2
        for part, plan in zip(parts, planned, strict=True):
            (pixels, target), (made, labels) = here.onto_device(part), there.onto_device(plan)
            assert (made.shape, made.dtype) == (pixels.shape, torch.uint8)
            assert np.abs(made.numpy().astype(int) - pixels.numpy()).mean() < 2
            for name, value in vars(target).items():
                torch.testing.assert_close(getattr(labels, name), value)
        steps += 1
    assert steps == 4


def test_pictures_that_were_forgotten_are_read_again(recipe_and_images):
    _, images = recipe_and_images
    before, _ = images[3]
    images.pictures.forget()
    after, _ = images[3]
    assert np.abs(before.astype(int) - after).mean() < 2
