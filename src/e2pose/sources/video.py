"""Video files as frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Self

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from e2pose.core.address import is_address, redact_address
from e2pose.core.errors import InputError
from e2pose.core.files import reason_of
from e2pose.core.frame import Frame, Origin
from e2pose.sources.base import ErrorHandler, SourceInfo, call_in_thread, raise_error, report_errors
from e2pose.sources.clock import Clock
from e2pose.sources.completeness import DurationCheck, ends_inside_packet, stated_frames
from e2pose.sources.decoder import VideoDecoder
from e2pose.sources.video_stream import find_video_stream, frame_orientation, frame_rate, has_timestamps, upright_rgb

_SUFFIXES = (
    "264 265 3g2 3gp asf avi divx dv f4v flv gif h264 h265 hevc ivf m2t m2ts m2v m4v mj2 mjpeg mjpg mkv mov mp4 mpe "
    "mpeg mpg mts mxf nut ogm ogv qt ts vob webm wmv y4m"
)
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of files that are read as videos."""

_SERVER_TIMEOUT_S = 15.0
_JOINED_FORMATS = 0x200  # Source: AVFMT_TS_DISCONT in FFmpeg's avformat.h
_COPY_AGAIN = "copy or download it again, or convert it to MP4"


class VideoSource:
    """The frames of a video file with their timestamps, which rise strictly.

    Frames are upright and progressive, with pixels as stored (not stretched to square pixels) and blended on white
    where they are transparent. Where concatenated recordings restart their timestamps, the time continues. A damaged
    video yields all frames that can be decoded, then passes an `InputError` to `on_error`. `path` may also be an
    address, a string with "://".

    Raises:
        InputError: The file cannot be opened as a video.
    """

    def __init__(self, path: str | Path, on_error: ErrorHandler = raise_error) -> None:
        self._on_error = on_error
        self._container = _open(path)
        name = redact_address(path)
        try:
            self._stream = find_video_stream(self._container, name)
        except InputError:
            self._container.close()
            raise
        self._rate = frame_rate(self._stream)
        self._duration = DurationCheck(self._container, self._stream)
        self._decoder = VideoDecoder(self._stream)
        self.origin = Origin(
            name=name,
            path=None if is_address(path) else Path(path),
            rate=self._rate,
            frame_count=self._count_frames(),
            pixel_aspect=self._stream.sample_aspect_ratio or Fraction(1),
        )
        self._is_transport = self._container.format.name == "mpegts"
        self._closed = False
        self._num_damaged = 0

    @property
    def info(self) -> SourceInfo:
        """Properties of the file, with the number of frames that it states."""
        return SourceInfo(self.origin.frame_count, paths=(self.origin.path,) if self.origin.path else ())

    def __iter__(self) -> Iterator[Frame]:
        return report_errors(self._frames(), self.origin.name, self._on_error)

    def _frames(self) -> Iterator[Frame]:
        clock = Clock(1 / self._rate, closes_gaps=bool(self._container.format.flags & _JOINED_FORMATS))
        index = -1
        for index, (frame, following) in enumerate(pairwise(chain(self._decode(), [None]))):
            assert frame is not None
            if index == 0 and frame_orientation(frame).transposed:
                self.origin = replace(self.origin, pixel_aspect=1 / self.origin.pixel_aspect)
            time_s = clock.time_of(_stamp_s(frame), _stamp_s(following))
            file_time_s = None if clock.shift_s is None else float(time_s - clock.shift_s)
            is_last = following is None and not self._damage(clock)
            yield Frame(upright_rgb(frame), self.origin, index, float(time_s), file_time_s, is_last)
        if index < 0:
            raise InputError(f"no frame of the video '{self.origin.name}' can be decoded", _COPY_AGAIN)
        if damage := self._damage(clock):
            readable = f"{index + 1} readable frames were" if index else "readable frame was"
            raise InputError(
                f"the video '{self.origin.name}' is truncated or damaged: {damage}",
                f"its {readable} processed; copy or download the file again to get the rest",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the file."""
        self._closed = True
        self._container.close()

    def _count_frames(self) -> int | None:
        """Returns the number of frames that the file states or that its duration implies."""
        stated = stated_frames(self._stream) if has_timestamps(self._container) else 0  # AVI may count finer ticks
        return stated or round(self._duration.video_s * self._rate) or None

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            yield from self._decoder.decode(packet)

    def _packets(self) -> Iterator[Packet[Stream] | None]:
        """Yields the packets of the video. The last one is empty or None and flushes the decoder."""
        try:
            for packet in self._container.demux(self._duration.streams):
                self._num_damaged += packet.is_corrupt
                if packet.is_corrupt and not self._is_transport:  # truncated; the decoder would discard good frames too
                    continue
                self._duration.add(packet)
                if packet.stream is self._stream:
                    yield packet
                if self._closed:  # PyAV would read freed memory
                    raise InputError(
                        f"'{self.origin.name}' was closed during iteration", "iterate inside its 'with' block"
                    )
        except av.FFmpegError:
            self._num_damaged += 1
            yield None

    def _damage(self, clock: Clock) -> str:
        """Returns what is missing after all packets have been read; empty if the video is complete."""
        missing_s = self._duration.missing_s(tolerance_s=float(3 / self._rate))
        if missing_s > 0:
            return f"{missing_s:.1f} s are missing at the end"
        # FFmpeg also marks the last packet of a recording as damaged if another recording is joined to it.
        num_damaged = max(0, self._num_damaged - clock.num_joints) + self._decoder.num_damaged
        if num_damaged:
            return f"{num_damaged} frame{'s are' if num_damaged > 1 else ' is'} damaged or missing"
        if self._is_transport and self.origin.path and ends_inside_packet(self.origin.path):
            return "it ends inside a packet, so the last frames are missing"
        return ""


def _stamp_s(frame: VideoFrame | None) -> Fraction | None:
    if frame is None or frame.pts is None or frame.time_base is None:
        return None
    return frame.pts * frame.time_base


def _open(path: str | Path) -> InputContainer:
    name = redact_address(path)
    try:
        if is_address(path):
            return call_in_thread(lambda: av.open(str(path), timeout=_SERVER_TIMEOUT_S))
        path = Path(path)
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"'{name}' is empty: it has 0 bytes", "copy or download it again")
        return av.open(f"file:{path}")  # without the prefix, FFmpeg reads a colon in the name as a protocol
    except (FileNotFoundError, IsADirectoryError, PermissionError, NotADirectoryError) as error:
        raise InputError(f"cannot read '{name}': {error.strerror}", "check the path and its permissions") from (
            None if is_address(path) else error  # FFmpeg's error contains the whole address
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"'{name}' is not a complete video in a supported format: {reason_of(error)}", _COPY_AGAIN
        ) from (None if is_address(path) else error)
