"""Runs a job: creates or continues it, keeps the workers of an engine busy, and counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from e2pose.batch.engine import Engine, Outcome
from e2pose.batch.inputs import to_address
from e2pose.batch.job import Job, check_inputs, extended
from e2pose.batch.manifest import freeze, read_shards
from e2pose.batch.options import BatchOptions, EngineOptions
from e2pose.batch.schedule import Scheduler
from e2pose.batch.storage import JobFolder, import_pyarrow
from e2pose.batch.tables import shard_of
from e2pose.batch.worker import TaskResult, WorkerOptions
from e2pose.core.errors import InputError, OptionError, OutputError
from e2pose.core.files import reason_of
from e2pose.runtimes.cpu import usable_cores
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions

_WAIT_S = 0.5  # longest reaction to `stop`
_GPU_IMAGES_PER_RUN = 16


@dataclass(frozen=True)
class Progress:
    """The state of a run."""

    num_items: int  # images, videos and segments of the job
    num_done: int  # of them, earlier runs included
    result: TaskResult | None = None  # of the shard that has just been finished
    num_listed: int = 0  # files found so far, before the first shard


@dataclass(frozen=True)
class BatchSummary:
    """The end of a run."""

    num_files: int
    num_failed: int  # items with an error
    is_complete: bool  # whether all shards are finished
    is_successful: bool  # whether it is complete with at most `max_failed` failed files


class BatchRun:
    """One run of a job.

    Args:
        inputs: Inputs as for `list_inputs`; may be empty if the job exists.
        output: Folder of the job, local or in an object store.
        options: What to compute.
        engine: How to compute it.
        runtime: What runs the model.
        on_progress: Called when files were listed and when a shard is finished.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        output: str,
        options: BatchOptions,
        engine: EngineOptions,
        *,
        runtime: RuntimeOptions = DEFAULT_OPTIONS,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        import_pyarrow()
        self._inputs = [_absolute(name) for name in inputs]
        self._folder = JobFolder(output)
        self._options = options
        self._engine = engine
        self._runtime = runtime
        self._on_progress = on_progress
        self._num_done = self._num_failed = 0  # items, in all runs of the job
        self._is_listing = self._is_stopped = False

    def stop(self) -> None:
        """Ends the run within a second, without the shards that are not finished. Called from signal handlers.

        Raises:
            KeyboardInterrupt: The inputs are being listed, which starts again in the next run.
        """
        self._is_stopped = True
        if self._is_listing:
            raise KeyboardInterrupt

    def run(self) -> BatchSummary:
        """Processes all shards that are not finished.

        Raises:
            OptionError: The job in the folder was started with other options, or the folder has no job and no inputs.
            InputError: An input cannot be listed.
            ModelError: The model cannot be loaded.
            OutputError: The folder cannot be written, or another run is writing it.
            MissingExtraError: pyarrow or Ray is not installed.
        """
        if not self._inputs and Job.read(self._folder) is None:
            raise OptionError(
                f"there is no job in '{self._folder.address}' to continue", "name the inputs of a new job"
            )
        self._folder.check()
        with self._folder.lock():
            self._folder.remove_temporary()
            job = self._open_job()
            try:
                self._process(job)
            finally:
                self._folder.remove_temporary()
            return self._summarise(job)

    def _open_job(self) -> Job:
        wanted = Job.create(self._options, self._runtime)
        started = Job.read(self._folder)
        job = started or wanted
        if started is not None:
            wanted.check_continues(started, self._folder)
            if not self._engine.extend:
                check_inputs(started, self._inputs, self._folder)
                return started
        self._is_listing = True
        part = freeze(
            self._folder,
            self._inputs or job.inputs,
            max_files=self._options.shard,
            segment_s=self._options.segment,
            whole_videos=self._options.track or self._options.smooth,
            parts=job.parts,
            on_progress=lambda number: self._on_progress(Progress(0, 0, num_listed=number)),
        )
        self._is_listing = False
        if part is not None:
            job = extended(job, self._inputs, part)
            job.write(self._folder)
        if not job.parts:
            raise InputError("the inputs contain no files", "add files to the list or table")
        return job

    def _process(self, job: Job) -> None:
        names = self._folder.names("files")
        self._num_done, self._num_failed = self._count(names)
        done = set(map(shard_of, names))
        if len(done) == job.parts[-1].num_shards:
            return
        scheduler = Scheduler(read_shards(self._folder, job.parts, done))
        num_pending = 0
        with closing(self._open_engine(job)) as engine:
            while not self._is_stopped:
                while num_pending < engine.num_slots and (task := scheduler.next()) is not None:
                    engine.submit(task)
                    num_pending += 1
                if not num_pending:
                    return
                for outcome in engine.wait(_WAIT_S):
                    num_pending -= 1
                    self._record(outcome, scheduler, job)

    def _record(self, outcome: Outcome, scheduler: Scheduler, job: Job) -> None:
        task, result = outcome.task, outcome.result
        if outcome.is_lost:
            scheduler.repeat(task)
        elif result is None:
            scheduler.end(task, outcome.reason)
        else:
            scheduler.finish(task)
            if task.probe is None:
                self._num_done += result.num_items
                self._num_failed += result.num_failed
                self._on_progress(Progress(job.parts[-1].num_items, self._num_done, result))

    def _open_engine(self, job: Job) -> Engine:
        is_gpu = self._runtime.device_kind != "cpu"
        name, _, address = self._engine.engine.partition("=")
        num_workers = self._engine.workers or (1 if is_gpu else usable_cores())
        options = WorkerOptions(
            folder=self._folder.address,
            model=job.options["model"],
            model_sha256=job.model_sha256,
            runtime=replace(self._runtime, threads=self._runtime.threads or (None if is_gpu else 1)),
            threshold=self._options.threshold,
            track=self._options.track,
            smooth=self._options.smooth,
            images_per_run=self._engine.images_per_run or (_GPU_IMAGES_PER_RUN if is_gpu else 1),
            timeout_s=self._engine.timeout,
        )
        if name == "ray":
            from e2pose.batch.ray import RayEngine

            return RayEngine(options, address or None)
        from e2pose.batch.processes import ProcessEngine

        return ProcessEngine(options, num_workers)

    def _count(self, names: Sequence[str]) -> tuple[int, int]:
        """Returns the number of rows in file tables, and how many of them have an error."""
        from pyarrow import ArrowException, dataset

        num_rows = num_failed = 0
        paths = [f"{self._folder.path}/files/{name}" for name in names]
        try:
            table = dataset.dataset(paths, filesystem=self._folder.filesystem, format="parquet")
            for batch in table.to_batches(columns=["error"]) if paths else ():
                num_rows += batch.num_rows
                num_failed += batch.num_rows - batch.column("error").null_count
        except (OSError, ArrowException) as error:
            raise InputError(
                f"cannot read the results in '{self._folder.address}/files': {reason_of(error)}",
                "delete the damaged file; the next run processes its shard again",
            ) from error
        return num_rows, num_failed

    def _summarise(self, job: Job) -> BatchSummary:
        end = job.parts[-1]
        is_complete = self._num_done == end.num_items
        if not (is_complete or self._is_stopped):
            raise OutputError(
                f"'{self._folder.address}' has {self._num_done} results for {end.num_items} files and segments",
                "delete the folder 'files' in it, which starts all shards again",
            )
        is_successful = is_complete and self._engine.allows(self._num_failed, end.num_items)
        return BatchSummary(end.num_files, self._num_failed, is_complete, is_successful)


def _absolute(name: str) -> str:
    return "@" + to_address(name[1:]) if name.startswith("@") else to_address(name)
