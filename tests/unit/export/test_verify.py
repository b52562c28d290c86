import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError
from e2pose.export.fold import deployment_copy
from e2pose.export.verify import (
    EXACT,
    LIMITS,
    Deviation,
    Limits,
    compare_candidates,
    largest_deviation,
    pose_similarity,
    verify_artifact,
)
from e2pose.runtimes.torch import TorchRuntime
from helpers.candidates import two_candidates
from helpers.networks import SPEC, noise, two_layer_network


class Shifted:
    """A runtime whose candidates are shifted by the next value of a list at each call."""

    spec = SPEC
    description = "shifted"

    def __init__(self, shifts: list[float]) -> None:
        self.shifts = iter(shifts)
        self.batch_sizes: list[int] = []

    def __call__(self, pixels: np.ndarray) -> Candidates:
        self.batch_sizes.append(len(pixels))
        one = two_candidates(next(self.shifts))
        parts = (one.scores, one.keypoint_scores, one.keypoints)
        return Candidates(*(np.repeat(part, len(pixels), axis=0) for part in parts))


def moved(candidates: Candidates, index: int, shift: float) -> Candidates:
    keypoints = candidates.keypoints.copy()
    keypoints[:, index] += shift
    return replace(candidates, keypoints=keypoints)


def similarity(ours: Candidates, theirs: Candidates) -> float:
    return pose_similarity([ours], [theirs], SPEC.schema, SPEC.input_size_hw)


def test_artifact_of_another_network_is_rejected(onnx_path: Path) -> None:
    images = list(noise(10, (80, 80)))
    network = deployment_copy(two_layer_network(), "f32")
    assert verify_artifact(onnx_path, TorchRuntime(network, SPEC), images, batch_sizes=(4,)).is_within(EXACT)
    network.head.output.bias.add_(0.05)
    with pytest.raises(ModelError, match=r"accepted are a similarity of at least 0\.999, at most 0\.05 px and 0\.001"):
        verify_artifact(onnx_path, TorchRuntime(network, SPEC), images, batch_sizes=(4,))


def test_all_images_are_compared_in_all_batch_sizes_and_the_worst_counts() -> None:
    artifact, reference = Shifted([0, 0, 0.01, 0, 0.002, 0]), Shifted([0] * 6)
    deviation = largest_deviation(artifact, reference, list(noise(4)), (1, 3))
    assert artifact.batch_sizes == reference.batch_sizes == [1, 1, 1, 1, 3, 1]
    assert deviation.keypoint_px == pytest.approx(0.96, rel=1e-3)
    assert deviation.num_candidates == 2 * 8
    values = [similarity(two_candidates(shift), two_candidates(0)) for shift in (0.01, 0.002)]
    assert deviation.similarity == pytest.approx((4 + sum(values)) / 6)


def test_noise_is_compared_alone_and_in_a_batch_by_default(onnx_path: Path) -> None:
    calls = []
    runtime = TorchRuntime(two_layer_network(), SPEC)

    class Recorder:
        spec, description = SPEC, "recorder"

        def __call__(self, pixels: np.ndarray) -> Candidates:
            calls.append(pixels)
            return runtime(pixels)

    verify_artifact(onnx_path, Recorder(), ())
    assert [len(pixels) for pixels in calls] == [1, 1, 1, 3]
    assert len({pixels.tobytes() for pixels in calls}) == 4


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


def test_largest_difference_of_person_and_keypoint_scores_counts() -> None:
    theirs = two_candidates(0)
    keypoint_scores = theirs.keypoint_scores.copy()
    keypoint_scores[0, 1, 5] = 0.7
    ours = replace(two_candidates(0, scores=(0.8, 0.02)), keypoint_scores=keypoint_scores)
    assert compare_candidates(ours, theirs, (64, 96)).score == pytest.approx(0.3)
    ours = replace(two_candidates(0, scores=(0.5, 0.02)), keypoint_scores=keypoint_scores)
    assert compare_candidates(ours, theirs, (64, 96)).score == pytest.approx(0.4)


def test_keypoints_of_candidates_below_one_percent_are_not_compared() -> None:
    theirs = two_candidates(0, scores=(0.9, 0.009))
    deviation = compare_candidates(moved(theirs, 1, 0.5), theirs, (64, 96))
    assert (deviation.keypoint_px, deviation.num_candidates) == (0, 1)
    theirs = two_candidates(0, scores=(0.009, 0.001))
    assert compare_candidates(theirs, theirs, (64, 96)).num_candidates == 2


@pytest.mark.parametrize(
    ("precision", "accepted", "rejected"),
    [
        ("f32", Deviation(0.049, 0.9e-3, 1, 0.9991), Deviation(0.051, 0, 1)),
        ("f32", Deviation(0.049, 0.9e-3, 1, 0.9991), Deviation(0, 1.1e-3, 1)),
        ("f32", Deviation(0.049, 0.9e-3, 1, 0.9991), Deviation(0, 0, 1, 0.9989)),
        ("f16", Deviation(50, 0.5, 1, 0.971), Deviation(0, 0, 1, 0.969)),
        ("bf16", Deviation(50, 0.5, 1, 0.901), Deviation(0, 0, 1, 0.899)),
    ],
)
def test_limits_of_each_precision(precision, accepted, rejected) -> None:
    assert accepted.is_within(LIMITS[precision])
    assert not rejected.is_within(LIMITS[precision])


def test_differences_in_x_and_y_are_in_pixels_of_their_side() -> None:
    theirs = two_candidates(0)
    for shift_xy, pixels in (([0.01, 0], 0.96), ([0, 0.01], 0.64)):
        ours = replace(theirs, keypoints=theirs.keypoints + np.array(shift_xy, np.float32))
        assert compare_candidates(ours, theirs, (64, 96)).keypoint_px == pytest.approx(pixels, rel=1e-3)


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


def test_tolerance_is_that_of_oks_for_half_the_box_of_the_keypoints() -> None:
    truth = two_candidates(0)
    keypoints = truth.keypoints + np.array([0.01, 0], np.float32)  # to the right
    area = 0.53 * (0.6 * 96) * (0.6 * 64)
    expected = np.exp(-((0.01 * 96) ** 2) / (2 * area * (2 * np.array(SPEC.schema.sigmas)) ** 2)).mean()
    assert similarity(replace(truth, keypoints=keypoints), truth) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("second_score", "is_person"), [(0.11, True), (0.09, False)])
def test_candidates_from_a_score_of_a_tenth_on_are_persons(second_score: float, is_person: bool) -> None:
    theirs = two_candidates(0, scores=(0.9, second_score))
    assert similarity(moved(theirs, 1, 0.5), theirs) == pytest.approx(0.5 if is_person else 1, abs=0.01)


def test_image_without_persons_counts_with_its_best_candidate() -> None:
    theirs = two_candidates(0, scores=(0.02, 0.03))
    assert similarity(moved(theirs, 0, 0.5), theirs) == pytest.approx(1)
    assert similarity(moved(theirs, 1, 0.5), theirs) == pytest.approx(0, abs=0.01)


def test_every_person_weighs_the_same() -> None:
    one, two = two_candidates(0), two_candidates(0, scores=(0.9, 0.9))
    ours = [moved(one, 0, 0.5), two]
    value = pose_similarity(ours, [one, two], SPEC.schema, SPEC.input_size_hw)
    assert value == pytest.approx(2 / 3, abs=0.01)
