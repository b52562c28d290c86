"""Canvases of a training: drawn from seed and number alone, strange at first and plain at the end."""

import json

import cv2
import numpy as np
import pytest

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError
from e2pose.data import image_store
from e2pose.data.config import AugmentConfig, DataSetConfig
from e2pose.data.image_sets import open_set
from e2pose.data.training_images import TrainingImages
from e2pose.formats.coco import to_coco_annotations
from helpers.targets import SCHEMA

STRANGE = {
    "mosaic": 0.5,
    "grids": [[1, 2], [2, 1], [2, 2], [3, 3]],
    "paste": 0.5,
    "cutout": 0.5,
    "noise": 0.5,
    "jpeg": 0.5,
}
STEPS, BATCH = 10, 4


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three pictures of one person each, 200 pixels wide, with bright spots at the keypoints."""
    folder = tmp_path_factory.mktemp("data") / "made"
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


def training_images(root, *, cache=True, seed=0, weights=(1.0,), **augment) -> TrainingImages:
    return TrainingImages(
        [open_set(DataSetConfig(path="made", weight=weight), root, SCHEMA) for weight in weights],
        SCHEMA,
        input_size_hw=(96, 128),
        fit="letterbox",
        augment=AugmentConfig.model_validate(augment),
        steps=STEPS,
        batch_size=BATCH,
        seed=seed,
        cache=cache,
    )


def same(one, other) -> bool:
    (pixels, labels), (others, other_labels) = one, other
    return np.array_equal(pixels, others) and all(
        np.array_equal(value, getattr(other_labels, name)) for name, value in vars(labels).items()
    )


def test_a_canvas_depends_on_seed_and_number_alone(root):
    first, again, other = (training_images(root, seed=seed, **STRANGE) for seed in (0, 0, 1))
    numbers = list(range(20))
    canvases = {number: first[number] for number in numbers}
    assert all(same(again[number], canvases[number]) for number in reversed(numbers))
    assert not any(np.array_equal(other[number][0], canvases[number][0]) for number in numbers)
    assert {canvas.shape for canvas, _ in canvases.values()} == {(96, 128, 3)}


def test_sets_are_drawn_by_their_weights(root):
    images = training_images(root, weights=(1.0, 3.0))
    drawn = [images.draw(number)[0].layers[0].image for number in range(600)]
    assert set(drawn) == set(range(6))
    assert sum(picture >= 3 for picture in drawn) / len(drawn) == pytest.approx(0.75, abs=0.07)


def test_crowds_are_made_of_single_people(root):
    images = training_images(root, **{**STRANGE, "mosaic": 1.0})
    people = [len(images[number][1].areas) for number in range(40)]
    assert max(people) >= 6
    assert np.mean(people) > 2


def test_the_last_part_is_clean(root):
    strange = {**STRANGE, "mosaic": 1.0, "cutout": 1.0, "paste": 1.0}
    images, plain = training_images(root, clean=0.3, **strange), training_images(root)
    plain_recipe = {"mosaic": 0.0, "grey": 0.0, "blur": 0.0}
    plain = training_images(root, **plain_recipe)
    equal = [same(images[number], plain[number]) for number in range(STEPS * BATCH)]
    assert equal == [number >= 7 * BATCH for number in range(STEPS * BATCH)]


def test_without_a_clean_part_there_is_none(root):
    strange = {"cutout": 1.0, "mosaic": 0.0, "grey": 0.0, "blur": 0.0}
    images, plain = (training_images(root, **changes) for changes in (strange, {**strange, "cutout": 0.0}))
    assert not any(same(images[number], plain[number]) for number in range(STEPS * BATCH - 4, STEPS * BATCH))


@pytest.mark.parametrize("cache", [True, False])
def test_labels_lie_where_the_pixels_are_however_they_are_kept(root, cache):
    shown = {"mosaic": 0.5, "paste": 0.5, "brightness": 0, "contrast": 0, "saturation": 0, "grey": 0, "blur": 0}
    images = training_images(root, cache=cache, scale=(0.9, 1.2), **shown)
    bright = []
    for number in range(STEPS * BATCH):
        pixels, labels = images[number]
        x, y = labels.keypoints[labels.labelled].astype(int).T
        bright += pixels[y, x, 0].tolist()
    assert len(bright) > 500
    assert np.mean(np.array(bright) > 120) > 0.97  # the rest is on the soft edge of a pasted piece


def test_the_cache_holds_no_more_than_the_largest_scale_needs(root):
    images = training_images(root, scale=(0.5, 1.2))
    sizes = {pixels.shape for pixels in images.store}
    assert sizes == {(round(1.2 * 0.64 * 150), round(1.2 * 0.64 * 200), 3)}
    for whole in (training_images(root, scale=(0.5, 3.0)), training_images(root, scale=(0.5, 1.2), cache=False)):
        assert {pixels.shape for pixels in whole.store} == {(150, 200, 3)}


def test_a_picture_of_another_size_than_annotated_is_refused(root, tmp_path):
    (tmp_path / "made" / "images").mkdir(parents=True)
    record = json.loads((root / "made" / "annotations.json").read_text(encoding="utf-8"))
    (tmp_path / "made" / "annotations.json").write_text(json.dumps(record), encoding="utf-8")
    for number in range(3):
        cv2.imwrite(
            str(tmp_path / "made" / "images" / f"{number}.png"), np.zeros((150, 100 + 50 * number, 3), np.uint8)
        )
    with pytest.raises(AnnotationError, match=r"0\.png' has 150x100 pixels, but its annotation says 150x200"):
        training_images(tmp_path)


def test_every_image_is_decoded_once(root, monkeypatch):
    read = []
    original = image_store.read_image
    monkeypatch.setattr(image_store, "read_image", lambda path: read.append(path.name) or original(path))
    images = training_images(root)
    for number in range(5):
        images[number]
    assert sorted(read) == ["0.png", "1.png", "2.png"]
