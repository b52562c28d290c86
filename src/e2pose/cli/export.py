"""`e2pose export`: a model to another format, checked against what it was."""

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
    from e2pose.export.source import SpecChanges
    from e2pose.export.verify import Deviation, Images

Format = Literal["onnx", "openvino", "tensorrt", "int8"]

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "tensorrt": ".engine", "int8": ".onnx"}
EXTRAS: dict[Format, str] = {"onnx": "train", "openvino": "openvino", "tensorrt": "tensorrt", "int8": "train"}

MOST_PICTURES = 200
"""More teach nothing new, and all are kept in memory."""

MOST_AP_LOST = 1.0
"""A quantised model that loses more of its AP, on a scale to 100, is not written."""


@Parameter(name="*")
@dataclass(frozen=True)
class ExportOptions:
    """What to write, and what to check it on.

    Args:
        to: The format; if not given, that of the output's suffix.
        precision: f16 halves the file; what computes with it depends on the format. bf16 is for openvino and tensorrt.
        batch: How many pictures the result takes at once, or dynamic for any number.
        device: The GPU to build a TensorRT engine for.
        name: What the model is called; if not given, as before.
        input_size: Height and width of the canvas, multiples of 32; more finds smaller people and takes longer.
        fixed_input_size: Always fill the whole canvas, for what can only run one size; otherwise it is shortened to what a
            picture needs.
        threshold: Below this person score the model sees nobody, unless asked otherwise.
        pictures: Compare before and after on these pictures, folders or patterns, on a few scenes if not given; int8
            needs them, a hundred or two like those that the model will see.
        annotations: Measure the AP lost by int8 with these COCO annotations, and refuse if it is more than 1.
        images: The folder that the file names in the annotations start from.
    """

    to: Format | None = None
    precision: Precision | None = None
    batch: Literal["dynamic"] | int = "dynamic"
    device: str = "cuda"
    name: str | None = None
    input_size: tuple[int, int] | None = None
    fixed_input_size: bool = False
    threshold: float | None = None
    pictures: tuple[str, ...] = ()
    annotations: Path | None = None
    images: Path | None = None


@dataclass(frozen=True)
class Job:
    """A model, and what is to become of it."""

    path: Path
    output: Path
    options: ExportOptions
    changes: SpecChanges
    pictures: Images

    @property
    def batch(self) -> int | None:
        """How many pictures the result takes at once; None for any number."""
        return None if self.options.batch == "dynamic" else self.options.batch


def export(model: str, output: Path | None = None, /, *, options: ExportOptions = ExportOptions()) -> None:
    """Write a model in another format, checked against what it was.

    Args:
        model: A name that `e2pose models` lists, a `.safetensors` file from a training, or an `.onnx` file for
            openvino, tensorrt and int8. The result is compared with what it is made from, which for a name is the
            `.safetensors` file if torch is installed.
        output: The file to write; if not given, it is named after the model and lies here.
        options: What to write, and what to check it on.
    """
    from e2pose.export.source import UNCHANGED, SpecChanges
    from e2pose.zoo.catalogue import resolve_model

    to = wanted_format(options.to, output)
    changes = SpecChanges(options.name, options.input_size, options.threshold, options.fixed_input_size)
    needs_weights = to == "onnx" or changes != UNCHANGED or options.batch != "dynamic" or find_spec("torch")
    path, input_size = resolve_model(model, (".safetensors",) if needs_weights else (".onnx",))
    changes = replace(changes, input_size_hw=options.input_size or input_size)
    output = output or Path(f"{path.stem}{'-int8' if to == 'int8' else ''}{SUFFIXES[to]}")
    if output.resolve() == path.resolve():
        raise OptionError(f"'{output}' is the model itself and will not be overwritten", "choose another name")
    if (options.annotations is None) != (options.images is None) or (options.images and to != "int8"):
        raise OptionError("--annotations and --images belong together, and to int8", "give both or none")
    given = bool(options.pictures) or to != "int8"
    job = Job(path, output, options, changes, read_images(options.pictures, MOST_PICTURES) if given else [])
    try:
        WRITERS[to](job)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or to, EXTRAS[to]) from error


def wanted_format(to: Format | None, output: Path | None) -> Format:
    """The format that was asked for, or else the one of the output's suffix."""
    suffix = output.suffix.lower() if output is not None else ".onnx"
    fitting = next((name for name, its in SUFFIXES.items() if its == suffix), None)
    if to is None and fitting is None:
        accepted = ", ".join(sorted(set(SUFFIXES.values())))
        raise OptionError(f"an exported model must end in one of {accepted}, not '{suffix}'", "or say --to")
    return to or fitting or "onnx"


