"""Training images are reproducible, drawn by weight and free of strong augmentation at the end."""

import json
import shutil

import cv2
import numpy as np
import pytest

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import InputError
from e2pose.data import image_store
from e2pose.data.config import AugmentConfig, DataSetConfig
from e2pose.data.image_sets import open_set
from e2pose.data.training_images import TrainingImages
from e2pose.formats.coco import to_coco_annotations
from helpers.targets import SCHEMA

STRONG = {
    "mosaic": 0.5,
    "grids": [[1, 2], [2, 1], [2, 2], [3, 3]],
    "paste": 0.5,
    "cutout": 0.5,
    "noise": 0.5,
    "jpeg": 0.5,
}
PLAIN = {"mosaic": 0.0, "grey": 0.0, "blur": 0.0}
STEPS, BATCH_SIZE = 10, 4
SIZE_HW = (96, 128)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Writes three images of one person each, 200 pixels wide, with bright spots at the keypoints."""
    folder = tmp_path_factory.mktemp("data") / "spots"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = []
    for number in range(3):
        pixels = np.full((150, 200, 3), 40 * number, np.uint8)
        points = (rng.uniform([60, 30], [140, 120], (17, 2)).astype(int) + 0.5).astype(np.float32)
        for x, y in points.astype(int):
            pixels[y - 2 : y + 3, x - 2 : x + 3] = 255
        cv2.imwrite(str(folder / "images" / f"{number}.png"), pixels)
        person = PersonAnnotation(points, np.full(17, 2, np.uint8), 3000.0, (58, 28, 84, 94))
        images.append(ImageAnnotation(number, f"{number}.png", (150, 200), (person,), tuple(range(17))))
    record = to_coco_annotations(Annotations(SCHEMA, tuple(images)))
    (folder / "annotations.json").write_text(json.dumps(record), encoding="utf-8")
    return folder.parent


def open_images(root, *, cache=True, seed=0, weights=(1.0,), steps=STEPS, **augment) -> TrainingImages:
    return TrainingImages(
        [open_set(DataSetConfig(path="spots", weight=weight), root, SCHEMA) for weight in weights],
        SCHEMA,
        input_size_hw=SIZE_HW,
        fit="letterbox",
        augment=AugmentConfig.model_validate(augment),
        steps=steps,
        batch_size=BATCH_SIZE,
        seed=seed,
        cache=cache,
    )


def are_equal(one, other) -> bool:
    (pixels, labels), (other_pixels, other_labels) = one, other
    return np.array_equal(pixels, other_pixels) and all(
        np.array_equal(value, getattr(other_labels, name)) for name, value in vars(labels).items()
    )


def test_image_depends_only_on_seed_and_number(root):
    first, again, other = (open_images(root, seed=seed, **STRONG) for seed in (0, 0, 1))
    numbers = list(range(20))
    images = {number: first[number] for number in numbers}
    assert all(are_equal(again[number], images[number]) for number in reversed(numbers))
    assert not any(np.array_equal(other[number][0], images[number][0]) for number in numbers)
    assert {pixels.shape for pixels, _ in images.values()} == {(*SIZE_HW, 3)}


def test_sets_are_drawn_by_weight_and_images_of_a_set_uniformly(root):
    images = open_images(root, weights=(1.0, 3.0), **PLAIN)
    numbers = [images.draw(number)[0].layers[0].image for number in range(800)]
    shares = np.bincount(numbers, minlength=6) / len(numbers)
    np.testing.assert_allclose(shares, [0.25 / 3] * 3 + [0.75 / 3] * 3, atol=0.05)


def test_each_augmentation_has_its_chance(root):
    images = open_images(root, steps=1000, mosaic=0.3, grids=[[1, 2]], paste=0.4, cutout=0.2)
    compositions = [images.draw(number)[0] for number in range(400)]
    is_mosaic = [composition.layers[0].box[2] < SIZE_HW[1] for composition in compositions]
    num_pasted = [sum(layer.edge > 0 for layer in composition.layers) for composition in compositions]
    num_cut_outs = [len(composition.cut_outs) for composition in compositions]
    assert np.mean(is_mosaic) == pytest.approx(0.3, abs=0.08)
    assert np.mean(np.array(num_pasted) > 0) == pytest.approx(0.4, abs=0.08)
    assert np.mean(np.array(num_cut_outs) > 0) == pytest.approx(0.2, abs=0.08)
    assert set(num_pasted) == set(num_cut_outs) == {0, 1, 2, 3}


def test_all_grids_of_a_mosaic_are_drawn_and_fill_the_image(root):
    images = open_images(root, mosaic=1.0, grids=[[1, 2], [3, 3]])
    counts = set()
    for number in range(30):
        layers = images.draw(number)[0].layers
        counts.add(len(layers))
        assert sum(width * height for _, _, width, height in (layer.box for layer in layers)) == 96 * 128
    assert counts == {2, 9}


def test_images_of_single_persons_give_crowds(root):
    images = open_images(root, **{**STRONG, "mosaic": 1.0})
    num_persons = [len(images[number][1].areas) for number in range(40)]
    assert max(num_persons) >= 6
    assert np.mean(num_persons) > 2


def test_last_part_of_the_training_has_no_strong_augmentation(root):
    strong = open_images(root, clean=0.3, **{**STRONG, "mosaic": 1.0, "cutout": 1.0, "paste": 1.0})
    plain = open_images(root, **PLAIN)
    is_plain = [are_equal(strong[number], plain[number]) for number in range(STEPS * BATCH_SIZE)]
    assert is_plain == [number >= 7 * BATCH_SIZE for number in range(STEPS * BATCH_SIZE)]


def test_augmentation_continues_to_the_end_without_a_clean_part(root):
    with_cut_outs, plain = (open_images(root, **PLAIN, cutout=chance) for chance in (1.0, 0.0))
    last = range(STEPS * BATCH_SIZE - BATCH_SIZE, STEPS * BATCH_SIZE)
    assert not any(are_equal(with_cut_outs[number], plain[number]) for number in last)


@pytest.mark.parametrize("cache", [True, False])
def test_labels_are_at_their_pixels_with_and_without_cache(root, cache):
    colours = {"brightness": 0, "contrast": 0, "saturation": 0, "grey": 0, "blur": 0}
    images = open_images(root, cache=cache, scale=(0.9, 1.2), mosaic=0.5, paste=0.5, **colours)
    values = []
    for number in range(STEPS * BATCH_SIZE):
        pixels, labels = images[number]
        x, y = labels.keypoints[labels.labelled].astype(int).T
        values += pixels[y, x, 0].tolist()
    assert len(values) > 500
    assert np.mean(np.array(values) > 120) > 0.97  # the others are on the soft edge of a pasted piece


def test_cache_has_the_resolution_of_the_largest_scale(root):
    images = open_images(root, scale=(0.5, 1.2))
    sizes = {images.store[number].shape for number in range(3)}
    assert sizes == {(round(1.2 * 0.64 * 150), round(1.2 * 0.64 * 200), 3)}
    for original in (open_images(root, scale=(0.5, 3.0)), open_images(root, scale=(0.5, 1.2), cache=False)):
        assert {original.store[number].shape for number in range(3)} == {(150, 200, 3)}


@pytest.mark.parametrize("cache", [True, False])
def test_images_of_another_size_than_annotated_are_never_drawn(root, tmp_path, cache):
    (tmp_path / "spots" / "images").mkdir(parents=True)
    text = (root / "spots" / "annotations.json").read_text(encoding="utf-8")
    (tmp_path / "spots" / "annotations.json").write_text(text, encoding="utf-8")
    for number in range(3):
        pixels = np.zeros((150, 100 + 50 * number, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "spots" / "images" / f"{number}.png"), pixels)
    images = open_images(tmp_path, cache=cache, mosaic=0.5, paste=0.5)
    (errors,) = images.image_errors
    assert list(errors) == [0, 1]
    assert errors[0].message.endswith(
        "0.png' is 100 pixels wide and 150 high, but its annotation has width 200 and height 150"
    )
    drawn = {layer.image for number in range(20) for layer in images.draw(number)[0].layers}
    assert drawn == {2}


def copy_set(root, tmp_path):
    shutil.copytree(root / "spots", tmp_path / "spots")
    return tmp_path


def test_images_that_disappear_are_replaced_by_others(root, tmp_path):
    images = open_images(copy_set(root, tmp_path), cache=False, mosaic=0.5)
    before = {number: images[number] for number in range(20)}
    (tmp_path / "spots" / "images" / "0.png").unlink()
    data = (tmp_path / "spots" / "images" / "1.png").read_bytes()
    (tmp_path / "spots" / "images" / "1.png").write_bytes(data[:100])
    messages = set()
    for number in range(20):
        sample, errors = images.read(number)
        messages.update(error.message for error in errors)
        assert are_equal(sample, before[number]) == (not errors)
        assert are_equal(sample, images[number]), "the replacement is reproducible, too"
    assert len(messages) == 2
    assert any("there is no file" in message for message in messages)
    assert any("truncated" in message for message in messages)


def test_images_that_all_disappear_are_an_error(root, tmp_path):
    images = open_images(copy_set(root, tmp_path), cache=False)
    shutil.rmtree(tmp_path / "spots" / "images")
    with pytest.raises(
        InputError, match=r"20 images in succession cannot be read any more; .* there is no file"
    ) as failure:
        images[0]
    assert "--resume" in failure.value.hint


def test_cache_decodes_each_image_once(root, monkeypatch):
    names = []
    read_image = image_store.read_image
    monkeypatch.setattr(image_store, "read_image", lambda path: names.append(path.name) or read_image(path))
    images = open_images(root)
    for number in range(5):
        images[number]
    assert sorted(names) == ["0.png", "1.png", "2.png"]
