"""Persons without labels must not become negatives, wherever augmentation moves them.

A prediction with a high person score in every cell is compared with labels that were transformed from an image to the
input. The gradient of a person score is positive where the loss calls a detection wrong.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from e2pose.core.affine import Affine
from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.schema import KeypointSchema
from e2pose.data.augmentation.composition import Composition
from e2pose.data.augmentation.geometry import random_affine, transform_labels
from e2pose.data.augmentation.mosaic import draw_tiles, extract_piece, join_tiles, paste
from e2pose.data.config import AugmentConfig
from e2pose.data.image_sets import with_schema
from e2pose.data.targets import SampleLabels, collate_labels
from e2pose.models.head import Prediction
from e2pose.training.losses import compute_losses
from e2pose.training.matcher import match
from e2pose.training.recipe import LossConfig, MatchConfig
from helpers.targets import SCHEMA, layout_of, prediction_at

CANVAS = (128, 128)
IMAGE = (120, 160)
LAYOUT = layout_of(CANVAS, (16, 32))
WIDE = AugmentConfig(scale=(0.6, 1.6), rotation=60, rotation_chance=0.7, aspect=0.3, shift=0.2)


def person(center_xy, visibility=2, **options) -> PersonAnnotation:
    points = np.array(center_xy) + 14 * np.random.default_rng(0).uniform(-1, 1, (17, 2))
    box = (center_xy[0] - 15.0, center_xy[1] - 15.0, 30.0, 30.0)
    seen = np.broadcast_to(np.asarray(visibility, np.uint8), 17).copy()
    return PersonAnnotation(points.astype(np.float32), seen, 500.0, box, **options)


def image(*persons, **options) -> ImageAnnotation:
    return ImageAnnotation(
        1, "made.png", IMAGE, persons, options.pop("labelled_keypoints", tuple(range(17))), **options
    )


def learn(labels: SampleLabels) -> tuple[Prediction, torch.Tensor]:
    """A prediction with high scores after one backward pass, and its matched candidates."""
    made = prediction_at(LAYOUT, {})
    prediction = Prediction(
        person_logits=torch.full_like(made.person_logits, 3.0).requires_grad_(),
        keypoint_logits=made.keypoint_logits.clone().requires_grad_(),
        keypoints=made.keypoints.clone().requires_grad_(),
        centers=made.centers.clone().requires_grad_(),
    )
    target = collate_labels([labels])
    pairs = match(prediction, target, LAYOUT, MatchConfig())
    compute_losses(prediction, target, pairs, LAYOUT, LossConfig()).total.backward()
    return prediction, pairs.candidates


def negative_gradient(labels: SampleLabels) -> torch.Tensor:
    """The gradient of each unmatched candidate that lowers its person score."""
    prediction, matched = learn(labels)
    gradient = prediction.person_logits.grad[0].clamp(min=0)
    return gradient.index_fill(0, matched, 0.0)


def cells_in(affine: Affine, box) -> torch.Tensor:
    """Cells whose centres come from a box of the image."""
    points = affine.inverse.apply(LAYOUT.cell_centers.numpy().astype(np.float64))
    x, y, width, height = box
    return torch.from_numpy(((points > [x, y]) & (points < [x + width, y + height])).all(axis=1))


REGION = (90.0, 30.0, 50.0, 60.0)
UNLABELLED = {
    "a crowd": lambda: image(person((40, 60)), replace(person((115, 60)), box=REGION, is_crowd=True)),
    "a person without keypoints": lambda: image(person((40, 60)), replace(person((115, 60), 0), box=REGION)),
    "an ignored region": lambda: image(person((40, 60)), ignore=np.array([REGION], np.float32)),
}


@pytest.mark.parametrize("kind", UNLABELLED)
def test_unlabelled_persons_are_no_negatives(kind):
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(30):
        affine = random_affine(IMAGE, CANVAS, "letterbox", WIDE, rng)
        gradient = negative_gradient(transform_labels(UNLABELLED[kind](), SCHEMA, affine, CANVAS))
        inside = cells_in(affine, REGION)
        assert (gradient[inside] == 0).all()
        assert (gradient[~inside] > 0).any(), "background elsewhere still is"
        seen += int(inside.sum())
    assert seen > 100


def test_unlabelled_persons_in_a_mosaic_are_no_negatives_and_other_tiles_still_learn():
    rng = np.random.default_rng(2)
    for make in UNLABELLED.values():
        boxes = draw_tiles((2, 2), CANVAS, rng)
        tiles, maps = [], []
        for index, (x, y, width, height) in enumerate(boxes):
            affine = random_affine(IMAGE, (height, width), "letterbox", WIDE, rng)
            labels = transform_labels(make() if index == 3 else image(), SCHEMA, affine, (height, width))
            tiles.append(Composition((), labels))
            maps.append(Affine.translation(x, y) @ affine)
        gradient = negative_gradient(join_tiles(tiles, boxes).labels)
        x, y, _, _ = boxes[3]
        in_tile = (LAYOUT.cell_centers >= torch.tensor([x, y])).all(dim=1)
        inside = cells_in(maps[3], REGION) & in_tile
        assert (gradient[inside] == 0).all()
        assert (gradient[~in_tile] > 0).all()


def test_unlabelled_persons_in_a_pasted_piece_are_no_negatives():
    crowd = UNLABELLED["an ignored region"]()
    piece = extract_piece(0, crowd, SCHEMA, Affine.translation(-80, -20), (80, 70))
    below = Composition((), transform_labels(image(), SCHEMA, Affine.identity(), CANVAS))
    gradient = negative_gradient(paste(below, piece, (40, 30)).labels)
    inside = cells_in(Affine.translation(-40, 10), REGION)
    assert inside.any()
    assert (gradient[inside] == 0).all()
    assert (gradient[~inside] > 0).any()


def test_negatives_of_non_exhaustive_images_weigh_less():
    lone = person((40, 60))
    full, partial = (
        negative_gradient(transform_labels(image(lone, exhaustive=exhaustive), SCHEMA, Affine.identity(), CANVAS))
        for exhaustive in (True, False)
    )
    assert (full > 0).sum() > 50
    torch.testing.assert_close(partial, LossConfig().non_exhaustive_negative_weight * full)


def test_labelled_persons_of_non_exhaustive_images_have_the_usual_gradient():
    found = []
    for exhaustive in (True, False):
        labels = transform_labels(image(person((40, 60)), exhaustive=exhaustive), SCHEMA, Affine.identity(), CANVAS)
        prediction, matched = learn(labels)
        found.append((prediction.keypoints.grad[0, matched], prediction.keypoint_logits.grad[0, matched]))
    for whole, partial in zip(*found, strict=True):
        assert whole.abs().sum() > 0
        torch.testing.assert_close(whole, partial)


@pytest.mark.parametrize("mirrored", [False, True])
def test_keypoints_missing_in_a_set_have_no_gradient(mirrored):
    names = [name for name in SCHEMA.keypoints if name not in ("nose", "left_wrist", "right_knee")]
    own = KeypointSchema.from_names("own", names)
    kept = [SCHEMA.keypoints.index(name) for name in names]
    whole = person((60, 60))
    part = replace(whole, keypoints=whole.keypoints[kept], visibility=whole.visibility[kept])
    data = Annotations(own, (image(part, labelled_keypoints=tuple(range(14))),))
    (mapped,) = with_schema(data, SCHEMA, "own").images
    affine = Affine.horizontal_flip(128) if mirrored else Affine.identity()
    prediction, matched = learn(transform_labels(mapped, SCHEMA, affine, CANVAS))
    missing = ["nose", "right_wrist", "left_knee"] if mirrored else ["nose", "left_wrist", "right_knee"]
    silent = torch.tensor([name in missing for name in SCHEMA.keypoints])
    for gradient in (prediction.keypoints.grad.abs().sum(dim=-1), prediction.keypoint_logits.grad.abs()):
        assert (gradient[0, matched][:, silent] == 0).all()
        assert (gradient[0, matched][:, ~silent] > 0).all()


def test_unlabelled_keypoint_of_a_person_has_a_score_gradient_only():
    visibility = np.full(17, 2)
    visibility[3] = 0
    labels = transform_labels(image(person((60, 60), visibility)), SCHEMA, Affine.identity(), CANVAS)
    prediction, matched = learn(labels)
    assert (prediction.keypoints.grad[0, matched, 3] == 0).all()
    assert (prediction.keypoint_logits.grad[0, matched, 3] > 0).all()
