"""COCO and CrowdPose annotations."""

import gzip
import json

import numpy as np
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.formats import json_file
from e2pose.formats.coco import read_coco, to_coco_annotations

COCO = load_schema("coco")


def category(**changes):
    return {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "skeleton": [[1, 2]]} | changes


def image(image_id=7, **changes):
    return {"id": image_id, "file_name": f"{image_id}.jpg", "width": 64, "height": 48} | changes


def annotation(image_id=7, **changes):
    keypoints = [value for index in range(17) for value in (index, 2 * index, index % 3)]
    entry = {"id": 3, "image_id": image_id, "category_id": 1, "iscrowd": 0, "bbox": [1.5, 2, 30, 40], "area": 640.25}
    return entry | {"num_keypoints": 11, "keypoints": keypoints} | changes


def write(folder, images=None, annotations=None, categories=None):
    path = folder / "annotations.json"
    record = {
        "images": [image()] if images is None else images,
        "annotations": [annotation()] if annotations is None else annotations,
        "categories": [category()] if categories is None else categories,
    }
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def test_reading_adds_half_a_pixel_to_keypoints_but_not_to_boxes(tmp_path):
    annotations = read_coco(write(tmp_path))
    (person,) = annotations.images[0].persons
    assert annotations.schema == COCO
    assert annotations.images[0].size_hw == (48, 64)
    assert person.keypoints[3].tolist() == [3.5, 6.5]
    assert person.visibility.tolist() == [index % 3 for index in range(17)]
    assert (person.box, person.area, person.is_crowd) == ((1.5, 2, 30, 40), 640.25, False)


def test_crowds_are_read(tmp_path):
    crowd = annotation(iscrowd=1, keypoints=[0] * 51)
    assert read_coco(write(tmp_path, annotations=[crowd])).images[0].persons[0].is_crowd


def test_additional_fields_of_images_are_read_and_have_defaults(tmp_path):
    fields = image(labelled_keypoints=[5, 6], exhaustive=False, ignore=[[1, 2, 3, 4.5]], crowdIndex=0.25)
    default, given = read_coco(write(tmp_path, images=[image(8), fields])).images
    assert default.labelled_keypoints == tuple(range(17))
    assert default.exhaustive
    assert default.ignore.shape == (0, 4)
    assert default.crowd_index is None
    assert given.labelled_keypoints == (5, 6)
    assert not given.exhaustive
    assert given.ignore.tolist() == [[1, 2, 3, 4.5]]
    assert given.crowd_index == 0.25


def test_writing_is_the_inverse_of_reading(tmp_path):
    fields = image(9, labelled_keypoints=[5, 6], exhaustive=False, ignore=[[1, 2, 3, 4.5]], crowdIndex=0.0)
    crowd = annotation(9, iscrowd=1, keypoints=[0] * 51)
    path = write(tmp_path, images=[image(), fields], annotations=[annotation(), crowd])
    written = to_coco_annotations(read_coco(path))
    assert to_coco_annotations(read_coco(write(tmp_path, *written.values()))) == written
    assert written["images"][1] == fields
    first, second = written["annotations"]
    assert first["keypoints"][3:6] == [1, 2, 1]
    assert first["keypoints"][:3] == [0, 0, 0], "keypoints that are not labelled have no position"
    assert (first["bbox"], first["area"], first["num_keypoints"]) == ([1.5, 2, 30, 40], 640.25, 11)
    assert (second["iscrowd"], second["num_keypoints"]) == (1, 0)


def test_unknown_keypoint_names_give_a_new_schema(tmp_path):
    tool = category(name="hand tool", keypoints=["left_tip", "right_tip", "grip"], skeleton=[[1, 3], [2, 3]])
    annotations = read_coco(write(tmp_path, categories=[tool], annotations=[annotation(keypoints=[1, 2, 2] * 3)]))
    assert annotations.schema == KeypointSchema(
        name="hand tool",
        keypoints=("left_tip", "right_tip", "grip"),
        edges=((0, 2), (1, 2)),
        flip=(1, 0, 2),
        sigmas=(0.05, 0.05, 0.05),
    )


def test_missing_area_is_a_share_of_the_box(tmp_path):
    entry = annotation()
    del entry["area"]
    assert read_coco(write(tmp_path, annotations=[entry])).images[0].persons[0].area == pytest.approx(0.53 * 30 * 40)


