"""`e2pose export`: a model in another format, verified against the original."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import Parameter

from e2pose.cli.opening import read_images
from e2pose.cli.terminal import Progress, print_message
from e2pose.core.errors import MissingExtraError, ModelError, OptionError
from e2pose.runtimes.options import Precision, RuntimeOptions

if TYPE_CHECKING:
    from e2pose.evaluation.evaluate import EvaluationResult
    from e2pose.export.source import SpecOverrides
    from e2pose.export.verify import Deviation, Images

Format = Literal["onnx", "openvino", "tensorrt", "int8"]

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "tensorrt": ".engine", "int8": ".onnx"}
EXTRAS: dict[Format, str] = {"onnx": "train", "openvino": "openvino", "tensorrt": "tensorrt", "int8": "train"}

MAX_IMAGES = 200
"""More images hardly change the ranges of int8, and all are kept in memory."""

MAX_AP_LOSS = 1.0
"""An int8 model that loses more AP, on a scale to 100, is not written."""


@Parameter(name="*")
@dataclass(frozen=True)
class ExportOptions:
    """Options of `e2pose export`.

    Args:
        to: Output format; by default from the suffix of the output.
        precision: f16 halves the file; the format determines the precision of computation. bf16 is for openvino and
            tensorrt.
        batch_size: Fixed number of images per batch, or dynamic for any number.
        device: GPU of a TensorRT engine.
        name: Name of the model; by default unchanged.
        input_size: Height and width of the network's input, multiples of 32. Larger inputs find smaller persons and
            take longer.
        fixed_input_size: Never crop the letterboxed input, for targets that support only one size.
        threshold: Default minimum score of a person.
        images: Compare both models on these images, folders or patterns; by default on synthetic scenes. Required for
            int8: a hundred or two from the deployment domain.
        annotations: Compare the AP before and after int8 on these COCO annotations; reject a loss of more than 1 AP.
        annotated_images: Folder of the images in the annotations.
    """

    to: Format | None = None
    precision: Precision | None = None
    batch_size: Literal["dynamic"] | int = "dynamic"
    device: str = "cuda"
    name: str | None = None
    input_size: tuple[int, int] | None = None
    fixed_input_size: bool = False
    threshold: float | None = None
    images: tuple[str, ...] = ()
    annotations: Path | None = None
    annotated_images: Path | None = None


@dataclass(frozen=True)
class Job:
    """One export: the model, its output, and images for verification."""

    path: Path
    output: Path
    options: ExportOptions
    overrides: SpecOverrides
    images: Images

    @property
    def batch_size(self) -> int | None:
        """Fixed number of images per batch; None for any number."""
        return None if self.options.batch_size == "dynamic" else self.options.batch_size


def export(model: str, output: Path | None = None, /, *, options: ExportOptions = ExportOptions()) -> None:
    """Export a model to another format and verify it against the original.

    Args:
        model: Name from `e2pose models`, a trained `.safetensors` file, or an `.onnx` file for openvino, tensorrt and
            int8. With a name, the `.safetensors` file is used if torch is installed.
        output: Output file; by default named after the model, in the current folder.
        options: Format and verification.
    """
    from e2pose.core.files import check_target
    from e2pose.export.source import NO_OVERRIDES, SpecOverrides
    from e2pose.zoo.catalogue import resolve_model

    to = select_format(options.to, output)
    overrides = SpecOverrides(options.name, options.input_size, options.threshold, options.fixed_input_size)
    needs_weights = to == "onnx" or overrides != NO_OVERRIDES or options.batch_size != "dynamic" or find_spec("torch")
    path, input_size = resolve_model(model, (".safetensors",) if needs_weights else (".onnx",))
    overrides = replace(overrides, input_size_hw=options.input_size or input_size)
    output = output or Path(f"{path.stem}{'-int8' if to == 'int8' else ''}{SUFFIXES[to]}")
    if output.resolve() == path.resolve():
        raise OptionError(f"the output '{output}' is the model itself", "choose another name")
    check_target(output)
    has_annotations = options.annotations is not None
    if has_annotations != (options.annotated_images is not None) or (has_annotations and to != "int8"):
        raise OptionError(
            "--annotations and --annotated-images can only be used together and with int8",
            "use both with --to int8, or omit both",
        )
    uses_images = bool(options.images) or to != "int8"
    job = Job(path, output, options, overrides, read_images(options.images, MAX_IMAGES) if uses_images else [])
    try:
        WRITERS[to](job)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or to, EXTRAS[to]) from error


def select_format(to: Format | None, output: Path | None) -> Format:
    """Returns the given format, or the format of the output's suffix."""
    suffix = output.suffix.lower() if output is not None else ".onnx"
    from_suffix = next((name for name, its in SUFFIXES.items() if its == suffix), None)
    if to is None and from_suffix is None:
        accepted = ", ".join(sorted(set(SUFFIXES.values())))
        raise OptionError(f"the output must end in one of {accepted}, not '{suffix}'", "change the suffix, or add --to")
    return to or from_suffix or "onnx"


