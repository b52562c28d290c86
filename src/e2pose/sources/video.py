"""Video files as frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.sources.address import is_address, public_name
from e2pose.sources.base import SourceInfo
from e2pose.sources.pixels import is_turned, upright_rgb

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv"}
    | {".gif"}
)
"""File names that end like this are taken for videos."""

_STATES_DURATION = ("mp4", "matroska", "avi", "flv", "asf")  # of other containers the duration is only estimated
_TRANSPORT_PACKETS = {188: 0, 192: 4}  # length and where the mark 47 is; Source: ISO/IEC 13818-1 and the BDAV format
_UNKNOWN_FRAMES = 1 << 30  # what FFmpeg writes into an AVI that goes into a pipe
_PATIENCE_S = 15.0  # for a server that is asked for a file
_RESTART_S = 0.5  # a clock that runs back by more than this has started anew
_COPY_AGAIN = "copy or download it again, or convert it to MP4"


class VideoSource:
    """The frames of a video file, upright, with their time stamps.

    Frames hold pixels as they are stored, on white where they are transparent. Where recordings were joined and the
    clock starts anew, time goes on. What can be decoded of a damaged video comes first, then the error.

    Args:
        path: The file, or its address as a text with "://".

    Raises:
        InputError: It cannot be opened as a video.
    """

    def __init__(self, path: str | Path) -> None:
        self._container = _open(path)
        try:
            self._stream = first_video(self._container, public_name(path))
        except InputError:
            self._container.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self._length = _Length(self._container, self._stream)
        count = _stated_frames(self._stream) or (round(self._length.stated_s * rate) if self._length.stated_s else None)
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        file = None if is_address(path) else Path(path)
        self.origin = Origin(name=public_name(path), path=file, rate=rate, frame_count=count, pixel_aspect=aspect)
        self._closed = False
        self._damaged = 0

    @property
    def info(self) -> SourceInfo:
        """How many frames the file says it has."""
        return SourceInfo(self.origin.frame_count, paths=(self.origin.path,) if self.origin.path else ())

    def __iter__(self) -> Iterator[Frame]:
        """Decodes the video.

        Raises:
            InputError: No frame can be decoded, or some cannot; raised after all that can.
        """
        assert self.origin.rate is not None
        index, clock = 0, _Clock(self.origin.rate)
        for picture in self._decode():
            if index == 0 and is_turned(picture):
                self.origin = replace(self.origin, pixel_aspect=1 / self.origin.pixel_aspect)
            yield Frame(upright_rgb(picture), self.origin, index, clock.time_of(picture))
            index += 1
        if index == 0:
            raise InputError(f"no frame of the video '{self.origin.name}' can be decoded", _COPY_AGAIN)
        self._complain_if_damaged(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file."""
        self._closed = True
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            try:
                pictures = self._stream.decode(packet)
            except av.EOFError:
                return
            except av.FFmpegError:
                self._damaged += 1
                continue
            yield from pictures

    def _packets(self) -> Iterator[Packet[Stream] | None]:
        """The packets of the video; the last one is empty or None and makes the decoder give its last frames."""
        try:
            for packet in self._container.demux(self._length.streams):
                if packet.is_corrupt:  # the decoder would drop good frames with it
                    self._damaged += 1
                    continue
                self._length.reach(packet)
                if packet.stream is self._stream:
                    yield packet
                if self._closed:  # the library would read freed memory
                    raise InputError(f"'{self.origin.name}' was closed while it was read", "read it before leaving it")
        except av.FFmpegError:
            self._damaged += 1
            yield None

    def _complain_if_damaged(self, frames: int) -> None:
        assert self.origin.rate is not None
        missing_s = self._length.missing_s(float(3 / self.origin.rate))
        if missing_s > 0:
            lost = f"{missing_s:.1f} s are missing at its end"
        elif self._damaged:
            lost = "some frames cannot be decoded"
        elif self.origin.path and "mpegts" in self._container.format.name and _is_cut_transport(self.origin.path):
            lost = "it ends inside a packet, so that its last frames are missing"
        else:
            return
        raise InputError(
            f"the video '{self.origin.name}' is truncated or damaged: {lost}",
            f"its {frames} readable frames were used; to have them all, copy or download it again",
        )


