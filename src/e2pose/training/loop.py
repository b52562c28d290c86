"""The training loop: from batches to updated weights."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
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

_MAX_OVERFLOWS = 50  # consecutive steps that are skipped while Fabric reduces the scale of f16 gradients


@dataclass(frozen=True)
class Progress:
    """Means over the steps since the last report."""

    step: int  # steps done
    losses: dict[str, float]  # the terms of the loss and their total
    persons_per_image: float  # that have labels in the training images
    rate: float  # learning rate of the last step relative to its peak
    images_per_s: float  # of all processes together
    seconds: dict[str, float]  # sums by phase, of this process; see `e2pose.training.step_timer`

    @property
    def waiting(self) -> float:
        """Share of the time spent waiting for images, in [0, 1]."""
        return self.seconds["waiting"] / sum(self.seconds.values())

    def to_record(self) -> dict[str, float]:
        """Returns the record for the log."""
        speed = {"rate": self.rate, "images_per_s": self.images_per_s, "waiting": self.waiting}
        return {"step": self.step, **self.losses, "persons_per_image": self.persons_per_image, **speed}


class Trainer:
    """Trains a network step by step.

    Args:
        fabric: Device, precision and processes.
        recipe: Settings of the training.
        schema: The keypoints.
        state: Changed by each step; its network is in the mode of `set_training_mode`.
        timer: Measures the phases of each step.
    """

    def __init__(
        self, fabric: Fabric, recipe: Recipe, schema: KeypointSchema, state: TrainingState, timer: StepTimer
    ) -> None:
        self.fabric = fabric
        self.recipe = recipe
        self.state = state
        self.timer = timer
        self.loss_names = (*(field.name for field in fields(Losses) if getattr(recipe.loss, field.name) > 0), "total")
        self._layout = Layout.of(recipe.input_size_hw, recipe.network.strides, schema, fabric.device)
        module: nn.Module = _DictOutput(state.network)
        if recipe.compile:
            module = torch.compile(module)  # type: ignore[assignment]
        self._module, self._optimizer = fabric.setup(module, state.optimizer)
        self._overflows = 0

    def step(self, batch: Sequence[MiniBatch], num_persons: Tensor) -> Tensor:
        """Trains on one batch: a forward and a backward pass for each mini-batch, then one update of the weights.

        Args:
            batch: This process's mini-batches, on the device.
            num_persons: Persons in the batches of all processes together, at least 1.

        Returns:
            The losses in the order of `loss_names`; the sum over all processes is the loss of the whole batch.

        Raises:
            TrainingError: The prediction or the gradient is not finite. Weights and optimiser are unchanged.
        """
        fabric, recipe, state, timer = self.fabric, self.recipe, self.state, self.timer
        sums = torch.zeros(len(self.loss_names), device=fabric.device)
        self._optimizer.zero_grad(set_to_none=True)
        for index, (images, target) in enumerate(batch, start=1):
            is_last = index == len(batch)
            with fabric.no_backward_sync(self._module, enabled=not is_last and fabric.world_size > 1):
                timer.start("forward")
                prediction = Prediction(**self._module(images))
                self._check_prediction(prediction)
                timer.start("matching")
                matches = match(prediction, target, self._layout, recipe.match)
                timer.start("losses")
                losses = compute_losses(prediction, target, matches, self._layout, recipe.loss, num_persons=num_persons)
                timer.start("backward")
                fabric.backward(losses.total * fabric.world_size)  # DDP averages gradients over processes
            sums += torch.stack([getattr(losses, name).detach() for name in self.loss_names])

        timer.start("optimiser")
        norm = fabric.clip_gradients(
            self._module, self._optimizer, max_norm=recipe.optim.clip_norm, error_if_nonfinite=False
        )
        assert norm is not None
        self._check_gradient(float(norm))  # equal in all processes, so that all of them stop
        set_rate(state.optimizer, rate_factor(state.step, recipe.optim))
        self._optimizer.step()
        state.average.update(state.network, state.step)
        state.step += 1
        return sums

    def _check_prediction(self, prediction: Prediction) -> None:
        if not (prediction.keypoints.isfinite().all() and prediction.person_logits.isfinite().all()):
            raise self._diverged("the prediction is not finite")

    def _check_gradient(self, norm: float) -> None:
        if math.isfinite(norm):
            self._overflows = 0
            return
        self._overflows += 1
        if self.recipe.optim.precision != "f16" or self._overflows > _MAX_OVERFLOWS:
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
        StoppedError: A process received a signal; the next step is not trained.
        TrainingError: The training diverged.
        InputError: Many images in succession cannot be read.
    """
    fabric, recipe, state, timer = trainer.fabric, trainer.recipe, trainer.state, trainer.timer
    sums, last_report = torch.zeros(len(trainer.loss_names), device=fabric.device), state.step
    persons = torch.zeros((), device=fabric.device)  # of all processes together
    timer.start("waiting")
    with closing(batches.from_step(state.step)) as stream:
        for mini_batches in stream:
            timer.start("transfer")
            batch = [
                (images.to(fabric.device, non_blocking=True), target.to(fabric.device))
                for images, target in mini_batches
            ]
            num_persons = torch.stack([target.present.sum() for _, target in batch]).sum()
            has_signal = num_persons.new_tensor(int(stop.signal > 0))
            num_persons, num_signals = _sum_processes(fabric, torch.stack([num_persons, has_signal])).unbind()
            if num_signals:
                raise StoppedError(stop.signal)
            sums += trainer.step(batch, num_persons.clamp(min=1))
            persons += num_persons
            timer.start(None)
            progress = None
            if state.step % recipe.log_every == 0 or state.step == recipe.optim.steps:
                progress = _summarise(trainer, sums, persons, state.step - last_report)
                sums, persons, last_report = torch.zeros_like(sums), torch.zeros_like(persons), state.step
                timer.reset()
            yield progress
            timer.start("waiting")


def _summarise(trainer: Trainer, sums: Tensor, persons: Tensor, num_steps: int) -> Progress:
    """Summarises the steps since the last report; `sums` holds this process's part of their losses."""
    state, optim, seconds = trainer.state, trainer.recipe.optim, trainer.timer.seconds
    means = (_sum_processes(trainer.fabric, sums) / num_steps).tolist()
    return Progress(
        step=state.step,
        losses=dict(zip(trainer.loss_names, means, strict=True)),
        persons_per_image=float(persons) / (num_steps * optim.batch_size),
        rate=rate_factor(state.step - 1, optim),
        images_per_s=num_steps * optim.batch_size / sum(seconds.values()),
        seconds=seconds,
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
    """Returns the sum of the values over all processes."""
    if fabric.world_size > 1:
        values = values.clone()
        torch.distributed.all_reduce(values)
    return values
