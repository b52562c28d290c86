"""A model as a TensorRT engine for the GPU of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tensorrt

from e2pose.core.errors import OptionError
from e2pose.core.files import atomic_path
from e2pose.export.source import ExportSource
from e2pose.export.verify import LIMITS, Deviation, Images, verify_artifact
from e2pose.runtimes.engine import EngineHeader, build_plan, write_engine
from e2pose.runtimes.gpu import Gpu
from e2pose.runtimes.options import Precision, RuntimeOptions
from e2pose.runtimes.tensorrt import default_precision


def export_tensorrt(
    source: ExportSource,
    path: str | Path,
    *,
    precision: Precision | None = None,
    device: str = "cuda",
    images: Images = (),
) -> Deviation:
    """Builds an engine, checks it and writes it with the model's spec.

    It runs only on GPUs of the same kind and with the same version of TensorRT.

    Args:
        source: The model.
        path: An `.engine` file.
        precision: What it computes in; None for f16, or f32 where TensorRT has no f16 of its own.
        device: The GPU to build for.
        images: RGB pictures to check on; noise if there are none.

    Returns:
        How much the engine deviates from what it was made from.

    Raises:
        OptionError: The path does not end in `.engine`.
        ModelError: TensorRT cannot build it, or it deviates too much; then there is no file.
        RuntimeChoiceError: There is no such GPU or precision.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".engine":
        raise OptionError(f"a TensorRT engine must end in .engine, but '{path}' does not", "give another name")
    options = RuntimeOptions("tensorrt", device)
    precision = precision or default_precision()
    spec = replace(source.spec, multiple_of=None)
    header = EngineHeader(spec.to_json(), tensorrt.__version__, Gpu(options.device_index).name, precision)
    with atomic_path(path) as temporary:
        write_engine(temporary, header, build_plan(source.onnx.read_bytes(), precision, path.name, spec.input_size_hw))
        return verify_artifact(temporary, source.reference, images, options=options, limits=LIMITS[precision])
