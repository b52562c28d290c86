import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from e2pose.bench import runner
from e2pose.bench.environment import Environment
from e2pose.bench.options import BenchOptions
from e2pose.bench.peer_script import PeerRequest
from e2pose.bench.process import Limits, PeerProcess
from e2pose.bench.runner import rotate, run_round_robin
from e2pose.core.errors import OptionError
from helpers.peers import fake_script, write_frames

LIMITS = Limits(handshake_s=60, response_s=60, result_s=60)


@pytest.fixture
def compare(tmp_path: Path):
    """Returns a function that compares fake peers, given as names with options."""
    script = fake_script(tmp_path)
    environment = Environment(Path(sys.executable), tmp_path, 1.0)

    def compare(peers, images, *, rounds=1, warm_up=0, **callbacks):
        prepared = [
            (PeerRequest(name, script, (("name", name), *options.items())), environment)
            for name, options in peers.items()
        ]
        options = BenchOptions(rounds=rounds, warm_up=warm_up, threads=1)
        return run_round_robin(prepared, images, tmp_path, options, limits=LIMITS, **callbacks)

    return compare


def test_peers_take_turns_on_all_images(compare, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "FRAMES_PER_TURN", 2)
    monkeypatch.setattr(runner, "SCENE_REPEATS", 2)
    log = tmp_path / "requests"
    frames = write_frames(tmp_path, 4)
    images = [*frames[:3], replace(frames[3], num_persons=5)]
    totals = []
    peers = {name: {"requests": str(log)} for name in "ab"}
    runs, failures = compare(peers, images, rounds=2, warm_up=1, on_turn=totals.append)
    assert failures == {}
    requests = [line.split() for line in log.read_text().splitlines()]
    assert requests[:2] == [["a", "0"], ["b", "0"]], "each peer processes a frame when it starts"
    turns = [["0", "0", "1"], ["2", "2"], ["3", "3", "3"]] * 2  # the first request of each is the warm-up
    expected = []
    for number, turn in enumerate(turns):
        for name in ("ab", "ba")[number % 2]:
            expected += [[name, frame] for frame in turn]
    assert requests[2:] == [*expected, ["a", "stop"], ["b", "stop"]]
    assert totals == [12] * 12
    for run in runs:
        assert run.timings.total_ms.shape == (2, 3)
        assert {key: times.shape for key, times in run.timings.scenes_ms.items()} == {5: (2, 2)}
        assert sorted(run.poses) == [0, 1, 2], "poses of scenes are not kept"
        assert (run.peak_memory_mb, run.handshake.name) == (12.5, run.request.label)
        assert 0 < run.startup_s < 60


def test_times_belong_to_their_frame_and_round_without_warm_up(compare, tmp_path: Path, monkeypatch) -> None:
    """Each request gets the next times: network n, total 10 n, wall 100 n."""
    counts = Counter()
    estimate = PeerProcess.estimate

    def numbered(self, frame, path):
        response, _ = estimate(self, frame, path)
        counts[self] += 1
        times = response.ms.model_copy(
            update={"preprocess": 4.0 * counts[self], "network": 1.0 * counts[self], "postprocess": 5.0 * counts[self]}
        )
        return response.model_copy(update={"ms": times}), 100.0 * counts[self]

    monkeypatch.setattr(PeerProcess, "estimate", numbered)
    monkeypatch.setattr(runner, "SCENE_REPEATS", 2)
    frames = write_frames(tmp_path, 3)
    images = [*frames[:2], replace(frames[2], num_persons=5)]
    ((run,), _) = compare({"a": {}}, images, rounds=2, warm_up=1)
    # Requests: 1 at the start; per round 1 warm-up, 2 frames, 1 warm-up, 2 repeats of the scene.
    assert run.timings.network_ms.tolist() == [[3, 4], [9, 10]]
    assert run.timings.total_ms.tolist() == [[30, 40], [90, 100]]
    assert run.timings.wall_ms.tolist() == [[300, 400], [900, 1000]]
    assert run.timings.scenes_ms[5].tolist() == [[60, 70], [120, 130]]


def test_other_peers_are_paused_during_a_turn(compare, tmp_path: Path, monkeypatch) -> None:
    running = set()
    pause, resume, estimate = PeerProcess.pause, PeerProcess.resume, PeerProcess.estimate
    monkeypatch.setattr(PeerProcess, "pause", lambda self: (running.discard(self), pause(self)))
    monkeypatch.setattr(PeerProcess, "resume", lambda self: (running.add(self), resume(self)))

    def estimate_alone(self, frame, path):
        running.add(self)  # a peer also runs before its first turn
        assert running == {self}
        return estimate(self, frame, path)

    monkeypatch.setattr(PeerProcess, "estimate", estimate_alone)
    results, _ = compare({"a": {}, "b": {}, "c": {}}, write_frames(tmp_path, 2), rounds=2)
    assert len(results) == 3


def test_random_weights_skip_frames_after_the_first_turn(compare, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "FRAMES_PER_TURN", 2)
    frames = write_frames(tmp_path, 6)
    images = [*frames[:5], replace(frames[5], num_persons=5)]
    trained, random = compare({"trained": {}, "random": {"mode": "random"}}, images, rounds=3)[0]
    assert (trained.timings.total_ms.shape, random.timings.total_ms.shape) == ((3, 5), (3, 2))
    assert list(random.poses) == [0, 1]
    assert random.timings.scenes_ms.keys() == trained.timings.scenes_ms.keys() == {5}


def test_failed_peers_are_dropped_and_the_others_continue(compare, tmp_path: Path) -> None:
    peers = {
        "load": {"mode": "load error"},
        "first": {},
        "crash": {"mode": "crash", "after": "2"},
        "time": {"mode": "impossible time", "after": "1"},
        "last": {},
        "result": {"mode": "invalid result"},
    }
    runs, failures = compare(peers, write_frames(tmp_path, 3), rounds=2, warm_up=1)
    assert [run.request.label for run in runs] == ["first", "last"]
    assert all(run.timings.total_ms.shape == (2, 3) for run in runs)
    assert failures.keys() == {"load", "crash", "time", "result"}
    assert failures["load"] == "no weights here, sorry"
    assert "exit code 3, ValueError: too many persons" in failures["crash"]
    assert "1000000.0 ms" in failures["time"]


def test_all_peers_can_fail(compare, tmp_path: Path) -> None:
    runs, failures = compare({"a": {"mode": "load error"}}, write_frames(tmp_path, 1))
    assert (runs, len(failures)) == ([], 1)


def test_rotation_gives_each_peer_the_first_place_equally_often() -> None:
    first = Counter(rotate(["a", "b", "c"], turn)[0] for turn in range(9))
    assert first == {"a": 3, "b": 3, "c": 3}
    assert rotate(["a", "b", "c"], 4) == ["b", "c", "a"]
    assert rotate([], 3) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 0}, "--frames must be at least 1, not 0"),
        ({"rounds": 0}, "--rounds must be at least 1, not 0"),
        ({"warm_up": -1}, "--warm-up must be at least 0, not -1"),
        ({"threads": 0}, "--threads must be at least 1, not 0"),
    ],
)
def test_options_out_of_range_are_rejected(changes, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        BenchOptions(**changes)
