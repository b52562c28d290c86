"""What people annotated and what a model found, side by side."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.evaluation.matching import SAME_PERSON, Matching
from e2pose.render.overlay import draw_poses
from e2pose.render.text import draw_label
from e2pose.transforms.warp import warp

_PANE = 640  # pixels of the longer side
_LARGEST_SCALE = 4.0
_GAP = 6
_TITLE = 26
_LABEL = 17
_BACKGROUND = 0
_FAULT_RGB = (255, 72, 72)
_UNCOUNTED_RGB = (190, 190, 190)
_ANY_SCORE = 1e-6  # a keypoint that has no place has a score of 0

Image = UInt8[np.ndarray, "_ _ 3"]
Box = tuple[float, float, float, float]


def draw_comparison(image: Image, annotated: ImageAnnotation, poses: Poses, matching: Matching) -> Image:
    """Draws the annotated people on the left and the poses on the right of a new picture.

    Missed people and wrong poses have red boxes; people who do not count, such as crowds, have grey ones. "again" is
    written beside a wrong pose that fits somebody whom another one shows already.

    Args:
        image: The picture; not changed.
        annotated: The people in it.
        poses: What was found.
        matching: Who is shown by which pose.
    """
    scale = min(_PANE / max(image.shape[:2]), _LARGEST_SCALE)
    size_hw = tuple(max(1, round(scale * side)) for side in image.shape[:2])
    resized = warp(image, Affine.scaling(scale), (size_hw[0], size_hw[1]))
    posed = sum(person.has_keypoints for person in annotated.persons)
    right = matching.similarities[matching.right]
    fit = f", mean OKS {right.mean():.2f}" if len(right) else ""
    left_pane = _pane(
        _annotated(resized, annotated, matching, poses.schema, scale),
        f"annotated: {posed}, missed: {len(matching.missed)}",
    )
    right_pane = _pane(
        _found(resized, poses, matching, scale), f"found: {len(poses)}, wrong: {matching.wrong.sum()}{fit}"
    )
    gap = np.full((len(left_pane), _GAP, 3), _BACKGROUND, np.uint8)
    return np.concatenate([left_pane, gap, right_pane], axis=1)


def _annotated(
    resized: Image, annotated: ImageAnnotation, matching: Matching, schema: KeypointSchema, scale: float
) -> Image:
    persons = [person for person in annotated.persons if person.has_keypoints]
    truth = Poses(
        keypoints=np.array([scale * person.keypoints for person in persons], np.float32).reshape(-1, len(schema), 2),
        keypoint_scores=np.array([person.visibility > 0 for person in persons], np.float32).reshape(-1, len(schema)),
        scores=np.ones(len(persons), np.float32),
        schema=schema,
    )
    drawn = draw_poses(resized, truth, threshold=_ANY_SCORE)
    for index, person in enumerate(annotated.persons):
        if index in matching.missed:
            _mark(drawn, person.box, scale, "missed", _FAULT_RGB)
        elif not person.has_keypoints:
            _mark(drawn, person.box, scale, "crowd" if person.is_crowd else "no keypoints", _UNCOUNTED_RGB)
    return drawn


def _found(resized: Image, poses: Poses, matching: Matching, scale: float) -> Image:
    scaled = Poses(poses.keypoints * np.float32(scale), poses.keypoint_scores, poses.scores, poses.schema)
    drawn = draw_poses(resized, scaled, threshold=_ANY_SCORE)
    for index, box in enumerate(poses.boxes(_ANY_SCORE).tolist()):
        if matching.right[index]:
            draw_label(drawn, f"{matching.similarities[index]:.2f}", (scale * box[0], scale * box[1] - _LABEL), _LABEL)
        else:
            colour, word = (_FAULT_RGB, "wrong") if matching.wrong[index] else (_UNCOUNTED_RGB, "not counted")
            if matching.wrong[index] and matching.similarities[index] >= SAME_PERSON:
                word = "again"
            _mark(drawn, box, scale, f"{word}, score {poses.scores[index]:.2f}", colour)
    return drawn


def _mark(drawn: Image, box: Box | list[float], scale: float, text: str, rgb: tuple[int, int, int]) -> None:
    low = np.array(box[:2]) * scale
    high = low + np.array(box[2:]) * scale
    limits = np.array(drawn.shape[1::-1]) - 1
    first, last = (np.clip(np.nan_to_num(corner), 0, limits).astype(int).tolist() for corner in (low, high))
    cv2.rectangle(drawn, first, last, rgb, 2)
    draw_label(drawn, text, (first[0], first[1] - _LABEL), _LABEL)


def _pane(drawn: Image, title: str) -> Image:
    strip = np.full((_TITLE, drawn.shape[1], 3), _BACKGROUND, np.uint8)
    draw_label(strip, title, (2, 0), _TITLE)
    return np.concatenate([strip, drawn])
