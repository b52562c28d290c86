from pathlib import Path

import numpy as np
import pytest

from e2pose.bench.images import SCENE_PERSONS, save_frames, save_scenes
from e2pose.core.errors import InputError, OptionError
from e2pose.export.scenes import draw_scene
from e2pose.sources.base import SourceInfo
from e2pose.sources.open import FilesSource
from helpers.synthetic import write_image, write_video


def test_frames_are_saved_as_they_are_read(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a b.png", (30, 50), 70)
    write_video(tmp_path / "in" / "c.mp4", frames=3)
    (tmp_path / "out").mkdir()
    images = save_frames([str(tmp_path / "in")], tmp_path / "out", 3)
    assert [image.index for image in images] == [0, 1, 2]
    assert [image.path.name for image in images] == ["000000-a b.npy", "000001-c.npy", "000002-c.npy"]
    assert [image.file_name for image in images] == ["a b.png", "c.mp4", "c.mp4"]
    still, _, video = (image.load() for image in images)
    assert (still.image == 70).all() and still.image.shape == (30, 50, 3)
    assert still.origin.is_still and not video.origin.is_still
    assert (video.index, video.time_s) == (1, pytest.approx(1 / 12))


def test_missing_source_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        save_frames([str(tmp_path / "none.png")], tmp_path, 1)


def test_live_source_is_rejected(tmp_path: Path, monkeypatch) -> None:
    live = FilesSource([])
    live.info = SourceInfo(is_live=True)
    monkeypatch.setattr("e2pose.bench.images.open_source", lambda texts: live)
    with pytest.raises(OptionError, match="source '0' is live"):
        save_frames(["0"], tmp_path, 1)


def test_scenes_are_saved_with_consecutive_indices(tmp_path: Path) -> None:
    scenes = save_scenes(tmp_path, first_index=7)
    assert [(scene.index, scene.num_persons) for scene in scenes] == list(zip(range(7, 12), SCENE_PERSONS, strict=True))
    assert (np.load(scenes[2].path) == draw_scene(5)).all()