def write_onnx(job: Job) -> None:
    """Writes an ONNX file."""
    from e2pose.export.onnx import export_onnx
    from e2pose.export.source import load_network

    if job.path.suffix.lower() == ".onnx":
        raise OptionError(
            f"'{job.path.name}' is an ONNX file already",
            "export it to openvino, tensorrt or int8; or start from its .safetensors file",
        )
    if job.options.precision == "bf16":
        raise OptionError("ONNX files are written in f32 or f16, not in bf16", "use --to openvino or --to tensorrt")
    network, spec = load_network(job.path, job.overrides)
    precision = job.options.precision or "f32"
    deviation = export_onnx(
        network, spec, job.output, precision=precision, batch_size=job.batch_size, images=job.images
    )
    print_deviation(job, deviation)


def write_openvino(job: Job) -> None:
    """Writes an OpenVINO model."""
    from e2pose.export.openvino import export_openvino
    from e2pose.export.source import open_export_source

    with open_export_source(job.path, overrides=job.overrides, batch_size=job.batch_size) as source:
        precision = job.options.precision or "f32"
        print_deviation(job, export_openvino(source, job.output, precision=precision, images=job.images))


def write_tensorrt(job: Job) -> None:
    """Writes a TensorRT engine."""
    from e2pose.export.source import open_export_source
    from e2pose.export.tensorrt import export_tensorrt

    precision, device = job.options.precision, job.options.device
    with open_export_source(job.path, overrides=job.overrides, batch_size=job.batch_size) as source:
        deviation = export_tensorrt(source, job.output, precision=precision, device=device, images=job.images)
        print_deviation(job, deviation)


def write_int8(job: Job) -> None:
    """Writes an int8 ONNX file."""
    from e2pose.export.quantize import export_int8
    from e2pose.export.source import open_export_source

    if job.options.precision is not None:
        raise OptionError("--precision cannot be combined with --to int8", "omit one of them")
    tables: list[str] = []
    with (
        open_export_source(job.path, overrides=job.overrides, batch_size=job.batch_size) as source,
        Progress() as progress,
    ):
        result = export_int8(
            source,
            job.output,
            job.images,
            check=lambda path: tables.extend(compare_ap(source.onnx, path, job.options)),
            on_trial=progress.advance,
        )
    print_deviation(job, result.deviation)
    print_message(
        f"{len(result.layers.quantised)} convolutions are in int8; {len(result.layers.kept_float)} more are sensitive "
        "and stay in float"
    )
    for table in tables:
        print(table)


WRITERS = {"onnx": write_onnx, "openvino": write_openvino, "tensorrt": write_tensorrt, "int8": write_int8}


def print_deviation(job: Job, deviation: Deviation) -> None:
    """Prints the output and its deviation from the original."""
    print_message(
        f"written to {job.output}; it deviates from {job.path.name} by at most {deviation.keypoint_px:.2g} px and "
        f"{deviation.score:.1g} in a score; similarity {deviation.similarity:.4f}"
    )


def compare_ap(before: Path, after: Path, options: ExportOptions) -> list[str]:
    """Evaluates both models on annotated images, if given, and returns the table of results.

    Raises:
        ModelError: The loss of AP is too large.
    """
    from e2pose.evaluation.evaluate import evaluate
    from e2pose.inference.estimator import Estimator
    from e2pose.runtimes.select import open_runtime

    if options.annotations is None or options.annotated_images is None:
        return []
    results = []
    for path in (before, after):
        estimator = Estimator(open_runtime(path, RuntimeOptions("onnxruntime")))
        results.append(evaluate(estimator, options.annotations, options.annotated_images))
    loss = 100 * (results[0].metrics.ap - results[1].metrics.ap)
    if not loss <= MAX_AP_LOSS:
        raise ModelError(
            f"in int8, the model loses {loss:.1f} AP; at most {MAX_AP_LOSS} is accepted",
            "use more calibration images, taken from the deployment domain",
        )
    return [format_table(results, [path.stat().st_size for path in (before, after)])]


def format_table(results: list[EvaluationResult], sizes: list[int]) -> str:
    """Formats AP, latency and file size before and after int8."""
    rows = [f"{'':<8}  {'AP':>5}  {'network ms':>10}  {'MB':>6}"]
    for name, result, size in zip(("float", "int8"), results, sizes, strict=True):
        network_ms = result.latency["network"].p50_ms
        rows.append(f"{name:<8}  {100 * result.metrics.ap:>5.1f}  {network_ms:>10.1f}  {size / 1e6:>6.1f}")
    speedup = results[0].latency["network"].p50_ms / results[1].latency["network"].p50_ms
    return "\n".join([*rows, f"int8 is {speedup:.2f} times as fast"])
