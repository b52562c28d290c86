"""Signals at any moment: every output is complete, and no temporary file is left."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.media import decode_video
from helpers.synthetic import write_video

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")

OUTPUTS = ["drawn.mp4", "drawn.mkv", "poses.json", "poses.jsonl", "poses.csv", "poses.parquet"]
FRAMES = 4000
LIMIT_S = 60
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that is never finished before the signal."""
    return write_video(tmp_path_factory.mktemp("in") / "long.mp4", FRAMES, 25)


def start(folder: Path, video: Path, model: Path) -> subprocess.Popen[str]:
    words = [str(word) for output in OUTPUTS for word in ("-o", output)]
    return subprocess.Popen(
        [sys.executable, "-m", "e2pose", "predict", str(video), "--model", str(model), *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def frames_in(path: Path) -> int:
    """The number of frames in an output, which must be complete."""
    if path.suffix == ".jsonl":
        return len([json.loads(line) for line in path.read_text().splitlines()])
    if path.suffix == ".json":
        return len(json.loads(path.read_text()))
    if path.suffix == ".csv":
        rows = list(csv.reader(path.read_text().splitlines()))
        assert {len(row) for row in rows} == {57}
        return len(rows) - 1
    if path.suffix == ".parquet":
        return pytest.importorskip("pyarrow.parquet").read_table(path).num_rows
    return len(decode_video(path)[0])


def check_outputs(folder: Path) -> int:
    """Checks that all outputs exist and hold the same frames, or that there is no file at all."""
    names = sorted(path.name for path in folder.iterdir())
    assert names in ([], sorted(OUTPUTS))
    counts = {frames_in(folder / name) for name in names}
    assert len(counts) <= 1
    return counts.pop() if counts else 0


def wait_until_written(process: subprocess.Popen[str], folder: Path, num_bytes: int) -> None:
    """Waits until the temporary JSON Lines file exists and has a size."""
    deadline = time.monotonic() + LIMIT_S
    while not any(path.stat().st_size >= num_bytes for path in folder.glob(".poses-*.jsonl")):
        assert process.poll() is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("number", "num_bytes"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 1), (signal.SIGINT, 30_000), (signal.SIGTERM, 300_000)],
)
def test_signal_finishes_every_output(tmp_path: Path, long_video: Path, tiny_model: Path, number, num_bytes) -> None:
    process = start(tmp_path, long_video, tiny_model)
    wait_until_written(process, tmp_path, num_bytes)
    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == CODES[number], err
    assert "Traceback" not in err
    written = check_outputs(tmp_path)
    assert written < FRAMES
    if num_bytes > 0:
        assert written > 0


def test_second_signal_leaves_no_temporary_file(tmp_path: Path, long_video: Path, tiny_model: Path) -> None:
    process = start(tmp_path, long_video, tiny_model)
    wait_until_written(process, tmp_path, 30_000)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == CODES[signal.SIGINT], err
    assert "Traceback" not in err
    check_outputs(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_signal_at_a_random_moment(tmp_path: Path, long_video: Path, tiny_model: Path, seed: int) -> None:
    generator = random.Random(seed)
    number = generator.choice(list(CODES))
    process = start(tmp_path, long_video, tiny_model)
    time.sleep(generator.uniform(0, 4))  # any phase will do, including the start of the interpreter
    process.send_signal(number)
    _, err = process.communicate(timeout=2 * LIMIT_S)
    written = check_outputs(tmp_path)
    # While the interpreter starts, it handles the signal itself.
    assert process.returncode == CODES[number] or (written == 0 and process.returncode != 0), err
