"""Matching against pycocotools, and duplicates."""

import dataclasses

import numpy as np
import pytest

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.poses import Poses
from e2pose.evaluation.matching import MAX_DETECTIONS, count_duplicates, match_poses
from e2pose.formats.coco_results import results_to_poses
from helpers.evaluations import COCO, CUSTOM, random_dataset, random_results, run_pycocotools

UNLABELLED = np.zeros(3, np.uint8)


@pytest.mark.parametrize("schema", [COCO, CUSTOM], ids=["coco", "custom"])
@pytest.mark.parametrize("seed", range(3))
def test_matching_equals_pycocotools(schema, seed):
    rng = np.random.default_rng(seed)
    dataset = random_dataset(schema, rng)
    results = random_results(dataset, rng)
    evaluation = run_pycocotools(dataset, results, areaRng=[[0, 1e10]], areaRngLbl=["all"])
    theirs = {entry["image_id"]: entry for entry in evaluation.evalImgs if entry is not None}
    first_id = 1
    true = false = ignored = 0
    for image in dataset.images:
        entries = [entry for entry in results if entry["image_id"] == image.id]
        ours = match_poses(image, results_to_poses(entries, schema)[:MAX_DETECTIONS])
        expected = theirs.get(image.id, {"dtMatches": np.zeros((1, 0)), "dtIgnore": np.zeros((1, 0))})
        ids, expected_ignored = expected["dtMatches"][0], expected["dtIgnore"][0].astype(bool)
        assert np.array_equal(ours.ignored, expected_ignored)
        assert np.array_equal(ours.person_indices, np.where(expected_ignored | (ids == 0), -1, ids - first_id))
        posed = [index for index, person in enumerate(image.persons) if person.has_keypoints]
        assert ours.missed.tolist() == sorted(set(posed) - set(ours.person_indices.tolist()))
        first_id += len(image.persons)
        true, false = true + ours.true_positives.sum(), false + ours.false_positives.sum()
        ignored += ours.ignored.sum()
    assert min(true, false, ignored) > 3, "the random data must contain every outcome"


def tool_at(x):
    return np.array([[x, 100], [x + 50, 100], [x + 50, 200]], np.float32)


def image_with_tools(*xs, **changes):
    visible = np.full(3, 2, np.uint8)
    fields = {"visibility": visible, "area": 5000.0} | changes
    persons = (PersonAnnotation(keypoints=tool_at(x), box=(x, 100.0, 50.0, 100.0), **fields) for x in xs)
    return ImageAnnotation(1, "1.jpg", (640, 640), tuple(persons), (0, 1, 2))


def poses_of(keypoints, scores=None):
    keypoints = np.array(keypoints, np.float32).reshape(-1, 3, 2)
    scores = np.linspace(0.9, 0.5, len(keypoints), dtype=np.float32) if scores is None else np.float32(scores)
    return Poses(keypoints, np.ones((len(keypoints), 3), np.float32), scores, CUSTOM)


def poses_at(*xs):
    return poses_of([tool_at(x) for x in xs])


def test_person_is_matched_with_pose_of_highest_score():
    matching = match_poses(image_with_tools(100, 400), poses_at(101, 100, 700))
    assert matching.person_indices.tolist() == [0, -1, -1]
    assert matching.false_positives.tolist() == [False, True, True]
    assert matching.missed.tolist() == [1]
    assert matching.oks[1] == 1, "a duplicate has its OKS with the person of the other pose"
    assert matching.oks[2] < 0.1


def test_pose_is_matched_with_person_of_highest_oks():
    assert match_poses(image_with_tools(100, 104, 108), poses_at(105)).person_indices.tolist() == [1]


def test_equal_oks_matches_the_later_person():
    assert match_poses(image_with_tools(100, 100), poses_at(100)).person_indices.tolist() == [1]


@pytest.mark.parametrize(("num_exact", "expected"), [(1, 0), (0, -1)])
def test_oks_of_exactly_one_half_is_a_match(num_exact, expected):
    """Of two labelled keypoints, exact ones contribute 1 to the mean and distant ones 0."""
    image = image_with_tools(100, visibility=np.array([2, 2, 0], np.uint8))
    keypoints = tool_at(100)
    keypoints[num_exact:] += 5000
    matching = match_poses(image, poses_of([keypoints]))
    assert matching.oks[0] == num_exact / 2
    assert matching.person_indices[0] == expected


def test_oks_just_below_one_half_is_no_match():
    image = image_with_tools(100, visibility=np.array([2, 2, 0], np.uint8))
    keypoints = tool_at(100)
    keypoints[0, 0] += 0.5
    keypoints[1] += 5000
    matching = match_poses(image, poses_of([keypoints]))
    assert 0.49 < matching.oks[0] < 0.5
    assert matching.false_positives.all()


