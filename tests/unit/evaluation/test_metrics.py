"""COCO's metrics: equal to pycocotools on made detections; duplicates by hand."""

import contextlib
import dataclasses
import io
import json
import sys

import numpy as np
import pytest
from pycocotools import coco as reference_coco
from pycocotools import cocoeval as reference_eval

from e2pose.core.errors import AnnotationError, MissingExtraError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.evaluation.metrics import count_duplicates, keypoint_metrics
from e2pose.formats.coco import CocoDataset, CocoImage, CocoPerson, read_coco, to_coco_annotations, to_coco_results

COCO = load_schema("coco")
CUSTOM = KeypointSchema.from_names("tool", ["left_tip", "right_tip", "grip"], sigmas=[0.02, 0.3, 0.1])
SIZE = 640


def person(centre, size, schema, rng, **changes):
    low = np.asarray(centre) - size / 2
    fields = {
        "keypoints": (low + rng.random((len(schema), 2)) * size).astype(np.float32),
        "visibility": rng.integers(0, 3, len(schema)).astype(np.uint8),
        "area": float(size * size * rng.uniform(0.3, 0.8)),
        "box": (*low.tolist(), float(size), float(size)),
    }
    return CocoPerson(**fields | changes)


def made_dataset(schema, rng, images=25):
    """People of all sizes, some in crowds, some without labelled keypoints; some images are empty."""
    made = []
    for index in range(images):
        persons = []
        for _ in range(rng.integers(0, 7)):
            nothing = {"visibility": np.zeros(len(schema), np.uint8)} if rng.random() < 0.15 else {}
            crowd = {"is_crowd": True} if rng.random() < 0.1 else {}
            size = float(np.exp(rng.uniform(np.log(15), np.log(300))))
            persons.append(person(rng.uniform(0, SIZE, 2), size, schema, rng, **nothing, **crowd))
        made.append(CocoImage(100 + 7 * index, f"{index}.jpg", (SIZE, SIZE), tuple(persons), tuple(range(len(schema)))))
    return CocoDataset(schema, tuple(made))


def made_results(dataset, rng):
    """Poses near the annotated ones, some twice, some left out, some anywhere; up to 30 in an image."""
    count = len(dataset.schema)
    results = []
    for image in dataset.images:
        near = [one for one in image.persons for _ in range(rng.integers(0, 3))]
        keypoints = [one.keypoints + rng.normal(0, rng.uniform(0.005, 0.1), (count, 2)) * one.area**0.5 for one in near]
        keypoints += [rng.uniform(0, SIZE, (count, 2)) for _ in range(rng.choice([0, 1, 30], p=[0.6, 0.3, 0.1]))]
        poses = Poses(
            np.reshape(keypoints, (-1, count, 2)).astype(np.float32),
            rng.random((len(keypoints), count), dtype=np.float32),
            rng.random(len(keypoints), dtype=np.float32).round(2),
            dataset.schema,
        )
        results += to_coco_results(poses, image.id, image.file_name)
    return results


