"""Segments of videos: parts that are decoded independently, with the frame numbers and times of the whole video."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from e2pose.core.errors import InputError
from e2pose.core.files import reason_of
from e2pose.core.frame import Frame, Origin
from e2pose.sources.video_stream import find_video_stream, upright_rgb

_FORMATS = ("mp4", "matroska")  # containers with reliable timestamps and an index of key frames
_CODECS = ("h264", "hevc", "av1", "vp9", "mpeg4")  # that decode each packet to one frame
_COPY_AGAIN = "copy or download it again, or convert it to MP4"


class Segment(NamedTuple):
    """The frames of a video from one key frame to another, by presentation timestamps in the unit of the stream."""

    first_frame: int  # number in the whole video
    num_frames: int
    start_pts: int  # of its first frame
    stop_pts: int | None  # of the first frame after it; None for the end of the video
    zero_pts: int  # of the first frame of the video


def cut_segments(video: str | Path | BufferedReader, seconds: float) -> tuple[float, list[Segment]]:
    """Cuts a video at key frames into segments of at least `seconds`, but for the last one.

    All packets are read, none is decoded except those of the first frame.

    Returns:
        The stated duration in seconds, 0 if unknown, and the segments. There are none if the video should be processed
        in one piece: it is short or damaged, its timestamps do not rise, or its parts cannot be decoded exactly like
        the whole, for example because it is interlaced.
    """
    try:
        with _open(video) as container:
            stream = find_video_stream(container, str(video))
            duration_s = container.duration / av.time_base if container.duration else 0
            is_long = duration_s >= 1.5 * seconds and _is_suitable(container, stream)
            return duration_s, _cut(container, stream, seconds) if is_long else []
    except (InputError, av.FFmpegError, OSError, ValueError, StopIteration):
        return 0.0, []  # reading the video reports the reason


class SegmentSource:
    """The frames of one segment, equal in pixels, numbers and times to those of the whole video.

    Raises:
        InputError: The file cannot be opened as a video.
    """

    def __init__(self, video: str | Path | BufferedReader, name: str, segment: Segment) -> None:
        try:
            self._container = _open(video)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"cannot read the video '{name}': {reason_of(error)}", _COPY_AGAIN) from error
        self._stream = find_video_stream(self._container, name)
        self._segment = segment
        self._origin = Origin(name, rate=self._stream.average_rate)

    def __iter__(self) -> Iterator[Frame]:
        """Yields the frames.

        Raises:
            InputError: The number of decoded frames is wrong, after the last one.
        """
        first, count, _, _, zero_pts = self._segment
        index = first
        for frame in self._decode():
            assert frame.pts is not None
            assert self._stream.time_base is not None
            time_s = float((frame.pts - zero_pts) * self._stream.time_base)
            yield Frame(upright_rgb(frame), self._origin, index, time_s)
            index += 1
        if index - first != count:
            raise InputError(
                f"'{self._origin.name}' is damaged: {index - first} of the {count} frames from number {first} on can "
                "be decoded",
                _COPY_AGAIN,
            )

    def close(self) -> None:
        """Closes the file."""
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        _, _, start, stop, _ = self._segment
        self._container.seek(start, stream=self._stream)
        try:
            for packet in self._container.demux(self._stream):
                for frame in self._decode_packet(packet):
                    if frame.pts is None or frame.pts < start:
                        continue
                    if stop is not None and frame.pts >= stop:
                        return
                    yield frame
        except av.FFmpegError:
            return  # the number of frames is wrong

    def _decode_packet(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError:
            return []


def _open(video: str | Path | BufferedReader) -> InputContainer:
    return av.open(f"file:{video}" if isinstance(video, str | Path) else video, "r")


def _is_suitable(container: InputContainer, stream: VideoStream) -> bool:
    if stream.codec_context.name not in _CODECS or not any(name in container.format.name for name in _FORMATS):
        return False
    if "1" in (stream.metadata.get("alpha_mode"), stream.metadata.get("ALPHA_MODE")):
        return False
    frame = next(container.decode(stream))
    container.seek(0)
    return not frame.interlaced_frame


def _cut(container: InputContainer, stream: VideoStream, seconds: float) -> list[Segment]:
    seconds_per_tick = stream.time_base or 0
    stamps: list[int] = []
    cuts: list[int] = []
    for packet in container.demux(stream):
        if not packet.size or packet.is_discard:
            continue
        if packet.pts is None or packet.is_corrupt:
            return []
        if packet.is_keyframe and stamps and packet.pts < max(stamps[-64:]):
            return []  # the timestamps step back
        if packet.is_keyframe and (not cuts or (packet.pts - cuts[-1]) * seconds_per_tick >= seconds):
            cuts.append(packet.pts)
        stamps.append(packet.pts)
    stamps.sort()
    if len(set(stamps)) < len(stamps) or not cuts or stamps[0] != cuts[0]:
        return []
    position = {stamp: index for index, stamp in enumerate(stamps)}
    starts = [position[cut] for cut in cuts]
    return [
        Segment(start, stop - start, stamps[start], stamps[stop] if stop < len(stamps) else None, stamps[0])
        for start, stop in zip(starts, [*starts[1:], len(stamps)], strict=True)
    ]
