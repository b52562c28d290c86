"""Duplicates, by hand."""

import dataclasses

import numpy as np
import pytest

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.evaluation.duplicates import count_duplicates
from e2pose.formats.coco_results import results_to_poses
from helpers.evaluations import CUSTOM, SIZE


def tool_at(x):
    return np.array([[x, 100], [x + 50, 100], [x + 50, 200]], np.float32)


def two_people(**changes):
    """One tool at x = 100, another at x = 400."""
    seen = np.full(3, 2, np.uint8)
    persons = [PersonAnnotation(tool_at(x), seen, 5000.0, (x, 100, 50, 100), **changes) for x in (100, 400)]
    return Annotations(CUSTOM, (ImageAnnotation(1, "1.jpg", (SIZE, SIZE), tuple(persons), (0, 1, 2)),))


def result(x, score=0.9, dx=0.0):
    keypoints = np.column_stack([tool_at(x + dx) - 0.5, np.ones(3)])
    return {"image_id": 1, "score": score, "keypoints": keypoints.ravel().tolist()}


def duplicates(dataset, results):
    return count_duplicates(dataset, {1: results_to_poses(results, dataset.schema)}, threshold=0.4)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], 0),
        ([result(100)], 0),
        ([result(100), result(400)], 0),  # one each
        ([result(100), result(100, dx=1)], 1),
        ([result(100), result(100), result(100), result(400), result(400)], 3),
        ([result(100), result(100, score=0.3)], 0),  # the second is below the threshold
        ([result(100), result(100, dx=40)], 0),  # the second is too far away to show the same person
        ([result(250), result(250)], 0),  # nobody is annotated there
    ],
)
def test_duplicates(results, expected):
    assert duplicates(two_people(), results) == expected


def test_crowds_have_no_duplicates():
    assert duplicates(two_people(is_crowd=True), [result(100), result(100)]) == 0


def test_one_pose_between_two_people_is_not_a_duplicate_of_both():
    near = two_people()
    shift = np.array([290, 0], np.float32)  # the second person stands ten pixels beside the first
    second = dataclasses.replace(near.images[0].persons[1], keypoints=near.images[0].persons[1].keypoints - shift)
    image = dataclasses.replace(near.images[0], persons=(near.images[0].persons[0], second))
    dataset = dataclasses.replace(near, images=(image,), schema=dataclasses.replace(CUSTOM, sigmas=(0.5, 0.5, 0.5)))
    assert duplicates(dataset, [result(100), result(110)]) == 0
    assert duplicates(dataset, [result(100), result(110), result(112)]) == 1
