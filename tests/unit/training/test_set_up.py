"""Checks before the first step."""

import pytest
import torch

from e2pose.core.errors import OptionError
from e2pose.models.config import NetworkConfig
from e2pose.training.loop import set_training_mode
from e2pose.training.recipe import Recipe
from e2pose.training.set_up import _check_batch_norms, _describe_schedule, new_network
from helpers.targets import SCHEMA


def new_recipe(size_hw, batch_size, *, freeze=True, accumulate=1, warmup_steps=1, **network):
    return Recipe.model_validate(
        {
            "name": "x",
            "input_size_hw": size_hw,
            "data": {"sets": [{"path": "a"}]},
            "network": NetworkConfig.model_validate({"width": 8, **network}),
            "initial": {"freeze_batch_norm": freeze},
            "optim": {"steps": 3, "batch_size": batch_size, "accumulate": accumulate, "warmup_steps": warmup_steps},
        }
    )


HALF = {"steps": 1, "fine": {"steps": 1, "half_resolution_branch": True}}


@pytest.mark.parametrize(
    ("recipe", "works"),
    [
        (new_recipe((64, 64), 1, strides=(16, 32, 64)), False),
        (new_recipe((64, 64), 2, strides=(16, 32, 64)), True),
        (new_recipe((64, 96), 1, strides=(16, 32, 64)), True),
        (new_recipe((64, 64), 1, strides=(16, 32)), True),
        (new_recipe((32, 32), 1, strides=(16, 32)), False),
        (new_recipe((64, 64), 1, strides=(16, 32), refinement=HALF), True),
        (new_recipe((64, 64), 1, strides=(16, 32), refinement=HALF, freeze=False), False),
        (new_recipe((128, 128), 4, strides=(32, 64, 128), accumulate=4), False),
        (new_recipe((128, 128), 4, strides=(32, 64, 128), accumulate=2), True),
    ],
)
def test_batch_norms_over_one_value_are_refused_exactly_where_torch_fails(recipe, works):
    network = new_network(recipe, SCHEMA)
    set_training_mode(network, recipe)
    images = torch.zeros(
        recipe.optim.batch_size // recipe.optim.accumulate, 3, *recipe.input_size_hw, dtype=torch.uint8
    )
    if works:
        _check_batch_norms(recipe)
        network(images)
        return
    with pytest.raises(OptionError, match="has a single cell for one image of") as failure:
        _check_batch_norms(recipe)
    assert "optim.batch_size" in failure.value.hint
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(images)


def test_schedule_without_a_peak_is_reported():
    assert _describe_schedule(new_recipe((64, 64), 2, warmup_steps=3).optim) == []
    (line,) = _describe_schedule(new_recipe((64, 64), 2, warmup_steps=4).optim)
    assert "optim.warmup_steps 4 > steps 3" in line