def test_categories_without_keypoints_are_skipped(tmp_path):
    path = write(tmp_path, categories=[category(), {"id": 2}], annotations=[annotation(category_id=2)])
    assert read_coco(path).images[0].persons == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [annotation(keypoints=[1, 2])]}, "annotation 3: 'keypoints' must have .* 51 numbers, not 2"),
        (
            {"annotations": [annotation(keypoints=[float("nan"), 1, 2] * 17)]},
            "'nose' has the visibility 2, but no valid",
        ),
        (
            {"annotations": [annotation(keypoints=[1e30, 1, 2] * 17)]},
            "'nose' has the visibility 2, but no valid position",
        ),
        ({"annotations": [annotation(keypoints="nose")]}, "annotation 3: 'keypoints' must be a list of numbers"),
        ({"annotations": [annotation(keypoints=[1, "x", 2] * 17)]}, "annotation 3: 'keypoints' must be a list of numb"),
        ({"annotations": [annotation(keypoints=[[1, 2], [3]])]}, "annotation 3: 'keypoints' must be a list of numbers"),
        (
            {"annotations": [annotation(keypoints=[10**400] * 51)]},
            "annotation 3: 'keypoints' must be a list of numbers",
        ),
        ({"annotations": [annotation(keypoints=[1, 1, 3] * 17)]}, "visibility of 'nose' must be 0, 1 or 2, not 3"),
        ({"annotations": [annotation(keypoints=[1, 1, -1] * 17)]}, "visibility of 'nose' must be 0, 1 or 2, not -1"),
        ({"annotations": [annotation(keypoints=[1, 1, 0.87] * 17)]}, "visibility of 'nose' must be .* not 0.87"),
        ({"annotations": [annotation(keypoints=[1, 1, None] * 17)]}, "visibility of 'nose' must be .* not nan"),
        ({"annotations": [annotation(bbox=[1, 2, 3])]}, r"'bbox' must be x, y, width and height, not \[1, 2, 3\]"),
        ({"annotations": [annotation(bbox=[1, 2, -3, 4])]}, "annotation 3: .* not negative"),
        ({"annotations": [annotation(bbox=[1, None, 3, 4])]}, "annotation 3: 'bbox' must be a number, not null"),
        ({"annotations": [annotation(bbox={"x": 1})]}, "annotation 3: 'bbox' must be x, y, width and height"),
        ({"annotations": [annotation(area="large")]}, "annotation 3: 'area' must be a number, not \"large\""),
        ({"annotations": [annotation(iscrowd=2)]}, "annotation 3: 'iscrowd' must be 0 or 1, not 2"),
        ({"annotations": [annotation(image_id=[7])]}, r"annotation 3: 'image_id' must be a whole .*, not \[7\]"),
        (
            {"annotations": [annotation(image_id=99)]},
            "annotation 3 of image 99: no annotation belongs to a listed image",
        ),
        ({"annotations": [annotation(category_id=[1])]}, "annotation 3: 'category_id' must be a whole number or text"),
        ({"annotations": ["person"]}, 'annotation at position 0: it must be a mapping of fields, not "person"'),
        ({"annotations": [{"category_id": 1}]}, "annotation at position 0: the field 'image_id' is missing"),
        ({"images": [image(), image(file_name="b.jpg")]}, "image 7: another image, '7.jpg', has the same id"),
        ({"images": [image(), image("7")]}, "image \"7\": another image, '7.jpg', has the same id"),
        ({"images": [image(width=-64)]}, "image 7: 'height' and 'width' must be positive"),
        ({"images": [image(width=64.5)]}, "image 7: 'width' must be a whole number, not 64.5"),
        ({"images": [image(width=None)]}, "image 7: the fields 'height' and 'width' are missing"),
        ({"images": [{"id": 7}]}, "image 7: the field 'file_name' is missing"),
        ({"images": [image(file_name="http://host/")]}, "image 7: 'file_name' must be the name of a file"),
        ({"images": [image(file_name=["a.jpg"])]}, "image 7: 'file_name' must be the name of a file"),
        ({"images": [image(file_name="a\0.jpg")]}, "image 7: 'file_name' must be the name of a file"),
        ({"images": [image(file_name="\ud800.jpg")]}, "image 7: 'file_name' must be the name of a file"),
        ({"images": [image(None)]}, "image at position 0: the field 'id' is missing"),
        ({"images": [image(1.5)]}, "image 1.5: 'id' must be a whole number or text"),
        ({"images": ["7.jpg"]}, "image at position 0: it must be a mapping of fields"),
        ({"images": [image(labelled_keypoints=[17])]}, "image 7: .* from 0 to 16"),
        ({"images": [image(labelled_keypoints=5)]}, "image 7: .* from 0 to 16"),
        ({"images": [image(ignore=[[1, 2, 3]])]}, "image 7: 'ignore' must be a list of boxes"),
        ({"images": [image(ignore=[[1, 2, 3, float("inf")]])]}, "image 7: 'ignore' must be a list of boxes"),
        ({"images": [image(crowdIndex=1.5)]}, "image 7: 'crowdIndex' must be from 0 to 1, not 1.5"),
        ({"images": [image(exhaustive="mostly")]}, "image 7: 'exhaustive' must be 0 or 1, not \"mostly\""),
        ({"categories": []}, "has no keypoints: neither a category nor an annotation"),
        (
            {"categories": [category(), category(id=2, name="dog")]},
            r"2 categories .*: 'person' \(id 1\), 'dog' \(id 2\)",
        ),
        ({"categories": [category(), category(name="dog")]}, "category at position 1: another category has the id 1"),
        ({"categories": [category(id=None)]}, "category at position 0: 'id' must be a whole number or text, not null"),
        ({"categories": [category(name={"en": "person"})]}, "category at position 0: 'name' must be text, not"),
        ({"images": [image([7])]}, r"image at position 0: 'id' must be a whole number or text, not \[7\]"),
        ({"categories": ["person"]}, "category at position 0: it must be a mapping of fields"),
        (
            {"categories": [category(keypoints=["a", "a"])]},
            "category with keypoints is invalid: .* repeats keypoint names",
        ),
        (
            {"categories": [category(keypoints="nose, eye")]},
            "category at position 0: 'keypoints' must be a list of names",
        ),
        (
            {"categories": [category(keypoints=["a", None])]},
            "category at position 0: 'keypoints' must be a list of names",
        ),
        ({"categories": [category(keypoints={"a": "b"})]}, "category at position 0: 'keypoints' must be a number, not"),
    ],
)
def test_invalid_entry_is_named_in_the_error(tmp_path, changes, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read_coco(write(tmp_path, **changes))
    assert "annotations.json" in caught.value.message
    assert caught.value.hint


def test_invalid_entries_are_reported_together(tmp_path):
    annotations = [annotation(id=number, bbox=[1, 2, 3]) for number in range(16)]
    with pytest.raises(
        AnnotationError, match=r"has 17 invalid entries: image 8: .*; annotation 3: .*; and 12 more$"
    ) as caught:
        read_coco(write(tmp_path, [image(), image(8, width=-1)], annotations))
    assert caught.value.message.count("bbox") == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"{", "it is not valid JSON: Expecting property name"),
        (b"[]", "it is a list, as are COCO results"),
        (b'{"images": [], "annotations": {}}', "it has no list 'annotations' and no list 'categories'"),
        (b'{"images": [], "annotations": null, "categories": []}', "it has no list 'annotations'"),
        (b'[{"image_id": 1, "keypoints": [], "score": 1}]', "it is a list, as are COCO results"),
        (b'{"image_id": 1}\n{"image_id": 2}\n', "one JSON value, but more text follows, as in JSON lines"),
        (b"[" * 100_000, "nested too deeply"),
        ('{"images": []}'.encode("utf-16"), "it is UTF-16 text"),
        (gzip.compress(b"{}", mtime=0), "it is a gzip archive"),
    ],
)
def test_file_of_another_kind_is_refused(tmp_path, content, message):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=rf"other\.json.*{message}"):
        read_coco(path)


