from pathlib import Path

import pytest
import torch

from e2pose.core.errors import OptionError
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.training.config import OptimConfig, load_recipe
from e2pose.training.ema import WeightAverage
from e2pose.training.optim import rate_factor

MINIMAL = 'name = "x"\n[data]\nsets = [{path = "a"}]\n[optim]\nsteps = 3\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_short_recipe_is_filled_with_defaults(tmp_path):
    recipe = load_recipe(write(tmp_path, MINIMAL))
    assert recipe.network.strides == (32, 64, 128, 256, 512)
    assert recipe.schema_name == "coco"
    assert recipe.optim.steps == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MINIMAL + "stepz = 4\n", "optim.stepz"),
        (MINIMAL.replace("steps = 3", "steps = 0"), "optim.steps"),
        (MINIMAL.replace('[{path = "a"}]', "[]"), "data.sets"),
        (MINIMAL.replace('name = "x"\n', ""), "name"),
        (MINIMAL + "[augment]\nflip = 2\n", "augment.flip"),
        ("canvas_hw = [250, 250]\n" + MINIMAL, "canvas_hw.*multiple of 32"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_the_name_of_the_key(tmp_path, text, complaint):
    with pytest.raises(OptionError, match=complaint):
        load_recipe(write(tmp_path, text))


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(OptionError, match="nowhere"):
        load_recipe(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[3].glob("recipes/*.toml")), ids=lambda path: path.stem)
def test_the_recipes_that_come_with_the_project_are_valid(path):
    assert load_recipe(path).name == path.stem


def test_the_rate_warms_up_and_falls_to_its_end():
    config = OptimConfig(steps=100, warmup_steps=10, final_factor=0.1)
    factors = [rate_factor(step, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0.1)


def test_the_average_follows_the_weights():
    network = build_network(NetworkConfig(strides=(32,), width=2, head_depth=0))
    average = WeightAverage(network, decay=0.5)
    values = network.head.output.bias
    with torch.no_grad():
        average.network.head.output.bias.fill_(1.0)
        values.fill_(3.0)
    network.head.norms["32"][0].num_batches_tracked.fill_(7)
    average.update(network, step=100)
    assert average.network.head.output.bias.unique().tolist() == [2.0]
    assert int(average.network.head.norms["32"][0].num_batches_tracked) == 7
    average.update(network, step=0)  # the first steps forget sooner: a decay of 0.1
    assert average.network.head.output.bias.unique().tolist() == pytest.approx([2.9])
