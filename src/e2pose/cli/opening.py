"""Models and images that commands open."""

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


def open_estimator(
    model: str | Path,
    options: RuntimeOptions,
    *,
    threshold: float | None = None,
    num_images: int | None = 1,
    quiet: bool = False,
) -> Estimator:
    """Opens a model as `Estimator.open` does, and prints its name, runtime and device; if quiet, warnings only."""
    from e2pose.inference.estimator import Estimator

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AccuracyWarning)
        warnings.simplefilter("always", FallbackWarning)
        estimator = Estimator.open(model, options, threshold, num_images=num_images)
    for warning in caught:
        print_message(f"warning: {warning.message}")
    if not quiet:
        parallel = f", {estimator.num_parallel} images in parallel" if estimator.num_parallel > 1 else ""
        print_message(f"model: {estimator.description}{parallel}")
    return estimator


def read_images(names: tuple[str, ...], max_images: int) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Reads the first images and video frames; without names, returns synthetic scenes with 1 to 22 persons."""
    if not names:
        from e2pose.export.scenes import default_scenes

        return default_scenes()
    from e2pose.sources.open import open_source

    with open_source(names, on_notice=print_message) as source:
        return [frame.image for frame in islice(source, max_images)]
