"""`e2pose evaluate`: a model and annotated pictures to numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from e2pose.cli.opening import open_estimator
from e2pose.cli.terminal import Progress
from e2pose.core.errors import OptionError, OutputError
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions

if TYPE_CHECKING:
    from e2pose.evaluation.evaluate import EvaluationResult


@Parameter(name="*")
@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `e2pose evaluate`.

    Args:
        protocol: Whose rules; if not given, those of CrowdPose where the annotations have a crowd index, else COCO's.
        schema: A schema's name or TOML file whose sigmas to use; if not given, the model's own.
        threshold: Persons with a lower score are neither duplicates nor in the report, from 0 to 1; if not given, the
            model's own value, or 0.4 for poses from a file.
        limit: Look at the first so many pictures only.
        json_path: Write the numbers to this file too.
        detections: Write the poses to this file, as COCO results.
        report: Write charts and the worst pictures to this folder, which must be new or empty.
        runtime: What runs the model, and how.
        quiet: Show no progress.
    """

    protocol: Literal["coco", "crowdpose"] | None = None
    schema: str | None = None
    threshold: float | None = None
    limit: int | None = None
    json_path: Annotated[Path | None, Parameter(name="--json")] = None
    detections: Path | None = None
    report: Path | None = None
    runtime: Annotated[RuntimeOptions, Parameter(name="*")] = DEFAULT_OPTIONS
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False


def evaluate(
    model: str, annotations: Path, images: Path | None = None, /, *, options: EvaluateOptions = EvaluateOptions()
) -> None:
    """Measure a model on annotated pictures, by COCO's or CrowdPose's rules.

    Args:
        model: A name that `e2pose models` lists, a model file, or a .json file of COCO results to measure instead.
        annotations: COCO or CrowdPose keypoint annotations.
        images: The folder that the file names in the annotations start from; a file of results needs none.
        options: How to compare, and what to write.
    """
    from e2pose.core.schema import load_schema

    check_outputs(options, inputs=[Path(model), annotations])
    common: dict[str, Any] = {
        "protocol": options.protocol,
        "schema": None if options.schema is None else load_schema(options.schema),
        "threshold": options.threshold,
        "limit": options.limit,
    }
    if model.lower().endswith(".json"):
        from e2pose.evaluation.evaluate import evaluate_results

        result = evaluate_results(model, annotations, **common)
    elif images is None:
        raise OptionError(
            "to evaluate a model, the folder of the pictures must be given",
            "e2pose evaluate MODEL ANNOTATIONS IMAGES; only a .json file of results can do without",
        )
    else:
        result = evaluate_model(model, annotations, images, options, common)
    print(table(result))
    write_outputs(result, options, images)


def evaluate_model(
    model: str, annotations: Path, images: Path, options: EvaluateOptions, common: dict[str, Any]
) -> EvaluationResult:
    """Runs a model behind a progress bar."""
    from e2pose.evaluation.evaluate import evaluate as evaluate_estimator

    estimator = open_estimator(model, options.runtime, quiet=options.quiet)
    with Progress(shown=not options.quiet) as progress:
        return evaluate_estimator(
            estimator, annotations, images, progress=lambda _, total: progress.advance(total), **common
        )


def check_outputs(options: EvaluateOptions, inputs: list[Path]) -> None:
    """Finds outputs that cannot be written, before hours are spent on what they would hold.

    Raises:
        OutputError: One cannot be written, is an input or is named twice.
        MissingExtraError: A report needs matplotlib, which is not installed.
    """
    from e2pose.core.files import check_target

    files = [path for path in (options.json_path, options.detections) if path is not None]
    for target in files:
        check_target(target)
        if any(target.resolve() == path.resolve() for path in inputs):
            raise OutputError(f"'{target}' is an input and will not be overwritten", "choose another name")
    if len({path.resolve() for path in files}) < len(files):
        raise OutputError(f"'{files[0]}' cannot hold both the numbers and the poses", "choose two names")
    if options.report is not None:
        from e2pose.evaluation.report import check_report

        check_report(options.report)


def write_outputs(result: EvaluationResult, options: EvaluateOptions, images: Path | None) -> None:
    """Writes whatever was asked for besides the table."""
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


def table(result: EvaluationResult) -> str:
    """The numbers for people: precisions and recalls in percent."""
    metrics = result.metrics
    parts = {f"AP {part}": value for part, value in metrics.ap_of.items()}
    percent = {"AP": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75, **parts, "AR": metrics.ar}
    rows = {
        "protocol": metrics.protocol,
        "images": f"{result.images}",
        "persons": f"{result.persons}",
        **{name: f"{100 * value:.1f}" if value >= 0 else "-" for name, value in percent.items()},
        "duplicates per image": f"{result.duplicates_per_image:.3f}",
        "calibration error": f"{result.calibration.error:.3f}",
    }
    lines = [f"{name:<20}  {value:>9}" for name, value in rows.items()]
    if result.latency:
        lines.append(f"\n{'milliseconds':<20}  {'p50':>9}  {'p90':>9}")
        lines += [f"{name:<20}  {one.p50_ms:>9.1f}  {one.p90_ms:>9.1f}" for name, one in result.latency.items()]
    return "\n".join(lines)
