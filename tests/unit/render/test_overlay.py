"""Skeletons: the right pixels in the right colours, for any image and any poses."""

import numpy as np
import pytest

from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.render.overlay import draw_poses, track_rgb

COCO = load_schema("coco")
LINE = KeypointSchema.from_names("line", ["left_end", "left_tip"], edges=[["left_end", "left_tip"]])
SIDES = KeypointSchema.from_names(
    "sides",
    ["left_a", "left_b", "right_a", "right_b", "a", "b"],
    edges=[["left_a", "left_b"], ["right_a", "right_b"], ["a", "b"], ["left_a", "right_a"], ["b", "left_b"]],
)
SIDES_XY = [[20, 40], [20, 160], [80, 40], [80, 160], [140, 40], [140, 160]]
ORANGE, BLUE, WHITE = (255, 158, 36), (64, 176, 255), (248, 248, 242)


def black(height=200, width=200):
    return np.zeros((height, width, 3), np.uint8)


def make_poses(keypoints, schema, scores=None, track_ids=None):
    keypoints = np.array(keypoints, np.float32).reshape(-1, len(schema), 2)
    keypoint_scores = np.ones(keypoints.shape[:2], np.float32) if scores is None else np.array([scores], np.float32)
    person_scores = np.linspace(1, 0.5, len(keypoints), dtype=np.float32)
    return Poses(keypoints, keypoint_scores, person_scores, schema, track_ids)


def test_input_is_not_modified():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    before = image.copy()
    image.setflags(write=False)
    drawn = draw_poses(image, make_poses([[5, 5], [50, 40]], LINE), threshold=0.5)
    np.testing.assert_array_equal(image, before)
    assert (drawn != image).any()
    assert drawn.dtype == np.uint8
    assert drawn.flags.writeable


def test_no_persons_change_nothing():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    drawn = draw_poses(image, Poses.empty(COCO), threshold=0.5)
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


def test_left_is_orange_right_is_blue_and_the_middle_white():
    drawn = draw_poses(black(), make_poses(SIDES_XY, SIDES), threshold=0.5)
    assert tuple(drawn[100, 20]) == ORANGE
    assert tuple(drawn[100, 80]) == BLUE
    assert tuple(drawn[100, 140]) == WHITE
    assert tuple(drawn[40, 50]) == WHITE, "between left and right"
    assert tuple(drawn[160, 110]) == ORANGE, "between middle and left"


@pytest.mark.parametrize(("x", "y"), [(30.5, 50.5), (30.0, 50.0), (30.25, 50.75), (31.9, 49.1)])
def test_dots_have_subpixel_positions(x, y):
    dot = KeypointSchema.from_names("dot", ["nose"])
    drawn = draw_poses(black(100, 100), make_poses([[x, y]], dot), threshold=0.5).astype(float).sum(axis=2)
    rows, columns = np.mgrid[:100, :100] + 0.5
    centroid = (columns * drawn).sum() / drawn.sum(), (rows * drawn).sum() / drawn.sum()
    assert centroid == pytest.approx((x, y), abs=0.15)


def test_keypoints_below_the_threshold_are_not_drawn_nor_their_edges():
    scores = [0.5, 0.49, 0.9, 0.9, 0.1, 0.1]
    drawn = draw_poses(black(), make_poses(SIDES_XY, SIDES, scores), threshold=0.5)
    assert drawn[40, 20].any(), "at the threshold"
    assert not drawn[100, 20].any(), "one end is below the threshold"
    assert not drawn[160, 20].any()
    assert drawn[100, 80].any()
    assert not drawn[:, 120:].any()
    none = draw_poses(black(), make_poses(SIDES_XY, SIDES, [0.1] * 6), threshold=0.5)
    assert not none.any()


def test_larger_persons_are_drawn_over_smaller_ones():
    small = [[100, 60], [100, 60], [50, 90.5], [130, 90.5], [90, 60], [90, 60]]  # blue, from left to right
    large = [[90, 10], [90, 190], [0, 0], [0, 0], [0, 0], [0, 0]]  # orange, from top to bottom
    for order in ([small, large], [large, small]):
        drawn = draw_poses(black(), make_poses(order, SIDES), threshold=0.5)
        assert tuple(drawn[90, 90]) == ORANGE
        assert drawn[90, 120, 2] > 200 > drawn[90, 120, 0], "blue beside the large person"


