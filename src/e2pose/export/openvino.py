"""A model as an OpenVINO file."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino

from e2pose.core.errors import OptionError
from e2pose.core.files import atomic_path
from e2pose.core.spec import PRECISION_KEY
from e2pose.export.source import ExportSource
from e2pose.export.verify import LIMITS, Deviation, Images, verify_artifact
from e2pose.runtimes.openvino import openvino_core, rt_info_path
from e2pose.runtimes.options import Precision


def export_openvino(
    source: ExportSource, path: str | Path, *, precision: Precision = "f32", images: Images = ()
) -> Deviation:
    """Writes an `.xml` file and, beside it, the `.bin` file with the weights, after they have been checked.

    Args:
        source: The model.
        path: An `.xml` file.
        precision: "f16" halves the file and is computed in f32; "bf16" is computed in bf16 on CPUs that can.
        images: RGB pictures to check on; noise if there are none.

    Returns:
        How much the file deviates from what it was made from.

    Raises:
        OptionError: The path does not end in `.xml`.
        ModelError: The file deviates too much; then there is none.
        RuntimeChoiceError: This CPU has no bf16 to check with.
        OutputError: The files cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".xml":
        raise OptionError(f"an OpenVINO model must end in .xml, but '{path}' does not", "give another name")
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
