"""Video files as frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.sources.orientation import display_orientation

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv"}
    | {".gif"}
)
"""File names that end like this are taken for videos."""

_STATES_DURATION = ("mp4", "matroska")  # of other containers the duration is only estimated
_COPY_AGAIN = "copy or download it again, or convert it to MP4"


class VideoSource:
    """The frames of a video file, upright, with their time stamps.

    What can be decoded of a damaged video comes first, then the error.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be opened as a video.
    """

    def __init__(self, path: str | Path) -> None:
        self._container = _open(Path(path))
        try:
            self._stream = _first_video(self._container, path)
        except InputError:
            self._container.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self._stated_s = _stated_duration(self._container, self._stream)
        count = self._stream.frames or (round(self._stated_s * rate) if self._stated_s else None)
        self.origin = Origin(name=str(path), path=Path(path), rate=rate, frame_count=count)
        self._start = self._stream.start_time or 0
        self._closed = False
        self._damaged = 0
        self._reached_s = 0.0

    @property
    def frame_count(self) -> int | None:
        """How many frames the file says it has; None if it does not say."""
        return self.origin.frame_count

    def __iter__(self) -> Iterator[Frame]:
        """Decodes the video.

        Raises:
            InputError: No frame can be decoded, or some cannot; raised after all that can.
        """
        assert self.origin.rate is not None
        index, first = 0, None
        for picture in self._decode():
            first = picture.pts if first is None else first
            if picture.pts is None or picture.time_base is None or first is None:
                time_s = float(index / self.origin.rate)
            else:
                time_s = float((picture.pts - first) * picture.time_base)
            yield Frame(_upright_rgb(picture), self.origin, index, time_s)
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

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """The packets of the video; the last one is empty or None and makes the decoder give its last frames."""
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:  # the decoder would drop good frames with it
                    self._damaged += 1
                    continue
                if packet.pts is not None and packet.time_base is not None:
                    end = packet.pts + (packet.duration or 0) - self._start
                    self._reached_s = max(self._reached_s, float(end * packet.time_base))
                yield packet
                if self._closed:  # the library would read freed memory
                    raise InputError(f"'{self.origin.name}' was closed while it was read", "read it before leaving it")
        except av.FFmpegError:
            self._damaged += 1
            yield None

    def _complain_if_damaged(self, frames: int) -> None:
        assert self.origin.rate is not None
        tolerance_s = max(float(3 / self.origin.rate), 0.01 * self._stated_s)
        missing_s = self._stated_s - self._reached_s
        if self._damaged == 0 and missing_s <= tolerance_s:
            return
        lost = (
            f"{missing_s:.1f} s are missing at its end" if missing_s > tolerance_s else "some frames cannot be decoded"
        )
        raise InputError(
            f"the video '{self.origin.name}' is truncated or damaged: {lost}",
            f"its {frames} readable frames were used; to have them all, copy or download it again",
        )


def _open(path: Path) -> InputContainer:
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"'{path}' is empty: it has 0 bytes", "copy or download it again")
        return av.open(f"file:{path}")  # without the prefix a colon in the name is taken for a protocol
    except (FileNotFoundError, IsADirectoryError, PermissionError, NotADirectoryError) as error:
        raise InputError(f"cannot read '{path}': {error.strerror}", "check the path and its permissions") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"'{path}' is not a complete video that can be read: {reason}", _COPY_AGAIN) from error


def _first_video(container: InputContainer, path: str | Path) -> VideoStream:
    """The first stream of moving pictures; the cover of a piece of music is none."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise InputError(f"'{path}' has no pictures, only {found}", "give a picture or a video")
    if streams[0].codec_context is None:
        raise InputError(f"the video '{path}' is coded in a way that cannot be decoded", "convert it to MP4 with H.264")
    streams[0].thread_type = "AUTO"
    return streams[0]


def _stated_duration(container: InputContainer, stream: VideoStream) -> float:
    """The duration of the pictures in seconds as the file states it; 0 if it does not."""
    if not any(name in container.format.name for name in _STATES_DURATION):
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # otherwise the sound may be longer
    return container.duration / av.time_base if container.duration is not None and alone else 0.0


def _upright_rgb(picture: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    image = picture.to_ndarray(format="rgb24")
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return image
    return display_orientation(np.frombuffer(bytes(matrix), np.int32)).apply(image)
