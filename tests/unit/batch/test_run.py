"""Runs of jobs that cannot continue, with a tiny model."""

import json
import os
import shutil
from pathlib import Path

import pytest

from e2pose.batch.options import BatchOptions, EngineOptions
from e2pose.batch.reader import open_batch
from e2pose.batch.run import BatchRun
from e2pose.core.errors import E2PoseError, InputError, OptionError
from helpers.synthetic import write_image


def make_run(tiny_model, job, *inputs, **options):
    return BatchRun(
        list(map(str, inputs)), str(job), BatchOptions(str(tiny_model)), EngineOptions(workers=1), **options
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_model):
    """A finished job with one image."""
    folder = tmp_path_factory.mktemp("finished")
    write_image(folder / "in" / "white.png", (40, 60))
    assert make_run(tiny_model, folder / "job", folder / "in").run().is_successful
    return folder / "job"


def change_record(job, **changes):
    record = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps(record | changes))


def truncate_table(job):
    os.truncate(job / "files" / "part-000000.parquet", 50)


DAMAGES = {
    "no files listed": (lambda job: change_record(job, parts=[]), "is not the record of a job: it lists no files"),
    "options are text": (lambda job: change_record(job, options="fast"), "is not the record of a job"),
    "part is a number": (lambda job: change_record(job, parts=[1]), "is not the record of a job"),
    "record is a list": (lambda job: (job / "job.json").write_text("[]"), "is not the record of a job"),
    "record is not text": (lambda job: (job / "job.json").write_bytes(b"\xff"), "is not the record of a job"),
    "truncated table": (truncate_table, "cannot read the results in"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_job_is_an_error_with_a_hint(case, finished, tmp_path, tiny_model):
    damage, message = DAMAGES[case]
    job = shutil.copytree(finished, tmp_path / "job")
    damage(job)
    with pytest.raises(E2PoseError, match=message) as caught:
        make_run(tiny_model, job).run()
    assert caught.value.hint


def test_hint_for_a_missing_table_of_poses_repairs_the_job(finished, tmp_path, tiny_model):
    job = shutil.copytree(finished, tmp_path / "job")
    (job / "poses" / "part-000000.parquet").unlink()
    with pytest.raises(InputError, match="cannot read") as caught:
        list(open_batch(job))
    assert "delete 'files/part-000000.parquet'" in caught.value.hint
    (job / "files" / "part-000000.parquet").unlink()
    assert make_run(tiny_model, job).run().is_complete
    assert [len(poses) for _, _, poses in open_batch(job)] == [1]


def test_list_without_files_is_an_error(tmp_path, tiny_model):
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(InputError, match="the inputs contain no files"):
        make_run(tiny_model, tmp_path / "job", f"@{tmp_path / 'list.txt'}").run()
    assert not (tmp_path / "job" / "job.json").exists()


def test_missing_job_creates_no_folder(tmp_path, tiny_model):
    with pytest.raises(OptionError, match="there is no job in"):
        make_run(tiny_model, tmp_path / "job").run()
    assert not (tmp_path / "job").exists()


def test_ctrl_c_ends_the_listing(tmp_path, tiny_model):
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\n")
    job = tmp_path / "job"
    run = make_run(tiny_model, job, f"@{tmp_path / 'list.txt'}", on_progress=lambda _: run.stop())
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert not (job / "job.json").exists()
    assert list((job / "manifest").iterdir()) == []
    assert not make_run(tiny_model, job, f"@{tmp_path / 'list.txt'}").run().is_successful  # no lock remains


@pytest.mark.skipif(os.name == "nt" or not Path("/proc").exists(), reason="other systems accept Unicode names only")
def test_names_that_are_not_utf8_are_processed(tmp_path, tiny_model):
    write_image(tmp_path / "in" / "white.png", (40, 60)).rename(tmp_path / "in" / "w\udcfc.png")
    assert make_run(tiny_model, tmp_path / "job", tmp_path / "in").run().is_successful
    (row,) = open_batch(tmp_path / "job").files()
    assert (row.file, row.persons) == (str(tmp_path / "in" / r"w\udcfc.png"), 1)
