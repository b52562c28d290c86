"""What a live view shows, and what each key makes of it; no window is needed."""

import random
from dataclasses import replace

import numpy as np
import pytest

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.live.view import KEYS, View, draw_panels, draw_view, press
from e2pose.render.hud import Numbers

COCO = load_schema("coco")
BLURS = [None, "heads", "people", "frame"]
NUMBERS = Numbers("tiny", 24.8, 38.2, 3, 0.4)
CHECKERS = np.kron(np.indices((30, 40)).sum(axis=0) % 2, np.ones((4, 4)))[..., None].repeat(3, 2).astype(np.uint8) * 255


def somebody():
    rng = np.random.default_rng(0)
    points = rng.uniform((20, 20), (90, 70), (1, 17, 2)).astype(np.float32)
    return Poses(points, np.full((1, 17), 0.9, np.float32), np.array([0.9], np.float32), COCO)


def pressed(view, *keys):
    for key in keys:
        view = press(view, key)
    return view


# Keys.


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        (["space"], "is_paused", True),
        (["space", "space"], "is_paused", False),
        (["s", "s"], "saves", 2),
        (["p"], "shows_poses", False),
        (["p", "P"], "shows_poses", True),
        (["i"], "shows_picture", False),
        (["f"], "shows_numbers", False),
        (["h"], "shows_help", True),
        (["F1"], "shows_help", True),
        (["h", "F1"], "shows_help", False),
        (["q"], "is_open", False),
        (["Escape"], "is_open", False),
        (["+"], "threshold", 0.45),
        (["=", "-", "-"], "threshold", 0.35),
        (["m", "m"], "model", 2),
        (["m", "m", "m"], "model", 0),
        (["b"], "blur", "heads"),
        (["b", "b"], "blur", "people"),
        (["b", "b", "b"], "blur", "frame"),
        (["b", "b", "b", "b"], "blur", None),
    ],
)
def test_each_key_changes_one_thing(keys, field, value):
    view = View(models=3)
    changed = pressed(view, *keys)
    assert getattr(changed, field) == pytest.approx(value)
    assert replace(changed, **{field: getattr(view, field)}) == view


@pytest.mark.parametrize("key", ["x", "Shift_L", "F2", "", "ß", "Return"])
def test_other_keys_mean_nothing(key):
    assert press(View(), key) == View()


def test_no_key_means_two_things():
    names = [name.casefold() for key in KEYS for name in key.names]
    assert len(names) == len(set(names))


def test_the_threshold_stays_in_range():
    assert pressed(View(), *["+"] * 30).threshold == 0.95
    assert pressed(View(), *["-"] * 30).threshold == 0.05
    assert pressed(View(threshold=0.37), *["-", "+"] * 9).threshold == 0.37


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.97, 1.0])
def test_a_threshold_beyond_the_range_only_comes_back(threshold):
    outwards, inwards = ("-", "+") if threshold < 0.5 else ("+", "-")
    view = View(threshold=threshold)
    assert press(view, outwards).threshold == threshold
    assert abs(press(view, inwards).threshold - threshold) == pytest.approx(0.05)


@pytest.mark.parametrize("least", BLURS)
def test_no_keys_take_away_a_blur_that_was_asked_for(least):
    generator = random.Random(0)
    view = View(threshold=0.4, most_threshold=0.4, blur=least, least_blur=least)
    seen = set()
    for _ in range(500):
        view = press(view, generator.choice([name for key in KEYS for name in key.names]))
        seen.add(view.blur)
        assert view.threshold <= 0.4
    assert seen == set(BLURS[BLURS.index(least) :])


# Pictures.


def drawn(**fields):
    return draw_view(Frame(CHECKERS), somebody(), View(**fields), keypoint_threshold=0.5)


