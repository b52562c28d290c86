"""Blur covers the selected region, and nothing else."""

from typing import get_args

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.render.blur import Blur, blur_image, supported_or_stronger

COCO = load_schema("coco")
TOOL = KeypointSchema.from_names("tool", ["tip", "grip"])


def noise(height=240, width=200):
    """Random black and white pixels with a standard deviation of 127, which any blur reduces."""
    return np.random.default_rng(0).choice(np.uint8([0, 255]), (height, width, 1)).repeat(3, axis=2)


def standing_person(score=1.0):
    """A person of 160 pixels with the nose at (100, 40) and ears at a distance of 20 pixels."""
    head = [[100, 40], [104, 36], [96, 36], [110, 38], [90, 38]]
    arms = [[120, 65], [80, 65], [130, 95], [70, 95], [130, 120], [70, 120]]
    legs = [[112, 125], [88, 125], [112, 160], [88, 160], [112, 195], [88, 195]]
    keypoints = np.array([*head, *arms, *legs], np.float32)
    return Poses(keypoints[None], np.full((1, 17), score, np.float32), np.ones(1, np.float32), COCO)


def changed(image, poses, region):
    return (blur_image(image, poses, region) != image).any(axis=2)


@pytest.mark.parametrize("region", ["heads", "bodies", "frame"])
def test_input_is_not_modified(region):
    image = noise()
    image.setflags(write=False)
    blurred = blur_image(image, standing_person(), region)
    np.testing.assert_array_equal(image, noise())
    assert blurred.shape == image.shape
    assert blurred.dtype == np.uint8
    assert (blurred != image).any()


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_heads_are_blurred_whatever_their_score(score):
    image = noise()
    covered = changed(image, standing_person(score), "heads")
    assert covered[22:58, 90:110].mean() > 0.99, "from chin to hair and from ear to ear"
    assert blur_image(image, standing_person(score), "heads")[25:50, 92:108].std() < 40


def test_head_circle_has_about_the_diameter_of_two_ear_distances():
    rows, columns = np.nonzero(changed(noise(), standing_person(), "heads"))
    extent = np.hypot(20, 4)
    for low, high, center in ((rows.min(), rows.max() + 1, 38), (columns.min(), columns.max() + 1, 100)):
        assert high - low == pytest.approx(2 * 1.05 * extent, abs=2)
        assert (low + high) / 2 == pytest.approx(center, abs=1)


def test_head_in_profile_gets_a_circle_relative_to_the_person():
    keypoints = standing_person().keypoints.copy()
    keypoints[0, :5] = [100, 38]
    person = Poses(keypoints, standing_person().keypoint_scores, standing_person().scores, COCO)
    rows, columns = np.nonzero(changed(noise(), person, "heads"))
    size = 195 - 38
    assert np.ptp(rows) + 1 == pytest.approx(2 * 0.09 * size, abs=2)
    assert np.ptp(columns) + 1 == pytest.approx(2 * 0.09 * size, abs=2)


def test_bodies_are_blurred_from_head_to_foot():
    image = noise()
    covered = changed(image, standing_person(), "bodies")
    assert covered[22:210, 65:135].mean() > 0.99
    assert blur_image(image, standing_person(), "bodies")[22:210, 65:135].std() < 25


def test_body_box_extends_beyond_the_keypoints_by_a_share_of_the_person():
    rows, columns = np.nonzero(changed(noise(), standing_person(), "bodies"))
    margin = 0.15 * (195 - 36)
    assert rows.max() + 1 == pytest.approx(195 + margin, abs=1)
    assert (columns.min(), columns.max() + 1) == pytest.approx((70 - margin, 130 + margin), abs=1)
    assert rows.min() == 0, "the head circle counts"


