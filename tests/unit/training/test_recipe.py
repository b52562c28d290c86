import subprocess
import sys
from pathlib import Path

import pytest
import torch

from e2pose.core.errors import OptionError
from e2pose.core.schema import load_schema
from e2pose.data.image_sets import SCHEMA_FROM_DATA
from e2pose.training.layout import Layout
from e2pose.training.recipe import LossConfig, MatchConfig, OptimConfig, load_recipe
from e2pose.training.recipes import FOLDER
from e2pose.training.set_up import new_network
from e2pose.training.warm_start import with_initial_network

MINIMAL = 'name = "x"\n[data]\nsets = [{path = "a"}]\n[optim]\nsteps = 3\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_missing_keys_have_defaults(tmp_path):
    recipe = load_recipe(write(tmp_path, MINIMAL))
    assert recipe.network.strides == (32, 64, 128, 256, 512)
    assert recipe.schema_name == "coco"
    assert recipe.optim.steps == 3


def test_defaults_that_bundled_recipes_omit_are_unchanged():
    assert MatchConfig().model_dump() == {
        "score_power": 0.2,
        "radius": 2.0,
        "cells": 3.0,
        "prior": 0.05,
        "auxiliary_positives": 6,
    }
    assert LossConfig().model_dump() == {
        "person": 1.0,
        "oks": 1.0,
        "distance": 3.0,
        "one_to_many": 0.0,
        "center": 0.2,
        "visibility": 0.5,
        "intermediate_tolerance": 1.0,
        "auxiliary_negative_weight": 1.0,
        "offset_denoising": 0.0,
        "score_floor": 0.2,
        "non_exhaustive_negative_weight": 0.2,
    }
    assert OptimConfig(steps=1).model_dump(exclude={"steps"}) == {
        "batch_size": 32,
        "accumulate": 1,
        "learning_rate": 1e-3,
        "backbone_factor": 0.3,
        "weight_decay": 0.02,
        "warmup_steps": 200,
        "final_factor": 0.02,
        "clip_norm": 5.0,
        "ema_decay": 0.999,
        "precision": "bf16",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MINIMAL + "stepz = 4\n", r"optim\.stepz: unknown key; did you mean 'optim\.steps'"),
        ("batch_size = 4\n" + MINIMAL, r"batch_size: .*did you mean 'optim\.batch_size'"),
        (MINIMAL.replace('"a"', '"a", wait = 2'), r"sets\.0\.wait: .*did you mean 'data\.sets\.weight'"),
        (MINIMAL + "[quux]\n", "quux: unknown key$"),
        ("devices = 3\n" + MINIMAL, "batch_size must be a multiple of .* = 3, not 32"),
        (MINIMAL.replace("steps = 3", "steps = 0"), "optim.steps: input should be greater than 0, not 0$"),
        (MINIMAL.replace('[{path = "a"}]', "[]"), "data.sets: .* at least 1 item"),
        (
            MINIMAL.replace('"a"', '"a", split = "valid"'),
            r"sets\.0\.split: input should be .* or 'test', not \"valid\"$",
        ),
        (MINIMAL.replace('name = "x"\n', ""), "name: this key is required$"),
        (MINIMAL.replace('"a"', '"a", background = true, split = "val"'), "has no annotations; omit split$"),
        (MINIMAL + "[augment]\nflip = 2\n", "augment.flip"),
        (MINIMAL + "[augment]\nflip = true\n", "augment.flip.*must be a number, not true"),
        (MINIMAL + "[augment]\nscale = [1.7, 0.75]\n", r"augment\.scale must be \[smallest, largest\]"),
        (MINIMAL + "[augment]\nscale = [0.0001, 1]\n", r"augment\.scale\.0: .*0\.01"),
        *((MINIMAL + f"learning_rate = {value}\n", "optim.learning_rate") for value in ("0.0", "-1.0", "inf", "nan")),
        (MINIMAL + "weight_decay = inf\n", "optim.weight_decay: .*finite"),
        (MINIMAL + "batch_size = 0\n", "optim.batch_size"),
        (MINIMAL + "accumulate = 5\n", "optim.batch_size must be a multiple"),
        (MINIMAL.replace("steps = 3", "steps = -3"), "optim.steps"),
        (MINIMAL.replace("steps = 3", "steps = true"), "optim.steps: must be a number, not true"),
        (MINIMAL.replace("steps = 3", f"steps = {10**40}"), "optim.steps"),
        ("seed = -1\n" + MINIMAL, "seed"),
        ("input_size_hw = [0, 32]\n" + MINIMAL, "input_size_hw.0"),
        ("input_size_hw = [32, 1000000]\n" + MINIMAL, "input_size_hw.1"),
        *((MINIMAL.replace('"x"', name), "name: ") for name in ('""', '".."', '"a/b"', '"a\\\\b"', '"a\\nb"', "3")),
        (MINIMAL.replace('"a"', '"a\\u0000b"'), r"data\.sets\.0\.path: must not contain the character U\+0000"),
        ("input_size_hw = [250, 250]\n" + MINIMAL, "input_size_hw.*multiple of 32"),
        ("name = ", "not valid TOML"),
    ],
)
def test_invalid_recipe_is_rejected_with_the_name_of_the_key(tmp_path, text, complaint):
    with pytest.raises(OptionError, match=complaint) as failure:
        load_recipe(write(tmp_path, text))
    assert failure.value.hint


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
def test_assignments_change_entries(tmp_path, assignment, read, value):
    assert read(load_recipe(write(tmp_path, MINIMAL), [assignment])) == value


