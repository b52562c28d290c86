import cv2
import numpy as np
import pytest

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.schema import load_schema
from e2pose.data.augmentation.composition import Layer, warp_layer
from e2pose.data.augmentation.geometry import random_affine, random_person_affine, transform_labels
from e2pose.data.config import AugmentConfig
from e2pose.transforms.warp import BORDER_RGB

SCHEMA = load_schema("coco")
CANVAS = (96, 128)
NO_BOXES = np.zeros((0, 4), np.float32)


def person_at(points: np.ndarray, visibility: np.ndarray | None = None, *, crowd: bool = False) -> PersonAnnotation:
    low, high = points.min(axis=0), points.max(axis=0)
    box = (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    seen = np.full(17, 2, np.uint8) if visibility is None else visibility.astype(np.uint8)
    return PersonAnnotation(points.astype(np.float32), seen, area=1200.0, box=box, is_crowd=crowd)


def image_with(
    *persons: PersonAnnotation, exhaustive: bool = True, ignore: np.ndarray = NO_BOXES, labelled=range(17)
) -> ImageAnnotation:
    return ImageAnnotation(1, "made.png", (90, 70), persons, tuple(labelled), exhaustive, ignore)


def placed(pixels, image, affine):
    """An image and its labels on a canvas."""
    layer = Layer(0, affine, (0, 0, CANVAS[1], CANVAS[0]))
    return warp_layer(pixels, image.size_hw, layer), transform_labels(image, SCHEMA, affine, CANVAS)


def spread(center_xy=(35, 45), reach=20.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 17, endpoint=False)
    return np.array(center_xy) + reach * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_a_bright_spot_lands_where_its_label_lands(fit):
    rng = np.random.default_rng(0)
    config = AugmentConfig(scale=(0.6, 1.8), rotation=180, rotation_chance=0.7, aspect=0.3, shift=0.2)
    seen = 0
    for _ in range(200):
        spot = rng.integers(8, [62, 82])  # x, y of a pixel
        pixels = np.full((90, 70, 3), BORDER_RGB, np.uint8)
        pixels[spot[1] - 3 : spot[1] + 4, spot[0] - 3 : spot[0] + 4, 0] = 255
        image = image_with(person_at(np.tile(spot + 0.5, (17, 1))))
        affine = random_affine((90, 70), CANVAS, fit, config, rng)
        canvas, labels = placed(pixels, image, affine)
        if not len(labels.areas):
            continue
        expected = labels.keypoints[0, 0]
        corners = affine.apply(spot + 0.5 + 4.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))
        if not ((corners > 0) & (corners < CANVAS[::-1])).all():
            continue
        weight = canvas[..., 0].astype(np.float64) - BORDER_RGB[0]
        y, x = np.nonzero(weight)
        centroid = np.average(np.stack([x, y]) + 0.5, axis=1, weights=weight[y, x])
        np.testing.assert_allclose(centroid, expected, atol=0.2)  # bilinear samples of few pixels
        seen += 1
    assert seen > 100


def test_a_mirrored_image_swaps_left_and_right():
    points = spread()
    visibility = np.full(17, 2)
    visibility[SCHEMA.keypoints.index("left_wrist")] = 0
    labels = transform_labels(image_with(person_at(points, visibility)), SCHEMA, Affine.horizontal_flip(70), (90, 70))
    right_wrist, left_wrist = SCHEMA.keypoints.index("right_wrist"), SCHEMA.keypoints.index("left_wrist")
    assert not labels.labelled[0, right_wrist]
    np.testing.assert_allclose(labels.keypoints[0, left_wrist], [70 - points[right_wrist][0], points[right_wrist][1]])
    np.testing.assert_allclose(labels.keypoints[0, 0], [70 - points[0][0], points[0][1]])


def test_flipping_twice_changes_no_label():
    image = image_with(person_at(spread()))
    once = Affine.horizontal_flip(70)
    plain, twice = (transform_labels(image, SCHEMA, affine, (90, 70)) for affine in (Affine.identity(), once @ once))
    np.testing.assert_allclose(plain.keypoints, twice.keypoints, atol=1e-4)


