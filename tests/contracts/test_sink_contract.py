"""Guarantees of every sink, whatever it writes."""

import json
from contextlib import suppress

import cv2
import numpy as np
import pytest

from e2pose.core.errors import InputError, OutputError
from e2pose.sinks.open import open_sink
from helpers.media import decode_video, draw_negative, files_in, flat, some_persons, still_frame, video_frame

TARGETS = ["a.png", "a.jpg", "a.mp4", "a.mov", "a.mkv", "a.json", "a.jsonl", "a.csv", "folder/"]
LABELS = ["a.coco.json", "a.labelstudio.json", "CollectedData_a.csv", "a.slp"]
"""Outputs for annotation tools: all but SLEAP accept images only, and none replaces an existing file."""
GREY = flat((40, 40, 40), (48, 64))


def frames(target):
    """One image for the sinks that accept one, and a short video for the others."""
    if target in ("a.png", "a.jpg"):
        return [still_frame("in.png", GREY)]
    if target in LABELS:
        return [still_frame(f"in{index}.png", GREY) for index in range(5)]
    return [video_frame(index, GREY, name="in.avi") for index in range(5)]


def final_name(target):
    return "folder/in.mp4" if target == "folder/" else target


def decode(path):
    """The content of an output, without what may differ between two encodings."""
    if path.suffix in (".mp4", ".mov", ".mkv"):
        images, times_s, *properties = decode_video(path)
        return [image.tolist() for image in images], times_s, properties
    if path.suffix in (".png", ".jpg"):
        return cv2.imread(str(path)).tolist()
    if path.suffix == ".slp":
        return path.read_bytes()
    return json.loads(path.read_text()) if path.suffix == ".json" else path.read_text()


@pytest.fixture(params=TARGETS + LABELS)
def target(request):
    return request.param


@pytest.mark.parametrize("poses", [some_persons(2), some_persons(0)], ids=["two persons", "no persons"])
def test_one_complete_file_appears_when_the_context_ends(tmp_path, target, poses):
    out = tmp_path / "ünï çödé"
    with open_sink(f"{out}/{target}", draw=draw_negative) as sink:
        for frame in frames(target):
            sink.write(frame, poses)
            assert final_name(target) not in files_in(out)
    assert files_in(out) == [final_name(target)]
    assert (out / final_name(target)).stat().st_size > 0


def test_exception_discards_the_file(tmp_path, target):
    with pytest.raises(ZeroDivisionError), open_sink(f"{tmp_path}/out/{target}", draw=draw_negative) as sink:
        for frame in frames(target):
            sink.write(frame, some_persons(2))
        raise ZeroDivisionError
    assert files_in(tmp_path) == []


def test_exception_keeps_the_file_of_an_earlier_run(tmp_path, target):
    if target in LABELS:
        pytest.skip("labels are not replaced at all")
    old = tmp_path / final_name(target)
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), open_sink(f"{tmp_path}/{target}", draw=draw_negative) as sink:
        for frame in frames(target):
            sink.write(frame, some_persons(2))
        raise ZeroDivisionError
    assert files_in(tmp_path) == [final_name(target)]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("cut"), OutputError("full")], ids=repr)
def test_frames_that_end_early_are_kept(tmp_path, target, error):
    for folder, early_end in (("whole", None), ("early", error)):
        with suppress(type(error)), open_sink(f"{tmp_path}/{folder}/{target}", draw=draw_negative) as sink:
            for frame in frames(target):
                sink.write(frame, some_persons(2))
            if early_end is not None:
                raise early_end
        assert files_in(tmp_path / folder) == [final_name(target)]
    assert decode(tmp_path / "early" / final_name(target)) == decode(tmp_path / "whole" / final_name(target))


def test_frame_and_poses_are_not_changed(tmp_path, target):
    poses = some_persons(2)
    keypoints = poses.keypoints.copy()
    with open_sink(f"{tmp_path}/{target}", draw=draw_negative) as sink:
        for frame in frames(target):
            before = frame.image.copy()
            frame.image.setflags(write=False)
            sink.write(frame, poses)
            np.testing.assert_array_equal(frame.image, before)
    np.testing.assert_array_equal(poses.keypoints, keypoints)


@pytest.mark.parametrize("target", LABELS)
def test_existing_labels_are_not_replaced(tmp_path, target):
    (tmp_path / target).write_bytes(b"corrected")
    with pytest.raises(OutputError, match="may contain corrected labels") as caught:
        open_sink(tmp_path / target, draw=draw_negative)
    assert caught.value.hint
    assert (tmp_path / target).read_bytes() == b"corrected"
