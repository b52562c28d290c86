"""What an export starts from: a model as ONNX, and what says whether the result is right."""

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
class SpecChanges:
    """What the spec of an export shall say instead of that of the weights; None leaves it.

    Args:
        name: What the model is called.
        input_size_hw: Height and width of the canvas.
        threshold: Below this person score the model sees nobody.
        fixed_input_size: Never shorten the canvas.
    """

    name: str | None = None
    input_size_hw: tuple[int, int] | None = None
    threshold: float | None = None
    fixed_input_size: bool = False

    def of(self, spec: ModelSpec) -> ModelSpec:
        """The spec with the changes.

        Raises:
            ModelError: A change is out of range.
        """
        values = {name: getattr(self, name) for name in ("name", "input_size_hw", "threshold")}
        given = {name: value for name, value in values.items() if value is not None}
        return replace(spec, **given, multiple_of=None if self.fixed_input_size else spec.multiple_of)


@dataclass(frozen=True)
class ExportSource:
    """A model on its way to another format.

    Args:
        onnx: The model as an ONNX file.
        reference: What the result is compared with: the network, or the ONNX file itself if there is no network.
    """

    onnx: Path
    reference: Runtime

    @property
    def spec(self) -> ModelSpec:
        """How to use the model."""
        return self.reference.spec


UNCHANGED = SpecChanges()


@contextmanager
def export_source(path: Path, *, changes: SpecChanges = UNCHANGED, batch: int | None = None) -> Iterator[ExportSource]:
    """Reads a model that is to be exported.

    Args:
        path: A `.safetensors` file, or an `.onnx` file written by e2pose.
        changes: To the spec; only for `.safetensors` files.
        batch: How many canvases the result takes at once, None for any number; only for `.safetensors` files.

    Raises:
        ModelError: The file is missing, damaged or of another kind.
        OptionError: An ONNX file shall be changed.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        if changes != UNCHANGED or batch is not None:
            raise OptionError(
                "name, canvas, threshold and batch of an ONNX file cannot be changed any more",
                "leave them out, or export from the .safetensors file",
            )
        yield ExportSource(path, OnnxRuntime(path))
    elif suffix == ".safetensors":
        with TemporaryDirectory() as folder:
            yield _from_weights(path, Path(folder) / "model.onnx", changes, batch)
    else:
        raise ModelError(
            f"an export starts from a .safetensors or an .onnx file, not from '{path.name}'",
            "convert a .pb file first: e2pose convert",
        )


def read_weights(path: Path, changes: SpecChanges) -> tuple[E2Pose, ModelSpec]:
    """A network and its spec with the changes.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose, or a change is out of range.
    """
    from e2pose.models.weights import load_weights

    network, spec = load_weights(path)
    return network, changes.of(spec)


def _from_weights(path: Path, onnx: Path, changes: SpecChanges, batch: int | None) -> ExportSource:
    from e2pose.export.onnx import export_onnx
    from e2pose.runtimes.torch import TorchRuntime

    network, spec = read_weights(path, changes)
    export_onnx(network, spec, onnx, batch=batch)
    return ExportSource(onnx, TorchRuntime(network, spec))
