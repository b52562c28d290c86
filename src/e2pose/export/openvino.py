"""Export to OpenVINO."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino

from e2pose.core.files import atomic_path, check_suffix
from e2pose.core.spec import PRECISION_KEY
from e2pose.export.source import ExportSource
from e2pose.export.verify import LIMITS, Deviation, Images, verify_artifact
from e2pose.runtimes.openvino import openvino_core, rt_info_path
from e2pose.runtimes.options import Precision


def export_openvino(
    source: ExportSource, path: str | Path, *, precision: Precision = "f32", images: Images = ()
) -> Deviation:
    """Writes a verified model as an `.xml` file and a `.bin` file with the weights beside it.

    Args:
        source: The model.
        path: An `.xml` file.
        precision: "f16" halves the file, computation stays in f32; "bf16" computes in bf16 on CPUs that support it.
        images: RGB images for verification; noise if there are none.

    Returns:
        The deviation from the source.

    Raises:
        OptionError: The path does not end in `.xml`.
        ModelError: The file deviates too much; it is not written.
        RuntimeChoiceError: This CPU does not support bf16, which verification requires.
        OutputError: The files cannot be written.
    """
    path = Path(path)
    check_suffix(path, ".xml", "an OpenVINO model")
    model = openvino_core().read_model(source.onnx)
    if precision == "bf16":
        model.set_rt_info(precision, rt_info_path(PRECISION_KEY))
    with TemporaryDirectory() as folder:
        staged = Path(folder) / "model.xml"
        openvino.save_model(model, staged, compress_to_fp16=precision == "f16")
        deviation = verify_artifact(staged, source.reference, images, limits=LIMITS[precision])
        with atomic_path(path.with_suffix(".bin")) as weights, atomic_path(path) as graph:
            shutil.copyfile(staged.with_suffix(".bin"), weights)
            shutil.copyfile(staged, graph)
    return deviation
