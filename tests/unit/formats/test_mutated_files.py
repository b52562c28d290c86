"""Randomly changed files give a valid result, or an error in words with a hint; never a Python error."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given

from e2pose.core.errors import AnnotationError
from e2pose.core.schema import KeypointSchema
from e2pose.formats.coco import read_coco, to_coco_annotations
from e2pose.formats.coco_results import read_coco_results, results_to_poses
from e2pose.formats.yolo import read_yolo
from helpers.mutations import RAW_WORDS, few_examples, mutated_records, mutated_texts

NAMES = ["hub", "left_tip", "right_tip"]
PERSON = {"iscrowd": 0, "area": 900, "bbox": [10, 5, 30, 30], "keypoints": [15, 10, 2, 25, 20, 1, 0, 0, 0]}
COCO = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48, "labelled_keypoints": [0, 1], "exhaustive": False},
        {"id": 2, "file_name": "b.jpg", "width": 64, "height": 48, "ignore": [[1, 2, 3, 4]], "crowdIndex": 0.5},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, **PERSON},
        {"id": 2, "image_id": 2, "category_id": 1, **PERSON},
        {"id": 3, "image_id": 2, "category_id": 2, "bbox": [1, 2, 3, 4]},
    ],
    "categories": [
        {"id": 1, "name": "thing", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]},
        {"id": 2, "name": "car"},
    ],
}
RESULTS = [{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 0.5] * 3, "score": 0.9, "bbox": [1, 2, 3, 4]}] * 2
DATA_YAML = {
    "train": ["list.txt"],
    "val": "images",
    "names": {0: "person", 1: "ball"},
    "kpt_shape": [3, 3],
    "flip_idx": [0, 2, 1],
    "kpt_names": {0: NAMES},
}
LABELS = "0 0.5 0.25 0.5 0.25 0.25 0.125 2 0.75 0.375 1.0 0 0 0\n1 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.2 0.2\n"

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def folder():
    """A folder for all examples of a test: only the files of the last one are kept."""
    with tempfile.TemporaryDirectory() as name:
        for part in ("images", "labels"):
            (Path(name) / part).mkdir()
        (Path(name) / "images" / "1.jpg").touch()
        yield Path(name)


def read(function, *arguments, **options):
    """Returns what a reader returns; None if it raises an error in words with a hint."""
    try:
        return function(*arguments, **options)
    except AnnotationError as error:
        assert error.hint
        assert not any(word in error.message for word in RAW_WORDS), error.message
        assert "\n" not in error.message
        return None


def check_annotations(annotations, folder):
    """Checks the guarantees of annotations, and that they can be written and read again."""
    for image in annotations.images:
        assert min(image.size_hw) > 0
        for person in image.persons:
            assert np.isfinite([*person.box, person.area]).all()
            assert min(*person.box[2:], person.area) >= 0
            assert np.isfinite(person.keypoints).all()
            assert person.keypoints.shape == (len(annotations.schema), 2)
    written = to_coco_annotations(annotations)
    path = folder / "again.json"
    path.write_text(json.dumps(written, allow_nan=False), encoding="utf-8")
    assert to_coco_annotations(read_coco(path))["images"] == written["images"]


@few_examples
@given(record=mutated_records(COCO))
def test_coco_annotations(folder, record):
    path = folder / "annotations.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    annotations = read(read_coco, path)
    if annotations:
        check_annotations(annotations, folder)


@few_examples
@given(text=mutated_texts(json.dumps(COCO)))
def test_text_of_coco_annotations(folder, text):
    path = folder / "annotations.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read(read_coco, path, category=1)


@few_examples
@given(record=mutated_records(RESULTS))
def test_coco_results(folder, record):
    path = folder / "results.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    schema = KeypointSchema.from_names("thing", NAMES)
    results = read(read_coco_results, path, schema)
    if results:
        assert np.isfinite(results_to_poses(results, schema).keypoints).all()


@few_examples
@given(record=mutated_records(DATA_YAML))
def test_data_yaml(folder, record):
    check_yolo(folder, yaml.safe_dump(record), LABELS, "images/1.jpg\n")


@few_examples
@given(text=mutated_texts(yaml.safe_dump(DATA_YAML)))
def test_text_of_data_yaml(folder, text):
    check_yolo(folder, text, LABELS, "images/1.jpg\n")


@few_examples
@given(labels=mutated_texts(LABELS))
def test_yolo_labels(folder, labels):
    check_yolo(folder, yaml.safe_dump(DATA_YAML), labels, "images/1.jpg\n")


@few_examples
@given(lines=mutated_texts("images/1.jpg\nimages\\2.jpg\n"))
def test_lists_of_images(folder, lines):
    check_yolo(folder, yaml.safe_dump(DATA_YAML), LABELS, lines)


def check_yolo(folder, text, labels, lines):
    for name, content in (("data.yaml", text), ("labels/1.txt", labels), ("list.txt", lines)):
        (folder / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    annotations = read(
        read_yolo, folder / "data.yaml", "train", suffixes={".jpg"}, size_of=lambda path: (48, 64), category=0
    )
    if annotations:
        check_annotations(annotations, folder)
