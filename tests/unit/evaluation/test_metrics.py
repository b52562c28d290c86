"""Average precision: equal to pycocotools on made detections, and CrowdPose's to the rules of its authors."""

import dataclasses
import json
import sys

import faster_coco_eval
import numpy as np
import pytest

from e2pose.core.annotations import Annotations
from e2pose.core.errors import AnnotationError, MissingExtraError
from e2pose.evaluation.metrics import keypoint_metrics, under_protocol
from e2pose.formats.coco import read_coco, to_coco_annotations
from helpers.evaluations import COCO, CUSTOM, made_dataset, made_results, perfect_results, pycocotools, summary

CROWDPOSE = dataclasses.replace(COCO, name="crowd", sigmas=tuple(np.linspace(0.03, 0.1, 17).tolist()))


def flat(metrics):
    return [metrics.ap, metrics.ap50, metrics.ap75, *metrics.ap_of.values(), metrics.ar]


@pytest.mark.parametrize("schema", [COCO, CUSTOM], ids=["coco", "custom sigmas"])
@pytest.mark.parametrize("seed", range(4))
def test_equal_to_pycocotools(schema, seed, capfd):
    rng = np.random.default_rng(seed)
    dataset = made_dataset(schema, rng)
    results = made_results(dataset, rng)
    before = json.dumps(results)
    metrics = keypoint_metrics(dataset, results)
    assert capfd.readouterr() == ("", ""), "data goes to stdout, and this is none"
    reference = pycocotools(dataset, results)
    expected = summary(reference)
    assert 0.05 < expected[0] < 0.95, "the case must be neither trivial nor hopeless"
    assert list(metrics.ap_of) == ["medium", "large"]
    assert flat(metrics) == pytest.approx(expected, abs=1e-6)
    assert metrics.precision == pytest.approx(reference.eval["precision"][:, :, 0, 0, 0], abs=1e-6)
    assert json.dumps(results) == before, "inputs are left as they are"
    names = ["protocol", "ap", "ap50", "ap75", "ap_medium", "ap_large", "ar"]
    assert metrics.to_record() == dict(zip(names, ["coco", *flat(metrics)], strict=True))


def test_the_cases_are_of_all_kinds():
    rng = np.random.default_rng(0)
    dataset = made_dataset(COCO, rng)
    results = made_results(dataset, rng)
    people = [one for image in dataset.images for one in image.persons]
    assert any(one.is_crowd and one.visibility.any() for one in people)
    assert any(one.is_crowd and not one.visibility.any() for one in people)
    assert any(not one.is_crowd and not one.visibility.any() for one in people)
    assert any(one.has_keypoints and not one.visibility.all() for one in people)
    assert {one.area < 32**2 for one in people} == {one.area > 96**2 for one in people} == {True, False}
    counts = [sum(one["image_id"] == image.id for one in results) for image in dataset.images]
    assert min(counts) == 0
    assert max(counts) > 20


def test_equal_to_pycocotools_on_a_file(tmp_path):
    """What is read from a file and written again must not move the numbers."""
    rng = np.random.default_rng(9)
    dataset = made_dataset(COCO, rng)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(to_coco_annotations(dataset)), encoding="utf-8")
    results = made_results(dataset, rng)
    expected = summary(pycocotools(dataset, results))[0]
    assert keypoint_metrics(read_coco(path), results).ap == pytest.approx(expected, abs=1e-6)


@pytest.fixture(params=range(3))
def crowded(request):
    """Made data as CrowdPose's protocol sees it, with detections."""
    rng = np.random.default_rng(request.param)
    dataset, protocol = under_protocol(made_dataset(CROWDPOSE, rng, images=40), None)
    assert protocol == "crowdpose"
    return dataset, made_results(dataset, rng)


