"""Where a training runs: device, precision and processes, on Lightning Fabric."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from e2pose.core.errors import E2PoseError, MissingExtraError, OptionError, RuntimeChoiceError, TrainingError
from e2pose.training.recipe import Recipe
from e2pose.training.stopping import StoppedError, StopRequest, leave

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


def launch(recipe: Recipe, work: Callable[..., R], *arguments: object) -> R:
    """Runs `work(fabric, *arguments)` in every process of a training and returns what the first one returns.

    One process works right here. More than one are started as new ones, unless `torchrun` or Slurm have started this
    one as one of them already; their arguments are pickled.

    Raises:
        RuntimeChoiceError: A device is not available.
        OptionError: The device cannot compute with the precision.
        TrainingError: A process died.
        E2PoseError: What `work` raises, from whatever process.
        KeyboardInterrupt: SIGINT has ended it.
        SystemExit: SIGTERM has ended it.
    """
    fabric = open_fabric(recipe)
    if recipe.processes == 1 or _is_started():
        try:
            here: R = fabric.launch(work, *arguments)
        except StoppedError as stopped:
            leave(stopped.signal)
        return here
    errors = multiprocessing.get_context("spawn").SimpleQueue()
    with _PassedOn() as asked:
        try:
            stopped_by, result = fabric.launch(partial(_work_and_report, errors=errors, work=work, arguments=arguments))
        except (ProcessRaisedException, ProcessExitedException) as failure:
            if asked.signal:
                leave(asked.signal)
            if not errors.empty():
                raise errors.get() from None
            raise TrainingError(
                f"a process of the training died: {str(failure).strip().splitlines()[-1]}",
                "go on with --resume, with fewer devices or a smaller optim.batch_size if the memory was full",
            ) from failure
    if asked.signal or stopped_by:
        leave(asked.signal or stopped_by)
    return cast(R, result)


class _PassedOn(StopRequest):
    """Signals to the process that waits, passed on to those that it waits for."""

    def _ask(self, number: int, frame: FrameType | None) -> None:
        super()._ask(number, frame)
        for process in multiprocessing.active_children():
            process.terminate()


def open_fabric(recipe: Recipe) -> Fabric:
    """Checks that the devices of a recipe are there, and takes them.

    Raises:
        RuntimeChoiceError: A device is not available.
        OptionError: The device cannot compute with the precision.
        MissingExtraError: Lightning Fabric is not installed.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "lightning_fabric", "train") from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    method: Literal["popen", "spawn"] = "popen" if _is_started() else "spawn"
    together = DDPStrategy(start_method=method)
    return Fabric(
        accelerator=_find_device(recipe),
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        strategy=together if recipe.processes > 1 else "auto",
        precision=_PRECISIONS[recipe.optim.precision],
    )


def _find_device(recipe: Recipe) -> str:
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    device = recipe.device
    if device == "auto":
        device = "cuda" if counts["cuda"] else "mps" if counts["mps"] else "cpu"
    if device != "cpu" and recipe.devices > counts[device]:
        raise RuntimeChoiceError(
            f"the recipe asks for {recipe.devices} x '{device}', but torch finds {counts[device]} here",
            "set device to 'cpu' or devices to what is there, or install a build of torch for your GPU",
        )
    if device == "cpu" and recipe.optim.precision == "f16":
        raise OptionError("a CPU cannot train with the precision 'f16'", "set optim.precision to 'bf16' or 'f32'")
    return device


def _is_started() -> bool:
    """Whether somebody else starts the processes, and this is one of them."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    return bool(TorchElasticEnvironment.detect() or SLURMEnvironment.detect())


def _work_and_report(
    fabric: Fabric, *, errors: SimpleQueue[E2PoseError], work: Callable[..., R], arguments: Sequence[object]
) -> tuple[int, R | None]:
    """Works, and leaves an error for the process that waits, which would only see it as text.

    The arguments come as one, since Fabric cannot look into frozen records among its own.

    Returns:
        The signal that ended the work, or 0, and its result.
    """
    try:
        return 0, work(fabric, *arguments)
    except StoppedError as stopped:
        return stopped.signal, None
    except E2PoseError as error:
        errors.put(error)
        raise
