"""Opens the image sets of a recipe and reports what a training uses of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from e2pose.core.schema import KeypointSchema
from e2pose.data.image_sets import ImageSet, open_set, resolve_schema
from e2pose.data.image_store import find_image_errors
from e2pose.data.mirroring import describe_mirroring
from e2pose.data.selection import Selection, check_selections, describe, largest_scale, select
from e2pose.data.training_images import TrainingImages
from e2pose.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class ImageData:
    """The image sets of a training, ready to be drawn from."""

    schema: KeypointSchema
    sets: Sequence[ImageSet]  # whose held-out images can be evaluated
    images: TrainingImages
    selections: Sequence[Selection]  # one for each set
    summary: Sequence[str]  # lines for the user: sizes of the sets, and what is omitted and why


def open_image_data(recipe: Recipe, root: Path) -> ImageData:
    """Opens the image sets of a recipe in the folder `root`.

    Raises:
        AnnotationError: A set cannot be used, or no person can be learned.
        SchemaError: A schema cannot be read.
    """
    schema = resolve_schema(recipe.schema_name, recipe.data.sets, root)
    sets = [open_set(part, root, schema) for part in recipe.data.sets]
    images = open_training_images(recipe, sets, schema)
    names = [part.path for part in recipe.data.sets]
    scale_limit = partial(largest_scale, input_size_hw=recipe.input_size_hw, fit=recipe.fit, augment=recipe.augment)
    selections = [
        select(name, part.training, image_errors=errors, scale_limit=scale_limit)
        for name, part, errors in zip(names, sets, images.image_errors, strict=True)
    ]
    check_selections(selections)
    sets, held_out_lines = _select_held_out(names, sets)
    summary = [
        _describe_sizes(selections, sets),
        *describe(selections),
        *held_out_lines,
        *(f"{name}: {note}" for name, part in zip(names, sets, strict=True) for note in part.training.notes),
        *describe_mirroring(recipe.augment, schema),
    ]
    return ImageData(schema, sets, images, selections, summary)


def open_training_images(recipe: Recipe, sets: Sequence[ImageSet], schema: KeypointSchema) -> TrainingImages:
    """Returns the augmented images of a training."""
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


def _select_held_out(names: Sequence[str], sets: Sequence[ImageSet]) -> tuple[list[ImageSet], list[str]]:
    """Returns the sets with the held-out images that can be evaluated, and lines about the others."""
    kept, lines = [], []
    for name, part in zip(names, sets, strict=True):
        images = part.held_out.images
        errors = find_image_errors(part.folder, images)
        usable = tuple(image for index, image in enumerate(images) if index not in errors)
        if errors:
            example = next(iter(errors.values())).message
            lines.append(f"{name}: omitted {len(errors)} of {len(images)} held-out images (for example {example})")
        if usable and not any(person.has_keypoints for image in usable for person in image.persons):
            lines.append(f"{name}: the {len(usable)} held-out images have no annotated person and are not evaluated")
            usable = ()
        kept.append(replace(part, held_out=replace(part.held_out, images=usable)))
    return kept, lines


def _describe_sizes(selections: Sequence[Selection], sets: Sequence[ImageSet]) -> str:
    num_images, num_persons = (sum(values) for values in zip(*((s.images, s.persons) for s in selections), strict=True))
    num_held_out = sum(len(part.held_out.images) for part in sets)
    return (
        f"image sets: {len(sets)}, training images: {num_images} with {num_persons} persons, "
        f"held-out images: {num_held_out}"
    )
