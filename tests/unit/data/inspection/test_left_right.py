from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.schema import KeypointSchema, find_mirrored_names
from e2pose.data.inspection import left_right as flips
from e2pose.data.inspection.left_right import flip_problems
from helpers.labels import COCO, good_images, made_dataset, made_image, made_person, swapped


def changed(images, change):
    return [replace(image, persons=tuple(map(change, image.persons))) for image in images]


def checks(dataset) -> list[tuple[str, str]]:
    return [(problem.check, problem.example) for problem in flip_problems(dataset)]


def test_people_from_all_sides_have_no_problem():
    assert checks(made_dataset(*good_images(60))) == []


def test_a_pair_that_was_exchanged_is_found():
    images = changed(good_images(60), lambda person: swapped(person, "left_hip", "right_hip"))
    ((check, example),) = checks(made_dataset(*images))
    assert check == flips.EXCHANGED
    assert example.startswith("left_hip and right_hip: the same side as the other pairs in only 0% of 60 people")


def test_it_does_not_matter_which_of_a_pair_comes_first():
    names = [{"left_hip": "right_hip", "right_hip": "left_hip"}.get(name, name) for name in COCO.keypoints]
    schema = KeypointSchema.from_names("reordered", names, flip_pairs=list(find_mirrored_names(names)))
    images = changed(good_images(60), lambda person: swapped(person, "left_hip", "right_hip"))
    assert checks(made_dataset(*images, schema=schema)) == []


def test_a_pair_that_is_exchanged_now_and_then_is_not():
    images = good_images(60)
    images[:20] = changed(images[:20], lambda person: swapped(person, "left_wrist", "right_wrist"))
    assert checks(made_dataset(*images)) == []


def test_pairs_of_different_things_are_found():
    pairs = [("left_eye", "right_eye"), ("left_shoulder", "right_hip"), ("left_hip", "right_shoulder")]
    schema = KeypointSchema.from_names("wrong", COCO.keypoints, flip_pairs=pairs)
    problems = checks(made_dataset(*good_images(40), schema=schema))
    level = [example for check, example in problems if check == flips.NOT_LEVEL]
    assert len(level) == 2
    assert level[0].startswith("left_shoulder and right_hip: -")
    names = [example for check, example in problems if check == flips.NOT_BY_NAME]
    assert "left_shoulder flips to right_hip, not to right_shoulder" in names
    assert "left_ear flips to left_ear, not to right_ear" in names


def test_a_whole_set_with_left_and_right_exchanged_is_found():
    def mirror(person):
        return replace(person, keypoints=person.keypoints[list(COCO.flip)])

    ((check, example),) = checks(made_dataset(*changed(good_images(60), mirror)))
    assert check == flips.ALL_EXCHANGED
    assert "of 40 people who show their nose, 100%" in example


@pytest.mark.parametrize("count", [0, 10])
def test_few_people_prove_nothing(count):
    images = changed(good_images(count), lambda person: swapped(person, "left_hip", "right_hip"))
    assert checks(made_dataset(*images)) == []


def test_sets_without_pairs_or_nose():
    tool = KeypointSchema.from_names("tool", ["left_tip", "right_tip"], flip_pairs=[("left_tip", "right_tip")])
    alone = KeypointSchema.from_names("alone", ["tip", "grip"])
    person = made_person()
    short = replace(person, keypoints=person.keypoints[1:3], visibility=np.array([2, 2], np.uint8))
    images = [replace(made_image(n, short), labelled_keypoints=(0, 1)) for n in range(30)]
    assert checks(made_dataset(*images, schema=tool)) == []
    assert checks(made_dataset(*images, schema=alone)) == []
