"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from e2pose.core.errors import TrainingError
from e2pose.core.schema import KeypointSchema
from e2pose.data.batches import Batches, MiniBatch
from e2pose.data.targets import Target
from e2pose.models.head import Prediction
from e2pose.models.paper import E2Pose
from e2pose.training.checkpoint import TrainingState
from e2pose.training.layout import Layout
from e2pose.training.losses import Losses, compute_losses
from e2pose.training.matcher import match
from e2pose.training.optim import rate_factor, set_rate
from e2pose.training.phases import PhaseClock
from e2pose.training.recipe import Recipe
from e2pose.training.stopping import StopRequest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_OVERFLOWS = 50  # so many steps in a row may be skipped while the scale of f16 gradients is being found


@dataclass(frozen=True)
class Progress:
    """What happened since the last report.

    Args:
        step: Steps done.
        losses: Mean of each part of the loss and of their total.
        rate: Learning rate relative to its peak.
        images_per_s: Throughput of all processes together.
        seconds: Where this process spent its time; see `e2pose.training.phases`.
        waiting: Share of the time in which the network waited for images.
    """

    step: int
    losses: dict[str, float]
    rate: float
    images_per_s: float
    seconds: dict[str, float]
    waiting: float

    def to_record(self) -> dict[str, float]:
        """The same as one flat record, without the seconds."""
        record: dict[str, Any] = asdict(self)
        del record["seconds"]
        return {**record.pop("losses"), **record}


class Trainer:
    """Takes one step after the other, changing the state.

    Args:
        fabric: Device, precision and processes.
        recipe: What to do.
        schema: The keypoints.
        state: Network, average and optimiser; the network as `set_training_mode` leaves it, both on the device.
        clock: Measures the phases.
    """

    def __init__(
        self, fabric: Fabric, recipe: Recipe, schema: KeypointSchema, state: TrainingState, clock: PhaseClock
    ) -> None:
        self.fabric = fabric
        self.recipe = recipe
        self.state = state
        self.clock = clock
        self._layout = Layout.of(recipe.input_size_hw, recipe.network.strides, schema, fabric.device)
        flat: nn.Module = _Flat(state.network)
        self._module, self._optimizer = fabric.setup(
            torch.compile(flat) if recipe.compile else flat,  # type: ignore[arg-type]
            state.optimizer,
        )
        self._overflows = 0
        self.names = (*(field.name for field in fields(Losses) if getattr(recipe.loss, field.name) > 0), "total")

    @property
    def scale(self) -> dict[str, Any]:
        """State of the scaler of f16 gradients; empty for other precisions."""
        return self.fabric.strategy.precision.state_dict()

    @scale.setter
    def scale(self, state: dict[str, Any]) -> None:
        self.fabric.strategy.precision.load_state_dict(state)

    def step(self, parts: Sequence[tuple[Tensor, Target]], people: Tensor) -> Tensor:
        """Learns from this process's share of a batch.

        Args:
            parts: Canvases and labels, in as many passes as the recipe shares them out among.
            people: How many people there are in the whole batch, in all processes.

        Returns:
            The losses in the order of `names`; those of all processes add up to the losses of the whole batch.

        Raises:
            TrainingError: An answer or the gradient is no longer finite; weights and optimiser are as before the step.
        """
        set_rate(self.state.optimizer, rate_factor(self.state.step, self.recipe.optim))
        self._optimizer.zero_grad(set_to_none=True)
        losses = torch.zeros(len(self.names), device=self.fabric.device)
        for number, (pixels, target) in enumerate(parts, start=1):
            is_last = number == len(parts)
            with self.fabric.no_backward_sync(self._module, enabled=not is_last and self.fabric.world_size > 1):
                losses += self._learn(pixels, target, people)
        with self.clock("optimiser"):
            self._update()
        return losses

    def _learn(self, pixels: Tensor, target: Target, people: Tensor) -> Tensor:
        with self.clock("forward"):
            prediction = Prediction(**self._module(pixels))
            if not (prediction.keypoints.isfinite().all() and prediction.person_logits.isfinite().all()):
                raise self._diverged("the network's answer is not finite")
        with self.clock("matching"):
            pairs = match(prediction, target, self._layout, self.recipe.match)
        with self.clock("losses"):
            losses = compute_losses(prediction, target, pairs, self._layout, self.recipe.loss, num_persons=people)
            total = losses.total * self.fabric.world_size  # gradients are averaged over processes
        with self.clock("backward"):
            self.fabric.backward(total)
        return torch.stack([getattr(losses, name).detach() for name in self.names])

    def _update(self) -> None:
        norm = self.fabric.clip_gradients(
            self._module, self._optimizer, max_norm=self.recipe.optim.clip_norm, error_if_nonfinite=False
        )
        assert norm is not None
        self._check(float(norm))  # the same number in all processes, so they stop together
        self._optimizer.step()
        self.state.average.update(self.state.network, self.state.step)
        self.state.step += 1

    def _check(self, norm: float) -> None:
        is_finite = norm < float("inf")
        self._overflows = 0 if is_finite else self._overflows + 1
        if not is_finite and (self.recipe.optim.precision != "f16" or self._overflows > _OVERFLOWS):
            raise self._diverged(f"the gradient is {norm}")

    def _diverged(self, why: str) -> TrainingError:
        return TrainingError(
            f"the training has diverged: at step {self.state.step} {why}",
            "lower optim.learning_rate, then go on from the last checkpoint with --resume, or start again",
        )


