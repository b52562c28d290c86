"""From a recipe to weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from e2pose.core.errors import TrainingError
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import ModelSpec
from e2pose.models.artifact import save_weights
from e2pose.models.build import build_network, load_backbone
from e2pose.models.config import NetworkConfig
from e2pose.models.e2pose import E2Pose
from e2pose.training.checkpoint import TrainingState
from e2pose.training.config import Recipe, load_recipe
from e2pose.training.dataset import TrainingImages
from e2pose.training.ema import WeightAverage
from e2pose.training.loop import Progress, set_training_mode, train_steps
from e2pose.training.optim import build_optimizer
from e2pose.training.sets import ImageSet, open_set, recipe_schema

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"
LOG = "log.jsonl"
RECIPE = "recipe.json"


def train(
    recipe_path: str | Path,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    root: str | Path | None = None,
    tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
) -> Path:
    """Trains a network and returns the path of its weights.

    The run's folder holds `weights.safetensors` (the averaged weights, usable at any time), `checkpoint.pt`,
    `log.jsonl` and `recipe.json`.

    Args:
        recipe_path: A TOML file; see `e2pose.training.config.Recipe`.
        output: Folder of the run; `runs/<name of the recipe>` if None.
        resume: Go on with the run in that folder.
        root: Folder of the image sets, instead of the one in the recipe.
        tell: Takes a line of progress for people.

    Raises:
        OptionError: The recipe is wrong.
        AnnotationError: The image sets cannot be used.
        TrainingError: There is already a run in the folder, none to resume, or the training diverged.
    """
    recipe = load_recipe(Path(recipe_path))
    folder = Path(output) if output else Path("runs") / recipe.name
    if not resume and (folder / CHECKPOINT).exists():
        raise TrainingError(
            f"'{folder}' already holds a run", "go on with it by --resume, or choose another folder with -o"
        )
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    data = Path(root or recipe.data.root)
    schema = recipe_schema(recipe, data)
    sets = [open_set(part, data, schema) for part in recipe.data.sets]
    tell(_describe(sets))
    torch.manual_seed(recipe.seed)
    network = new_network(recipe, schema)
    set_training_mode(network, recipe)
    state = TrainingState(
        network, WeightAverage(network, recipe.optim.ema_decay), build_optimizer(network, recipe.optim)
    )
    if resume:
        state.load(folder / CHECKPOINT)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE).write_text(recipe.model_dump_json(indent=2, by_alias=True), encoding="utf-8")
    spec = new_spec(recipe, schema)

    def save() -> None:
        save_weights(folder / WEIGHTS, state.average.network, spec)
        state.save(folder / CHECKPOINT)

    with (folder / LOG).open("a", encoding="utf-8") as log:

        def report(progress: Progress) -> None:
            log.write(json.dumps(progress.to_record()) + "\n")
            log.flush()
            tell(_line(progress, recipe.optim.steps))

        train_steps(recipe, schema, TrainingImages(sets, recipe, schema), state, report=report, save=save)
    return folder / WEIGHTS


def new_network(recipe: Recipe, schema: KeypointSchema) -> E2Pose:
    """The network of a recipe, with pretrained backbone if it asks for one.

    Raises:
        ModelError: The backbone's weights cannot be loaded.
    """
    part = recipe.network
    network = build_network(
        NetworkConfig(
            backbone=part.backbone,
            keypoints=len(schema),
            strides=part.strides,
            width=part.width,
            head_depth=part.head_depth,
            refinements=part.refinements,
        )
    )
    if part.backbone_weights:
        load_backbone(network, Path(part.backbone_weights))
    return network


def new_spec(recipe: Recipe, schema: KeypointSchema) -> ModelSpec:
    """How the network of a recipe is used."""
    return ModelSpec(
        name=recipe.name,
        size_hw=recipe.canvas_hw,
        fit=recipe.fit,
        schema=schema,
        licence=recipe.licence,
        trained_on=tuple(part.path for part in recipe.data.sets),
    )


def _describe(sets: list[ImageSet]) -> str:
    images = sum(len(part.annotations.images) for part in sets)
    people = sum(len(image.persons) for part in sets for image in part.annotations.images)
    return f"{len(sets)} sets, {images} images, {people} people"


def _line(progress: Progress, steps: int) -> str:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    return (
        f"step {progress.step}/{steps}  {losses}  rate {progress.rate:.2f}  "
        f"{progress.images_per_s:.1f} images/s  waiting {progress.waiting:.0%}"
    )
