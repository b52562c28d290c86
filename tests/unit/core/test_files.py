"""Text reading, atomic writing and checks of output paths."""

import gzip
import os
import stat
from pathlib import Path

import pytest

from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path, check_folder, check_target, read_text


def test_file_appears_only_when_complete(tmp_path):
    target = tmp_path / "ünï code.json"
    with atomic_path(target) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert not target.exists()
        assert temporary.parent == target.parent, "a rename is atomic within a folder only"
        assert temporary.suffix == ".json", "writers select the format by suffix"
    assert target.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_failure_keeps_the_old_file(tmp_path, failure):
    target = tmp_path / "a.json"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(failure), atomic_path(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise failure
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_leaves_no_file(tmp_path):
    with pytest.raises(OutputError, match="No space left") as caught, atomic_path(tmp_path / "a.json"):
        raise OSError(28, "No space left on device")
    assert "disk space" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_missing_folders_are_created(tmp_path):
    with atomic_path(str(tmp_path / "one" / "two" / "a.txt")) as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert (tmp_path / "one" / "two" / "a.txt").read_text(encoding="utf-8") == "new"


def test_long_file_name_is_accepted(tmp_path):
    target = tmp_path / ("x" * 240 + ".txt")
    with atomic_path(target) as temporary:
        temporary.touch()
    assert target.exists()


def test_permissions_follow_the_umask(tmp_path):
    current = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.touch()
    finally:
        os.umask(current)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["folder", "file/a.txt"])
def test_folder_or_file_in_the_way_is_reported(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"), atomic_path(tmp_path / name):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("name", ["folder", "file/a.txt", "file/b/a.txt", "x" * 300 + "/a.txt"])
def test_check_target_finds_unwritable_paths_without_side_effects(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        check_target(tmp_path / name)
    check_target(tmp_path / "new" / "folder" / "a.txt")
    check_target(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"], "the check creates nothing"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_missing_permission_is_reported(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot write"), atomic_path(tmp_path / "a.txt"):
            pass
        with pytest.raises(OutputError, match="no write permission"):
            check_target(tmp_path / "new" / "a.txt")
    finally:
        tmp_path.chmod(0o700)


def test_deleted_temporary_file_is_reported(tmp_path):
    with pytest.raises(OutputError, match="cannot write"), atomic_path(tmp_path / "a.txt") as temporary:
        Path(temporary).unlink()
    assert list(tmp_path.iterdir()) == []


def test_error_about_another_file_is_not_replaced(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_path(tmp_path / "a.txt"):
        (tmp_path / "elsewhere").read_bytes()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_text_is_read_without_its_byte_order_mark(tmp_path, mark):
    path = tmp_path / "a.txt"
    path.write_bytes(mark + "größe\r\n".encode())
    assert read_text(path) == "größe\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("größe".encode("utf-16"), "it is UTF-16 text, not UTF-8 text"),
        ("a = 1".encode("utf-16-le"), "zero bytes"),
        (gzip.compress(b"{}", mtime=0), "it is a gzip archive"),
        ("größe".encode("latin-1"), "in another encoding or binary, with the byte 0xf6"),
    ],
)
def test_other_encodings_are_named(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(UnicodeError, match=message):
        read_text(path)


def test_home_folder_is_expanded_in_outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    check_target(Path("~/new/a.json"))
    check_folder(Path("~/new"))
    with atomic_path("~/new/a.json") as temporary:
        temporary.write_text("x", encoding="utf-8")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["new", "new/a.json"]


def test_link_stays_and_its_file_is_replaced(tmp_path):
    link, file = tmp_path / "link.json", tmp_path / "disk" / "a.json"
    link.symlink_to(file)
    for use in (lambda: check_target(link), lambda: atomic_path(link).__enter__()):
        with pytest.raises(OutputError, match="a link into the missing folder"):
            use()
    file.parent.mkdir()
    check_target(link)
    for text in ("new", "newer"):
        with atomic_path(link) as temporary:
            temporary.write_text(text, encoding="utf-8")
            assert temporary.parent == file.parent
        assert link.is_symlink()
        assert file.read_text(encoding="utf-8") == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_pipe_is_not_replaced(tmp_path):
    pipe = tmp_path / "a.json"
    os.mkfifo(pipe)
    for use in (lambda: check_target(pipe), lambda: atomic_path(pipe).__enter__()):
        with pytest.raises(OutputError, match="device or a pipe") as caught:
            use()
        assert caught.value.hint == "choose another output path"
    assert pipe.is_fifo()
