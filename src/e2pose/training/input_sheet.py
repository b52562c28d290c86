"""A sheet of augmented training images with their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.data.image_sets import open_set, resolve_schema
from e2pose.data.inspection.label_sheet import draw_labels
from e2pose.render.sheet import contact_sheet
from e2pose.training.recipe import load_recipe
from e2pose.training.set_up import open_training_images

_NUM_COLUMNS = 6


def input_sheet(recipe_path: Path, root: Path | None, count: int) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the first `count` training images of a recipe with their labels, and ignored boxes in red.

    Raises:
        OptionError: The recipe is invalid.
        AnnotationError: A set cannot be used.
        InputError: An image cannot be read.
    """
    recipe = load_recipe(recipe_path, ["data.cache=false"])
    root = Path(root or recipe.data.root)
    schema = resolve_schema(recipe.schema_name, recipe.data.sets, root)
    images = open_training_images(recipe, [open_set(part, root, schema) for part in recipe.data.sets], schema)
    tiles = []
    for number in range(count):
        image, labels = images[number]
        tiles.append(draw_labels(image, labels.keypoints, labels.labelled, labels.ignore, schema))
    return contact_sheet(tiles, _NUM_COLUMNS)