def line_width(image_size, length):
    image = draw_poses(
        black(image_size, image_size), make_poses([[40.5, 20], [40.5, 20 + length]], LINE), threshold=0.5
    )
    return int((image[20 + length // 2, :, 0] > 128).sum())


@pytest.mark.parametrize(
    ("image_size", "length", "widths"),
    [
        (64, 30, {1}),
        (1200, 600, {8, 9}),  # length / 75
        (1200, 1100, {15, 16, 17}),
        (3000, 200, {4, 5}),  # image / 700
        (3000, 40, {2, 3}),  # at most 5 % of the person
    ],
)
def test_line_width_follows_person_and_image(image_size, length, widths):
    assert line_width(image_size, length) in widths


def test_dots_are_wider_than_lines_and_finer_where_sigmas_are_small():
    names = ["left_a", "left_b", "left_c"]
    schema = KeypointSchema("dots", tuple(names), (), (0, 1, 2), (0.02, 0.08, 0.08), {})
    drawn = draw_poses(black(700, 700), make_poses([[100, 50], [100, 350], [100, 650]], schema), threshold=0.5)
    fine, coarse, _ = (int((drawn[y, :, 0] > 128).sum()) for y in (50, 350, 650))
    assert coarse == pytest.approx(2.2 * 600 / 75, abs=1.5)
    assert fine == pytest.approx(coarse / 2, abs=1.5)


@pytest.mark.parametrize("grey", [0, 90, 200, 255])
def test_lines_have_contrast_on_any_background(grey):
    image = np.full((200, 200, 3), grey, np.uint8)
    drawn = draw_poses(image, make_poses(SIDES_XY, SIDES), threshold=0.5).astype(int)
    for x in (20, 80, 140):
        across = drawn[100, x - 5 : x + 6].sum(axis=1)
        assert across.max() - across.min() > 200


def test_shadow_darkens_the_background_to_28_percent():
    drawn = draw_poses(np.full((900, 900, 3), 250, np.uint8), make_poses([[450, 50], [450, 850]], LINE), threshold=0.5)
    assert drawn[450, :, 0].min() == pytest.approx(0.28 * 250, abs=2)


def test_line_to_far_outside_is_exact_inside():
    near = draw_poses(black(100, 100), make_poses([[-200, 50], [300, 50]], LINE), threshold=0.5)
    far = draw_poses(black(100, 100), make_poses([[-2e9, 50], [3e9, 50]], LINE), threshold=0.5)
    assert (near[50, :, 0] > 200).all()
    np.testing.assert_array_equal(near, far)
    diagonal = draw_poses(black(100, 100), make_poses([[-1e7, -1e7], [1e7, 1e7]], LINE), threshold=0.5)
    assert (diagonal[np.arange(100), np.arange(100), 0] > 200).all()
    beside = draw_poses(black(100, 100), make_poses([[-1e30, -500], [1e30, -500]], LINE), threshold=0.5)
    assert not beside.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, -1e38])
def test_extreme_coordinates_do_not_prevent_drawing(value):
    keypoints = np.array(SIDES_XY, np.float32)
    keypoints[0, 0] = value
    drawn = draw_poses(black(), make_poses(keypoints, SIDES, track_ids=np.array([1])), threshold=0.5)
    assert drawn[100, 80].any(), "the rest of the person is drawn"
    everything = make_poses(np.full((6, 2), value), SIDES, track_ids=np.array([1]))
    assert draw_poses(black(), everything, threshold=0.5).shape == (200, 200, 3)


def test_keypoints_with_nan_scores_are_not_drawn():
    assert not draw_poses(black(), make_poses(SIDES_XY, SIDES, [np.nan] * 6), threshold=0.0).any()


@pytest.mark.parametrize("schema", [COCO, load_schema("crowdpose"), KeypointSchema.from_names("one", ["tip"])])
@pytest.mark.parametrize("size_hw", [(1, 1), (64, 64), (7, 300), (3000, 4000)])
def test_any_size_and_schema_is_accepted(size_hw, schema):
    keypoints = np.random.default_rng(0).uniform(-0.2, 1.2, (3, len(schema), 2)) * size_hw[::-1]
    drawn = draw_poses(black(*size_hw), make_poses(keypoints, schema, track_ids=np.array([1, 22, 333])), threshold=0.5)
    assert drawn.shape == (*size_hw, 3)
    if size_hw == (64, 64):
        assert (drawn > 128).any(axis=2).mean() < 0.5, "the image stays recognisable"


def test_track_ids_are_labels_above_the_head():
    below = np.add(SIDES_XY, [0, 20])
    eight, five = (
        draw_poses(black(), make_poses(below, SIDES, track_ids=np.array([n])), threshold=0.5) for n in (8, 5)
    )
    eight[60:], five[60:] = 0, 0
    recoloured = np.where(five == track_rgb(5), np.array(track_rgb(8), np.uint8), five)
    rows, _ = np.nonzero((eight != recoloured).any(axis=2))
    assert len(rows) > 10
    assert rows.max() < 60


def test_tracked_persons_have_the_colour_of_their_id():
    drawn = draw_poses(black(), make_poses(SIDES_XY, SIDES, track_ids=np.array([3])), threshold=0.5)
    assert {tuple(drawn[100, x]) for x in (20, 80, 140)} == {track_rgb(3)}
    new = draw_poses(black(), make_poses(SIDES_XY, SIDES, track_ids=np.array([NO_TRACK])), threshold=0.5)
    np.testing.assert_array_equal(new, draw_poses(black(), make_poses(SIDES_XY, SIDES), threshold=0.5))


def test_consecutive_track_ids_have_different_colours():
    colours = np.array([track_rgb(track_id) for track_id in range(1, 7)])
    distance = np.abs(colours[:, None] - colours).sum(axis=2)
    assert distance[~np.eye(6, dtype=bool)].min() > 60


def test_rotated_views_are_accepted():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    poses = make_poses([[5, 5], [40, 50]], LINE, track_ids=np.array([7]))
    turned = np.rot90(image)
    np.testing.assert_array_equal(
        draw_poses(turned, poses, threshold=0.5), draw_poses(turned.copy("C"), poses, threshold=0.5)
    )
