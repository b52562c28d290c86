"""NumberedFilesSink: one file for each frame."""

import json

import cv2
import numpy as np
import pytest

from e2pose.core.errors import OptionError, OutputError
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.formats.openpose import to_openpose
from e2pose.sinks.open import open_sink
from helpers.media import (
    BLUE,
    GREEN,
    RED,
    draw_nothing,
    files_in,
    flat,
    save,
    some_persons,
    video_frame,
    write_frames,
)

COCO = load_schema("coco")


def test_images_are_numbered_over_all_inputs(tmp_path):
    frames = [video_frame(0, flat(RED)), video_frame(1, flat(GREEN)), video_frame(0, flat(BLUE), name="b")]
    write_frames(open_sink(tmp_path / "näw" / "f-%03d.png", draw=draw_nothing), frames)
    assert files_in(tmp_path / "näw") == ["f-000.png", "f-001.png", "f-002.png"]
    written = [cv2.imdecode(np.fromfile(path, np.uint8), 1) for path in sorted((tmp_path / "näw").iterdir())]
    assert [tuple(image[8, 8, ::-1]) for image in written] == [RED, GREEN, BLUE]


def test_json_files_have_the_openpose_format(tmp_path):
    sink = open_sink(tmp_path / "clip_%012d_keypoints.json", draw=draw_nothing)
    write_frames(sink, [video_frame(0), video_frame(1)], some_persons(2))
    names = files_in(tmp_path)
    assert names == ["clip_000000000000_keypoints.json", "clip_000000000001_keypoints.json"]
    record = json.loads((tmp_path / names[1]).read_text())
    assert record["keypoints"] == list(COCO.keypoints)
    assert [len(person["pose_keypoints_2d"]) for person in record["people"]] == [51, 51]


def test_width_without_a_zero_is_filled_with_zeros(tmp_path):
    write_frames(open_sink(tmp_path / "f%3d.png", draw=draw_nothing), [video_frame(0), video_frame(1)])
    assert files_in(tmp_path) == ["f000.png", "f001.png"]


def test_openpose_format():
    keypoints = np.full((1, 17, 2), 20.25, np.float32)
    keypoints[0, 3] = np.nan
    poses = Poses(keypoints, np.full((1, 17), 0.5, np.float32), np.ones(1, np.float32), COCO, np.array([4]))
    (person,) = to_openpose(poses)["people"]
    assert person["person_id"] == [4]
    assert person["pose_keypoints_2d"] == [20.25, 20.25, 0.5] * 3 + [0.0, 0.0, 0.0] + [20.25, 20.25, 0.5] * 13
    assert person["face_keypoints_2d"] == person["hand_left_keypoints_2d"] == person["hand_right_keypoints_2d"] == []
    assert to_openpose(some_persons(1))["people"][0]["person_id"] == [-1]
    assert to_openpose(Poses.empty(COCO))["people"] == []


def test_unsupported_suffix_is_an_error(tmp_path):
    with pytest.raises(OptionError, match="one file per frame is not supported for this suffix"):
        open_sink(tmp_path / "%d.mp4", draw=draw_nothing)


def test_input_is_not_overwritten(tmp_path):
    image = save(tmp_path / "1.png", b"mine")
    with pytest.raises(OutputError, match="is an input"):
        write_frames(
            open_sink(tmp_path / "%d.png", draw=draw_nothing, inputs=[image]), [video_frame(0), video_frame(1)]
        )
    assert image.read_bytes() == b"mine"
