"""The training loop: from batches to updated weights."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from e2pose.core.errors import TrainingError
from e2pose.core.schema import KeypointSchema
from e2pose.data.batches import Batches, MiniBatch
from e2pose.models.head import Prediction
from e2pose.models.paper import E2Pose
from e2pose.training.checkpoint import TrainingState
from e2pose.training.interrupts import StoppedError, StopRequest
from e2pose.training.layout import Layout
from e2pose.training.losses import Losses, compute_losses
from e2pose.training.matcher import match
from e2pose.training.optim import rate_factor, set_rate
from e2pose.training.recipe import Recipe
from e2pose.training.step_timer import StepTimer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_MAX_OVERFLOWS = 50  # consecutive steps without an update while the scale of f16 gradients is adjusted


@dataclass(frozen=True)
class Progress:
    """The steps since the last report.

    Args:
        step: Steps done.
        losses: Means of the terms of the loss and of their total.
        rate: Learning rate relative to its peak.
        images_per_s: Throughput of all processes together.
        seconds: Time of this process by phase; see `e2pose.training.step_timer`.
        waiting: Share of the time spent waiting for images, in [0, 1].
    """

    step: int
    losses: dict[str, float]
    rate: float
    images_per_s: float
    seconds: dict[str, float]
    waiting: float

    def to_record(self) -> dict[str, float]:
        """Returns one flat record without `seconds`."""
        record: dict[str, Any] = asdict(self)
        del record["seconds"]
        return {**record.pop("losses"), **record}


class Trainer:
    """Trains a network step by step, changing the state.

    Args:
        fabric: Device, precision and processes.
        recipe: Settings of the training.
        schema: The keypoints.
        state: Network, average and optimiser; the network is in the mode of `set_training_mode`.
        timer: Measures the phases of a step.
    """

    def __init__(
        self, fabric: Fabric, recipe: Recipe, schema: KeypointSchema, state: TrainingState, timer: StepTimer
    ) -> None:
        self.fabric = fabric
        self.recipe = recipe
        self.state = state
        self.timer = timer
        self._layout = Layout.of(recipe.input_size_hw, recipe.network.strides, schema, fabric.device)
        wrapped: nn.Module = _DictOutput(state.network)
        self._module, self._optimizer = fabric.setup(
            torch.compile(wrapped) if recipe.compile else wrapped,  # type: ignore[arg-type]
            state.optimizer,
        )
        self._overflows = 0
        self.names = (*(field.name for field in fields(Losses) if getattr(recipe.loss, field.name) > 0), "total")

    def step(self, batch: Sequence[MiniBatch], num_persons: Tensor) -> Tensor:
        """Trains on this process's part of a batch.

        Args:
            batch: Images and labels of each pass, on the device.
            num_persons: Persons in the whole batch of all processes, at least 1.

        Returns:
            The losses in the order of `names`; those of all processes add up to the losses of the whole batch.

        Raises:
            TrainingError: The prediction or the gradient is not finite. Weights and optimiser are unchanged.
        """
        fabric, recipe, state, timer = self.fabric, self.recipe, self.state, self.timer
        set_rate(state.optimizer, rate_factor(state.step, recipe.optim))
        self._optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(len(self.names), device=fabric.device)
        for index, (images, target) in enumerate(batch, start=1):
            is_last = index == len(batch)
            with fabric.no_backward_sync(self._module, enabled=not is_last and fabric.world_size > 1):
                with timer("forward"):
                    prediction = Prediction(**self._module(images))
                    self._check_prediction(prediction)
                with timer("matching"):
                    matches = match(prediction, target, self._layout, recipe.match)
                with timer("losses"):
                    losses = compute_losses(
                        prediction, target, matches, self._layout, recipe.loss, num_persons=num_persons
                    )
                with timer("backward"):
                    fabric.backward(losses.total * fabric.world_size)  # DDP averages gradients over processes
            sums += torch.stack([getattr(losses, name).detach() for name in self.names])
        with timer("optimiser"):
            norm = fabric.clip_gradients(
                self._module, self._optimizer, max_norm=recipe.optim.clip_norm, error_if_nonfinite=False
            )
            assert norm is not None
            self._check_gradient(float(norm))  # equal in all processes, so that all of them stop
            self._optimizer.step()
            state.average.update(state.network, state.step)
            state.step += 1
        return sums

    def _check_prediction(self, prediction: Prediction) -> None:
        if not (prediction.keypoints.isfinite().all() and prediction.person_logits.isfinite().all()):
            raise self._diverged("the prediction is not finite")

    def _check_gradient(self, norm: float) -> None:
        is_finite = norm < float("inf")
        self._overflows = 0 if is_finite else self._overflows + 1
        if not is_finite and (self.recipe.optim.precision != "f16" or self._overflows > _MAX_OVERFLOWS):
            raise self._diverged(f"the norm of the gradient is {norm}")

    def _diverged(self, reason: str) -> TrainingError:
        return TrainingError(
            f"the training diverged at step {self.state.step}: {reason}",
            "lower optim.learning_rate and continue from the last checkpoint with --resume, or start again",
        )


def train_steps(trainer: Trainer, batches: Batches, stop: StopRequest) -> Generator[Progress | None]:
    """Trains to the last step of the recipe, and yields after every step.

    Yields `Progress` every `recipe.log_every` steps and after the last one, None otherwise. The time that the caller
    spends between two steps is not measured. Close the generator to end the processes that prepare images.

    Raises:
        StoppedError: A signal was received by any process, before the step that would have followed.
        TrainingError: The training diverged.
        E2PoseError: An image cannot be used.
    """
    fabric, recipe, state, timer = trainer.fabric, trainer.recipe, trainer.state, trainer.timer
    sums, last_report = torch.zeros(len(trainer.names), device=fabric.device), state.step
    timer.restart()
    with closing(batches.from_step(state.step)) as stream:
        for mini_batches in _timed(stream, timer):
            with timer("transfer"):
                batch = [
                    (images.to(fabric.device, non_blocking=True), t.to(fabric.device)) for images, t in mini_batches
                ]
            num_persons = torch.stack([target.present.sum() for _, target in batch]).sum()
            has_signal = num_persons.new_tensor(int(stop.signal > 0))
            num_signals, num_persons = _sum_processes(fabric, torch.stack([has_signal, num_persons])).unbind()
            if num_signals:
                raise StoppedError(stop.signal)
            sums += trainer.step(batch, num_persons.clamp(min=1))
            progress = None
            if state.step % recipe.log_every == 0 or state.step == recipe.optim.steps:
                progress = _summarise(trainer, sums, state.step - last_report)
                sums, last_report = torch.zeros_like(sums), state.step
                timer.restart()
            with timer.paused():
                yield progress


def _summarise(trainer: Trainer, sums: Tensor, steps: int) -> Progress:
    """Sums up the steps since the last report; `sums` holds this process's part of their losses."""
    state, optim, timer = trainer.state, trainer.recipe.optim, trainer.timer
    elapsed = timer.elapsed
    means = (_sum_processes(trainer.fabric, sums) / steps).tolist()
    return Progress(
        step=state.step,
        losses=dict(zip(trainer.names, means, strict=True)),
        rate=rate_factor(state.step - 1, optim),
        images_per_s=steps * optim.batch_size / elapsed,
        seconds=dict(timer.seconds),
        waiting=timer.seconds["waiting"] / elapsed,
    )


def set_training_mode(network: E2Pose, recipe: Recipe) -> None:
    """Switches the network to training mode, except for the layers that the recipe freezes."""
    network.train()
    frozen: list[nn.Module] = network.backbone.stem_modules() if recipe.initial.freeze_stem else []
    if recipe.optim.backbone_factor == 0:
        frozen += network.pretrained_modules()
    for layer in frozen:
        layer.eval().requires_grad_(False)
    if recipe.initial.freeze_batch_norm:
        for part in network.pretrained_modules():
            for layer in part.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()


class _DictOutput(nn.Module):
    """Returns the prediction as a dictionary: Fabric does not support frozen dataclasses."""

    def __init__(self, network: E2Pose) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Any]:
        prediction = self.network(images)
        return {field.name: getattr(prediction, field.name) for field in fields(prediction)}


def _sum_processes(fabric: Fabric, values: Tensor) -> Tensor:
    if fabric.world_size > 1:
        values = values.clone()
        torch.distributed.all_reduce(values)
    return values


def _timed(batches: Iterator[list[MiniBatch]], timer: StepTimer) -> Iterator[list[MiniBatch]]:
    """Yields the same batches and measures the time of waiting for them."""
    while True:
        with timer("waiting"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
