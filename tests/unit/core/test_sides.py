"""Left and right in keypoint names."""

import pytest

from e2pose.core.sides import find_mirrored_names, side_of


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("left eye", "right eye"),
        ("Left-Eye", "Right-Eye"),
        ("leftEye", "rightEye"),
        ("LEFT_EYE", "RIGHT_EYE"),
        ("eye_left", "eye_right"),
        ("EyeLeft", "EyeRight"),
        ("eye (left)", "eye (right)"),
        ("inner_left_eye", "inner_right_eye"),
        ("left_hand_4", "right_hand_4"),
        ("EyeL", "EyeR"),
        ("LEye", "REye"),
        ("lEye", "rEye"),
        ("hip-l", "hip-r"),
        ("shoulder.L", "shoulder.R"),
        ("L_Wrist", "R_Wrist"),
        ("L Wrist", "R Wrist"),
        ("LFpaw", "RFpaw"),
        ("l1", "r1"),
        ("shoulder_lft", "shoulder_rgt"),
        ("lft_shoulder", "rgt_shoulder"),
        ("shoulder_lt", "shoulder_rt"),
        ("lefthand", "righthand"),
        ("kneeleft", "kneeright"),
        ("KNEELEFT", "KNEERIGHT"),
        ("shoulderlft", "shoulderrgt"),
        ("lshoulder", "rshoulder"),
        ("LSHOULDER", "RSHOULDER"),
        ("lshoulder_joint", "rshoulder_joint"),
        ("lbigtoe", "rbigtoe"),
        ("lear", "rear"),
        ("hipl", "hipr"),
        ("lank", "rank"),
        ("left", "right"),
        ("left_eye", "RightEye"),
    ],
)
def test_names_that_differ_only_in_the_side_are_a_pair(left, right):
    assert find_mirrored_names(["nose", right, left]) == [(left, right)]


@pytest.mark.parametrize(
    "names",
    [
        ("lip", "rip"),
        ("leg", "reg"),
        ("lower", "rower"),
        ("lower_lip", "rower_lip"),
        ("lock", "rock"),
        ("light", "right"),
        ("lash", "rash"),
        ("load", "road"),
        ("cleft_a", "cright_a"),
        ("left_wirst", "right_wrist"),
        ("left_eye", "right_ear"),
        ("left_eye", "eye_right"),
        ("left_eye", "r_eye"),
        ("left_left_eye", "left_right_eye"),
        ("left_eye", "LeftEye", "right_eye"),
        ("eye", "rear", "ear"),
        ("0", "1"),
        ("", "_"),
    ],
)
def test_other_names_are_no_pair(names):
    assert find_mirrored_names(names) == []


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("left_ear", "left"),
        ("Right-Hip", "right"),
        ("ear_l", "left"),
        ("knee_rgt", "right"),
        ("lefthand", "left"),
        ("rshoulder", "right"),
        ("nose", "middle"),
        ("rear", "middle"),
        ("lip", "middle"),
        ("upright_pole", "middle"),
    ],
)
def test_side_follows_from_the_name(name, side):
    assert side_of(name) == side
