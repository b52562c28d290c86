"""A whole evaluation, with an estimator that knows the answers."""

import json
from time import sleep

import cv2
import numpy as np
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.evaluation.evaluate import evaluate
from e2pose.formats.coco import CocoDataset, CocoImage, CocoPerson, to_coco_annotations

COCO = load_schema("coco")
SIZE = 120


@pytest.fixture
def made(tmp_path):
    """Six pictures in a folder, each of a grey of its own, with two people in each."""
    rng = np.random.default_rng(0)
    images = []
    for index in range(6):
        persons = tuple(
            CocoPerson(
                rng.uniform(10, 110, (17, 2)).astype(np.float32).round(1),
                np.full(17, 2, np.uint8),
                area=5000.0,
                box=(10.0, 10.0, 100.0, 100.0),
            )
            for _ in range(2)
        )
        name = f"bild {index} ü.png"
        images.append(CocoImage(index + 1, name, (SIZE, SIZE), persons, tuple(range(17))))
        pixels = cv2.imencode(".png", np.full((SIZE, SIZE, 3), 20 * index, np.uint8))[1]
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(pixels.tobytes())
    dataset = CocoDataset(COCO, tuple(images))
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
    assert seen == [(done, 6) for done in range(1, 7)]
    record = result.to_record()
    assert record["ap"] == result.metrics.ap
    assert record["p90_ms"] == result.latency.p90_ms
    json.dumps(record)


def test_at_most_twenty_poses_of_an_image_count(made, tmp_path):
    dataset, annotations, images = made
    path = tmp_path / "new" / "results.json"
    result = evaluate(oracle(dataset, extra=100), annotations, images, results_path=path)
    entries = json.loads(path.read_text(encoding="utf-8"))
    assert len(entries) == 6 * 20
    assert entries[0]["file_name"] == "bild 0 ü.png"
    assert result.metrics.ap == pytest.approx(1), "wrong poses with lower scores cost nothing"


def test_the_sigmas_are_those_of_the_model(made):
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


def test_latency_leaves_out_the_first_calls(made):
    dataset, annotations, images = made
    calls = []

    def slow_at_first(image):
        calls.append(image)
        sleep(0.05 if len(calls) <= 3 else 0)
        return oracle(dataset)(image)

    latency = evaluate(slow_at_first, annotations, images).latency
    assert 0 < latency.p50_ms <= latency.p90_ms <= latency.p99_ms < 45


def test_a_single_image_has_a_latency(made):
    dataset, annotations, images = made
    one = CocoDataset(COCO, dataset.images[:1])
    annotations.write_text(json.dumps(to_coco_annotations(one)), encoding="utf-8")
    assert evaluate(oracle(dataset), annotations, images).latency.mean_ms > 0


def test_missing_images_are_counted(made):
    dataset, annotations, images = made
    for name in ("bild 1 ü.png", "bild 4 ü.png"):
        (images / name).unlink()
    with pytest.raises(AnnotationError, match=r"2 of 6 annotated images are not in .*'bild 1 ü.png'"):
        evaluate(oracle(dataset), annotations, images)


def test_no_images(made):
    dataset, annotations, images = made
    annotations.write_text(json.dumps(to_coco_annotations(CocoDataset(COCO, ()))), encoding="utf-8")
    with pytest.raises(AnnotationError, match="lists no images"):
        evaluate(oracle(dataset), annotations, images)


def test_other_keypoints_are_refused(made):
    _, annotations, images = made
    with pytest.raises(AnnotationError, match="the model finds left_shoulder"):
        evaluate(lambda _: Poses.nobody(load_schema("crowdpose")), annotations, images)
