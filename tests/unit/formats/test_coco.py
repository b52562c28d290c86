"""Reading and writing COCO files."""

import json
import time

import numpy as np
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.formats.coco import read_coco, to_coco_annotations, to_coco_results

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


def test_reading_counts_from_the_corner_of_the_first_pixel(tmp_path):
    dataset = read_coco(write(tmp_path))
    (person,) = dataset.images[0].persons
    assert dataset.schema == COCO
    assert dataset.images[0].size_hw == (48, 64)
    assert person.keypoints[3].tolist() == [3.5, 6.5]
    assert person.visibility.tolist() == [index % 3 for index in range(17)]
    assert (person.box, person.area, person.is_crowd) == ((1.5, 2, 30, 40), 640.25, False)


def test_own_fields_of_an_image(tmp_path):
    marked = image(labelled_keypoints=[5, 6], exhaustive=False, ignore=[[1, 2, 3, 4.5]], crowdIndex=0.25)
    plain, own = read_coco(write(tmp_path, images=[image(8), marked])).images
    assert plain.labelled_keypoints == tuple(range(17))
    assert plain.exhaustive
    assert plain.ignore.shape == (0, 4)
    assert plain.crowd_index is None
    assert own.labelled_keypoints == (5, 6)
    assert not own.exhaustive
    assert own.ignore.tolist() == [[1, 2, 3, 4.5]]
    assert own.crowd_index == 0.25


def test_writing_is_the_inverse_of_reading(tmp_path):
    marked = image(9, labelled_keypoints=[5, 6], exhaustive=False, ignore=[[1, 2, 3, 4.5]], crowdIndex=0.0)
    crowd = annotation(9, iscrowd=1, keypoints=[0] * 51)
    once = to_coco_annotations(read_coco(write(tmp_path, images=[image(), marked], annotations=[annotation(), crowd])))
    again = to_coco_annotations(read_coco(write(tmp_path, *once.values())))
    assert again == once
    assert once["images"][1] == marked
    assert once["annotations"][0]["keypoints"][3:6] == [1, 2, 1]
    assert once["annotations"][0]["keypoints"][:3] == [0, 0, 0], "what is not labelled has no position"
    assert once["annotations"][1]["iscrowd"] == 1
    assert once["annotations"][1]["num_keypoints"] == 0


def test_a_schema_is_made_from_names_that_no_known_schema_has(tmp_path):
    made = category(name="hand tool", keypoints=["left_tip", "right_tip", "grip"], skeleton=[[1, 3], [2, 3]])
    dataset = read_coco(write(tmp_path, categories=[made], annotations=[annotation(keypoints=[1, 2, 2] * 3)]))
    assert dataset.schema == KeypointSchema(
        name="hand tool",
        keypoints=("left_tip", "right_tip", "grip"),
        edges=((0, 2), (1, 2)),
        flip=(1, 0, 2),
        sigmas=(0.05, 0.05, 0.05),
    )


def test_an_area_that_is_not_given_is_a_share_of_the_box(tmp_path):
    entry = annotation()
    del entry["area"]
    assert read_coco(write(tmp_path, annotations=[entry])).images[0].persons[0].area == pytest.approx(0.53 * 30 * 40)


