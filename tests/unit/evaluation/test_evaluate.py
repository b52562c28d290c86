"""Evaluation of an estimator that returns the annotated poses."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError, OptionError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.evaluation.evaluate import evaluate, evaluate_results
from e2pose.formats.coco import to_coco_annotations
from e2pose.inference.estimator import load
from helpers.evaluations import pycocotools_summary, random_dataset, random_results, run_pycocotools
from helpers.synthetic import TINY_KEYPOINTS

COCO = load_schema("coco")
SIZE = 120


@pytest.fixture
def annotated(tmp_path):
    """Six images with different grey levels, with two persons each: dataset, annotation file and image folder."""
    rng = np.random.default_rng(0)
    images = []
    for index in range(6):
        persons = tuple(
            PersonAnnotation(
                rng.uniform(10, 110, (17, 2)).astype(np.float32).round(1),
                np.full(17, 2, np.uint8),
                area=5000.0,
                box=(10.0, 10.0, 100.0, 100.0),
            )
            for _ in range(2)
        )
        name = f"bild {index} ü.png"
        images.append(ImageAnnotation(index + 1, name, (SIZE, SIZE), persons, tuple(range(17))))
        pixels = cv2.imencode(".png", np.full((SIZE, SIZE, 3), 20 * index, np.uint8))[1]
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(pixels.tobytes())
    dataset = Annotations(COCO, tuple(images))
    annotations = tmp_path / "annotations.json"
    annotations.write_text(json.dumps(to_coco_annotations(dataset)), encoding="utf-8")
    return dataset, annotations, tmp_path / "images"


def oracle(dataset, schema=COCO, extra=0):
    """Returns an estimator that identifies the image by its grey level, and adds false positives."""

    def estimator(image):
        persons = dataset.images[int(image[0, 0, 0]) // 20].persons
        keypoints = np.concatenate([[person.keypoints for person in persons], np.zeros((extra, 17, 2))]).astype(
            np.float32
        )
        ones = np.ones(keypoints.shape[:2], np.float32)
        scores = np.concatenate([np.full(len(persons), 0.9), np.full(extra, 0.1)]).astype(np.float32)
        return Poses(keypoints, ones, scores, schema)

    return estimator


def test_annotated_poses_have_ap_of_one(annotated):
    dataset, annotations, images = annotated
    calls = []
    result = evaluate(oracle(dataset), annotations, images, progress=lambda done, total: calls.append((done, total)))
    assert (result.num_images, result.num_persons) == (6, 12)
    assert result.metrics.ap == pytest.approx(1)
    assert result.duplicates_per_image == 0
    assert result.calibration.error == pytest.approx(0.1), "all poses are correct and have the score 0.9"
    assert calls == [(done, 6) for done in range(1, 7)]


def test_home_folder_is_expanded(annotated, tmp_path, monkeypatch):
    dataset, _, _ = annotated
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert evaluate(oracle(dataset), "~/annotations.json", "~/images").metrics.ap == pytest.approx(1)


def test_record_contains_all_numbers(annotated):
    dataset, annotations, images = annotated
    result = evaluate(oracle(dataset), annotations, images, threshold=0.25)
    record = json.loads(json.dumps(result.to_record(), allow_nan=False))
    assert record["ap"] == result.metrics.ap
    assert record["threshold"] == 0.25
    assert record["latency"]["total"]["p90_ms"] == result.latency["total"].p90_ms
    assert record["calibration"]["bins"][9]["num_poses"] == 12
    assert {"num_images", "num_persons", "protocol", "ap50", "ar", "duplicates_per_image"} < record.keys()


def test_at_most_twenty_poses_per_image_are_evaluated(annotated):
    dataset, annotations, images = annotated
    result = evaluate(oracle(dataset, extra=100), annotations, images)
    assert len(result.results) == 6 * 20
    assert result.results[0]["file_name"] == "bild 0 ü.png"
    assert result.metrics.ap == pytest.approx(1), "false positives with lower scores do not reduce AP"
    assert result.calibration.error == pytest.approx((2 * 0.1 + 18 * 0.1) / 20)


def with_duplicates(estimator, scale):
    """Returns an estimator that repeats all poses of another one, with scaled scores."""

    def estimate(image):
        poses = estimator(image)
        copies = replace(poses, scores=poses.scores * np.float32(scale))
        fields = ("keypoints", "keypoint_scores", "scores")
        return Poses(*(np.concatenate([getattr(part, name) for part in (poses, copies)]) for name in fields), COCO)

    return estimate


def test_threshold_selects_duplicates(annotated):
    dataset, annotations, images = annotated
    above, below = (with_duplicates(oracle(dataset), score / 0.9) for score in (0.41, 0.39))
    assert evaluate(above, annotations, images).duplicates_per_image == 2
    assert evaluate(below, annotations, images).duplicates_per_image == 0
    assert evaluate(above, annotations, images, threshold=0.5).duplicates_per_image == 0
    assert evaluate(below, annotations, images, threshold=0.3).duplicates_per_image == 2


def test_sigmas_come_from_the_model_or_from_the_schema(annotated):
    dataset, annotations, images = annotated
    tolerant = KeypointSchema.from_names("wide", COCO.keypoints, sigmas=[0.9] * 17)

    def shifted(schema):
        exact = oracle(dataset, schema)

        def estimator(image):
            poses = exact(image)
            return Poses(poses.keypoints + np.float32(9), poses.keypoint_scores, poses.scores, schema)

        return estimator

    assert evaluate(shifted(COCO), annotations, images).metrics.ap < 0.9
    assert evaluate(shifted(tolerant), annotations, images).metrics.ap == pytest.approx(1)
    assert evaluate(shifted(COCO), annotations, images, schema=tolerant).metrics.ap == pytest.approx(1)
    stored = evaluate(shifted(COCO), annotations, images).results
    assert evaluate_results(stored, annotations, schema=tolerant).metrics.ap == pytest.approx(1)


def test_estimator_runs_with_evaluation_threshold_but_reports_its_own(annotated, tiny_model):
    """The tiny model detects its person with a score of 0 in the darkest image and of 0.39 in the brightest."""
    _, annotations, images = annotated
    estimator = load(tiny_model, threads=1)
    result = evaluate(estimator, annotations, images)
    assert result.threshold == estimator.threshold == 0.4
    assert len(result.results) == 5
    assert list(result.latency) == ["preprocess", "network", "decode", "total"]
    assert result.poses_by_image[6].keypoints[0] == pytest.approx(TINY_KEYPOINTS * SIZE, abs=0.01)


def test_limit_selects_the_first_images(annotated):
    dataset, annotations, images = annotated
    (images / "bild 5 ü.png").unlink()
    whole = evaluate(oracle(dataset), dataset, images, limit=5)
    limited = evaluate(oracle(dataset), annotations, images, limit=2)
    assert (limited.num_images, limited.num_persons, len(limited.results)) == (2, 4, 4)
    assert evaluate_results(whole.results, annotations, limit=2).to_record() == limited.to_record() | {"latency": {}}
    with pytest.raises(AnnotationError, match="1 images with results are not among the 2 annotated images"):
        evaluate_results([{**whole.results[0], "image_id": 77}], annotations, limit=2)
    with pytest.raises(OptionError, match="the limit must be at least 1, not 0"):
        evaluate(oracle(dataset), annotations, images, limit=0)


def test_stored_poses_have_the_same_metrics(annotated, tmp_path):
    dataset, annotations, images = annotated
    result = evaluate(oracle(dataset, extra=3), annotations, images)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(result.results), encoding="utf-8")
    stored = evaluate_results(path, annotations)
    assert stored.to_record() == result.to_record() | {"latency": {}}


def test_metrics_of_stored_poses_equal_pycocotools(tmp_path):
    rng = np.random.default_rng(3)
    dataset = Annotations(COCO, tuple(replace(image, crowd_index=None) for image in random_dataset(COCO, rng).images))
    results = random_results(dataset, rng)
    paths = tmp_path / "annotations.json", tmp_path / "results.json"
    for path, record in zip(paths, (to_coco_annotations(dataset), results), strict=True):
        path.write_text(json.dumps(record), encoding="utf-8")
    ours = evaluate_results(paths[1], paths[0]).metrics
    expected = pycocotools_summary(run_pycocotools(dataset, results))
    assert [ours.ap, ours.ap50, ours.ap75, *ours.ap_of.values(), ours.ar] == pytest.approx(expected, abs=1e-6)


def test_crowd_indices_select_the_crowdpose_protocol(annotated):
    dataset, _, images = annotated
    crowded = Annotations(COCO, tuple(replace(image, crowd_index=0.5) for image in dataset.images))
    result = evaluate(oracle(dataset), crowded, images)
    assert result.metrics.protocol == "crowdpose"
    assert result.metrics.ap_of == {"easy": -1, "medium": pytest.approx(1), "hard": -1}
    assert result.dataset.images[0].persons[0].area == pytest.approx(0.53 * 100 * 100)
    assert evaluate(oracle(dataset), crowded, images, protocol="coco").metrics.protocol == "coco"


def test_missing_images_error_names_number_and_example(annotated):
    dataset, annotations, images = annotated
    for name in ("bild 1 ü.png", "bild 4 ü.png"):
        (images / name).unlink()
    with pytest.raises(AnnotationError, match=r"2 of 6 annotated images are not in .*'bild 1 ü.png'"):
        evaluate(oracle(dataset), annotations, images)


def test_dataset_without_images_is_rejected(annotated):
    dataset, annotations, images = annotated
    annotations.write_text(json.dumps(to_coco_annotations(Annotations(COCO, ()))), encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"annotations\.json' lists no images"):
        evaluate(oracle(dataset), annotations, images)
    with pytest.raises(AnnotationError, match="the data set lists no images"):
        evaluate_results([], Annotations(COCO, ()))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_threshold_out_of_range_is_rejected(annotated, threshold):
    dataset, annotations, images = annotated
    with pytest.raises(OptionError, match="threshold must be between 0 and 1"):
        evaluate(oracle(dataset), annotations, images, threshold=threshold)


def test_schema_with_other_keypoints_is_rejected(annotated):
    _, annotations, images = annotated
    crowdpose = load_schema("crowdpose")
    with pytest.raises(AnnotationError, match="'crowdpose' of the poses has left_shoulder"):
        evaluate(lambda _: Poses.empty(crowdpose), annotations, images)
    with pytest.raises(AnnotationError, match="'crowdpose' of the poses has left_shoulder"):
        evaluate_results([], annotations, schema=crowdpose)


def test_category_can_be_chosen(tmp_path):
    record = to_coco_annotations(random_dataset(COCO, np.random.default_rng(0)))
    record["categories"].append({"id": 2, "name": "dog", "keypoints": list(COCO.keypoints)})
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(AnnotationError, match="2 categories with keypoints") as caught:
        evaluate_results([], path)
    assert "--category" in caught.value.hint
    assert evaluate_results([], path, category="person").num_persons > 0
    with pytest.raises(AnnotationError, match=r"nothing can be measured: .*images: 25.*is not selected"):
        evaluate_results([], path, category=("dog",))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"annotations": []}, "images: 6.$"),
        ({"iscrowd": 1}, "omitted 12 persons: crowd region"),
        ({"keypoints": [0] * 51}, "omitted 12 persons: no labelled keypoint"),
        ({"category_id": 9}, "omitted 12 annotations: the category is not in 'categories'"),
    ],
)
def test_annotations_without_labelled_persons_are_an_error_before_any_image_is_processed(annotated, changes, reason):
    _, path, images = annotated
    record = json.loads(path.read_text(encoding="utf-8"))
    record |= {key: value for key, value in changes.items() if key in record}
    record["annotations"] = [entry | changes for entry in record["annotations"]]
    path.write_text(json.dumps(record), encoding="utf-8")
    for measure in (lambda: evaluate(pytest.fail, path, images), lambda: evaluate_results([], path)):
        with pytest.raises(AnnotationError, match=f"nothing can be measured: .*{reason}") as caught:
            measure()
        assert caught.value.hint


def test_annotations_of_another_image_size_are_an_error_before_any_image_is_processed(annotated):
    dataset, _, images = annotated
    scaled = replace(dataset, images=(*dataset.images[:5], replace(dataset.images[5], size_hw=(240, 200))))
    with pytest.raises(
        AnnotationError, match=r"5 ü\.png' is 120 pixels wide and 120 high, but .* width 200 and height"
    ):
        evaluate(pytest.fail, scaled, images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schema": "coco"}, "the schema must be"),
        ({"protocol": "lvis"}, "the protocol must be coco or crowdpose, not 'lvis'"),
        ({"protocol": []}, "the protocol must be"),
        ({"category": b"x"}, "the category must be a name"),
        ({"category": True}, "the category must be a name"),
        ({"category": 1.5}, "the category must be a name"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_invalid_options_are_errors_before_any_image_is_processed(annotated, options, message):
    _, path, images = annotated
    calls = (evaluate, (pytest.fail, path, images)), (evaluate_results, ([], path))
    for function, arguments in calls:
        with pytest.raises(OptionError, match=message) as caught:
            function(*arguments, **options)
        assert caught.value.hint


@pytest.mark.usefixtures("unchecked")
def test_result_of_an_estimator_must_be_poses(annotated):
    dataset, _, images = annotated
    with pytest.raises(OptionError, match="the result of the estimator must be"):
        evaluate(lambda image: None, dataset, images)


@pytest.mark.parametrize("name", ["data.yaml", "data.YML", "images"])
def test_yolo_data_sets_and_folders_are_explained(annotated, name):
    _, path, images = annotated
    with pytest.raises(AnnotationError, match=f"{name}' is not a .json file of COCO annotations") as caught:
        evaluate(pytest.fail, path.parent / name, images)
    assert "export a YOLO data set as COCO keypoints" in caught.value.hint


def test_images_of_the_limit_need_a_person(annotated):
    dataset, _, images = annotated
    empty = replace(dataset.images[0], persons=())
    changed = replace(dataset, images=(empty, *dataset.images[1:]))
    with pytest.raises(AnnotationError, match="images: 1"):
        evaluate(oracle(dataset), changed, images, limit=1)
    assert evaluate(oracle(dataset), changed, images, limit=2).num_persons == 2


def test_schema_names_the_keypoints_of_annotations_without_names(annotated):
    dataset, path, images = annotated
    record = json.loads(path.read_text(encoding="utf-8"))
    record["categories"] = [{"id": 1, "name": "person"}]
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(AnnotationError, match="no names of keypoints"):
        evaluate(oracle(dataset), path, images)
    assert evaluate(oracle(dataset), path, images, schema=COCO).metrics.ap == pytest.approx(1)
    assert evaluate_results([], path, schema=COCO).num_persons == 12