def test_poses_and_picture_are_shown_or_not():
    assert (drawn() != CHECKERS).any()
    np.testing.assert_array_equal(drawn(shows_poses=False), CHECKERS)
    assert not drawn(shows_poses=False, shows_picture=False).any()
    on_black = drawn(shows_picture=False)
    assert on_black.any()
    assert not on_black[-15:].any(), "nothing of the picture"


def test_keypoints_below_their_threshold_are_not_drawn():
    view = View(shows_picture=False)
    assert not draw_view(Frame(CHECKERS), somebody(), view, keypoint_threshold=0.95).any()


def test_blur_lies_below_the_poses():
    frame, with_poses = drawn(blur="frame", shows_poses=False), drawn(blur="frame")
    assert frame.std() < CHECKERS.std() / 4
    assert (frame != with_poses).any()
    np.testing.assert_array_equal(frame[:, -20:], with_poses[:, -20:])
    people = drawn(blur="people", shows_poses=False)
    assert people[40:50, 50:60].std() < CHECKERS.std() / 4
    np.testing.assert_array_equal(people[:, -20:], CHECKERS[:, -20:])


def test_inputs_are_left_alone():
    image, poses = CHECKERS.copy(), somebody()
    image.setflags(write=False)
    for view in (View(blur="frame"), View(shows_picture=False), View(shows_poses=False)):
        shown = draw_view(Frame(image), poses, view, keypoint_threshold=0.5)
        panels = draw_panels(shown, view, NUMBERS)
        assert panels is not shown
    np.testing.assert_array_equal(image, CHECKERS)


# Panels.


def corners(size_hw=(480, 640), numbers=NUMBERS, **fields):
    """Which of the pixels left and right the panels change."""
    grey = np.full((*size_hw, 3), 128, np.uint8)
    changed = (draw_panels(grey, View(**fields), numbers) != grey).any(axis=2)
    return changed[:, : size_hw[1] // 2], changed[:, size_hw[1] // 2 :]


def test_numbers_stand_left_and_help_right():
    for shows_numbers in (True, False):
        for shows_help in (True, False):
            left, right = corners(shows_numbers=shows_numbers, shows_help=shows_help)
            assert (left.any(), right.any()) == (shows_numbers, shows_help)


def test_a_pause_is_always_to_be_seen():
    left, _ = corners(shows_numbers=False, is_paused=True)
    assert left.any()


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200), (200, 3), (48, 64), (240, 320), (1080, 1920), (4000, 3000)])
def test_panels_fit_into_any_picture(size_hw):
    left, right = corners(size_hw, shows_help=True, is_paused=True, blur="people")
    assert left.shape[0] == right.shape[0] == size_hw[0]
    if min(size_hw) >= 240:
        rows, columns = np.nonzero(left)
        assert rows.max() < size_hw[0] - 1
        assert columns.max() < size_hw[1] // 2
        assert rows.max() - rows.min() > 100, "not too small either"


def test_long_names_of_models_do_not_reach_into_the_help():
    name = replace(NUMBERS, model="an-extraordinarily-long-name-of-a-model-somebody-has-trained")
    _, right = corners(numbers=name)
    assert not right.any()


@pytest.mark.parametrize(
    "other", [{"images_per_second": 3.0}, {"latency_ms": 9.0}, {"persons": 4}, {"threshold": 0.45}, {"model": "x"}]
)
def test_every_number_is_shown(other):
    grey = np.full((480, 640, 3), 128, np.uint8)
    one, two = (draw_panels(grey, View(), numbers) for numbers in (NUMBERS, replace(NUMBERS, **other)))
    assert (one != two).any()


def test_no_rate_is_made_up():
    assert dict(NUMBERS.rows)["FPS"] == "24.8"
    assert dict(replace(NUMBERS, images_per_second=0.0).rows)["FPS"] == "-"


def test_dropped_frames_are_only_told_of_live_sources():
    assert ("dropped", "7") in replace(NUMBERS, dropped=7).rows
    assert "dropped" not in dict(NUMBERS.rows)
