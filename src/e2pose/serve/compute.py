"""The queue in front of the models: bounded, first come first served; abandoned requests are never computed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import UInt8

from e2pose.core.poses import Poses
from e2pose.inference.estimator import Estimator
from e2pose.serve.problems import RequestError
from e2pose.sources.images import decode_image

# Time until a job is refused: others may hang up meanwhile, and fast refusals (1 ms each) take the CPU from the models.
_GRACE_S = 0.5
_POLL_S = 0.02

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model, loaded for both kinds of load.

    Args:
        estimator: For images in parallel: one thread each on a CPU.
        alone: For a single image: all threads, which takes a fifth less time on two cores; may be the same object.
    """

    estimator: Estimator
    alone: Estimator

    def with_threshold(self, threshold: float) -> ServedModel:
        """Returns the same model with another threshold."""
        return ServedModel(self.estimator.with_threshold(threshold), self.alone.with_threshold(threshold))


@dataclass(frozen=True, eq=False)
class Job:
    """An encoded image to process.

    Args:
        data: The encoded image.
        pixels: Number of its pixels by the header.
        model: Model and threshold.
        finish: Converts image and poses to the result, in the thread of the computation.
    """

    data: bytes
    pixels: int
    model: ServedModel
    finish: Callable[[Image, Poses], Any]


@dataclass(frozen=True)
class Done:
    """The result of a job, and the time that it took."""

    value: Any  # as returned by `finish`
    size_hw: tuple[int, int]
    latency_ms: dict[str, float]  # of "wait", "decode" and "compute"


@dataclass(eq=False)
class _Ticket:
    """A waiting job."""

    job: Job
    future: asyncio.Future[Done]
    start_s: float = field(default_factory=perf_counter)


class ComputeQueue:
    """Runs jobs in threads, in the order of their arrival. All methods run in the thread of the event loop.

    On a CPU, each thread runs one image, because parallel images are faster than parallel threads for one image. On a
    GPU, a thread takes all waiting images for one model, up to `max_batch`, and never waits for more.

    Args:
        num_parallel: Number of threads.
        max_waiting: Number of jobs that may wait.
        max_pixels: Maximum number of pixels of all running images, which limits the memory; a single image may have
            more.
        max_batch: Number of images in one run of a model.
    """

    def __init__(self, *, num_parallel: int, max_waiting: int, max_pixels: int, max_batch: int = 1) -> None:
        self._max_waiting = max_waiting
        self._max_pixels = max_pixels
        self._max_batch = max_batch
        self._num_parallel = num_parallel
        self._num_idle = num_parallel
        self._num_pixels = 0
        self._waiting: deque[_Ticket] = deque()
        self._threads = ThreadPoolExecutor(num_parallel, "e2pose-serve")
        self._decoders = ThreadPoolExecutor(max_batch, "e2pose-decode") if max_batch > 1 else None

    @property
    def num_waiting(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    async def wait_for_room(self) -> None:
        """Returns if another job may wait.

        Raises:
            RequestError: Too many jobs are waiting.
        """
        end_s = perf_counter() + _GRACE_S
        while self._is_full():
            if perf_counter() > end_s:
                raise RequestError(
                    503, f"{len(self._waiting)} requests are waiting already", "try again later", {"Retry-After": "1"}
                )
            await asyncio.sleep(_POLL_S)

    async def submit(self, job: Job, *, bounded: bool = True) -> Done:
        """Waits for the result of a job; a cancelled job is computed only if it was already running.

        Args:
            job: What to compute.
            bounded: Refuse the job if too many are waiting.

        Raises:
            RequestError: Too many jobs are waiting.
            InputError: The image cannot be decoded.
        """
        if bounded:
            await self.wait_for_room()
        ticket = _Ticket(job, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._dispatch()
        try:
            return await ticket.future
        finally:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                self._dispatch()  # a smaller image behind it may fit now

    def close(self) -> None:
        """Ends the threads after the running jobs; waiting jobs are cancelled."""
        for ticket in self._waiting:
            ticket.future.cancel()
        self._waiting.clear()
        for threads in (self._threads, self._decoders):
            if threads is not None:
                threads.shutdown(wait=False)

    def _is_full(self) -> bool:
        return not self._num_idle and len(self._waiting) >= self._max_waiting

    def _dispatch(self) -> None:
        """Starts waiting jobs while there are idle threads."""
        while self._num_idle and (batch := self._take()):
            is_alone = self._num_idle == self._num_parallel and not self._waiting
            self._num_idle -= 1
            results = asyncio.get_running_loop().run_in_executor(self._threads, self._compute, batch, is_alone)
            results.add_done_callback(partial(self._finish, batch))

    def _take(self) -> list[_Ticket]:
        """Takes the oldest job and others that can share a run with it; none if its pixels do not fit yet."""
        batch: list[_Ticket] = []
        for ticket in self._waiting:
            job = ticket.job
            if batch and not _share_run(job, batch[0].job):
                continue
            if len(batch) == self._max_batch or not self._fits(job.pixels):
                break
            batch.append(ticket)
            self._num_pixels += job.pixels
        for ticket in batch:
            self._waiting.remove(ticket)
        return batch

    def _fits(self, pixels: int) -> bool:
        return not self._num_pixels or self._num_pixels + pixels <= self._max_pixels

    def _finish(self, batch: list[_Ticket], results: asyncio.Future[list[Done | Exception]]) -> None:
        self._num_idle += 1
        self._num_pixels -= sum(ticket.job.pixels for ticket in batch)
        self._dispatch()
        for ticket, outcome in zip(batch, results.result(), strict=True):
            if ticket.future.done():  # cancelled
                continue
            if isinstance(outcome, Exception):
                ticket.future.set_exception(outcome)
            else:
                ticket.future.set_result(outcome)

    def _compute(self, batch: Sequence[_Ticket], is_alone: bool) -> list[Done | Exception]:
        """Computes a batch, in a thread."""
        start_s = perf_counter()
        images = list((self._decoders.map if self._decoders else map)(_try_decode, batch))
        decoded_s = perf_counter()
        readable = [image for image in images if not isinstance(image, Exception)]
        try:
            model = batch[0].job.model
            found = iter((model.alone if is_alone else model.estimator).batch(readable) if readable else [])
        except Exception as error:  # is raised by `submit`
            return [error] * len(batch)
        computed_s = perf_counter()
        outcomes: list[Done | Exception] = []
        for ticket, image in zip(batch, images, strict=True):
            if isinstance(image, Exception):
                outcomes.append(image)
                continue
            marks = (ticket.start_s, start_s, decoded_s, computed_s)
            latency_ms = {
                name: round(1000 * (end - begin), 1)
                for name, begin, end in zip(("wait", "decode", "compute"), marks, marks[1:], strict=False)
            }
            outcomes.append(_try_finish(ticket.job, image, next(found), latency_ms))
        return outcomes


def _share_run(job: Job, other: Job) -> bool:
    ours, theirs = job.model.estimator, other.model.estimator
    return ours.runtime is theirs.runtime and ours.threshold == theirs.threshold


def _try_decode(ticket: _Ticket) -> Image | Exception:
    try:
        return decode_image(ticket.job.data, max_pixels=ticket.job.pixels)
    except Exception as error:  # is raised by `submit`
        return error


def _try_finish(job: Job, image: Image, poses: Poses, latency_ms: dict[str, float]) -> Done | Exception:
    try:
        return Done(job.finish(image, poses), image.shape[:2], latency_ms)
    except Exception as error:  # is raised by `submit`
        return error
