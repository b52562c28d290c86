import os
import sys
import time
from pathlib import Path

import pytest

from e2pose.bench.process import Limits, PeerProcess
from e2pose.core.errors import PeerError
from helpers.peers import write_frames, write_peer

SHORT = Limits(hello_s=20, answer_s=20, end_s=20)
IMPATIENT = Limits(hello_s=1.5, answer_s=0.4, end_s=1)


def start(tmp_path: Path, mode: str, *options: str, limits: Limits = SHORT) -> PeerProcess:
    script = write_peer(tmp_path / "made.py")
    command = [sys.executable, str(script), "--threads", "3", "--mode", mode, *options]
    return PeerProcess(command, threads=3, modules=tmp_path, log=tmp_path / "log", limits=limits)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_peer_from_hello_to_end(tmp_path: Path) -> None:
    frame = write_frames(tmp_path, 1)[0]
    with start(tmp_path, "good") as peer:
        hello = peer.hello()
        assert (hello.name, hello.threads) == ("Made", 3)
        answer, wall_ms = peer.ask(frame.index, frame.path)
        assert answer.poses[0].keypoints[1] == (15, 20, 0.9)
        assert 1 <= answer.ms.network < wall_ms
        assert peer.end() == 12.5


def test_libraries_are_held_to_the_threads_and_see_nothing_of_ours(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    body = "import os, json; print(json.dumps({'error': ' '.join(map(str, map(os.environ.get, NAMES)))}))"
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH"]
    script = write_peer(tmp_path / "made.py", body=f"NAMES = {names}\n{body}")
    command = [sys.executable, str(script)]
    with (
        PeerProcess(command, threads=3, modules=tmp_path, log=tmp_path / "log", limits=SHORT) as peer,
        pytest.raises(PeerError, match=f"^3 3 3 {tmp_path}$"),
    ):
        peer.hello()


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("refuses", "no weights here, sorry"),
        ("stillborn", "it ended before its hello: exit code 1, ImportError: no luck"),
        ("half a hello", "its hello is wrong: licence: Field required"),
    ],
)
def test_peers_that_do_not_say_hello(tmp_path: Path, mode: str, says: str) -> None:
    with start(tmp_path, mode) as peer, pytest.raises(PeerError) as caught:
        peer.hello()
    assert caught.value.message == says


def test_a_mute_peer_is_not_waited_for(tmp_path: Path) -> None:
    with (
        start(tmp_path, "mute", limits=IMPATIENT) as peer,
        pytest.raises(PeerError, match=r"hello did not come within 1.5 s"),
    ):
        peer.hello()


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="it cannot be started: No such file"):
        PeerProcess([str(tmp_path / "none")], threads=1, modules=tmp_path, log=tmp_path / "log", limits=SHORT)


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("crash", "it ended before its answer to frame 1: exit code 3, ValueError: too many people"),
        ("killed", "it ended before its answer to frame 1: by SIGSEGV"),
        ("rubbish", "its answer to frame 1 is not JSON: 'Loading weights... 100%'"),
        ("wrong frame", "it was asked about frame 1 and answered about frame 2"),
        ("few keypoints", "a person has 1 keypoints, but its hello names 2"),
        ("nan", "poses.0.keypoints.1.0: Input should be a finite number"),
        ("text for a number", "poses.0.score: Input should be a valid number"),
        ("lie", "it says that frame 1 took 1000000.0 ms, but its answer came after"),
        ("negative", "ms.network: "),
        ("endless", "its answer to frame 1 is no line: 16777216 bytes without an end"),
        ("chatter", "its answer to frame 1 is not JSON: 'I am done'"),
    ],
)
def test_peers_that_go_wrong_later(tmp_path: Path, mode: str, says: str) -> None:
    first, second = write_frames(tmp_path, 2)
    with start(tmp_path, mode, "--after", "1") as peer:
        peer.hello()
        peer.ask(first.index, first.path)
        with pytest.raises(PeerError) as caught:
            peer.ask(second.index, second.path)
        assert says in caught.value.message
        assert caught.value.message.isprintable()


def test_a_peer_that_hangs_is_ended_with_all_it_has_started(tmp_path: Path) -> None:
    frame = write_frames(tmp_path, 1)[0]
    child = tmp_path / "child"
    with start(tmp_path, "hang", "--child", str(child), limits=Limits(20, 1.0, 1)) as peer:
        peer.hello()
        with pytest.raises(PeerError, match=r"its answer to frame 0 did not come within 1 s"):
            peer.ask(frame.index, frame.path)
        deadline = time.monotonic() + 5
        while is_running(int(child.read_text())) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_running(int(child.read_text()))


def test_a_flood_on_stderr_stops_nobody(tmp_path: Path) -> None:
    frame = write_frames(tmp_path, 1)[0]
    with start(tmp_path, "flood") as peer:
        peer.hello()
        for _ in range(3):
            peer.ask(frame.index, frame.path)
        peer.end()
    assert (tmp_path / "log").stat().st_size > 10_000_000


def test_an_impossible_end(tmp_path: Path) -> None:
    with start(tmp_path, "impossible end") as peer:
        peer.hello()
        with pytest.raises(PeerError, match="its last line is wrong: peak_memory_mb"):
            peer.end()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_paused_peer_stands_still(tmp_path: Path) -> None:
    frame = write_frames(tmp_path, 1)[0]
    with start(tmp_path, "good", limits=Limits(20, 0.3, 1)) as peer:
        peer.hello()
        peer.ask(frame.index, frame.path)
        peer.pause()
        peer.resume()
        peer.ask(frame.index, frame.path)
        peer.pause()
        with pytest.raises(PeerError, match="did not come within"):
            peer.ask(frame.index, frame.path)


def test_nothing_is_left_running(tmp_path: Path) -> None:
    body = "import json, os, time; print(json.dumps({'error': str(os.getpid())}), flush=True); time.sleep(600)"
    script = write_peer(tmp_path / "made.py", body=body)
    with PeerProcess(
        [sys.executable, str(script)], threads=1, modules=tmp_path, log=tmp_path / "log", limits=SHORT
    ) as peer:
        with pytest.raises(PeerError) as caught:
            peer.hello()
        with pytest.raises(ProcessLookupError):
            os.kill(int(caught.value.message), 0)
