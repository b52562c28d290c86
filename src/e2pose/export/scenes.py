"""Synthetic scenes with a chosen number of persons: default images for verification and benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.affine import Affine
from e2pose.sources.images import read_image
from e2pose.transforms.warp import warp

SCENE_HW = (720, 1280)
"""Height and width of the scenes in pixels."""

_WALKER = Path(__file__).parent / "walker.jpg"
_CELL_HW = (240, 150)
_ROWS, _COLUMNS = 3, 8
_BACKGROUND_RGB = (118, 122, 112)
_DEFAULT_NUM_PERSONS = range(1, 25, 3)

Image = UInt8[np.ndarray, "h w 3"]


def default_scenes() -> list[Image]:
    """Returns eight scenes with 1 to 22 persons."""
    return [draw_scene(num_persons) for num_persons in _DEFAULT_NUM_PERSONS]


def draw_scene(num_persons: int) -> Image:
    """Draws a number of persons, up to 24, of equal size; every other one is mirrored.

    Scenes with more persons contain those of the scenes with fewer at the same positions.
    """
    walker = read_image(_WALKER)
    small = warp(walker, Affine.scaling(_CELL_HW[0] / walker.shape[0]), _CELL_HW)
    scene = np.full((*SCENE_HW, 3), _BACKGROUND_RGB, np.uint8)
    margin = (SCENE_HW[1] - _COLUMNS * _CELL_HW[1]) // 2
    for index, (row, column) in enumerate(_cells_from_centre()[:num_persons]):
        x, y = margin + column * _CELL_HW[1], row * _CELL_HW[0]
        scene[y : y + _CELL_HW[0], x : x + _CELL_HW[1]] = small[:, ::-1] if index % 2 else small
    return scene


def _cells_from_centre() -> list[tuple[int, int]]:
    """Returns rows and columns of all cells, sorted by their distance from the centre."""
    cells = [(row, column) for row in range(_ROWS) for column in range(_COLUMNS)]
    return sorted(cells, key=lambda cell: (abs(cell[0] - _ROWS // 2) + abs(cell[1] - (_COLUMNS - 1) / 2), cell))
