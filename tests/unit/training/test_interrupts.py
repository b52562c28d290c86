import os
import signal
import threading

import pytest
import torch

from e2pose.core.errors import TrainingError
from e2pose.training.interrupts import StopRequest, exit_by_signal, explained_errors
from e2pose.training.recipe import load_recipe
from helpers.training_runs import write_recipe


@pytest.fixture
def recipe(tmp_path):
    return load_recipe(write_recipe(tmp_path, tmp_path, steps=5), ["optim.batch_size=16", "optim.accumulate=2"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "8 images of 96x96"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "8 images of 96x96"),
        (MemoryError(), "out of memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "data loader process died"),
    ],
)
def test_exhausted_resources_are_explained(recipe, error, message):
    with pytest.raises(TrainingError, match=message) as failure, explained_errors(recipe):
        raise error
    assert "--resume" in failure.value.hint


def test_other_errors_are_raised_unchanged(recipe):
    with pytest.raises(RuntimeError, match="shapes do not fit"), explained_errors(recipe):
        raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_recorded_and_the_second_has_its_usual_effect(number):
    usual = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.signal == 0
        os.kill(os.getpid(), number)
        assert stop.signal == number
        assert signal.getsignal(number) is usual
    assert signal.getsignal(number) is usual


def test_signals_keep_their_effect_in_other_threads():
    usual, found = signal.getsignal(signal.SIGINT), []

    def work():
        with StopRequest():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [usual]


def test_program_ends_as_the_signal_would_end_it():
    with pytest.raises(KeyboardInterrupt):
        exit_by_signal(signal.SIGINT)
    with pytest.raises(SystemExit) as end:
        exit_by_signal(signal.SIGTERM)
    assert end.value.code == 143
