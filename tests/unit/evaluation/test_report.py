"""The report folder: charts, and the images with the most errors."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from e2pose.core.annotations import Annotations
from e2pose.core.errors import MissingExtraError, OutputError
from e2pose.evaluation import charts, report
from e2pose.evaluation.calibration import calibration_from_scores
from e2pose.evaluation.charts import write_calibration, write_precision_recall
from e2pose.evaluation.evaluate import evaluate_results
from e2pose.evaluation.matching import match_poses
from e2pose.evaluation.report import NUM_WORST_IMAGES, check_report, draw_comparison, worst_images, write_report
from e2pose.formats.coco_results import results_to_poses
from helpers.evaluations import COCO, perfect_results, random_dataset, random_results

RED, GREY = (255, 72, 72), (190, 190, 190)


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    dataset = random_dataset(COCO, rng)
    return evaluate_results(random_results(dataset, rng), dataset, protocol="coco")


@pytest.fixture
def images(tmp_path, result):
    folder = tmp_path / "images"
    folder.mkdir()
    for image in result.dataset.images:
        (folder / image.file_name).write_bytes(cv2.imencode(".png", np.full((64, 96, 3), 90, np.uint8))[1].tobytes())
    return folder


def read_rgb(path):
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_report_contains_charts_and_worst_images(result, images, tmp_path):
    folder = tmp_path / "new" / "report"
    write_report(folder, result, images)
    worst = sorted(path.name for path in (folder / "worst").iterdir())
    first = worst_images(result)[0][0]
    assert len(worst) == NUM_WORST_IMAGES
    assert worst[0] == f"01-{first.file_name.removesuffix('.jpg')}.jpg"
    assert sorted(path.name for path in folder.iterdir()) == ["calibration.png", "precision_recall.png", "worst"]
    height, width, _ = read_rgb(folder / "worst" / worst[0]).shape
    assert width == 2 * 384 + 6, "a small image is enlarged four times"
    assert height > 256


def test_report_without_image_folder_contains_charts_only(result, tmp_path):
    write_report(tmp_path / "report", result)
    assert len(list((tmp_path / "report").iterdir())) == 2


def test_worst_images_are_sorted_by_error(result):
    errors = [
        len(matching.missed) + matching.false_positives.sum() + (1 - matching.oks[matching.true_positives]).sum()
        for _, _, matching in worst_images(result)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1] > 0
    assert all((poses.scores >= 0.4).all() and len(poses) <= 20 for _, poses, _ in worst_images(result))


def test_images_without_errors_are_left_out():
    dataset = random_dataset(COCO, np.random.default_rng(0))
    rounded = [
        replace(image, persons=tuple(replace(person, keypoints=person.keypoints.round()) for person in image.persons))
        for image in dataset.images
    ]
    dataset = Annotations(COCO, tuple(rounded))
    assert worst_images(evaluate_results(perfect_results(dataset), dataset)) == []
    assert len(worst_images(evaluate_results([], dataset))) == sum(
        any(person.has_keypoints for person in image.persons) for image in dataset.images
    )


@pytest.fixture
def two_persons():
    """An annotated image of two persons, and its perfect results."""
    dataset = random_dataset(COCO, np.random.default_rng(0))
    image = next(image for image in dataset.images if sum(person.has_keypoints for person in image.persons) == 2)
    image = replace(image, persons=tuple(person for person in image.persons if person.has_keypoints))
    return image, perfect_results(Annotations(COCO, (image,)))


def draw(annotation, results):
    """Returns the left and the right half of a comparison."""
    image = np.full((640, 640, 3), 90, np.uint8)
    poses = results_to_poses(results, COCO)
    drawn = draw_comparison(image, annotation, poses, match_poses(annotation, poses))
    assert drawn.shape[1] == 640 + 6 + 640
    assert (image == 90).all(), "the image must not be modified"
    return drawn[:, :640], drawn[:, 646:]


def count_pixels(image, rgb):
    return int((image == rgb).all(axis=-1).sum())


def moved(result):
    """Returns the result at a place without persons."""
    return {**result, "keypoints": (np.array(result["keypoints"]) * 0.5 + 200).tolist()}


def test_missed_persons_and_false_positives_have_red_boxes(two_persons):
    annotation, results = two_persons
    assert [count_pixels(half, RED) for half in draw(annotation, results)] == [0, 0]
    left, right = draw(annotation, [*results, moved(results[0])])
    assert count_pixels(left, RED) == 0 < count_pixels(right, RED)
    left, right = draw(annotation, [])
    assert count_pixels(left, RED) > 0 == count_pixels(right, RED)


def test_crowds_and_ignored_poses_have_grey_boxes(two_persons):
    annotation, results = two_persons
    crowd = replace(annotation, persons=tuple(replace(person, is_crowd=True) for person in annotation.persons))
    left, right = draw(crowd, results)
    assert count_pixels(left, RED) == count_pixels(right, RED) == 0
    assert min(count_pixels(left, GREY), count_pixels(right, GREY)) > 0


def test_boxes_are_labelled_by_kind(two_persons, monkeypatch):
    annotation, (first, second) = two_persons
    texts = []
    monkeypatch.setattr(report, "draw_label", lambda image, text, *_: texts.append(text))
    draw(annotation, [first, {**first, "score": 0.5}, {**moved(first), "score": 0.25}])
    assert texts == [
        "missed",
        "annotated: 2, missed: 1",
        "1.00",
        "duplicate, score 0.50",
        "false positive, score 0.25",
        "detected: 3, false: 2, mean OKS 1.00",
    ]
    texts.clear()
    crowd, unlabelled = annotation.persons
    crowd = replace(crowd, is_crowd=True)
    unlabelled = replace(unlabelled, visibility=np.zeros(17, np.uint8))
    draw(replace(annotation, persons=(crowd, unlabelled)), [first, second])
    assert texts == [
        "crowd",
        "no keypoints",
        "annotated: 0, missed: 0",
        "ignored, score 1.00",
        "ignored, score 1.00",
        "detected: 2, false: 0",
    ]


def test_annotated_keypoints_are_drawn_at_their_position():
    dataset = random_dataset(COCO, np.random.default_rng(0))
    image = next(image for image in dataset.images if any(person.has_keypoints for person in image.persons))
    (person, *_) = (person for person in image.persons if person.has_keypoints)
    person = replace(person, keypoints=np.full((17, 2), [24, 8], np.float32))
    annotation = replace(image, persons=(person,), size_hw=(40, 80))
    poses = results_to_poses([], COCO)
    drawn = draw_comparison(np.zeros((40, 80, 3), np.uint8), annotation, poses, match_poses(annotation, poses))
    pane = drawn[26:, :320]
    rows, columns = np.nonzero(pane.max(axis=-1) > 200)
    inside = (np.abs(columns - 24 * 4) < 10) & (np.abs(rows - 8 * 4) < 10)
    assert inside.any(), "the pane is enlarged four times"


@pytest.fixture
def axes_of(monkeypatch):
    """Returns a function that draws a chart and returns its axes."""

    def draw_chart(write, *arguments):
        figures = []
        monkeypatch.setattr(charts, "save_figure", lambda figure, path: figures.append(figure))
        write(Path("chart.png"), *arguments)
        return figures[0].axes

    return draw_chart


def test_precision_recall_chart_shows_every_second_threshold(result, axes_of):
    (axes,) = axes_of(write_precision_recall, result.metrics)
    curves = axes.get_lines()
    assert [curve.get_label()[:7] for curve in curves] == [f"OKS 0.{digit}" for digit in "56789"]
    reached = result.metrics.precision[2] > 0
    assert curves[1].get_xdata() == pytest.approx(np.linspace(0, 1, 101)[reached])
    assert curves[1].get_ydata() == pytest.approx(result.metrics.precision[2][reached])
    assert axes.get_title("left") == f"AP {100 * result.metrics.ap:.1f}"


def test_precision_recall_chart_without_persons(result, axes_of):
    nothing = replace(result.metrics, ap=-1.0, precision=np.full((10, 101), -1.0))
    (axes,) = axes_of(write_precision_recall, nothing)
    assert axes.get_title("left") == "no annotated persons"


def test_calibration_chart_shows_precision_and_number_of_poses(axes_of):
    scores = np.array([0.25, 0.25, 0.75])
    reliability, counts = axes_of(write_calibration, calibration_from_scores(scores, np.array([True, False, True])))
    assert reliability.get_lines()[1].get_xydata().tolist() == [[0.25, 0.5], [0.75, 1]]
    assert [bar.get_height() for bar in counts.patches] == [0, 0, 2, 0, 0, 0, 0, 1, 0, 0]


def test_charts_are_png_files(result, tmp_path):
    write_precision_recall(tmp_path / "curves.png", result.metrics)
    write_calibration(tmp_path / "empty.png", calibration_from_scores(np.zeros(0), np.zeros(0, bool)))
    for name in ("curves.png", "empty.png"):
        assert read_rgb(tmp_path / name).shape == (640, 800, 3)


def test_check_report_rejects_unusable_folders(tmp_path):
    check_report(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    check_report(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is not empty"):
        check_report(tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        check_report(tmp_path / "file")


def test_check_report_expands_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    check_report(Path("~/new"))
    (tmp_path / "used" / "old").mkdir(parents=True)
    with pytest.raises(OutputError, match="is not empty"):
        check_report(Path("~/used"))


def test_check_report_names_the_missing_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError) as caught:
        check_report(tmp_path)
    assert "e2pose[eval]" in caught.value.hint
