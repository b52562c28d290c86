"""Checks all arguments and results of the package against their type annotations, array shapes included."""

import os
import sys
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy and torch are imported: workers share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

INTEGERS_ARE_FLOATS = BeartypeConf(is_pep484_tower=True)  # as in static type checkers


def check(function):
    """Checks a function with beartype, unless it uses `Self`, which beartype supports in decorated classes only."""
    try:
        return beartype(function, conf=INTEGERS_ARE_FLOATS)
    except BeartypeDecorHintPep673Exception:
        return function


sys.modules["shape_checks"] = sys.modules[__name__]  # the hook takes the name of a module
jaxtyping.install_import_hook("e2pose", "shape_checks.check")


TIMEOUTS_S = {"long": 3600, "slow": 600}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raises the timeout of tests that are marked as slow or long, unless they set their own."""
    for item in items:
        timeout_s = next((timeout_s for mark, timeout_s in TIMEOUTS_S.items() if item.get_closest_marker(mark)), None)
        if timeout_s and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(timeout_s))


@pytest.fixture
def unchecked():
    """Disables the type checks, so that wrong arguments reach the package's own validation."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds one person; its score is the brightness of the image, so a black image has no detections."""
    from helpers.synthetic import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
