"""A sink that writes one file for each picture and video into a folder."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Self

from e2pose.core.errors import OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.sinks.base import Draw, is_kept
from e2pose.sinks.images import IMAGE_SUFFIXES, ImageFileSink
from e2pose.sinks.video import VideoFileSink

_UNUSUAL = re.compile(r"[^\w.]+")  # characters of addresses that mean something to some file system


class FolderSink:
    """Writes every picture under its own name and every video as MP4, with the poses drawn.

    A picture of a format that cannot be written becomes PNG. Of inputs with the same name the second gets `-2`, the
    third `-3`. Files of earlier runs are replaced; inputs never are.

    Args:
        folder: The folder; made if it is missing.
        draw: Makes the pictures.
        inputs: Files that must not be replaced, besides the one that is being read.
    """

    def __init__(self, folder: str | Path, draw: Draw, *, inputs: Collection[Path] = ()) -> None:
        self.written: list[Path] = []
        self._folder = Path(folder)
        self._draw = draw
        self._inputs = {path.resolve() for path in inputs}
        self._taken: set[str] = set()
        self._video: VideoFileSink | None = None
        self._video_path = self._folder
        self._origin: Origin | None = None

    def write(self, frame: Frame, poses: Poses) -> None:
        """Takes the next frame; that of another input finishes the video before.

        Raises:
            OutputError: An input would be replaced, or the file cannot be written.
        """
        origin = frame.origin
        if origin.is_still:
            self._finish_video()
            path = self._path_for(origin)
            with ImageFileSink(path, self._draw) as picture:
                picture.write(frame, poses)
            self.written.append(path)
            return
        if self._video is None or origin != self._origin:
            self._finish_video()
            self._origin, self._video_path = origin, self._path_for(origin)
            self._video = VideoFileSink(self._video_path, self._draw)
        self._video.write(frame, poses)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finishes the last video, or leaves nothing of it if it is not kept."""
        if is_kept(error):
            self._finish_video()
        elif self._video is not None:
            self._video.__exit__(kind, error, trace)

    def _finish_video(self) -> None:
        if self._video is None:
            return
        video, self._video = self._video, None
        video.__exit__(None, None, None)
        self.written.append(self._video_path)

    def _path_for(self, origin: Origin) -> Path:
        name = origin.path or Path(_UNUSUAL.sub("-", Path(origin.name).name).strip("-") or "live")
        suffix = ".mp4"
        if origin.is_still:
            suffix = name.suffix if name.suffix.lower() in IMAGE_SUFFIXES else ".png"
        numbered = (f"{name.stem}-{number}{suffix}" for number in count(2))
        # Case does not tell files apart everywhere.
        free = next(
            candidate
            for candidate in chain([f"{name.stem}{suffix}"], numbered)
            if candidate.casefold() not in self._taken
        )
        self._taken.add(free.casefold())
        path = self._folder / free
        if path.resolve() in self._inputs:  # the sink for the file checks its own input
            raise OutputError(f"'{path}' is an input and will not be overwritten", "choose another folder")
        return path
