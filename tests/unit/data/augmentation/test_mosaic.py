"""Compositions of several images: pixels and labels stay together, covered keypoints lose their labels."""

from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.schema import load_schema
from e2pose.data.augmentation.composition import Composition, Layer, render
from e2pose.data.augmentation.geometry import transform_labels
from e2pose.data.augmentation.mosaic import (
    add_cut_out,
    draw_tiles,
    extract_piece,
    join_tiles,
    paste,
    remove_covered,
)
from e2pose.data.image_store import ImageStore
from helpers.targets import NO_BOXES, labels_of

SCHEMA = load_schema("coco")
SIZE_HW = (96, 128)
WHOLE = (0, 0, 128, 96)


def make_image(size_hw, center_xy, radius=10.0, **options) -> ImageAnnotation:
    """Returns an image of one person whose keypoints lie on a circle."""
    angle = np.linspace(0, 2 * np.pi, 17, endpoint=False)
    points = np.array(center_xy) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    left, top = (np.array(center_xy) - radius).tolist()
    person = PersonAnnotation(
        points.astype(np.float32), np.full(17, 2, np.uint8), 1200.0, (left, top, 2 * radius, 2 * radius)
    )
    return ImageAnnotation(1, "1.png", size_hw, (person,), tuple(range(17)), **options)


def make_tile(image, number=0) -> Composition:
    height, width = image.size_hw
    layer = Layer(number, Affine.identity(), (0, 0, width, height))
    return Composition((layer,), transform_labels(image, SCHEMA, Affine.identity(), (height, width)))


class InMemoryImages(ImageStore):
    def __init__(self, images):
        self._cached = list(images)

    def size_hw(self, number):
        return self._cached[number].shape[:2]


def render_all(composition, *images) -> np.ndarray:
    return render(composition, InMemoryImages(images), SIZE_HW)


@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (4, 2)])
def test_tiles_cover_the_image_without_overlap(grid):
    rng = np.random.default_rng(0)
    layouts = set()
    for _ in range(20):
        boxes = draw_tiles(grid, SIZE_HW, rng)
        assert len(boxes) == grid[0] * grid[1]
        coverage = np.zeros(SIZE_HW, int)
        for x, y, width, height in boxes:
            assert height > 0.3 * SIZE_HW[0] / grid[0]
            assert width > 0.3 * SIZE_HW[1] / grid[1]
            coverage[y : y + height, x : x + width] += 1
        assert (coverage == 1).all()
        layouts.add(tuple(boxes))
    assert (len(layouts) > 5) == (grid != (1, 1))


def test_mosaic_keeps_pixels_and_labels_together():
    boxes = draw_tiles((2, 2), SIZE_HW, np.random.default_rng(1))
    tiles, images = [], []
    for index, (_, _, width, height) in enumerate(boxes):
        images.append(np.full((height, width, 3), 10 * (index + 1), np.uint8))
        image = make_image((height, width), (width / 2, height / 2), exhaustive=index != 2)
        tiles.append(make_tile(image, index))
    mosaic = join_tiles(tiles, boxes)
    pixels = render_all(mosaic, *images)
    assert pixels.shape == (*SIZE_HW, 3)
    assert len(mosaic.labels.areas) == 4
    for index, (points, (x, y, width, height)) in enumerate(zip(mosaic.labels.keypoints, boxes, strict=True)):
        assert (pixels[y : y + height, x : x + width] == 10 * (index + 1)).all()
        np.testing.assert_allclose(points.mean(axis=0), [x + width / 2, y + height / 2], atol=1e-3)
    np.testing.assert_allclose(mosaic.labels.non_exhaustive, [boxes[2]])


def test_ignored_boxes_move_with_their_tile_and_end_at_its_border():
    boxes = [(0, 0, 64, 96), (64, 0, 64, 40), (64, 40, 64, 56)]
    regions = [[70, 20, 30, 30], [10, -5, 20, 20], [-10, 20, 200, 30]]  # the first is outside of its tile
    tiles = [
        make_tile(make_image((height, width), (30, 20), ignore=np.array([region], np.float32)))
        for (_, _, width, height), region in zip(boxes, regions, strict=True)
    ]
    np.testing.assert_allclose(join_tiles(tiles, boxes).labels.ignore, [[74, 0, 20, 15], [64, 60, 64, 30]])


def test_pasted_person_is_at_the_position_of_its_labels():
    pixels = np.full((60, 60, 3), 100, np.uint8)
    pixels[28:31, 38:41] = 255  # keypoint 0 is the centre of this spot
    image = make_image((60, 60), (29.5, 29.5))
    layer = Layer(0, Affine.identity(), WHOLE)
    below = Composition((layer,), labels_of(np.random.default_rng(0), 0, SIZE_HW))
    affine = Affine.horizontal_flip(30) @ Affine.translation(-14.5, -14.5)
    pasted = paste(below, extract_piece(1, image, SCHEMA, affine, (30, 30)), (50, 40))
    result, labels = render_all(pasted, np.zeros((*SIZE_HW, 3), np.uint8), pixels), pasted.labels
    assert below.layers == (layer,), "the input is not changed"
    assert len(labels.areas) == 1
    assert labels.labelled.all()
    y, x = np.argwhere(result[..., 0] > 220).mean(axis=0) + 0.5
    np.testing.assert_allclose(labels.keypoints[0, 0], [x, y], atol=0.1)
    assert result[55, 65, 0] == 100
    assert result[40, 50, 0] < 50, "the edge is soft"
    assert result[43, 55, 0] > 90
    assert result[:40].max() == result[:, :50].max() == result[70:].max() == result[:, 80:].max() == 0


