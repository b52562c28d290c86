"""The estimator: an image in, the poses of all persons out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.arguments import check_count, check_list, check_share, check_type, show
from e2pose.core.errors import FallbackWarning, MissingExtraError, OptionError, RuntimeChoiceError
from e2pose.core.files import check_model_file
from e2pose.core.frame import check_image
from e2pose.core.poses import Poses
from e2pose.core.spec import ModelSpec
from e2pose.inference.decode import decode
from e2pose.inference.preprocess import preprocess
from e2pose.runtimes.base import Runtime
from e2pose.runtimes.options import DEFAULT_OPTIONS, Precision, RuntimeName, RuntimeOptions
from e2pose.runtimes.select import RUNTIMES, open_runtime, share_threads
from e2pose.sources.images import decode_image, read_image
from e2pose.transforms.fit import input_size_for
from e2pose.zoo.catalogue import resolve_model

Image = np.ndarray | str | Path | bytes | bytearray | memoryview
"""RGB pixels, (H, W, 3) uint8, the path of an image file, or the content of one."""


class Estimator:
    """Finds persons and their keypoints: `poses = estimator(image)`.

    Estimators can be pickled and copied, for example for worker processes: a copy opens the same model file with the
    same options again, so the file must still exist. With torch, the copy contains the weights instead.

    Args:
        runtime: A loaded model.
        threshold: Discard persons with a lower score, in [0, 1]; None for the model's own threshold.
        num_parallel: Number of images that the caller may process in parallel; see `Estimator.open`.

    Raises:
        OptionError: An argument has the wrong type or is out of range.
    """

    def __init__(self, runtime: Runtime, threshold: float | None = None, *, num_parallel: int = 1) -> None:
        if not callable(runtime) or not isinstance(getattr(runtime, "spec", None), ModelSpec):
            raise OptionError(f"an estimator needs a loaded model, not {show(runtime)}", "load one with e2pose.load()")
        self.runtime = runtime
        self.threshold = runtime.spec.threshold
        if threshold is not None:
            self.threshold = check_share("the threshold", threshold, hint="omit it to use the model's own threshold")
        self.num_parallel = check_count("'num_parallel'", num_parallel, hint="use 1 to process single images")

    @classmethod
    def open(
        cls,
        model: str | Path = "default",
        options: RuntimeOptions = DEFAULT_OPTIONS,
        threshold: float | None = None,
        *,
        num_images: int | None = 1,
    ) -> Estimator:
        """Resolves a model name or path and loads the model; `load` is the same with keyword arguments.

        Args:
            model: A name from the catalogue, or the path of a file written by e2pose.
            options: Runtime, device, precision, input size and threads. With `allow_fallback`, a `FallbackWarning`
                reports what is not available, and the default runtime on the CPU replaces it.
            threshold: Discard persons with a lower score, in [0, 1]; None for the model's own threshold.
            num_images: Number of images to process; None if unknown. For more than one, the CPU threads are divided
                among `num_parallel` images, which the caller processes in parallel.

        Raises:
            E2PoseError: As `load`.
        """
        check_type("'options'", options, RuntimeOptions, hint="pass a RuntimeOptions, or use e2pose.load()")
        if num_images is not None:
            check_count("'num_images'", num_images, 0, hint="use None if the number of images is unknown")
        try:
            runtime, num_parallel = _open_model(model, options, num_images)
        except (RuntimeChoiceError, MissingExtraError) as error:
            if not options.allow_fallback:
                raise
            defaults = RuntimeOptions(input_size=options.input_size, threads=options.threads)
            runtime, num_parallel = _open_model(model, defaults, num_images)
            warnings.warn(f"{error.message}; using {runtime.description} instead", FallbackWarning, stacklevel=2)
        return cls(runtime, threshold, num_parallel=num_parallel)

    @property
    def spec(self) -> ModelSpec:
        """Describes the model's input and keypoints."""
        return self.runtime.spec

    @property
    def description(self) -> str:
        """Model, runtime, device and precision in use, as a line of text."""
        return f"{self.spec.name}, {self.runtime.description}"

    def with_threshold(self, threshold: float) -> Estimator:
        """Returns the same model with another threshold; None for the model's own."""
        return Estimator(self.runtime, threshold, num_parallel=self.num_parallel)

    def __call__(self, image: Image) -> Poses:
        """Finds all persons in one image.

        Args:
            image: (H, W, 3) uint8 RGB, the path of an image file, or the content of one as bytes. Not modified.

        Returns:
            Poses in pixels of the image, sorted by descending score.

        Raises:
            OptionError: The array is not an RGB image.
            InputError: The file or the bytes cannot be read.
        """
        return self.batch([image])[0]

    def batch(self, images: Sequence[Image]) -> list[Poses]:
        """Finds all persons in several images of any sizes, with one run of the network per input size.

        Raises:
            OptionError: An array is not an RGB image, or `images` is a single image.
            InputError: A file or bytes cannot be read.
        """
        if getattr(images, "ndim", 4) < 4:
            raise OptionError(
                "a batch must be a list of images, not one image", "pass [image], or call estimator(image)"
            )
        items = check_list("a batch", images, hint="pass a list of images, or call estimator(image) for one")
        arrays = [_to_array(image) for image in items]
        sizes = [input_size_for(array.shape[:2], self.spec) for array in arrays]
        results: dict[int, Poses] = {}
        for size in dict.fromkeys(sizes):
            indices = [index for index, other in enumerate(sizes) if other == size]
            batch = preprocess([arrays[index] for index in indices], self.spec)
            poses = decode(self.runtime(batch.pixels), batch, self.spec, threshold=self.threshold)
            results.update(zip(indices, poses, strict=True))
        return [results[index] for index in range(len(arrays))]


def _to_array(image: Image) -> UInt8[np.ndarray, "h w 3"]:
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(image)
    return check_image(image)


def _open_model(model: str | Path, options: RuntimeOptions, num_images: int | None) -> tuple[Runtime, int]:
    path, input_size = resolve_model(model, RUNTIMES[options.runtime or "onnxruntime"].suffixes)
    check_model_file(path)
    num_parallel, options = share_threads(path, options, num_images)
    return open_runtime(path, replace(options, input_size=options.input_size or input_size)), num_parallel


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
        runtime: "onnxruntime", "openvino", "tensorrt" or "torch"; None for the default runtime of the file.
        device: "cpu", "cuda", or "cuda:1" for the second GPU; None for "cuda" with tensorrt, else "cpu".
        precision: "f32", "f16" or "bf16"; None for the precision of the file.
        input_size: Height and width that images are fitted into; None for the model's own. A smaller input is faster,
            a larger one finds smaller persons.
        threads: CPU threads for one batch; None for the number of usable cores.
        allow_fallback: Replace an unavailable runtime, device or precision and issue a `FallbackWarning`, instead of
            raising an error.
        threshold: Discard persons with a lower score, in [0, 1]; None for the model's own threshold.

    Raises:
        ModelError: The model is unknown or damaged, or does not accept the input size.
        RuntimeChoiceError: The runtime, device or precision is not available or does not fit the file.
        MissingExtraError: The runtime is not installed.
        OptionError: The threshold or the number of threads is out of range.
    """
    options = RuntimeOptions(runtime, device, precision, input_size, threads, allow_fallback)
    return Estimator.open(model, options, threshold)
