"""A whole evaluation, with an estimator that knows the answers."""

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
from helpers.evaluations import made_dataset, made_results, pycocotools, summary
from helpers.synthetic import TINY_KEYPOINTS

COCO = load_schema("coco")
SIZE = 120


@pytest.fixture
def made(tmp_path):
    """Six pictures in a folder, each of a grey of its own, with two people in each."""
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
    """An estimator that reads the number of the picture from its grey, and adds poses that are wrong."""

    def estimator(image):
        persons = dataset.images[int(image[0, 0, 0]) // 20].persons
        keypoints = np.concatenate([[one.keypoints for one in persons], np.zeros((extra, 17, 2))]).astype(np.float32)
        ones = np.ones(keypoints.shape[:2], np.float32)
        scores = np.concatenate([np.full(len(persons), 0.9), np.full(extra, 0.1)]).astype(np.float32)
        return Poses(keypoints, ones, scores, schema)

    return estimator


def test_right_answers_have_precision_one(made):
    dataset, annotations, images = made
    seen = []
    result = evaluate(oracle(dataset), annotations, images, progress=lambda done, total: seen.append((done, total)))
    assert (result.images, result.persons) == (6, 12)
    assert result.metrics.ap == pytest.approx(1)
    assert result.duplicates_per_image == 0
    assert result.calibration.error == pytest.approx(0.1), "all of them are right, with a score of 0.9"
    assert seen == [(done, 6) for done in range(1, 7)]


def test_the_record_has_all_numbers(made):
    dataset, annotations, images = made
    result = evaluate(oracle(dataset), annotations, images, threshold=0.25)
    record = json.loads(json.dumps(result.to_record(), allow_nan=False))
    assert record["ap"] == result.metrics.ap
    assert record["threshold"] == 0.25
    assert record["latency"]["total"]["p90_ms"] == result.latency["total"].p90_ms
    assert record["calibration"]["bins"][9]["poses"] == 12
    assert {"images", "persons", "protocol", "ap50", "ar", "duplicates_per_image"} < record.keys()


def test_at_most_twenty_poses_of_an_image_count(made):
    dataset, annotations, images = made
    result = evaluate(oracle(dataset, extra=100), annotations, images)
    assert len(result.results) == 6 * 20
    assert result.results[0]["file_name"] == "bild 0 ü.png"
    assert result.metrics.ap == pytest.approx(1), "wrong poses with lower scores cost nothing"
    assert result.calibration.error == pytest.approx((2 * 0.1 + 18 * 0.1) / 20)


def test_the_threshold_decides_what_is_a_duplicate(made):
    dataset, annotations, images = made
    once = oracle(dataset)

    def twice(image):
        poses = once(image)
        again = replace(poses, scores=poses.scores / 2)
        return Poses(
            *(
                np.concatenate([getattr(one, name) for one in (poses, again)])
                for name in ("keypoints", "keypoint_scores", "scores")
            ),
            COCO,
        )

    assert evaluate(twice, annotations, images).duplicates_per_image == 2, "0.45 is above 0.4"
    assert evaluate(twice, annotations, images, threshold=0.5).duplicates_per_image == 0


def test_the_sigmas_are_those_of_the_model_or_of_a_schema(made):
    dataset, annotations, images = made
    generous = KeypointSchema.from_names("wide", COCO.keypoints, sigmas=[0.9] * 17)

    def roughly(schema):
        exact = oracle(dataset, schema)

        def estimator(image):
            poses = exact(image)
            return Poses(poses.keypoints + np.float32(9), poses.keypoint_scores, poses.scores, schema)

        return estimator

    assert evaluate(roughly(COCO), annotations, images).metrics.ap < 0.9
    assert evaluate(roughly(generous), annotations, images).metrics.ap == pytest.approx(1)
    assert evaluate(roughly(COCO), annotations, images, schema=generous).metrics.ap == pytest.approx(1)
    stored = evaluate(roughly(COCO), annotations, images).results
    assert evaluate_results(stored, annotations, schema=generous).metrics.ap == pytest.approx(1)


def test_an_estimator_is_run_with_a_lower_threshold_and_keeps_its_own(made, tiny_model):
    """The tiny model sees its one person in the darkest picture with a score of 0, in the brightest with 0.39."""
    _, annotations, images = made
    estimator = load(tiny_model, threads=1)
    result = evaluate(estimator, annotations, images)
    assert result.threshold == estimator.threshold == 0.4
    assert len(result.results) == 5
    assert list(result.latency) == ["preprocess", "network", "decode", "total"]
    assert result.found[6].keypoints[0] == pytest.approx(TINY_KEYPOINTS * SIZE, abs=0.01)


def test_the_first_images_only(made):
    dataset, annotations, images = made
    (images / "bild 5 ü.png").unlink()
    whole = evaluate(oracle(dataset), dataset, images, limit=5)
    part = evaluate(oracle(dataset), annotations, images, limit=2)
    assert (part.images, part.persons, len(part.results)) == (2, 4, 4)
    assert evaluate_results(whole.results, annotations, limit=2).to_record() == part.to_record() | {"latency": {}}
    with pytest.raises(AnnotationError, match="1 images with results are not among the 2"):
        evaluate_results([{**whole.results[0], "image_id": 77}], annotations, limit=2)
    with pytest.raises(OptionError, match="at least 1 image, not 0"):
        evaluate(oracle(dataset), annotations, images, limit=0)


def test_stored_poses_give_the_same_numbers(made, tmp_path):
    dataset, annotations, images = made
    result = evaluate(oracle(dataset, extra=3), annotations, images)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(result.results), encoding="utf-8")
    stored = evaluate_results(path, annotations)
    assert stored.to_record() == result.to_record() | {"latency": {}}


