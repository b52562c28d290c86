"""Random annotations and detections, and their evaluation by pycocotools."""

import contextlib
import io
import json

import numpy as np
from pycocotools import coco as reference_coco
from pycocotools import cocoeval as reference_eval

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.formats.coco import to_coco_annotations
from e2pose.formats.coco_results import to_coco_results

COCO = load_schema("coco")
CUSTOM = KeypointSchema.from_names("tool", ["left_tip", "right_tip", "grip"], sigmas=[0.02, 0.3, 0.1])
SIZE = 640


def random_person(center, size, schema, rng, **changes):
    low = np.asarray(center) - size / 2
    fields = {
        "keypoints": (low + rng.random((len(schema), 2)) * size).astype(np.float32),
        "visibility": rng.integers(0, 3, len(schema)).astype(np.uint8),
        "area": float(size * size * rng.uniform(0.3, 0.8)),
        "box": (*low.tolist(), float(size), float(size)),
    }
    return PersonAnnotation(**fields | changes)


def random_dataset(schema, rng, num_images=25):
    """Persons of all sizes, among them crowds and persons without labelled keypoints; some images are empty."""
    images = []
    for index in range(num_images):
        persons = []
        for _ in range(rng.integers(0, 7)):
            unlabelled = {"visibility": np.zeros(len(schema), np.uint8)} if rng.random() < 0.2 else {}
            crowd = {"is_crowd": True} if rng.random() < 0.15 else {}
            size = float(np.exp(rng.uniform(np.log(15), np.log(300))))
            persons.append(random_person(rng.uniform(0, SIZE, 2), size, schema, rng, **unlabelled, **crowd))
        labelled = tuple(range(len(schema)))
        crowd_index = round(float(rng.random()), 2)
        images.append(
            ImageAnnotation(
                100 + 7 * index, f"{index}.jpg", (SIZE, SIZE), tuple(persons), labelled, crowd_index=crowd_index
            )
        )
    return Annotations(schema, tuple(images))


def random_results(dataset, rng):
    """Detections near the annotated persons, with duplicates, misses and false positives; at most 42 in an image."""
    count = len(dataset.schema)
    results = []
    for image in dataset.images:
        near = [person for person in image.persons for _ in range(rng.integers(0, 3))]
        keypoints = [
            person.keypoints + rng.normal(0, rng.uniform(0.005, 0.1), (count, 2)) * person.area**0.5 for person in near
        ]
        keypoints += [rng.uniform(0, SIZE, (count, 2)) for _ in range(rng.choice([0, 1, 30], p=[0.6, 0.3, 0.1]))]
        poses = Poses(
            np.reshape(keypoints, (-1, count, 2)).astype(np.float32),
            rng.random((len(keypoints), count), dtype=np.float32),
            rng.random(len(keypoints), dtype=np.float32).round(2),
            dataset.schema,
        )
        results += to_coco_results(poses, image.id, image.file_name)
    return results


def perfect_results(dataset):
    """Detections equal to the annotations."""
    results = []
    for image in dataset.images:
        posed = [person.keypoints for person in image.persons if person.has_keypoints]
        keypoints = np.array(posed, np.float32).reshape(-1, len(dataset.schema), 2)
        ones = np.ones(keypoints.shape[:2], np.float32)
        results += to_coco_results(Poses(keypoints, ones, ones[:, 0], dataset.schema), image.id, image.file_name)
    return results


def run_pycocotools(dataset, results, **parameters):
    """Returns an accumulated evaluation by pycocotools, which prints to stdout."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = reference_coco.COCO()
        truth.dataset = json.loads(json.dumps(to_coco_annotations(dataset)))
        truth.createIndex()
        evaluation = reference_eval.COCOeval(truth, truth.loadRes([dict(result) for result in results]), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(dataset.schema.sigmas)
        for name, value in parameters.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def pycocotools_summary(evaluation):
    """Returns AP, AP50, AP75, AP medium, AP large and AR."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    return evaluation.stats[:6].tolist()
