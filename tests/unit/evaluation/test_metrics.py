"""Average precision against pycocotools, and the protocol of CrowdPose against faster-coco-eval."""

import dataclasses
import json
import sys

import faster_coco_eval
import numpy as np
import pytest

from e2pose.core.annotations import Annotations
from e2pose.core.errors import AnnotationError, MissingExtraError
from e2pose.evaluation.metrics import apply_protocol, compute_metrics
from e2pose.formats.coco import read_coco, to_coco_annotations
from e2pose.formats.coco_results import read_coco_results
from helpers.evaluations import (
    COCO,
    CUSTOM,
    perfect_results,
    pycocotools_summary,
    random_dataset,
    random_results,
    run_pycocotools,
)

CROWDPOSE = dataclasses.replace(COCO, name="crowd", sigmas=tuple(np.linspace(0.03, 0.1, 17).tolist()))


def flat(metrics):
    return [metrics.ap, metrics.ap50, metrics.ap75, *metrics.ap_of.values(), metrics.ar]


@pytest.mark.parametrize("schema", [COCO, CUSTOM], ids=["coco", "custom sigmas"])
@pytest.mark.parametrize("seed", range(4))
def test_coco_metrics_equal_pycocotools(schema, seed, capfd):
    rng = np.random.default_rng(seed)
    dataset = random_dataset(schema, rng)
    results = random_results(dataset, rng)
    before = json.dumps(results)
    metrics = compute_metrics(dataset, results)
    assert capfd.readouterr() == ("", ""), "the evaluation must not print"
    reference = run_pycocotools(dataset, results)
    expected = pycocotools_summary(reference)
    assert 0.05 < expected[0] < 0.95, "the random data must be neither trivial nor hopeless"
    assert list(metrics.ap_of) == ["medium", "large"]
    assert flat(metrics) == pytest.approx(expected, abs=1e-6)
    assert metrics.precision == pytest.approx(reference.eval["precision"][:, :, 0, 0, 0], abs=1e-6)
    assert json.dumps(results) == before, "the results must not be modified"
    names = ["protocol", "ap", "ap50", "ap75", "ap_medium", "ap_large", "ar"]
    assert metrics.to_record() == dict(zip(names, ["coco", *flat(metrics)], strict=True))


def test_random_data_contains_all_cases():
    rng = np.random.default_rng(0)
    dataset = random_dataset(COCO, rng)
    results = random_results(dataset, rng)
    persons = [person for image in dataset.images for person in image.persons]
    assert any(person.is_crowd and person.visibility.any() for person in persons)
    assert any(person.is_crowd and not person.visibility.any() for person in persons)
    assert any(not person.is_crowd and not person.visibility.any() for person in persons)
    assert any(person.has_keypoints and not person.visibility.all() for person in persons)
    assert {person.area < 32**2 for person in persons} == {person.area > 96**2 for person in persons} == {True, False}
    counts = [sum(result["image_id"] == image.id for result in results) for image in dataset.images]
    assert min(counts) == 0
    assert max(counts) > 20


def test_metrics_of_a_file_equal_pycocotools(tmp_path):
    """Reading and writing annotations must not change the metrics."""
    rng = np.random.default_rng(9)
    dataset = random_dataset(COCO, rng)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(to_coco_annotations(dataset)), encoding="utf-8")
    results = random_results(dataset, rng)
    expected = pycocotools_summary(run_pycocotools(dataset, results))[0]
    assert compute_metrics(read_coco(path), results).ap == pytest.approx(expected, abs=1e-6)


@pytest.fixture(params=range(3))
def crowdpose_data(request):
    """Random annotations with the areas of the CrowdPose protocol, and detections."""
    rng = np.random.default_rng(request.param)
    dataset, protocol = apply_protocol(random_dataset(CROWDPOSE, rng, num_images=40), None)
    assert protocol == "crowdpose"
    return dataset, random_results(dataset, rng)


def test_crowdpose_parts_equal_pycocotools_on_their_images(crowdpose_data):
    dataset, results = crowdpose_data
    metrics = compute_metrics(dataset, results, "crowdpose")
    ranges = {"areaRng": [[0, 1e10]], "areaRngLbl": ["all"]}
    whole = run_pycocotools(dataset, results, **ranges).eval
    parts = [
        [image.id for image in dataset.images if low <= image.crowd_index < high]
        for low, high in ((0, 0.2), (0.2, 0.8), (0.8, 1.1))
    ]
    assert min(map(len, parts)) > 2
    expected = [run_pycocotools(dataset, results, imgIds=ids, **ranges).eval["precision"].mean() for ids in parts]
    assert list(metrics.ap_of) == ["easy", "medium", "hard"]
    assert list(metrics.ap_of.values()) == pytest.approx(expected, abs=1e-6)
    assert len({round(value, 3) for value in expected}) == 3, "equal parts could not reveal a mix-up"
    assert [metrics.ap, metrics.ar] == pytest.approx([whole["precision"].mean(), whole["recall"].mean()], abs=1e-6)
    assert metrics.to_record()["ap_easy"] == metrics.ap_of["easy"]


