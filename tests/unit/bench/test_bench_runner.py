import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from e2pose.bench import runner
from e2pose.bench.environment import Environment
from e2pose.bench.peer_script import PeerRequest
from e2pose.bench.process import Limits
from e2pose.bench.runner import Failure, Pace, compare, rotated
from e2pose.core.errors import OptionError
from helpers.peers import made_script, write_frames

ONCE = Pace(rounds=1, warm_up=0, threads=1)
LIMITS = Limits(hello_s=20, answer_s=5, end_s=5)


@pytest.fixture
def hold(tmp_path: Path):
    """Compares made peers, each given by its options."""
    script = made_script(tmp_path)
    environment = Environment(Path(sys.executable), tmp_path, 1.0)

    def hold(peers, pictures, pace=ONCE, **others):
        prepared = [
            (PeerRequest(name, script, (("name", name), *options.items())), environment)
            for name, options in peers.items()
        ]
        return compare(prepared, pictures, tmp_path, pace=pace, limits=LIMITS, **others)

    return hold


def test_everybody_is_asked_about_everything_in_turn(hold, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "TURN", 2)
    monkeypatch.setattr(runner, "SCENE_REPEATS", 2)
    diary = tmp_path / "diary"
    frames = write_frames(tmp_path, 4)
    pictures = [*frames[:3], replace(frames[3], people=5)]
    turns = []
    peers = {name: {"diary": str(diary)} for name in "ab"}
    runs, failures = hold(peers, pictures, Pace(rounds=2, warm_up=1, threads=1), on_turn=turns.append)
    assert failures == []
    asked = [line.split() for line in diary.read_text().splitlines()]
    assert asked[:2] == [["a", "0"], ["b", "0"]], "each starts and answers once"
    portions = [["0", "0", "1"], ["2", "2"], ["3", "3", "3"]] * 2  # the first of each does not count
    expected = []
    for number, portion in enumerate(portions):
        for name in ("ab", "ba")[number % 2]:
            expected += [[name, frame] for frame in portion]
    assert asked[2:] == [*expected, ["a", "end"], ["b", "end"]]
    assert turns == [12] * 12
    for run in runs:
        assert run.timings.total_ms.shape == (2, 3)
        assert {people: times.shape for people, times in run.timings.scenes_ms.items()} == {5: (2, 2)}
        assert sorted(run.poses) == [0, 1, 2], "scenes have no answers worth keeping"
        assert (run.peak_memory_mb, run.hello.name) == (12.5, run.request.label)
        assert 0 < run.startup_s < 20


def test_times_are_those_of_their_frame_and_round(hold, tmp_path: Path) -> None:
    quick, slow = hold({"quick": {"sleep": "0.001"}, "slow": {"sleep": "0.03"}}, write_frames(tmp_path, 2))[0]
    assert slow.timings.p50_ms >= 30
    assert slow.timings.p50_ms > 2 * quick.timings.p50_ms
    assert (slow.timings.wall_ms > slow.timings.total_ms).all()


def test_random_weights_are_not_asked_about_everything(hold, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "TURN", 2)
    frames = write_frames(tmp_path, 6)
    pictures = [*frames[:5], replace(frames[5], people=5)]
    learned, random = hold({"learned": {}, "random": {"mode": "random"}}, pictures, Pace(3, 0, 1))[0]
    assert (learned.timings.total_ms.shape, random.timings.total_ms.shape) == ((3, 5), (3, 2))
    assert list(random.poses) == [0, 1]
    assert random.timings.scenes_ms.keys() == learned.timings.scenes_ms.keys() == {5}


def test_whoever_goes_wrong_is_left_out_and_the_rest_goes_on(hold, tmp_path: Path) -> None:
    peers = {
        "mute": {"mode": "refuses"},
        "first": {},
        "crash": {"mode": "crash", "after": "2"},
        "lie": {"mode": "lie", "after": "1"},
        "last": {},
        "end": {"mode": "impossible end"},
    }
    runs, failures = hold(peers, write_frames(tmp_path, 3), Pace(2, 1, 1))
    assert [run.request.label for run in runs] == ["first", "last"]
    assert all(run.timings.total_ms.shape == (2, 3) for run in runs)
    assert [failure.label for failure in failures] == ["mute", "crash", "lie", "end"]
    assert failures[0] == Failure("mute", "no weights here, sorry")
    assert "exit code 3, ValueError: too many people" in failures[1].reason
    assert "1000000.0 ms" in failures[2].reason


def test_nobody_may_be_left(hold, tmp_path: Path) -> None:
    runs, failures = hold({"a": {"mode": "refuses"}}, write_frames(tmp_path, 1))
    assert (runs, len(failures)) == ([], 1)


def test_everybody_begins_equally_often() -> None:
    first = Counter(rotated(["a", "b", "c"], turn)[0] for turn in range(9))
    assert first == {"a": 3, "b": 3, "c": 3}
    assert rotated(["a", "b", "c"], 4) == ["b", "c", "a"]
    assert rotated([], 3) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rounds": 0}, "--rounds must be at least 1, not 0"),
        ({"warm_up": -1}, "--warm-up"),
        ({"threads": 0}, "--threads"),
    ],
)
def test_paces_that_make_no_sense(changes, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Pace(**changes)
