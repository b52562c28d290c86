from dataclasses import replace
from pathlib import Path

import pytest

from e2pose.core.errors import ModelError, OptionError
from e2pose.export import onnx as onnx_export
from e2pose.export.source import SpecOverrides, open_export_source
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.models.weights import save_weights
from helpers.networks import SPEC


def test_onnx_file_is_its_own_reference(onnx_path: Path) -> None:
    with open_export_source(onnx_path) as source:
        assert source.onnx == onnx_path
        assert source.reference.description.startswith("onnxruntime")
        assert source.spec == SPEC


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"overrides": SpecOverrides(name="other")}])
def test_onnx_file_cannot_be_changed(onnx_path: Path, changes: dict[str, object]) -> None:
    with (
        pytest.raises(OptionError, match="of an ONNX file cannot be changed"),
        open_export_source(onnx_path, **changes),
    ):
        pass


def test_weights_are_exported_with_overrides_and_batch_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_weights(tmp_path / "w.safetensors", build_network(NetworkConfig(strides=(32,), width=8), 17), SPEC)
    exported = []
    monkeypatch.setattr(onnx_export, "export_onnx", lambda *args, **options: exported.append((*args, options)))
    overrides = SpecOverrides(name="other")
    with open_export_source(tmp_path / "w.safetensors", overrides=overrides, batch_size=2) as source:
        assert source.spec == replace(SPEC, name="other")
        assert source.reference.description.startswith("torch")
    ((_, spec, path, options),) = exported
    assert (spec, path, options) == (source.spec, source.onnx, {"batch_size": 2})


def test_other_formats_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not from 'small\.xml'"), open_export_source(tmp_path / "small.xml"):
        pass


def test_overrides_replace_given_values_only() -> None:
    for unchanged in (SPEC, replace(SPEC, multiple_of=32)):
        assert SpecOverrides().apply(unchanged) == unchanged
    spec = SpecOverrides("other", (96, 128), 0.3, fixed_input_size=True).apply(SPEC)
    assert (spec.name, spec.input_size_hw, spec.threshold, spec.multiple_of) == ("other", (96, 128), 0.3, None)
    with pytest.raises(ModelError, match="threshold"):
        SpecOverrides(threshold=2.0).apply(SPEC)
