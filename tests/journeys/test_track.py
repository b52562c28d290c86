"""`--track` and `--smooth` from the command line to every output."""

import csv
import json
from pathlib import Path

import numpy as np

from helpers.synthetic import read_video, write_image, write_video


def persons_in(path: Path) -> list[list[dict]]:
    return [json.loads(line)["persons"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_track_and_smooth_assign_ids_in_every_format(predict, tmp_path: Path) -> None:
    write_video(tmp_path / "run.mp4", frames=6)
    outputs = [word for name in ("out.mp4", "out.jsonl", "out.json", "out.csv") for word in ("-o", name)]
    done = predict("run.mp4", "--track", "--smooth", *outputs)
    assert done.code == 0, done.err
    assert len(read_video(tmp_path / "out.mp4")) == 6
    assert [person["track_id"] for (person,) in persons_in(tmp_path / "out.jsonl")] == [1] * 6
    assert [entry["track_id"] for entry in json.loads((tmp_path / "out.json").read_text())] == [1] * 6
    rows = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert [row["track_id"] for row in rows] == ["1"] * 6


def test_smooth_alone_keeps_all_persons_and_assigns_no_ids(predict, tmp_path: Path) -> None:
    write_video(tmp_path / "run.mp4", frames=6)
    done = predict("run.mp4", "--smooth", "-o", "out.jsonl", "-o", "out.json")
    assert done.code == 0, done.err
    assert [len(persons) for persons in persons_in(tmp_path / "out.jsonl")] == [1] * 6
    assert "track_id" not in (tmp_path / "out.jsonl").read_text() + (tmp_path / "out.json").read_text()


def test_tracked_person_is_kept_down_to_half_the_threshold(predict, tmp_path: Path) -> None:
    for index, brightness in enumerate((255, 77, 255, 26, 77)):  # scores: 1, 0.3, 1, 0.1, 0.3
        write_image(tmp_path / "frames" / f"{index}.png", brightness=brightness)
    counts = {}
    for option in ("--smooth", "--track"):
        assert predict("frames", "--threshold", "0.4", option, "-o", "out.jsonl").code == 0
        counts[option] = [len(persons) for persons in persons_in(tmp_path / "out.jsonl")]
    assert counts == {"--smooth": [1, 0, 1, 0, 0], "--track": [1, 1, 1, 0, 1]}


def test_two_videos_share_no_id(predict, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames=3)
    assert predict("a.mp4", "b.mp4", "--track", "-o", "out.jsonl").code == 0
    ids = [person["track_id"] for (person,) in persons_in(tmp_path / "out.jsonl")]
    np.testing.assert_array_equal(ids, [1, 1, 1, 2, 2, 2])
