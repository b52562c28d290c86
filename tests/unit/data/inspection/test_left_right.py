from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.schema import KeypointSchema
from e2pose.core.sides import find_mirrored_names
from e2pose.data.inspection.findings import Check
from e2pose.data.inspection.left_right import (
    ALL_SWAPPED,
    PAIR_HEIGHTS,
    PAIR_NAMES,
    PAIR_SWAPPED,
    UNPAIRED_SIDE,
    find_flip_problems,
)
from helpers.labels import COCO, make_annotations, make_image, make_person, swap_keypoints, valid_images


def change_persons(images, change):
    return [replace(image, persons=tuple(map(change, image.persons))) for image in images]


def swap_hips(person):
    return swap_keypoints(person, "left_hip", "right_hip")


def problems_of(images, schema=COCO) -> list[tuple[Check, str]]:
    annotations = make_annotations(*images, schema=schema)
    return [(problem.check, problem.example) for problem in find_flip_problems(annotations)]


def test_front_and_back_views_have_no_problems():
    assert problems_of(valid_images(60)) == []


def test_swapped_pair_is_found():
    ((check, example),) = problems_of(change_persons(valid_images(60), swap_hips))
    assert check == PAIR_SWAPPED
    assert example == "left_hip and right_hip: agree with the other pairs in only 0% of 60 persons"


def test_order_of_a_pair_in_the_schema_does_not_matter():
    names = [{"left_hip": "right_hip", "right_hip": "left_hip"}.get(name, name) for name in COCO.keypoints]
    schema = KeypointSchema.from_names("reordered", names, flip_pairs=list(find_mirrored_names(names)))
    assert problems_of(change_persons(valid_images(60), swap_hips), schema) == []


def test_occasionally_swapped_pair_is_not_reported():
    images = valid_images(60)
    images[:20] = change_persons(images[:20], lambda person: swap_keypoints(person, "left_wrist", "right_wrist"))
    assert problems_of(images) == []


def test_pairs_of_different_body_parts_are_found():
    pairs = [("left_eye", "right_eye"), ("left_shoulder", "right_hip"), ("left_hip", "right_shoulder")]
    schema = KeypointSchema.from_names("wrong", COCO.keypoints, flip_pairs=pairs)
    problems = problems_of(valid_images(40), schema)
    heights = [example for check, example in problems if check == PAIR_HEIGHTS]
    assert len(heights) == 2
    assert heights[0].startswith("left_shoulder and right_hip: -")
    names = [example for check, example in problems if check == PAIR_NAMES]
    assert "left_shoulder flips to right_hip, not to right_shoulder" in names
    assert len(names) == 2
    unpaired = [example for check, example in problems if check == UNPAIRED_SIDE]
    assert unpaired[:2] == ["left_ear", "right_ear"]


def test_left_and_right_swapped_in_all_persons_is_found():
    def swap_all(person):
        return replace(person, keypoints=person.keypoints[list(COCO.flip)])

    ((check, example),) = problems_of(change_persons(valid_images(60), swap_all))
    assert check == ALL_SWAPPED
    assert example == "100% of 40 persons with a visible nose have left keypoints on the left"


@pytest.mark.parametrize("count", [0, 19])
def test_fewer_than_20_persons_are_not_checked(count):
    assert problems_of(change_persons(valid_images(count), swap_hips)) == []


def test_schemas_without_pairs_or_nose_have_no_problems():
    tool = KeypointSchema.from_names("tool", ["left_tip", "right_tip"], flip_pairs=[("left_tip", "right_tip")])
    unpaired = KeypointSchema.from_names("unpaired", ["tip", "grip"])
    person = make_person()
    eyes = replace(person, keypoints=person.keypoints[1:3], visibility=np.array([2, 2], np.uint8))
    images = [make_image(number, eyes, labelled_keypoints=(0, 1)) for number in range(30)]
    assert problems_of(images, tool) == []
    assert problems_of(images, unpaired) == []
