import json
from pathlib import Path

import numpy as np
import pytest

from e2pose.bench.accuracy import find_annotated, measure_accuracy, to_poses
from e2pose.bench.images import BenchImage
from e2pose.bench.protocol import PeerPose
from e2pose.core.errors import AnnotationError
from e2pose.core.frame import Origin
from e2pose.formats.coco import to_coco_annotations
from helpers.comparisons import fake_result
from helpers.evaluations import COCO, perfect_results, random_dataset


def pose(score: float, *triples: tuple[float, float, float]) -> PeerPose:
    return PeerPose(score=score, keypoints=triples)


def test_keypoints_are_matched_by_name() -> None:
    names = ["heel", "left_eye", "nose"]
    poses = to_poses([pose(0.5, (1, 2, 0.1), (3, 4, 0.2), (5, 6, 0.3)), pose(0.9, *[(7, 8, 0.4)] * 3)], names, COCO)
    assert poses.scores.tolist() == pytest.approx([0.9, 0.5]), "the highest score comes first"
    assert poses.keypoints[1, :2].tolist() == [[5, 6], [3, 4]]
    assert poses.keypoint_scores[1, :2].tolist() == pytest.approx([0.3, 0.2])
    assert np.isnan(poses.keypoints[:, 2:]).all()
    assert not poses.keypoint_scores[:, 2:].any()
    assert len(to_poses([], names, COCO)) == 0


def frames_of(dataset, folder: Path) -> list[BenchImage]:
    """Returns the annotated images in reverse order, after an image without annotations, as frames."""
    names = [image.file_name for image in reversed(dataset.images)]
    return [
        BenchImage(index, folder / name, Origin(name, path=folder / "deep" / name))
        for index, name in enumerate(["x.png", *names])
    ]


@pytest.fixture
def annotated(tmp_path: Path):
    dataset = random_dataset(COCO, np.random.default_rng(0), num_images=6)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(to_coco_annotations(dataset)))
    frames = frames_of(dataset, tmp_path)
    peer_poses: dict[int, list[PeerPose]] = {frame.index: [] for frame in frames}
    frame_of = {frame.file_name: frame.index for frame in frames}
    for result in perfect_results(dataset):
        triples = (np.array(result["keypoints"]).reshape(-1, 3) + np.array([0.5, 0.5, 0])).tolist()
        peer_poses[frame_of[result["file_name"]]].append(pose(1, *map(tuple, triples)))
    return path, frames, {index: tuple(poses) for index, poses in peer_poses.items()}


def test_perfect_poses_have_an_average_precision_of_one(annotated) -> None:
    path, frames, peer_poses = annotated
    annotated_images = find_annotated(path, frames)
    assert len(annotated_images.dataset.images) == 6
    run = fake_result("fake", poses=peer_poses, keypoints=COCO.keypoints)
    assert measure_accuracy(run, annotated_images).ap == pytest.approx(1)
    nothing = fake_result("fake", poses=dict.fromkeys(peer_poses, ()), keypoints=COCO.keypoints)
    assert measure_accuracy(nothing, annotated_images).ap == 0


def test_keypoint_order_and_additional_keypoints_do_not_change_ap(annotated) -> None:
    path, frames, peer_poses = annotated
    reordered = {
        index: tuple(pose(one.score, (9.0, 9, 1), *one.keypoints[::-1]) for one in poses)
        for index, poses in peer_poses.items()
    }
    run = fake_result("fake", poses=reordered, keypoints=["heel", *COCO.keypoints[::-1]])
    result = measure_accuracy(run, find_annotated(path, frames))
    assert result.ap == pytest.approx(1)
    assert result.missing_keypoints == ()


def test_missing_keypoints_reduce_ap(annotated) -> None:
    path, frames, peer_poses = annotated
    few = {index: tuple(pose(one.score, *one.keypoints[:10]) for one in poses) for index, poses in peer_poses.items()}
    run = fake_result("fake", poses=few, keypoints=COCO.keypoints[:10])
    result = measure_accuracy(run, find_annotated(path, frames))
    assert 0 < result.ap < 0.5
    assert result.missing_keypoints == COCO.keypoints[10:]


def test_random_weights_have_no_average_precision(annotated) -> None:
    path, frames, peer_poses = annotated
    run = fake_result("fake", poses=peer_poses, keypoints=COCO.keypoints[::-1][:-1], random_weights=True)
    result = measure_accuracy(run, find_annotated(path, frames))
    assert result.ap is None
    assert result.missing_keypoints == ("nose",)


def test_only_images_among_the_frames_are_evaluated(annotated) -> None:
    path, frames, peer_poses = annotated
    annotated_images = find_annotated(path, frames[:3])
    assert {image.file_name for image in annotated_images.dataset.images} == {frame.file_name for frame in frames[1:3]}
    run = fake_result("fake", poses={index: peer_poses[index] for index in range(3)}, keypoints=COCO.keypoints)
    assert measure_accuracy(run, annotated_images).ap == pytest.approx(1)


def test_annotations_of_other_images_are_rejected(annotated) -> None:
    path, frames, _ = annotated
    with pytest.raises(AnnotationError, match="none of the 6 annotated images"):
        find_annotated(path, frames[:1])