def test_stored_poses_equal_pycocotools_file_for_file(tmp_path):
    rng = np.random.default_rng(3)
    dataset = Annotations(COCO, tuple(replace(image, crowd_index=None) for image in made_dataset(COCO, rng).images))
    results = made_results(dataset, rng)
    paths = tmp_path / "annotations.json", tmp_path / "results.json"
    for path, record in zip(paths, (to_coco_annotations(dataset), results), strict=True):
        path.write_text(json.dumps(record), encoding="utf-8")
    ours = evaluate_results(paths[1], paths[0]).metrics
    expected = summary(pycocotools(dataset, results))
    assert [ours.ap, ours.ap50, ours.ap75, *ours.ap_of.values(), ours.ar] == pytest.approx(expected, abs=1e-6)


def test_images_with_a_crowd_index_are_taken_for_crowdpose(made):
    dataset, _, images = made
    crowded = Annotations(COCO, tuple(replace(image, crowd_index=0.5) for image in dataset.images))
    result = evaluate(oracle(dataset), crowded, images)
    assert result.metrics.protocol == "crowdpose"
    assert result.metrics.ap_of == {"easy": -1, "medium": pytest.approx(1), "hard": -1}
    assert result.dataset.images[0].persons[0].area == pytest.approx(0.53 * 100 * 100)
    assert evaluate(oracle(dataset), crowded, images, protocol="coco").metrics.protocol == "coco"


def test_missing_images_are_counted(made):
    dataset, annotations, images = made
    for name in ("bild 1 ü.png", "bild 4 ü.png"):
        (images / name).unlink()
    with pytest.raises(AnnotationError, match=r"2 of 6 annotated images are not in .*'bild 1 ü.png'"):
        evaluate(oracle(dataset), annotations, images)


def test_no_images(made):
    dataset, annotations, images = made
    annotations.write_text(json.dumps(to_coco_annotations(Annotations(COCO, ()))), encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"annotations\.json' lists no images"):
        evaluate(oracle(dataset), annotations, images)
    with pytest.raises(AnnotationError, match="the data set lists no images"):
        evaluate_results([], Annotations(COCO, ()))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_threshold_out_of_range(made, threshold):
    dataset, annotations, images = made
    with pytest.raises(OptionError, match="threshold must lie between 0 and 1"):
        evaluate(oracle(dataset), annotations, images, threshold=threshold)


def test_other_keypoints_are_refused(made):
    _, annotations, images = made
    crowdpose = load_schema("crowdpose")
    with pytest.raises(AnnotationError, match="'crowdpose' of the poses has left_shoulder"):
        evaluate(lambda _: Poses.empty(crowdpose), annotations, images)
    with pytest.raises(AnnotationError, match="'crowdpose' of the poses has left_shoulder"):
        evaluate_results([], annotations, schema=crowdpose)