def test_folder_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="cannot read the annotations"):
        read_coco(tmp_path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.json"):
        read_coco(tmp_path / "none.json")


@pytest.mark.usefixtures("unchecked")
def test_number_of_accesses_is_proportional_to_the_size_of_the_file(tmp_path, monkeypatch):
    accesses = 0

    class CountingDict(dict):
        def __getitem__(self, key):
            nonlocal accesses
            accesses += 1
            return super().__getitem__(key)

        def get(self, key, default=None):
            nonlocal accesses
            accesses += 1
            return super().get(key, default)

    loads = json.loads
    monkeypatch.setattr(json_file.json, "loads", lambda text: loads(text, object_hook=CountingDict))
    counts = []
    for size in (10, 20, 30):
        path = write(tmp_path, [image(index) for index in range(size)], [annotation(index) for index in range(size)])
        accesses = 0
        assert len(read_coco(path).images) == size
        counts.append(accesses)
    assert counts[2] - counts[1] == counts[1] - counts[0] > 0


CROWDPOSE_NAMES = [
    *(
        f"{side}_{part}"
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
    "head",
    "neck",
]


@pytest.fixture
def crowdpose_path(tmp_path):
    """A file with the category of the original CrowdPose files, whose skeleton has numbers above 14."""
    person = {"id": 1, "image_id": 5, "category_id": 1, "iscrowd": 0, "bbox": [10, 20, 30, 40], "num_keypoints": 1}
    skeleton = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9]]
    return write(
        tmp_path,
        images=[{"file_name": "5.jpg", "id": 5, "height": 100, "width": 90, "crowdIndex": 0.62}],
        annotations=[{**person, "keypoints": [0, 0, 0] * 12 + [12, 21, 2] + [0, 0, 0]}],
        categories=[category(keypoints=CROWDPOSE_NAMES, skeleton=skeleton)],
    )


def test_crowdpose_files_have_the_crowdpose_schema(crowdpose_path):
    annotations = read_coco(crowdpose_path)
    assert annotations.schema == load_schema("crowdpose")
    (person,) = annotations.images[0].persons
    head_top = annotations.schema.keypoints.index("head_top")
    assert person.keypoints[head_top].tolist() == [12.5, 21.5]
    np.testing.assert_array_equal(np.flatnonzero(person.visibility), [head_top])
    assert person.area == pytest.approx(0.53 * 30 * 40)


def test_head_is_only_renamed_in_crowdpose_files(tmp_path):
    animal = category(keypoints=["head", "tail"], skeleton=[])
    annotations = read_coco(write(tmp_path, categories=[animal], annotations=[]))
    assert annotations.schema.keypoints == ("head", "tail")


def test_crowd_index_is_read_and_written(crowdpose_path):
    annotations = read_coco(crowdpose_path)
    assert annotations.images[0].crowd_index == 0.62
    assert to_coco_annotations(annotations)["images"][0]["crowdIndex"] == 0.62
