"""Export to a TensorRT engine for the GPU of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tensorrt

from e2pose.core.files import atomic_path, check_suffix
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
    """Builds and verifies an engine, and writes it with the model's spec.

    It runs only on GPUs of the same type and with the same version of TensorRT.

    Args:
        source: The model.
        path: An `.engine` file.
        precision: Precision of computation; None for f16, or f32 where TensorRT has no native f16.
        device: The GPU.
        images: RGB images for verification; noise if there are none.

    Returns:
        The deviation from the source.

    Raises:
        OptionError: The path does not end in `.engine`.
        ModelError: TensorRT cannot build the engine, or it deviates too much; it is not written.
        RuntimeChoiceError: The GPU or precision is not available.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    check_suffix(path, ".engine", "a TensorRT engine")
    options = RuntimeOptions("tensorrt", device)
    precision = precision or default_precision()
    spec = replace(source.spec, multiple_of=None)
    header = EngineHeader(spec.to_json(), tensorrt.__version__, Gpu(options.device_index).name, precision)
    with atomic_path(path) as temporary:
        write_engine(temporary, header, build_plan(source.onnx.read_bytes(), precision, path.name, spec.input_size_hw))
        return verify_artifact(temporary, source.reference, images, options=options, limits=LIMITS[precision])
