"""Checks every array that passes through the package against the shape and type that its signature promises."""

import sys
from pathlib import Path

import jaxtyping
import pytest
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

INTEGERS_ARE_FLOATS = BeartypeConf(is_pep484_tower=True)  # as every static type checker has it


def check(function):
    """Checks a function with beartype, which understands `Self` only in classes that it decorates as a whole."""
    try:
        return beartype(function, conf=INTEGERS_ARE_FLOATS)
    except BeartypeDecorHintPep673Exception:
        return function


sys.modules["shape_checks"] = sys.modules[__name__]  # the hook wants the name of a module
jaxtyping.install_import_hook("e2pose", "shape_checks.check")


@pytest.fixture
def unchecked():
    """Leaves wrong arguments to the package's own validation, as outside of tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose score for its one person is the brightness of the picture: it sees nobody in the dark."""
    from helpers.synthetic import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
