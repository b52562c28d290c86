"""What a training needs before its first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import ModelSpec
from e2pose.data.batches import Batches
from e2pose.data.image_sets import ImageSet, open_set, resolve_schema
from e2pose.data.training_images import TrainingImages
from e2pose.models.build import build_network
from e2pose.models.paper import E2Pose
from e2pose.models.weights import load_backbone
from e2pose.training.checkpoint import TrainingState
from e2pose.training.ema import WeightAverage
from e2pose.training.loop import Trainer, set_training_mode
from e2pose.training.memory import keep_freed_memory
from e2pose.training.optim import build_optimizer
from e2pose.training.phases import PhaseClock
from e2pose.training.recipe import Recipe
from e2pose.training.sync_norm import share_batch_norms
from e2pose.training.warm_start import find_weights, warm_start

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Tell = Callable[[str], None]
"""Takes a line for people."""


def say_nothing(_: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, eq=False)
class Training:
    """A training that is ready for its next step, in one of its processes."""

    sets: Sequence[ImageSet]
    trainer: Trainer
    batches: Batches


def set_up(
    fabric: Fabric, recipe: Recipe, root: Path, *, checkpoint: Path | None, tell: Tell, exact_clock: bool = False
) -> Training:
    """Reads the data and builds what is trained.

    Args:
        fabric: Device and processes.
        recipe: What to do.
        root: Folder of the image sets.
        checkpoint: Where to go on; None to begin.
        tell: Takes what there is to know.
        exact_clock: Measure the phases of a step exactly, which makes them slower.

    Raises:
        AnnotationError: The image sets cannot be used.
        ModelError: The weights to start from cannot be used.
        TrainingError: The checkpoint cannot be used.
    """
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if fabric.device.type == "cpu":
        keep_freed_memory()
    schema = resolve_schema(recipe.schema_name, recipe.data.sets, root)
    sets = [open_set(part, root, schema) for part in recipe.data.sets]
    tell(_describe(sets))
    torch.manual_seed(recipe.seed)
    network = new_network(recipe, schema, pretrained=checkpoint is None, tell=tell)
    set_training_mode(network, recipe)
    average = WeightAverage(network, recipe.optim.ema_decay)
    if fabric.world_size > 1:
        share_batch_norms(network, fabric.device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = TrainingState(network, average, build_optimizer(network, recipe.optim), new_spec(recipe, schema))
    trainer = Trainer(fabric, recipe, schema, state, PhaseClock(fabric.device, exact=exact_clock))
    average.network.to(fabric.device)
    if checkpoint is not None:
        state.load(checkpoint)
        trainer.scale = state.scale
    images = open_training_images(recipe, sets, schema)
    batches = open_batches(recipe, images, fabric.global_rank, pin_memory=fabric.device.type == "cuda")
    return Training(sets, trainer, batches)


def open_training_images(recipe: Recipe, sets: Sequence[ImageSet], schema: KeypointSchema) -> TrainingImages:
    """Returns the augmented images of a recipe's training."""
    return TrainingImages(
        sets,
        schema,
        input_size_hw=recipe.input_size_hw,
        fit=recipe.fit,
        augment=recipe.augment,
        steps=recipe.optim.steps,
        batch_size=recipe.optim.batch_size,
        seed=recipe.seed,
        cache=recipe.data.cache,
    )


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


def new_network(recipe: Recipe, schema: KeypointSchema, *, pretrained: bool, tell: Tell) -> E2Pose:
    """The network of a recipe.

    Args:
        recipe: What to build.
        schema: The keypoints.
        pretrained: Start from the weights that the recipe names, if it does, and not from random ones.
        tell: Told what was taken over from a model of another kind.

    Raises:
        ModelError: The weights cannot be used.
    """
    network = build_network(recipe.network, len(schema), one_to_many=recipe.loss.one_to_many > 0)
    initial = recipe.initial
    if pretrained and initial.weights:
        tell(f"from '{initial.weights}': {warm_start(network, schema, find_weights(initial.weights)).describe()}")
    elif pretrained and initial.backbone_weights:
        load_backbone(network, Path(initial.backbone_weights))
    return network


def new_spec(recipe: Recipe, schema: KeypointSchema) -> ModelSpec:
    """How the network of a recipe is used."""
    return ModelSpec(
        name=recipe.name,
        input_size_hw=recipe.input_size_hw,
        fit=recipe.fit,
        schema=schema,
        multiple_of=32 if recipe.fit == "letterbox" else None,  # of which every backbone makes whole cells
        licence=recipe.licence,
        trained_on=tuple(part.path for part in recipe.data.sets),
    )


def _describe(sets: Sequence[ImageSet]) -> str:
    learned = [image for part in sets for image in part.training.images]
    people = sum(len(image.persons) for image in learned)
    held = sum(len(part.held_out.images) for part in sets)
    return f"{len(sets)} sets, {len(learned)} images, {people} people; {held} images held out"
