from pathlib import Path

import numpy as np
import pytest

from e2pose.bench.images import CROWDS, SCENE_HW, crowd, save_frames, save_scenes, turns
from e2pose.core.errors import InputError, OptionError
from e2pose.sources.base import SourceInfo
from e2pose.sources.open import FilesSource
from helpers.peers import write_frames
from helpers.synthetic import write_image, write_video


def test_frames_are_saved_as_they_are_read(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a b.png", (30, 50), 70)
    write_video(tmp_path / "in" / "c.mp4", frames=3)
    (tmp_path / "out").mkdir()
    pictures = save_frames([str(tmp_path / "in")], tmp_path / "out", 3)
    assert [picture.index for picture in pictures] == [0, 1, 2]
    assert [picture.path.name for picture in pictures] == ["000000-a b.npy", "000001-c.npy", "000002-c.npy"]
    assert [picture.file_name for picture in pictures] == ["a b.png", "c.mp4", "c.mp4"]
    still, _, moving = (picture.load() for picture in pictures)
    assert (still.image == 70).all() and still.image.shape == (30, 50, 3)
    assert still.origin.is_still and not moving.origin.is_still
    assert (moving.index, moving.time_s) == (1, pytest.approx(1 / 12))


def test_sources_that_give_nothing(tmp_path: Path) -> None:
    picture = str(write_image(tmp_path / "a.png"))
    with pytest.raises(OptionError, match="at least 1, not 0"):
        save_frames([picture], tmp_path, 0)
    with pytest.raises(InputError, match="there is no file"):
        save_frames([str(tmp_path / "none.png")], tmp_path, 1)


def test_live_sources_are_refused(tmp_path: Path, monkeypatch) -> None:
    live = FilesSource([])
    live.info = SourceInfo(is_live=True)
    monkeypatch.setattr("e2pose.bench.images.open_source", lambda texts: live)
    with pytest.raises(OptionError, match="'0' is live"):
        save_frames(["0"], tmp_path, 1)


def test_scenes_have_as_many_people_as_they_say(tmp_path: Path) -> None:
    nobody = crowd(0)
    assert nobody.shape == (*SCENE_HW, 3)
    cell = 240 * 150
    for people in CROWDS:
        covered = (crowd(people) != nobody).any(axis=2).sum()
        assert 0.98 * people * cell < covered <= people * cell, "nobody hides another one"


def test_people_stay_where_they_are_when_more_come() -> None:
    few, many, nobody = crowd(2), crowd(10), crowd(0)
    where = (few != nobody).any(axis=2)
    assert (few[where] == many[where]).all()


def test_scenes_are_saved(tmp_path: Path) -> None:
    scenes = save_scenes(tmp_path, first=7)
    assert [(scene.index, scene.people) for scene in scenes] == list(zip(range(7, 12), CROWDS, strict=True))
    assert (np.load(scenes[2].path) == crowd(5)).all()


def test_turns(tmp_path: Path) -> None:
    frames, scenes = write_frames(tmp_path, 5), save_scenes(tmp_path, first=5)[:2]
    assert [[one.index for one in turn] for turn in turns([*frames, *scenes], 2, 3)] == [
        [0, 1],
        [2, 3],
        [4],
        [5, 5, 5],
        [6, 6, 6],
    ]
