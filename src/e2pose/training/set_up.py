"""Builds everything that a training needs before its first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from e2pose.core.errors import OptionError
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import ModelSpec
from e2pose.data.batches import Batches
from e2pose.data.image_sets import ImageSet
from e2pose.data.training_images import TrainingImages
from e2pose.models.build import build_network
from e2pose.models.paper import E2Pose
from e2pose.models.weights import load_backbone
from e2pose.training.checkpoint import TrainingState
from e2pose.training.devices import keep_freed_memory
from e2pose.training.image_data import open_image_data
from e2pose.training.loop import Trainer, set_training_mode
from e2pose.training.optim import WeightAverage, build_optimizer
from e2pose.training.recipe import InitialConfig, OptimConfig, Recipe
from e2pose.training.step_timer import StepTimer
from e2pose.training.sync_norm import synchronise_batch_norms
from e2pose.training.warm_start import resolve_weights, warm_start

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, eq=False)
class Training:
    """A training in one of its processes, ready for the next step."""

    sets: Sequence[ImageSet]
    trainer: Trainer
    batches: Batches
    summary: Sequence[str]  # lines for the user: sizes of the sets, loaded weights


def set_up(
    fabric: Fabric, recipe: Recipe, root: Path, *, checkpoint: Path | None = None, exact_timing: bool = False
) -> Training:
    """Opens the image sets in `root` and builds the network, its optimiser and its batches.

    A checkpoint replaces the initial weights of the recipe. For `exact_timing`, see `StepTimer`.

    Raises:
        OptionError: The batch is too small for batch norms.
        AnnotationError: The image sets cannot be used, or no person can be learned.
        ModelError: The initial weights cannot be used.
        TrainingError: The checkpoint cannot be used.
    """
    _check_batch_norms(recipe)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if fabric.device.type == "cpu":
        keep_freed_memory()
    data = open_image_data(recipe, root)
    schema, summary = data.schema, [*data.summary, *_describe_schedule(recipe.optim)]
    torch.manual_seed(recipe.seed)
    network = new_network(recipe, schema)
    if checkpoint is None:
        summary += _load_initial_weights(network, recipe.initial, schema)
    set_training_mode(network, recipe)
    average = WeightAverage(network, recipe.optim.ema_decay)
    if fabric.world_size > 1:
        synchronise_batch_norms(network, fabric.device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(network, recipe.optim)
    state = TrainingState(network, average, optimizer, fabric.strategy.precision, new_spec(recipe, schema))
    trainer = Trainer(fabric, recipe, schema, state, StepTimer(fabric.device, exact=exact_timing))
    average.network.to(fabric.device)
    if checkpoint is not None:
        state.load(checkpoint)
    batches = open_batches(recipe, data.images, fabric.global_rank, pin_memory=fabric.device.type == "cuda")
    return Training(data.sets, trainer, batches, summary)


def _check_batch_norms(recipe: Recipe) -> None:
    """Raises `OptionError` if a trained batch norm would have a single value for each channel."""
    network = recipe.network
    fine = network.refinement and network.refinement.fine
    stride = network.strides[-1]
    if not recipe.initial.freeze_batch_norm:  # strides of the backbone
        stride = max(stride, 64 if fine and fine.half_resolution_branch else 32)
    images = recipe.optim.batch_size // recipe.optim.accumulate  # of all processes, which share their statistics
    height, width = recipe.input_size_hw
    if images == 1 and max(height, width) <= stride:
        raise OptionError(
            f"batch norms need two values, but the coarsest map of the network, of stride {stride}, has a single cell "
            f"for one image of {height}x{width} per pass",
            "raise optim.batch_size or input_size_hw, lower optim.accumulate, or end network.strides earlier",
        )


def _describe_schedule(optim: OptimConfig) -> list[str]:
    """Returns a line if the learning rate never reaches its peak."""
    if optim.warmup_steps <= optim.steps:
        return []
    return [f"the learning rate stays below its peak: optim.warmup_steps {optim.warmup_steps} > steps {optim.steps}"]


def open_batches(recipe: Recipe, images: TrainingImages, process: int = 0, *, pin_memory: bool = False) -> Batches:
    """Returns the part of each batch that one process trains on."""
    return Batches(
        images,
        steps=recipe.optim.steps,
        batch_size=recipe.optim.batch_size,
        accumulate=recipe.optim.accumulate,
        processes=recipe.processes,
        process=process,
        workers=recipe.workers,
        pin_memory=pin_memory,
    )


def new_network(recipe: Recipe, schema: KeypointSchema) -> E2Pose:
    """Builds the network of a recipe with random weights."""
    return build_network(recipe.network, len(schema), one_to_many=recipe.loss.one_to_many > 0)


def _load_initial_weights(network: E2Pose, initial: InitialConfig, schema: KeypointSchema) -> list[str]:
    """Loads the initial weights of a recipe, if it has any, and returns lines for the user."""
    if initial.weights:
        return [f"from '{initial.weights}': {warm_start(network, schema, resolve_weights(initial.weights)).describe()}"]
    if initial.backbone_weights:
        load_backbone(network, Path(initial.backbone_weights))
    return []


def new_spec(recipe: Recipe, schema: KeypointSchema) -> ModelSpec:
    """Returns the spec of a recipe's model."""
    return ModelSpec(
        name=recipe.name,
        input_size_hw=recipe.input_size_hw,
        fit=recipe.fit,
        schema=schema,
        multiple_of=32 if recipe.fit == "letterbox" else None,  # the largest stride of the backbones
        licence=recipe.licence,
        trained_on=tuple(part.path for part in recipe.data.sets),
    )
