"""`e2pose batch` on the processes of one machine: faults, interruptions and refusals."""

import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import e2pose
from helpers.batches import (
    WITH_FAULTS,
    assert_same_results,
    finished_shards,
    read_table,
    start,
    temporary_files,
    write_images,
)
from helpers.synthetic import write_video
from helpers.waiting import wait_until

NUM_IMAGES = 60


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, NUM_IMAGES)
    (folder / "bad.jpg").write_bytes(b"no image")
    write_video(folder / "film.mp4", frames=600, rate=12)  # with key frames at 0, 250 and 500
    return folder


@pytest.fixture(scope="module")
def command(images, tiny_model):
    return ["batch", images, "--model", tiny_model, "--shard", 3, "--segment", 20, "--workers", 2]


def run(*arguments, **options):
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=100)
    assert out == ""
    assert "Traceback" not in err, err
    return process.returncode, err


@pytest.fixture(scope="module")
def reference(command, tmp_path_factory):
    """A job that was not interrupted."""
    job = tmp_path_factory.mktemp("reference") / "job"
    code, err = run(*command, "-o", job, "--max-failed", "2%")
    assert code == 0, err
    return job


def test_every_file_has_a_result(reference, images):
    rows = read_table(reference, "files")
    keys = [(row["id"], row["segment"]) for row in rows]
    assert keys == [(index, 0) for index in range(NUM_IMAGES + 1)] + [(NUM_IMAGES + 1, segment) for segment in range(3)]
    assert [row["file"] for row in rows if row["error"]] == [str(images / "bad.jpg")]
    assert temporary_files(reference) == []


def test_python_reads_the_poses_by_file(reference, images, tmp_path, tiny_model):
    result = e2pose.open_batch(reference)
    found = list(result)
    assert [(Path(file).name, frame) for file, frame, _ in found] == [
        *((f"{index:04d}.png", 0) for index in range(NUM_IMAGES)),
        *(("film.mp4", frame) for frame in range(600)),
    ]
    estimator = e2pose.load(tiny_model)
    for file, _, poses in found[:6]:
        expected = estimator(file)
        assert len(poses) == len(expected) == (0 if Path(file).stem in ("0000", "0003") else 1)
        assert abs(poses.keypoints - expected.keypoints).max(initial=0) <= 0.00501
        assert poses.schema == expected.schema
    film = list(result.files())[-1]
    assert (film.frames, film.persons, film.segment, film.error) == (600, 600, 0, None)


def test_coco_export_equals_that_of_predict(reference, images, tmp_path, tiny_model, predict):
    assert predict(images, "-o", "predicted.json").code == 1  # because of bad.jpg
    e2pose.open_batch(reference).write_coco("exported.json")
    predicted, exported = (json.loads(Path(name).read_text()) for name in ("predicted.json", "exported.json"))
    assert len(exported) == len(predicted) == 640
    for mine, theirs in zip(exported, predicted, strict=True):
        assert mine | {"keypoints": 0, "bbox": 0, "score": 0} == theirs | {"keypoints": 0, "bbox": 0, "score": 0}
        assert mine["keypoints"] == pytest.approx(theirs["keypoints"], abs=0.011)


def kill_during_run(command, job, num_shards):
    """Kills the driver, not its workers, when at least this number of shards is finished; returns those."""
    process = start(*command, "-o", job)
    wait_until(lambda: len(finished_shards(job)) >= num_shards or process.poll() is not None, timeout_s=60)
    process.kill()
    process.communicate()
    return finished_shards(job)


