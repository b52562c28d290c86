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

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class Job:
    """An encoded image to process.

    Args:
        data: The encoded image.
        estimator: Model and threshold.
        finish: Converts image and poses to the result, in the thread of the computation.
    """

    data: bytes
    estimator: Estimator
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
        decode: Decodes an image.
        num_parallel: Number of threads.
        max_waiting: Number of jobs that may wait.
        max_batch: Number of images in one run of a model.
    """

    def __init__(
        self, decode: Callable[[bytes], Image], *, num_parallel: int, max_waiting: int, max_batch: int = 1
    ) -> None:
        self.num_parallel = num_parallel
        self._decode = decode
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._num_idle = num_parallel
        self._waiting: deque[_Ticket] = deque()
        self._threads = ThreadPoolExecutor(num_parallel, "e2pose-serve")
        self._decoders = ThreadPoolExecutor(max_batch, "e2pose-decode") if max_batch > 1 else None

    @property
    def num_waiting(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    async def submit(self, job: Job, *, bounded: bool = True) -> Done:
        """Waits for the result of a job; a cancelled job is computed only if it was already running.

        Args:
            job: What to compute.
            bounded: Refuse the job if too many are waiting.

        Raises:
            RequestError: Too many jobs are waiting.
            InputError: The image cannot be decoded.
        """
        if bounded and not self._num_idle and len(self._waiting) >= self._max_waiting:
            raise RequestError(
                503, f"{len(self._waiting)} requests are waiting already", "try again later", {"Retry-After": "1"}
            )
        ticket = _Ticket(job, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._dispatch()
        try:
            return await ticket.future
        finally:
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    def close(self) -> None:
        """Ends the threads after the running jobs."""
        for threads in (self._threads, self._decoders):
            if threads is not None:
                threads.shutdown(wait=False, cancel_futures=True)

    def _dispatch(self) -> None:
        while self._num_idle and self._waiting:
            batch = self._take()
            self._num_idle -= 1
            results = asyncio.get_running_loop().run_in_executor(self._threads, self._compute, batch)
            results.add_done_callback(partial(self._finish, batch))

    def _take(self) -> list[_Ticket]:
        """Takes the oldest job, and others that can share a run with it."""
        first = self._waiting[0].job.estimator
        batch = [
            ticket
            for ticket in self._waiting
            if ticket.job.estimator.runtime is first.runtime and ticket.job.estimator.threshold == first.threshold
        ][: self._max_batch]
        for ticket in batch:
            self._waiting.remove(ticket)
        return batch

    def _finish(self, batch: list[_Ticket], results: asyncio.Future[list[Done | Exception]]) -> None:
        self._num_idle += 1
        self._dispatch()
        outcomes = results.result() if not results.cancelled() else [asyncio.CancelledError()] * len(batch)
        for ticket, outcome in zip(batch, outcomes, strict=True):
            if ticket.future.done():
                continue
            if isinstance(outcome, BaseException):
                ticket.future.set_exception(outcome)
            else:
                ticket.future.set_result(outcome)

    def _compute(self, batch: Sequence[_Ticket]) -> list[Done | Exception]:
        """Computes a batch, in a thread."""
        start_s = perf_counter()
        images = list((self._decoders.map if self._decoders else map)(self._try_decode, batch))
        decoded_s = perf_counter()
        readable = [image for image in images if not isinstance(image, Exception)]
        try:
            found = iter(batch[0].job.estimator.batch(readable) if readable else [])
        except Exception as error:  # is raised by `submit`
            return [error] * len(batch)
        computed_s = perf_counter()
        outcomes: list[Done | Exception] = []
        for ticket, image in zip(batch, images, strict=True):
            if isinstance(image, Exception):
                outcomes.append(image)
                continue
            seconds = {
                "wait": start_s - ticket.start_s,
                "decode": decoded_s - start_s,
                "compute": computed_s - decoded_s,
            }
            latency_ms = {name: round(1000 * value, 1) for name, value in seconds.items()}
            try:
                outcomes.append(Done(ticket.job.finish(image, next(found)), image.shape[:2], latency_ms))
            except Exception as error:  # is raised by `submit`
                outcomes.append(error)
        return outcomes

    def _try_decode(self, ticket: _Ticket) -> Image | Exception:
        try:
            return self._decode(ticket.job.data)
        except Exception as error:  # is raised by `submit`
            return error
