"""How commands open the model and the pictures that they were asked for."""

from __future__ import annotations

import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from e2pose.cli.terminal import print_message
from e2pose.core.errors import AccuracyWarning, FallbackWarning
from e2pose.runtimes.options import RuntimeOptions

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from e2pose.inference.estimator import Estimator

_USUAL_SCENES = range(1, 25, 3)


def open_estimator(
    model: str | Path,
    options: RuntimeOptions,
    *,
    threshold: float | None = None,
    num_images: int | None = 1,
    quiet: bool = False,
) -> Estimator:
    """Loads a model and says what really runs it.

    Args:
        model: A name from the catalogue, or the path of a model file.
        options: What runs it.
        threshold: Leave out persons with a lower score; None for the model's own value.
        num_images: Number of images to process; None if unknown. Several images are processed in parallel.
        quiet: Say nothing, but that something else is used than what was asked for.
    """
    from e2pose.inference.estimator import Estimator

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AccuracyWarning)
        warnings.simplefilter("always", FallbackWarning)
        estimator = Estimator.open(model, options, threshold, num_images=num_images)
    for warning in caught:
        print_message(f"warning: {warning.message}")
    if not quiet:
        print_message(
            f"model: {estimator.description}"
            + (f", {estimator.num_parallel} pictures at once" if estimator.num_parallel > 1 else "")
        )
    return estimator


def read_images(names: tuple[str, ...], most: int) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """The first pictures and frames behind some names; scenes with 1 to 22 photographed people if there is no name.

    Args:
        names: What `open_source` understands.
        most: How many there are at most.
    """
    if not names:
        from e2pose.bench.images import crowd

        return [crowd(people) for people in _USUAL_SCENES]
    from e2pose.sources.open import open_source

    with open_source(names) as source:
        return [frame.image for frame in islice(source, most)]
