"""Whole trainings on made pictures, small enough for a test."""

import json

import numpy as np
import pytest
import torch

from e2pose.core.errors import AnnotationError, TrainingError
from e2pose.models.artifact import load_weights
from e2pose.training.config import load_recipe
from e2pose.training.dataset import TrainingImages
from e2pose.training.sets import open_set
from e2pose.training.train import train
from made_training import SCHEMA, write_recipe, write_set


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data"))


def quiet(line: str) -> None:
    assert line


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(root, tmp_path, monkeypatch):
    whole = train(write_recipe(tmp_path / "a", root, steps=6), output=tmp_path / "whole", tell=quiet)

    class KilledError(Exception):
        pass

    def kill(line: str) -> None:
        if line.startswith("step 4"):
            raise KilledError

    recipe = write_recipe(tmp_path / "b", root, steps=6, save_every=3)
    with pytest.raises(KilledError):
        train(recipe, output=tmp_path / "parts", tell=kill)
    parts = train(recipe, output=tmp_path / "parts", resume=True, tell=quiet)
    first, second = (load_weights(path)[0].state_dict() for path in (whole, parts))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_runs_are_not_overwritten_and_only_runs_can_be_resumed(root, tmp_path):
    recipe = write_recipe(tmp_path, root, steps=1)
    with pytest.raises(TrainingError, match="cannot resume"):
        train(recipe, output=tmp_path / "run", resume=True, tell=quiet)
    train(recipe, output=tmp_path / "run", tell=quiet)
    with pytest.raises(TrainingError, match="already holds a run"):
        train(recipe, output=tmp_path / "run", tell=quiet)


def test_a_training_says_what_is_wrong_with_its_data(root, tmp_path):
    recipe = write_recipe(tmp_path, tmp_path / "nowhere", steps=1)
    with pytest.raises(AnnotationError, match="nowhere"):
        train(recipe, output=tmp_path / "run", tell=quiet)


def test_a_canvas_depends_on_seed_and_number_alone(root, tmp_path):
    recipe = load_recipe(write_recipe(tmp_path, root, steps=1))
    busy = recipe.augment.model_copy(update={"mosaic": 0.5, "scale": (0.5, 2.0), "rotation": 90.0, "flip": 0.5})
    recipe = recipe.model_copy(update={"augment": busy})

    def canvases(seed: int) -> list[np.ndarray]:
        changed = recipe.model_copy(update={"seed": seed})
        images = TrainingImages([open_set(changed.data.sets[0], root, SCHEMA)], changed, SCHEMA)
        return [images[number][0] for number in (3, 1, 2)]

    first, again, other = canvases(0), canvases(0), canvases(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_held_out_images_are_not_learned_from(root, tmp_path):
    source = root / "made"
    record = json.loads((source / "annotations.json").read_text(encoding="utf-8"))
    record["images"] = [{**record["images"][0], "id": number, "file_name": f"{number}.png"} for number in range(10)]
    record["annotations"] = []
    (tmp_path / "ten").mkdir()
    (tmp_path / "ten" / "annotations.json").write_text(json.dumps(record), encoding="utf-8")
    recipe = load_recipe(write_recipe(tmp_path, root, steps=1))
    part = recipe.data.sets[0].model_copy(update={"path": "ten", "holdout": 5})
    opened = open_set(part, tmp_path, SCHEMA)
    assert [image.id for image in opened.heldout.images] == [0, 5]
    assert [image.id for image in opened.annotations.images] == [1, 2, 3, 4, 6, 7, 8, 9]
