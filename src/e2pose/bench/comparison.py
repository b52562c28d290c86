"""A comparison from its options to its files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from e2pose.bench.accuracy import AnnotatedImages, average_precision, find_annotated, missing_keypoints
from e2pose.bench.charts import write_latency_against_people, write_speed_against_ap
from e2pose.bench.environment import Environment, environment_of
from e2pose.bench.images import Picture, save_frames, save_scenes
from e2pose.bench.machine import this_machine
from e2pose.bench.overlay import write_overlays
from e2pose.bench.peer_script import PeerRequest
from e2pose.bench.process import DEFAULT_LIMITS, Limits
from e2pose.bench.report import Comparison, PeerResult, to_markdown
from e2pose.bench.runner import DEFAULT_PACE, Failure, Pace, PeerRun, compare
from e2pose.core.errors import OptionError, PeerError
from e2pose.core.files import atomic_path, check_folder
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.evaluation.charts import new_figure
from e2pose.evaluation.metrics import import_coco_eval


@dataclass(frozen=True)
class Subject:
    """What the peers are compared on, and what is done with the answers.

    Args:
        source: What `open_source` understands; nothing live.
        frames: The most frames that are taken, the first ones.
        annotations: COCO keypoint annotations of the frames; None for no average precision.
        people: Whether scenes with more and more people are made too.
        overlay: Whether everybody's poses are drawn side by side.
        output: Folder for all files; None for none.
    """

    source: tuple[str, ...]
    frames: int
    annotations: Path | None = None
    people: bool = False
    overlay: bool = False
    output: Path | None = None


@dataclass(frozen=True)
class Reporter:
    """Who wants to know how far it is.

    Args:
        step: Told in a line what is being done.
        turn: Told after each turn how many there will be.
    """

    step: Callable[[str], None] = lambda _: None
    turn: Callable[[int], None] = lambda _: None


SILENT = Reporter()
"""Nobody wants to know."""


def run_comparison(
    requests: Sequence[PeerRequest],
    subject: Subject,
    *,
    command: str,
    reference: str | None = None,
    pace: Pace = DEFAULT_PACE,
    limits: Limits = DEFAULT_LIMITS,
    rebuild: bool = False,
    reporter: Reporter = SILENT,
) -> Comparison:
    """Compares peers and writes what was found.

    Args:
        requests: The peers.
        subject: What they are compared on.
        command: What repeats it, for the report.
        reference: Label of the peer that ratios refer to; None for the first one.
        pace: How often they are asked, and with how many threads.
        limits: How long they may take.
        rebuild: Make their environments anew.
        reporter: Told how far it is.

    Raises:
        OptionError: The source is live, or there is no such reference.
        InputError: A frame cannot be read.
        AnnotationError: The annotations cannot be used.
        OutputError: A file cannot be written.
        MissingExtraError: Charts or average precision need a package that is not installed.
        PeerError: No peer could be compared.
    """
    labels = [request.label for request in requests]
    reference = labels[0] if reference is None else reference
    if reference not in labels:
        raise OptionError(
            f"the reference '{reference}' is not compared; compared are: {', '.join(labels)}",
            "leave it out for the first one",
        )
    _check_outputs(subject)
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="e2pose-bench-") as text:
        folder = Path(text)
        pictures = save_frames(subject.source, folder, subject.frames)
        annotated = None if subject.annotations is None else find_annotated(subject.annotations, pictures)
        prepared, not_installed = _prepare(requests, rebuild, reporter.step)
        scenes = save_scenes(folder, first=len(pictures)) if subject.people else []
        runs, not_run = compare(
            prepared,
            [*pictures, *scenes],
            folder,
            pace=pace,
            limits=limits,
            on_step=reporter.step,
            on_turn=reporter.turn,
        )
        failures = sorted([*not_installed, *not_run], key=lambda failure: labels.index(failure.label))
        if not runs:
            reasons = "; ".join(f"{failure.label}: {failure.reason}" for failure in failures)
            raise PeerError(f"no peer could be compared: {reasons}", "e2pose doctor says what would run models here")
        comparison = Comparison(
            results=tuple(_result(run, annotated) for run in runs),
            failures=tuple(failures),
            reference=reference,
            pace=pace,
            frames=len(pictures),
            annotated=len(annotated.dataset.images) if annotated else 0,
            machine=machine,
            e2pose=version("e2pose"),
            date=datetime.now(UTC).date().isoformat(),
            command=command,
        )
        if subject.output is not None:
            schema = annotated.dataset.schema if annotated else load_schema("coco")
            _write(subject.output, comparison, pictures if subject.overlay else [], schema)
    return comparison


def _check_outputs(subject: Subject) -> None:
    """Finds out before the work whether its results can be kept."""
    if subject.annotations is not None:
        import_coco_eval()
    if subject.output is not None:
        new_figure()
        check_folder(subject.output)
    elif subject.overlay:
        raise OptionError("overlays need a folder to be written to", "add --output FOLDER")


def _prepare(
    requests: Sequence[PeerRequest], rebuild: bool, on_step: Callable[[str], None]
) -> tuple[list[tuple[PeerRequest, Environment]], list[Failure]]:
    """Makes everybody's environment; several peers may share one."""
    prepared: list[tuple[PeerRequest, Environment]] = []
    failures = []
    made: dict[Path, Environment | PeerError] = {}
    for request in requests:
        path = request.script.path
        if path not in made:
            try:
                made[path] = environment_of(request.script, rebuild=rebuild, on_step=on_step)
            except PeerError as error:
                made[path] = error
        outcome = made[path]
        if isinstance(outcome, PeerError):
            failures.append(Failure(request.label, outcome.message))
        else:
            prepared.append((request, outcome))
    return prepared, failures


def _result(run: PeerRun, annotated: AnnotatedImages | None) -> PeerResult:
    if annotated is None:
        return PeerResult(run)
    missing = tuple(missing_keypoints(run.hello.keypoints, annotated.dataset.schema))
    return PeerResult(run, None if run.hello.random_weights else average_precision(run, annotated), missing)


def _write(folder: Path, comparison: Comparison, drawn: Sequence[Picture], schema: KeypointSchema) -> None:
    texts = {
        "bench.md": to_markdown(comparison),
        "bench.json": json.dumps(comparison.to_record(), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_speed_against_ap(folder / "speed-against-ap.png", comparison)
    write_latency_against_people(folder / "latency-against-people.png", comparison)
    if drawn:
        write_overlays(folder / "overlay", comparison, drawn, schema)
