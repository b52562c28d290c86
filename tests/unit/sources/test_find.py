"""Files that folders, patterns and names select, and messages about those that are passed over."""

import os

import pytest

from e2pose.core.errors import InputError
from e2pose.sources.files import KNOWN_SUFFIXES, FilesSource
from e2pose.sources.find import find_files
from helpers.media import HALVES, encode, save, with_exif, write_clip

TYPESCRIPT = b"export const get = (name: string) => `Hello, ${name}`;\n" * 9
JPEG = encode(HALVES, ".jpg")


def found(name):
    notices = []
    return [path.name for path in find_files(str(name), notices.append)], notices


def fill(folder, *names):
    for name in names:
        save(folder / name, JPEG)


def test_folder_reports_the_files_that_are_passed_over(tmp_path):
    fill(tmp_path, "b.jpg", "IMG_1.HEIC", "notes.txt", "IMG_10.dng", "a.jxl", "sub/c.jpg", "._b.jpg", ".DS_Store")
    assert found(tmp_path) == (
        ["b.jpg"],
        [
            f"skipped 4 files in the folder '{tmp_path}' that cannot be read as images or videos: a.jxl, IMG_1.HEIC, "
            "IMG_10.dng and 1 more"
        ],
    )


def test_pattern_reports_the_files_that_are_passed_over(tmp_path):
    fill(tmp_path, "b.jpg", "b.txt", "._b.jpg")
    names, (notice,) = found(tmp_path / "*")
    assert names == ["b.jpg"]
    assert notice.startswith("skipped 1 file of the pattern")
    assert notice.endswith("b.txt")


def test_nothing_is_reported_if_all_files_are_read(tmp_path):
    fill(tmp_path, "b.jpg", "._c.jpg", ".hidden")
    assert found(tmp_path) == (["b.jpg"], [])


def test_typescript_in_a_folder_is_not_a_video(tmp_path):
    fill(tmp_path, "a.jpg")
    save(tmp_path / "main.ts", TYPESCRIPT)
    save(tmp_path / "module.mts", TYPESCRIPT)
    write_clip(tmp_path / "clip.ts", [HALVES] * 3, container="mpegts")
    names, (notice,) = found(tmp_path)
    assert names == ["a.jpg", "clip.ts"]
    assert notice.endswith("main.ts, module.mts")


VIDEOS = {
    ".3g2": {},
    ".avi": {},
    ".f4v": {},
    ".flv": {},
    ".h264": {"container": "h264"},
    ".264": {"container": "h264"},
    ".hevc": {"codec": "libx265", "container": "hevc"},
    ".ivf": {"codec": "libvpx"},
    ".m2ts": {"container": "mpegts", "mpegts_m2ts_mode": "1"},
    ".m2v": {"codec": "mpeg2video", "container": "mpeg2video"},
    ".mj2": {"codec": "jpeg2000", "container": "mov"},
    ".mts": {"container": "mpegts"},
    ".mxf": {"codec": "mpeg2video"},
    ".nut": {},
    ".ogv": {"codec": "libvpx", "container": "ogg"},
    ".ts": {"container": "mpegts"},
    ".vob": {"codec": "mpeg2video"},
    ".wmv": {"codec": "wmv2", "container": "asf"},
    ".y4m": {"codec": "rawvideo", "container": "yuv4mpegpipe"},
}


@pytest.mark.parametrize("suffix", VIDEOS)
def test_video_in_a_folder_is_read(tmp_path, suffix):
    assert suffix in KNOWN_SUFFIXES
    write_clip(tmp_path / f"a{suffix}", [HALVES] * 4, **VIDEOS[suffix])
    paths = find_files(str(tmp_path))
    assert len(list(FilesSource(paths))) == 4


@pytest.mark.parametrize("suffix", [".mjpeg", ".mjpg"])
@pytest.mark.parametrize("jpeg", [JPEG, with_exif(JPEG, 6)], ids=["plain", "exif"])
def test_joined_jpegs_are_a_video(tmp_path, suffix, jpeg):
    save(tmp_path / f"a{suffix}", jpeg * 4)
    assert len(list(FilesSource(find_files(str(tmp_path))))) == 4


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("-", "standard input", "save the data to a file"),
        ("img_%04d.jpg", "there is no file", "use a quoted pattern: 'img_*.jpg'"),
        ("%d.png", "there is no file", "use a quoted pattern: '*.png'"),
        ("100%dark.png", "there is no file", "spelling"),
        ("none/a.jpg", "its folder does not exist", "spelling"),
        ("~nobody-of-this-name/a.jpg", "its folder does not exist", "spelling"),
    ],
)
def test_name_that_selects_no_file_is_explained(tmp_path, monkeypatch, name, message, hint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        find_files(name)
    assert hint in caught.value.hint


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fill(tmp_path, "a.jpg")
    assert find_files("~/a.jpg") == find_files("~") == find_files("~/*.jpg") == [tmp_path / "a.jpg"]


def test_files_with_special_names_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-", "img_%04d.jpg"):
        save(tmp_path / name, JPEG)
        assert [path.name for path in find_files(name)] == [name]


def test_links_to_missing_files_and_pipes_are_reported(tmp_path):
    fill(tmp_path, "a.jpg")
    (tmp_path / "dead.jpg").symlink_to(tmp_path / "missing.jpg")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.ts")
    for name in (tmp_path, tmp_path / "*"):
        names, (notice,) = found(name)
        assert names == ["a.jpg"]
        assert "dead.jpg, loop.png" in notice
        assert ("pipe.ts" in notice) == hasattr(os, "mkfifo")


@pytest.mark.parametrize("target", ["missing.jpg", "link.jpg"])
def test_link_that_leads_nowhere_is_named(tmp_path, target):
    (tmp_path / "link.jpg").symlink_to(target)
    with pytest.raises(InputError, match=rf"link\.jpg' is a link to '{target}', which does not exist") as caught:
        find_files(str(tmp_path / "link.jpg"))
    assert "did you mean" not in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_pattern_that_matches_only_a_pipe_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="no file matches"):
        find_files(str(tmp_path / "*.mp4"))


def test_links_to_folders_do_not_multiply_the_files_of_a_pattern(tmp_path):
    fill(tmp_path, "sub/a.jpg", "sub/notes.txt")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path / "sub")
    notices = []
    assert find_files(str(tmp_path / "**" / "*"), notices.append) == [tmp_path / "sub" / "a.jpg"]
    assert [notice.split(" of ")[0] for notice in notices] == ["skipped 1 file"]


def test_pattern_in_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match="cannot read the folder"):
        find_files(str(tmp_path / "*.jpg"))


def test_existing_file_whose_name_starts_with_a_tilde_is_found(tmp_path, monkeypatch):
    fill(tmp_path, "~backup.jpg")
    monkeypatch.chdir(tmp_path)
    assert found("~backup.jpg") == (["~backup.jpg"], [])
