"""What the peers are asked about: the frames of a source, and scenes with more and more people."""

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

CROWDS = (1, 2, 5, 10, 20)
"""Numbers of people in the scenes."""

SCENE_HW = (720, 1280)
"""Height and width of the scenes in pixels."""

_WALKER = Path(__file__).parent / "walker.jpg"
_CELL_HW = (240, 150)
_ROWS, _COLUMNS = 3, 8
_GROUND_RGB = (118, 122, 112)

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Picture:
    """A picture in a file that every peer reads, so that all see the same pixels.

    Args:
        index: Its number in requests.
        path: The file of NumPy.
        origin: What it was taken from.
        frame_index: Its place there.
        time_s: Its time there.
        people: How many people are in it, for scenes; None for frames of the source.
    """

    index: int
    path: Path
    origin: Origin
    frame_index: int = 0
    time_s: float = 0.0
    people: int | None = None

    @property
    def file_name(self) -> str:
        """The name of the file that it was taken from."""
        return self.origin.path.name if self.origin.path else self.origin.name

    def load(self) -> Frame:
        """The picture itself."""
        return Frame(np.load(self.path), self.origin, self.frame_index, self.time_s)


def save_frames(source: Sequence[str], folder: Path, most: int) -> list[Picture]:
    """Reads the frames of a source once and saves them.

    Args:
        source: What `open_source` understands.
        folder: Where to.
        most: Take no more than so many, the first ones.

    Raises:
        OptionError: The source is live, or no frame is wanted.
        InputError: A file cannot be read, or there is no frame.
    """
    if most < 1:
        raise OptionError(f"the number of frames must be at least 1, not {most}", "leave it out for the first 300")
    pictures = []
    with open_source(source) as frames:
        if frames.info.is_live:
            raise OptionError(
                f"'{source[0]}' is live, and the peers must see the same frames", "record a video, and give that"
            )
        for index, frame in enumerate(islice(frames, most)):
            stem = (frame.origin.path or Path(frame.origin.name)).stem
            path = folder / f"{index:06d}-{stem}.npy"
            np.save(path, frame.image)
            pictures.append(Picture(index, path, frame.origin, frame.index, frame.time_s))
    if not pictures:
        raise InputError("there is no frame to compare the peers on", "check that the video is not empty")
    return pictures


def save_scenes(folder: Path, first: int) -> list[Picture]:
    """Makes a scene for each of `CROWDS` and saves it.

    Args:
        folder: Where to.
        first: Number of the first one.
    """
    pictures = []
    for index, people in enumerate(CROWDS, start=first):
        path = folder / f"{index:06d}-people-{people}.npy"
        np.save(path, crowd(people))
        pictures.append(Picture(index, path, Origin(f"{people} people"), people=people))
    return pictures


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


def turns(pictures: Sequence[Picture], length: int, repeats: int) -> list[list[Picture]]:
    """Portions of the work that a peer does before it is the next one's turn.

    Args:
        pictures: Frames and scenes.
        length: How many frames are in a portion.
        repeats: How often each scene comes in its own.
    """
    frames = [picture for picture in pictures if picture.people is None]
    scenes = [picture for picture in pictures if picture.people is not None]
    portions = [frames[start : start + length] for start in range(0, len(frames), length)]
    return [*portions, *([scene] * repeats for scene in scenes)]
