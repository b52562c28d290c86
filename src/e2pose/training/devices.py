"""Device, precision and processes of a training, on Lightning Fabric."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from e2pose.core.errors import E2PoseError, MissingExtraError, OptionError, RuntimeChoiceError, TrainingError
from e2pose.training.interrupts import StoppedError, StopRequest, exit_by_signal
from e2pose.training.recipe import Recipe

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from types import FrameType

    from lightning_fabric import Fabric


R = TypeVar("R")

_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "f32": "32-true",
    "bf16": "bf16-mixed",
    "f16": "16-mixed",
}
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # options of mallopt in glibc's malloc.h
_TOP_PAD_BYTES = 1 << 28


def launch(recipe: Recipe, work: Callable[[Fabric], R]) -> R:
    """Runs `work(fabric)` in every process of a training and returns the result of the first process.

    A single process is the current one. Several processes are spawned, to which the pickled work is sent, unless
    `torchrun` or Slurm has launched them already.

    Raises:
        RuntimeChoiceError: A device is not available.
        OptionError: The device does not support the precision.
        TrainingError: A process died.
        E2PoseError: Raised by `work` in any process.
        KeyboardInterrupt: SIGINT stopped the training.
        SystemExit: SIGTERM stopped the training.
    """
    fabric = open_fabric(recipe)
    if recipe.processes == 1 or _is_launched_externally():
        try:
            result: R = fabric.launch(work)
        except StoppedError as stopped:
            exit_by_signal(stopped.signal)
        return result
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    with _ForwardedStopRequest() as stop:
        try:
            stopped_by, first = fabric.launch(partial(_run_and_report, errors=errors, work=work))
        except (ProcessRaisedException, ProcessExitedException) as failure:
            if stop.signal:
                exit_by_signal(stop.signal)
            if not errors.empty():
                raise errors.get() from None
            raise TrainingError(
                f"a training process died: {str(failure).strip().splitlines()[-1]}",
                "continue with --resume, with fewer devices or a smaller optim.batch_size if the memory was full",
            ) from failure
    if stop.signal or stopped_by:
        exit_by_signal(stop.signal or stopped_by)
    return cast(R, first)


class _ForwardedStopRequest(StopRequest):
    """Forwards signals from the launching process to the training processes."""

    def _record(self, number: int, frame: FrameType | None) -> None:
        super()._record(number, frame)
        for process in multiprocessing.active_children():
            process.terminate()


def _run_and_report(
    fabric: Fabric, *, errors: SimpleQueue[E2PoseError], work: Callable[[Fabric], R]
) -> tuple[int, R | None]:
    """Returns the signal that stopped the work, or 0, and its result.

    Errors are passed to the launching process, which would receive only their text from torch.
    """
    try:
        return 0, work(fabric)
    except StoppedError as stopped:
        return stopped.signal, None
    except E2PoseError as error:
        errors.put(error)
        raise


def open_fabric(recipe: Recipe) -> Fabric:
    """Creates the Fabric of a recipe, or raises an error if its device or precision is not available."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "lightning_fabric", "train") from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    ddp = DDPStrategy(start_method="popen" if _is_launched_externally() else "spawn")
    return Fabric(
        accelerator=_select_accelerator(recipe),
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        strategy=ddp if recipe.processes > 1 else "auto",
        precision=_PRECISIONS[recipe.optim.precision],
    )


def _select_accelerator(recipe: Recipe) -> str:
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    device = recipe.device
    if device == "auto":
        device = "cuda" if counts["cuda"] else "mps" if counts["mps"] else "cpu"
    if device != "cpu" and recipe.devices > counts[device]:
        raise RuntimeChoiceError(
            f"the recipe needs {recipe.devices} x '{device}', but torch finds {counts[device]}",
            "set device to 'cpu' or devices to the available number, or install a build of torch for your GPU",
        )
    if device == "cpu" and recipe.optim.precision == "f16":
        raise OptionError("optim.precision 'f16' is not supported on the CPU", "set optim.precision to 'bf16' or 'f32'")
    return device


def _is_launched_externally() -> bool:
    """Returns whether `torchrun` or Slurm launched this process as one of several."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    return bool(TorchElasticEnvironment.detect() or SLURMEnvironment.detect())


def keep_freed_memory() -> None:
    """Keeps freed memory in the process if the C library is glibc.

    By default, glibc returns large blocks to the system and maps them again, page by page, many times in each step on
    the CPU, which takes about a quarter of a step. Source: mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)
    mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)
