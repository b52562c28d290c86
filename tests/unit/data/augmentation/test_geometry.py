import cv2
import numpy as np
import pytest

from e2pose.core.affine import Affine
from e2pose.core.annotations import ImageAnnotation, PersonAnnotation
from e2pose.core.schema import load_schema
from e2pose.data.augmentation.composition import Layer, warp_layer
from e2pose.data.augmentation.geometry import random_affine, random_person_affine, transform_labels
from e2pose.data.config import AugmentConfig
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import BORDER_RGB

SCHEMA = load_schema("coco")
SIZE_HW = (96, 128)
SOURCE_HW = (90, 70)
NO_BOXES = np.zeros((0, 4), np.float32)
FIXED = AugmentConfig(flip=0, scale=(1, 1), rotation=0, aspect=0, shift=0)


def make_person(points, visibility=None, *, crowd=False) -> PersonAnnotation:
    low, high = points.min(axis=0), points.max(axis=0)
    box = (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    visibility = np.full(17, 2, np.uint8) if visibility is None else np.asarray(visibility, np.uint8)
    return PersonAnnotation(points.astype(np.float32), visibility, area=1200.0, box=box, is_crowd=crowd)


def make_image(*persons, exhaustive=True, ignore=NO_BOXES, labelled=range(17)) -> ImageAnnotation:
    return ImageAnnotation(1, "1.png", SOURCE_HW, persons, tuple(labelled), exhaustive, ignore)


def circle(center_xy=(35, 45), radius=20.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 17, endpoint=False)
    return np.array(center_xy) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def transform(pixels, image, affine):
    """Returns the pixels and labels of a transformed image."""
    layer = Layer(0, affine, (0, 0, SIZE_HW[1], SIZE_HW[0]))
    return warp_layer(pixels, image.size_hw, layer), transform_labels(image, SCHEMA, affine, SIZE_HW)


def draw_parameters(config, count=600):
    """Draws maps; returns their flips, scales, angles in degrees, aspects and shifts relative to the input size."""
    rng = np.random.default_rng(0)
    center = np.array(SIZE_HW[::-1]) / 2
    rows = []
    for _ in range(count):
        affine = random_affine(SOURCE_HW, SIZE_HW, "letterbox", config, rng)
        augmentation = affine @ fit_affine(SOURCE_HW, SIZE_HW, "letterbox").inverse
        linear = augmentation.matrix[:, :2].copy()
        flip = np.linalg.det(linear) < 0
        linear[0] *= -1 if flip else 1
        across, down = np.linalg.norm(linear, axis=0)
        shift = (augmentation.apply(center[None])[0] - center) / SIZE_HW[::-1]
        angle = np.degrees(np.arctan2(linear[1, 0], linear[0, 0]))
        rows.append((flip, np.sqrt(across * down), angle, np.sqrt(across / down), *shift))
    return np.array(rows).T


def assert_uniform(values, low, high):
    extent = high - low
    assert low - 1e-6 <= values.min() < low + 0.05 * extent
    assert high - 0.05 * extent < values.max() <= high + 1e-6
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.04 * extent)


def test_fixed_configuration_is_the_fit_alone():
    rng = np.random.default_rng(0)
    for fit in ("letterbox", "stretch"):
        affine = random_affine(SOURCE_HW, SIZE_HW, fit, FIXED, rng)
        np.testing.assert_allclose(affine.matrix, fit_affine(SOURCE_HW, SIZE_HW, fit).matrix, atol=1e-9)


def test_each_parameter_has_its_range():
    config = AugmentConfig(flip=0.3, scale=(0.6, 1.8), rotation=40, rotation_chance=0.7, aspect=0.2, shift=0.15)
    flips, scales, angles, aspects, shift_x, shift_y = draw_parameters(config)
    assert flips.mean() == pytest.approx(0.3, abs=0.04)
    assert_uniform(np.log(scales), np.log(0.6), np.log(1.8))
    is_rotated = np.abs(angles) > 1e-6
    assert is_rotated.mean() == pytest.approx(0.7, abs=0.04)
    assert_uniform(angles[is_rotated], -40, 40)
    assert_uniform(np.log(aspects), -np.log(1.2), np.log(1.2))
    max_shift = np.maximum(0, scales - 1) / 2 + 0.15
    for shift in (shift_x, shift_y):
        assert_uniform(shift / max_shift, -1, 1)
        assert_uniform((shift / max_shift)[scales > 1.2], -1, 1)


