from pathlib import Path

import pytest
import torch

from e2pose.core.errors import OptionError
from e2pose.core.schema import load_schema
from e2pose.data.image_sets import SCHEMA_FROM_DATA
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.training.ema import WeightAverage
from e2pose.training.layout import Layout
from e2pose.training.optim import rate_factor
from e2pose.training.recipe import OptimConfig, load_recipe
from e2pose.training.set_up import new_network
from e2pose.training.warm_start import as_in_model

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
        (MINIMAL + "stepz = 4\n", r"optim\.stepz: there is no such key; did you mean 'optim\.steps'"),
        ("batch_size = 4\n" + MINIMAL, r"batch_size: .*did you mean 'optim\.batch_size'"),
        (MINIMAL.replace('"a"', '"a", wait = 2'), r"sets\.0\.wait: .*did you mean 'data\.sets\.weight'"),
        (MINIMAL + "[quux]\n", "quux: there is no such key$"),
        ("devices = 3\n" + MINIMAL, "batch_size 32 cannot be shared out evenly among 3 processes and 1 passes"),
        (MINIMAL.replace("steps = 3", "steps = 0"), "optim.steps"),
        (MINIMAL.replace('[{path = "a"}]', "[]"), "data.sets"),
        (MINIMAL.replace('name = "x"\n', ""), "name"),
        (MINIMAL + "[augment]\nflip = 2\n", "augment.flip"),
        ("input_size_hw = [250, 250]\n" + MINIMAL, "input_size_hw.*multiple of 32"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_the_name_of_the_key(tmp_path, text, complaint):
    with pytest.raises(OptionError, match=complaint):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    ("assignment", "read", "value"),
    [
        ("optim.steps=7", lambda recipe: recipe.optim.steps, 7),
        ("optim.learning_rate = 1e-4", lambda recipe: recipe.optim.learning_rate, 1e-4),
        ("input_size_hw=[320, 448]", lambda recipe: recipe.input_size_hw, (320, 448)),
        ("network.backbone=resnet50", lambda recipe: recipe.network.backbone, "resnet50"),
        ("schema=my.toml", lambda recipe: recipe.schema_name, "my.toml"),
        ("data.sets.0.path='b=c'", lambda recipe: recipe.data.sets[0].path, "b=c"),
        ("data.cache=false", lambda recipe: recipe.data.cache, False),
    ],
)
def test_entries_are_set_from_outside(tmp_path, assignment, read, value):
    assert read(load_recipe(write(tmp_path, MINIMAL), [assignment])) == value


def test_the_last_of_several_values_counts(tmp_path):
    assert load_recipe(write(tmp_path, MINIMAL), ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("optim.stepz=7", "did you mean 'optim.steps'"),
        ("optm.steps=7", "optm: .*did you mean 'optim'"),
        ("optim.steps", "sets nothing"),
        ("=7", "sets nothing"),
        ("input_size_hw=[320,", "not valid TOML"),
        ("name.first=7", "leads to no entry"),
        ("data.sets.3.path=x", "leads to no entry"),
        ("data.sets.first.path=x", "leads to no entry"),
        ("optim.steps=many", "optim.steps: .*integer"),
        ("seed=1\nname='y'", "more than one"),
    ],
)
def test_wrong_entries_from_outside_are_refused(tmp_path, assignment, complaint):
    with pytest.raises(OptionError, match=complaint):
        load_recipe(write(tmp_path, MINIMAL), [assignment])


def test_the_resolved_recipe_can_be_trained_again(tmp_path):
    recipe = load_recipe(write(tmp_path, MINIMAL), ["schema=crowdpose", "network.strides=[16, 32]"])
    path = tmp_path / "recipe.json"
    path.write_text(recipe.model_dump_json(by_alias=True), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(OptionError, match="nowhere"):
        load_recipe(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[3].glob("recipes/*.toml")), ids=lambda path: path.stem)
def test_the_recipes_that_come_with_the_project_are_valid(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    recipe = as_in_model(recipe)
    schema = load_schema("coco" if recipe.schema_name == SCHEMA_FROM_DATA else recipe.schema_name)
    with torch.device("meta"), torch.no_grad():
        network = new_network(recipe, schema, pretrained=False, tell=print)
        prediction = network.eval()(torch.zeros(1, 3, *recipe.input_size_hw, dtype=torch.uint8))
    candidates = len(Layout.of(recipe.input_size_hw, recipe.network.strides, schema).cell_centers)
    assert prediction.keypoints.shape == (1, candidates, len(schema), 2)
    canvas = path.stem.rsplit("-", 1)[-1]
    if "x" in canvas:
        assert canvas == "{}x{}".format(*recipe.input_size_hw)


def test_the_rate_warms_up_and_falls_to_its_end():
    config = OptimConfig(steps=100, warmup_steps=10, final_factor=0.1)
    factors = [rate_factor(step, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0.1)


def test_the_average_follows_the_weights():
    network = build_network(NetworkConfig(strides=(32,), width=2, head_depth=0), 17)
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
