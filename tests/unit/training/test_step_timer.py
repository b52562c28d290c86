import pytest
import torch

from e2pose.training.profile import StepProfile
from e2pose.training.step_timer import PHASES, StepTimer


def test_time_is_added_to_the_current_phase_and_pauses_are_excluded(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("e2pose.training.step_timer.perf_counter", lambda: now[0])
    timer = StepTimer(torch.device("cpu"))
    for phase, seconds in (("forward", 2), (None, 10), ("waiting", 1), ("forward", 0.5)):
        timer.start(phase)
        now[0] += seconds
    timer.start(None)
    now[0] += 1
    assert timer.seconds == {**dict.fromkeys(PHASES, 0.0), "forward": 2.5, "waiting": 1}
    timer.reset()
    timer.start("forward")
    assert timer.seconds == dict.fromkeys(PHASES, 0.0)


def test_profile_is_formatted_as_a_table():
    table = StepProfile({"forward": 2.0, "waiting": 1.0}, batch_size=6).format_table()
    lines = [line.split() for line in table.splitlines()]
    assert lines == [
        ["forward", "2000.0", "ms", "66.7%"],
        ["waiting", "1000.0", "ms", "33.3%"],
        ["step", "3000.0", "ms"],
        ["2.0", "images/s"],
    ]


@pytest.mark.parametrize(("exact", "expected"), [(True, [torch.device("cuda")]), (False, [])])
def test_exact_timing_waits_for_the_gpu_at_the_end_of_a_phase(monkeypatch, exact, expected):
    waits = []
    monkeypatch.setattr("torch.cuda.synchronize", waits.append)
    timer = StepTimer(torch.device("cuda"), exact=exact)
    timer.start("forward")
    waits.clear()
    timer.start(None)
    assert waits == expected
