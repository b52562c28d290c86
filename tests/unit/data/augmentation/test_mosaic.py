"""Several images on one canvas: pixels and labels stay together, and what is covered teaches nothing."""

from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.schema import load_schema
from e2pose.data.augmentation.composition import Composition, Layer, render
from e2pose.data.augmentation.geometry import transform_labels
from e2pose.data.augmentation.mosaic import add_cut_out, draw_tiles, extract_piece, join_tiles, paste, remove_covered
from helpers.synthetic_inputs import InMemoryImages
from helpers.targets import NO_BOXES, labels_of

SCHEMA = load_schema("coco")
CANVAS = (96, 128)


def image_of(size_hw, center_xy, reach=10.0, **options) -> ImageAnnotation:
    """An image of one person whose keypoints lie on a circle."""
    angle = np.linspace(0, 2 * np.pi, 17, endpoint=False)
    points = np.array(center_xy) + reach * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    low = np.array(center_xy) - reach
    person = PersonAnnotation(
        points.astype(np.float32), np.full(17, 2, np.uint8), 1200.0, (*low.tolist(), 2 * reach, 2 * reach)
    )
    return ImageAnnotation(1, "made.png", size_hw, (person,), tuple(range(17)), **options)


def rendered(scene, *pictures) -> np.ndarray:
    return render(scene, InMemoryImages(*pictures), CANVAS)


@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (4, 2)])
def test_tiles_fill_the_canvas_without_gap_or_overlap(grid):
    rng = np.random.default_rng(0)
    shapes = set()
    for _ in range(20):
        boxes = draw_tiles(grid, CANVAS, rng)
        assert len(boxes) == grid[0] * grid[1]
        count = np.zeros(CANVAS, int)
        for x, y, width, height in boxes:
            assert height > 0.3 * CANVAS[0] / grid[0]
            assert width > 0.3 * CANVAS[1] / grid[1]
            count[y : y + height, x : x + width] += 1
        assert (count == 1).all()
        shapes.add(tuple(boxes))
    assert (len(shapes) > 5) == (grid != (1, 1))


def test_a_mosaic_keeps_pixels_and_labels_together():
    boxes = draw_tiles((2, 2), CANVAS, np.random.default_rng(1))
    tiles, pictures = [], []
    for index, (_, _, width, height) in enumerate(boxes):
        pixels = np.full((height, width, 3), 10 * (index + 1), np.uint8)
        image = image_of((height, width), (width / 2, height / 2), exhaustive=index != 2)
        pictures.append(pixels)
        layer = Layer(index, Affine.identity(), (0, 0, width, height))
        tiles.append(Composition((layer,), transform_labels(image, SCHEMA, Affine.identity(), (height, width))))
    scene = join_tiles(tiles, boxes)
    canvas, labels = rendered(scene, *pictures), scene.labels
    assert canvas.shape == (*CANVAS, 3)
    assert len(labels.areas) == 4
    for index, points in enumerate(labels.keypoints):
        x, y = points.mean(axis=0).astype(int)
        assert canvas[y, x].tolist() == [10 * (index + 1)] * 3
    np.testing.assert_allclose(labels.non_exhaustive, [boxes[2]])


def test_ignored_boxes_do_not_reach_into_the_neighbour():
    boxes = [(0, 0, 64, 96), (64, 0, 64, 96)]
    wide = np.array([[-10, 20, 200, 30]], np.float32)
    outside = np.array([[70, 20, 30, 30]], np.float32)
    tiles = [
        Composition(
            (), transform_labels(image_of((96, 64), (30, 40), ignore=ignore), SCHEMA, Affine.identity(), (96, 64))
        )
        for ignore in (outside, wide)
    ]
    np.testing.assert_allclose(join_tiles(tiles, boxes).labels.ignore, [[64, 20, 64, 30]])


def test_a_pasted_person_lies_where_its_labels_say():
    pixels = np.full((60, 60, 3), 100, np.uint8)
    pixels[28:31, 38:41] = 255  # the person's keypoint 0 lies in the middle of this spot
    image = image_of((60, 60), (29.5, 29.5))
    layer = Layer(0, Affine.identity(), (0, 0, CANVAS[1], CANVAS[0]))
    below = Composition((layer,), labels_of(np.random.default_rng(0), 0, CANVAS))
    affine = Affine.horizontal_flip(30) @ Affine.translation(-14.5, -14.5)
    scene = paste(below, extract_piece(1, image, SCHEMA, affine, (30, 30)), (50, 40))
    canvas, labels = rendered(scene, np.zeros((*CANVAS, 3), np.uint8), pixels), scene.labels
    assert below.layers == (layer,), "the input stays"
    assert len(labels.areas) == 1
    assert labels.labelled.all()
    y, x = np.argwhere(canvas[..., 0] > 220).mean(axis=0) + 0.5
    np.testing.assert_allclose(labels.keypoints[0, 0], [x, y], atol=0.1)
    assert canvas[55, 65, 0] == 100
    assert canvas[40, 50, 0] < 50, "the edge is soft"
    assert canvas[43, 55, 0] > 90
    assert canvas[:40].max() == canvas[:, :50].max() == canvas[70:].max() == canvas[:, 80:].max() == 0


