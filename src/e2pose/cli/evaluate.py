"""`e2pose evaluate`: average precision, calibration and latency of a model on annotated images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from e2pose.cli.opening import open_estimator
from e2pose.cli.terminal import Progress, print_message
from e2pose.core.errors import OptionError, OutputError
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions

if TYPE_CHECKING:
    from e2pose.evaluation.evaluate import EvaluationResult


@Parameter(name="*")
@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `e2pose evaluate`.

    Args:
        protocol: Evaluation protocol; by default crowdpose if all annotations have a crowd index, otherwise coco.
        schema: Name or TOML file of a schema whose sigmas to use; by default those of the model. It also names the
            keypoints of annotations without names.
        threshold: Minimum score, from 0 to 1, of duplicates and of poses in the report; by default that of the model,
            or 0.4 for stored poses.
        limit: Evaluate only the first LIMIT images.
        category: Name or id of the category to evaluate, where more than one has keypoints; can be repeated for
            categories with the same keypoints, "*" selects all.
        json_path: Write all numbers to this file.
        detections: Write the poses to this file, as COCO results.
        report: Write charts and the images with the most errors to this folder, which must be new or empty.
        runtime: Options of the runtime.
        quiet: Hide the progress.
    """

    protocol: Literal["coco", "crowdpose"] | None = None
    schema: str | None = None
    threshold: float | None = None
    limit: int | None = None
    category: tuple[str, ...] = ()
    json_path: Annotated[Path | None, Parameter(name="--json")] = None
    detections: Path | None = None
    report: Path | None = None
    runtime: Annotated[RuntimeOptions, Parameter(name="*")] = DEFAULT_OPTIONS
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False


def evaluate(
    model: str, annotations: Path, images: Path | None = None, /, *, options: EvaluateOptions = EvaluateOptions()
) -> None:
    """Evaluate a model on annotated images, by the protocol of COCO or CrowdPose.

    Args:
        model: Model name from `e2pose models`, model file, or .json file with COCO results to evaluate instead.
        annotations: COCO or CrowdPose keypoint annotations, or the labels of DeepLabCut, SLEAP, CVAT, Label Studio or
            LabelMe.
        images: Folder that the file names in the annotations are relative to; needed for COCO and CrowdPose only, and
            not for COCO results.
        options: Evaluation options and outputs.
    """
    from e2pose.core.schema import load_schema
    from e2pose.data.tool_labels import read_tool_labels
    from e2pose.evaluation import evaluate as evaluation

    check_outputs(options, inputs=[Path(model), annotations])
    labels = read_tool_labels(annotations, images=images, category=options.category or None)
    dataset = labels.annotations if labels else annotations
    images = labels.folder if labels else images
    common: dict[str, Any] = {
        "protocol": options.protocol,
        "schema": None if options.schema is None else load_schema(options.schema),
        "threshold": options.threshold,
        "limit": options.limit,
        "category": options.category or None,
    }
    if model.lower().endswith(".json"):
        result = evaluation.evaluate_results(model, dataset, **common)
    elif images is None:
        raise OptionError(
            "a model cannot be evaluated without the image folder",
            "run e2pose evaluate MODEL ANNOTATIONS IMAGES; only a .json file of results needs no images",
        )
    else:
        estimator = open_estimator(model, options.runtime, quiet=options.quiet)
        with Progress(shown=not options.quiet) as progress:
            result = evaluation.evaluate(
                estimator, dataset, images, progress=lambda _, total: progress.advance(total), **common
            )
    for line in describe_annotations(result):
        print_message(line)
    print(format_table(result))
    write_outputs(result, options, images)


def check_outputs(options: EvaluateOptions, inputs: list[Path]) -> None:
    """Checks the output paths before the evaluation starts.

    Raises:
        OutputError: A path cannot be written, is an input or is used twice.
        MissingExtraError: A report is requested and matplotlib is not installed.
    """
    from e2pose.core.files import check_target

    files = [path for path in (options.json_path, options.detections) if path is not None]
    for target in files:
        check_target(target)
        if any(target.resolve() == path.resolve() for path in inputs):
            raise OutputError(f"the output '{target}' is also an input", "choose another name")
    if len({path.resolve() for path in files}) < len(files):
        raise OutputError(f"--json and --detections are the same file '{files[0]}'", "choose two names")
    if options.report is not None:
        from e2pose.evaluation.report import check_report

        check_report(options.report)


def write_outputs(result: EvaluationResult, options: EvaluateOptions, images: Path | None) -> None:
    """Writes the files selected by the options."""
    from e2pose.core.files import atomic_path

    if options.detections is not None:
        with atomic_path(options.detections) as temporary:
            temporary.write_text(json.dumps(result.results), encoding="utf-8")
    if options.json_path is not None:
        with atomic_path(options.json_path) as temporary:
            temporary.write_text(json.dumps(result.to_record(), indent=2) + "\n", encoding="utf-8")
    if options.report is not None:
        from e2pose.evaluation.report import write_report

        write_report(options.report, result, images)


def describe_annotations(result: EvaluationResult) -> list[str]:
    """Returns lines about annotations that do not count."""
    return [f"annotations: {text}" for text in (*result.dataset.notes, *result.omitted)]


def format_table(result: EvaluationResult) -> str:
    """Formats the numbers for the terminal, with precision and recall in percent."""
    metrics = result.metrics
    parts = {f"AP {part}": value for part, value in metrics.ap_of.items()}
    percent = {"AP": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75, **parts, "AR": metrics.ar}
    rows = {
        "protocol": metrics.protocol,
        "images": f"{result.num_images}",
        "persons": f"{result.num_persons}",
        **{name: f"{100 * value:.1f}" if value >= 0 else "no person" for name, value in percent.items()},
        "duplicates per image": f"{result.duplicates_per_image:.3f}",
        "calibration error": f"{result.calibration.error:.3f}",
    }
    lines = [f"{name:<20}  {value:>9}" for name, value in rows.items()]
    if result.latency:
        lines.append(f"\n{'milliseconds':<20}  {'p50':>9}  {'p90':>9}")
        lines += [f"{stage:<20}  {times.p50_ms:>9.1f}  {times.p90_ms:>9.1f}" for stage, times in result.latency.items()]
    return "\n".join(lines)
