"""`e2pose evaluate`: a model and annotated pictures to numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from e2pose.cli.terminal import Progress
from e2pose.core.errors import OutputError

if TYPE_CHECKING:
    from e2pose.evaluation.evaluate import EvaluationResult


def evaluate(
    model: str,
    annotations: Path,
    images: Path,
    /,
    *,
    json_path: Annotated[Path | None, Parameter(name="--json")] = None,
    detections: Path | None = None,
    runtime: Literal["onnxruntime", "torch"] | None = None,
    threads: int | None = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False,
) -> None:
    """Measure a model on annotated pictures, with COCO's keypoint metrics.

    Args:
        model: A name that `e2pose models` lists, or a model file.
        annotations: COCO keypoint annotations.
        images: The folder that the file names in the annotations start from.
        json_path: Write the numbers to this file too.
        detections: Write the poses to this file, as COCO results.
        runtime: What runs the model; if not given, what the model file is made for.
        threads: CPU threads; if not given, one for each usable core.
        quiet: Show no progress.
    """
    from e2pose.core.files import atomic_path
    from e2pose.evaluation.evaluate import EVALUATION_THRESHOLD
    from e2pose.evaluation.evaluate import evaluate as evaluate_model
    from e2pose.inference.estimator import load

    for target in (json_path, detections):
        if target is not None and target.resolve() == annotations.resolve():
            raise OutputError(f"'{target}' holds the annotations and will not be overwritten", "choose another name")
    estimator = load(model, runtime=runtime, threads=threads)
    with Progress(shown=not quiet) as progress:
        result = evaluate_model(
            estimator.with_threshold(EVALUATION_THRESHOLD),
            annotations,
            images,
            threshold=estimator.threshold,
            results_path=detections,
            progress=lambda _, total: progress.advance(total),
        )
    print(table(result))
    if json_path is not None:
        with atomic_path(json_path) as temporary:
            temporary.write_text(json.dumps(result.to_record(), indent=2) + "\n", encoding="utf-8")


def table(result: EvaluationResult) -> str:
    """The numbers for people: precisions and recalls in percent."""
    metrics, latency = result.metrics, result.latency
    percent = {
        "AP": metrics.ap,
        "AP50": metrics.ap50,
        "AP75": metrics.ap75,
        "AP medium": metrics.ap_medium,
        "AP large": metrics.ap_large,
        "AR": metrics.ar,
    }
    rows = {
        "images": f"{result.images}",
        "persons": f"{result.persons}",
        **{name: f"{100 * value:.1f}" if value >= 0 else "-" for name, value in percent.items()},
        "duplicates per image": f"{metrics.duplicates_per_image:.3f}",
        "latency p50": f"{latency.p50_ms:.1f} ms",
        "latency p90": f"{latency.p90_ms:.1f} ms",
    }
    return "\n".join(f"{name:<20}  {value:>8}" for name, value in rows.items())
