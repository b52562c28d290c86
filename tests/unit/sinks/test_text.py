"""Text sinks: complete files or none, constant memory, unique image ids."""

import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import OutputError
from e2pose.core.frame import IN_MEMORY, Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.sinks.text import CocoJsonSink, CsvSink, JsonlSink

COCO = load_schema("coco")
IMAGE = np.zeros((8, 8, 3), np.uint8)
SINKS = [CocoJsonSink, JsonlSink, CsvSink]


def still(name):
    return Frame(IMAGE, Origin(f"folder/{name}", Path("folder") / name))


def moving(index, name="ünï.mp4"):
    return Frame(IMAGE, Origin(name, Path(name), rate=Fraction(25)), index, index / 25)


def persons(count):
    ones = np.ones((count, 17, 2), np.float32)
    return Poses(ones, ones[..., 0], ones[:, 0, 0], COCO)


def write_coco(path, frames, count=1, inputs=()):
    with CocoJsonSink(path, inputs) as sink:
        for frame in frames:
            sink.write(frame, persons(count))
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("sink", SINKS)
def test_file_appears_when_the_context_ends(tmp_path, sink):
    path = tmp_path / "new folder" / "pöses.txt"
    with sink(path) as opened:
        opened.write(still("a.jpg"), persons(1))
        assert not path.exists()
    assert path.stat().st_size > 100
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("sink", SINKS)
def test_exception_leaves_the_previous_file_unchanged(tmp_path, sink):
    path = tmp_path / "poses.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), sink(path) as opened:
        opened.write(still("a.jpg"), persons(1))
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("sink", SINKS)
def test_unwritable_folder_is_an_error(tmp_path, sink):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write"), sink(tmp_path / "file" / "poses.txt"):
        pass


@pytest.mark.parametrize("sink", SINKS)
def test_frames_are_written_while_the_video_is_processed(tmp_path, sink):
    path = tmp_path / "poses.txt"
    with sink(path) as opened:
        for index in range(150):
            opened.write(moving(index), persons(2))
        (temporary,) = tmp_path.iterdir()
        on_disk = temporary.stat().st_size
    assert path.stat().st_size - on_disk < 10_000 < on_disk, "at most the last block is in memory"


@pytest.mark.parametrize(("sink", "empty"), [(CocoJsonSink, "[\n]\n"), (JsonlSink, ""), (CsvSink, "")])
def test_no_frames_give_a_valid_empty_file(tmp_path, sink, empty):
    with sink(tmp_path / "poses.txt"):
        pass
    assert (tmp_path / "poses.txt").read_text(encoding="utf-8") == empty


def test_coco_results_without_persons_are_an_empty_list(tmp_path):
    assert write_coco(tmp_path / "a.json", [still("1.jpg"), still("2.jpg")], count=0) == []


def test_coco_results_have_one_entry_per_person(tmp_path):
    entries = write_coco(tmp_path / "a.json", [still("5.jpg"), still("6.jpg")], count=2)
    assert [entry["image_id"] for entry in entries] == [5, 5, 6, 6]
    assert "frame" not in entries[0]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["000000000139.jpg", "7.png"], [139, 7]),  # COCO's own names
        (["cat.jpg", "2.jpg", "dog.jpg"], [1, 2, 3]),  # the running number skips 2
        (["cat.jpg", "dog.jpg", "2.jpg"], [1, 2, 3]),  # 2 is already used
        (["5.jpg", "5.png", "05.jpg"], [5, 1, 2]),  # ids are unique
        (["0.jpg", "a.jpg", "0.png"], [0, 1, 2]),
        (["1_2.jpg", "-3.jpg", "٣.jpg", "4.5.jpg"], [1, 2, 3, 4]),  # not just a number
        (["1234567890123456.jpg"], [1]),  # too long for a JSON number
    ],
)
def test_image_id_is_the_number_in_the_file_name_or_the_next_unused_one(tmp_path, names, ids):
    entries = write_coco(tmp_path / "a.json", [still(name) for name in names])
    assert [entry["image_id"] for entry in entries] == ids
    assert [entry["file_name"] for entry in entries] == names


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["cat.jpg", "1.jpg", "dog.jpg", "2.jpg"], [3, 1, 4, 2]),
        (["cat.jpg", "1.jpg", "1.png", "0002.jpg"], [3, 1, 4, 2]),
        (["0.jpg", "a.jpg", "000000000139.jpg"], [0, 1, 139]),
    ],
)
def test_numbers_in_the_names_of_later_inputs_are_reserved(tmp_path, names, ids):
    entries = write_coco(tmp_path / "a.json", [still(name) for name in names], inputs=list(map(Path, names)))
    assert [entry["image_id"] for entry in entries] == ids


def test_pages_have_a_frame_number_but_no_time(tmp_path):
    origin = Origin("a.tif", Path("a.tif"), frame_count=2)
    entries = write_coco(tmp_path / "a.json", [Frame(IMAGE, origin, index) for index in (0, 1)])
    assert [(entry["image_id"], entry["frame"], "time_s" in entry) for entry in entries] == [
        (1, 0, False),
        (2, 1, False),
    ]


def test_each_frame_of_a_video_has_its_own_image_id_and_time(tmp_path):
    frames = [moving(0, "139.mp4"), moving(1, "139.mp4"), still("1.jpg"), Frame(IMAGE, IN_MEMORY)]
    entries = write_coco(tmp_path / "a.json", frames)
    assert [entry["image_id"] for entry in entries] == [1, 2, 3, 4]
    assert [entry["file_name"] for entry in entries] == ["139.mp4", "139.mp4", "1.jpg", "image"]
    assert [(entry.get("frame"), entry.get("time_s")) for entry in entries[:3]] == [(0, 0.0), (1, 0.04), (None, None)]


def test_text_is_utf_8(tmp_path):
    write_coco(tmp_path / "a.json", [moving(0)])
    assert "ünï.mp4" in (tmp_path / "a.json").read_bytes().decode("utf-8")


@pytest.mark.parametrize("sink", SINKS)
def test_file_name_that_is_not_utf_8_is_escaped(tmp_path, sink):
    name = os.fsdecode(b"a\xff.png")
    with sink(tmp_path / "poses.txt") as opened:
        opened.write(still(name), persons(1))
    text = (tmp_path / "poses.txt").read_text(encoding="utf-8")
    assert "a\\udcff.png" in text
    if sink is not CsvSink:
        record = json.loads(text)
        assert (record[0]["file_name"] if sink is CocoJsonSink else record["file"]).endswith(name)