def test_other_categories_are_left_out(tmp_path):
    with pytest.raises(AnnotationError, match="'image_id' is missing"):
        read_coco(write(tmp_path, annotations=[{"category_id": 1}]))
    path = write(tmp_path, categories=[category(), {"id": 2}], annotations=[annotation(category_id=2)])
    assert read_coco(path).images[0].persons == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"annotations": [annotation(keypoints=[1, 2])]},
            "annotation 3 is wrong: its keypoints must be 51 finite numbers",
        ),
        ({"annotations": [annotation(keypoints=[float("nan")] * 51)]}, "annotation 3 is wrong: its keypoints must be"),
        ({"annotations": [annotation(keypoints="nose")]}, "annotation 3 is wrong"),
        ({"annotations": [annotation(keypoints=[1, 1, 3] * 17)]}, "annotation 3 .* must be 0, 1 or 2"),
        ({"annotations": [annotation(keypoints=[1, 1, -1] * 17)]}, "annotation 3 .* must be 0, 1 or 2"),
        ({"annotations": [annotation(bbox=[1, 2, 3])]}, "annotation 3 is wrong"),
        ({"annotations": [annotation(bbox=[1, 2, -3, 4])]}, "annotation 3 .* not negative"),
        ({"annotations": [annotation(area=None)]}, "annotation 3 is wrong"),
        ({"annotations": [annotation(image_id=99)]}, "images that are not listed, with the ids 99"),
        ({"annotations": [annotation(image_id=[])]}, "annotation 3 is wrong"),
        ({"annotations": ["person"]}, "annotation at position 0 is wrong"),
        ({"annotations": [{"id": 5, "image_id": 7}]}, "annotation 5 is wrong: the field 'keypoints' is missing"),
        ({"images": [image(), image()]}, "two images have the same id"),
        ({"images": [image(width=0)]}, "image 7 is wrong: its height and width must be positive"),
        ({"images": [{"id": 7}]}, "image 7 is wrong: the field 'height' is missing"),
        ({"images": [image("seven")], "annotations": []}, "image seven is wrong"),
        ({"images": [image(labelled_keypoints=[17])]}, "image 7 .* between 0 and 16"),
        ({"images": [image(ignore=[[1, 2, 3]])]}, "image 7 is wrong"),
        ({"images": [image(ignore=[[1, 2, 3, float("inf")]])]}, "image 7 .* finite"),
        ({"images": [image(crowdIndex=1.5)]}, "image 7 .* crowdIndex must lie between 0 and 1, not 1.5"),
        ({"categories": []}, "0 categories with keypoints"),
        ({"categories": [category(), category(id=2)]}, "2 categories with keypoints"),
        ({"categories": [category(keypoints=["a", "a"])]}, "names keypoints twice"),
        ({"categories": [category(keypoints=["a", "b"], skeleton=[[1, 9]])]}, "the keypoint category is wrong"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, changes, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read_coco(write(tmp_path, **changes))
    assert "annotations.json" in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": []}', '[{"image_id": 1, "keypoints": [], "score": 1}]'])
def test_a_file_that_is_something_else(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"other\.json"):
        read_coco(path)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.json"):
        read_coco(tmp_path / "none.json")


def test_results_count_from_the_centre_of_the_first_pixel():
    keypoints = np.full((2, 17, 2), 10.5, np.float32)
    keypoints[1, 0] = np.nan
    poses = Poses(keypoints, np.full((2, 17), 0.25, np.float32), np.array([0.9, 0.123456789], np.float32), COCO)
    first, second = to_coco_results(poses, 139, "ünï 139.jpg")
    assert first["keypoints"] == [10.0, 10.0, 0.25] * 17
    assert first | {"keypoints": 0} == {
        "image_id": 139,
        "category_id": 1,
        "keypoints": 0,
        "score": 0.9,
        "bbox": [10.5, 10.5, 0.0, 0.0],
        "file_name": "ünï 139.jpg",
    }
    assert second["score"] == 0.12346
    assert second["keypoints"][:3] == [0, 0, 0], "JSON has no NaN"
    json.dumps(second, allow_nan=False)
    assert to_coco_results(Poses.empty(COCO), 1, "a.jpg") == []


def test_results_of_tracked_people_have_their_number():
    ones = np.ones((2, 17, 2), np.float32)
    tracked = Poses(ones, ones[..., 0], ones[:, 0, 0], COCO, np.array([4, NO_TRACK]))
    first, second = to_coco_results(tracked, 1, "a.jpg")
    assert first["track_id"] == 4
    assert "track_id" not in second
    json.dumps(first)


@pytest.mark.usefixtures("unchecked")
def test_reading_takes_a_time_in_proportion_to_the_file(tmp_path):
    def seconds(count):
        path = write(tmp_path, [image(index) for index in range(count)], [annotation(index) for index in range(count)])
        start = time.perf_counter()
        assert len(read_coco(path).images) == count
        return time.perf_counter() - start

    seconds(10)
    assert min(seconds(3000) for _ in range(3)) < 30 * max(seconds(300) for _ in range(3))
