"""A sink that writes one video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from math import ceil, inf
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8

from e2pose.core.errors import OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.sinks.audio import AudioTracks
from e2pose.sinks.base import Draw, NoticeHandler, ignore_notice
from e2pose.sinks.images import check_not_an_input
from e2pose.sinks.letterbox import letterbox
from e2pose.sinks.reserved_file import FileSink

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
VIDEO_SUFFIXES = frozenset(_CONTAINERS)
"""Suffixes of the video containers that can be written."""

_CODEC: Final = "libx264"
_CODEC_OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "1"}  # three B-frames take 20% more time than one
_MIN_TICKS_PER_S = 90_000  # keeps the timestamps of any camera to 0.01 ms
_RESERVED_BYTES = 8 << 20  # for the index of some hours and the frames that the encoder still holds
_MAX_ROUNDING_S = 0.0006  # Matroska, for example, stores times in milliseconds
_MAX_GAP_TICKS = (1 << 31) - 1  # of MP4 and MOV. Source: ISO/IEC 14496-12, `stts`, and FFmpeg's movenc.c
_BT709 = 1  # Source: ITU-T H.273, tables 2 to 4: primaries, transfer and matrix of BT.709 all have the number 1


class VideoFileSink(FileSink):
    """Writes one H.264 video (`.mp4`, `.mov` or `.mkv`) with the poses drawn, which browsers can play.

    Timestamps and all audio tracks of the input are kept; if the frames end early, so does the sound. An odd width or
    height grows by one pixel, a copy of the last column or row, because the format stores colours for blocks of 2 x 2
    pixels. Frames whose size differs from the first are letterboxed. Without any frame, no file is written.
    `on_notice` receives a message if sound of the input is left out.

    Raises:
        OutputError: No H.264 encoder is available.
    """

    def __init__(self, path: str | Path, draw: Draw, on_notice: NoticeHandler = ignore_notice) -> None:
        super().__init__(path, _RESERVED_BYTES)
        self._draw = draw
        self._on_notice = on_notice
        self._origin: Origin | None = None
        self._writer: _VideoWriter | None = None
        if _CODEC not in av.codecs_available:
            raise OutputError(
                f"the installed package 'av' cannot write H.264: it was built without {_CODEC}",
                "install the binary package: pip install --force-reinstall --only-binary av av",
            )

    def write(self, frame: Frame, poses: Poses) -> None:
        """Draws and encodes the next frame.

        Raises:
            OutputError: The frame is an image or belongs to another video, the file is the input, or the frame cannot
                be encoded.
        """
        image = self._draw(frame, poses)
        if self._writer is not None and frame.origin != self._origin:
            raise OutputError(
                f"'{self._path}' holds one video, but '{frame.origin.name}' is another input",
                f"use a folder for several videos: '{self._path.with_suffix('')}/'",
            )
        with _convert_errors(self._path):
            if self._writer is None:
                self._writer = self._start(frame, (image.shape[0], image.shape[1]))
            self._check_gap(self._writer, frame)
            self._writer.write(image, frame)
        self._file.raise_if_full()

    def _check_gap(self, writer: _VideoWriter, frame: Frame) -> None:
        """Raises an `OutputError` if the container cannot hold the time between the last frame and this one."""
        gap_s, limit_s = frame.time_s - writer.last_s, _MAX_GAP_TICKS / writer.ticks_per_s
        if gap_s > limit_s and self._path.suffix.lower() != ".mkv":
            raise OutputError(
                f"'{self._path}' ends before the frame at {frame.time_s:.0f} s, {gap_s / 3600:.1f} hours after the "
                f"previous one; MP4 and MOV hold at most {limit_s / 3600:.1f} hours between two frames",
                f"write '{self._path.with_suffix('.mkv').name}', which accepts longer gaps, or split the video",
            )

    def _start(self, frame: Frame, size_hw: tuple[int, int]) -> _VideoWriter:
        origin = frame.origin
        if origin.rate is None:
            raise OutputError(
                f"the image '{origin.name}' cannot be written into the video '{self._path}'",
                "use a folder, which accepts images and videos",
            )
        check_not_an_input(self._path, [origin.path] if origin.path else [])
        self._origin = origin
        suffix = self._path.suffix.lower()
        flags = {} if suffix == ".mkv" else {"movflags": "+faststart"}
        self._file = self._create()
        self._opened.enter_context(_convert_errors(self._path))
        container = av.open(self._file, "w", format=_CONTAINERS[suffix], container_options=flags)
        self._opened.enter_context(container)
        writer = _VideoWriter(container, size_hw, origin)
        if origin.path is not None and frame.file_time_s is not None:
            writer.audio = self._opened.enter_context(closing(AudioTracks(origin.path, container, suffix)))
        return writer

    def _finish(self) -> None:
        if self._writer is None:
            return
        self._writer.finish()
        if self._writer.audio is not None and (omissions := self._writer.audio.omissions):
            self._on_notice(omissions)


class _VideoWriter:
    """The H.264 stream of a container, and its audio."""

    def __init__(self, container: OutputContainer, size_hw: tuple[int, int], origin: Origin) -> None:
        assert origin.rate is not None
        self.audio: AudioTracks | None = None
        self._container = container
        self._size_hw = size_hw
        # 30000/1001 and similar rates are the finest in use.
        rate = max(origin.rate.limit_denominator(1001), Fraction(1, 1001))
        stream = container.add_stream(_CODEC, rate=rate, options=_CODEC_OPTIONS)
        stream.height, stream.width = (size + size % 2 for size in size_hw)
        stream.pix_fmt = "yuv420p"
        # A multiple of the rate's numerator, so that the frames of a constant-rate video fall on whole ticks.
        self.ticks_per_s = rate.numerator * ceil(_MIN_TICKS_PER_S / rate.numerator)
        context = stream.codec_context
        context.time_base = Fraction(1, self.ticks_per_s)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        context.sample_aspect_ratio = origin.pixel_aspect
        self._stream = stream
        self._frame_ticks = round(self.ticks_per_s / rate)
        self._last_pts = -1
        self._end_s = 0.0  # of the sound, which may be longer than a complete video

    @property
    def last_s(self) -> float:
        """Time of the last frame in seconds."""
        return max(self._last_pts, 0) / self.ticks_per_s

    def write(self, image: UInt8[np.ndarray, "h w 3"], frame: Frame) -> None:
        height, width = self._size_hw
        image = letterbox(image, self._size_hw)
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        encoded = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24").reformat(
            self._stream.width,
            self._stream.height,
            "yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        # Two frames may be closer than a tick, which no container accepts.
        encoded.pts = self._last_pts = max(self._ticks_at(frame.time_s), self._last_pts + 1)
        encoded.time_base = Fraction(1, self.ticks_per_s)
        encoded.duration = self._frame_ticks
        self._container.mux(self._stream.encode(encoded))
        self._end_s = inf if frame.is_last else (self._last_pts + self._frame_ticks) / self.ticks_per_s
        if self.audio is not None:
            self.audio.follow(frame)

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        if self.audio is not None:
            self.audio.finish(self._end_s)

    def _ticks_at(self, time_s: float) -> int:
        """Returns the time in ticks, snapped to the constant frame rate if it differs only by rounding to 1 ms."""
        constant_rate = round(time_s * self.ticks_per_s / self._frame_ticks) * self._frame_ticks
        exact = round(time_s * self.ticks_per_s)
        return constant_rate if abs(constant_rate - exact) <= _MAX_ROUNDING_S * self.ticks_per_s else exact


@contextmanager
def _convert_errors(path: Path) -> Iterator[None]:
    """Raises errors of FFmpeg as `OutputError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise OutputError(
            f"cannot write the video '{path}': {error.strerror}",
            "check the free disk space and the folder's permissions, or write '.mkv', which accepts the most codecs",
        ) from error
