import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError
from e2pose.export.fold import deployment_copy
from e2pose.export.verify import EXACT, Limits, compare_candidates, pose_similarity, verify_artifact
from e2pose.runtimes.torch import TorchRuntime
from helpers.candidates import two_candidates
from helpers.networks import SPEC, noise, two_layer_network


def similarity(ours: Candidates, theirs: Candidates) -> float:
    return pose_similarity([ours], [theirs], SPEC.schema, SPEC.input_size_hw)


def test_artifact_of_another_network_is_rejected(onnx_path: Path) -> None:
    images = list(noise(10, (80, 80)))
    network = deployment_copy(two_layer_network(), "f32")
    assert verify_artifact(onnx_path, TorchRuntime(network, SPEC), images, batch_sizes=(4,)).is_within(EXACT)
    network.head.output.bias.add_(0.05)
    with pytest.raises(ModelError, match=r"accepted are a similarity of at least 0\.999, at most 0\.05 px and 0\.001"):
        verify_artifact(onnx_path, TorchRuntime(network, SPEC), images, batch_sizes=(4,))


@pytest.mark.parametrize("part", ["scores", "keypoint_scores", "keypoints"])
def test_nan_is_a_deviation(part: str) -> None:
    good = Candidates(np.ones((1, 2), "f4"), np.ones((1, 2, 3), "f4"), np.ones((1, 2, 3, 2), "f4"))
    bad = replace(good, **{part: np.full_like(getattr(good, part), np.nan)})
    assert compare_candidates(good, good, (64, 64)).is_within(EXACT)
    assert not compare_candidates(bad, good, (64, 64)).is_within(EXACT)


def test_differences_are_measured_in_input_pixels_and_scores() -> None:
    ours, theirs = two_candidates(0.01, scores=(0.8, 0.005)), two_candidates(0)
    deviation = compare_candidates(ours, theirs, (64, 96))
    assert deviation.keypoint_px == pytest.approx(0.96, rel=1e-3)
    assert deviation.score == pytest.approx(0.1, rel=1e-3)
    assert deviation.num_candidates == 2


def test_each_limit_is_applied() -> None:
    deviation = replace(compare_candidates(two_candidates(0), two_candidates(0), (64, 96)), similarity=0.95)
    assert deviation.is_within(Limits(0.9))
    assert not deviation.is_within(Limits(0.96))
    assert not replace(deviation, keypoint_px=0.1).is_within(Limits(0.9, keypoint_px=0.05))
    assert not replace(deviation, score=0.1).is_within(Limits(0.9, score=0.05))
    assert replace(deviation, keypoint_px=math.inf).is_within(Limits(0.9))


def test_similarity_multiplies_oks_and_score_difference() -> None:
    truth = two_candidates(0)
    assert similarity(truth, truth) == pytest.approx(1)
    assert similarity(two_candidates(0, scores=(0.6, 0.5)), truth) == pytest.approx(0.7)
    assert 0.9 < similarity(two_candidates(0.005), truth) < 1
    assert similarity(two_candidates(0.05), truth) < 0.5
