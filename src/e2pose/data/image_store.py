"""Pixels of the training images, cached in memory or read from files."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.annotations import ImageAnnotation, check_image_size
from e2pose.core.errors import AnnotationError, E2PoseError, InputError
from e2pose.core.spec import Fit
from e2pose.data.image_sets import ImageSet
from e2pose.sources.images import read_image, read_image_size
from e2pose.transforms.fit import fit_affine

Pixels = UInt8[np.ndarray, "_ _ 3"]


class ImageStore:
    """The training images of all image sets by number, one set after the other.

    With `cache`, all images are decoded once and kept in memory, at no more than the resolution that `max_scale`, the
    largest scale of the augmentation, needs. Forked worker processes (Linux) share this memory. Otherwise each access
    reads the file, and only the size of each image is checked here.

    Attributes:
        errors: The errors of the images that cannot be used, by number.
    """

    def __init__(
        self, sets: Sequence[ImageSet], *, input_size_hw: tuple[int, int], fit: Fit, max_scale: float, cache: bool
    ) -> None:
        self._files = [(part.folder, image) for part in sets for image in part.training.images]
        self._input_size_hw = input_size_hw
        self._fit = fit
        self._max_scale = max_scale
        self._cached: dict[int, Pixels] = {}
        self.errors: dict[int, E2PoseError] = {}
        read = self._read_small if cache else lambda number: _find_error(*self._files[number])
        with ThreadPoolExecutor() as pool:
            for number, result in enumerate(pool.map(read, range(len(self._files)))):
                if isinstance(result, E2PoseError):
                    self.errors[number] = result
                elif result is not None:
                    self._cached[number] = result

    def __getitem__(self, number: int) -> Pixels:
        """Returns the pixels of an image, which may be a smaller copy of it.

        Raises:
            AnnotationError: The size of the image differs from its annotation.
            InputError: The image cannot be read.
        """
        return self._cached[number] if self._cached else read_labelled_image(*self._files[number])

    def size_hw(self, number: int) -> tuple[int, int]:
        """Returns height and width of the image file."""
        return self._files[number][1].size_hw

    def _read_small(self, number: int) -> Pixels | E2PoseError:
        try:
            pixels = read_labelled_image(*self._files[number])
        except (AnnotationError, InputError) as error:
            return error
        fitted = fit_affine(self.size_hw(number), self._input_size_hw, self._fit).matrix
        scale = max(float(fitted[:, :2].max()) * self._max_scale, 1 / min(pixels.shape[:2]))
        if scale >= 1:
            return pixels
        return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def read_labelled_image(folder: Path, image: ImageAnnotation) -> Pixels:
    """Reads the file of an annotated image.

    Raises:
        AnnotationError: The size of the image differs from its annotation.
        InputError: The image cannot be read.
    """
    pixels = read_image(folder / image.file_name)
    check_image_size(folder / image.file_name, pixels.shape, image)
    return pixels


def find_image_errors(folder: Path, images: Sequence[ImageAnnotation]) -> dict[int, E2PoseError]:
    """Returns the errors of files that are missing, unreadable or of another size than annotated, by index."""
    with ThreadPoolExecutor() as pool:
        checked = list(pool.map(partial(_find_error, folder), images))
    return {index: error for index, error in enumerate(checked) if error is not None}


def _find_error(folder: Path, image: ImageAnnotation) -> E2PoseError | None:
    path = folder / image.file_name
    try:
        check_image_size(path, read_image_size(path), image)
    except (AnnotationError, InputError) as error:
        return error
    return None
