from dataclasses import replace

import numpy as np
import pytest

from e2pose.data.inspection import labels
from e2pose.data.inspection.labels import label_problems
from helpers.labels import COCO, good_images, made_dataset, made_image, made_person


def found(*persons, **options) -> list[tuple[str, str]]:
    return [
        (problem.check, problem.example) for problem in label_problems(made_dataset(made_image(7, *persons, **options)))
    ]


def moved(person, keypoint, xy):
    keypoints = person.keypoints.copy()
    keypoints[COCO.keypoints.index(keypoint)] = xy
    return replace(person, keypoints=keypoints)


def test_good_labels_have_no_problem():
    assert list(label_problems(made_dataset(*good_images(30)))) == []


def test_keypoints_at_the_very_edge_are_inside():
    person = replace(made_person((100.0, 20.0, 60.0, 100.0)), area=100.0)
    assert found(moved(person, "left_wrist", (160, 120)), made_person((1.0, 1.0, 50.0, 90.0))) == []


@pytest.mark.parametrize(
    ("person", "check", "says"),
    [
        (made_person((130.0, 20.0, 50.0, 90.0)), labels.OUTSIDE_BOX, "7.png: box [130.0, 20.0, 50.0, 90.0] in 160x120"),
        (moved(made_person(), "nose", (65, -3)), labels.OUTSIDE_KEYPOINT, "7.png: nose at (65.0, -3.0), box [40.0"),
        (moved(made_person(), "nose", (150, 100)), labels.FAR_FROM_BOX, "7.png: nose at (150.0, 100.0), box"),
        (made_person(area=0.0), labels.NO_AREA, "area 0"),
        (made_person(area=9000.0), labels.LARGE_AREA, "area 9000"),
    ],
)
def test_each_problem_is_named_with_its_place(person, check, says):
    problems = found(person)
    assert any(name == check and says in example for name, example in problems)


def test_positions_of_unlabelled_keypoints_do_not_matter():
    visibility = np.full(17, 2)
    visibility[0] = 0
    assert found(moved(made_person(visibility=visibility), "nose", (-50, 500))) == []


def test_crowds_and_people_without_keypoints_need_no_area():
    assert (
        found(made_person(), made_person(is_crowd=True, area=0.0), made_person(visibility=np.zeros(17), area=0.0)) == []
    )


def test_a_box_without_extent():
    person = replace(made_person(), box=(40.0, 20.0, 0.0, 90.0))
    assert labels.NO_AREA in [check for check, _ in found(person)]


def test_a_keypoint_that_the_image_says_nobody_labelled():
    problems = found(made_person(), labelled_keypoints=tuple(range(1, 17)))
    assert [check for check, _ in problems] == [labels.CONTRADICTION]


def test_the_same_person_twice():
    other = made_person((90.0, 20.0, 50.0, 90.0))
    half = made_person(visibility=[2] * 9 + [0] * 8, seed=1)
    assert [check for check, _ in found(made_person(), made_person(seed=1), other)] == [labels.TWICE]
    assert [check for check, _ in found(made_person(), half)] == [labels.TWICE]
    assert found(made_person(), other) == []
    few = made_person(visibility=[2, 2] + [0] * 15)
    assert found(made_person(), few) == [], "two points prove nothing"


def test_a_keypoint_that_nobody_ever_labels_although_the_images_claim_it():
    visibility = np.array([2] * 16 + [0])
    problems = list(
        label_problems(made_dataset(*(made_image(n, made_person(visibility=visibility)) for n in range(20))))
    )
    assert [problem.check for problem in problems] == [labels.NEVER]
    assert problems[0].example.startswith("right_ankle")
    assert found(made_person(visibility=visibility), labelled_keypoints=tuple(range(16))) == []


def test_labels_of_nobody_are_an_error():
    (problem,) = label_problems(made_dataset(made_image(1), made_image(2, made_person(is_crowd=True))))
    assert (problem.check, problem.is_error) == (labels.NOBODY, True)