def test_crowdpose_is_equal_to_pycocotools_on_parts(crowded):
    """The same by another way: pycocotools, told which images belong to a part."""
    dataset, results = crowded
    metrics = keypoint_metrics(dataset, results, "crowdpose")
    ranges = {"areaRng": [[0, 1e10]], "areaRngLbl": ["all"]}
    whole = pycocotools(dataset, results, **ranges).eval
    parts = [
        [image.id for image in dataset.images if low <= image.crowd_index < high]
        for low, high in ((0, 0.2), (0.2, 0.8), (0.8, 1.1))
    ]
    assert min(map(len, parts)) > 2
    expected = [pycocotools(dataset, results, imgIds=ids, **ranges).eval["precision"].mean() for ids in parts]
    assert list(metrics.ap_of) == ["easy", "medium", "hard"]
    assert list(metrics.ap_of.values()) == pytest.approx(expected, abs=1e-6)
    assert len({round(value, 3) for value in expected}) == 3, "parts that are alike would show nothing"
    assert [metrics.ap, metrics.ar] == pytest.approx([whole["precision"].mean(), whole["recall"].mean()], abs=1e-6)
    assert metrics.to_record()["ap_easy"] == metrics.ap_of["easy"]


def test_crowdpose_is_equal_to_another_implementation(crowded, tmp_path):
    """faster-coco-eval has CrowdPose's rules too, rounded to four places; areas in the file do not count."""
    dataset, results = crowded
    record = to_coco_annotations(dataset)
    for entry in record["annotations"]:
        entry["area"] = 1.0
    path = tmp_path / "crowd.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    truth = faster_coco_eval.COCO(str(path))
    found = truth.loadRes([dict(result) for result in results])
    sigmas = list(dataset.schema.sigmas)
    evaluation = faster_coco_eval.COCOeval_faster(
        truth, found, "keypoints_crowd", kpt_oks_sigmas=sigmas, use_area=False
    )
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.run()
    ap, ap50, ap75, ar, _, _, *parts = evaluation.stats.tolist()
    ours = keypoint_metrics(
        under_protocol(dataclasses.replace(read_coco(path), schema=dataset.schema), None)[0], results, "crowdpose"
    )
    assert flat(ours) == pytest.approx([ap, ap50, ap75, *parts, ar], abs=1e-4)


@pytest.mark.parametrize(
    ("index", "part"), [(0.0, "easy"), (0.19, "easy"), (0.2, "medium"), (0.8, "hard"), (1.0, "hard")]
)
def test_where_crowding_begins(index, part):
    dataset = made_dataset(COCO, np.random.default_rng(0))
    dataset = Annotations(COCO, tuple(dataclasses.replace(image, crowd_index=index) for image in dataset.images))
    parts = keypoint_metrics(dataset, perfect_results(dataset), "crowdpose").ap_of
    assert parts == dict.fromkeys(["easy", "medium", "hard"], -1.0) | {part: 1.0}


def test_crowdpose_takes_areas_from_boxes():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    seen, _ = under_protocol(dataset, "crowdpose")
    people = [one for image in seen.images for one in image.persons]
    assert all(one.area == pytest.approx(0.53 * one.box[2] * one.box[3]) for one in people)
    assert under_protocol(dataset, "coco") == (dataset, "coco")


def test_the_protocol_without_being_told():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    first, *others = dataset.images
    partly = Annotations(COCO, (dataclasses.replace(first, crowd_index=None), *others))
    assert under_protocol(dataset, None)[1] == "crowdpose"
    assert under_protocol(partly, None) == (partly, "coco")
    with pytest.raises(AnnotationError, match="1 of 25 images have no 'crowdIndex'"):
        under_protocol(partly, "crowdpose")


def test_perfect_poses_have_precision_one():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    metrics = keypoint_metrics(dataset, perfect_results(dataset))
    assert (metrics.ap, metrics.ar) == (1.0, 1.0)


def test_nobody_found_and_nobody_annotated():
    dataset = made_dataset(COCO, np.random.default_rng(0))
    assert flat(keypoint_metrics(dataset, [])) == [0.0] * 6
    empty = Annotations(COCO, tuple(dataclasses.replace(image, persons=()) for image in dataset.images))
    assert flat(keypoint_metrics(empty, [])) == [-1.0] * 6
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
