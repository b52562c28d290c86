from dataclasses import replace
from pathlib import Path

import pytest

from e2pose.core.errors import ModelError, OptionError
from e2pose.export.source import ExportSource
from e2pose.runtimes.torch import TorchRuntime
from helpers.fake_gpu import tensorrt_installed
from helpers.networks import SPEC, noise, two_layer_network

IMAGES = list(noise(12, (80, 70)))


def test_engine_is_verified_and_carries_the_spec(source: ExportSource, tmp_path: Path) -> None:
    with tensorrt_installed() as fake_tensorrt:
        from e2pose.export import tensorrt
        from e2pose.runtimes.tensorrt import TensorRtRuntime

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tensorrt, "tensorrt", fake_tensorrt)
            tensorrt.export_tensorrt(source, tmp_path / "small.engine", images=IMAGES)
            assert TensorRtRuntime(tmp_path / "small.engine").spec == SPEC
            cropped = ExportSource(source.onnx, TorchRuntime(two_layer_network(), replace(SPEC, multiple_of=32)))
            tensorrt.export_tensorrt(cropped, tmp_path / "exact.engine", precision="f32", images=IMAGES)
            runtime = TensorRtRuntime(tmp_path / "exact.engine")
            assert runtime.spec == SPEC, "an engine has one input size"
            assert runtime.description.endswith(" in f32")
            network = two_layer_network()
            network.head.output.bias.data += 1
            other = ExportSource(source.onnx, TorchRuntime(network, SPEC))
            with pytest.raises(ModelError, match=r"deviates from its network .* at least 0\.97$"):
                tensorrt.export_tensorrt(other, tmp_path / "bad.engine", images=IMAGES)
            with pytest.raises(OptionError, match=r"must end in \.engine"):
                tensorrt.export_tensorrt(source, tmp_path / "small.onnx")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["exact.engine", "small.engine"]
