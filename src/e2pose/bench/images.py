"""Images that the peers process: frames of a source, and scenes with increasing numbers of persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from e2pose.core.errors import InputError, OptionError
from e2pose.core.frame import Frame, Origin
from e2pose.export.scenes import draw_scene
from e2pose.sources.open import open_source

SCENE_PERSONS = (1, 2, 5, 10, 20)
"""Numbers of persons in the scenes."""


@dataclass(frozen=True)
class BenchImage:
    """An image in a NumPy file, from which all peers read the same pixels."""

    index: int  # in requests
    path: Path
    origin: Origin
    frame_index: int = 0  # in the origin, like `time_s`
    time_s: float = 0.0
    num_persons: int | None = None  # in a scene; None for frames of the source

    @property
    def file_name(self) -> str:
        """Name of the original file."""
        return self.origin.path.name if self.origin.path else self.origin.name

    def load(self) -> Frame:
        """Reads the frame."""
        return Frame(np.load(self.path), self.origin, self.frame_index, self.time_s)


def save_frames(source: Sequence[str], folder: Path, max_frames: int) -> list[BenchImage]:
    """Saves at most `max_frames` frames, the first ones, of a source as NumPy files.

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
    """Saves a scene for each of `SCENE_PERSONS` as a NumPy file."""
    images = []
    for index, num_persons in enumerate(SCENE_PERSONS, start=first_index):
        path = folder / f"{index:06d}-persons-{num_persons}.npy"
        np.save(path, draw_scene(num_persons))
        images.append(BenchImage(index, path, Origin(f"{num_persons} persons"), num_persons=num_persons))
    return images
