from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.affine import Affine
from e2pose.core.candidates import Batch, Candidates
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import ModelSpec
from e2pose.inference.decode import decode
from e2pose.transforms.fit import fit_affine


@pytest.fixture
def spec(schema: KeypointSchema) -> ModelSpec:
    return ModelSpec("test", (128, 256), "stretch", schema, threshold=0.5)


def one_image(scores, keypoint_scores=0.4, keypoints=(0.25, 0.5)) -> Candidates:
    count = len(scores)
    return Candidates(
        np.array([scores], np.float32),
        np.full((1, count, 2), keypoint_scores, np.float32),
        np.broadcast_to(np.array(keypoints, np.float32), (1, count, 2, 2)).copy(),
    )


def batch_of(*to_source: Affine, size_hw: tuple[int, int] = (128, 256)) -> Batch:
    return Batch(np.zeros((len(to_source), 3, *size_hw), np.uint8), to_source)


def test_stretch_is_undone(spec: ModelSpec) -> None:
    to_source = fit_affine((480, 640), spec.input_size_hw, "stretch").inverse
    (poses,) = decode(one_image([0.9]), batch_of(to_source), spec)
    assert np.allclose(poses.keypoints, [[[160, 240], [160, 240]]], atol=1e-4)


def test_letterbox_is_undone(spec: ModelSpec) -> None:
    # 100x100 on 128x256: scaled by 1.28 into columns 64 to 192
    to_source = fit_affine((100, 100), spec.input_size_hw, "letterbox").inverse
    (poses,) = decode(one_image([0.9], keypoints=[[0.25, 0], [0.5, 1]]), batch_of(to_source), spec)
    assert np.allclose(poses.keypoints, [[[0, 0], [50, 100]]], atol=1e-4)


def test_fractions_refer_to_the_size_of_the_batch(spec: ModelSpec) -> None:
    batch = batch_of(Affine.identity(), size_hw=(32, 64))
    (poses,) = decode(one_image([0.9]), batch, spec)
    assert np.allclose(poses.keypoints, [[[16, 16], [16, 16]]])


def test_points_outside_are_not_clipped(spec: ModelSpec) -> None:
    (poses,) = decode(one_image([0.9], keypoints=(-0.5, 1.5), keypoint_scores=0.0), batch_of(Affine.identity()), spec)
    assert np.array_equal(poses.keypoints, [[[-128, 192], [-128, 192]]])


def test_threshold_includes_equal_scores(spec: ModelSpec) -> None:
    candidates = one_image([0.2, 0.5, 0.49, 0.8])
    (poses,) = decode(candidates, batch_of(Affine.identity()), spec)
    assert np.allclose(poses.scores, [0.8, 0.5])
    (poses,) = decode(candidates, batch_of(Affine.identity()), spec, threshold=0.0)
    assert len(poses) == 4


def test_low_and_nan_scores_are_no_detections(spec: ModelSpec) -> None:
    (poses,) = decode(one_image([0.1, np.nan]), batch_of(Affine.identity()), spec)
    assert poses.keypoints.shape == (0, 2, 2)
    assert poses.schema is spec.schema


def test_keypoint_scores_are_scaled_and_clipped_to_one(spec: ModelSpec) -> None:
    candidates = one_image([0.9], keypoint_scores=0.4)
    (poses,) = decode(candidates, batch_of(Affine.identity()), replace(spec, keypoint_score_scale=2.0))
    assert np.allclose(poses.keypoint_scores, 0.8)
    (poses,) = decode(candidates, batch_of(Affine.identity()), replace(spec, keypoint_score_scale=5.0))
    assert np.array_equal(poses.keypoint_scores, [[1, 1]])


def test_each_image_uses_its_own_map(spec: ModelSpec) -> None:
    one = one_image([0.9])
    two = Candidates(*(np.repeat(field, 2, axis=0) for field in (one.scores, one.keypoint_scores, one.keypoints)))
    near, far = decode(two, batch_of(Affine.identity(), Affine.scaling(10)), spec)
    assert np.allclose(far.keypoints, 10 * near.keypoints)


def test_candidates_are_not_modified(spec: ModelSpec) -> None:
    candidates = one_image([0.9, 0.1])
    arrays = (candidates.scores, candidates.keypoint_scores, candidates.keypoints)
    before = [array.copy() for array in arrays]
    decode(candidates, batch_of(Affine.scaling(3)), replace(spec, keypoint_score_scale=2.0))
    assert all(np.array_equal(array, old) for array, old in zip(arrays, before, strict=True))


def test_each_image_of_a_batch_has_its_own_keypoint_scores(spec: ModelSpec) -> None:
    first, second = one_image([0.9], keypoint_scores=0.2), one_image([0.9], keypoint_scores=0.6)
    candidates = Candidates(
        *(
            np.concatenate([getattr(first, name), getattr(second, name)])
            for name in ("scores", "keypoint_scores", "keypoints")
        )
    )
    poses = decode(candidates, batch_of(Affine.identity(), Affine.identity()), spec)
    assert np.allclose([one.keypoint_scores for one in poses], [[[0.2, 0.2]], [[0.6, 0.6]]])
