from dataclasses import replace
from types import SimpleNamespace

import pytest

from e2pose.data.image_sets import open_set
from e2pose.inference.estimator import Estimator
from e2pose.runtimes.torch import TorchRuntime
from e2pose.training.evaluate import evaluate_sets, spread
from e2pose.training.preview import read_preview_images
from e2pose.training.recipe import load_recipe
from helpers.networks import SPEC, small_network
from helpers.training_runs import write_recipe, write_set


@pytest.mark.parametrize(
    ("count", "wanted", "expected"), [(10, 3, [0, 3, 6]), (4, 4, [0, 1, 2, 3]), (2, 5, [0, 1]), (0, 3, [])]
)
def test_indices_are_evenly_spread(count, wanted, expected):
    assert spread(count, wanted) == expected


@pytest.fixture
def sets(tmp_path):
    """A recipe with two sets of one path, which hold out 8 and 2 images, and a third without held-out images."""
    recipe = load_recipe(write_recipe(tmp_path, write_set(tmp_path), steps=1))
    part = recipe.data.sets[0]
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"sets": (part, part, part)})})
    image_set = open_set(part, tmp_path, SPEC.schema)
    image = image_set.training.images[0]
    held_out = [replace(image_set.training, images=tuple(replace(image, id=n) for n in range(k))) for k in (8, 2, 0)]
    return recipe, [replace(image_set, held_out=annotations) for annotations in held_out]


def test_sets_are_evaluated_evenly_and_averaged(sets, monkeypatch):
    calls = []

    def evaluate(estimator, dataset, folder):
        calls.append([image.id for image in dataset.images])
        value = len(dataset.images) / 10
        metrics = SimpleNamespace(ap=value, ap50=value, ap75=value, ar=2 * value)
        return SimpleNamespace(metrics=metrics, duplicates_per_image=4 * value)

    monkeypatch.setattr("e2pose.training.evaluate.evaluate", evaluate)
    estimator = Estimator(TorchRuntime(small_network(), SPEC))
    found = evaluate_sets(estimator, *sets, limit=8)
    assert calls == [[0, 2, 4, 6], [0, 1]]
    expected = {"ap": 0.3, "ap50": 0.3, "ap75": 0.3, "ar": 0.6, "duplicates_per_image": 1.2}
    assert found == pytest.approx({**expected, "ap/synthetic 0": 0.4, "ap/synthetic 1": 0.2})
    assert evaluate_sets(estimator, *sets)["ap"] == pytest.approx(0.5)
    recipe, (_, _, empty) = sets
    assert evaluate_sets(estimator, recipe, [empty] * 3) == {}


def test_preview_prefers_held_out_images(sets):
    assert [image.shape for image in read_preview_images(sets[1])] == [(320, 320, 3)] * (4 + 2 + 1)
