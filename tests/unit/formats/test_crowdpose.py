"""Reading CrowdPose's files, whose category is written here as it is in them."""

import json

import pytest

from e2pose.core.schema import load_schema
from e2pose.formats.coco import AREA_OF_BOX, read_coco, to_coco_annotations
from e2pose.formats.crowdpose import rename_keypoints

SIDED = [
    f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
]
CATEGORY = {"supercategory": "person", "id": 1, "name": "person", "keypoints": [*SIDED, "head", "neck"]}
SKELETON = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9]]


@pytest.fixture
def path(tmp_path):
    person = {"id": 1, "image_id": 5, "category_id": 1, "iscrowd": 0, "bbox": [10, 20, 30, 40], "num_keypoints": 1}
    record = {
        "images": [{"file_name": "5.jpg", "id": 5, "height": 100, "width": 90, "crowdIndex": 0.62}],
        "annotations": [{**person, "keypoints": [0, 0, 0] * 12 + [12, 21, 2] + [0, 0, 0]}],
        "categories": [{**CATEGORY, "skeleton": SKELETON}],
    }
    file = tmp_path / "crowdpose_train.json"
    file.write_text(json.dumps(record), encoding="utf-8")
    return file


def test_the_schema_is_crowdpose_s_although_names_and_skeleton_differ(path):
    assert read_coco(path).schema == load_schema("crowdpose")
    assert rename_keypoints(("head", "tail")) == ("head", "tail"), "only in CrowdPose is it the top of the head"


def test_crowd_index_area_and_half_a_pixel(path):
    (image,) = read_coco(path).images
    (person,) = image.persons
    assert image.crowd_index == 0.62
    assert person.area == pytest.approx(AREA_OF_BOX * 30 * 40)
    top = load_schema("crowdpose").keypoints.index("head_top")
    assert person.keypoints[top].tolist() == [12.5, 21.5]
    assert person.visibility.tolist() == [2 * (index == top) for index in range(14)]


def test_the_crowd_index_is_written_again(path):
    assert to_coco_annotations(read_coco(path))["images"][0]["crowdIndex"] == 0.62


def test_a_crowd_index_out_of_range_is_refused(path):
    path.write_text(path.read_text(encoding="utf-8").replace("0.62", "62"), encoding="utf-8")
    with pytest.raises(Exception, match=r"crowdIndex must lie between 0 and 1, not 62"):
        read_coco(path)
