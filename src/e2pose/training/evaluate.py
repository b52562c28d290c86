"""Average precision on held-out images during a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from e2pose.data.image_sets import ImageSet
from e2pose.evaluation.evaluate import evaluate
from e2pose.inference.estimator import Estimator
from e2pose.training.recipe import Recipe


def evaluate_sets(
    estimator: Estimator, recipe: Recipe, sets: Sequence[ImageSet], *, limit: int | None = None
) -> dict[str, float]:
    """Evaluates the held-out images of a recipe's sets, at most `limit` images, evenly chosen.

    Returns:
        Means over the sets of AP and AR, in [0, 1], and of duplicates per image; for several sets, AP of each as
        `ap/<path>` too. Sets are left out whose chosen images contain no person; empty if no set is left.
    """
    paths = [part.path for part in recipe.data.sets]
    names = [path if paths.count(path) == 1 else f"{path} {index}" for index, path in enumerate(paths)]
    held_out = {name: part for name, part in zip(names, sets, strict=True) if part.held_out.images}
    rows = {}
    for name, part in held_out.items():
        images = part.held_out.images
        count = len(images) if limit is None else max(1, limit // len(held_out))
        chosen = tuple(images[index] for index in spread(len(images), count))
        if not any(person.has_keypoints for image in chosen for person in image.persons):
            continue
        result = evaluate(estimator, replace(part.held_out, images=chosen), part.folder)
        metrics = result.metrics
        rows[name] = {
            "ap": metrics.ap,
            "ap50": metrics.ap50,
            "ap75": metrics.ap75,
            "ar": metrics.ar,
            "duplicates_per_image": result.duplicates_per_image,
        }
    means = {key: sum(row[key] for row in rows.values()) / len(rows) for key in next(iter(rows.values()), {})}
    return means | ({f"ap/{name}": row["ap"] for name, row in rows.items()} if len(rows) > 1 else {})


def spread(count: int, wanted: int) -> list[int]:
    """Returns at most `wanted` of the indices from 0 to `count - 1`, evenly spread."""
    return [index * count // min(count, wanted) for index in range(min(count, wanted))]
