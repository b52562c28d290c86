"""How good a network is while it is being trained, on images held out of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from e2pose.data.image_sets import ImageSet, open_set
from e2pose.evaluation.evaluate import evaluate
from e2pose.inference.estimator import Estimator
from e2pose.models.weights import load_weights
from e2pose.runtimes.torch import TorchRuntime
from e2pose.training.recipe import Recipe, load_recipe


def measure(estimator: Estimator, sets: Mapping[str, ImageSet], *, limit: int | None = None) -> dict[str, float]:
    """Average precision and recall on held-out images, in [0, 1]; nothing if no set holds out any.

    Args:
        estimator: Finds the poses.
        sets: By name; those without held-out images are left out.
        limit: Look at no more images than so many, evenly chosen; None for all.

    Returns:
        Means over the sets; where there are several, AP of each as `ap/<name>` too.
    """
    held = {name: part for name, part in sets.items() if part.held_out.images}
    rows = {}
    for name, part in held.items():
        images = part.held_out.images
        share = len(images) if limit is None else max(1, limit // len(held))
        chosen = tuple(images[index] for index in spread(len(images), share))
        result = evaluate(estimator, replace(part.held_out, images=chosen), part.folder)
        numbers = result.metrics
        rows[name] = {
            "ap": numbers.ap,
            "ap50": numbers.ap50,
            "ap75": numbers.ap75,
            "ar": numbers.ar,
            "duplicates_per_image": result.duplicates_per_image,
        }
    means = {key: sum(row[key] for row in rows.values()) / len(rows) for key in next(iter(rows.values()), {})}
    each = {f"ap/{name}": row["ap"] for name, row in rows.items()} if len(rows) > 1 else {}
    return means | each


def measure_weights(
    weights: str | Path,
    recipe_path: str | Path,
    *,
    overrides: Sequence[str] = (),
    root: str | Path | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """What `measure` finds for trained weights on all images that a recipe holds out, on canvases of its size.

    Args:
        weights: A `.safetensors` model.
        recipe_path: A TOML file; see `e2pose.training.recipe.Recipe`.
        overrides: Entries of the recipe to change, such as `input_size_hw=[320,320]`.
        root: Folder of the image sets, instead of the one in the recipe.
        device: Where to run the network.

    Raises:
        OptionError: The recipe is wrong.
        AnnotationError: The image sets cannot be used.
        ModelError: The weights cannot be read.
        RuntimeChoiceError: The device is not available.
    """
    recipe = load_recipe(Path(recipe_path), overrides)
    network, spec = load_weights(weights)
    runtime = TorchRuntime(network, replace(spec, input_size_hw=recipe.input_size_hw), device)
    place = Path(root or recipe.data.root)
    sets = [open_set(part, place, spec.schema) for part in recipe.data.sets]
    return measure(Estimator(runtime), by_name(recipe, sets))


def by_name(recipe: Recipe, sets: Sequence[ImageSet]) -> dict[str, ImageSet]:
    """The sets of a recipe by their paths, with numbers where a path occurs twice."""
    paths = [part.path for part in recipe.data.sets]
    names = [path if paths.count(path) == 1 else f"{path} {number}" for number, path in enumerate(paths)]
    return dict(zip(names, sets, strict=True))


def spread(count: int, wanted: int) -> list[int]:
    """At most so many of the numbers from 0, evenly spread."""
    return [index * count // min(count, wanted) for index in range(min(count, wanted))]
