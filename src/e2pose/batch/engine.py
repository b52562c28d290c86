"""The protocol of an engine, which runs tasks in worker processes."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from e2pose.batch.worker import Task, TaskResult


class Outcome(NamedTuple):
    """The end of a task. Without a result, its worker ended, or its machine was lost."""

    task: Task
    result: TaskResult | None
    reason: str = ""  # why the worker ended
    is_lost: bool = False  # the machine was lost, so that the task is not responsible


@runtime_checkable
class Engine(Protocol):
    """Runs tasks in worker processes. Results stay small: a worker writes its tables itself."""

    @property
    def num_slots(self) -> int:
        """Number of tasks that should be submitted but not finished; it may change."""
        ...

    def submit(self, task: Task) -> None:
        """Starts a task as soon as a worker is free."""
        ...

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Returns the tasks that have ended; waits for one, but not longer than the timeout.

        Raises:
            E2PoseError: A task cannot be processed on any worker: the model or the output is at fault.
        """
        ...

    def close(self) -> None:
        """Ends all workers immediately."""
        ...
