"""COCO annotations as annotation tools write them."""

import json
import math

import numpy as np
import pytest

from e2pose.core.annotations import Omission
from e2pose.core.errors import AnnotationError, InputError, OptionError
from e2pose.formats.boxes import DEFAULT_AREA_RATIO
from e2pose.formats.coco import read_coco, to_coco_annotations

POINTS = [15, 10, 2, 25, 20, 2, 35, 30, 2]
DERIVED = "the box is missing or has no size, so it is derived from the keypoints (1 annotation)"


def make_record():
    """Returns one image of 64 x 48 pixels with one labelled person."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 900, "bbox": [10, 5, 30, 30]}
    names = ["hub", "left_tip", "right_tip"]
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "annotations": [person | {"num_keypoints": 3, "keypoints": POINTS}],
        "categories": [{"id": 1, "name": "thing", "keypoints": names, "skeleton": [[1, 2], [1, 3]]}],
    }


def read(folder, record, **options):
    path = folder / "annotations.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return read_coco(path, **options)


def read_person(folder, **fields):
    """Returns the person of a record with changed fields; "missing" removes a field."""
    record = make_record()
    record["annotations"][0] |= fields
    record["annotations"][0] = {key: value for key, value in record["annotations"][0].items() if value != "missing"}
    annotations = read(folder, record)
    (person,) = annotations.images[0].persons
    assert annotations.omitted == ()
    return person, annotations


@pytest.mark.parametrize("box", ["missing", None, [], "", [0, 0, 0, 0], [10, 5, 30, 0], [None] * 4, [math.nan] * 4])
def test_missing_box_is_derived_from_the_labelled_keypoints(tmp_path, box):
    person, annotations = read_person(tmp_path, bbox=box, keypoints=[15, 10, 2, 25, 20, 1, 35, 60, 0], area="missing")
    assert person.box == (14.5, 9.5, 12, 12), "10 x 10 pixels and a tenth of it on every side"
    assert person.area == pytest.approx(DEFAULT_AREA_RATIO * 144)
    assert annotations.notes == (DERIVED,)


def test_derived_box_stays_inside_the_image(tmp_path):
    person, _ = read_person(tmp_path, bbox=None, keypoints=[0, 0, 2, 63, 47, 2, 10, 10, 2])
    assert person.box == (0, 0, 64, 48)
    assert person.area == 900


def test_derived_box_of_keypoints_in_a_line_has_a_width(tmp_path):
    person, _ = read_person(tmp_path, bbox=None, keypoints=[20, 10, 2, 20, 20, 2, 20, 30, 2])
    assert person.box == (18.5, 8.5, 4, 24)


@pytest.mark.parametrize("area", ["missing", None, 0, 0.0, -5, "", math.nan])
def test_missing_area_is_a_share_of_the_box(tmp_path, area):
    assert read_person(tmp_path, area=area)[0].area == pytest.approx(DEFAULT_AREA_RATIO * 900)


def test_area_and_box_may_be_text(tmp_path):
    person, _ = read_person(tmp_path, area="640.5", bbox=["1", "2", "30.5", "40"])
    assert (person.area, person.box) == (640.5, (1, 2, 30.5, 40))


@pytest.mark.parametrize("keypoints", ["missing", None, [], "", [0] * 9, [5, 5, 0] * 3, [None] * 9, [math.nan] * 9])
def test_entry_without_labelled_keypoints_is_a_person_without_keypoints(tmp_path, keypoints):
    person, _ = read_person(tmp_path, keypoints=keypoints)
    assert not person.has_keypoints
    assert (person.box, person.is_crowd) == ((10, 5, 30, 30), False)
    assert np.isfinite(person.keypoints).all()


@pytest.mark.parametrize(
    ("keypoints", "visibility"),
    [
        ([15, 10, 2, None, None, 0, None, None, None], [2, 0, 0]),
        ([15, 10, 2, math.nan, math.nan, 0, 1, 1, 0], [2, 0, 0]),
        ([15, 10, 2, 1e300, -1e300, 0, math.inf, 1, 0], [2, 0, 0]),
        ([15, 10, True, 25, 20, False, 35, 30, 1], [2, 0, 1]),
        ([15, 10, 2.0, 25, 20, 1.0, 35, 30, 0.0], [2, 1, 0]),
        (["15", "10", "2", "25", "20", "1", "35", "30", "0"], [2, 1, 0]),
        ([[15, 10, 2], [25, 20, 1], [35, 30, 0]], [2, 1, 0]),
    ],
)
def test_forms_of_keypoints(tmp_path, keypoints, visibility):
    person, _ = read_person(tmp_path, keypoints=keypoints)
    assert person.visibility.tolist() == visibility
    assert person.keypoints[0].tolist() == [15.5, 10.5]


@pytest.mark.parametrize(
    ("value", "is_crowd"),
    [
        *((value, False) for value in (0, "0", False, "false", 0.0, None, "", "missing")),
        *((value, True) for value in (1, "1", True, "true", 1.0)),
    ],
)
def test_forms_of_the_crowd_flag(tmp_path, value, is_crowd):
    assert read_person(tmp_path, iscrowd=value)[0].is_crowd == is_crowd


def test_entry_without_box_and_keypoints_is_a_person_without_position(tmp_path):
    record = make_record()
    record["annotations"].append(
        {"id": 99, "image_id": 1, "category_id": 1, "keypoints": [], "bbox": [0, 0, 0, 0], "area": 0}
    )
    annotations = read(tmp_path, record)
    assert [person.has_keypoints for person in annotations.images[0].persons] == [True, False]
    assert annotations.images[0].persons[1].box == (0, 0, 0, 0)
    assert "neither a box nor a labelled keypoint" in annotations.notes[0]


def test_single_labelled_keypoint_without_box_is_counted(tmp_path):
    record = make_record()
    record["annotations"].append(
        {"id": 99, "image_id": 1, "category_id": 1, "keypoints": [9, 9, 2, 0, 0, 0, 0, 0, 0], "bbox": None}
    )
    annotations = read(tmp_path, record)
    assert len(annotations.images[0].persons) == 1
    reason = "there is no box, and the labelled keypoints do not span one"
    assert annotations.omitted == (Omission("annotations", reason, 1, "annotation 99"),)


@pytest.mark.parametrize(
    ("listed", "referred"),
    [(1, "1"), ("1", 1), (1.0, 1), (1, 1.0), ("1", "1"), ("img_a", "img_a"), ("1.0", 1), ("007", 7), ("ü", "ü ")],
)
def test_forms_of_image_ids(tmp_path, listed, referred):
    record = make_record()
    record["images"][0]["id"], record["annotations"][0]["image_id"] = listed, referred
    (image,) = read(tmp_path, record).images
    assert len(image.persons) == 1
    assert type(image.id) is int


def test_text_ids_do_not_depend_on_the_other_images(tmp_path):
    def read_ids(*names):
        images = [{"id": name, "file_name": f"{name}.jpg", "width": 9, "height": 9} for name in names]
        return [image.id for image in read(tmp_path, make_record() | {"images": images, "annotations": []}).images]

    first, second, number = read_ids("img_a", "img_b", "5")
    assert read_ids("img_b", "img_a") == [second, first]
    assert number == 5
    assert len({first, second, 5}) == 3
    assert all(2**52 <= value < 2**53 for value in (first, second)), "exact in every JSON reader"
    huge = read_ids(2**70)
    assert 2**52 <= huge[0] < 2**53
    assert read_ids(first, second) == [first, second], "written ids are read unchanged"
    assert read_ids(str(first)) == [first]


def test_annotation_of_an_image_that_is_not_listed_is_counted(tmp_path):
    record = make_record()
    record["annotations"].append(record["annotations"][0] | {"id": 2, "image_id": 99})
    annotations = read(tmp_path, record)
    assert annotations.omitted == (
        Omission("annotations", "the image is not in 'images'", 1, "annotation 2 of image 99"),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train/a.jpg", "train/a.jpg"),
        ("images\\train\\a.jpg", "images/train/a.jpg"),
        ("https://host/files/a%20b.jpg?size=1", "a b.jpg"),
        ("http://[/b.jpg", "b.jpg"),
        (17, "17"),
    ],
)
def test_forms_of_file_names(tmp_path, name, expected):
    record = make_record()
    record["images"][0]["file_name"] = name
    assert read(tmp_path, record).images[0].file_name == expected


def test_missing_file_name_is_that_of_the_address(tmp_path):
    record = make_record()
    record["images"][0] |= {"file_name": None, "coco_url": "http://images.cocodataset.org/val2017/000000000139.jpg"}
    assert read(tmp_path, record).images[0].file_name == "000000000139.jpg"


@pytest.mark.parametrize("width", ["missing", None, 0, ""])
def test_missing_size_is_read_from_the_image(tmp_path, width):
    record = make_record()
    record["images"][0]["width"] = width
    if width == "missing":
        del record["images"][0]["width"]
    assert read(tmp_path, record, size_of={"a.jpg": (48, 64)}.__getitem__).images[0].size_hw == (48, 64)

    def refuse(name):
        raise InputError(f"there is no file '{name}'", "check it")

    with pytest.raises(AnnotationError, match=r"image 1: .* are missing, and there is no file 'a\.jpg'"):
        read(tmp_path, record, size_of=refuse)


def test_size_may_be_text(tmp_path):
    record = make_record()
    record["images"][0] |= {"width": "64", "height": 48.0}
    assert read(tmp_path, record).images[0].size_hw == (48, 64)


@pytest.mark.parametrize(
    "names",
    [
        {"0": "hub", "1": "left_tip", "2": "right_tip"},
        {"1": "hub", "3": "right_tip", "2": "left_tip"},
        {"hub": 0, "right_tip": 2, "left_tip": 1},
        ["hub", " left_tip", "right_tip "],
    ],
)
def test_forms_of_keypoint_names(tmp_path, names):
    record = make_record()
    record["categories"][0]["keypoints"] = names
    assert read(tmp_path, record).schema.keypoints == ("hub", "left_tip", "right_tip")


@pytest.mark.parametrize(
    ("skeleton", "edges", "omitted", "from_zero"),
    [
        ([[1, 2], [1, 3]], [(0, 1), (0, 2)], 0, False),
        ([[0, 1], [0, 2]], [(0, 1), (0, 2)], 0, True),
        ([[1, 2], [2, 0]], [(1, 2), (2, 0)], 0, True),
        ([["1", "2"], [1.0, 3.0]], [(0, 1), (0, 2)], 0, False),
        ([["hub", "left_tip"]], [(0, 1)], 0, False),
        ([[-1, 1], [1, 2]], [(0, 1)], 1, False),
        ([[1, 4], [0, 3], [0, 1]], [(0, 1)], 2, True),
        ([[1, 9], [1, 1], [1], [1, 2, 3], None, "12", [1, None], [1, 2.5]], [], 8, False),
        (None, [], 0, False),
        ([], [], 0, False),
        ("", [], 0, False),
        ({"a": 1}, [], 1, False),
    ],
)
def test_forms_of_the_skeleton(tmp_path, skeleton, edges, omitted, from_zero):
    record = make_record()
    record["categories"][0]["skeleton"] = skeleton
    annotations = read(tmp_path, record)
    assert annotations.schema.edges == tuple(edges)
    assert sum(one.count for one in annotations.omitted if one.what == "skeleton edges") == omitted
    assert annotations.notes == (("the skeleton has a 0, so it counts keypoints from 0",) if from_zero else ())


@pytest.mark.parametrize(
    ("category_id", "reason"),
    [
        (1, None),
        ("1", None),
        (1.0, None),
        ("thing", None),
        ("Thing ", None),
        (None, None),
        (7, "the category is not in 'categories'"),
        ("dog", "the category is not in 'categories'"),
        (2, "the category 'car' has no keypoints"),
        ("car", "the category 'car' has no keypoints"),
    ],
)
def test_annotations_of_other_categories_are_counted(tmp_path, category_id, reason):
    record = make_record()
    record["categories"].append({"id": 2, "name": "car"})
    record["annotations"][0]["category_id"] = category_id
    annotations = read(tmp_path, record)
    assert len(annotations.images[0].persons) == (reason is None)
    assert [one.reason for one in annotations.omitted] == ([reason] if reason else [])


def two_categories(names=("hub", "left_tip", "right_tip")):
    record = make_record()
    record["categories"].append({"id": 5, "name": "dog", "keypoints": list(names), "skeleton": []})
    record["annotations"] += [record["annotations"][0] | {"id": 2, "category_id": 5}]
    return record


@pytest.mark.parametrize(("choice", "count"), [("thing", 1), ("DOG", 1), (5, 1), ("5", 1), (("thing", "dog"), 2)])
def test_one_of_several_categories_is_chosen(tmp_path, choice, count):
    annotations = read(tmp_path, two_categories(), category=choice)
    assert len(annotations.images[0].persons) == count
    other = "dog" if choice == "thing" else "thing"
    reasons = [f"the category '{other}' is not selected"] if count == 1 else []
    assert [one.reason for one in annotations.omitted] == reasons


def test_annotation_without_category_is_counted_where_it_is_ambiguous(tmp_path):
    record = two_categories()
    record["annotations"][1]["category_id"] = None
    assert [one.reason for one in read(tmp_path, record, category="thing").omitted] == ["'category_id' is missing"]


@pytest.mark.parametrize(
    ("choice", "names", "message"),
    [
        (None, ("head",), r"has 2 categories with keypoints: 'thing' \(id 1\), 'dog' \(id 5\)"),
        ("cat", ("head",), r"has no category 'cat' with keypoints; there are: 'thing' \(id 1\), 'dog' \(id 5\)"),
        (7, ("head",), "has no category '7' with keypoints"),
        (("thing", "dog"), ("head",), "must be at least one and have the same keypoints"),
        ((), ("head",), "must be at least one and have the same keypoints"),
    ],
)
def test_category_that_cannot_be_chosen_is_refused(tmp_path, choice, names, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path, two_categories(names), category=choice)
    assert caught.value.hint


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("choice", [1.5, [None], {"thing": 1}])
def test_category_of_the_wrong_type_is_refused(tmp_path, choice):
    with pytest.raises(OptionError, match="the category must be a name, an id or a list of them, not"):
        read(tmp_path, two_categories(), category=choice)


def test_ambiguous_category_name_is_refused(tmp_path):
    record = two_categories()
    record["categories"][1]["name"] = "thing"
    with pytest.raises(AnnotationError, match="has 2 categories 'thing' with keypoints"):
        read(tmp_path, record, category="thing")
    assert read(tmp_path, record, category=5).schema.name == "thing"


def test_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(make_record()).encode())
    assert len(read_coco(path).images[0].persons) == 1


def test_variants_are_written_in_the_standard_form(tmp_path):
    record = make_record()
    record["images"][0] |= {"id": "1", "width": "64"}
    record["annotations"][0] |= {"image_id": 1.0, "iscrowd": "0", "area": None, "category_id": "thing"}
    written = to_coco_annotations(read(tmp_path, record))
    again = to_coco_annotations(read(tmp_path, written))
    assert again == written
    assert written["annotations"][0]["image_id"] == written["images"][0]["id"] == 1


@pytest.mark.parametrize(("name", "group"), [("a.jpg", ""), ("film 1/a.jpg", "film 1"), ("x\\film\\a.jpg", "film")])
def test_folder_of_an_image_is_its_group(tmp_path, name, group):
    image = {"id": 1, "file_name": name, "width": 9, "height": 9}
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a", "keypoints": ["nose"]}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_coco(path).images[0].group == group
