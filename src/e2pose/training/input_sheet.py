"""A sheet of augmented training images with their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.data.inspection.label_sheet import draw_labels
from e2pose.render.sheet import contact_sheet
from e2pose.training.image_data import open_image_data
from e2pose.training.recipe import load_recipe

_NUM_COLUMNS = 6


def input_sheet(recipe_path: Path, root: Path | None, count: int) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the first `count` training images of a recipe with their labels, and ignored boxes in red.

    Raises:
        OptionError: The recipe is invalid.
        AnnotationError: A set cannot be used, or no person can be learned.
        InputError: Images cannot be read.
    """
    recipe = load_recipe(recipe_path, ["data.cache=false"])
    data = open_image_data(recipe, Path(root or recipe.data.root))
    tiles = []
    for number in range(count):
        image, labels = data.images[number]
        tiles.append(draw_labels(image, labels.keypoints, labels.labelled, labels.ignore, data.schema))
    return contact_sheet(tiles, _NUM_COLUMNS)