def check_kills(command, reference, job, *, seed, times):
    generator = random.Random(seed)
    total = len(finished_shards(reference))
    before = {}
    for number in range(times):
        before |= kill_during_run(
            command, job, len(before) + generator.randint(0, max(1, (total - len(before)) // (times - number)))
        )
    code, err = run(*command, "-o", job, "--max-failed", "1")
    assert code == 0, err
    after = finished_shards(job)
    assert {name: after[name] for name in before} == before  # were not computed again
    assert_same_results(job, reference)
    assert temporary_files(job) == []


def test_killed_driver_computes_only_what_is_missing(command, reference, tmp_path):
    check_kills(command, reference, tmp_path / "job", seed=0, times=3)


@pytest.mark.long
def test_ten_kills(command, reference, tmp_path):
    for seed in range(1, 4):
        check_kills(command, reference, tmp_path / f"job{seed}", seed=seed, times=10)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups with SIGINT")
def test_ctrl_c_stops_and_the_run_resumes(command, reference, tmp_path):
    job = tmp_path / "job"
    process = start(*command, "-o", job)
    wait_until(lambda: finished_shards(job))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, also to the workers
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert "interrupted; the same command continues it" in err
    assert "Traceback" not in err
    assert temporary_files(job) == []
    assert run(*command, "-o", job, "--max-failed", "1")[0] == 0
    assert_same_results(job, reference)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in the file system")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_the_listing(number, code, tiny_model, tmp_path):
    os.mkfifo(tmp_path / "list.txt")
    process = start("batch", f"@{tmp_path / 'list.txt'}", "-o", tmp_path / "job", "--model", tiny_model)
    with (tmp_path / "list.txt").open("w"):  # until the command reads the list
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (code, f"{tmp_path / 'job'}: interrupted; the same command continues it\n")
    assert not (tmp_path / "job" / "job.json").exists()


def is_running(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists the processes of Linux")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_workers_end_with_their_driver_while_a_file_hangs(number, code, tiny_model, tmp_path):
    hanging = tmp_path / "hang.png"
    os.mkfifo(hanging)
    (tmp_path / "list.txt").write_text(str(hanging))
    process = start("batch", f"@{tmp_path / 'list.txt'}", "-o", tmp_path / "job", "--model", tiny_model, "--workers", 1)
    poses = tmp_path / "job" / "poses"
    wait_until(lambda: poses.is_dir() and any(poses.iterdir()))  # the temporary file of the task
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert any(map(is_running, children))
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == code
    wait_until(lambda: not any(map(is_running, children)), timeout_s=10)
    assert not finished_shards(tmp_path / "job")


@pytest.fixture
def faulty(tmp_path):
    """Images, of which some kill their worker, hang, vanish or cannot be decoded, and the list of them."""
    folder = write_images(tmp_path / "in", 6)
    for name in ("0001-kill", "0002-raise"):
        shutil.copy(folder / "0001.png", folder / f"{name}.png")
    os.mkfifo(folder / "0004-hang.png")  # opening it waits for a writer
    (folder / "0005-bad.png").write_bytes(b"")
    names = sorted([*folder.iterdir(), folder / "0006-vanished.png"], key=lambda path: ("hang" in path.name, path))
    (tmp_path / "list.txt").write_text("\n".join(map(str, names)))
    (tmp_path / "driver.py").write_text(WITH_FAULTS)
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFOs")
def test_files_that_kill_hang_vanish_or_do_not_decode_are_named(faulty, tiny_model):
    arguments = ["--model", tiny_model, "--shard", 5, "--workers", 2, "--timeout", 4]
    code, err = run("batch", f"@{faulty / 'list.txt'}", *arguments, "-o", faulty / "job", script=faulty / "driver.py")
    assert code == 1
    assert "11 files, 5 failed, complete" in err
    errors = {Path(str(row["file"])).stem: row["error"] for row in read_table(faulty / "job", "files")}
    assert len(errors) == 11
    assert {name: error for name, error in errors.items() if error} == {
        "0001-kill": "its worker process ended: signal SIGKILL",
        "0002-raise": "RuntimeError: an unexpected error",
        "0004-hang": "its worker process ended: the time limit was exceeded",
        "0005-bad": f"'{faulty / 'in' / '0005-bad.png'}' is empty: it has 0 bytes",
        "0006-vanished": f"there is no file '{faulty / 'in' / '0006-vanished.png'}'",
    }
    assert [row["persons"] for row in read_table(faulty / "job", "files") if not row["error"]] == [0, 1, 1, 0, 1, 1]


REFUSALS = {
    "other option": (["--shard", "4"], "shard is 4 instead of 3"),
    "other threshold": (["--threshold", "0.2"], "threshold is 0.2 instead of the default"),
    "other input size": (["--input-size", "64", "96"], "input-size is [64, 96] instead of the default"),
    "tracking": (["--track"], "track is True instead of False"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_job_with_other_options_is_refused(case, command, reference, e2pose):
    arguments, message = REFUSALS[case]
    words = command if "--shard" not in arguments else [word for word in command if word not in ("--shard", 3)]
    done = e2pose(*words, "-o", reference, *arguments)
    assert done.code == 2
    assert message in done.errors[0]
    assert done.hints


def test_job_with_another_model_version_or_input_is_refused(command, reference, e2pose, tmp_path, tiny_model):
    job = shutil.copytree(reference, tmp_path / "job")
    done = e2pose("batch", tmp_path, *command[2:], "-o", job)
    assert f"was started without the input '{tmp_path}'" in done.errors[0]
    assert "--extend" in done.hints[0]
    record = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps(record | {"version": "0.0.1"}))
    assert "version is '0.1.0' instead of '0.0.1'" in e2pose(*command, "-o", job).errors[0]
    (job / "job.json").write_text(json.dumps(record | {"model_sha256": "0"}))
    assert f"the model file '{tiny_model}' has changed" in e2pose(*command, "-o", job).errors[0]
    (job / "job.json").write_text("{")
    assert "is not the record of a job" in e2pose(*command, "-o", job).errors[0]


def test_extension_processes_only_new_files(images, tmp_path, tiny_model, e2pose):
    folder = write_images(tmp_path / "in", 4)
    arguments = ["batch", "-o", "job", "--model", tiny_model, "--shard", 3, "--workers", 1]
    assert e2pose(*arguments, folder).code == 0
    before = finished_shards(tmp_path / "job")
    write_images(folder, 6)
    assert "4 files, complete" in e2pose(*arguments, folder).err
    assert "6 files, complete" in e2pose(*arguments, folder, "--extend").err
    after = finished_shards(tmp_path / "job")
    assert {name: after[name] for name in before} == before
    assert [row["id"] for row in read_table("job", "files")] == list(range(6))
    assert "6 files, complete" in e2pose(*arguments, "--extend").err  # nothing new
    assert "6 files, complete" in e2pose(*arguments).err  # no inputs: continues


def test_max_failed_sets_the_exit_code(reference, command, e2pose):
    for value, code in (("0", 1), ("1", 0), ("1%", 1), ("1.6%", 0), ("100%", 0)):  # one of 64
        assert e2pose(*command, "-o", reference, "--max-failed", value).code == code


BAD_COMMANDS = {
    "no job": (["-o", "none"], "there is no job in"),
    "no file": (["missing.jpg", "-o", "job"], "there is no file"),
    "unknown engine": (["a", "-o", "job", "--engine", "spark"], "unknown engine 'spark'"),
    "no workers": (["a", "-o", "job", "--workers", "0"], "--workers must be at least 1, not 0"),
    "no shard": (["a", "-o", "job", "--shard", "0"], "a shard must have at least 1 file, not 0"),
    "no segment": (["a", "-o", "job", "--segment", "0"], "must be above 0 s, not 0"),
    "no time": (["a", "-o", "job", "--timeout", "0"], "the timeout must be above 0 s, not 0"),
    "bad share": (["a", "-o", "job", "--max-failed", "few"], "--max-failed must be a number of files or a percentage"),
    "bad threshold": (["a", "-o", "job", "--threshold", "2"], "the threshold must be between 0 and 1, not 2"),
    "unknown model": (["a", "-o", "job", "--model", "none"], "unknown model 'none'"),
    "output is a file": (["a", "-o", "file"], "'file' is a file"),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_bad_commands_are_errors_with_a_hint(case, e2pose, tmp_path):
    (tmp_path / "file").touch()
    arguments, message = BAD_COMMANDS[case]
    done = e2pose("batch", *arguments)
    assert done.code == (1 if case in ("no file", "unknown model", "output is a file") else 2)
    assert message.replace("'file'", f"'{tmp_path / 'file'}'") in done.errors[0]
    assert done.hints


def test_missing_runtime_is_an_error(images, e2pose, tiny_model):
    done = e2pose("batch", images, "-o", "job", "--model", tiny_model, "--device", "cuda")
    assert done.code == 1
    assert "cuda" in done.errors[0]


def test_second_run_in_the_same_folder_is_refused(command, tmp_path, e2pose):
    job = tmp_path / "job"
    first = start(*command, "-o", job)
    wait_until((job / "job.json").exists)
    first.send_signal(signal.SIGSTOP)
    try:
        assert "another run is writing" in e2pose(*command, "-o", job).errors[0]
    finally:
        first.kill()
        first.send_signal(signal.SIGCONT)
        first.communicate()


@pytest.mark.skipif(not shutil.which("mount") or os.name == "nt", reason="needs a small file system")
def test_full_disk_ends_the_run_with_a_hint(command, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("no permission to mount a small file system")
    try:
        code, err = run(*command, "-o", disk / "job")
        assert code == 1
        assert "No space left on device" in err
        assert "free disk space" in err
        assert temporary_files(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)
