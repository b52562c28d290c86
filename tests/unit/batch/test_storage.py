import sys
import threading
from pathlib import Path

import pytest

from e2pose.batch.storage import JobFolder, from_text, locate, open_file
from e2pose.core.errors import InputError, OutputError
from e2pose.formats.record import to_text

ADDRESSES = ["folder", "memory://bucket/folder"]


@pytest.fixture(params=ADDRESSES)
def folder(request, tmp_path):
    if request.param != "folder":
        pytest.importorskip("fsspec", reason="fsspec, which opens other object stores, is not installed")
        return JobFolder(f"{request.param}-{tmp_path.name}")
    return JobFolder(str(tmp_path / "folder"))


def test_files_are_written_read_and_listed(folder):
    assert folder.read("a/part-000001.parquet") is None
    assert folder.names("a") == []
    folder.write("a/part-000002.parquet", "second")
    folder.write("a/part-000001.parquet", "first")
    folder.write("a/part-000001.parquet", "again")
    assert folder.read("a/part-000001.parquet") == b"again"
    assert folder.names("a") == ["part-000001.parquet", "part-000002.parquet"]
    with folder.open("a/part-000002.parquet") as file:
        assert file.seek(3) == 3
        assert file.read() == b"ond"


def test_failed_block_leaves_the_file_as_it_was(folder):
    folder.write("a/part-000001.parquet", "first")

    def fail():
        with folder.create("a/part-000001.parquet") as path:
            path.write_text("second")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert folder.read("a/part-000001.parquet") == b"first"
    assert folder.names("a") == ["part-000001.parquet"]


def test_file_appears_only_when_the_block_ends(folder):
    with folder.create("a/part-1.parquet") as path:
        path.write_text("text")
        assert folder.names("a") == []
        assert folder.read("a/part-1.parquet") is None
    assert folder.names("a") == ["part-1.parquet"]


def test_temporary_tables_of_killed_processes_are_removed(tmp_path):
    folder = JobFolder(str(tmp_path))
    folder.write("poses/part-000001.parquet", "")
    (tmp_path / "poses" / ".part-000002-x7.parquet").touch()
    assert folder.names("poses") == ["part-000001.parquet"]
    folder.remove_temporary()
    assert [path.name for path in (tmp_path / "poses").iterdir()] == ["part-000001.parquet"]


def test_foreign_files_are_not_tables(tmp_path):
    for name in ("part-000001.parquet", "part-x.parquet", "notes.txt", "part-000001.parquet.bak"):
        (tmp_path / name).touch()
    assert JobFolder(str(tmp_path.parent)).names(tmp_path.name) == ["part-000001.parquet"]


def test_folder_that_cannot_be_listed_is_an_error_with_a_hint(tmp_path):
    (tmp_path / "files").touch()
    with pytest.raises(InputError, match=f"cannot list '{tmp_path}/files': ") as caught:
        JobFolder(str(tmp_path)).names("files")
    assert caught.value.hint


NAMES = ["a.jpg", "ü.jpg", "\udcfc.jpg", "a\udc80\udcff b.jpg", r"text \udcfc.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems accept Unicode names only")
@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_not_utf8_survive_as_text(name, tmp_path):
    path = str(tmp_path / name)
    Path(path).touch()
    to_text(path).encode()
    assert from_text(to_text(path)) == path


def test_lock_excludes_another_run_until_it_ends(tmp_path):
    errors = []

    def lock():
        try:
            with JobFolder(str(tmp_path)).lock():
                errors.append(None)
        except OutputError as error:
            errors.append(error.message)

    def run():
        thread = threading.Thread(target=lock)
        thread.start()
        thread.join()

    with JobFolder(str(tmp_path)).lock():
        run()
    run()
    assert errors == [f"another run is writing into '{tmp_path}'", None]


def test_error_inside_the_lock_is_not_an_error_of_the_lock(tmp_path):
    with pytest.raises(FileNotFoundError), JobFolder(str(tmp_path)).lock():
        raise FileNotFoundError


LOCATIONS = {
    "/a/b.jpg": ("LocalFileSystem", "/a/b.jpg"),
    "gs://bucket/a b#1?.jpg": ("GcsFileSystem", "bucket/a b#1?.jpg"),
    "memory://bucket/a.jpg": ("PyFileSystem", "/bucket/a.jpg"),
}


@pytest.mark.parametrize("address", LOCATIONS)
def test_addresses_select_their_file_system(address):
    filesystem, path = locate(address)
    assert (type(filesystem).__name__, path) == LOCATIONS[address]


def test_missing_object_is_an_error():
    with pytest.raises(InputError, match="there is no file 'memory://bucket/missing'"):
        open_file("memory://bucket/missing")
