from pathlib import Path

import pytest

from e2pose.export.source import ExportSource
from e2pose.runtimes.torch import TorchRuntime
from helpers.networks import SPEC, two_layer_network, two_layer_onnx


@pytest.fixture(scope="session")
def onnx_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two-layer network as an ONNX file."""
    path = tmp_path_factory.mktemp("source") / "small.onnx"
    path.write_bytes(two_layer_onnx("f32"))
    return path


@pytest.fixture
def source(onnx_path: Path) -> ExportSource:
    return ExportSource(onnx_path, TorchRuntime(two_layer_network(), SPEC))
