"""A comparison, from its options to its files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from e2pose.bench.accuracy import find_annotated, measure_accuracy
from e2pose.bench.charts import write_ap_against_speed, write_latency_against_persons
from e2pose.bench.environment import Environment, prepare_environment
from e2pose.bench.images import BenchImage, save_frames, save_scenes
from e2pose.bench.machine import describe_machine
from e2pose.bench.options import BenchOptions
from e2pose.bench.overlay import write_overlays
from e2pose.bench.peer_script import PeerRequest, select_peers
from e2pose.bench.report import Comparison, to_markdown
from e2pose.bench.runner import run_round_robin
from e2pose.core.errors import OptionError, PeerError
from e2pose.core.files import atomic_path, check_folder
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.evaluation.charts import new_figure
from e2pose.evaluation.metrics import import_coco_eval


def run_comparison(
    source: Sequence[str],
    options: BenchOptions,
    *,
    output: Path | None = None,
    command: str = "",
    on_message: Callable[[str], None] = lambda _: None,
    on_turn: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Compares models and peers on the frames of a source that is not live, and writes files if `output` is a folder.

    The report contains `command`, which repeats the comparison. `on_message` is called with a line of text before each
    long step, and `on_turn` after each turn with the maximum number of turns.

    Raises:
        OptionError: A peer, the reference or the source is invalid.
        InputError: A frame cannot be read.
        AnnotationError: The annotations cannot be used.
        OutputError: A file cannot be written.
        MissingExtraError: Charts or average precision require a package that is not installed.
        PeerError: All peers failed.
    """
    requests = select_peers(options.models, options.peers, options.peer)
    labels = [request.label for request in requests]
    reference = _check_options(labels, options, output)
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="e2pose-bench-") as temporary:
        folder = Path(temporary)
        images = save_frames(source, folder, options.frames)
        annotated = None if options.annotations is None else find_annotated(options.annotations, images)
        prepared, failures = _prepare_environments(requests, options.rebuild, on_message)
        scenes = save_scenes(folder, first_index=len(images)) if options.scenes else []
        results, failed_runs = run_round_robin(
            prepared, [*images, *scenes], folder, options, on_message=on_message, on_turn=on_turn
        )
        failures |= failed_runs
        if not results:
            reasons = "; ".join(f"{label}: {failures[label]}" for label in labels)
            raise PeerError(
                f"all peers failed: {reasons}",
                "correct the reported cause; e2pose doctor lists the runtimes that e2pose models can use",
            )
        comparison = Comparison(
            results=tuple(measure_accuracy(result, annotated) if annotated else result for result in results),
            failures={label: failures[label] for label in labels if label in failures},
            reference=reference,
            options=options,
            num_frames=len(images),
            num_annotated=len(annotated.dataset.images) if annotated else 0,
            machine=machine,
            e2pose=version("e2pose"),
            date=datetime.now(UTC).date().isoformat(),
            command=command,
        )
        if output is not None:
            schema = annotated.dataset.schema if annotated else load_schema("coco")
            _write_files(output, comparison, images if options.overlay else [], schema)
    return comparison


def _check_options(labels: Sequence[str], options: BenchOptions, output: Path | None) -> str:
    """Checks reference and outputs before the work starts; returns the label of the reference."""
    reference = labels[0] if options.reference is None else options.reference
    if reference not in labels:
        raise OptionError(
            f"the reference '{reference}' is not among the compared peers: {', '.join(labels)}",
            "omit --reference to use the first peer",
        )
    if options.annotations is not None:
        import_coco_eval()
    if output is not None:
        new_figure()
        check_folder(output)
    elif options.overlay:
        raise OptionError("--overlay requires an output folder", "add --output FOLDER")
    return reference


def _prepare_environments(
    requests: Sequence[PeerRequest], rebuild: bool, on_message: Callable[[str], None]
) -> tuple[list[tuple[PeerRequest, Environment]], dict[str, str]]:
    """Prepares the environment of each script once; returns the environments, and the reasons of failures by label."""
    environments: dict[Path, Environment] = {}
    reasons: dict[Path, str] = {}
    for path, script in {request.script.path: request.script for request in requests}.items():
        try:
            environments[path] = prepare_environment(script, rebuild=rebuild, on_message=on_message)
        except PeerError as error:
            reasons[path] = error.message
    paths = [(request, request.script.path) for request in requests]
    prepared = [(request, environments[path]) for request, path in paths if path in environments]
    return prepared, {request.label: reasons[path] for request, path in paths if path in reasons}


def _write_files(
    folder: Path, comparison: Comparison, overlay_images: Sequence[BenchImage], schema: KeypointSchema
) -> None:
    record = json.dumps(comparison.to_record(), indent=2, ensure_ascii=False, allow_nan=False)
    for name, text in {"bench.md": to_markdown(comparison), "bench.json": record + "\n"}.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_ap_against_speed(folder / "speed-against-ap.png", comparison)
    write_latency_against_persons(folder / "latency-against-persons.png", comparison)
    if overlay_images:
        write_overlays(folder / "overlay", comparison, overlay_images, schema)
