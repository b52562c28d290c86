"""The folder with charts and the worst images."""

import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from e2pose.core.annotations import Annotations
from e2pose.core.errors import MissingExtraError, OutputError
from e2pose.evaluation.calibration import calibration_of
from e2pose.evaluation.charts import write_calibration, write_precision_recall
from e2pose.evaluation.evaluate import evaluate_results
from e2pose.evaluation.matching import match
from e2pose.evaluation.report import WORST, check_report, worst_images, write_report
from e2pose.evaluation.side_by_side import draw_comparison
from e2pose.formats.coco_results import results_to_poses
from helpers.evaluations import COCO, made_dataset, made_results, perfect_results

RED, GREY = (255, 72, 72), (190, 190, 190)


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    dataset = made_dataset(COCO, rng)
    return evaluate_results(made_results(dataset, rng), dataset, protocol="coco")


@pytest.fixture
def images(tmp_path, result):
    folder = tmp_path / "images"
    folder.mkdir()
    for image in result.dataset.images:
        (folder / image.file_name).write_bytes(cv2.imencode(".png", np.full((64, 96, 3), 90, np.uint8))[1].tobytes())
    return folder


def read(path):
    """A picture as RGB."""
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_the_folder_is_complete(result, images, tmp_path):
    folder = tmp_path / "new" / "report"
    write_report(folder, result, images)
    worst = sorted(path.name for path in (folder / "worst").iterdir())
    first = worst_images(result)[0][0]
    assert len(worst) == WORST
    assert worst[0] == f"01-{first.file_name.removesuffix('.jpg')}.jpg"
    assert sorted(path.name for path in folder.iterdir()) == ["calibration.png", "precision_recall.png", "worst"]
    height, width, _ = read(folder / "worst" / worst[0]).shape
    assert width == 2 * 384 + 6, "a small picture is enlarged four times"
    assert height > 256


def test_without_images_there_are_charts_only(result, tmp_path):
    write_report(tmp_path / "report", result)
    assert len(list((tmp_path / "report").iterdir())) == 2


def test_the_worst_come_first(result):
    faults = [
        len(matching.missed) + matching.wrong.sum() + (1 - matching.similarities[matching.right]).sum()
        for _, _, matching in worst_images(result)
    ]
    assert faults == sorted(faults, reverse=True)
    assert faults[0] > faults[-1] > 0
    assert all((poses.scores >= 0.4).all() and len(poses) <= 20 for _, poses, _ in worst_images(result))


def test_images_without_a_fault_are_left_out():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    rounded = [
        replace(image, persons=tuple(replace(one, keypoints=one.keypoints.round()) for one in image.persons))
        for image in dataset.images
    ]
    dataset = Annotations(COCO, tuple(rounded))
    assert worst_images(evaluate_results(perfect_results(dataset), dataset)) == []
    assert len(worst_images(evaluate_results([], dataset))) == sum(
        any(one.has_keypoints for one in image.persons) for image in dataset.images
    )


def lines(picture, rgb):
    """How many pixels of the picture have exactly this colour."""
    return int((picture == rgb).all(axis=-1).sum())


def test_missed_people_are_marked_on_the_left_and_wrong_poses_on_the_right():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    image = next(one for one in dataset.images if sum(person.has_keypoints for person in one.persons) == 2)
    image = replace(image, persons=tuple(person for person in image.persons if person.has_keypoints))
    right = perfect_results(Annotations(COCO, (image,)))
    far = [{**right[0], "keypoints": (np.array(right[0]["keypoints"]) * 0.5 + 200).tolist()}]
    picture = np.full((640, 640, 3), 90, np.uint8)

    def halves(results, annotated=image):
        poses = results_to_poses(results, COCO)
        drawn = draw_comparison(picture, annotated, poses, match(annotated, poses))
        assert drawn.shape[1] == 640 + 6 + 640
        return drawn[:, :640], drawn[:, 646:]

    crowd = replace(image, persons=tuple(replace(person, is_crowd=True) for person in image.persons))
    assert [lines(half, RED) for half in halves(right)] == [0, 0]
    left, other = halves(right + far)
    assert lines(left, RED) == 0 < lines(other, RED)
    left, other = halves([])
    assert lines(left, RED) > 0 == lines(other, RED)
    left, other = halves(right, crowd)
    assert lines(left, RED) == lines(other, RED) == 0
    assert min(lines(left, GREY), lines(other, GREY)) > 0
    assert (picture == 90).all(), "the picture itself stays as it is"


def test_annotated_keypoints_lie_where_they_are_annotated():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    image = next(one for one in dataset.images if any(person.has_keypoints for person in one.persons))
    (person, *_) = (one for one in image.persons if one.has_keypoints)
    seen = replace(person, keypoints=np.full((17, 2), [24, 8], np.float32))
    alone = replace(image, persons=(seen,), size_hw=(40, 80))
    nobody = results_to_poses([], COCO)
    drawn = draw_comparison(np.zeros((40, 80, 3), np.uint8), alone, nobody, match(alone, nobody))
    pane = drawn[26:, :320]
    rows, columns = np.nonzero(pane.max(axis=-1) > 200)
    inside = (np.abs(columns - 24 * 4) < 10) & (np.abs(rows - 8 * 4) < 10)
    assert inside.any(), "four times as large"


def ink(picture):
    """Where a chart is not white."""
    return (picture < 250).any(axis=-1)


def test_charts_show_what_they_are_about(result, tmp_path):
    better = replace(result.metrics, precision=np.ones_like(result.metrics.precision))
    for name, metrics in {"low.png": result.metrics, "high.png": better}.items():
        write_precision_recall(tmp_path / name, metrics)
    low, high = read(tmp_path / "low.png"), read(tmp_path / "high.png")
    assert low.shape == high.shape == (640, 800, 3)
    assert not np.array_equal(ink(low), ink(high))
    write_calibration(tmp_path / "calibration.png", result.calibration)
    write_calibration(tmp_path / "empty.png", calibration_of(np.zeros(0), np.zeros(0, bool)))
    assert ink(read(tmp_path / "calibration.png")).sum() > ink(read(tmp_path / "empty.png")).sum() > 0


def test_charts_of_nothing_annotated(result, tmp_path):
    nothing = replace(result.metrics, ap=-1.0, precision=np.full((10, 101), -1.0))
    write_precision_recall(tmp_path / "nothing.png", nothing)
    assert ink(read(tmp_path / "nothing.png")).any()


def test_a_folder_that_cannot_take_the_report_is_found_beforehand(tmp_path):
    check_report(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    check_report(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is not empty"):
        check_report(tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        check_report(tmp_path / "file")


def test_a_missing_package_is_named_beforehand(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError) as caught:
        check_report(tmp_path)
    assert "e2pose[eval]" in caught.value.hint
