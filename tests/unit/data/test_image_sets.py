"""Image sets in all formats, with the keypoints of one schema."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from e2pose.core.annotations import Annotations, ImageAnnotation, Omission, PersonAnnotation
from e2pose.core.errors import AnnotationError, SchemaError
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.data.config import DataSetConfig
from e2pose.data.image_sets import open_set, read_set, resolve_schema, with_schema
from e2pose.formats.coco import to_coco_annotations

TOOL = KeypointSchema.from_names("tool", ["left_tip", "right_tip", "grip"], flip_pairs=[("left_tip", "right_tip")])


def make_annotations(schema=TOOL, *, num_images=1, **options) -> Annotations:
    """Returns images of one person with visibility 0, 1, 2, 0, ..."""
    count = len(schema)
    points = np.stack([np.arange(count), 2.0 * np.arange(count)], axis=1).astype(np.float32) + 0.5
    person = PersonAnnotation(points, np.arange(count, dtype=np.uint8) % 3, 30.0, (0, 0, 10, 10))
    options = {"labelled_keypoints": tuple(range(count))} | options
    images = (ImageAnnotation(n, f"{n}.png", (20, 30), (person,), **options) for n in range(num_images))
    return Annotations(schema, tuple(images))


def write_coco(folder, annotations):
    folder.mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(to_coco_annotations(annotations)), encoding="utf-8")


def write_yolo(folder):
    for name in ("images/train", "labels/train"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "train" / "a.png"), np.zeros((20, 40, 3), np.uint8))
    (folder / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 1 1 0.25 0.5 2 1 1 1 0 0 0", encoding="utf-8")
    (folder / "data.yaml").write_text(
        "train: images/train\nnames: [tool]\nkpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\n", encoding="utf-8"
    )


def test_keypoints_are_matched_by_name():
    schema = KeypointSchema.from_names("x", ["grip", "handle", "left_tip"])
    (image,) = with_schema(make_annotations(), schema, "a").images
    assert image.labelled_keypoints == (0, 2), "the set does not label handles"
    assert image.persons[0].visibility.tolist() == [2, 0, 0]
    assert image.persons[0].keypoints[[0, 2]].tolist() == [[2.5, 4.5], [0.5, 0.5]]


def test_undeclared_keypoints_stay_undeclared():
    schema = KeypointSchema.from_names("x", ["grip", "left_tip"])
    (image,) = with_schema(make_annotations(labelled_keypoints=(1, 2)), schema, "a").images
    assert image.labelled_keypoints == (0,)


def test_names_match_regardless_of_case_and_separators():
    coco = load_schema("coco")
    names = [name.replace("_", " ").title() for name in coco.keypoints]
    assert "Left Eye" in names
    changed = with_schema(make_annotations(KeypointSchema.from_names("x", names)), coco, "a")
    assert changed.images[0].labelled_keypoints == tuple(range(17))
    assert changed.images[0].persons[0].visibility.tolist() == [index % 3 for index in range(17)]
    assert changed.notes == ()


def test_keypoints_that_the_schema_does_not_have_are_noted():
    schema = KeypointSchema.from_names("x", ["nose", "Left Ey", "RightEye"])
    changed = with_schema(make_annotations(schema), load_schema("coco"), "a")
    assert changed.notes == ("the schema 'coco' does not have these keypoints, which are omitted: Left Ey, RightEye",)


def test_omissions_and_notes_are_kept_with_another_schema():
    omission = Omission("annotations", "category 7 is not listed", 2, "annotation 1")
    annotations = replace(make_annotations(), omitted=(omission,), notes=("the skeleton counts from 0",))
    for schema in (TOOL, KeypointSchema.from_names("x", ["grip", "handle", "left_tip"])):
        changed = with_schema(annotations, schema, "a")
        assert changed.omitted == annotations.omitted
        assert changed.notes[:1] == annotations.notes


def test_coco_and_crowdpose_can_be_combined():
    coco, crowdpose = load_schema("coco"), load_schema("crowdpose")
    (image,) = with_schema(make_annotations(crowdpose), coco, "a").images
    assert image.labelled_keypoints == tuple(range(5, 17)), "CrowdPose has no keypoints of the face"
    shoulder = coco.keypoints.index("right_shoulder")
    assert image.persons[0].keypoints[shoulder].tolist() == [1.5, 2.5]
    (image,) = with_schema(make_annotations(coco), crowdpose, "a").images
    assert image.labelled_keypoints == tuple(range(12)), "COCO has neither top of the head nor neck"


def test_set_without_any_of_the_keypoints_is_refused():
    message = "'mine' has the keypoints left_tip, right_tip, grip, none of which 'coco'"
    with pytest.raises(AnnotationError, match=message):
        with_schema(make_annotations(), load_schema("coco"), "mine")


def test_schema_of_the_recipe_replaces_one_with_the_same_keypoints(tmp_path):
    write_coco(tmp_path / "a", make_annotations())
    schema = KeypointSchema.from_names("own", TOOL.keypoints, sigmas=(0.01, 0.01, 0.2))
    opened = open_set(DataSetConfig(path="a", weight=2.5), tmp_path, schema)
    assert opened.training.schema == schema
    assert (opened.folder, opened.weight) == (tmp_path / "a" / "images", 2.5)


def test_paths_of_annotations_and_images_can_be_configured(tmp_path):
    write_coco(tmp_path / "a" / "json", make_annotations())
    config = DataSetConfig(path="a", annotations="json/annotations.json", images="photos")
    folder, annotations = read_set(config, tmp_path)
    assert folder == tmp_path / "a" / "photos"
    assert annotations.schema == KeypointSchema.from_names(
        "person", TOOL.keypoints, flip_pairs=[("left_tip", "right_tip")]
    )


def test_category_can_be_chosen(tmp_path):
    write_coco(tmp_path / "a", make_annotations())
    path = tmp_path / "a" / "annotations.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["categories"].append({"id": 2, "name": "dog", "keypoints": ["tail"]})
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(AnnotationError, match="2 categories with keypoints"):
        read_set(DataSetConfig(path="a"), tmp_path)
    for category, names in (("person", TOOL.keypoints), (2, ("tail",)), (["person"], TOOL.keypoints)):
        config = DataSetConfig.model_validate({"path": "a", "category": category})
        assert read_set(config, tmp_path)[1].schema.keypoints == names


def test_omissions_are_those_of_the_training_images(tmp_path):
    write_coco(tmp_path / "a", make_annotations(num_images=4))
    path = tmp_path / "a" / "annotations.json"
    text = path.read_text(encoding="utf-8").replace('"category_id": 1', '"category_id": 7', 1)
    path.write_text(text, encoding="utf-8")
    opened = open_set(DataSetConfig(path="a", holdout=2), tmp_path, TOOL)
    assert [one.reason for one in opened.training.omitted] == ["the category is not in 'categories'"]
    assert opened.held_out.omitted == (), "they are reported once"


def test_missing_image_size_is_read_from_the_file(tmp_path):
    annotations = make_annotations()
    write_coco(tmp_path / "a", annotations)
    path = tmp_path / "a" / "annotations.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"width": 30', '"width": null'), encoding="utf-8")
    assert read_set(DataSetConfig(path="a"), tmp_path)[1].images[0].size_hw == (1, 1), "a training omits the image"
    (tmp_path / "a" / "images").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "images" / "0.png"), np.zeros((25, 35, 3), np.uint8))
    assert read_set(DataSetConfig(path="a"), tmp_path)[1].images[0].size_hw == (25, 35)


def test_every_nth_image_is_held_out(tmp_path):
    write_coco(tmp_path / "a", make_annotations(num_images=7))
    opened = open_set(DataSetConfig(path="a", holdout=3), tmp_path, TOOL)
    assert [image.id for image in opened.held_out.images] == [0, 3, 6]
    assert [image.id for image in opened.training.images] == [1, 2, 4, 5]
    whole = open_set(DataSetConfig(path="a"), tmp_path, TOOL)
    assert (len(whole.training.images), len(whole.held_out.images)) == (7, 0)


@pytest.mark.parametrize("path", ["yolo", "yolo/data.yaml"])
def test_yolo_data_sets_are_read(tmp_path, path):
    write_yolo(tmp_path / "yolo")
    folder, annotations = read_set(DataSetConfig(path=path), tmp_path)
    (image,) = annotations.images
    assert (folder / image.file_name).is_file()
    assert image.size_hw == (20, 40)
    assert image.persons[0].keypoints.tolist() == [[10, 10], [40, 20], [0, 0]]
    with pytest.raises(AnnotationError, match="no split 'val'"):
        read_set(DataSetConfig(path=path, split="val"), tmp_path)


def test_set_can_be_given_a_schema(tmp_path):
    write_yolo(tmp_path / "yolo")
    text = 'name = "tool"\nkeypoints = ["left_tip", "right_tip", "grip"]'
    (tmp_path / "tool.toml").write_text(text, encoding="utf-8")
    opened = open_set(DataSetConfig(path="yolo", schema=str(tmp_path / "tool.toml")), tmp_path, TOOL)
    assert opened.training.images[0].labelled_keypoints == (0, 1, 2)
    with pytest.raises(AnnotationError, match="none of which 'tool' has"):
        open_set(DataSetConfig(path="yolo"), tmp_path, TOOL)
    with pytest.raises(AnnotationError, match=r"has 17 keypoints, but .* has 3"):
        open_set(DataSetConfig(path="yolo", schema="coco"), tmp_path, TOOL)
    with pytest.raises(SchemaError, match=r"none\.toml"):
        open_set(DataSetConfig(path="yolo", schema="none.toml"), tmp_path, TOOL)


def test_schema_named_data_is_that_of_the_first_set(tmp_path):
    write_coco(tmp_path / "a", make_annotations())
    sets = [DataSetConfig(path="a"), DataSetConfig(path="b")]
    assert resolve_schema("coco", sets, tmp_path) == load_schema("coco")
    schema = resolve_schema("data", sets, tmp_path)
    assert (schema.keypoints, schema.flip) == (TOOL.keypoints, TOOL.flip)


def test_missing_or_empty_set_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"there is no folder '.*a'"):
        open_set(DataSetConfig(path="a"), tmp_path, TOOL)
    write_coco(tmp_path / "b", Annotations(TOOL, ()))
    with pytest.raises(AnnotationError, match="b' lists no images"):
        open_set(DataSetConfig(path="b"), tmp_path, TOOL)


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        (
            [],
            "has neither 'annotations.json' nor 'data.yaml', nor labels of another annotation tool",
            "docs/guides/data.md",
        ),
        (
            ["train/_annotations.coco.json"],
            "but 'train/_annotations.coco.json'",
            'annotations = "train/_annotations.coco',
        ),
        (
            ["ann/a.json", "b.json", "c.json", "d.json"],
            "'ann/a.json', 'b.json', 'c.json' and 1 more",
            'annotations = "ann',
        ),
        (["dataset.yaml"], "but 'dataset.yaml'", 'path = "a/dataset.yaml"'),
        (["data.yml"], "but 'data.yml'", 'path = "a/data.yml"'),
    ],
)
def test_other_files_are_named_if_the_file_of_annotations_is_missing(tmp_path, files, message, hint):
    (tmp_path / "a").mkdir()
    for name in files:
        (tmp_path / "a" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_text("{}", encoding="utf-8")
    with pytest.raises(AnnotationError) as caught:
        read_set(DataSetConfig(path="a"), tmp_path)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_background_images_need_no_annotations(tmp_path):
    (tmp_path / "a" / "photos" / "more").mkdir(parents=True)
    for name in ("1.png", "more/2.png"):
        cv2.imwrite(str(tmp_path / "a" / "photos" / name), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "a" / "photos" / "3.png").write_text("no image", encoding="utf-8")
    (tmp_path / "a" / "annotations.json").write_text("not JSON", encoding="utf-8")
    config = DataSetConfig(path="a", images="photos", background=True)
    opened = open_set(config, tmp_path, TOOL)
    assert [image.file_name for image in opened.training.images] == ["1.png", "3.png", "more/2.png"]
    assert [image.size_hw for image in opened.training.images] == [(20, 30), (1, 1), (20, 30)]
    assert all(image.persons == () and image.labelled_keypoints == (0, 1, 2) for image in opened.training.images)
    with pytest.raises(AnnotationError, match=r"there is no folder .*images' of background images"):
        open_set(DataSetConfig(path="a", background=True), tmp_path, TOOL)


def test_schema_of_the_data_is_that_of_the_first_set_with_labels(tmp_path):
    write_coco(tmp_path / "b", make_annotations())
    background = DataSetConfig(path="a", background=True)
    assert resolve_schema("data", [background, DataSetConfig(path="b")], tmp_path).keypoints == TOOL.keypoints
    with pytest.raises(AnnotationError, match="all image sets are background"):
        resolve_schema("data", [background], tmp_path)


@pytest.mark.parametrize("entry", [{"annotations": "b.json"}, {"split": "val"}, {"category": "a"}, {"schema": "coco"}])
def test_background_excludes_keys_of_annotations(entry):
    with pytest.raises(ValueError, match=f"background = true has no annotations; omit {next(iter(entry))}"):
        DataSetConfig.model_validate({"path": "a", "background": True, **entry})


def test_schema_of_a_set_names_the_keypoints_of_a_file_without_names(tmp_path):
    coco = load_schema("coco")
    write_coco(tmp_path / "a", make_annotations(coco))
    path = tmp_path / "a" / "annotations.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["categories"][0]["keypoints"]
    path.write_text(json.dumps(record), encoding="utf-8")
    config = DataSetConfig.model_validate({"path": "a", "schema": "coco"})
    assert open_set(config, tmp_path, coco).training.schema == coco
    with pytest.raises(AnnotationError, match="no names of keypoints"):
        open_set(DataSetConfig(path="a"), tmp_path, coco)


def test_unreadable_image_of_a_yolo_data_set_does_not_prevent_reading_the_others(tmp_path):
    write_yolo(tmp_path / "yolo")
    for kind, suffix in (("images", ".png"), ("labels", ".txt")):
        text = "0 0.5 0.5 1 1 0.25 0.5 2 1 1 1 0 0 0"
        (tmp_path / "yolo" / kind / "train" / f"b{suffix}").write_text(text, encoding="utf-8")
    _, annotations = read_set(DataSetConfig(path="yolo"), tmp_path)
    assert [image.size_hw for image in annotations.images] == [(20, 40), (1, 1)]