def test_image_is_scaled_about_its_centre():
    *_, shift_x, shift_y = draw_parameters(FIXED.model_copy(update={"scale": (0.5, 0.9)}), count=20)
    np.testing.assert_allclose([shift_x, shift_y], 0, atol=1e-9)


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_pixels_and_labels_move_together(fit):
    rng = np.random.default_rng(0)
    config = AugmentConfig(scale=(0.6, 1.8), rotation=180, rotation_chance=0.7, aspect=0.3, shift=0.2)
    compared = 0
    for _ in range(200):
        spot = rng.integers(8, [62, 82])  # x, y of a pixel
        pixels = np.full((90, 70, 3), BORDER_RGB, np.uint8)
        pixels[spot[1] - 3 : spot[1] + 4, spot[0] - 3 : spot[0] + 4, 0] = 255
        image = make_image(make_person(np.tile(spot + 0.5, (17, 1))))
        affine = random_affine(SOURCE_HW, SIZE_HW, fit, config, rng)
        moved, labels = transform(pixels, image, affine)
        corners = affine.apply(spot + 0.5 + 4.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))
        if not len(labels.areas) or not ((corners > 0) & (corners < SIZE_HW[::-1])).all():
            continue
        weight = moved[..., 0].astype(np.float64) - BORDER_RGB[0]
        y, x = np.nonzero(weight)
        centroid = np.average(np.stack([x, y]) + 0.5, axis=1, weights=weight[y, x])
        np.testing.assert_allclose(centroid, labels.keypoints[0, 0], atol=0.2)  # bilinear samples of few pixels
        compared += 1
    assert compared > 100


def test_smaller_copy_of_an_image_gives_the_same_result():
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, (70, 90), interpolation=cv2.INTER_LINEAR)  # smooth, so scaling down loses nothing
    affine = random_affine(SOURCE_HW, SIZE_HW, "letterbox", AugmentConfig(scale=(0.5, 0.6)), rng)
    small = cv2.resize(pixels, (35, 45), interpolation=cv2.INTER_AREA)
    layer = Layer(0, affine, (0, 0, SIZE_HW[1], SIZE_HW[0]))
    original, copy = (warp_layer(some, SOURCE_HW, layer).astype(int) for some in (pixels, small))
    assert np.abs(original - copy).mean() < 1  # an offset of half a pixel gives 3


def test_flip_mirrors_positions_and_exchanges_left_and_right():
    points = circle()
    visibility = np.full(17, 2)
    left_wrist, right_wrist = SCHEMA.keypoints.index("left_wrist"), SCHEMA.keypoints.index("right_wrist")
    visibility[left_wrist] = 0
    image = make_image(make_person(points, visibility))
    labels = transform_labels(image, SCHEMA, Affine.horizontal_flip(70), SOURCE_HW)
    assert np.flatnonzero(~labels.labelled[0]).tolist() == [right_wrist]
    expected = np.stack([70 - points[:, 0], points[:, 1]], axis=1)[list(SCHEMA.flip)]
    np.testing.assert_allclose(labels.keypoints[0], expected, atol=1e-4)


def test_two_flips_do_not_exchange_left_and_right():
    points = circle()
    flip = Affine.horizontal_flip(70)
    labels = transform_labels(make_image(make_person(points)), SCHEMA, flip @ flip, SOURCE_HW)
    np.testing.assert_allclose(labels.keypoints[0], points, atol=1e-4)


def test_visibility_of_undeclared_keypoints_is_unknown_also_after_a_flip():
    left_eye, right_eye = SCHEMA.keypoints.index("left_eye"), SCHEMA.keypoints.index("right_eye")
    image = make_image(make_person(circle()), labelled=[k for k in range(17) if k != left_eye])
    plain = transform_labels(image, SCHEMA, Affine.identity(), SOURCE_HW)
    flipped = transform_labels(image, SCHEMA, Affine.horizontal_flip(70), SOURCE_HW)
    assert np.flatnonzero(~plain.visibility_known[0]).tolist() == [left_eye]
    assert np.flatnonzero(~flipped.visibility_known[0]).tolist() == [right_eye]


