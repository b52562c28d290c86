"""What a network sees in always the same pictures while it is being trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import UInt8

from e2pose.data.image_sets import ImageSet
from e2pose.inference.estimator import Estimator
from e2pose.render.overlay import draw_poses
from e2pose.render.sheet import contact_sheet
from e2pose.sources.images import read_image
from e2pose.training.measure import spread
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp

_COUNT = 12
_COLUMNS = 4
_TILE_HW = (320, 320)

Picture = UInt8[np.ndarray, "_ _ 3"]


def choose_pictures(sets: Iterable[ImageSet]) -> list[Picture]:
    """A dozen pictures of equal size from all sets, held out of the training where a set holds out any."""
    pools = [(part.folder, part.held_out.images or part.training.images) for part in sets]
    shares = [len(range(index, _COUNT, len(pools))) for index in range(len(pools))]
    chosen = [
        folder / images[index].file_name
        for (folder, images), share in zip(pools, shares, strict=True)
        for index in spread(len(images), share)
    ]
    return [_tile(read_image(path)) for path in chosen]


def draw_sheet(estimator: Estimator, pictures: Sequence[Picture]) -> Picture:
    """The pictures side by side with the poses that are found in them."""
    tiles = [
        draw_poses(picture, poses, threshold=estimator.spec.keypoint_threshold)
        for picture, poses in zip(pictures, estimator.batch(list(pictures)), strict=True)
    ]
    return contact_sheet(tiles, _COLUMNS)


def _tile(picture: Picture) -> Picture:
    size_hw = picture.shape[0], picture.shape[1]
    return warp(picture, fit_affine(size_hw, _TILE_HW, "letterbox"), _TILE_HW)
