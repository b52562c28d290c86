"""`e2pose batch`: poses of millions of images and videos."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from e2pose.batch.options import BatchOptions, EngineOptions
from e2pose.cli.interrupts import Interrupts
from e2pose.cli.terminal import Progress, print_message
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2pose.batch.run import BatchSummary
    from e2pose.batch.run import Progress as BatchProgress

_DEFAULT_OPTIONS = BatchOptions()
_DEFAULT_ENGINE = EngineOptions()
_MAX_EXAMPLES = 5
_LINE_INTERVAL_S = 30.0


def batch(
    *source: str,
    output: Annotated[str, Parameter(name=("--output", "-o"))],
    options: Annotated[BatchOptions, Parameter(name="*")] = _DEFAULT_OPTIONS,
    engine: Annotated[EngineOptions, Parameter(name="*")] = _DEFAULT_ENGINE,
    runtime: Annotated[RuntimeOptions, Parameter(name="*")] = DEFAULT_OPTIONS,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False,
) -> int:
    """Detect poses in many images and videos, and continue after interruptions.

    Args:
        source: Images, videos, folders with their subfolders, quoted patterns such as `'photos/**/*.jpg'`, lists with
            one file per line (`@files.txt`) or Parquet tables with a column `uri`; also in object stores
            (`s3://bucket/photos/`). Omit it to continue a job.
        output: Folder of the job, also in an object store. The same command continues an interrupted job.
        options: What to compute.
        engine: How to compute it.
        runtime: What runs the model.
        quiet: Print only errors and warnings.
    """
    from e2pose.batch.run import BatchRun

    with Progress(shown=not quiet) as bar:
        reporter = _Reporter(bar, quiet=quiet)
        run = BatchRun(source, output, options, engine, runtime=runtime, on_progress=reporter.report)
        with Interrupts(run.stop) as interrupts:
            try:
                summary = run.run()
            except KeyboardInterrupt:  # while the inputs were listed, or a second signal
                summary = None
    if not quiet:
        print_message(_describe(summary, output))
    return interrupts.exit_code or (0 if summary is not None and summary.is_successful else 1)


class _Reporter:
    """Shows the progress as a bar or, outside of a terminal, as a line every 30 s, and prints the first errors."""

    def __init__(self, bar: Progress, *, quiet: bool) -> None:
        self._bar = bar
        self._notify: Callable[[str], None] = (lambda _: None) if quiet else print_message
        self._last_line_s = self._start_s = monotonic()
        self._num_before = -1  # items that earlier runs finished; -1 until the first shard of this run
        self._num_examples = 0

    def report(self, progress: BatchProgress) -> None:
        """Receives the progress of the run."""
        result = progress.result
        if result is None:
            self._print_line(f"{progress.num_listed:,} files listed")
            return
        if self._num_before < 0:
            self._num_before = progress.num_done - result.num_items
            self._notify(f"model: {result.description}")
        for example in result.examples[: _MAX_EXAMPLES - self._num_examples]:
            self._num_examples += 1
            print_message(f"failed: {example}")
        self._bar.advance(progress.num_items - self._num_before, steps=result.num_items)
        rate = (progress.num_done - self._num_before) / (monotonic() - self._start_s)
        remaining = timedelta(seconds=round((progress.num_items - progress.num_done) / rate))
        self._print_line(
            f"{progress.num_done:,} of {progress.num_items:,} images and videos, {rate:.1f}/s, {remaining} left"
        )

    def _print_line(self, text: str) -> None:
        if monotonic() - self._last_line_s > _LINE_INTERVAL_S and not self._bar.is_possible:
            self._last_line_s = monotonic()
            self._notify(text)


def _describe(summary: BatchSummary | None, output: str) -> str:
    interrupted = "interrupted; the same command continues it"
    if summary is None:
        return f"{output}: {interrupted}"
    state = "complete" if summary.is_complete else interrupted
    failed = f", {summary.num_failed:,} failed" if summary.num_failed else ""
    return f"{output}: {summary.num_files:,} file{'s' if summary.num_files != 1 else ''}{failed}, {state}"
