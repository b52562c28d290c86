import threading

import pytest

from e2pose.batch.storage import JobFolder, locate, open_file
from e2pose.core.errors import InputError, OutputError

ADDRESSES = ["folder", "memory://bucket/folder"]


@pytest.fixture(params=ADDRESSES)
def folder(request, tmp_path):
    if request.param != "folder":
        pytest.importorskip("fsspec", reason="fsspec, which opens other object stores, is not installed")
        return JobFolder(f"{request.param}-{tmp_path.name}")
    return JobFolder(str(tmp_path / "folder"))


def test_files_are_written_read_and_listed(folder):
    assert folder.read("a/one.txt") is None
    assert folder.names("a") == []
    folder.write("a/two.txt", "second")
    folder.write("a/one.txt", "first")
    folder.write("a/one.txt", "again")
    assert folder.read("a/one.txt") == b"again"
    assert folder.names("a") == ["one.txt", "two.txt"]
    with folder.open("a/two.txt") as file:
        assert file.seek(3) == 3
        assert file.read() == b"ond"


def test_failed_block_leaves_the_file_as_it_was(folder):
    folder.write("a/one.txt", "first")

    def fail():
        with folder.create("a/one.txt") as path:
            path.write_text("second")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert folder.read("a/one.txt") == b"first"
    assert folder.names("a") == ["one.txt"]


def test_file_appears_only_when_the_block_ends(folder):
    with folder.create("a/one.parquet") as path:
        path.write_text("text")
        assert folder.names("a") == []
        assert folder.read("a/one.parquet") is None
    assert folder.names("a") == ["one.parquet"]


def test_temporary_tables_of_killed_processes_are_removed(tmp_path):
    folder = JobFolder(str(tmp_path))
    folder.write("poses/part-000001.parquet", "")
    (tmp_path / "poses" / ".part-000002-x7.parquet").touch()
    assert folder.names("poses") == ["part-000001.parquet"]
    folder.remove_temporary()
    assert [path.name for path in (tmp_path / "poses").iterdir()] == ["part-000001.parquet"]


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