class _Clock:
    """Times of decoded frames in seconds from the first one.

    Args:
        rate: Frames per second, for frames without a time stamp.
    """

    def __init__(self, rate: Fraction) -> None:
        self._frame_s = 1 / rate
        self._shift: Fraction | None = None
        self._last = -self._frame_s

    def time_of(self, picture: VideoFrame) -> float:
        if picture.pts is None or picture.time_base is None:
            time = self._last + self._frame_s
        else:
            stamp = picture.pts * picture.time_base
            if self._shift is None or stamp + self._shift < self._last - _RESTART_S:
                self._shift = self._last + self._frame_s - stamp
            time = stamp + self._shift
        self._last = time
        return float(time)


class _Length:
    """How much of a video there should be, and how much was read.

    Where only the duration of the whole file is stated, its sound counts as well, which may be what lasts so long.
    """

    def __init__(self, container: InputContainer, video: VideoStream) -> None:
        self.streams: list[Stream] = [video]
        self.stated_s = 0.0
        self._start_s = 0.0
        self._reached_s = 0.0
        if not any(name in container.format.name for name in _STATES_DURATION):
            return
        if video.duration is not None and video.time_base is not None:
            # Of a cut AVI the duration is counted anew, but its frames are those that it had.
            duration = _stated_frames(video) if container.format.name == "avi" else video.duration
            self.stated_s = float(duration * video.time_base)
            self._start_s = float((video.start_time or 0) * video.time_base)
        elif container.duration is not None:
            self.stated_s = container.duration / av.time_base
            self.streams = [video, *container.streams.audio, *container.streams.subtitles]

    def reach(self, packet: Packet[Stream]) -> None:
        if packet.pts is not None and packet.time_base is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._reached_s = max(self._reached_s, end_s - self._start_s)

    def missing_s(self, tolerance_s: float) -> float:
        """Seconds that are missing at the end; 0 if they are few."""
        missing_s = self.stated_s - self._reached_s
        return missing_s if missing_s > max(tolerance_s, 0.01 * self.stated_s) else 0.0


def _stated_frames(video: VideoStream) -> int:
    """How many frames a file says it has; 0 if it does not."""
    return 0 if video.frames == _UNKNOWN_FRAMES else video.frames


def _open(place: str | Path) -> InputContainer:
    try:
        if is_address(place):
            return av.open(str(place), timeout=_PATIENCE_S)
        path = Path(place)
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"'{path}' is empty: it has 0 bytes", "copy or download it again")
        return av.open(f"file:{path}")  # without the prefix a colon in the name is taken for a protocol
    except (FileNotFoundError, IsADirectoryError, PermissionError, NotADirectoryError) as error:
        raise InputError(
            f"cannot read '{public_name(place)}': {error.strerror}", "check the path and its permissions"
        ) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"'{public_name(place)}' is not a complete video that can be read: {reason}", _COPY_AGAIN
        ) from error


def first_video(container: InputContainer, name: str) -> VideoStream:
    """The first stream of moving pictures, ready to be decoded; the cover of a piece of music is none.

    Args:
        container: What was opened.
        name: What to call it in errors.

    Raises:
        InputError: There is none, or nobody can decode it.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise InputError(f"'{name}' has no pictures, only {found}", "give a picture or a video")
    if streams[0].codec_context is None:
        raise InputError(f"the video '{name}' is coded in a way that cannot be decoded", "convert it to MP4 with H.264")
    streams[0].thread_type = "AUTO"
    return streams[0]


def _is_cut_transport(path: Path) -> bool:
    """Whether a transport stream, which states no length, does not even end with a whole packet."""
    with path.open("rb") as file:
        head = file.read(2 * max(_TRANSPORT_PACKETS))
    for length, mark in _TRANSPORT_PACKETS.items():
        if head[mark : mark + 1] == head[mark + length : mark + length + 1] == b"G":
            return path.stat().st_size % length != 0
    return False