def test_keypoints_that_nobody_labels_stay_unknown_also_when_mirrored():
    left_eye, right_eye = SCHEMA.keypoints.index("left_eye"), SCHEMA.keypoints.index("right_eye")
    image = image_with(person_at(spread()), labelled=[k for k in range(17) if k != left_eye])
    assert not transform_labels(image, SCHEMA, Affine.identity(), (90, 70)).visibility_known[0, left_eye]
    mirrored = transform_labels(image, SCHEMA, Affine.horizontal_flip(70), (90, 70))
    assert mirrored.visibility_known[0, left_eye]
    assert not mirrored.visibility_known[0, right_eye]


def test_areas_grow_with_the_square_of_the_scale():
    image = image_with(person_at(spread()))
    assert transform_labels(image, SCHEMA, Affine.scaling(1.2), (200, 200)).areas == pytest.approx([1200 * 1.44])


@pytest.mark.parametrize(
    ("image", "affine"),
    [
        (image_with(person_at(spread(), crowd=True)), Affine.identity()),
        (image_with(person_at(spread(), np.zeros(17))), Affine.identity()),
        (image_with(person_at(spread())), Affine.translation(0, 60)),  # most of it leaves the canvas
        (image_with(person_at(spread())), Affine.scaling(0.1)),  # too small to learn
    ],
    ids=["crowd", "without keypoints", "outside", "tiny"],
)
def test_people_who_cannot_be_learned_are_ignored_rather_than_called_background(image, affine):
    labels = transform_labels(image, SCHEMA, affine, (90, 70))
    assert len(labels.areas) == 0
    x, y, width, height = labels.ignore[0]
    corners = affine.apply(spread())
    np.testing.assert_allclose([x, y], corners.min(axis=0), atol=1e-3)
    np.testing.assert_allclose([x + width, y + height], corners.max(axis=0), atol=1e-3)


def test_background_is_doubtful_only_where_nobody_looked_for_everyone():
    boxes = np.array([[1, 2, 3, 4]], np.float32)
    doubtful = [
        len(transform_labels(image, SCHEMA, Affine.identity(), CANVAS).non_exhaustive)
        for image in (image_with(), image_with(exhaustive=False), image_with(exhaustive=False, ignore=boxes))
    ]
    assert doubtful == [0, 1, 0]


def test_a_smaller_copy_of_an_image_gives_the_same_canvas():
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, (70, 90), interpolation=cv2.INTER_LINEAR)  # smooth: nothing is lost when it shrinks
    image = image_with(person_at(spread()))
    affine = random_affine((90, 70), CANVAS, "letterbox", AugmentConfig(scale=(0.5, 0.6)), rng)
    small = cv2.resize(pixels, (35, 45), interpolation=cv2.INTER_AREA)
    (canvas, labels), (other, same) = (placed(p, image, affine) for p in (pixels, small))
    assert np.abs(canvas.astype(int) - other).mean() < 1  # half a pixel makes 3
    np.testing.assert_array_equal(labels.keypoints, same.keypoints)


def test_a_person_is_taken_out_in_the_size_that_was_asked_for():
    rng = np.random.default_rng(3)
    person = person_at(spread())
    for _ in range(20):
        affine, size_hw = random_person_affine(person, 60.0, AugmentConfig(aspect=0.0, rotation_chance=0.0), rng)
        points = affine.apply(person.keypoints.astype(np.float64))
        assert np.ptp(points, axis=0).max() == pytest.approx(60)
        np.testing.assert_allclose((points.min(axis=0) + points.max(axis=0)) / 2, np.array(size_hw[::-1]) / 2)
        assert max(size_hw) == pytest.approx(60 * 1.16, abs=1)
    affine, _ = random_person_affine(person, 1000.0, AugmentConfig(aspect=0.0), rng)
    assert affine.scale == pytest.approx(2), "nobody is blown up"
