"""Blur: hides what it should, and only that."""

import numpy as np
import pytest

from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.render.blur import blur_image

COCO = load_schema("coco")
TOOL = KeypointSchema.from_names("tool", ["tip", "grip"])


def noise(height=240, width=200):
    """Black and white pixels at random: any blur shows in their spread."""
    return np.random.default_rng(0).choice(np.uint8([0, 255]), (height, width, 1)).repeat(3, axis=2)


def standing(score=1.0):
    """A person 160 pixels tall with the nose at (100, 40)."""
    head = [[100, 40], [104, 36], [96, 36], [110, 38], [90, 38]]
    arms = [[120, 65], [80, 65], [130, 95], [70, 95], [130, 120], [70, 120]]
    legs = [[112, 125], [88, 125], [112, 160], [88, 160], [112, 195], [88, 195]]
    keypoints = np.array([*head, *arms, *legs], np.float32)
    return Poses(keypoints[None], np.full((1, 17), score, np.float32), np.ones(1, np.float32), COCO)


def changed(image, poses, what):
    return (blur_image(image, poses, what) != image).any(axis=2)


@pytest.mark.parametrize("what", ["heads", "people", "frame"])
def test_the_input_is_left_as_it_is(what):
    image = noise()
    image.setflags(write=False)
    blurred = blur_image(image, standing(), what)
    np.testing.assert_array_equal(image, noise())
    assert blurred.shape == image.shape
    assert blurred.dtype == np.uint8
    assert (blurred != image).any()


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_heads_are_hidden_whatever_their_score(score):
    image = noise()
    hidden = changed(image, standing(score), "heads")
    assert hidden[22:58, 90:110].mean() > 0.99, "from chin to hair and from ear to ear"
    rows, columns = np.nonzero(hidden)
    assert rows.max() < 75
    assert columns.max() - columns.min() < 60, "the rest of the picture is as it was"
    assert blur_image(image, standing(score), "heads")[25:50, 92:108].std() < 40, "noise has a spread of 127"


def test_people_are_hidden_from_head_to_foot():
    image = noise()
    hidden = changed(image, standing(), "people")
    assert hidden[22:210, 65:135].mean() > 0.99
    assert not hidden[:, :30].any()
    assert blur_image(image, standing(), "people")[22:210, 65:135].std() < 25


@pytest.mark.parametrize("size_hw", [(240, 200), (2000, 3000), (16, 16)])
def test_the_whole_frame_is_hidden(size_hw):
    blurred = blur_image(noise(*size_hw), Poses.empty(COCO), "frame")
    assert blurred.std() < 60
    face = np.zeros((*size_hw, 3), np.uint8)
    face[size_hw[0] // 2 :] = 255
    assert blur_image(face, Poses.empty(COCO), "frame").std() > 90, "the scene can still be told"


def test_details_of_a_face_vanish_but_its_colour_stays():
    """Two faces that differ in fine stripes look the same afterwards."""
    skin = np.full((240, 200, 3), (200, 150, 120), np.uint8)
    striped = [skin.copy(), skin.copy()]
    striped[0][20:60:4], striped[0][22:60:4] = 90, 250
    striped[1][20:60:4], striped[1][22:60:4] = 250, 90
    first, second = (blur_image(image, standing(), "heads")[28:52, 92:108].astype(int) for image in striped)
    assert abs(striped[0].astype(int) - striped[1])[28:52:2].mean() > 100
    assert abs(first - second).mean() < 12


@pytest.mark.parametrize("what", ["heads", "people", "frame"])
@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (5, 400), (64, 64)])
def test_every_size(size_hw, what):
    image = noise(*size_hw)
    inside = Poses(
        np.random.default_rng(0).uniform(0, 1, (2, 17, 2)).astype(np.float32) * np.float32(size_hw[::-1]),
        np.ones((2, 17), np.float32),
        np.ones(2, np.float32),
        COCO,
    )
    assert blur_image(image, inside, what).shape == image.shape


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38, -1e38])
@pytest.mark.parametrize("what", ["heads", "people"])
def test_strange_numbers_do_no_harm(what, value):
    person = standing()
    keypoints = person.keypoints.copy()
    keypoints[0, 0] = value
    poses = Poses(keypoints, person.keypoint_scores, person.scores, COCO)
    assert changed(noise(), poses, what)[36:40, 92:108].mean() > 0.95, "the rest of the head is hidden all the same"
    everything = Poses(np.full((1, 17, 2), value, np.float32), person.keypoint_scores, person.scores, COCO)
    assert blur_image(noise(), everything, what).shape == (240, 200, 3)


def test_a_head_without_keypoints_hides_the_person():
    keypoints = standing().keypoints.copy()
    keypoints[0, :5] = np.nan
    poses = Poses(keypoints, standing().keypoint_scores, standing().scores, COCO)
    assert changed(noise(), poses, "heads")[65:195, 75:125].mean() > 0.99


def test_a_schema_without_a_head_hides_the_person():
    poses = Poses(np.float32([[[50, 50], [100, 100]]]), np.ones((1, 2), np.float32), np.ones(1, np.float32), TOOL)
    assert changed(noise(), poses, "heads")[50:100, 50:100].mean() > 0.99


@pytest.mark.parametrize("what", ["heads", "people"])
def test_nobody_and_people_outside_change_nothing(what):
    image = noise()
    assert not changed(image, Poses.empty(COCO), what).any()
    person = standing()
    outside = Poses(person.keypoints + np.float32(5000), person.keypoint_scores, person.scores, COCO)
    assert not changed(image, outside, what).any()
