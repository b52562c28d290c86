"""The work on one shard: from its items to its result tables. Runs in the worker processes of any engine."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from time import perf_counter

import cv2

from e2pose.batch.manifest import Item
from e2pose.batch.reading import Event, describe, read_items
from e2pose.batch.storage import JobFolder
from e2pose.batch.tables import FileRow, ShardWriter
from e2pose.core.errors import ModelError
from e2pose.core.files import reason_of, sha256_of
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.inference.estimator import Estimator
from e2pose.inference.run import Stage
from e2pose.runtimes.options import RuntimeOptions
from e2pose.runtimes.select import RUNTIMES
from e2pose.tracking.smoothing import Smoother
from e2pose.tracking.tracker import TRACKED_THRESHOLD, Tracker
from e2pose.zoo.catalogue import resolve_model

_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class WorkerOptions:
    """The job as a worker needs it."""

    folder: str
    model: str
    model_sha256: str
    runtime: RuntimeOptions
    threshold: float | None = None
    track: bool = False
    smooth: bool = False
    images_per_run: int = 1
    timeout_s: float | None = None  # for a frame; the process ends after it. None for no limit


@dataclass(frozen=True)
class Task:
    """Items of a shard to process.

    Args:
        shard: Number of the shard.
        items: All its items or, in a probe, some of them.
        faulty: Positions of items that end the worker, with the error to report for them instead of reading them.
        probe: Position of the first item in the shard if the task only finds out whether the worker survives, so that
            its results are discarded; otherwise None.
    """

    shard: int
    items: Sequence[Item]
    faulty: Mapping[int, str] = field(default_factory=dict)
    probe: int | None = None


@dataclass(frozen=True)
class TaskResult:
    """Counts of a shard, which are all that the driver receives."""

    num_items: int
    num_frames: int
    num_persons: int
    num_failed: int
    examples: tuple[str, ...]  # the first errors
    description: str  # of model, runtime and device


def run_task(options: WorkerOptions, task: Task) -> TaskResult:
    """Processes a shard and writes its tables. An error of a single file becomes a row.

    Raises:
        ModelError: The model cannot be loaded, or is not that of the job.
        OutputError: The tables cannot be written.
    """
    estimator = open_estimator(options)
    rows: list[FileRow] = []
    with ExitStack() as opened:
        writer = None
        if task.probe is None:
            writer = ShardWriter(JobFolder(options.folder), task.shard, estimator.spec.schema)
            opened.enter_context(writer)
        restart_time_limit = opened.enter_context(_time_limit(options.timeout_s))
        events = opened.enter_context(closing(read_items(task.items, task.faulty, restart_time_limit)))
        current = _Current(options, estimator.threshold)
        detector = estimator.with_threshold(TRACKED_THRESHOLD * estimator.threshold) if options.track else estimator
        for event, found, ms in _estimate(events, detector, options.images_per_run):
            restart_time_limit()
            if event.frame is None:
                rows.append(current.finish(event))
                if writer is not None:
                    writer.write_file(rows[-1])
                continue
            poses = current.add(event, event.frame, found, ms)
            if writer is not None and poses is not None:
                writer.write_poses(event.item.id, event.frame, poses)
    failed = [row for row in rows if row.error is not None]
    return TaskResult(
        num_items=len(rows),
        num_frames=sum(row.frames for row in rows),
        num_persons=sum(row.persons for row in rows),
        num_failed=len(failed),
        examples=tuple(map(_describe_failure, failed[:_MAX_EXAMPLES])),
        description=estimator.description,
    )


def _describe_failure(row: FileRow) -> str:
    error = row.error or ""
    return error if row.file in error else f"'{row.file}': {error}"


def hash_model(model: str, runtime: RuntimeOptions) -> str:
    """Returns the SHA-256 of a model file, including the weights that OpenVINO stores in a second file.

    Raises:
        ModelError: The model is unknown or cannot be read.
    """
    path = resolve_model(model, RUNTIMES[runtime.runtime or "onnxruntime"].suffixes).path
    try:
        digests = [sha256_of(file) for file in ([path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path])]
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}': {reason_of(error)}", "check the path") from error
    return "+".join(digests)


@cache
def open_estimator(options: WorkerOptions) -> Estimator:
    """Returns the estimator of this process."""
    if hash_model(options.model, options.runtime) != options.model_sha256:
        raise ModelError(
            f"the model '{options.model}' is not the one that the job started with",
            "restore the model file on all machines, or start another job in another folder",
        )
    if options.runtime.device_kind == "cpu":
        cv2.setNumThreads(1)  # there is a worker for each core
    return Estimator.open(options.model, options.runtime, options.threshold)


def _estimate(
    events: Iterator[Event], estimator: Estimator, images_per_run: int
) -> Iterator[tuple[Event, Poses | str, float]]:
    """Yields each event with the poses of its frame, or an error message, and its share of the time in milliseconds."""
    chunk: list[Event] = []
    for event in events:
        chunk.append(event)
        if sum(event.frame is not None for event in chunk) == images_per_run:
            yield from _estimate_chunk(chunk, estimator)
            chunk = []
    yield from _estimate_chunk(chunk, estimator)


def _estimate_chunk(chunk: list[Event], estimator: Estimator) -> Iterator[tuple[Event, Poses | str, float]]:
    images = [event.frame.image for event in chunk if event.frame is not None]
    start = perf_counter()
    found: list[Poses | str] = []
    try:
        found += estimator.batch(images) if images else []
    except Exception as error:  # one of the images is responsible, unless the device fails
        if len(images) > 1:
            for event in chunk:
                yield from _estimate_chunk([event], estimator)
            return
        found = [describe(error)]
    ms = 1000 * (perf_counter() - start) / max(1, len(images))
    results = iter(found)
    for event in chunk:
        yield event, "" if event.frame is None else next(results), 0.0 if event.frame is None else ms


class _Current:
    """The item that is being processed: its totals, and the tracker of a video."""

    def __init__(self, options: WorkerOptions, threshold: float) -> None:
        self._options = options
        self._threshold = threshold
        self._stages: list[Stage] = []
        self._size_hw: tuple[int, int] | None = None
        self._error: str | None = None
        self._num_frames = self._num_persons = 0
        self._ms = 0.0

    def add(self, event: Event, frame: Frame, found: Poses | str, ms: float) -> Poses | None:
        """Adds a frame and returns its final poses; None after an error."""
        self._ms += event.read_ms + ms
        if isinstance(found, str):
            self._error = self._error or found
            return None
        if self._num_frames == 0:
            self._stages = self._make_stages() if event.item.is_video else []
        poses = found if event.item.is_video else found[found.scores >= self._threshold]
        for stage in self._stages:
            poses = stage(frame, poses)
        self._size_hw = frame.size_hw
        self._num_frames += 1
        self._num_persons += len(poses)
        return poses

    def finish(self, event: Event) -> FileRow:
        """Returns the row of the item and starts the next one."""
        item, (height, width) = event.item, self._size_hw or (None, None)
        row = FileRow(
            id=item.id,
            segment=item.segment,
            file=item.uri,
            width=width,
            height=height,
            first_frame=0 if item.part is None else item.part.first_frame,
            frames=self._num_frames,
            persons=self._num_persons,
            ms=self._ms + event.read_ms,
            error=event.error or self._error,
        )
        self._clear()
        return row

    def _clear(self) -> None:
        self._size_hw = self._error = None
        self._num_frames = self._num_persons = 0
        self._ms = 0.0

    def _make_stages(self) -> list[Stage]:
        stages: list[Stage] = []
        if self._options.track or self._options.smooth:
            stages.append(Tracker(self._threshold))
        if self._options.smooth:
            stages.append(Smoother())
        if not self._options.track:
            stages.append(lambda _, poses: replace(poses, track_ids=None))
        return stages


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[Callable[[], None]]:
    """Ends this process if the yielded function is not called for some seconds, also if a library hangs."""
    if seconds is None:
        yield lambda: None
        return
    with Path(os.devnull).open("w") as nowhere:

        def restart() -> None:
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)

        restart()
        try:
            yield restart
        finally:
            faulthandler.cancel_dump_traceback_later()