def test_area_is_scaled_by_the_square_of_the_scale():
    image = make_image(make_person(circle()))
    assert transform_labels(image, SCHEMA, Affine.scaling(1.2), (200, 200)).areas == pytest.approx([1200 * 1.44])


def test_keypoints_outside_of_the_image_are_not_labelled():
    points = circle()
    points[:4] = [[0, 45], [70, 45], [35, 0], [35, 90]]  # only the first and third border belong to the image
    labels = transform_labels(make_image(make_person(points)), SCHEMA, Affine.identity(), SOURCE_HW)
    assert labels.labelled[0, :4].tolist() == [True, False, True, False]
    assert labels.labelled[0, 4:].all()
    assert labels.visibility_known.all()


@pytest.mark.parametrize(("num_inside", "is_kept"), [(5, False), (6, True)])
def test_persons_are_kept_with_30_percent_of_their_keypoints_inside(num_inside, is_kept):
    points = circle()
    points[num_inside:, 0] += 70
    labels = transform_labels(make_image(make_person(points)), SCHEMA, Affine.identity(), SOURCE_HW)
    assert (len(labels.areas), len(labels.ignore)) == ((1, 0) if is_kept else (0, 1))


@pytest.mark.parametrize(("area", "is_kept"), [(24.9, False), (25.1, True)])
def test_persons_are_kept_from_an_area_of_25_pixels(area, is_kept):
    affine = Affine.scaling((area / 1200) ** 0.5)
    labels = transform_labels(make_image(make_person(circle())), SCHEMA, affine, SOURCE_HW)
    assert (len(labels.areas), len(labels.ignore)) == ((1, 0) if is_kept else (0, 1))


@pytest.mark.parametrize(
    ("image", "affine"),
    [
        (make_image(make_person(circle(), crowd=True)), Affine.identity()),
        (make_image(make_person(circle(), np.zeros(17))), Affine.identity()),
        (make_image(make_person(circle())), Affine.translation(0, 60)),
        (make_image(make_person(circle())), Affine.scaling(0.1)),
        (make_image(make_person(circle(), crowd=True)), Affine.rotation(30)),
    ],
    ids=["crowd", "without keypoints", "outside", "small", "rotated crowd"],
)
def test_other_persons_become_ignored_boxes(image, affine):
    labels = transform_labels(image, SCHEMA, affine, SOURCE_HW)
    assert len(labels.areas) == 0
    x, y, width, height = image.persons[0].box
    corners = affine.apply(np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    np.testing.assert_allclose(labels.ignore, [[*low, *(high - low)]], atol=1e-3)


def test_ignored_regions_move_with_the_image():
    image = make_image(ignore=np.array([[10, 20, 5, 8]], np.float32))
    labels = transform_labels(image, SCHEMA, Affine.translation(3, -4) @ Affine.scaling(2), SOURCE_HW)
    np.testing.assert_allclose(labels.ignore, [[23, 36, 10, 16]])


def test_whole_image_is_non_exhaustive_unless_ignored_regions_are_marked():
    boxes = np.array([[1, 2, 3, 4]], np.float32)
    images = make_image(), make_image(exhaustive=False), make_image(exhaustive=False, ignore=boxes)
    regions = [transform_labels(one, SCHEMA, Affine.identity(), SIZE_HW).non_exhaustive.tolist() for one in images]
    assert regions == [[], [[0, 0, 128, 96]], []]


def test_person_is_cropped_in_the_requested_size():
    rng = np.random.default_rng(3)
    person = make_person(circle())
    for _ in range(20):
        affine, size_hw = random_person_affine(person, 60.0, AugmentConfig(aspect=0.0, rotation_chance=0.0), rng)
        points = affine.apply(person.keypoints.astype(np.float64))
        assert np.ptp(points, axis=0).max() == pytest.approx(60)
        np.testing.assert_allclose((points.min(axis=0) + points.max(axis=0)) / 2, np.array(size_hw[::-1]) / 2)
        assert max(size_hw) == pytest.approx(60 * 1.16, abs=1)


def test_cropped_persons_are_enlarged_at_most_twice():
    affine, _ = random_person_affine(make_person(circle()), 1000.0, AugmentConfig(aspect=0.0), np.random.default_rng(3))
    assert affine.scale == pytest.approx(2)
