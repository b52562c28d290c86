"""`e2pose doctor data` reports exactly what a training uses of an image set, and whether it starts."""

import json
from pathlib import Path

import pytest

from e2pose.core.errors import AnnotationError, E2PoseError
from e2pose.data.inspection.inspect import RecipeSets, inspect, open_subsets
from e2pose.training.image_data import ImageData, open_image_data
from e2pose.training.recipe import Recipe, load_recipe
from e2pose.training.train import train
from helpers.spoiled_sets import SPOILED_SETS, entry, write_coco
from helpers.training_runs import RecordingReporter, write_recipe


def write(folder: Path, *, sets=("set",), **changes) -> Path:
    """Writes a recipe of one step whose training images are the images of the sets, without augmentation."""
    recipe = load_recipe(write_recipe(folder, folder, steps=1))
    record = recipe.model_dump(mode="json", by_alias=True)
    record["schema"] = "data"
    record["data"]["sets"] = [{"path": part} if isinstance(part, str) else part for part in sets]
    record["threads"] = 1
    record["optim"]["batch_size"] = 2
    record["augment"]["scale"] = [1, 1]
    for key, value in changes.items():
        table, _, name = key.rpartition("__")
        (record[table] if table else record)[name] = value
    path = folder / "recipe.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def inspect_recipe(recipe: Recipe, root: Path):
    source = RecipeSets(
        "recipe", recipe.data.sets, recipe.schema_name, root, recipe.input_size_hw, recipe.fit, recipe.augment
    )
    return inspect(*open_subsets([source]))


def count_persons(data: ImageData) -> int:
    """Returns the number of persons in training images that contain every source image once."""
    compositions = [data.images.draw(number)[0] for number in range(20)]
    return sum({one.layers[0].image: len(one.labels.areas) for one in compositions}.values())


@pytest.mark.parametrize("name", SPOILED_SETS)
def test_doctor_and_training_agree_on_spoiled_sets(tmp_path, name):
    build, persons = SPOILED_SETS[name]
    build(tmp_path / "set")
    path = write(tmp_path)
    recipe = load_recipe(path)
    report = inspect_recipe(recipe, tmp_path)
    (verdict,) = report.verdicts
    assert verdict.usable == (persons is not None)
    if persons is None:
        assert report.has_errors
        with pytest.raises(E2PoseError) as failure:
            train(path, output=tmp_path / "run", reporter=RecordingReporter())
        assert failure.value.hint
        assert not (tmp_path / "run").exists(), "refused before the first step"
        return
    data = open_image_data(recipe, tmp_path)
    assert verdict.persons == persons == count_persons(data)
    assert f"training images: {verdict.images} with {persons} persons" in data.summary[0]
    assert data.selections == list(report.selections)


def test_one_step_of_training_reports_what_is_omitted(tmp_path):
    write_coco(
        tmp_path / "set",
        entry(),
        *(entry(number, keypoints=[0] * 9) for number in range(2, 9)),
        entry(9, iscrowd=1),
        files=("a.png", "b.png"),
    )
    (tmp_path / "set" / "images" / "b.png").unlink()
    reporter = RecordingReporter()
    train(write(tmp_path), output=tmp_path / "run", reporter=reporter)
    assert reporter.messages[0] == "image sets: 1, training images: 1 with 1 persons, held-out images: 0"
    assert [message.split(" (")[0] for message in reporter.messages if "omitted" in message] == [
        "set: omitted 7 persons: no labelled keypoint",
        "set: omitted 1 person: crowd region",
        "set: omitted 1 image: missing or unreadable file",
    ]
    step = next(message for message in reporter.messages if message.startswith("step 1/1"))
    assert "1.0 persons/image" in step


def test_reasons_are_named_when_nothing_can_be_learned(tmp_path):
    write_coco(tmp_path / "set", *(entry(number, keypoints=[0] * 9) for number in range(1, 8)))
    with pytest.raises(AnnotationError) as failure:
        open_image_data(load_recipe(write(tmp_path)), tmp_path)
    assert failure.value.message == (
        "no person of 'set' can be learned; omitted 7 persons: no labelled keypoint (for example a.png)"
    )
    assert "e2pose doctor data" in failure.value.hint