def write_onnx(job: Job) -> None:
    """Writes an ONNX file."""
    from e2pose.export.onnx import export_onnx
    from e2pose.export.source import read_weights

    if job.path.suffix.lower() == ".onnx":
        raise OptionError(
            f"'{job.path.name}' is an ONNX file already",
            "export it to openvino, tensorrt or int8; or start from its .safetensors file",
        )
    if job.options.precision == "bf16":
        raise OptionError("an ONNX file is written in f32 or f16, not in bf16", "say --to openvino or tensorrt")
    network, spec = read_weights(job.path, job.changes)
    precision = job.options.precision or "f32"
    report(job, export_onnx(network, spec, job.output, precision=precision, batch=job.batch, images=job.pictures))


def write_openvino(job: Job) -> None:
    """Writes an OpenVINO file."""
    from e2pose.export.openvino import export_openvino
    from e2pose.export.source import export_source

    with export_source(job.path, changes=job.changes, batch=job.batch) as source:
        precision = job.options.precision or "f32"
        report(job, export_openvino(source, job.output, precision=precision, images=job.pictures))


def write_tensorrt(job: Job) -> None:
    """Writes a TensorRT engine."""
    from e2pose.export.source import export_source
    from e2pose.export.tensorrt import export_tensorrt

    precision, device = job.options.precision, job.options.device
    with export_source(job.path, changes=job.changes, batch=job.batch) as source:
        report(job, export_tensorrt(source, job.output, precision=precision, device=device, images=job.pictures))


def write_int8(job: Job) -> None:
    """Writes a quantised ONNX file."""
    from e2pose.export.quantize import export_int8
    from e2pose.export.source import export_source

    if job.options.precision is not None:
        raise OptionError("the precision of int8 cannot be chosen", "leave out --precision or --to int8")
    tables: list[str] = []
    with export_source(job.path, changes=job.changes, batch=job.batch) as source, Progress() as progress:
        done = export_int8(
            source,
            job.output,
            job.pictures,
            accept=lambda quantised: tables.extend(compare(source.onnx, quantised, job.options)),
            progress=progress.advance,
        )
    report(job, done.deviation)
    in_float = len(done.layers.in_float)
    print_message(
        f"{len(done.layers.quantised)} convolutions are in int8; {in_float} more are sensitive and stay in float"
    )
    for table in tables:
        print(table)


WRITERS = {"onnx": write_onnx, "openvino": write_openvino, "tensorrt": write_tensorrt, "int8": write_int8}


def report(job: Job, deviation: Deviation) -> None:
    """Says what was written and how far it is from what it was made from."""
    print_message(
        f"written to {job.output}; it deviates from {job.path.name} by at most "
        f"{deviation.keypoint_px:.2g} px and {deviation.score:.1g} in a score; agreement {deviation.agreement:.4f}"
    )


def compare(before: Path, after: Path, options: ExportOptions) -> list[str]:
    """Measures both models on annotated pictures, one after the other; gives the table of what that says.

    Raises:
        ModelError: Too much AP is lost.
    """
    from e2pose.evaluation.evaluate import evaluate
    from e2pose.inference.estimator import Estimator
    from e2pose.runtimes.select import open_runtime

    if options.annotations is None or options.images is None:
        return []
    results = []
    for path in (before, after):
        estimator = Estimator(open_runtime(path, RuntimeOptions("onnxruntime")))
        results.append(evaluate(estimator, options.annotations, options.images))
    lost = 100 * (results[0].metrics.ap - results[1].metrics.ap)
    if not lost <= MOST_AP_LOST:
        raise ModelError(
            f"quantised, the model loses {lost:.1f} AP; at most {MOST_AP_LOST} is accepted",
            "give more pictures, and such as the model will see",
        )
    return [table(results, [path.stat().st_size for path in (before, after)])]


def table(results: list[EvaluationResult], sizes: list[int]) -> str:
    """What quantisation has cost and gained."""
    rows = [f"{'':<8}  {'AP':>5}  {'network ms':>10}  {'MB':>6}"]
    for name, result, size in zip(("float", "int8"), results, sizes, strict=True):
        network_ms = result.latency["network"].p50_ms
        rows.append(f"{name:<8}  {100 * result.metrics.ap:>5.1f}  {network_ms:>10.1f}  {size / 1e6:>6.1f}")
    quicker = results[0].latency["network"].p50_ms / results[1].latency["network"].p50_ms
    return "\n".join([*rows, f"int8 is {quicker:.2f} times as fast"])
