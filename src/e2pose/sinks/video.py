"""A sink that writes one video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8

from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.sinks.audio import AudioTracks
from e2pose.sinks.base import Draw, is_kept
from e2pose.sinks.images import check_not_an_input
from e2pose.sinks.letterbox import fitted
from e2pose.sinks.reserved_file import ReservedFile

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
VIDEO_SUFFIXES = frozenset(_CONTAINERS)
"""The suffixes of the video containers that can be written."""

_CODEC: Final = "libx264"
_CODEC_OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "1"}  # three B-frames take a fifth more time than one
_FINEST_TICK = 90_000  # ticks per second that keep any camera's time stamps to 0.01 ms
_SPARE_BYTES = 8 << 20  # for the index of some hours and the frames that the encoder still holds
_ROUNDING_S = 0.0006  # Matroska, for one, stores times in milliseconds
_BT709 = 1  # Source: ITU-T H.273, tables 2 to 4: primaries, transfer and matrix of BT.709 all have the number 1


class VideoFileSink:
    """Writes one video with the poses drawn, as H.264 that plays in a browser.

    Frames keep their time stamps and all the sound of the input is taken over. An odd width or height grows by one
    pixel, a copy of the last column or row, because the format stores colours for squares of two by two pixels. Frames
    of another size than the first are scaled to it, with black borders if they have another shape.

    Args:
        path: The file to write, `.mp4`, `.mov` or `.mkv`.
        draw: Makes the pictures.

    Raises:
        OutputError: The suffix is another one, or videos cannot be written on this machine.
    """

    def __init__(self, path: str | Path, draw: Draw) -> None:
        self._path = Path(path)
        self._draw = draw
        self._origin: Origin | None = None
        self._writer: _VideoWriter | None = None
        self._opened = ExitStack()
        if self._path.suffix.lower() not in VIDEO_SUFFIXES:
            raise OutputError(
                f"'{path}' does not end like a video that can be written",
                f"use one of {', '.join(sorted(VIDEO_SUFFIXES))}",
            )
        if _CODEC not in av.codecs_available:
            raise OutputError(
                f"the installed package 'av' cannot write H.264: it was built without {_CODEC}",
                "install the ready-made package: pip install --force-reinstall --only-binary av av",
            )

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draws and encodes the next frame.

        Raises:
            OutputError: It is a still picture or belongs to a second video, the video would replace its input, or it
                cannot be encoded.
        """
        image = self._draw(frame, poses)
        if self._writer is None:
            self._writer = self._start(frame.origin, image)
        elif frame.origin != self._origin:
            raise OutputError(
                f"'{self._path}' can hold one video, but '{frame.origin.name}' is another input",
                f"give a folder to write several: '{self._path.with_suffix('')}/'",
            )
        with _encoding(self._path):
            self._writer.write(image, frame.time_s)
        self._writer.file.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finishes the file, or leaves nothing if there is no frame or none that is kept."""
        if is_kept(error):
            self._opened.close()
        else:
            self._opened.__exit__(kind, error, trace)

    def _start(self, origin: Origin, image: UInt8[np.ndarray, "h w 3"]) -> _VideoWriter:
        if origin.rate is None:
            raise OutputError(
                f"'{origin.name}' is a still picture and cannot go into the video '{self._path}'",
                "give a folder, which takes pictures and videos",
            )
        check_not_an_input(self._path, [origin.path] if origin.path else [])
        self._origin = origin
        return self._opened.enter_context(_open_writer(self._path, (image.shape[0], image.shape[1]), origin))


class _VideoWriter:
    """One H.264 stream of a container, and the sound beside it."""

    def __init__(
        self, container: OutputContainer, file: ReservedFile, size_hw: tuple[int, int], origin: Origin
    ) -> None:
        assert origin.rate is not None
        self.file = file
        self.audio: AudioTracks | None = None
        self._container = container
        self._size_hw = size_hw
        # 30000/1001 and its like are the finest rates in use.
        rate = max(origin.rate.limit_denominator(1001), Fraction(1, 1001))
        stream = container.add_stream(_CODEC, rate=rate, options=_CODEC_OPTIONS)
        stream.height, stream.width = (size + size % 2 for size in size_hw)
        stream.pix_fmt = "yuv420p"
        # Ticks are a multiple of the rate's numerator, so that the frames of a steady video fall on whole ticks.
        self._ticks = rate.numerator * ceil(_FINEST_TICK / rate.numerator)
        context = stream.codec_context
        context.time_base = Fraction(1, self._ticks)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        context.sample_aspect_ratio = origin.pixel_aspect
        self._stream = stream
        self._frame_ticks = round(self._ticks / rate)
        self._last_pts = -1

    def write(self, image: UInt8[np.ndarray, "h w 3"], time_s: float) -> None:
        height, width = self._size_hw
        even = fitted(image, self._size_hw)
        if height % 2 or width % 2:
            even = np.pad(even, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(even), format="rgb24").reformat(
            self._stream.width,
            self._stream.height,
            "yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        # A damaged input may repeat a time stamp, which no container accepts.
        picture.pts = self._last_pts = max(self._ticks_at(time_s), self._last_pts + 1)
        picture.time_base = Fraction(1, self._ticks)
        picture.duration = self._frame_ticks
        self._container.mux(self._stream.encode(picture))
        if self.audio is not None:
            self.audio.write_until(time_s)

    def _ticks_at(self, time_s: float) -> int:
        """The time in ticks, or that of the nearest frame of a steady video if only rounding to 1 ms lies between."""
        steady = round(time_s * self._ticks / self._frame_ticks) * self._frame_ticks
        exact = round(time_s * self._ticks)
        return steady if abs(steady - exact) <= _ROUNDING_S * self._ticks else exact

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        if self.audio is not None:
            self.audio.write_until(float("inf"))


@contextmanager
def _open_writer(path: Path, size_hw: tuple[int, int], origin: Origin) -> Iterator[_VideoWriter]:
    """Opens the file under a temporary name; it gets its own when the block ends without an error."""
    suffix = path.suffix.lower()
    flags = {} if suffix == ".mkv" else {"movflags": "+faststart"}
    with ExitStack() as opened:
        temporary = opened.enter_context(atomic_path(path))
        opened.enter_context(_encoding(path))
        file = opened.enter_context(ReservedFile(temporary, path, _SPARE_BYTES))
        container = opened.enter_context(av.open(file, "w", format=_CONTAINERS[suffix], container_options=flags))
        writer = _VideoWriter(container, file, size_hw, origin)
        if origin.path is not None:
            writer.audio = opened.enter_context(closing(AudioTracks(origin.path, container, suffix)))
        yield writer
        writer.finish()


@contextmanager
def _encoding(path: Path) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise OutputError(
            f"cannot write the video '{path}': {error.strerror}",
            "check the free disk space and the folder's permissions, or try '.mkv', which holds the most",
        ) from error
