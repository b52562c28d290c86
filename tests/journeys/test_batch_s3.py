"""`e2pose batch` from and to an object store: a server with the interface of S3 on this machine."""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
import pytest

import e2pose as e2pose_module
from helpers.batches import read_table, write_images
from helpers.synthetic import write_video
from helpers.waiting import wait_until

pytest.importorskip("moto", reason="moto, which serves the S3 interface, is not installed")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def server():
    """The address of the server, which the environment selects, as for users."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (("ACCESS_KEY_ID", "user"), ("SECRET_ACCESS_KEY", "secret"), ("ENDPOINT_URL", address)):
            environment.setenv(f"AWS_{name}", value)
        wait_until(lambda: answers(f"{address}/moto-api/"))
        yield address
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def bucket(server):
    filesystem = pyarrow.fs.S3FileSystem(endpoint_override=server, allow_bucket_creation=True)
    filesystem.create_dir("bucket")
    return filesystem


@pytest.fixture(scope="module")
def images(bucket, tmp_path_factory):
    """Images, a film in segments and a damaged file, local and in the bucket."""
    folder = write_images(tmp_path_factory.mktemp("images"), 8)
    write_images(folder / "sub #1?", 2)
    write_video(folder / "film.mp4", frames=600, rate=12)
    write_video(folder / "short.mp4", frames=5)
    (folder / "bad.jpg").write_bytes(b"no image")
    pyarrow.fs.copy_files(str(folder), "bucket/images", destination_filesystem=bucket)
    return folder


ARGUMENTS = ("--shard", 3, "--segment", 20, "--workers", 1, "--max-failed", 1)


def without_folder(rows, folder):
    return [{**row, "file": row["file"].removeprefix(folder), "error": bool(row.get("error"))} for row in rows]


def test_bucket_to_bucket_equals_folder_to_folder(images, bucket, tiny_model, e2pose, tmp_path):
    command = ("batch", "--model", tiny_model, *ARGUMENTS)
    assert e2pose(*command, images, "-o", tmp_path / "local").code == 0
    assert e2pose(*command, "s3://bucket/images/", "-o", "s3://bucket/jobs/one").code == 0
    for table in ("files", "poses"):
        remote = read_table("bucket/jobs/one", table, filesystem=bucket)
        local = read_table(tmp_path / "local", table)
        assert without_folder(remote, "s3://bucket/images") == without_folder(local, str(images))
    names = [info.path for info in bucket.get_file_info(pyarrow.fs.FileSelector("bucket/jobs/one", recursive=True))]
    assert not [name for name in names if "/." in name or "tmp" in name]

    found = list(e2pose_module.open_batch("s3://bucket/jobs/one"))
    assert len(found) == 8 + 2 + 600 + 5
    assert {file for file, _, _ in found} >= {"s3://bucket/images/sub #1?/0001.png", "s3://bucket/images/film.mp4"}
    assert "14 files, 1 failed, complete" not in e2pose(*command, "-o", "s3://bucket/jobs/none").err
    assert "13 files, 1 failed, complete" in e2pose(*command, "-o", "s3://bucket/jobs/one").err  # continues it


def test_only_missing_shards_are_computed(images, bucket, tiny_model, e2pose):
    command = ("batch", "--model", tiny_model, *ARGUMENTS, "s3://bucket/images/*.png", "-o", "s3://bucket/jobs/two")
    assert e2pose(*command).code == 0
    expected = {name: read_table("bucket/jobs/two", name, filesystem=bucket) for name in ("files", "poses")}
    bucket.delete_file("bucket/jobs/two/files/part-000001.parquet")
    times = {info.path: info.mtime for info in bucket.get_file_info(pyarrow.fs.FileSelector("bucket/jobs/two/files"))}
    assert "8 files, complete" in e2pose(*command).err
    assert {name: read_table("bucket/jobs/two", name, filesystem=bucket) for name in expected} == expected
    after = {info.path: info.mtime for info in bucket.get_file_info(pyarrow.fs.FileSelector("bucket/jobs/two/files"))}
    assert {name: after[name] for name in times} == times


def test_list_and_table_name_objects(images, tiny_model, e2pose, tmp_path):
    names = ["s3://bucket/images/0001.png", "s3://bucket/images/vanished.png", str(images / "0002.png")]
    Path("list.txt").write_text("\n".join(names))
    pa.parquet.write_table(pa.table({"uri": names}), "table.parquet")
    for source in ("@list.txt", "table.parquet"):
        job = f"job-{source[-3:]}"
        assert e2pose("batch", source, "-o", job, "--model", tiny_model, *ARGUMENTS).code == 0
        rows = read_table(job, "files")
        assert [(row["file"], row["persons"], row["error"]) for row in rows] == [
            (names[0], 1, None),
            (names[1], 0, f"there is no file '{names[1]}'"),
            (names[2], 1, None),
        ]


REFUSALS = {
    "missing bucket": (["s3://nobucket/images/"], "there is no file 's3://nobucket/images/'"),
    "missing folder": (["s3://bucket/nothing/"], "there is no file 's3://bucket/nothing/'"),
    "no match": (["s3://bucket/images/*.gif"], "no file matches the pattern"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_unusable_source_is_an_error_with_a_hint(case, images, tiny_model, e2pose):
    arguments, message = REFUSALS[case]
    done = e2pose("batch", *arguments, "-o", "job", "--model", tiny_model)
    assert done.code == 1
    assert message in done.errors[0]
    assert done.hints


def test_unusable_target_is_an_error_with_a_hint(images, tiny_model, e2pose):
    done = e2pose("batch", images, "-o", "s3://nobucket/job", "--model", tiny_model, *ARGUMENTS)
    assert done.code == 1
    assert "cannot write 's3://nobucket/job/manifest/part-00000.parquet'" in done.errors[0]
    assert "check the bucket" in done.hints[0]
