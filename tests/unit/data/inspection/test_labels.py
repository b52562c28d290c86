from dataclasses import replace

import numpy as np
import pytest

from e2pose.data.inspection import labels
from e2pose.data.inspection.findings import Check
from e2pose.data.inspection.labels import find_label_problems
from helpers.labels import COCO, make_annotations, make_image, make_person, valid_images


def problems_of(*persons, **options) -> list[tuple[Check, str]]:
    annotations = make_annotations(make_image(7, *persons, **options))
    return [(problem.check, problem.example) for problem in find_label_problems(annotations)]


def checks_of(*persons, **options) -> list[Check]:
    return [check for check, _ in problems_of(*persons, **options)]


def move_keypoint(person, keypoint, xy):
    keypoints = person.keypoints.copy()
    keypoints[COCO.keypoints.index(keypoint)] = xy
    return replace(person, keypoints=keypoints)


def test_valid_labels_have_no_problems():
    assert list(find_label_problems(make_annotations(*valid_images(30)))) == []


def test_keypoints_on_the_border_are_inside():
    person = replace(make_person((100.0, 20.0, 60.0, 100.0)), area=100.0)
    assert problems_of(move_keypoint(person, "left_wrist", (160, 120)), make_person((1.0, 1.0, 50.0, 90.0))) == []


@pytest.mark.parametrize(
    ("person", "check", "example"),
    [
        (make_person((130.0, 20.0, 50.0, 90.0)), labels.BOX_OUTSIDE, "7.png: box [130.0, 20.0, 50.0, 90.0] in 160x120"),
        (
            move_keypoint(make_person(), "nose", (65, -3)),
            labels.KEYPOINT_OUTSIDE,
            "7.png: nose at (65.0, -3.0), box [40.0",
        ),
        (move_keypoint(make_person(), "nose", (162, 60)), labels.KEYPOINT_OUTSIDE, "7.png: nose at (162.0, 60.0)"),
        (move_keypoint(make_person(), "nose", (65, 122)), labels.KEYPOINT_OUTSIDE, "7.png: nose at (65.0, 122.0)"),
        (
            move_keypoint(make_person(), "nose", (150, 100)),
            labels.KEYPOINT_FAR_FROM_BOX,
            "7.png: nose at (150.0, 100.0), box",
        ),
        (make_person(area=0.0), labels.NO_AREA, "area 0"),
        (make_person(area=9000.0), labels.AREA_EXCEEDS_BOX, "area 9000"),
    ],
)
def test_each_problem_is_reported_with_its_place(person, check, example):
    assert any(found == check and example in text for found, text in problems_of(person))


def test_positions_of_unlabelled_keypoints_are_not_checked():
    person = make_person(visibility=[0] + [2] * 16)
    assert problems_of(move_keypoint(person, "nose", (-50, 500))) == []


def test_crowds_and_persons_without_keypoints_need_no_area():
    crowd, person = make_person(is_crowd=True, area=0.0), make_person(visibility=np.zeros(17), area=0.0)
    assert problems_of(make_person(), crowd, person) == []


def test_person_with_an_area_is_learned_even_if_its_box_has_no_extent():
    assert labels.NO_AREA not in checks_of(replace(make_person(), box=(40.0, 20.0, 0.0, 90.0)))


def test_label_missing_from_labelled_keypoints_is_reported():
    assert checks_of(make_person(), labelled_keypoints=tuple(range(1, 17))) == [labels.UNDECLARED_KEYPOINT]


def test_duplicate_persons_are_reported():
    other = make_person((90.0, 20.0, 50.0, 90.0))
    half = make_person(visibility=[2] * 9 + [0] * 8, seed=1)
    assert checks_of(make_person(), make_person(seed=1), other) == [labels.DUPLICATE_PERSON]
    assert checks_of(make_person(), half) == [labels.DUPLICATE_PERSON]
    assert checks_of(make_person(), other) == []


def test_two_common_keypoints_are_too_few_for_a_duplicate():
    assert problems_of(make_person(), make_person(visibility=[2, 2] + [0] * 15)) == []
    eyes = make_person(visibility=[0, 2, 2] + [0] * 14)
    assert problems_of(eyes, eyes) == []


def test_keypoint_that_is_declared_but_never_labelled_is_reported():
    person = make_person(visibility=[2] * 16 + [0])
    images = [make_image(number, person) for number in range(20)]
    (problem,) = find_label_problems(make_annotations(*images))
    assert (problem.check, problem.example) == (labels.NEVER_LABELLED, "right_ankle")
    undeclared = [replace(image, labelled_keypoints=tuple(range(16))) for image in images]
    assert list(find_label_problems(make_annotations(*undeclared))) == []
    assert list(find_label_problems(make_annotations(*images[:19]))) == []
