"""open_source: which files and devices a name selects, and how unreadable inputs are reported."""

import os
from pathlib import Path

import av
import cv2
import pytest

from e2pose.core.errors import InputError
from e2pose.sources.open import open_source
from helpers.media import RED, encode, flat, save, write_clip

IMAGE = encode(flat(RED))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(inputs):
    with open_source(inputs) as source:
        return [frame.origin.name for frame in source]


def read_with_errors(inputs):
    """Returns the name of each frame and the message of each error."""
    errors = []
    with open_source(inputs, on_error=errors.append) as source:
        found = [frame.origin.name for frame in source]
    assert all(error.hint for error in errors)
    return found, [error.message for error in errors]


def touch(*paths):
    for path in paths:
        save(Path(path), IMAGE)


def test_string_path_and_sequence_are_accepted(here):
    touch("b.png", "a.png")
    assert names("b.png") == ["b.png"]
    assert names(Path("b.png")) == ["b.png"]
    assert names(["b.png", Path("a.png")]) == ["b.png", "a.png"]


def test_folder_yields_its_images_and_videos_in_natural_order(here):
    touch("d/p10.png", "d/P2.PNG", "d/p1.png", "d/.hidden.png", "d/sub/p0.png")
    save(here / "d/notes.txt", b"text")
    write_clip(here / "d/p3.mp4", [flat(RED, (48, 64))] * 2)
    assert names("d") == ["d/p1.png", "d/P2.PNG", "d/p3.mp4", "d/p3.mp4", "d/p10.png"]


def test_patterns_select_matching_files(here):
    touch("a1.png", "a10.png", "a2.png", "b.png", "x/y/a3.png")
    save(here / "a5.txt", b"text")
    assert names("a*.png") == ["a1.png", "a2.png", "a10.png"]
    assert names("a*") == ["a1.png", "a2.png", "a10.png"]
    assert names("**/a*.png") == ["a1.png", "a2.png", "a10.png", "x/y/a3.png"]
    assert names("[ab].png") == ["b.png"]


def test_image_is_one_still_frame(here):
    touch("a.png")
    with open_source("a.png") as source:
        assert (source.info.frame_count, source.info.paths) == (1, (Path("a.png"),))
        (frame,) = source
    assert (frame.image == RED).all()
    assert (frame.index, frame.time_s) == (0, 0.0)
    assert frame.origin.is_still
    assert (frame.origin.name, frame.origin.path, frame.origin.frame_count) == ("a.png", Path("a.png"), 1)


@pytest.mark.parametrize("name", ["a[1].png", "a*.png", "a?.png", "ünï çödé.png", "a b.png", "-a.png", "7"])
def test_existing_file_takes_precedence_over_pattern_and_camera(here, name):
    touch(name, "a1.png")
    assert names(name) == [name]


def test_duplicate_files_are_read_once(here):
    touch("d/a.png", "d/b.png")
    Path("link.png").symlink_to("d/a.png")
    inputs = ["d/a.png", "./d/a.png", str(here / "d/a.png"), "d/../d/a.png", "link.png", "d", "d/*.png"]
    assert names(inputs) == ["d/a.png", "d/b.png"]


def test_content_determines_the_type_if_the_suffix_does_not(here):
    save(here / "image", IMAGE)
    save(here / "image.dat", IMAGE)
    save(here / "image.mp4", IMAGE)
    write_clip(here / "video.dat", [flat(RED, (48, 64))] * 3, container="mp4")
    assert names(["image", "image.dat", "image.mp4"]) == ["image", "image.dat", "image.mp4"]
    assert names("video.dat") == ["video.dat"] * 3
    assert names("im*.d*t") == ["image.dat"]


def test_frame_count_is_available_before_reading(here):
    touch("d/a.png", "d/b.png")
    write_clip(here / "d/c.mp4", [flat(RED, (48, 64))] * 5)
    save(here / "d/d.mp4", b"broken")
    with open_source("d", on_error=lambda error: None) as source:
        assert source.info.frame_count == 7
        assert len(list(source)) == 7
        assert [path.name for path in source.info.paths] == ["a.png", "b.png", "c.mp4", "d.mp4"]


def test_frame_count_is_none_if_a_video_does_not_state_it(here):
    write_clip(here / "a.mpg", [flat(RED, (48, 64))] * 5, codec="mpeg1video")
    with open_source("a.mpg") as source:
        assert source.info.frame_count is None


