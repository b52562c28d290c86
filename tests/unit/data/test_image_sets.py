"""Image sets of every format, with the keypoints of the recipe."""

import json

import cv2
import numpy as np
import pytest

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError, SchemaError
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.data.config import DataSetConfig
from e2pose.data.image_sets import open_set, read_set, resolve_schema, with_schema
from e2pose.formats.coco import to_coco_annotations

TOOL = KeypointSchema.from_names("tool", ["left_tip", "right_tip", "grip"], flip_pairs=[("left_tip", "right_tip")])


def dataset(schema=TOOL, **options) -> Annotations:
    count = len(schema)
    points = np.stack([np.arange(count), 2.0 * np.arange(count)], axis=1).astype(np.float32) + 0.5
    person = PersonAnnotation(points, np.arange(count, dtype=np.uint8) % 3, 30.0, (0, 0, 10, 10))
    options = {"labelled_keypoints": tuple(range(count))} | options
    return Annotations(schema, (ImageAnnotation(1, "a.png", (20, 30), (person,), **options),))


def write_coco(folder, data):
    folder.mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(to_coco_annotations(data)), encoding="utf-8")


def write_yolo(folder):
    for name in ("images/train", "labels/train"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "train" / "a.png"), np.zeros((20, 40, 3), np.uint8))
    (folder / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 1 1 0.25 0.5 2 1 1 1 0 0 0", encoding="utf-8")
    (folder / "data.yaml").write_text(
        "train: images/train\nnames: [tool]\nkpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\n", encoding="utf-8"
    )


def test_keypoints_are_found_by_their_names():
    wanted = KeypointSchema.from_names("x", ["grip", "handle", "left_tip"])
    (image,) = with_schema(dataset(), wanted, "a").images
    assert image.labelled_keypoints == (0, 2), "nobody has looked for handles"
    assert image.persons[0].visibility.tolist() == [2, 0, 0]
    assert image.persons[0].keypoints[[0, 2]].tolist() == [[2.5, 4.5], [0.5, 0.5]]


def test_what_a_set_does_not_label_stays_unlabelled():
    wanted = KeypointSchema.from_names("x", ["grip", "left_tip"])
    (image,) = with_schema(dataset(labelled_keypoints=(1, 2)), wanted, "a").images
    assert image.labelled_keypoints == (0,)


def test_crowdpose_and_coco_can_be_learned_together():
    coco, crowdpose = load_schema("coco"), load_schema("crowdpose")
    (image,) = with_schema(dataset(crowdpose), coco, "a").images
    assert image.labelled_keypoints == tuple(range(5, 17)), "no face"
    shoulder = coco.keypoints.index("right_shoulder")
    assert image.persons[0].keypoints[shoulder].tolist() == [1.5, 2.5]
    (image,) = with_schema(dataset(coco), crowdpose, "a").images
    assert image.labelled_keypoints == tuple(range(12)), "neither top of the head nor neck"


def test_a_set_without_any_of_the_keypoints_is_refused():
    with pytest.raises(
        AnnotationError, match="'mine' has the keypoints left_tip, right_tip, grip, none of which 'coco'"
    ):
        with_schema(dataset(), load_schema("coco"), "mine")


def test_the_schema_of_the_recipe_wins_where_the_names_are_the_same(tmp_path):
    write_coco(tmp_path / "a", dataset())
    own = KeypointSchema.from_names("own", TOOL.keypoints, sigmas=(0.01, 0.01, 0.2))
    opened = open_set(DataSetConfig(path="a"), tmp_path, own)
    assert opened.training.schema == own
    assert opened.folder == tmp_path / "a" / "images"


def test_annotations_and_images_may_have_other_names(tmp_path):
    write_coco(tmp_path / "a" / "json", dataset())
    config = DataSetConfig(path="a", annotations="json/annotations.json", images="pictures")
    folder, read = read_set(config, tmp_path)
    assert folder == tmp_path / "a" / "pictures"
    assert read.schema == KeypointSchema.from_names("person", TOOL.keypoints, flip_pairs=[("left_tip", "right_tip")])


@pytest.mark.parametrize("path", ["yolo", "yolo/data.yaml"])
def test_yolo_folders(tmp_path, path):
    write_yolo(tmp_path / "yolo")
    folder, read = read_set(DataSetConfig(path=path), tmp_path)
    (image,) = read.images
    assert (folder / image.file_name).is_file()
    assert image.size_hw == (20, 40)
    assert image.persons[0].keypoints.tolist() == [[10, 10], [40, 20], [0, 0]]
    with pytest.raises(AnnotationError, match="no split 'val'"):
        read_set(DataSetConfig(path=path, split="val"), tmp_path)


def test_a_set_can_be_given_the_names_of_its_keypoints(tmp_path):
    write_yolo(tmp_path / "yolo")
    (tmp_path / "tool.toml").write_text(
        'name = "tool"\nkeypoints = ["left_tip", "right_tip", "grip"]', encoding="utf-8"
    )
    config = DataSetConfig(path="yolo", schema=str(tmp_path / "tool.toml"))
    opened = open_set(config, tmp_path, TOOL)
    assert opened.training.images[0].labelled_keypoints == (0, 1, 2)
    with pytest.raises(AnnotationError, match="none of which 'tool' has"):
        open_set(DataSetConfig(path="yolo"), tmp_path, TOOL)
    with pytest.raises(AnnotationError, match=r"has 17 keypoints, but .* has 3"):
        open_set(DataSetConfig(path="yolo", schema="coco"), tmp_path, TOOL)
    with pytest.raises(SchemaError, match=r"none\.toml"):
        open_set(DataSetConfig(path="yolo", schema="none.toml"), tmp_path, TOOL)


def test_a_recipe_can_take_its_schema_from_the_data(tmp_path):
    write_coco(tmp_path / "a", dataset())
    sets = [DataSetConfig(path="a"), DataSetConfig(path="b")]
    assert resolve_schema("coco", sets, tmp_path) == load_schema("coco")
    taken = resolve_schema("data", sets, tmp_path)
    assert (taken.keypoints, taken.flip) == (TOOL.keypoints, TOOL.flip)


def test_a_set_that_is_nowhere_or_empty(tmp_path):
    with pytest.raises(AnnotationError, match=r"a/annotations\.json"):
        open_set(DataSetConfig(path="a"), tmp_path, TOOL)
    write_coco(tmp_path / "b", Annotations(TOOL, ()))
    with pytest.raises(AnnotationError, match="b' lists no image"):
        open_set(DataSetConfig(path="b"), tmp_path, TOOL)
