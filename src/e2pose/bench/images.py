"""Images that the peers process: frames of a source, and scenes with increasing numbers of persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.affine import Affine
from e2pose.core.errors import InputError, OptionError
from e2pose.core.frame import Frame, Origin
from e2pose.sources.images import read_image
from e2pose.sources.open import open_source
from e2pose.transforms.warp import warp

SCENE_PERSONS = (1, 2, 5, 10, 20)
"""Numbers of persons in the scenes."""

SCENE_HW = (720, 1280)
"""Height and width of the scenes in pixels."""

_WALKER = Path(__file__).parent / "walker.jpg"
_CELL_HW = (240, 150)
_ROWS, _COLUMNS = 3, 8
_GROUND_RGB = (118, 122, 112)

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class BenchImage:
    """An image in a NumPy file, from which all peers read the same pixels.

    Args:
        index: Index in requests.
        path: The NumPy file.
        origin: Origin of the image.
        frame_index: Index of the frame in the origin.
        time_s: Time of the frame in the origin.
        num_persons: Number of persons in a scene; None for frames of the source.
    """

    index: int
    path: Path
    origin: Origin
    frame_index: int = 0
    time_s: float = 0.0
    num_persons: int | None = None

    @property
    def file_name(self) -> str:
        """Name of the original file."""
        return self.origin.path.name if self.origin.path else self.origin.name

    def load(self) -> Frame:
        """Reads the frame."""
        return Frame(np.load(self.path), self.origin, self.frame_index, self.time_s)


def save_frames(source: Sequence[str], folder: Path, max_frames: int) -> list[BenchImage]:
    """Saves the first frames of a source as NumPy files.

    Args:
        source: Arguments of `open_source`.
        folder: Target folder.
        max_frames: Maximum number of frames.

    Raises:
        OptionError: The source is live.
        InputError: A file cannot be read, or the source has no frames.
    """
    images = []
    with open_source(source) as frames:
        if frames.info.is_live:
            raise OptionError(
                f"the source '{source[0]}' is live, but all peers must process the same frames",
                "record a video and use that",
            )
        for index, frame in enumerate(islice(frames, max_frames)):
            stem = (frame.origin.path or Path(frame.origin.name)).stem
            path = folder / f"{index:06d}-{stem}.npy"
            np.save(path, frame.image)
            images.append(BenchImage(index, path, frame.origin, frame.index, frame.time_s))
    if not images:
        raise InputError("the source has no frames", "check that the video is not empty")
    return images


def save_scenes(folder: Path, first_index: int) -> list[BenchImage]:
    """Saves a scene for each of `SCENE_PERSONS` as a NumPy file.

    Args:
        folder: Target folder.
        first_index: Index of the first scene.
    """
    images = []
    for index, num_persons in enumerate(SCENE_PERSONS, start=first_index):
        path = folder / f"{index:06d}-persons-{num_persons}.npy"
        np.save(path, crowd(num_persons))
        images.append(BenchImage(index, path, Origin(f"{num_persons} persons"), num_persons=num_persons))
    return images


def crowd(people: int) -> Image:
    """A scene with a number of people, up to 24, of one size, every other one mirrored.

    A scene with more people shows those of the scenes with fewer at the same places.
    """
    walker = read_image(_WALKER)
    scale = Affine.scaling(_CELL_HW[0] / walker.shape[0])
    small = warp(walker, scale, _CELL_HW)
    scene = np.full((*SCENE_HW, 3), _GROUND_RGB, np.uint8)
    margin = (SCENE_HW[1] - _COLUMNS * _CELL_HW[1]) // 2
    for number, (row, column) in enumerate(_cells()[:people]):
        x, y = margin + column * _CELL_HW[1], row * _CELL_HW[0]
        scene[y : y + _CELL_HW[0], x : x + _CELL_HW[1]] = small[:, ::-1] if number % 2 else small
    return scene


def _cells() -> list[tuple[int, int]]:
    """Rows and columns, from the middle outwards."""
    cells = [(row, column) for row in range(_ROWS) for column in range(_COLUMNS)]
    return sorted(cells, key=lambda cell: (abs(cell[0] - _ROWS // 2) + abs(cell[1] - (_COLUMNS - 1) / 2), cell))
