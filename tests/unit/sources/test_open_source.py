"""What a text means, and that one bad input does not stop the others."""

import os
from pathlib import Path

import pytest

from e2pose.core.errors import InputError
from e2pose.sources.open import open_source
from helpers.media import RED, encode, flat, save, write_clip

PICTURE = encode(flat(RED))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(texts):
    with open_source(texts) as source:
        return [frame.origin.name for frame in source]


def problems(texts):
    """What comes of inputs some of which are bad: the names of the good ones and the errors."""
    errors = []
    with open_source(texts, on_error=errors.append) as source:
        found = [frame.origin.name for frame in source]
    assert all(error.hint for error in errors)
    return found, [error.message for error in errors]


def touch(*paths):
    for path in paths:
        save(Path(path), PICTURE)


def test_a_file_a_path_and_several(here):
    touch("b.png", "a.png")
    assert names("b.png") == ["b.png"]
    assert names(Path("b.png")) == ["b.png"]
    assert names(["b.png", Path("a.png")]) == ["b.png", "a.png"]


def test_a_folder_is_sorted_naturally_and_leaves_out_what_is_neither_picture_nor_video(here):
    touch("d/p10.png", "d/P2.PNG", "d/p1.png", "d/.hidden.png", "d/sub/p0.png")
    save(here / "d/notes.txt", b"text")
    write_clip(here / "d/p3.mp4", [flat(RED, (48, 64))] * 2)
    assert names("d") == ["d/p1.png", "d/P2.PNG", "d/p3.mp4", "d/p3.mp4", "d/p10.png"]


def test_patterns(here):
    touch("a1.png", "a10.png", "a2.png", "b.png", "x/y/a3.png")
    save(here / "a5.txt", b"text")
    assert names("a*.png") == ["a1.png", "a2.png", "a10.png"]
    assert names("a*") == ["a1.png", "a2.png", "a10.png"]
    assert names("**/a*.png") == ["a1.png", "a2.png", "a10.png", "x/y/a3.png"]
    assert names("[ab].png") == ["b.png"]


@pytest.mark.parametrize("name", ["a[1].png", "a*.png", "a?.png", "ünï çödé.png", "a b.png", "-a.png", "7"])
def test_a_file_wins_over_the_reading_of_its_name_as_something_else(here, name):
    touch(name, "a1.png")
    assert names(name) == [name]


def test_the_same_file_is_read_once(here):
    touch("d/a.png", "d/b.png")
    Path("link.png").symlink_to("d/a.png")
    texts = ["d/a.png", "./d/a.png", str(here / "d/a.png"), "d/../d/a.png", "link.png", "d", "d/*.png"]
    assert names(texts) == ["d/a.png", "d/b.png"]


def test_the_content_decides_where_the_name_says_nothing(here):
    save(here / "picture", PICTURE)
    save(here / "picture.dat", PICTURE)
    save(here / "picture.mp4", PICTURE)
    write_clip(here / "video.dat", [flat(RED, (48, 64))] * 3, container="mp4")
    assert names(["picture", "picture.dat", "picture.mp4"]) == ["picture", "picture.dat", "picture.mp4"]
    assert names("video.dat") == ["video.dat"] * 3
    assert names("pict*.d*t") == ["picture.dat"]


def test_frames_are_counted_beforehand(here):
    touch("d/a.png", "d/b.png")
    write_clip(here / "d/c.mp4", [flat(RED, (48, 64))] * 5)
    save(here / "d/d.mp4", b"broken")
    with open_source("d", on_error=lambda error: None) as source:
        assert source.info.frame_count == 7
        assert len(list(source)) == 7
        assert [path.name for path in source.info.paths] == ["a.png", "b.png", "c.mp4", "d.mp4"]


def test_a_count_that_is_not_known(here):
    write_clip(here / "a.mpg", [flat(RED, (48, 64))] * 5, codec="mpeg1video")
    with open_source("a.mpg") as source:
        assert source.info.frame_count is None


def test_bad_inputs_are_told_and_the_others_are_read(here):
    touch("a.png", "b.png")
    save(here / "broken.png", PICTURE[:-9])
    save(here / "empty.png", b"")
    save(here / "text.txt", b"text")
    found, messages = problems(["none.png", "a.png", "broken.png", "empty.png", "text.txt", "b.png"])
    assert found == ["a.png", "b.png"]
    assert len(messages) == 4
    for message, expected in zip(
        messages, ["there is no file 'none.png'", "truncated", "is empty", "neither a picture nor a video"], strict=True
    ):
        assert expected in message


def test_a_truncated_video_gives_its_frames_and_one_error(here):
    data = write_clip(here / "a.mp4", [flat(RED, (48, 64))] * 40, movflags="+faststart").read_bytes()
    save(here / "cut.mp4", data[:-200])
    touch("b.png")
    found, messages = problems(["cut.mp4", "b.png"])
    assert 5 < found.count("cut.mp4") < 40
    assert found[-1] == "b.png"
    assert len(messages) == 1
    assert "truncated" in messages[0]


def test_without_a_handler_the_first_error_ends_everything(here):
    touch("a.png")
    save(here / "broken.png", PICTURE[:-9])
    with pytest.raises(InputError, match="there is no file"):
        open_source(["a.png", "none.png"])
    source = iter(open_source(["a.png", "broken.png"]))
    assert next(source).origin.name == "a.png"
    with pytest.raises(InputError, match="truncated"):
        next(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7", "camera 7 cannot be opened"),
        ("gopher://camera/1", "of the kind 'gopher', which cannot be read"),
        ("http://127.0.0.1:9/a.mp4", "cannot open the stream .*refused"),
        ("*.png", "no file matches the pattern"),
        ("none/a.png", "its folder does not exist"),
        ("empty", "there is no picture or video in the folder"),
        ("", "the text is empty"),
        (os.devnull, "is a device or a pipe"),
        ("x" * 300, "cannot read .*too long"),
        ("~nobody-of-this-name/a.png", "cannot read"),
    ],
)
def test_texts_that_name_nothing(here, text, message):
    (here / "empty").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        open_source(text)
    assert caught.value.hint


def test_a_misspelt_name_is_guessed(here):
    touch("d/street.png")
    with pytest.raises(InputError) as caught:
        open_source("d/stret.png")
    assert "d/street.png" in caught.value.hint


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="only Linux lists the open files of a process")
def test_breaking_off_closes_the_file(here):
    write_clip(here / "a.mp4", [flat(RED, (48, 64))] * 9)
    before = len(list(OPEN_FILES.iterdir()))
    frames = iter(open_source("a.mp4"))
    next(frames)
    assert len(list(OPEN_FILES.iterdir())) > before
    frames.close()
    assert len(list(OPEN_FILES.iterdir())) == before


def test_a_missing_file_in_a_folder_that_cannot_be_listed(here, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"there is no file 'a\.png'"):
        open_source("a.png")