def test_unreadable_inputs_are_reported_and_skipped(here):
    touch("a.png", "b.png")
    save(here / "broken.png", IMAGE[:-9])
    save(here / "empty.png", b"")
    save(here / "text.txt", b"text")
    found, messages = read_with_errors(["none.png", "a.png", "broken.png", "empty.png", "text.txt", "b.png"])
    assert found == ["a.png", "b.png"]
    assert len(messages) == 4
    for message, expected in zip(
        messages, ["there is no file 'none.png'", "truncated", "is empty", "neither an image nor a video"], strict=True
    ):
        assert expected in message


def test_truncated_video_yields_its_frames_and_one_error(here):
    data = write_clip(here / "a.mp4", [flat(RED, (48, 64))] * 40, movflags="+faststart").read_bytes()
    save(here / "cut.mp4", data[:-200])
    touch("b.png")
    found, messages = read_with_errors(["cut.mp4", "b.png"])
    assert 5 < found.count("cut.mp4") < 40
    assert found[-1] == "b.png"
    assert len(messages) == 1
    assert "truncated" in messages[0]


def test_first_error_is_raised_without_a_handler(here):
    touch("a.png")
    save(here / "broken.png", IMAGE[:-9])
    with pytest.raises(InputError, match="there is no file"):
        open_source(["a.png", "none.png"])
    source = iter(open_source(["a.png", "broken.png"]))
    assert next(source).origin.name == "a.png"
    with pytest.raises(InputError, match="truncated"):
        next(source)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("7", "camera 7 cannot be opened"),
        ("gopher://camera/1", "the scheme 'gopher' .* is not supported"),
        ("http://127.0.0.1:9/a.mp4", "cannot open the stream .*refused"),
        ("*.png", "no file matches the pattern"),
        ("none/a.png", "its folder does not exist"),
        ("empty", "there is no image or video in the folder"),
        ("", "the name of an input is empty"),
        (os.devnull, "is a device or a pipe"),
        ("x" * 300, "cannot read .*too long"),
        ("~no-such-user/a.png", "its folder does not exist"),
    ],
)
def test_invalid_inputs_are_rejected(here, name, message):
    (here / "empty").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        open_source(name)
    assert caught.value.hint


def test_similar_file_names_are_suggested(here):
    touch("d/street.png")
    with pytest.raises(InputError) as caught:
        open_source("d/stret.png")
    assert "d/street.png" in caught.value.hint


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="only Linux lists the open files of a process")
def test_stopping_early_closes_the_file(here):
    write_clip(here / "a.mp4", [flat(RED, (48, 64))] * 9)
    before = len(list(OPEN_FILES.iterdir()))
    frames = iter(open_source("a.mp4"))
    next(frames)
    assert len(list(OPEN_FILES.iterdir())) > before
    frames.close()
    assert len(list(OPEN_FILES.iterdir())) == before


def test_missing_file_in_an_unlistable_folder_is_reported(here, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"there is no file 'a\.png'"):
        open_source("a.png")


@pytest.mark.parametrize("error", [ValueError("x"), cv2.error("y"), av.FFmpegError(5, "z"), ZeroDivisionError()])
def test_foreign_exception_in_one_input_is_its_failure(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    save(tmp_path / "a.png", encode(flat(RED)))
    write_clip(tmp_path / "b.mp4", [flat(RED, (48, 64))] * 3)
    save(tmp_path / "c.png", encode(flat(RED)))
    monkeypatch.setattr("e2pose.sources.video.upright_rgb", fail)
    errors = []
    with open_source(tmp_path, on_error=errors.append) as source:
        names = [Path(frame.origin.name).name for frame in source]
    assert names == ["a.png", "c.png"]
    assert [type(error) for error in errors] == [InputError]
    assert f"b.mp4' cannot be read: {type(error).__name__}" in errors[0].message
    assert errors[0].hint


def test_lack_of_memory_is_not_the_failure_of_an_input(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    path = write_clip(tmp_path / "a.mp4", [flat(RED, (48, 64))])
    monkeypatch.setattr("e2pose.sources.video.upright_rgb", fail)
    with pytest.raises(MemoryError), open_source(path, on_error=pytest.fail) as source:
        list(source)