@pytest.mark.parametrize("size_hw", [(240, 200), (2000, 3000), (16, 16)])
def test_whole_frame_is_blurred(size_hw):
    blurred = blur_image(noise(*size_hw), Poses.empty(COCO), "frame")
    assert blurred.std() < 60
    halves = np.zeros((*size_hw, 3), np.uint8)
    halves[size_hw[0] // 2 :] = 255
    assert blur_image(halves, Poses.empty(COCO), "frame").std() > 90, "large structures remain"


def edge_width(region, edge_x, rows, poses):
    """Pixels over which the blur spreads a vertical edge: from 10 to 90 % of the contrast."""
    image = np.zeros((240, 200, 3), np.uint8)
    image[:, edge_x:] = 250
    profile = blur_image(image, poses, region)[rows, :, 0].mean(axis=0)
    return int(((profile > 25) & (profile < 225)).sum())


def test_blur_averages_over_a_fixed_number_of_cells():
    """An edge spreads over one to two cells, which have 240 / 24, 207 / 9 and 43 / 5 pixels."""
    person = standing_person()
    assert 9 <= edge_width("frame", 100, slice(0, 240), person) <= 16
    assert 26 <= edge_width("bodies", 100, slice(100, 120), person) <= 44
    assert 14 <= edge_width("heads", 100, slice(36, 41), person) <= 23


def test_facial_details_vanish_and_the_colour_remains():
    """Two faces that differ only in fine stripes are alike after the blur."""
    skin = np.full((240, 200, 3), (200, 150, 120), np.uint8)
    striped = [skin.copy(), skin.copy()]
    striped[0][20:60:4], striped[0][22:60:4] = 90, 250
    striped[1][20:60:4], striped[1][22:60:4] = 250, 90
    first, second = (blur_image(image, standing_person(), "heads")[28:52, 92:108].astype(int) for image in striped)
    assert abs(striped[0].astype(int) - striped[1])[28:52:2].mean() > 100
    assert abs(first - second).mean() < 12
    assert abs(first.mean(axis=(0, 1)) - striped[0][28:52, 92:108].mean(axis=(0, 1))).max() < 15


@pytest.mark.parametrize("region", ["heads", "bodies", "frame"])
@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (5, 400), (64, 64)])
def test_any_image_size_is_accepted(size_hw, region):
    image = noise(*size_hw)
    inside = Poses(
        np.random.default_rng(0).uniform(0, 1, (2, 17, 2)).astype(np.float32) * np.float32(size_hw[::-1]),
        np.ones((2, 17), np.float32),
        np.ones(2, np.float32),
        COCO,
    )
    assert blur_image(image, inside, region).shape == image.shape


def test_tiny_heads_are_blurred_over_at_least_three_pixels():
    keypoints = (standing_person().keypoints - np.float32([100, 40])) * np.float32(0.02) + np.float32([100, 40])
    tiny = Poses(keypoints, standing_person().keypoint_scores, standing_person().scores, COCO)
    rows, columns = np.nonzero(changed(noise(), tiny, "heads"))
    assert 4 <= np.ptp(rows) + 1 <= 8
    assert 4 <= np.ptp(columns) + 1 <= 8


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38, -1e38])
@pytest.mark.parametrize("region", ["heads", "bodies"])
def test_extreme_coordinates_do_not_prevent_the_blur(region, value):
    person = standing_person()
    keypoints = person.keypoints.copy()
    keypoints[0, 0] = value
    poses = Poses(keypoints, person.keypoint_scores, person.scores, COCO)
    assert changed(noise(), poses, region)[36:40, 92:108].mean() > 0.95, "the rest of the head is blurred"
    everything = Poses(np.full((1, 17, 2), value, np.float32), person.keypoint_scores, person.scores, COCO)
    assert blur_image(noise(), everything, region).shape == (240, 200, 3)


def test_person_without_head_keypoints_is_blurred_entirely():
    keypoints = standing_person().keypoints.copy()
    keypoints[0, :5] = np.nan
    poses = Poses(keypoints, standing_person().keypoint_scores, standing_person().scores, COCO)
    assert changed(noise(), poses, "heads")[65:195, 75:125].mean() > 0.99


