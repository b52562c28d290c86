"""A sink that writes one file for each image and video into a folder."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain, count
from pathlib import Path
from typing import Self

from e2pose.core.errors import OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.sinks.base import Draw, NoticeHandler, ignore_notice, keeps_output
from e2pose.sinks.images import IMAGE_SUFFIXES, ImageFileSink
from e2pose.sinks.video import VideoFileSink

_UNSAFE_CHARACTERS = re.compile(r"[^\w.]+")  # parts of addresses that file systems reserve


class FolderSink:
    """Writes every image under its own name and every video as MP4, with the poses drawn.

    The folder is created if it is missing. An image in a format that cannot be written becomes PNG. Inputs with the
    same name get the suffixes `-2`, `-3` and so on. Files of earlier runs are replaced, but never `inputs` or the
    current input. `on_notice` receives a message if sound of a video is left out.
    """

    def __init__(
        self,
        folder: str | Path,
        draw: Draw,
        *,
        inputs: Collection[Path] = (),
        on_notice: NoticeHandler = ignore_notice,
    ) -> None:
        self.written: list[Path] = []
        self._folder = Path(folder)
        self._draw = draw
        self._on_notice = on_notice
        self._inputs = {path.resolve() for path in inputs}
        self._used_names: set[str] = set()
        self._video: VideoFileSink | None = None
        self._video_path = self._folder
        self._origin: Origin | None = None

    def write(self, frame: Frame, poses: Poses) -> None:
        """Writes the next frame; the first frame of another input completes the previous video.

        Raises:
            OutputError: An input would be replaced, or the file cannot be written.
        """
        origin = frame.origin
        if origin.is_still:
            self._finish_video()
            path = self._path_for(origin)
            with ImageFileSink(path, self._draw) as image:
                image.write(frame, poses)
            self.written.append(path)
            return
        if self._video is None or origin != self._origin:
            self._finish_video()
            self._origin, self._video_path = origin, self._path_for(origin)
            self._video = VideoFileSink(self._video_path, self._draw, self._on_notice)
        self._video.write(frame, poses)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Completes the last video, or discards it if `keeps_output` says so."""
        if keeps_output(error):
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
        name = origin.path or Path(_UNSAFE_CHARACTERS.sub("-", Path(origin.name).name).strip("-") or "live")
        suffix = ".mp4"
        if origin.is_still:
            suffix = name.suffix if name.suffix.lower() in IMAGE_SUFFIXES else ".png"
        candidates = chain([f"{name.stem}{suffix}"], (f"{name.stem}-{number}{suffix}" for number in count(2)))
        # Some file systems ignore letter case.
        unused = next(candidate for candidate in candidates if candidate.casefold() not in self._used_names)
        self._used_names.add(unused.casefold())
        path = self._folder / unused
        if path.resolve() in self._inputs:  # the sink of the file checks its own input
            raise OutputError(f"'{path}' is an input and will not be overwritten", "choose another folder")
        return path
