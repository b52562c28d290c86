"""State and drawing of the live view; no window is needed."""

import random
from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.live.view import KEYS, View, draw_panels, draw_view, press
from e2pose.render.hud import RunStats

COCO = load_schema("coco")
BLURS = [None, "heads", "bodies", "frame"]
STATS = RunStats("tiny", 24.8, 38.2, 3, 0.4)
CHECKERS = np.kron(np.indices((30, 40)).sum(axis=0) % 2, np.ones((4, 4)))[..., None].repeat(3, 2).astype(np.uint8) * 255


def one_person():
    rng = np.random.default_rng(0)
    points = rng.uniform((20, 20), (90, 70), (1, 17, 2)).astype(np.float32)
    return Poses(points, np.full((1, 17), 0.9, np.float32), np.array([0.9], np.float32), COCO)


def press_all(view, *keys):
    for key in keys:
        view = press(view, key)
    return view


# Keys.


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        (["space"], "is_paused", True),
        (["space", "space"], "is_paused", False),
        (["s", "s"], "num_saves", 2),
        (["p"], "show_poses", False),
        (["p", "P"], "show_poses", True),
        (["i"], "show_image", False),
        (["f"], "show_stats", False),
        (["h"], "show_help", True),
        (["F1"], "show_help", True),
        (["h", "F1"], "show_help", False),
        (["q"], "is_open", False),
        (["Escape"], "is_open", False),
        (["+"], "threshold", 0.45),
        (["=", "-", "-"], "threshold", 0.35),
        (["m", "m"], "model_index", 2),
        (["m", "m", "m"], "model_index", 0),
        (["b"], "blur", "heads"),
        (["b", "b"], "blur", "bodies"),
        (["b", "b", "b"], "blur", "frame"),
        (["b", "b", "b", "b"], "blur", None),
    ],
)
def test_each_key_changes_one_field(keys, field, value):
    view = View(num_models=3)
    changed = press_all(view, *keys)
    assert getattr(changed, field) == pytest.approx(value)
    assert replace(changed, **{field: getattr(view, field)}) == view


@pytest.mark.parametrize("key", ["x", "Shift_L", "F2", "", "ß", "Return"])
def test_unbound_keys_change_nothing(key):
    assert press(View(), key) == View()


def test_key_names_are_unique():
    names = [name.casefold() for key in KEYS for name in key.names]
    assert len(names) == len(set(names))


def test_threshold_stays_in_range():
    assert press_all(View(), *["+"] * 30).threshold == 0.95
    assert press_all(View(), *["-"] * 30).threshold == 0.05
    assert press_all(View(threshold=0.37), *["-", "+"] * 9).threshold == 0.37


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.97, 1.0])
def test_threshold_outside_of_the_range_only_moves_inwards(threshold):
    outwards, inwards = ("-", "+") if threshold < 0.5 else ("+", "-")
    view = View(threshold=threshold)
    assert press(view, outwards).threshold == threshold
    assert abs(press(view, inwards).threshold - threshold) == pytest.approx(0.05)


@pytest.mark.parametrize("min_blur", BLURS)
def test_keys_never_remove_the_minimum_blur(min_blur):
    generator = random.Random(0)
    view = View(threshold=0.4, max_threshold=0.4, blur=min_blur, min_blur=min_blur)
    reached = set()
    for _ in range(500):
        view = press(view, generator.choice([name for key in KEYS for name in key.names]))
        reached.add(view.blur)
        assert view.threshold <= 0.4
    assert reached == set(BLURS[BLURS.index(min_blur) :])


# Images.


def draw(**fields):
    return draw_view(Frame(CHECKERS), one_person(), View(**fields), keypoint_threshold=0.5)


def test_poses_and_image_can_be_hidden():
    assert (draw() != CHECKERS).any()
    np.testing.assert_array_equal(draw(show_poses=False), CHECKERS)
    assert not draw(show_poses=False, show_image=False).any()
    on_black = draw(show_image=False)
    assert on_black.any()
    assert not on_black[-15:].any(), "no pixel of the image is left"


def test_keypoints_below_the_threshold_are_not_drawn():
    view = View(show_image=False)
    assert not draw_view(Frame(CHECKERS), one_person(), view, keypoint_threshold=0.95).any()


