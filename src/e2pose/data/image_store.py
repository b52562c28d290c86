"""Pixels of the training images, cached in memory or read from files."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import AnnotationError
from e2pose.core.spec import Fit
from e2pose.data.image_sets import ImageSet
from e2pose.sources.images import read_image
from e2pose.transforms.fit import fit_affine

Pixels = UInt8[np.ndarray, "_ _ 3"]


class ImageStore:
    """The training images of all image sets by number, one set after the other.

    With `cache`, all images are decoded once and kept in memory, at no more than the resolution that `max_scale`, the
    largest scale of the augmentation, needs. Forked worker processes (Linux) share this memory. Otherwise each access
    reads the file.

    Raises:
        AnnotationError: The size of an image differs from its annotation.
        InputError: An image cannot be read.
    """

    def __init__(
        self, sets: Sequence[ImageSet], *, input_size_hw: tuple[int, int], fit: Fit, max_scale: float, cache: bool
    ) -> None:
        self._files = [
            (part.folder / image.file_name, image.size_hw) for part in sets for image in part.training.images
        ]
        self._input_size_hw = input_size_hw
        self._fit = fit
        self._max_scale = max_scale
        self._cached: list[Pixels] = []
        if cache:
            with ThreadPoolExecutor() as pool:
                self._cached = list(pool.map(self._read_small, range(len(self._files))))

    def __getitem__(self, number: int) -> Pixels:
        """Returns the pixels of an image, which may be a smaller copy of it."""
        return self._cached[number] if self._cached else self._read(number)

    def size_hw(self, number: int) -> tuple[int, int]:
        """Returns height and width of the image file."""
        return self._files[number][1]

    def _read(self, number: int) -> Pixels:
        path, size_hw = self._files[number]
        pixels = read_image(path)
        if pixels.shape[:2] != size_hw:
            raise AnnotationError(
                f"'{path}' has {pixels.shape[0]}x{pixels.shape[1]} pixels, but its annotation has "
                f"{size_hw[0]}x{size_hw[1]}",
                "correct the annotation, or scale the image",
            )
        return pixels

    def _read_small(self, number: int) -> Pixels:
        pixels = self._read(number)
        fitted = fit_affine(self.size_hw(number), self._input_size_hw, self._fit).matrix
        scale = float(fitted[:, :2].max()) * self._max_scale
        if scale >= 1:
            return pixels
        return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