def test_images_without_persons_or_poses():
    assert match_poses(image_with_tools(), poses_at(100)).false_positives.tolist() == [True]
    assert match_poses(image_with_tools(), poses_at(100)).oks.tolist() == [0]
    assert match_poses(image_with_tools(100), poses_at()).missed.tolist() == [0]


def test_crowd_ignores_any_number_of_poses_and_unlabelled_person_one():
    crowd = image_with_tools(100, visibility=UNLABELLED, is_crowd=True)
    single = image_with_tools(100, visibility=UNLABELLED)
    assert match_poses(crowd, poses_at(100, 101, 102)).ignored.tolist() == [True, True, True]
    assert match_poses(single, poses_at(100, 101, 102)).ignored.tolist() == [True, False, False]
    assert match_poses(crowd, poses_at(100)).missed.tolist() == []


def test_labelled_person_is_preferred_to_crowd_with_higher_oks():
    crowd, person = image_with_tools(100, is_crowd=True), image_with_tools(103)
    image = dataclasses.replace(crowd, persons=(*crowd.persons, *person.persons))
    assert match_poses(image, poses_at(100)).person_indices.tolist() == [1]


def test_unlabelled_person_ignores_poses_inside_three_times_its_box():
    """The box from (100, 100) to (150, 200) is enlarged to (50, 0) to (200, 300), in pixel centres."""
    image = image_with_tools(100, visibility=UNLABELLED, area=0.01)  # a tolerance of hundredths of a pixel
    for corner, outward in (([50.5, 0.5], -0.5), ([200.5, 300.5], 0.5)):
        keypoints = np.tile(np.float32(corner), (3, 1))
        assert match_poses(image, poses_of([keypoints])).ignored.all()
        assert not match_poses(image, poses_of([keypoints + np.float32([outward, 0])])).ignored.any()
        assert not match_poses(image, poses_of([keypoints + np.float32([0, outward])])).ignored.any()


def count(image, poses, threshold=0.4):
    return count_duplicates(Annotations(CUSTOM, (image,)), {1: poses}, threshold=threshold)


@pytest.mark.parametrize(
    ("xs", "expected"),
    [
        ([], 0),
        ([100], 0),
        ([100, 400], 0),
        ([100, 101], 1),
        ([100, 100, 100, 400, 400], 3),
        ([100, 140], 0),
        ([250, 250], 0),
    ],
    ids=["none", "one", "one each", "two", "three and two", "second too distant", "no person"],
)
def test_surplus_poses_of_a_person_are_duplicates(xs, expected):
    assert count(image_with_tools(100, 400), poses_at(*xs)) == expected


def test_duplicates_need_the_threshold():
    keypoints = [tool_at(100), tool_at(100)]
    assert count(image_with_tools(100), poses_of(keypoints, [0.9, 0.5]), threshold=0.5) == 1
    assert count(image_with_tools(100), poses_of(keypoints, [0.9, 0.49]), threshold=0.5) == 0


@pytest.mark.parametrize(("oks", "expected"), [(0.71, 1), (0.69, 0), (0.65, 0), (0.55, 0)])
def test_duplicates_need_an_oks_above_seven_tenths(oks, expected):
    """All keypoints are moved by the distance that reduces each similarity exp(-d^2 / (8 * area * sigma^2)) to OKS."""
    image = image_with_tools(100)
    keypoints = tool_at(100)
    keypoints[:, 0] += np.sqrt(-np.log(oks) * 8 * 5000) * np.array(CUSTOM.sigmas, np.float32)
    poses = poses_of([tool_at(100), keypoints])
    assert match_poses(image, poses).oks[1] == pytest.approx(oks, abs=1e-4)
    assert count(image, poses) == expected


@pytest.mark.parametrize("changes", [{"is_crowd": True}, {"visibility": UNLABELLED}], ids=["crowd", "unlabelled"])
def test_crowds_and_unlabelled_persons_have_no_duplicates(changes):
    alone = image_with_tools(100, **changes)
    beside_person = dataclasses.replace(alone, persons=(*alone.persons, *image_with_tools(400).persons))
    assert count(alone, poses_at(100, 100)) == 0
    assert count(beside_person, poses_at(100, 100)) == 0


def test_pose_between_two_persons_counts_for_the_closer_one():
    image = image_with_tools(100, 110)
    dataset = Annotations(dataclasses.replace(CUSTOM, sigmas=(0.5, 0.5, 0.5)), (image,))

    def duplicates(*xs):
        poses = dataclasses.replace(poses_at(*xs), schema=dataset.schema)
        return count_duplicates(dataset, {1: poses}, threshold=0.4)

    assert duplicates(100, 110) == 0
    assert duplicates(100, 110, 112) == 1
