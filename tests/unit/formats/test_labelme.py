"""JSON files of LabelMe."""

import json

import pytest

from e2pose.core.errors import AnnotationError
from e2pose.formats.labelme import read_labelme
from helpers.tool_labels import CENTRE_XY, SIZE_HW, make_access, points_of, write_image


def shape(label, *points, kind="point", **fields):
    return {
        "label": label,
        "points": [list(xy) for xy in points],
        "shape_type": kind,
        "group_id": None,
        "flags": {},
        **fields,
    }


def write(folder, *shapes, name="img0.json", image="img0.png", **fields):
    path = folder / name
    write_image(path.parent / image.replace("\\", "/"))
    size = {"imageHeight": SIZE_HW[0], "imageWidth": SIZE_HW[1]}
    record = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": None,
        **size,
        **fields,
    }
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def read(path, images=None):
    return read_labelme(path, images, make_access())


NOSE, TAIL = shape("nose", CENTRE_XY), shape("tail", (30, 25))


def test_point_lands_where_the_tool_draws_it(tmp_path):
    """LabelMe draws (0, 0) at the corner of the image."""
    write(tmp_path, NOSE, TAIL)
    assert points_of(read(tmp_path)) == {"nose": (*CENTRE_XY, 2), "tail": (30, 25, 2)}


def test_folder_and_file_are_the_same_labels(tmp_path):
    path = write(tmp_path, NOSE, TAIL)
    assert points_of(read(tmp_path)) == points_of(read(path))
    image = read(tmp_path).annotations.images[0]
    assert (image.file_name, image.size_hw, image.group) == ("img0.png", SIZE_HW, tmp_path.name)


def test_instances_by_group_and_by_rectangle(tmp_path):
    box = shape("mouse", (40, 20), (32, 2), kind="rectangle")
    grouped = [{**one, "group_id": 3} for one in (NOSE, TAIL)]
    write(tmp_path, *grouped, box, shape("nose", (35, 5)), shape("tail", (39, 9)))
    labels = read(tmp_path)
    assert [points_of(labels, person=one)["nose"][0] for one in (0, 1)] == [35, 20.5]
    assert labels.annotations.images[0].persons[0].box == (32, 2, 8, 18)


def test_hidden_points(tmp_path):
    write(tmp_path, NOSE, {**TAIL, "flags": {"Occluded": True}}, shape("ear", (1, 1), flags={"occluded": False}))
    assert [visibility for *_, visibility in points_of(read(tmp_path)).values()] == [2, 1, 2]


@pytest.mark.parametrize("image", ["img0.png", "..\\images\\img0.png", "../images/img0.png", "C:\\old\\img0.png"])
def test_path_of_the_image(tmp_path, image):
    path = write(tmp_path, NOSE, TAIL)
    if ":" not in image and ".." in image:
        (tmp_path / "img0.png").unlink()
        write_image(tmp_path / "images/img0.png")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "imagePath": image}))
    labels = read(tmp_path)
    assert (labels.folder / labels.annotations.images[0].file_name).is_file()


def test_folders_with_equal_image_names_stay_apart(tmp_path):
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, NOSE, TAIL)
    images = read(tmp_path).annotations.images
    assert [(image.file_name, image.group) for image in images] == [
        ("left/img0.png", "left"),
        ("right/img0.png", "right"),
    ]


def test_names_of_a_usual_schema_get_its_order(tmp_path):
    from e2pose.core.schema import load_schema

    coco = load_schema("coco")
    write(tmp_path, *(shape(name, (index, 2 * index)) for index, name in reversed(list(enumerate(coco.keypoints)))))
    labels = read(tmp_path)
    assert labels.annotations.schema == coco
    assert labels.annotations.images[0].persons[0].keypoints[:, 0].tolist() == list(range(17))


def test_other_shapes_and_files_are_omitted(tmp_path):
    write(tmp_path, NOSE, TAIL, shape("mouse", (1, 1), (2, 2), (3, 1), kind="polygon"))
    (tmp_path / "settings.json").write_text("{}")
    omitted = read(tmp_path).annotations.omitted
    assert {(one.what, one.count) for one in omitted} == {("shapes", 1), ("files", 1)}


@pytest.mark.parametrize(
    ("shapes", "fields", "message"),
    [
        ([NOSE, NOSE], {}, "the image has several points 'nose', .*; give the points of an instance the same group id"),
        ([{**NOSE, "points": []}], {}, "'points' of shape 0 must be pairs"),
        ([{**NOSE, "points": [["a", 1]]}], {}, "'points' must be a number"),
        ([{**NOSE, "label": ""}], {}, "the field 'label' is missing"),
        ([shape("a", (1, 1), kind="rectangle")], {}, "must have two corners"),
        ([NOSE], {"imageHeight": "tall"}, "'imageHeight' must be a number"),
        ([NOSE], {"imagePath": None}, "the field 'imagePath' is missing"),
        ([], {}, "no labelled keypoint"),
    ],
)
def test_invalid_files_are_refused_in_words(tmp_path, shapes, fields, message):
    write(tmp_path, *shapes, **fields) if "imagePath" not in fields else None
    if "imagePath" in fields:
        path = write(tmp_path, *shapes)
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert caught.value.hint


def test_all_problems_are_reported_together(tmp_path):
    write(tmp_path, NOSE, NOSE, name="a.json", image="a.png")
    write(tmp_path, {**NOSE, "points": []}, name="b.json", image="b.png")
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(
        AnnotationError, match=r"3 invalid entries: 'a.json': .*; 'b.json': .*; 'c.json': .*not valid JSON"
    ):
        read(tmp_path)