def test_what_the_piece_shows_of_its_neighbours_is_known_too():
    main = image_of((60, 100), (30, 30)).persons[0]
    half, far = (image_of((60, 100), (x, 30)).persons[0] for x in (47, 90))
    crowd = replace(image_of((60, 100), (30, 45)).persons[0], is_crowd=True)
    image = ImageAnnotation(1, "made.png", (60, 100), (main, half, far, crowd), tuple(range(17)))
    piece = extract_piece(0, image, SCHEMA, Affine.translation(-10, -10), (40, 40))
    assert len(piece.labels.areas) == 2
    assert piece.labels.labelled[0].all()
    assert 5 < piece.labels.labelled[1].sum() < 17
    assert len(piece.labels.ignore) == 1, "the crowd; the one far away is not in the piece"
    assert (piece.labels.ignore[:, :2] + piece.labels.ignore[:, 2:] <= 40).all()


def test_covered_keypoints_teach_nothing():
    labels = labels_of(np.random.default_rng(2), 1, CANVAS, size=60)
    labels.keypoints[0, :5] = [[100, 50], [70, 50], [90, 94], [127, 95], [80, 60]]
    labels.keypoints[0, 5:] = [40, 40]
    covered = remove_covered(labels, (70, 40, 30, 40))
    assert covered.labelled[0].tolist() == [True, False, True, True, False] + [True] * 12
    assert covered.visibility_known[0].tolist() == covered.labelled[0].tolist(), "nor whether they can be seen"
    assert labels.labelled.all(), "the input stays"
    np.testing.assert_array_equal(covered.areas, labels.areas)


def test_people_who_are_mostly_covered_are_ignored_and_people_wholly_covered_are_gone():
    rng = np.random.default_rng(3)
    seen, mostly, wholly = (labels_of(rng, 1, CANVAS, size=20, center=(x, 48)) for x in (20, 60, 100))
    mostly.keypoints[0, 2:] = [70, 48]
    labels = replace(
        seen,
        keypoints=np.concatenate([seen.keypoints, mostly.keypoints, wholly.keypoints]),
        labelled=np.ones((3, 17), bool),
        visibility_known=np.ones((3, 17), bool),
        areas=np.array([1, 2, 3], np.float32),
        ignore=np.array([[90, 40, 5, 5], [0, 0, 128, 96]], np.float32),
    )
    covered = remove_covered(labels, (65, 10, 60, 80))
    assert covered.areas.tolist() == [1]
    np.testing.assert_allclose(covered.ignore[0], [0, 0, 128, 96])
    assert len(covered.ignore) == 2
    x, y, width, height = covered.ignore[1]
    assert (x, x + width) == pytest.approx((50, 70), abs=0.1)
    assert (y, y + height) == pytest.approx((38, 58), abs=0.1)


def test_a_cut_out_covers_what_it_paints():
    pixels = np.zeros((*CANVAS, 3), np.uint8)
    labels = labels_of(np.random.default_rng(4), 3, CANVAS)
    whole = Composition((Layer(0, Affine.identity(), (0, 0, CANVAS[1], CANVAS[0])),), labels)
    for seed in range(20):
        scene = add_cut_out(whole, CANVAS, np.random.default_rng(seed))
        painted, left = rendered(scene, pixels).any(axis=2), scene.labels
        assert 0.005 < painted.mean() < 0.2
        for points, labelled in zip(left.keypoints, left.labelled, strict=True):
            x, y = points.astype(int).clip(0, [CANVAS[1] - 1, CANVAS[0] - 1]).T
            np.testing.assert_array_equal(labelled, ~painted[y, x])


def test_covering_where_nobody_is_changes_nothing():
    labels = labels_of(
        np.random.default_rng(5), 0, CANVAS, ignore=NO_BOXES, non_exhaustive=np.array([[0, 0, 128, 96]], np.float32)
    )
    covered = remove_covered(labels, (10, 10, 20, 20))
    assert len(covered.areas) == len(covered.ignore) == 0
    assert len(covered.non_exhaustive) == 1
