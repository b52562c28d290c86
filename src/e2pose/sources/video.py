"""Video files as frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from e2pose.core.address import is_address, redact_address
from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.sources.base import SourceInfo, reason_of
from e2pose.sources.video_stream import find_video_stream, frame_orientation, upright_rgb

_SUFFIXES = (
    "264 265 3g2 3gp asf avi divx dv f4v flv gif h264 h265 hevc ivf m2t m2ts m2v m4v mj2 mjpeg mjpg mkv mov mp4 mpe "
    "mpeg mpg mts mxf nut ogm ogv qt ts vob webm wmv y4m"
)
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of files that are read as videos."""

_DEFAULT_RATE = Fraction(25)
_DURATION_FORMATS = ("mp4", "matroska", "avi", "flv", "asf")  # other containers only allow estimates of the duration
_UNKNOWN_FRAMES = 1 << 30  # FFmpeg's frame count in an AVI that was written to a pipe
_SERVER_TIMEOUT_S = 15.0
_MAX_BACKWARD_S = 0.5  # a larger step back in time starts a new recording
# Source: ISO/IEC 13818-1 and the BDAV format.
_TRANSPORT_SYNC_BYTES = {188: 0, 192: 4}  # packet length to position of the byte 0x47
_COPY_AGAIN = "copy or download it again, or convert it to MP4"


class VideoSource:
    """The frames of a video file with their timestamps.

    Frames are upright, with pixels as stored (not stretched to square pixels) and blended on white where they are
    transparent. Where concatenated recordings restart their timestamps, the time continues. A damaged video yields all
    frames that can be decoded, then raises an `InputError`. `path` may also be an address, a string with "://".

    Raises:
        InputError: The file cannot be opened as a video.
    """

    def __init__(self, path: str | Path) -> None:
        self._container = _open(path)
        name = redact_address(path)
        try:
            self._stream = find_video_stream(self._container, name)
        except InputError:
            self._container.close()
            raise
        self._rate = self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE
        self._duration = _DurationCheck(self._container, self._stream)
        self.origin = Origin(
            name=name,
            path=None if is_address(path) else Path(path),
            rate=self._rate,
            frame_count=_stated_frames(self._stream) or round(self._duration.stated_s * self._rate) or None,
            pixel_aspect=self._stream.sample_aspect_ratio or Fraction(1),
        )
        self._closed = False
        self._num_damaged = 0

    @property
    def info(self) -> SourceInfo:
        """Properties of the file, with the number of frames that it states."""
        return SourceInfo(self.origin.frame_count, paths=(self.origin.path,) if self.origin.path else ())

    def __iter__(self) -> Iterator[Frame]:
        index, clock = 0, _Clock(self._rate)
        for frame in self._decode():
            if index == 0 and frame_orientation(frame).transposed:
                self.origin = replace(self.origin, pixel_aspect=1 / self.origin.pixel_aspect)
            yield Frame(upright_rgb(frame), self.origin, index, clock.time_of(frame))
            index += 1
        if index == 0:
            raise InputError(f"no frame of the video '{self.origin.name}' can be decoded", _COPY_AGAIN)
        self._raise_if_damaged(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the file."""
        self._closed = True
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            try:
                frames = self._stream.decode(packet)
            except av.EOFError:
                return
            except av.FFmpegError:
                self._num_damaged += 1
                continue
            yield from frames

    def _packets(self) -> Iterator[Packet[Stream] | None]:
        """Yields the packets of the video. The last one is empty or None and flushes the decoder."""
        try:
            for packet in self._container.demux(self._duration.streams):
                if packet.is_corrupt:  # the decoder would discard good frames together with it
                    self._num_damaged += 1
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

    def _raise_if_damaged(self, num_frames: int) -> None:
        missing_s = self._duration.missing_s(tolerance_s=float(3 / self._rate))
        if missing_s > 0:
            damage = f"{missing_s:.1f} s are missing at the end"
        elif self._num_damaged:
            damage = "some frames cannot be decoded"
        elif "mpegts" in self._container.format.name and self.origin.path and _ends_inside_packet(self.origin.path):
            damage = "it ends inside a packet, so the last frames are missing"
        else:
            return
        raise InputError(
            f"the video '{self.origin.name}' is truncated or damaged: {damage}",
            f"its {num_frames} readable frames were processed; copy or download the file again to get the rest",
        )


class _Clock:
    """Converts timestamps to seconds since the first frame; uses the frame rate for frames without a timestamp."""

    def __init__(self, rate: Fraction) -> None:
        self._frame_s = 1 / rate
        self._shift_s: Fraction | None = None
        self._last_s = -self._frame_s

    def time_of(self, frame: VideoFrame) -> float:
        if frame.pts is None or frame.time_base is None:
            time_s = self._last_s + self._frame_s
        else:
            stamp_s = frame.pts * frame.time_base
            if self._shift_s is None or stamp_s + self._shift_s < self._last_s - _MAX_BACKWARD_S:
                self._shift_s = self._last_s + self._frame_s - stamp_s
            time_s = stamp_s + self._shift_s
        self._last_s = time_s
        return float(time_s)


class _DurationCheck:
    """Compares the duration that a file states with the duration that was read.

    If the container only states the duration of the whole file, audio and subtitles count too, because they may be
    longer than the video.
    """

    def __init__(self, container: InputContainer, video: VideoStream) -> None:
        self.streams: list[Stream] = [video]
        self.stated_s = 0.0
        self._start_s = 0.0
        self._read_s = 0.0
        if not any(name in container.format.name for name in _DURATION_FORMATS):
            return
        if video.duration is not None and video.time_base is not None:
            # FFmpeg recomputes the duration of a truncated AVI; its frame count is still the original one.
            duration = _stated_frames(video) if container.format.name == "avi" else video.duration
            self.stated_s = float(duration * video.time_base)
            self._start_s = float((video.start_time or 0) * video.time_base)
        elif container.duration is not None:
            self.stated_s = container.duration / av.time_base
            self.streams = [video, *container.streams.audio, *container.streams.subtitles]

    def add(self, packet: Packet[Stream]) -> None:
        if packet.pts is not None and packet.time_base is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._read_s = max(self._read_s, end_s - self._start_s)

    def missing_s(self, tolerance_s: float) -> float:
        """Returns the seconds missing at the end; 0 if at most the tolerance or 1% is missing."""
        missing_s = self.stated_s - self._read_s
        return missing_s if missing_s > max(tolerance_s, 0.01 * self.stated_s) else 0.0


def _stated_frames(video: VideoStream) -> int:
    """Returns the number of frames that a file states; 0 if it does not."""
    return 0 if video.frames == _UNKNOWN_FRAMES else video.frames


def _open(path: str | Path) -> InputContainer:
    name = redact_address(path)
    try:
        if is_address(path):
            return av.open(str(path), timeout=_SERVER_TIMEOUT_S)
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


def _ends_inside_packet(path: Path) -> bool:
    """Returns whether a transport stream is truncated inside a packet; it states no duration to compare with."""
    with path.open("rb") as file:
        head = file.read(2 * max(_TRANSPORT_SYNC_BYTES))
    for length, sync in _TRANSPORT_SYNC_BYTES.items():
        if head[sync : sync + 1] == head[sync + length : sync + length + 1] == b"G":
            return path.stat().st_size % length != 0
    return False