def test_piece_has_the_labels_of_other_persons_inside_of_its_edge():
    main = make_image((60, 100), (30, 30)).persons[0]
    half, far = (make_image((60, 100), (x, 30)).persons[0] for x in (47, 90))
    crowd = replace(make_image((60, 100), (30, 45)).persons[0], is_crowd=True)
    image = ImageAnnotation(1, "1.png", (60, 100), (main, half, far, crowd), tuple(range(17)))
    piece = extract_piece(0, image, SCHEMA, Affine.translation(-10, -10), (40, 40))
    edge = piece.layers[0].edge
    assert edge == 2
    assert len(piece.labels.areas) == 2
    assert piece.labels.labelled[0].all()
    np.testing.assert_allclose(piece.labels.keypoints[0], main.keypoints - 10, atol=1e-4)
    x = half.keypoints[:, 0] - 10
    np.testing.assert_array_equal(piece.labels.labelled[1], x < 40 - edge)
    np.testing.assert_allclose(piece.labels.ignore, [[10, 25, 20, 13]], atol=1e-4)  # the crowd, cut at the edge


def test_pasted_piece_covers_keypoints_and_regions_below():
    labels = labels_of(np.random.default_rng(0), 1, SIZE_HW, ignore=np.array([[55, 45, 10, 10]], np.float32))
    labels.keypoints[0] = [20, 20]
    labels.keypoints[0, :3] = [[65, 55], [50.5, 40.5], [79.5, 69.5]]
    below = Composition((Layer(0, Affine.identity(), WHOLE),), labels)
    piece = extract_piece(1, make_image((60, 60), (100, 100)), SCHEMA, Affine.identity(), (30, 30))
    pasted = paste(below, piece, (50, 40)).labels
    assert pasted.labelled[0].tolist() == [False] + [True] * 16, "keypoints below the soft edge stay"
    assert not any(x == 55 for x, *_ in pasted.ignore), "the region is covered"


def test_covered_keypoints_lose_position_and_visibility():
    labels = labels_of(np.random.default_rng(2), 1, SIZE_HW, size=60)
    labels.keypoints[0, :5] = [[100, 50], [70, 50], [90, 94], [127, 95], [80, 60]]
    labels.keypoints[0, 5:] = [40, 40]
    covered = remove_covered(labels, (70, 40, 30, 40))
    assert covered.labelled[0].tolist() == [True, False, True, True, False] + [True] * 12
    assert covered.visibility_known[0].tolist() == covered.labelled[0].tolist()
    assert labels.labelled.all(), "the input is not changed"
    np.testing.assert_array_equal(covered.areas, labels.areas)


def test_mostly_covered_persons_become_ignored_boxes_and_completely_covered_ones_disappear():
    rng = np.random.default_rng(3)
    visible, mostly, completely = (labels_of(rng, 1, SIZE_HW, size=20, center=(x, 48)) for x in (20, 60, 100))
    mostly.keypoints[0, 2:] = [70, 48]
    labels = replace(
        visible,
        keypoints=np.concatenate([visible.keypoints, mostly.keypoints, completely.keypoints]),
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


def test_partly_covered_regions_stay():
    region = np.array([[0, 0, 128, 96]], np.float32)
    labels = labels_of(np.random.default_rng(5), 0, SIZE_HW, ignore=NO_BOXES, non_exhaustive=region)
    covered = remove_covered(labels, (10, 10, 20, 20))
    assert len(covered.areas) == len(covered.ignore) == 0
    np.testing.assert_array_equal(covered.non_exhaustive, region)
    assert len(remove_covered(labels, WHOLE).non_exhaustive) == 0


def test_cut_out_fills_a_box_and_covers_the_labels_below():
    pixels = np.zeros((*SIZE_HW, 3), np.uint8)
    labels = labels_of(np.random.default_rng(4), 3, SIZE_HW)
    whole = Composition((Layer(0, Affine.identity(), WHOLE),), labels)
    for seed in range(20):
        result = add_cut_out(whole, SIZE_HW, np.random.default_rng(seed))
        (cut_out,) = result.cut_outs
        rendered = render_all(result, pixels)
        filled = rendered.any(axis=2)
        assert 0.005 < filled.mean() < 0.2
        assert (rendered[filled] == cut_out.rgb).all()
        assert filled.sum() == cut_out.box[2] * cut_out.box[3]
        for points, labelled in zip(result.labels.keypoints, result.labels.labelled, strict=True):
            x, y = points.astype(int).clip(0, [SIZE_HW[1] - 1, SIZE_HW[0] - 1]).T
            np.testing.assert_array_equal(labelled, ~filled[y, x])


def test_several_cut_outs_are_all_rendered():
    whole = Composition((Layer(0, Affine.identity(), WHOLE),), labels_of(np.random.default_rng(4), 0, SIZE_HW))
    rng = np.random.default_rng(0)
    twice = add_cut_out(add_cut_out(whole, SIZE_HW, rng), SIZE_HW, rng)
    assert len(twice.cut_outs) == 2
    rendered = render_all(twice, np.zeros((*SIZE_HW, 3), np.uint8))
    x, y, _, _ = twice.cut_outs[1].box
    assert tuple(rendered[y, x]) == twice.cut_outs[1].rgb
