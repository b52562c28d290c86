"""Snapshots: file names, contents, and no replaced files."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from e2pose.core.errors import OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.live.snapshot import save_snapshot

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def frame(name, path=None, index=12):
    return Frame(IMAGE, Origin(name, path, Fraction(25)), index)


@pytest.mark.parametrize(
    ("name", "path", "file"),
    [
        ("in/run 1.mp4", Path("in/run 1.mp4"), "run 1-000012.png"),
        ("0", None, "0-000012.png"),
        ("/dev/video2", None, "video2-000012.png"),
        ("rtsp://door.local/cam?x=1&y", None, "cam-x-1-y-000012.png"),
        ("screen:1,2,3,4", None, "screen-1-2-3-4-000012.png"),
        ("rtsp://door.local/..", None, "live-000012.png"),
        ("übung", None, "übung-000012.png"),
    ],
)
def test_name_holds_source_and_frame_index(tmp_path, name, path, file):
    saved = save_snapshot(IMAGE, frame(name, path), tmp_path)
    assert saved == tmp_path / file
    assert [path.name for path in tmp_path.iterdir()] == [file]
    pixels = cv2.imdecode(np.frombuffer(saved.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(pixels[..., ::-1], IMAGE)


def test_existing_files_are_not_replaced(tmp_path):
    (tmp_path / "a-000012.png").write_text("mine")
    saved = [save_snapshot(IMAGE, frame("a"), tmp_path).name for _ in range(3)]
    assert saved == ["a-000012-2.png", "a-000012-3.png", "a-000012-4.png"]
    assert (tmp_path / "a-000012.png").read_text() == "mine"


def test_unwritable_folder_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_snapshot(IMAGE, frame("a"), tmp_path / "file" / "below")
