import os
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from e2pose.bench import process
from e2pose.bench.process import Limits, PeerProcess
from e2pose.core.errors import PeerError
from helpers.peers import write_frames, write_peer

GENEROUS = Limits(handshake_s=60, response_s=60, result_s=60)


def start(tmp_path: Path, mode: str, *options: str, limits: Limits = GENEROUS) -> closing[PeerProcess]:
    return start_script(write_peer(tmp_path / "fake.py"), "--mode", mode, *options, limits=limits)


def start_script(script: Path, *options: str, limits: Limits = GENEROUS) -> closing[PeerProcess]:
    command = [sys.executable, str(script), "--threads", "3", *options]
    return closing(PeerProcess(command, threads=3, modules=script.parent, log=script.parent / "log", limits=limits))


def state_of(pid: int) -> str:
    """State letter of a process, such as S (sleeping) or T (stopped); X if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"


def wait_until(condition) -> None:
    """Waits for a condition; the limit only protects from hanging."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_handshake_response_and_result(tmp_path: Path) -> None:
    frame = write_frames(tmp_path, 1)[0]
    with start(tmp_path, "good") as peer:
        handshake = peer.receive_handshake()
        assert (handshake.name, handshake.threads) == ("Fake", 3)
        response, wall_ms = peer.estimate(frame.index, frame.path)
        assert response.poses[0].keypoints[1] == (15, 20, 0.9)
        assert response.ms.total == 0.01 < wall_ms
        assert peer.stop().peak_memory_mb == 12.5


def test_wall_time_is_measured_in_milliseconds(tmp_path: Path, monkeypatch) -> None:
    frame = write_frames(tmp_path, 1)[0]
    with start(tmp_path, "good", "--network-ms", "250.5") as peer:
        peer.receive_handshake()
        monkeypatch.setattr(process, "perf_counter", iter([10.0, 10.25, 20.0, 20.249]).__next__)
        response, wall_ms = peer.estimate(frame.index, frame.path)
        assert (response.ms.total, wall_ms) == (250.5, 250), "within the tolerance of 1 ms"
        with pytest.raises(PeerError, match=r"claims 250.5 ms, but arrived after 249.0 ms"):
            peer.estimate(frame.index, frame.path)


def test_environment_limits_threads_and_hides_python_path(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH"]
    body = f"NAMES = {names}\nimport os, json; print(json.dumps({{'error': ' '.join(map(os.environ.get, NAMES))}}))"
    with (
        start_script(write_peer(tmp_path / "fake.py", body=body)) as peer,
        pytest.raises(PeerError, match=f"^3 3 3 {tmp_path}$"),
    ):
        peer.receive_handshake()


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("load error", "no weights here, sorry"),
        ("exit at start", "the process ended before the handshake: exit code 1, ImportError: no luck"),
        ("incomplete handshake", "the handshake is invalid: licence: Field required"),
    ],
)
def test_failed_handshake_is_reported(tmp_path: Path, mode: str, message: str) -> None:
    with start(tmp_path, mode) as peer, pytest.raises(PeerError) as caught:
        peer.receive_handshake()
    assert caught.value.message == message


def test_late_handshake_is_reported(tmp_path: Path) -> None:
    with (
        start(tmp_path, "silent", limits=Limits(handshake_s=0.1)) as peer,
        pytest.raises(PeerError, match=r"handshake did not arrive within 0.1 s"),
    ):
        peer.receive_handshake()


def test_missing_program_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="cannot be started: No such file"):
        PeerProcess([str(tmp_path / "none")], threads=1, modules=tmp_path, log=tmp_path / "log", limits=GENEROUS)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("crash", "the process ended before the response to frame 1: exit code 3, ValueError: too many persons"),
        ("killed", "the process ended before the response to frame 1: signal SIGSEGV"),
        ("text", "the response to frame 1 is not JSON: 'Loading weights... 100%'"),
        ("wrong frame", "the response to frame 1 is about frame 2"),
        ("few keypoints", "a person has 1 keypoints, but the handshake names 2"),
        ("nan", "poses.0.keypoints.1.0: Input should be a finite number"),
        ("score as text", "poses.0.score: Input should be a valid number"),
        ("impossible time", "the response to frame 1 claims 1000000.0 ms, but arrived after"),
        ("negative time", "ms.network: "),
        ("endless line", "the response to frame 1 is not a line: 16777216 bytes without a line break"),
        ("additional line", "the response to frame 1 is not JSON: 'I am done'"),
        ("many lines", "the response to frame 1 is not JSON: 'I am done'"),
    ],
)
def test_failed_response_is_reported_and_ends_the_peer(tmp_path: Path, mode: str, message: str) -> None:
    first, second = write_frames(tmp_path, 2)
    with start(tmp_path, mode, "--after", "1") as peer:
        peer.receive_handshake()
        peer.estimate(first.index, first.path)
        with pytest.raises(PeerError) as caught:
            peer.estimate(second.index, second.path)
        assert message in caught.value.message
        assert caught.value.message.isprintable()
        assert peer._process.returncode is not None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="requires /proc")
def test_late_response_kills_the_peer_and_its_children(tmp_path: Path) -> None:
    frame = write_frames(tmp_path, 1)[0]
    child = tmp_path / "child"
    with start(tmp_path, "hang", "--child", str(child), limits=Limits(60, 3, 60)) as peer:
        peer.receive_handshake()
        with pytest.raises(PeerError, match=r"the response to frame 0 did not arrive within 3 s"):
            peer.estimate(frame.index, frame.path)
        wait_until(lambda: state_of(int(child.read_text())) in "ZX")


def test_output_on_stderr_does_not_block_the_peer(tmp_path: Path) -> None:
    frame = write_frames(tmp_path, 1)[0]
    with start(tmp_path, "much stderr") as peer:
        peer.receive_handshake()
        for _ in range(3):
            peer.estimate(frame.index, frame.path)
        peer.stop()
    assert (tmp_path / "log").stat().st_size > 10_000_000


def test_invalid_result_is_reported(tmp_path: Path) -> None:
    with start(tmp_path, "invalid result") as peer:
        peer.receive_handshake()
        with pytest.raises(PeerError, match="the result message is invalid: peak_memory_mb"):
            peer.stop()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="requires /proc")
def test_pause_stops_the_peer_and_resume_continues_it(tmp_path: Path) -> None:
    frame = write_frames(tmp_path, 1)[0]
    with start(tmp_path, "good") as peer:
        peer.receive_handshake()
        peer.pause()
        wait_until(lambda: state_of(peer._process.pid) == "T")
        peer.resume()
        peer.estimate(frame.index, frame.path)


def test_error_message_leaves_no_process(tmp_path: Path) -> None:
    body = "import json, os, time; print(json.dumps({'error': str(os.getpid())}), flush=True); time.sleep(600)"
    with start_script(write_peer(tmp_path / "fake.py", body=body)) as peer:
        with pytest.raises(PeerError) as caught:
            peer.receive_handshake()
        with pytest.raises(ProcessLookupError):
            os.kill(int(caught.value.message), 0)
