"""The pixels of the training images."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import AnnotationError
from e2pose.data.image_sets import ImageSet
from e2pose.sources.images import read_image
from e2pose.training.recipe import Recipe
from e2pose.transforms.fit import fit_affine

Pixels = UInt8[np.ndarray, "_ _ 3"]


@runtime_checkable
class PictureStore(Protocol):
    """Pictures by number."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, number: int) -> Pixels:
        """A picture, perhaps as a smaller copy of itself."""

    def size_hw(self, number: int) -> tuple[int, int]:
        """Height and width of a picture in its own size."""


class Pictures:
    """The pictures of all image sets, one set after the other.

    They are decoded once and kept, no larger than the largest scale of the augmentation needs them, or with
    `data.cache = false` read anew each time.

    Args:
        sets: Where they are.
        recipe: Canvas and largest scale.

    Raises:
        AnnotationError: A picture has another size than its annotation says.
        InputError: A picture cannot be read.
    """

    def __init__(self, sets: Sequence[ImageSet], recipe: Recipe) -> None:
        self._files = [(part.folder / image.file_name, image) for part in sets for image in part.annotations.images]
        self._recipe = recipe
        self._kept: list[Pixels] = []
        if recipe.data.cache:
            with ThreadPoolExecutor() as pool:
                self._kept = list(pool.map(self._read_small, range(len(self._files))))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> Pixels:
        return self._kept[number] if self._kept else self._read(number)

    def size_hw(self, number: int) -> tuple[int, int]:
        """Height and width of a picture in its own size."""
        return self._files[number][1].size_hw

    def forget(self) -> None:
        """Gives the memory back; from now on pictures are read anew each time."""
        self._kept = []

    def _read(self, number: int) -> Pixels:
        path, image = self._files[number]
        pixels = read_image(path)
        if pixels.shape[:2] != image.size_hw:
            raise AnnotationError(
                f"'{path}' has {pixels.shape[0]}x{pixels.shape[1]} pixels, but its annotation says "
                f"{image.size_hw[0]}x{image.size_hw[1]}",
                "correct the annotation, or scale the image",
            )
        return pixels

    def _read_small(self, number: int) -> Pixels:
        recipe, pixels = self._recipe, self._read(number)
        fitted = fit_affine(self.size_hw(number), recipe.input_size_hw, recipe.fit).matrix
        scale = float(fitted[:, :2].max()) * max(recipe.augment.scale)
        if scale >= 1:
            return pixels
        return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
