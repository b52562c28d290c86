"""The training loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from e2pose.core.errors import TrainingError
from e2pose.core.schema import KeypointSchema
from e2pose.models.e2pose import E2Pose
from e2pose.training.checkpoint import TrainingState
from e2pose.training.config import Recipe
from e2pose.training.dataset import TrainingImages, collate
from e2pose.training.layout import Layout
from e2pose.training.losses import Losses, compute_losses
from e2pose.training.matcher import match
from e2pose.training.optim import rate_factor, set_rate
from e2pose.training.target import Target


@dataclass(frozen=True)
class Progress:
    """What happened since the last report.

    Args:
        step: Steps done.
        losses: Mean of each part of the loss and of their total.
        rate: Learning rate relative to its peak.
        images_per_s: Throughput.
        waiting: Share of the time in which the network waited for images.
    """

    step: int
    losses: dict[str, float]
    rate: float
    images_per_s: float
    waiting: float

    def to_record(self) -> dict[str, float]:
        """The same as one flat record."""
        record = asdict(self)
        return {**record.pop("losses"), **record}


def train_steps(
    recipe: Recipe,
    schema: KeypointSchema,
    images: TrainingImages,
    state: TrainingState,
    *,
    report: Callable[[Progress], None],
    save: Callable[[], None],
) -> None:
    """Trains from where the state is to the end of the recipe, changing the state.

    Args:
        recipe: What to do.
        schema: The keypoints.
        images: What to learn from.
        state: Network, average and optimiser; the network as `set_training_mode` leaves it.
        report: Told of the progress every `recipe.log_every` steps.
        save: Called every `recipe.save_every` steps and at the end.

    Raises:
        TrainingError: The loss is no longer a finite number.
    """
    layout = Layout.of(recipe.canvas_hw, recipe.network.strides, schema)
    network = state.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = torch.compile(network) if recipe.compile else network
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    meter = _Meter(recipe)
    batches = meter.timed(_batches(recipe, images, state.step))
    for pixels, target in batches:
        set_rate(state.optimizer, rate_factor(state.step, recipe.optim))
        with _autocast(recipe):
            prediction = forward(pixels)
        pairs = match(prediction, target, layout, recipe.match)
        losses = compute_losses(prediction, target, pairs, layout, recipe.loss)
        state.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, recipe.optim.clip_norm)
        _check(losses, state.step)
        state.optimizer.step()
        state.average.update(network, state.step)
        state.step += 1

        meter.add(losses)
        is_last = state.step == recipe.optim.steps
        if state.step % recipe.log_every == 0 or is_last:
            report(meter.read(state.step))
        if state.step % recipe.save_every == 0 or is_last:
            save()


class _Meter:
    """Collects losses and times between two reports."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._reset()

    def _reset(self) -> None:
        self._records: list[dict[str, float]] = []
        self._waited = 0.0
        self._since = time.perf_counter()

    def timed(self, batches: Iterator[tuple[Tensor, Target]]) -> Iterator[tuple[Tensor, Target]]:
        """The same batches, with the time spent waiting for them measured."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def add(self, losses: Losses) -> None:
        """Takes the losses of one step."""
        self._records.append(losses.to_record())

    def read(self, step: int) -> Progress:
        """Sums up what happened since the last reading."""
        seconds = time.perf_counter() - self._since
        count = len(self._records)
        progress = Progress(
            step=step,
            losses={name: sum(record[name] for record in self._records) / count for name in self._records[0]},
            rate=rate_factor(step - 1, self._recipe.optim),
            images_per_s=count * self._recipe.optim.batch_size / seconds,
            waiting=self._waited / seconds,
        )
        self._reset()
        return progress


def set_training_mode(network: E2Pose, recipe: Recipe) -> None:
    """Switches to training, but for the layers that the recipe leaves as they are."""
    network.train()
    frozen: list[nn.Module] = network.backbone.stem() if recipe.network.freeze_stem else []
    for layer in frozen:
        layer.eval().requires_grad_(False)
    if recipe.network.freeze_batch_norm:
        for layer in network.backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()


def _batches(recipe: Recipe, images: TrainingImages, start: int) -> Iterator[tuple[Tensor, Target]]:
    size = recipe.optim.batch_size
    loader = DataLoader(
        images,
        batch_size=size,
        sampler=range(start * size, recipe.optim.steps * size),
        num_workers=recipe.workers,
        collate_fn=collate,
        persistent_workers=recipe.workers > 0,
        prefetch_factor=4 if recipe.workers else None,
    )
    return iter(loader)


def _autocast(recipe: Recipe) -> contextlib.AbstractContextManager[object]:
    if recipe.optim.precision == "bf16":
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def _check(losses: Losses, step: int) -> None:
    if not torch.isfinite(losses.total):
        raise TrainingError(
            f"the loss is {float(losses.total)} at step {step}: the training has diverged",
            "lower optim.learning_rate, then resume from the last checkpoint or start again",
        )
