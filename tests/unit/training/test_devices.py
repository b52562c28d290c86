import os

import pytest

from e2pose.core.errors import OptionError, RuntimeChoiceError
from e2pose.training import devices
from e2pose.training.devices import launch, open_fabric
from e2pose.training.recipe import load_recipe
from helpers.training_runs import write_recipe


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Returns the recipe of the tests with changes, on a machine without GPU."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    path = write_recipe(tmp_path, tmp_path, steps=5)
    return lambda *overrides: load_recipe(path, overrides)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("device=cuda", RuntimeChoiceError, "1 x 'cuda', but torch finds 0"),
        ("device=mps", RuntimeChoiceError, "1 x 'mps', but torch finds 0"),
        ("optim.precision=f16", OptionError, "'f16'"),
    ],
)
def test_unavailable_device_or_precision_is_rejected(load, change, error, message):
    with pytest.raises(error, match=message) as failure:
        open_fabric(load(change))
    assert failure.value.hint


def test_auto_selects_the_cpu_without_a_gpu(load):
    assert open_fabric(load("device=auto")).device.type == "cpu"


def test_single_process_runs_in_the_current_one(load):
    assert launch(load(), lambda fabric: (fabric.world_size, os.getpid())) == (1, os.getpid())


def test_glibc_keeps_freed_memory(monkeypatch):
    calls = []

    class Library:
        def __init__(self, name):
            self.mallopt = lambda option, value: calls.append((option, value))

    monkeypatch.setattr(devices.ctypes, "CDLL", Library)
    devices.keep_freed_memory()
    assert (-4, 0) in calls  # M_MMAP_MAX: never map blocks separately
    assert (-1, -1) in calls  # M_TRIM_THRESHOLD: never return memory


def raise_os_error(name):
    raise OSError(name)


@pytest.mark.parametrize("library", [raise_os_error, lambda name: object()], ids=["none", "another"])
def test_other_c_libraries_are_left_alone(library, monkeypatch):
    monkeypatch.setattr(devices.ctypes, "CDLL", library)
    devices.keep_freed_memory()