def test_crowdpose_metrics_equal_faster_coco_eval(crowdpose_data, tmp_path):
    """faster-coco-eval rounds to four places. The areas in the file must not count."""
    dataset, results = crowdpose_data
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
    ours = compute_metrics(
        apply_protocol(dataclasses.replace(read_coco(path), schema=dataset.schema), None)[0], results, "crowdpose"
    )
    assert flat(ours) == pytest.approx([ap, ap50, ap75, *parts, ar], abs=1e-4)


@pytest.mark.parametrize(
    ("index", "part"), [(0.0, "easy"), (0.19, "easy"), (0.2, "medium"), (0.8, "hard"), (1.0, "hard")]
)
def test_crowd_index_selects_the_part(index, part):
    dataset = random_dataset(COCO, np.random.default_rng(0))
    dataset = Annotations(COCO, tuple(dataclasses.replace(image, crowd_index=index) for image in dataset.images))
    parts = compute_metrics(dataset, perfect_results(dataset), "crowdpose").ap_of
    assert parts == dict.fromkeys(["easy", "medium", "hard"], -1.0) | {part: 1.0}


def test_crowdpose_computes_areas_from_boxes():
    dataset = random_dataset(COCO, np.random.default_rng(0))
    converted, _ = apply_protocol(dataset, "crowdpose")
    persons = [person for image in converted.images for person in image.persons]
    assert all(person.area == pytest.approx(0.53 * person.box[2] * person.box[3]) for person in persons)
    assert apply_protocol(dataset, "coco") == (dataset, "coco")


def test_default_protocol_depends_on_crowd_indices():
    dataset = random_dataset(COCO, np.random.default_rng(0))
    first, *others = dataset.images
    partly = Annotations(COCO, (dataclasses.replace(first, crowd_index=None), *others))
    assert apply_protocol(dataset, None)[1] == "crowdpose"
    assert apply_protocol(partly, None) == (partly, "coco")
    with pytest.raises(AnnotationError, match="1 of 25 images have no 'crowdIndex'"):
        apply_protocol(partly, "crowdpose")


def test_perfect_poses_have_ap_and_ar_of_one():
    dataset = random_dataset(COCO, np.random.default_rng(0))
    metrics = compute_metrics(dataset, perfect_results(dataset))
    assert (metrics.ap, metrics.ar) == (1.0, 1.0)


def test_images_and_results_with_text_ids_belong_together(tmp_path):
    dataset = random_dataset(COCO, np.random.default_rng(0))
    record = to_coco_annotations(dataset)
    for entry, key in [(one, "id") for one in record["images"]] + [(one, "image_id") for one in record["annotations"]]:
        entry[key] = f"img_{entry[key]}"
    results = [{**one, "image_id": f"img_{one['image_id']}"} for one in perfect_results(dataset)]
    for name, content in (("annotations", record), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    entries = read_coco_results(tmp_path / "results.json", COCO)
    assert compute_metrics(read_coco(tmp_path / "annotations.json"), entries).ap == 1


def test_metrics_without_detections_or_persons():
    dataset = random_dataset(COCO, np.random.default_rng(0))
    assert flat(compute_metrics(dataset, [])) == [0.0] * 6
    empty = Annotations(COCO, tuple(dataclasses.replace(image, persons=()) for image in dataset.images))
    assert flat(compute_metrics(empty, [])) == [-1.0] * 6
    assert compute_metrics(empty, perfect_results(dataset)).ar == -1


def test_results_of_unknown_images_are_rejected():
    dataset = random_dataset(COCO, np.random.default_rng(0))
    with pytest.raises(AnnotationError, match=r"1 images with results are not among the 25 annotated images.*id 5"):
        compute_metrics(dataset, [{"image_id": 5, "score": 1.0, "keypoints": [0] * 51}])


def test_missing_package_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingExtraError) as caught:
        compute_metrics(random_dataset(COCO, np.random.default_rng(0)), [])
    assert "e2pose[eval]" in caught.value.hint


@pytest.mark.parametrize(
    ("area", "sizes"),
    [(1023, []), (1024, ["medium"]), (9215, ["medium"]), (9216, ["medium", "large"]), (9217, ["large"])],
)
def test_area_ranges_are_those_of_coco(area, sizes):
    dataset = random_dataset(COCO, np.random.default_rng(0))
    image = next(image for image in dataset.images if any(person.has_keypoints for person in image.persons))
    (person, *_) = (person for person in image.persons if person.has_keypoints)
    person = dataclasses.replace(person, area=float(area))
    dataset = Annotations(COCO, (dataclasses.replace(image, persons=(person,)),))
    ap_of = compute_metrics(dataset, perfect_results(dataset)).ap_of
    assert ap_of == {size: 1.0 if size in sizes else -1.0 for size in ("medium", "large")}
