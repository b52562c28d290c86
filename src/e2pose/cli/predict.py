"""`e2pose predict`: detects poses in images, videos and live sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from e2pose.cli.interrupts import Interrupts
from e2pose.cli.opening import open_estimator
from e2pose.cli.terminal import Progress, print_error, print_message
from e2pose.live.options import PredictOptions
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions

if TYPE_CHECKING:
    from e2pose.core.errors import E2PoseError
    from e2pose.inference.estimator import Estimator
    from e2pose.inference.run import RunSummary
    from e2pose.live.pipeline import Pipeline

_DEFAULTS = PredictOptions()


def predict(
    *source: Annotated[str, Parameter(required=True)],
    output: Annotated[tuple[str, ...], Parameter(name=("--output", "-o"))] = (),
    options: Annotated[PredictOptions, Parameter(name="*")] = _DEFAULTS,
    runtime: Annotated[RuntimeOptions, Parameter(name="*")] = DEFAULT_OPTIONS,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False,
) -> int:
    """Detect poses in images, videos, cameras and streams.

    Args:
        source: Images, videos, folders or quoted patterns such as `'photos/*.jpg'`. A camera number, a stream URL or
            `screen:` must be the only SOURCE.
        output: File or folder to write; repeat it for several (default: out/). Drawn poses: a folder, an image, a
            video, a file per frame with %06d in the name, or camera: for a virtual camera. Data: .json (COCO results),
            .jsonl (a line per image), .csv or .parquet (tables). Labels to correct: .slp (SLEAP),
            CollectedData_NAME.csv (DeepLabCut), NAME.labelstudio.json, NAME.coco.json (COCO annotations).
        options: What to detect and what to draw.
        runtime: What runs the model.
        quiet: Print only errors and warnings.
    """
    from e2pose.live.pipeline import Pipeline
    from e2pose.sources.base import SourceInfo
    from e2pose.sources.open import open_source

    errors: list[E2PoseError] = []

    def report(error: E2PoseError) -> None:
        errors.append(error)
        print_error(error)

    def open_model(name: str, num_images: int | None) -> Estimator:
        return open_estimator(name, runtime, threshold=options.threshold, num_images=num_images, quiet=quiet)

    inputs = open_source(source, on_error=report, on_notice=print_message)
    if inputs.info == SourceInfo(frame_count=0):
        return 1
    pipeline = Pipeline(
        inputs, options, runtime, output, open_estimator=open_model, report=report, notify=print_message
    )
    with Interrupts(pipeline.stop) as interrupts, Progress(inputs.info.frame_count, shown=not quiet) as progress:
        summary = pipeline.run(progress.advance)
    if summary is None:
        return interrupts.exit_code or 1
    if not quiet:
        print_message(_describe(summary, pipeline))
    return interrupts.exit_code or (1 if errors else 0)


def _describe(summary: RunSummary, pipeline: Pipeline) -> str:
    images = f"{summary.frames} image" + ("s" if summary.frames != 1 else "")
    persons = f"{summary.persons} person" + ("s" if summary.persons != 1 else "")
    ms_per_image = 1000 * summary.estimator_s / summary.frames / pipeline.num_parallel
    dropped = f", {pipeline.num_dropped} dropped" if pipeline.num_dropped else ""
    written = f", written to {', '.join(pipeline.written)}" if pipeline.written else ""
    return f"{images}{dropped}, {persons}, {ms_per_image:.0f} ms per image{written}"
