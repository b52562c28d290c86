"""Who is shown by whom: pose by pose as pycocotools has it."""

import dataclasses

import numpy as np
import pytest

from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.poses import Poses
from e2pose.evaluation.matching import MAX_PERSONS, match
from e2pose.formats.coco_results import results_to_poses
from helpers.evaluations import COCO, CUSTOM, made_dataset, made_results, pycocotools


@pytest.mark.parametrize("schema", [COCO, CUSTOM], ids=["coco", "custom"])
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pycocotools(schema, seed):
    rng = np.random.default_rng(seed)
    dataset = made_dataset(schema, rng)
    results = made_results(dataset, rng)
    evaluation = pycocotools(dataset, results, areaRng=[[0, 1e10]], areaRngLbl=["all"])
    theirs = {one["image_id"]: one for one in evaluation.evalImgs if one is not None}
    first_id = 1
    right = wrong = ignored = 0
    for image in dataset.images:
        poses = results_to_poses([one for one in results if one["image_id"] == image.id], schema)[:MAX_PERSONS]
        ours = match(image, poses)
        expected = theirs.get(image.id, {"dtMatches": np.zeros((1, 0)), "dtIgnore": np.zeros((1, 0))})
        ids, forgiven = expected["dtMatches"][0], expected["dtIgnore"][0].astype(bool)
        assert np.array_equal(ours.ignored, forgiven)
        assert np.array_equal(ours.persons, np.where(forgiven | (ids == 0), -1, ids - first_id))
        posed = [index for index, person in enumerate(image.persons) if person.has_keypoints]
        assert ours.missed.tolist() == sorted(set(posed) - set(ours.persons.tolist()))
        first_id += len(image.persons)
        right, wrong, ignored = right + ours.right.sum(), wrong + ours.wrong.sum(), ignored + ours.ignored.sum()
    assert min(right, wrong, ignored) > 3, "every outcome must be among the cases"


def tool_at(x):
    return np.array([[x, 100], [x + 50, 100], [x + 50, 200]], np.float32)


def made_image(*places, **changes):
    seen = np.full(3, 2, np.uint8)
    persons = (PersonAnnotation(tool_at(x), seen, 5000.0, (x, 100.0, 50.0, 100.0), **changes) for x in places)
    return ImageAnnotation(1, "1.jpg", (640, 640), tuple(persons), (0, 1, 2))


def poses_at(*places):
    keypoints = np.array([tool_at(x) for x in places], np.float32).reshape(-1, 3, 2)
    scores = np.linspace(0.9, 0.5, len(places), dtype=np.float32)
    return Poses(keypoints, np.ones((len(places), 3), np.float32), scores, CUSTOM)


def test_the_higher_score_gets_the_person():
    found = match(made_image(100, 400), poses_at(101, 100, 700))
    assert found.persons.tolist() == [0, -1, -1]
    assert found.wrong.tolist() == [False, True, True]
    assert found.missed.tolist() == [1]
    assert found.similarities[1] == 1, "how well a wrong pose fits is told, too"
    assert found.similarities[2] < 0.1


def test_nobody_annotated_and_nobody_found():
    assert match(made_image(), poses_at(100)).wrong.tolist() == [True]
    assert match(made_image(), poses_at(100)).similarities.tolist() == [0]
    assert match(made_image(100), poses_at()).missed.tolist() == [0]


def test_a_crowd_forgives_everybody_and_an_unlabelled_person_one():
    nothing = {"visibility": np.zeros(3, np.uint8)}
    plain = made_image(100)
    (person,) = plain.persons
    crowd = dataclasses.replace(plain, persons=(dataclasses.replace(person, is_crowd=True, **nothing),))
    single = dataclasses.replace(plain, persons=(dataclasses.replace(person, **nothing),))
    assert match(crowd, poses_at(100, 101, 102)).ignored.tolist() == [True, True, True]
    assert match(single, poses_at(100, 101, 102)).ignored.tolist() == [True, False, False]
    assert match(crowd, poses_at(100)).missed.tolist() == []
