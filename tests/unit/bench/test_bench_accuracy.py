import json
from pathlib import Path

import numpy as np
import pytest

from e2pose.bench.accuracy import average_precision, find_annotated, missing_keypoints, to_poses
from e2pose.bench.images import Picture
from e2pose.bench.protocol import FoundPose
from e2pose.core.errors import AnnotationError
from e2pose.core.frame import Origin
from e2pose.formats.coco import to_coco_annotations
from helpers.comparisons import made_run
from helpers.evaluations import COCO, random_dataset, perfect_results


def found(score: float, *triples: tuple[float, float, float]) -> FoundPose:
    return FoundPose(score=score, keypoints=triples)


def test_keypoints_are_matched_by_name() -> None:
    names = ["heel", "left_eye", "nose"]
    poses = to_poses([found(0.5, (1, 2, 0.1), (3, 4, 0.2), (5, 6, 0.3)), found(0.9, *[(7, 8, 0.4)] * 3)], names, COCO)
    assert poses.scores.tolist() == pytest.approx([0.9, 0.5]), "the best one first"
    assert poses.keypoints[1, :2].tolist() == [[5, 6], [3, 4]]
    assert poses.keypoint_scores[1, :2].tolist() == pytest.approx([0.3, 0.2])
    assert np.isnan(poses.keypoints[:, 2:]).all()
    assert not poses.keypoint_scores[:, 2:].any()
    assert missing_keypoints(names, COCO) == list(COCO.keypoints[2:])
    assert len(to_poses([], names, COCO)) == 0


def pictures_of(dataset, folder: Path) -> list[Picture]:
    """The annotated pictures, in another order and among others, as frames."""
    names = [image.file_name for image in reversed(dataset.images)]
    return [
        Picture(index, folder / name, Origin(name, path=folder / "deep" / name))
        for index, name in enumerate(["x.png", *names])
    ]


@pytest.fixture
def annotated(tmp_path: Path):
    dataset = random_dataset(COCO, np.random.default_rng(0), num_images=6)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(to_coco_annotations(dataset)))
    pictures = pictures_of(dataset, tmp_path)
    answers: dict[int, list[FoundPose]] = {picture.index: [] for picture in pictures}
    of_name = {picture.file_name: picture.index for picture in pictures}
    for result in perfect_results(dataset):
        triples = (np.array(result["keypoints"]).reshape(-1, 3) + np.array([0.5, 0.5, 0])).tolist()
        answers[of_name[result["file_name"]]].append(found(1, *map(tuple, triples)))
    return path, pictures, {index: tuple(poses) for index, poses in answers.items()}


def test_perfect_answers_have_an_average_precision_of_one(annotated) -> None:
    path, pictures, answers = annotated
    part = find_annotated(path, pictures)
    assert len(part.dataset.images) == 6
    run = made_run("made", poses=answers, keypoints=COCO.keypoints)
    assert average_precision(run, part) == pytest.approx(1)
    nothing = made_run("made", poses=dict.fromkeys(answers, ()), keypoints=COCO.keypoints)
    assert average_precision(nothing, part) == 0


def test_other_keypoints_in_another_order_are_as_good(annotated) -> None:
    path, pictures, answers = annotated
    turned = {
        index: tuple(found(pose.score, (9.0, 9, 1), *pose.keypoints[::-1]) for pose in poses)
        for index, poses in answers.items()
    }
    run = made_run("made", poses=turned, keypoints=["heel", *COCO.keypoints[::-1]])
    assert average_precision(run, find_annotated(path, pictures)) == pytest.approx(1)


def test_keypoints_that_a_peer_does_not_have_are_missed(annotated) -> None:
    path, pictures, answers = annotated
    few = {index: tuple(found(pose.score, *pose.keypoints[:5]) for pose in poses) for index, poses in answers.items()}
    run = made_run("made", poses=few, keypoints=COCO.keypoints[:5])
    assert average_precision(run, find_annotated(path, pictures)) < 0.5


def test_only_pictures_that_are_frames_count(annotated) -> None:
    path, pictures, answers = annotated
    part = find_annotated(path, pictures[:3])
    assert {image.file_name for image in part.dataset.images} == {picture.file_name for picture in pictures[1:3]}
    run = made_run("made", poses={index: answers[index] for index in range(3)}, keypoints=COCO.keypoints)
    assert average_precision(run, part) == pytest.approx(1)


def test_annotations_of_something_else(annotated) -> None:
    path, pictures, _ = annotated
    with pytest.raises(AnnotationError, match="none of the 6 annotated pictures"):
        find_annotated(path, pictures[:1])
