"""Signals at any moment: every output plays and parses, and no temporary file is left."""

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

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals of this kind")

OUTPUTS = ["drawn.mp4", "drawn.mkv", "poses.json", "poses.jsonl", "poses.csv", "poses.parquet"]
FRAMES = 4000
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that takes much longer than any test waits."""
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
    """How many frames there are in an output, which must be whole."""
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
    """Checks that all outputs are there and hold the same frames, or that there is none at all."""
    found = sorted(path.name for path in folder.iterdir())
    assert found in ([], sorted(OUTPUTS))
    counts = {frames_in(folder / name) for name in found}
    assert len(counts) <= 1
    return counts.pop() if counts else 0


def wait_for_files(process: subprocess.Popen[str], folder: Path) -> None:
    while not any(folder.glob(".poses-*")):
        assert process.poll() is None, process.stderr
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "wait_s"),
    [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.15), (signal.SIGINT, 0.5), (signal.SIGTERM, 1.0)],
)
def test_a_signal_finishes_every_output(tmp_path: Path, long_video: Path, tiny_model: Path, number, wait_s) -> None:
    process = start(tmp_path, long_video, tiny_model)
    wait_for_files(process, tmp_path)
    time.sleep(wait_s)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == CODES[number], err
    assert "Traceback" not in err
    assert check_outputs(tmp_path) < FRAMES


def test_a_second_signal_leaves_no_temporary_file(tmp_path: Path, long_video: Path, tiny_model: Path) -> None:
    process = start(tmp_path, long_video, tiny_model)
    wait_for_files(process, tmp_path)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == CODES[signal.SIGINT], err
    assert "Traceback" not in err
    check_outputs(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_a_signal_at_a_random_moment(tmp_path: Path, long_video: Path, tiny_model: Path, seed: int) -> None:
    chance = random.Random(seed)
    number = chance.choice(list(CODES))
    process = start(tmp_path, long_video, tiny_model)
    time.sleep(chance.uniform(0, 4))  # from before its first line on
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    written = check_outputs(tmp_path)
    # The interpreter itself answers while it is starting.
    assert process.returncode == CODES[number] or (written == 0 and process.returncode != 0), err