def test_last_assignment_of_a_key_wins(tmp_path):
    assert load_recipe(write(tmp_path, MINIMAL), ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("optim.stepz=7", "did you mean 'optim.steps'"),
        ("optm.steps=7", "optm: .*did you mean 'optim'"),
        ("optim.steps", "--set requires KEY=VALUE"),
        ("=7", "--set requires KEY=VALUE"),
        ("input_size_hw=[320,", "not valid TOML"),
        ("name.first=7", "has no entry"),
        ("data.sets.3.path=x", "has no entry"),
        ("data.sets.first.path=x", "has no entry"),
        ("optim.steps=many", "optim.steps: .*integer"),
        ("seed=1\nname='y'", "more than one"),
    ],
)
def test_invalid_assignments_are_rejected(tmp_path, assignment, complaint):
    with pytest.raises(OptionError, match=complaint):
        load_recipe(write(tmp_path, MINIMAL), [assignment])


def test_recipe_written_as_json_is_read_back(tmp_path):
    recipe = load_recipe(write(tmp_path, MINIMAL), ["schema=crowdpose", "network.strides=[16, 32]"])
    path = tmp_path / "recipe.json"
    path.write_text(recipe.model_dump_json(by_alias=True), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_home_folder_is_expanded_in_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path, MINIMAL)
    recipe = load_recipe(Path("~/recipe.toml"), ["data.root=~/sets", "initial.weights=~/a.safetensors"])
    assert (recipe.data.root, recipe.initial.weights) == (f"{tmp_path}/sets", f"{tmp_path}/a.safetensors")


def test_byte_order_mark_of_a_recipe_is_skipped(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load_recipe(path) == load_recipe(write(tmp_path, MINIMAL))


def test_recipe_in_another_encoding_is_rejected(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("name = 'a'", encoding="utf-16")
    with pytest.raises(OptionError, match="it is UTF-16 text, not UTF-8 text"):
        load_recipe(path)


def test_missing_file_and_folder_are_rejected(tmp_path):
    with pytest.raises(OptionError, match="nowhere"):
        load_recipe(tmp_path / "nowhere.toml")
    with pytest.raises(OptionError, match="is a folder") as failure:
        load_recipe(tmp_path)
    assert ".toml" in failure.value.hint


def test_wrong_recipe_is_reported_before_torch_is_imported(tmp_path):
    code = (
        "import sys; from e2pose.cli.app import main; "
        f"code = main(['train', {str(tmp_path / 'nowhere.toml')!r}]); print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 False"
    assert "nowhere.toml" in done.stderr


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_bundled_recipe_is_valid(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    recipe = with_initial_network(recipe)
    schema = load_schema("coco" if recipe.schema_name == SCHEMA_FROM_DATA else recipe.schema_name)
    with torch.device("meta"), torch.no_grad():
        network = new_network(recipe, schema)
        prediction = network.eval()(torch.zeros(1, 3, *recipe.input_size_hw, dtype=torch.uint8))
    candidates = len(Layout.of(recipe.input_size_hw, recipe.network.strides, schema).cell_centers)
    assert prediction.keypoints.shape == (1, candidates, len(schema), 2)
    size = path.stem.rsplit("-", 1)[-1]
    if "x" in size:
        assert size == "{}x{}".format(*recipe.input_size_hw)