def test_poses_are_drawn_over_the_blur():
    frame, with_poses = draw(blur="frame", show_poses=False), draw(blur="frame")
    assert frame.std() < CHECKERS.std() / 4
    assert (frame != with_poses).any()
    np.testing.assert_array_equal(frame[:, -20:], with_poses[:, -20:])
    bodies = draw(blur="bodies", show_poses=False)
    assert bodies[40:50, 50:60].std() < CHECKERS.std() / 4
    np.testing.assert_array_equal(bodies[:, -20:], CHECKERS[:, -20:])


def test_inputs_are_not_modified():
    image, poses = CHECKERS.copy(), one_person()
    image.setflags(write=False)
    for view in (View(blur="frame"), View(show_image=False), View(show_poses=False)):
        shown = draw_view(Frame(image), poses, view, keypoint_threshold=0.5)
        panels = draw_panels(shown, view, STATS)
        assert panels is not shown
    np.testing.assert_array_equal(image, CHECKERS)


# Panels.


def changed_halves(size_hw=(480, 640), stats=STATS, **fields):
    """Masks of the pixels that the panels change in the left and right half of an image."""
    grey = np.full((*size_hw, 3), 128, np.uint8)
    changed = (draw_panels(grey, View(**fields), stats) != grey).any(axis=2)
    return changed[:, : size_hw[1] // 2], changed[:, size_hw[1] // 2 :]


def test_statistics_are_on_the_left_and_help_on_the_right():
    for show_stats in (True, False):
        for show_help in (True, False):
            left, right = changed_halves(show_stats=show_stats, show_help=show_help)
            assert (left.any(), right.any()) == (show_stats, show_help)


def test_pause_is_indicated_without_statistics():
    left, _ = changed_halves(show_stats=False, is_paused=True)
    assert left.any()


def test_blur_is_listed_with_the_statistics():
    plain, blurred = changed_halves()[0], changed_halves(blur="bodies")[0]
    assert np.nonzero(blurred)[0].max() > np.nonzero(plain)[0].max() + 10, "one more line"
    assert not changed_halves(show_stats=False, blur="bodies")[0].any()


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200), (200, 3), (48, 64), (240, 320), (1080, 1920), (4000, 3000)])
def test_panels_fit_into_any_image(size_hw):
    left, right = changed_halves(size_hw, show_help=True, is_paused=True, blur="bodies")
    assert left.shape[0] == right.shape[0] == size_hw[0]
    if min(size_hw) >= 240:
        rows, columns = np.nonzero(left)
        assert rows.max() < size_hw[0] - 1
        assert columns.max() < size_hw[1] // 2
        assert rows.max() - rows.min() > 100, "large enough to read"


@pytest.mark.parametrize(("size_hw", "line_height"), [((480, 640), 20), ((720, 960), 24), ((2000, 3000), 30)])
def test_line_height_follows_the_image_within_limits(size_hw, line_height):
    rows, _ = np.nonzero(changed_halves(size_hw)[0])
    assert rows.max() - rows.min() == pytest.approx((5 + 1 / 1.7) * line_height, abs=4), "five lines and padding"


def test_long_model_names_stay_in_the_left_half():
    name = replace(STATS, model="an-extraordinarily-long-name-of-a-model-in-a-very-long-folder")
    _, right = changed_halves(stats=name)
    assert not right.any()


@pytest.mark.parametrize(
    "other", [{"images_per_second": 3.0}, {"latency_ms": 9.0}, {"num_persons": 4}, {"threshold": 0.45}, {"model": "x"}]
)
def test_every_statistic_is_drawn(other):
    grey = np.full((480, 640, 3), 128, np.uint8)
    one, two = (draw_panels(grey, View(), stats) for stats in (STATS, replace(STATS, **other)))
    assert (one != two).any()


def test_unknown_rate_is_a_dash():
    assert dict(STATS.rows)["FPS"] == "24.8"
    assert dict(replace(STATS, images_per_second=0.0).rows)["FPS"] == "-"


def test_dropped_frames_are_listed_for_live_sources_only():
    assert ("dropped", "7") in replace(STATS, num_dropped=7).rows
    assert "dropped" not in dict(STATS.rows)
