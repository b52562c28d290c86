"""Sheets of predictions on the same images throughout a training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.data.image_sets import ImageSet
from e2pose.inference.estimator import Estimator
from e2pose.render.overlay import draw_poses
from e2pose.render.sheet import contact_sheet
from e2pose.sources.images import read_image
from e2pose.training.evaluate import spread
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp

_NUM_IMAGES = 12
_NUM_COLUMNS = 4
_TILE_SIZE_HW = (320, 320)

Image = UInt8[np.ndarray, "_ _ 3"]


def read_preview_images(sets: Iterable[ImageSet]) -> list[Image]:
    """Reads twelve letterboxed images, evenly from all sets; held-out images where a set has any.

    Images that cannot be read are omitted.
    """
    pools = [(part.folder, part.held_out.images or part.training.images) for part in sets]
    counts = [len(range(index, _NUM_IMAGES, len(pools))) for index in range(len(pools))]
    paths = [
        folder / images[index].file_name
        for (folder, images), count in zip(pools, counts, strict=True)
        for index in spread(len(images), count)
    ]
    return [_letterbox(image) for image in _read_images(paths)]


def draw_preview(estimator: Estimator, images: Sequence[Image]) -> Image:
    """Draws the predicted poses of each image and arranges the images in a sheet."""
    tiles = [
        draw_poses(image, poses, threshold=estimator.spec.keypoint_threshold)
        for image, poses in zip(images, estimator.batch(list(images)), strict=True)
    ]
    return contact_sheet(tiles, _NUM_COLUMNS)


def _read_images(paths: Iterable[Path]) -> Iterator[Image]:
    for path in paths:
        try:
            yield read_image(path)
        except InputError:  # counted by the training
            continue


def _letterbox(image: Image) -> Image:
    return warp(image, fit_affine((image.shape[0], image.shape[1]), _TILE_SIZE_HW, "letterbox"), _TILE_SIZE_HW)
