"""A picture in, everybody's poses out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from e2pose.core.errors import OptionError
from e2pose.core.frame import check_image
from e2pose.core.poses import Poses
from e2pose.core.spec import ModelSpec
from e2pose.inference.decode import decode
from e2pose.inference.preprocess import preprocess
from e2pose.runtimes.base import Runtime
from e2pose.runtimes.options import Precision, RuntimeName, RuntimeOptions
from e2pose.runtimes.select import open_runtime
from e2pose.sources.images import read_image
from e2pose.transforms.fit import input_size_for

Image = np.ndarray | str | Path
"""RGB pixels, (H, W, 3) uint8, or the path of a picture. Arrays of other kinds are refused with advice."""


class Estimator:
    """Finds people and their keypoints: `poses = estimator(image)`.

    Args:
        runtime: A loaded model.
        threshold: Persons with a lower score are left out, in [0, 1]; None for the model's own value.

    Raises:
        OptionError: The threshold is out of range.
    """

    def __init__(self, runtime: Runtime, threshold: float | None = None) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise OptionError(
                f"the threshold must lie between 0 and 1, not {threshold}", "leave it out to use the model's own value"
            )
        self.runtime = runtime
        self.threshold = runtime.spec.threshold if threshold is None else threshold

    @property
    def spec(self) -> ModelSpec:
        """What the model is and how it wants its input."""
        return self.runtime.spec

    @property
    def description(self) -> str:
        """What really runs, for people: model, runtime and device."""
        return f"{self.spec.name}, {self.runtime.description}"

    def with_threshold(self, threshold: float) -> Estimator:
        """The same model with another threshold."""
        return Estimator(self.runtime, threshold)

    def __call__(self, image: Image) -> Poses:
        """Finds everybody in one picture.

        Args:
            image: (H, W, 3) uint8 RGB, or the path of a picture. Not changed.

        Returns:
            Poses in pixels of the picture, sorted by falling score.

        Raises:
            OptionError: The array is not an RGB picture.
            InputError: The file cannot be read.
        """
        return self.batch([image])[0]

    def batch(self, images: Sequence[Image]) -> list[Poses]:
        """Finds everybody in several pictures of any sizes, in one run of the network for each size of input_size.

        Raises:
            OptionError: An array is not an RGB picture.
            InputError: A file cannot be read.
        """
        arrays = [read_image(image) if isinstance(image, str | Path) else check_image(image) for image in images]
        sizes = [input_size_for(array.shape[:2], self.spec) for array in arrays]
        answers: dict[int, Poses] = {}
        for size in dict.fromkeys(sizes):
            chosen = [index for index, its in enumerate(sizes) if its == size]
            batch = preprocess([arrays[index] for index in chosen], self.spec)
            found = decode(self.runtime(batch.pixels), batch, self.spec, threshold=self.threshold)
            answers.update(zip(chosen, found, strict=True))
        return [answers[index] for index in range(len(arrays))]


def load(
    model: str | Path = "default",
    *,
    runtime: RuntimeName | None = None,
    device: str | None = None,
    precision: Precision | None = None,
    input_size: tuple[int, int] | None = None,
    threads: int | None = None,
    allow_fallback: bool = False,
    threshold: float | None = None,
) -> Estimator:
    """Loads a model.

    Args:
        model: A name from the catalogue, or the path of a file written by e2pose.
        runtime: "onnxruntime", "openvino", "tensorrt" or "torch"; None for the one that the file is made for.
        device: Where to run: "cpu", "cuda", or "cuda:1" for the second GPU; None for "cuda" with tensorrt, else "cpu".
        precision: "f32", "f16" or "bf16"; None for what the file is made for.
        input_size: Height and width that pictures are fitted into; None for the model's own. Less is faster, more finds
            smaller people.
        threads: CPU threads for one batch; None for as many as there are usable cores.
        allow_fallback: Replace what is not available, with a `FallbackWarning`; without it, that is an error.
        threshold: Persons with a lower score are left out, in [0, 1]; None for the model's own value.

    Raises:
        ModelError: The model is unknown, damaged or does not fit.
        RuntimeChoiceError: The runtime, device or precision is not available.
        MissingExtraError: The runtime is not installed.
        OptionError: The threshold or the number of threads is out of range.
    """
    options = RuntimeOptions(runtime, device, precision, input_size, threads, allow_fallback)
    return Estimator(open_runtime(model, options), threshold)
