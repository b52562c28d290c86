"""Object keypoint similarity against a loop and against pycocotools."""

import numpy as np
import pytest
from pycocotools import coco as reference_coco
from pycocotools import cocoeval as reference_eval

from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.schema import load_schema

SIGMAS = np.array(load_schema("coco").sigmas)


def random_case(poses=6, persons=4, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 300, (persons, 17, 2))
    keypoints = truth[rng.integers(0, persons, poses)] + rng.normal(0, 10, (poses, 17, 2))
    labelled = rng.random((persons, 17)) < 0.6
    labelled[:, 0] = True
    return keypoints, truth, labelled, rng.uniform(500, 40_000, persons)


def loop_reference(keypoints, truth, labelled, areas, sigmas):
    result = np.zeros((len(keypoints), len(truth)))
    for i, pose in enumerate(keypoints):
        for j, person in enumerate(truth):
            terms = []
            for k, sigma in enumerate(sigmas):
                if labelled[j, k]:
                    squared = (pose[k, 0] - person[k, 0]) ** 2 + (pose[k, 1] - person[k, 1]) ** 2
                    terms.append(np.exp(-squared / (2 * areas[j] * (2 * sigma) ** 2)))
            result[i, j] = sum(terms) / len(terms)
    return result


@pytest.mark.parametrize("seed", range(5))
def test_matches_a_plain_loop(seed):
    case = random_case(seed=seed)
    similarity = object_keypoint_similarity(*case, SIGMAS)
    np.testing.assert_allclose(similarity, loop_reference(*case, SIGMAS), rtol=1e-12, atol=1e-15)
    assert similarity.max() > 0.3, "at least one pose must fit"


def test_matches_pycocotools():
    keypoints, truth, labelled, areas = random_case()
    common = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 300, 300], "iscrowd": 0}
    evaluation = reference_eval.COCOeval(iouType="keypoints")
    evaluation.params.imgIds, evaluation.params.catIds = [1], [1]
    evaluation.params.kpt_oks_sigmas = SIGMAS
    evaluation.cocoGt, evaluation.cocoDt = reference_coco.COCO(), reference_coco.COCO()
    evaluation._gts[1, 1] = [
        {**common, "area": area, "keypoints": np.column_stack([points, 2 * seen]).ravel().tolist()}
        for points, seen, area in zip(truth, labelled, areas, strict=True)
    ]
    evaluation._dts[1, 1] = [
        {**common, "score": -index, "keypoints": np.column_stack([points, np.ones(17)]).ravel().tolist()}
        for index, points in enumerate(keypoints)
    ]
    expected = evaluation.computeOks(1, 1)
    np.testing.assert_allclose(
        object_keypoint_similarity(keypoints, truth, labelled, areas, SIGMAS), expected, rtol=1e-9
    )


def test_perfect_pose_scores_one_and_distant_pose_zero():
    _, truth, labelled, areas = random_case()
    similarity = object_keypoint_similarity(np.concatenate([truth, truth + 1e6]), truth, labelled, areas, SIGMAS)
    np.testing.assert_array_equal(np.diag(similarity[:4]), np.ones(4))
    assert (similarity[4:] == 0).all()


def test_unlabelled_keypoints_are_ignored():
    keypoints, truth, labelled, areas = random_case()
    moved = np.where(labelled[..., None], truth, 1e6)
    expected = object_keypoint_similarity(keypoints, truth, labelled, areas, SIGMAS)
    np.testing.assert_array_equal(object_keypoint_similarity(keypoints, moved, labelled, areas, SIGMAS), expected)


def test_unit_of_length_cancels_out():
    keypoints, truth, labelled, areas = random_case()
    expected = object_keypoint_similarity(keypoints, truth, labelled, areas, SIGMAS)
    scaled = object_keypoint_similarity(keypoints / 256, truth / 256, labelled, areas / 256**2, SIGMAS)
    np.testing.assert_allclose(scaled, expected, rtol=1e-9)


def test_no_labels_score_zero_and_zero_area_is_finite():
    keypoints, truth, labelled, areas = random_case()
    assert (object_keypoint_similarity(keypoints, truth, np.zeros_like(labelled), areas, SIGMAS) == 0).all()
    flat = object_keypoint_similarity(truth, truth, labelled, np.zeros(4), SIGMAS)
    np.testing.assert_array_equal(np.diag(flat), np.ones(4))


@pytest.mark.parametrize(("poses", "persons"), [(0, 3), (3, 0), (0, 0)])
def test_empty_inputs_give_empty_similarities(poses, persons):
    zeros = np.zeros((persons, 17, 2), np.float32)
    similarity = object_keypoint_similarity(
        np.zeros((poses, 17, 2), np.float32), zeros, np.ones((persons, 17), bool), np.ones(persons), SIGMAS
    )
    assert similarity.shape == (poses, persons)