def reference(dataset, results):
    """AP, AP50, AP75, AP medium, AP large and AR by pycocotools, which prints as it works."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = reference_coco.COCO()
        truth.dataset = to_coco_annotations(dataset)
        truth.createIndex()
        evaluation = reference_eval.COCOeval(truth, truth.loadRes([dict(result) for result in results]), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(dataset.schema.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:6].tolist()


@pytest.mark.parametrize("schema", [COCO, CUSTOM], ids=["coco", "custom sigmas"])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_pycocotools(schema, seed, capfd):
    rng = np.random.default_rng(seed)
    dataset = made_dataset(schema, rng)
    results = made_results(dataset, rng)
    before = json.dumps(results)
    metrics = keypoint_metrics(dataset, results)
    assert capfd.readouterr() == ("", ""), "data goes to stdout, and this is none"
    expected = reference(dataset, results)
    assert 0.05 < expected[0] < 0.95, "the case must be neither trivial nor hopeless"
    numbers = dataclasses.astuple(metrics)
    assert numbers[:6] == pytest.approx(expected, abs=1e-6)
    assert json.dumps(results) == before, "inputs are left as they are"
    assert metrics.to_record() == dict(
        zip(
            ["ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "duplicates_per_image"],
            numbers,
            strict=True,
        )
    )


def test_equal_to_pycocotools_on_a_file(tmp_path):
    """What is read from a file and written again must not move the numbers."""
    rng = np.random.default_rng(9)
    dataset = made_dataset(COCO, rng)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(to_coco_annotations(dataset)), encoding="utf-8")
    results = made_results(dataset, rng)
    assert keypoint_metrics(read_coco(path), results).ap == pytest.approx(reference(dataset, results)[0], abs=1e-6)


def perfect_results(dataset):
    results = []
    for image in dataset.images:
        keypoints = np.array([one.keypoints for one in image.persons], np.float32).reshape(-1, len(dataset.schema), 2)
        ones = np.ones(keypoints.shape[:2], np.float32)
        results += to_coco_results(Poses(keypoints, ones, ones[:, 0], dataset.schema), image.id, image.file_name)
    return results


def test_perfect_poses_have_precision_one():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    metrics = keypoint_metrics(dataset, perfect_results(dataset))
    assert (metrics.ap, metrics.ar, metrics.duplicates_per_image) == (1.0, 1.0, 0.0)


def test_nobody_found_and_nobody_annotated():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    assert keypoint_metrics(dataset, []).to_record() == {
        **dict.fromkeys(["ap", "ap50", "ap75", "ap_medium", "ap_large", "ar"], 0.0),
        "duplicates_per_image": 0.0,
    }
    empty = CocoDataset(COCO, tuple(dataclasses.replace(image, persons=()) for image in dataset.images))
    assert keypoint_metrics(empty, []).ap == -1
    assert keypoint_metrics(empty, perfect_results(dataset)).ar == -1


def test_results_of_other_images_are_refused():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    with pytest.raises(AnnotationError, match=r"1 images with results are not among the 25 annotated ones.*id 5"):
        keypoint_metrics(dataset, [{"image_id": 5, "score": 1.0, "keypoints": [0] * 51}])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingExtraError) as caught:
        keypoint_metrics(made_dataset(COCO, np.random.default_rng(0)), [])
    assert "e2pose[eval]" in caught.value.hint


def tool_at(x):
    return np.array([[x, 100], [x + 50, 100], [x + 50, 200]], np.float32)


def two_people(**changes):
    """One tool at x = 100, another at x = 400."""
    seen = np.full(3, 2, np.uint8)
    persons = [CocoPerson(tool_at(x), seen, 5000.0, (x, 100, 50, 100), **changes) for x in (100, 400)]
    return CocoDataset(CUSTOM, (CocoImage(1, "1.jpg", (SIZE, SIZE), tuple(persons), (0, 1, 2)),))


def result(x, score=0.9, dx=0.0):
    keypoints = np.column_stack([tool_at(x + dx) - 0.5, np.ones(3)])
    return {"image_id": 1, "score": score, "keypoints": keypoints.ravel().tolist()}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], 0),
        ([result(100)], 0),
        ([result(100), result(400)], 0),  # one each
        ([result(100), result(100, dx=1)], 1),
        ([result(100), result(100), result(100), result(400), result(400)], 3),
        ([result(100), result(100, score=0.3)], 0),  # the second is below the threshold
        ([result(100), result(100, dx=40)], 0),  # the second is too far away to show the same person
        ([result(250), result(250)], 0),  # nobody is annotated there
    ],
)
def test_duplicates(results, expected):
    assert count_duplicates(two_people(), results, threshold=0.4) == expected


def test_crowds_have_no_duplicates():
    assert count_duplicates(two_people(is_crowd=True), [result(100), result(100)], threshold=0.4) == 0


def test_one_pose_between_two_people_is_not_a_duplicate_of_both():
    near = two_people()
    shift = np.array([290, 0], np.float32)  # the second person stands ten pixels beside the first
    second = dataclasses.replace(near.images[0].persons[1], keypoints=near.images[0].persons[1].keypoints - shift)
    image = dataclasses.replace(near.images[0], persons=(near.images[0].persons[0], second))
    dataset = dataclasses.replace(near, images=(image,), schema=dataclasses.replace(CUSTOM, sigmas=(0.5, 0.5, 0.5)))
    assert count_duplicates(dataset, [result(100), result(110)], threshold=0.4) == 0
    assert count_duplicates(dataset, [result(100), result(110), result(112)], threshold=0.4) == 1


def test_duplicates_are_given_per_image():
    dataset = two_people()
    empty = CocoImage(2, "2.jpg", (SIZE, SIZE), (), (0, 1, 2))
    both = CocoDataset(CUSTOM, (*dataset.images, empty))
    entries = [{**entry, "category_id": 1} for entry in (result(100), result(100, dx=1))]
    assert keypoint_metrics(both, entries, threshold=0.4).duplicates_per_image == 0.5
