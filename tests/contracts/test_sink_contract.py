"""What every sink promises, whatever it writes."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import InputError, OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.sinks.open import open_sink

COCO = load_schema("coco")
TARGETS = ["a.png", "a.jpg", "a.mp4", "a.mov", "a.mkv", "a.json", "a.jsonl", "a.csv", "folder/"]
ONE_PICTURE = ("a.png", "a.jpg")


def draw(frame, poses):
    return 255 - frame.image


def frames(target, count=5):
    """One picture for the sinks that take one, and a short video for the others."""
    image = np.full((48, 64, 3), 40, np.uint8)
    if target in ONE_PICTURE:
        return [Frame(image, Origin("in.png", Path("in.png")))]
    origin = Origin("in.avi", None, Fraction(25), count)
    return [Frame(image, origin, index, index / 25) for index in range(count)]


def people(count=2):
    ones = np.full((count, 17, 2), 20, np.float32)
    return Poses(ones, ones[..., 0] / 40, ones[:, 0, 0] / 40, COCO)


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def final_name(target):
    return "in.mp4" if target == "folder/" else target


@pytest.fixture(params=TARGETS)
def target(request):
    return request.param


@pytest.mark.parametrize("poses", [people(), people(0)], ids=["two", "nobody"])
def test_one_complete_file_appears_when_the_context_ends(tmp_path, target, poses):
    with open_sink(f"{tmp_path}/ünï çödé/{target}", draw=draw) as sink:
        for frame in frames(target):
            sink.write(frame, poses)
            assert final_name(target) not in files(tmp_path)
    assert files(tmp_path) == [final_name(target)]
    written = next(path for path in tmp_path.rglob(final_name(target)))
    assert written.stat().st_size > 0


def test_an_error_leaves_nothing(tmp_path, target):
    with pytest.raises(ZeroDivisionError), open_sink(f"{tmp_path}/out/{target}", draw=draw) as sink:
        for frame in frames(target):
            sink.write(frame, people())
        raise ZeroDivisionError
    assert files(tmp_path) == []


def test_an_error_leaves_the_file_of_an_earlier_run(tmp_path, target):
    old = tmp_path / target / "in.mp4" if target == "folder/" else tmp_path / target
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), open_sink(f"{tmp_path}/{target}", draw=draw) as sink:
        for frame in frames(target):
            sink.write(frame, people())
        raise ZeroDivisionError
    assert files(tmp_path) == [old.name]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("cut"), OutputError("full")], ids=repr)
def test_frames_that_end_early_leave_what_was_written(tmp_path, target, error):
    for folder, frames_end in (("whole", None), ("early", error)):
        with suppress(type(error)), open_sink(f"{tmp_path}/{folder}/{target}", draw=draw) as sink:
            for frame in frames(target):
                sink.write(frame, people())
            if frames_end is not None:
                raise frames_end
    whole, early = (next((tmp_path / folder).rglob(final_name(target))) for folder in ("whole", "early"))
    assert files(tmp_path) == [final_name(target)] * 2
    assert early.stat().st_size == whole.stat().st_size
    assert early.read_bytes() == whole.read_bytes() or target == "a.mkv"  # which carries a random number


def test_the_picture_is_not_changed(tmp_path, target):
    poses = people()
    with open_sink(f"{tmp_path}/{target}", draw=draw) as sink:
        for frame in frames(target):
            before = frame.image.copy()
            frame.image.setflags(write=False)
            sink.write(frame, poses)
            np.testing.assert_array_equal(frame.image, before)
    assert len(poses) == 2