# A person of 180 pixels, whose face is the disc with the centre (100, 38) and the radius 13.
PARTS = {
    "head_top": (100, 22), "forehead": (100, 28), "nose": (100, 40), "eye": (104, 36), "ear": (110, 38),
    "mouth": (100, 46), "chin": (100, 51), "head": (100, 38), "neck": (100, 58), "shoulder": (120, 65),
    "elbow": (130, 95), "wrist": (130, 120), "hip": (112, 125), "knee": (112, 160), "ankle": (112, 195),
}  # fmt: skip
FACE = np.hypot(np.arange(200) + 0.5 - 100, np.arange(240)[:, None] + 0.5 - 38) < 13
BODY = ["shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
SCHEMAS = {
    "coco": COCO.keypoints,
    "crowdpose": load_schema("crowdpose").keypoints,
    "one head": ["head"],
    "one body": ["pelvis"],
    "hand": ["wrist", "thumb_tip", "index_tip", "little_tip"],
    "tool": ["tip", "grip"],
    "no head": [f"{side}_{part}" for part in BODY for side in ("left", "right")],
    "head and body": ["head", *(f"{side}_{part}" for part in BODY for side in ("left", "right"))],
    "head and hips": ["head", "left_hip", "right_hip"],
    "upper body": ["nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"],
    "eyes and shoulders": ["leftEye", "rightEye", "lshoulder", "rshoulder"],
    "face": ["nose", "left_eye", "right_eye"],
    "chin and forehead": ["chin", "forehead"],
    "animal": [
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "neck",
        "left_shoulder",
        "left_hip",
        "left_knee",
    ],
}
REFUSED = {
    "heads": {"one head", "one body", "hand", "tool", "no head"},
    "bodies": {"one head", "one body", "hand", "tool", "face", "chin and forehead"},
    "frame": set(),
}


def person_of(names):
    """The person with the given keypoints."""
    schema = KeypointSchema.from_names("it", list(names))
    points = []
    for index, name in enumerate(names):
        part = name if name in PARTS else next((part for part in PARTS if part in name.lower()), "hip")
        x, y = PARTS[part]
        points.append((200 - x if schema.side(index) == "right" else x, y))
    count = len(names)
    return Poses(np.float32([points]), np.ones((1, count), np.float32), np.ones(1, np.float32), schema)


@pytest.mark.parametrize("region", get_args(Blur))
@pytest.mark.parametrize("name", SCHEMAS)
def test_face_is_covered_or_the_region_is_refused(name, region):
    poses = person_of(SCHEMAS[name])
    if name in REFUSED[region]:
        with pytest.raises(OptionError, match="faces would stay visible") as caught:
            blur_image(noise(), poses, region)
        assert "frame" in caught.value.hint
        assert region not in caught.value.hint
        assert supported_or_stronger(poses.schema, region) in caught.value.hint
    else:
        assert changed(noise(), poses, region)[FACE].mean() > 0.97
        assert supported_or_stronger(poses.schema, region) == region


@pytest.mark.parametrize("region", get_args(Blur))
def test_region_without_keypoints_is_refused_without_persons_too(region):
    if region != "frame":
        with pytest.raises(OptionError, match="'tool'"):
            blur_image(noise(), Poses.empty(TOOL), region)


def test_unknown_region_is_an_error(unchecked):
    with pytest.raises(OptionError, match="must be heads or bodies or frame, not 'faces'"):
        blur_image(noise(), standing_person(), "faces")


@pytest.mark.parametrize("region", ["heads", "bodies"])
def test_margin_enlarges_the_region_of_its_person(region):
    two = Poses(
        np.concatenate([standing_person().keypoints * np.float32(0.4), standing_person().keypoints]),
        np.ones((2, 17), np.float32),
        np.float32([0.9, 0.8]),
        COCO,
    )
    plain, grown = (
        (blur_image(noise(), two, region, margins_px=margins) != noise()).any(axis=2)
        for margins in (None, np.float64([0, 7]))
    )
    row = {"heads": 38, "bodies": 160}[region]
    right_of = [int(np.flatnonzero(covered[row]).max()) for covered in (plain, grown)]
    assert right_of[1] == pytest.approx(right_of[0] + 7, abs=1.5)
    assert plain.sum() < grown.sum()
    assert (grown >= plain).all()


@pytest.mark.parametrize("region", ["heads", "bodies"])
def test_no_persons_and_persons_outside_change_nothing(region):
    image = noise()
    assert not changed(image, Poses.empty(COCO), region).any()
    person = standing_person()
    outside = Poses(person.keypoints + np.float32(5000), person.keypoint_scores, person.scores, COCO)
    assert not changed(image, outside, region).any()
