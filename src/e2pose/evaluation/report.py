"""Evaluation report: charts, and the images with the most errors, annotations and poses side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation
from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path, check_folder, expand_home
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.evaluation.charts import new_figure, write_calibration, write_precision_recall
from e2pose.evaluation.evaluate import EvaluationResult
from e2pose.evaluation.matching import MAX_DETECTIONS, MIN_OKS, Matching, match_poses
from e2pose.render.overlay import draw_poses
from e2pose.render.text import draw_label
from e2pose.sinks.images import encode_image
from e2pose.sources.images import read_image
from e2pose.transforms.warp import warp

NUM_WORST_IMAGES = 20
"""The report shows at most this many images."""

_PANE_PIXELS = 640  # longer side
_MAX_SCALE = 4.0
_GAP_PIXELS = 6
_TITLE_PIXELS = 26
_LABEL_PIXELS = 17
_ERROR_RGB = (255, 72, 72)
_IGNORED_RGB = (190, 190, 190)
_MIN_SCORE = 1e-6  # a keypoint without position has the score 0

Image = UInt8[np.ndarray, "_ _ 3"]


def check_report(folder: Path) -> None:
    """Checks that a report can be written, before the evaluation starts.

    Raises:
        OutputError: The folder is not empty or cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    new_figure()
    folder = expand_home(folder)
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"the report folder '{folder}' is not empty", "choose a new or empty folder")


def write_report(folder: Path, result: EvaluationResult, images_folder: Path | None = None) -> None:
    """Writes `precision_recall.png`, `calibration.png` and, with an image folder, `worst/` with the worst images.

    Raises:
        OutputError: A file cannot be written.
        InputError: An image cannot be read.
        MissingExtraError: matplotlib is not installed.
    """
    write_precision_recall(folder / "precision_recall.png", result.metrics)
    write_calibration(folder / "calibration.png", result.calibration)
    if images_folder is None:
        return
    for rank, (image, poses, matching) in enumerate(worst_images(result)[:NUM_WORST_IMAGES], start=1):
        drawn = draw_comparison(read_image(images_folder / image.file_name), image, poses, matching)
        path = folder / "worst" / f"{rank:02d}-{Path(image.file_name).stem}.jpg"
        with atomic_path(path) as temporary:
            temporary.write_bytes(encode_image(drawn, path))


def worst_images(result: EvaluationResult) -> list[tuple[ImageAnnotation, Poses, Matching]]:
    """Returns the images with errors, the worst first, with their poses above the threshold and the matching.

    The error of an image is the number of missed persons and false positives plus the sum of 1 - OKS of its true
    positives.
    """
    compared = []
    for image in result.dataset.images:
        poses = result.poses_by_image[image.id][:MAX_DETECTIONS]
        poses = poses[poses.scores >= result.threshold]
        matching = match_poses(image, poses)
        inexact = float((1 - matching.oks[matching.true_positives]).sum())
        error = len(matching.missed) + int(matching.false_positives.sum()) + inexact
        if error > 0:
            compared.append((error, (image, poses, matching)))
    return [entry for _, entry in sorted(compared, key=lambda pair: -pair[0])]


def draw_comparison(image: Image, annotation: ImageAnnotation, poses: Poses, matching: Matching) -> Image:
    """Draws the annotated persons on the left and the poses on the right of a new image.

    Missed persons and false positives have red boxes; persons and poses that do not count, such as crowds, have grey
    ones. True positives are labelled with their OKS. A false positive that fits an already matched person is labelled
    "duplicate".
    """
    scale = min(_PANE_PIXELS / max(image.shape[:2]), _MAX_SCALE)
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    scaled = warp(image, Affine.scaling(scale), (height, width))
    num_posed = sum(person.has_keypoints for person in annotation.persons)
    oks = matching.oks[matching.true_positives]
    mean_oks = f", mean OKS {oks.mean():.2f}" if len(oks) else ""
    left = _pane(
        _draw_annotations(scaled, annotation, matching, poses.schema, scale),
        f"annotated: {num_posed}, missed: {len(matching.missed)}",
    )
    right = _pane(
        _draw_detections(scaled, poses, matching, scale),
        f"detected: {len(poses)}, false: {matching.false_positives.sum()}{mean_oks}",
    )
    return np.concatenate([left, np.zeros((len(left), _GAP_PIXELS, 3), np.uint8), right], axis=1)


def _draw_annotations(
    scaled: Image, annotation: ImageAnnotation, matching: Matching, schema: KeypointSchema, scale: float
) -> Image:
    posed = [person for person in annotation.persons if person.has_keypoints]
    poses = Poses(
        keypoints=np.array([scale * person.keypoints for person in posed], np.float32).reshape(-1, len(schema), 2),
        keypoint_scores=np.array([person.visibility > 0 for person in posed], np.float32).reshape(-1, len(schema)),
        scores=np.ones(len(posed), np.float32),
        schema=schema,
    )
    drawn = draw_poses(scaled, poses, threshold=_MIN_SCORE)
    for index, person in enumerate(annotation.persons):
        if index in matching.missed:
            _draw_box(drawn, person.box, scale, "missed", _ERROR_RGB)
        elif not person.has_keypoints:
            _draw_box(drawn, person.box, scale, "crowd" if person.is_crowd else "no keypoints", _IGNORED_RGB)
    return drawn


def _draw_detections(scaled: Image, poses: Poses, matching: Matching, scale: float) -> Image:
    scaled_poses = Poses(poses.keypoints * np.float32(scale), poses.keypoint_scores, poses.scores, poses.schema)
    drawn = draw_poses(scaled, scaled_poses, threshold=_MIN_SCORE)
    for index, box in enumerate(poses.boxes(_MIN_SCORE).tolist()):
        oks = matching.oks[index]
        if matching.true_positives[index]:
            draw_label(drawn, f"{oks:.2f}", (scale * box[0], scale * box[1] - _LABEL_PIXELS), _LABEL_PIXELS)
        elif matching.false_positives[index]:
            kind = "duplicate" if oks >= MIN_OKS else "false positive"
            _draw_box(drawn, box, scale, f"{kind}, score {poses.scores[index]:.2f}", _ERROR_RGB)
        else:
            _draw_box(drawn, box, scale, f"ignored, score {poses.scores[index]:.2f}", _IGNORED_RGB)
    return drawn


def _draw_box(drawn: Image, box: Sequence[float], scale: float, text: str, rgb: tuple[int, int, int]) -> None:
    low = np.array(box[:2]) * scale
    high = low + np.array(box[2:]) * scale
    limits = np.array(drawn.shape[1::-1]) - 1
    first, last = (np.clip(np.nan_to_num(corner), 0, limits).astype(int).tolist() for corner in (low, high))
    cv2.rectangle(drawn, first, last, rgb, 2)
    draw_label(drawn, text, (first[0], first[1] - _LABEL_PIXELS), _LABEL_PIXELS)


def _pane(drawn: Image, title: str) -> Image:
    strip = np.zeros((_TITLE_PIXELS, drawn.shape[1], 3), np.uint8)
    draw_label(strip, title, (2, 0), _TITLE_PIXELS)
    return np.concatenate([strip, drawn])