def test_sets_without_annotations_do_not_refer_to_omissions(tmp_path):
    write_coco(tmp_path / "set")
    with pytest.raises(AnnotationError, match=r"no image of 'set' has an annotated person$") as failure:
        open_image_data(load_recipe(write(tmp_path)), tmp_path)
    assert failure.value.hint.startswith("add an image set with annotated persons")


def test_set_of_background_images_is_accepted_beside_others(tmp_path):
    write_coco(tmp_path / "set", entry())
    write_coco(tmp_path / "background", files=("b.png", "c.png"))
    data = open_image_data(load_recipe(write(tmp_path, sets=("set", "background"))), tmp_path)
    assert "background: no annotated person; all 2 images are background" in data.summary


@pytest.mark.parametrize("spoil", [{"category_id": 7}, {"keypoints": [0] * 9}, {"area": 1.5}])
def test_set_without_learned_persons_is_refused_beside_others_if_it_has_annotations(tmp_path, spoil):
    write_coco(tmp_path / "set", entry())
    write_coco(tmp_path / "spoiled", entry(**spoil), files=("b.png",))
    recipe = load_recipe(write(tmp_path, sets=("set", "spoiled")))
    with pytest.raises(AnnotationError, match="no person of 'spoiled' can be learned; omitted 1 "):
        open_image_data(recipe, tmp_path)
    assert [verdict.usable for verdict in inspect_recipe(recipe, tmp_path).verdicts] == [False]


def test_set_declared_as_background_is_accepted_with_annotations_of_other_categories(tmp_path):
    write_coco(tmp_path / "set", entry())
    write_coco(tmp_path / "street", entry(category_id=7), files=("b.png", "c.png"))
    recipe = load_recipe(write(tmp_path, sets=("set", "street")))
    with pytest.raises(AnnotationError, match="no person of 'street' can be learned") as caught:
        open_image_data(recipe, tmp_path)
    assert "set background = true of the set" in caught.value.hint
    recipe = load_recipe(write(tmp_path, sets=({"path": "street", "background": True}, "set")))
    data = open_image_data(recipe, tmp_path)
    assert "street: no annotated person; all 2 images are background" in data.summary
    assert data.summary[0].startswith("image sets: 2, training images: 3 with 1 persons")
    assert inspect_recipe(recipe, tmp_path).selections == tuple(data.selections)


def test_set_whose_only_image_is_held_out_is_refused(tmp_path):
    write_coco(tmp_path / "set", entry())
    recipe = load_recipe(write(tmp_path, sets=({"path": "set", "holdout": 2},)))
    with pytest.raises(AnnotationError, match="no image of 'set' can be used for training") as caught:
        open_image_data(recipe, tmp_path)
    assert caught.value.hint == "remove holdout of the set: it has one image"
    assert not inspect_recipe(recipe, tmp_path).verdicts[0].usable


def test_size_limit_depends_on_input_size_scale_and_paste(tmp_path):
    write_coco(tmp_path / "set", entry(area=20))
    for changes, is_learned in (
        ({"input_size_hw": [64, 64]}, False),
        ({"input_size_hw": [96, 96]}, True),
        ({"input_size_hw": [64, 64], "augment__scale": [0.5, 1.2]}, True),
        ({"input_size_hw": [64, 64], "augment__paste": 0.1}, True),
    ):
        recipe = load_recipe(write(tmp_path, **changes))
        assert inspect_recipe(recipe, tmp_path).verdicts[0].usable is is_learned
        if not is_learned:
            with pytest.raises(AnnotationError, match=r"smaller than 5x5 pixels of the network input"):
                open_image_data(recipe, tmp_path)


def test_unusable_held_out_images_are_reported_and_not_evaluated(tmp_path):
    persons = [entry(number, image_id=number) for number in (2, 3, 4)]
    files = ("a.png", "b.png", "c.png", "d.png", "e.png")
    write_coco(tmp_path / "set", *persons, files=files)
    recipe = load_recipe(write(tmp_path, sets=({"path": "set", "holdout": 4},)))  # holds out a and e
    data = open_image_data(recipe, tmp_path)
    assert "set: the 2 held-out images have no annotated person and are not evaluated" in data.summary
    assert data.sets[0].held_out.images == ()
    (tmp_path / "set" / "images" / "e.png").unlink()
    summary = open_image_data(recipe, tmp_path).summary
    assert any(line.startswith("set: omitted 1 of 2 held-out images (for example there is no file") for line in summary)