def train_steps(
    trainer: Trainer,
    batches: Batches,
    *,
    stop: StopRequest,
    report: Callable[[Progress], None],
    after: Callable[[int], None],
) -> bool:
    """Trains from where the trainer's state is to the end of its recipe.

    Args:
        trainer: Takes the steps.
        batches: What to learn from.
        stop: Looked at between two steps.
        report: Told of the progress every `recipe.log_every` steps.
        after: Told after each step how many are done.

    Returns:
        Whether the end was reached; False if any process was asked to stop before.

    Raises:
        TrainingError: The training diverged.
    """
    fabric, recipe, state = trainer.fabric, trainer.recipe, trainer.state
    meter = _Meter(trainer)
    device = fabric.device
    with closing(batches.from_step(state.step)) as stream:
        for parts in _timed(stream, trainer.clock):
            with trainer.clock("canvases"):
                ready = [(pixels.to(device, non_blocking=True), target.to(device)) for pixels, target in parts]
            people = torch.stack([target.present.sum() for _, target in ready]).sum()
            stops, people = _sum(fabric, torch.stack([people.new_tensor(int(stop.signal > 0)), people])).unbind()
            if stops:
                return False
            meter.add(trainer.step(ready, people.clamp(min=1)))
            if state.step % recipe.log_every == 0 or state.step == recipe.optim.steps:
                report(meter.read())
            with trainer.clock.paused():
                after(state.step)
    return True


class _Meter:
    """Collects losses between two reports."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._restart()

    def _restart(self) -> None:
        self._since = self._trainer.state.step
        self._losses = torch.zeros(len(self._trainer.names), device=self._trainer.fabric.device)
        self._trainer.clock.restart()

    def add(self, losses: Tensor) -> None:
        """Takes this process's part of the losses of one step."""
        self._losses += losses

    def read(self) -> Progress:
        """Sums up what happened since the last reading."""
        step, optim, clock = self._trainer.state.step, self._trainer.recipe.optim, self._trainer.clock
        steps, elapsed = step - self._since, clock.elapsed
        means = (_sum(self._trainer.fabric, self._losses) / steps).tolist()
        progress = Progress(
            step=step,
            losses=dict(zip(self._trainer.names, means, strict=True)),
            rate=rate_factor(step - 1, optim),
            images_per_s=steps * optim.batch_size / elapsed,
            seconds=dict(clock.seconds),
            waiting=clock.seconds["waiting"] / elapsed,
        )
        self._restart()
        return progress


def set_training_mode(network: E2Pose, recipe: Recipe) -> None:
    """Switches to training, but for the layers that the recipe leaves as they are."""
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


class _Flat(nn.Module):
    """A network that answers with a plain dictionary: Fabric cannot look into frozen records."""

    def __init__(self, network: E2Pose) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> dict[str, Any]:
        prediction = self.network(pixels)
        return {field.name: getattr(prediction, field.name) for field in fields(prediction)}


def _sum(fabric: Fabric, values: Tensor) -> Tensor:
    """The sum over all processes."""
    if fabric.world_size > 1:
        values = values.clone()
        torch.distributed.all_reduce(values)
    return values


def _timed(batches: Iterator[list[MiniBatch]], clock: PhaseClock) -> Iterator[list[MiniBatch]]:
    """The same batches, with the time spent waiting for them measured."""
    while True:
        with clock("waiting"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
