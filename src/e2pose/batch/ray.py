"""The engine that runs tasks on a Ray cluster."""

from __future__ import annotations

import logging
import re
import socket
from typing import TYPE_CHECKING, Any

from e2pose.batch.engine import Outcome
from e2pose.batch.worker import Task, WorkerOptions, run_task
from e2pose.core.errors import E2PoseError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from ray import ObjectRef

_CONNECT_S = 10.0
_TASKS_PER_SLOT = 2  # so that a node has the next task when it finishes one


class RayEngine:
    """Ray tasks, one per CPU, or per GPU for a model on "cuda". Nodes may join and leave.

    Ray does not retry: its retries do not distinguish a lost node from a file that ends its worker.

    Args:
        options: The job.
        address: Address of the cluster; None for that of this machine or, if there is none, a new one.

    Raises:
        MissingExtraError: Ray is not installed.
        OptionError: The cluster does not answer.
    """

    def __init__(self, options: WorkerOptions, address: str | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("ray", "ray") from error
        self._ray: Any = ray
        try:
            _check_answers(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise OptionError(
                f"cannot connect to the Ray cluster '{address or 'auto'}': {error}",
                "check the address, and start the cluster with: ray start --head",
            ) from error
        is_gpu = options.runtime.device_kind == "cuda"
        self._resource = "GPU" if is_gpu else "CPU"
        decorate: Any = ray.remote(max_retries=0, scheduling_strategy="SPREAD", num_cpus=1, num_gpus=int(is_gpu))
        self._run = decorate(run_task)
        self._options = ray.put(options)
        self._pending: dict[ObjectRef[Any], Task] = {}

    @property
    def num_slots(self) -> int:
        """Twice the number of CPUs or GPUs that the cluster has at the moment."""
        return _TASKS_PER_SLOT * max(1, int(self._ray.cluster_resources().get(self._resource, 0)))

    def submit(self, task: Task) -> None:
        """Submits a task to the cluster."""
        self._pending[self._run.remote(self._options, task)] = task

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Returns the tasks that have ended.

        Raises:
            E2PoseError: The model or the output is at fault.
        """
        done, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        if not done:
            done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=timeout_s)
        return [self._outcome(reference) for reference in done]

    def close(self) -> None:
        """Disconnects, whereupon Ray ends the tasks; cancelling them may abort this process (Ray 2.60)."""
        self._ray.shutdown()

    def _outcome(self, reference: ObjectRef[Any]) -> Outcome:
        task = self._pending.pop(reference)
        errors = self._ray.exceptions
        try:
            return Outcome(task, self._ray.get(reference))
        except errors.RayTaskError as error:  # an exception of `run_task`
            cause = error.cause
            raise cause if isinstance(cause, E2PoseError) else error from None
        except (errors.NodeDiedError, errors.ObjectLostError) as error:
            return Outcome(task, None, str(error), is_lost=True)
        except errors.RayError as error:
            return Outcome(task, None, type(error).__name__)


def _check_answers(address: str | None) -> None:
    """Raises an `OSError` if nothing listens at an address with a port, for which Ray would wait for minutes."""
    if match := re.fullmatch(r"(?:ray://)?\[?([^\[\]]+)\]?:(\d+)", address or ""):
        socket.create_connection((match[1], int(match[2])), _CONNECT_S).close()
