"""The source of an export: a model as an ONNX file, and a reference for verification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from e2pose.core.errors import ModelError, OptionError
from e2pose.core.spec import ModelSpec
from e2pose.runtimes.base import Runtime
from e2pose.runtimes.onnxruntime import OnnxRuntime

if TYPE_CHECKING:
    from e2pose.models.paper import E2Pose


@dataclass(frozen=True)
class SpecOverrides:
    """Values of the exported spec that replace those of the weights; None keeps a value.

    Args:
        name: Name of the model.
        input_size_hw: Height and width of the network's input in pixels.
        threshold: Minimum score of a person.
        fixed_input_size: Never crop the letterboxed input.
    """

    name: str | None = None
    input_size_hw: tuple[int, int] | None = None
    threshold: float | None = None
    fixed_input_size: bool = False

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """Returns a spec with the replaced values.

        Raises:
            ModelError: A value is out of range.
        """
        values = {name: getattr(self, name) for name in ("name", "input_size_hw", "threshold")}
        given = {name: value for name, value in values.items() if value is not None}
        return replace(spec, **given, multiple_of=None if self.fixed_input_size else spec.multiple_of)


@dataclass(frozen=True)
class ExportSource:
    """A model that is exported to another format.

    Args:
        onnx: The model as an ONNX file.
        reference: Runtime that the result is compared with: the network, or the ONNX file if there is no network.
    """

    onnx: Path
    reference: Runtime

    @property
    def spec(self) -> ModelSpec:
        """The spec of the model."""
        return self.reference.spec


NO_OVERRIDES = SpecOverrides()


@contextmanager
def open_export_source(
    path: Path, *, overrides: SpecOverrides = NO_OVERRIDES, batch_size: int | None = None
) -> Iterator[ExportSource]:
    """Opens a model for export.

    Args:
        path: A `.safetensors` file, or an `.onnx` file written by e2pose.
        overrides: Replaced values of the spec; for `.safetensors` files only.
        batch_size: Fixed number of images per batch, None for any number; for `.safetensors` files only.

    Raises:
        ModelError: The file is missing, damaged or has another format.
        OptionError: Overrides or a batch size are given for an ONNX file.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        if overrides != NO_OVERRIDES or batch_size is not None:
            raise OptionError(
                "name, input size, threshold and batch size of an ONNX file cannot be changed",
                "omit them, or export from the .safetensors file",
            )
        yield ExportSource(path, OnnxRuntime(path))
    elif suffix == ".safetensors":
        with TemporaryDirectory() as folder:
            yield _convert_weights(path, Path(folder) / "model.onnx", overrides, batch_size)
    else:
        raise ModelError(
            f"an export starts from a .safetensors or .onnx file, not from '{path.name}'",
            "convert a .pb file first: e2pose convert",
        )


def load_network(path: Path, overrides: SpecOverrides) -> tuple[E2Pose, ModelSpec]:
    """Loads a network and its spec with replaced values.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose, or a value is out of range.
    """
    from e2pose.models.weights import load_weights

    network, spec = load_weights(path)
    return network, overrides.apply(spec)


def _convert_weights(path: Path, onnx: Path, overrides: SpecOverrides, batch_size: int | None) -> ExportSource:
    from e2pose.export.onnx import export_onnx
    from e2pose.runtimes.torch import TorchRuntime

    network, spec = load_network(path, overrides)
    export_onnx(network, spec, onnx, batch_size=batch_size)
    return ExportSource(onnx, TorchRuntime(network, spec))
