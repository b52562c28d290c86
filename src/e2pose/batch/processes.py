"""The engine that runs tasks in processes of this machine.

The pools of the standard library end with the first worker that dies, so this module keeps its own processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import cast

from e2pose.batch.engine import Outcome
from e2pose.batch.worker import Task, TaskResult, WorkerOptions, open_estimator, run_task
from e2pose.core.errors import E2PoseError

_TIME_LIMIT_CODE = 1  # Source: `exit` of faulthandler.dump_traceback_later
_READY = "ready"


class ProcessEngine:
    """Worker processes, each with its own interpreter. A worker that ends is replaced; all end with their driver."""

    def __init__(self, options: WorkerOptions, num_workers: int) -> None:
        self._options = options
        self._idle = [_Worker(options) for _ in range(num_workers)]
        self._busy: dict[Connection, _Worker] = {}
        self.num_slots = num_workers
        """Number of workers."""

    def submit(self, task: Task) -> None:
        """Gives a task to an idle worker."""
        worker = self._idle.pop()
        self._busy[worker.connection] = worker
        worker.start(task)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Returns the tasks that have ended, and replaces workers that have ended.

        Raises:
            E2PoseError: The model or the output is at fault, or a worker cannot start.
        """
        outcomes = []
        for connection in cast("list[Connection]", wait(list(self._busy), timeout_s)):
            worker = self._busy[connection]
            answer = worker.receive()
            if answer == _READY:
                continue
            if isinstance(answer, BaseException):
                raise answer
            assert worker.task is not None
            if isinstance(answer, TaskResult):
                outcomes.append(Outcome(worker.task, answer))
            else:
                outcomes.append(Outcome(worker.task, None, str(answer)))
                worker = _Worker(self._options)
            del self._busy[connection]
            self._idle.append(worker)
        return outcomes

    def close(self) -> None:
        """Kills all workers."""
        for worker in (*self._idle, *self._busy.values()):
            worker.kill()


class _Worker:
    """A process that runs one task after the other."""

    def __init__(self, options: WorkerOptions) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
        self.connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, options), daemon=True, name="e2pose-worker")
        self._process.start()
        other_end.close()  # so that the end of the process closes the pipe
        self._is_ready = False
        self.task: Task | None = None

    def start(self, task: Task) -> None:
        self.task = task
        with suppress(OSError):  # if the process has ended, which `receive` reports
            self.connection.send(task)

    def receive(self) -> object:
        """Returns what the process sent, or why it ended."""
        try:
            answer: object = self.connection.recv()
        except (EOFError, OSError):
            reason = self._end()
            if self._is_ready:
                return reason
            return E2PoseError(f"a worker process cannot start: {reason}", "check the memory, and run e2pose doctor")
        self._is_ready = True
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._end()

    def _end(self) -> str:
        self._process.join()
        self.connection.close()
        code = self._process.exitcode or 0
        if code == _TIME_LIMIT_CODE and self._is_ready:
            return "the time limit was exceeded"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _serve(connection: Connection, options: WorkerOptions) -> None:
    """Runs the tasks that arrive until the driver closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the driver decides
    Thread(target=_end_with_driver, daemon=True).start()
    try:
        open_estimator(options)
        connection.send(_READY)
        while True:
            task: Task = connection.recv()
            connection.send(run_task(options, task))
    except EOFError:
        pass
    except Exception as error:
        connection.send(error)


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    wait([driver.sentinel])
    os._exit(0)
