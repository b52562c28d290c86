"""Checks that a video file is not truncated."""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

_DURATION_FORMATS = ("mp4", "matroska", "avi", "flv", "asf")  # other containers only allow estimates of the duration
_UNKNOWN_FRAMES = 1 << 30  # FFmpeg's frame count in an AVI that was written to a pipe
# Source: ISO/IEC 13818-1 and the BDAV format.
_TRANSPORT_SYNC_BYTES = {188: 0, 192: 4}  # packet length to position of the byte 0x47


class DurationCheck:
    """Compares the duration that a file states with the duration that was read.

    If the container only states the duration of the whole file, audio and subtitles count too, because they may be
    longer than the video.
    """

    def __init__(self, container: InputContainer, video: VideoStream) -> None:
        self.streams: list[Stream] = [video]
        self.stated_s = 0.0
        self._start_s = 0.0
        self._offset_s = 0.0
        self._read_s = 0.0
        if not any(name in container.format.name for name in _DURATION_FORMATS):
            return
        if video.duration is not None and video.time_base is not None:
            # FFmpeg recomputes the duration of a truncated AVI; its frame count is still the original one.
            duration = stated_frames(video) if container.format.name == "avi" else video.duration
            self.stated_s = float(duration * video.time_base)
            self._start_s = float((video.start_time or 0) * video.time_base)
        elif container.duration is not None:
            self.stated_s = container.duration / av.time_base
            self._offset_s = (container.start_time or 0) / av.time_base
            self.streams = [video, *container.streams.audio, *container.streams.subtitles]

    @property
    def video_s(self) -> float:
        """Seconds from the start of the video to its end as the file states it; 0 if it does not."""
        return max(0.0, self.stated_s - self._offset_s)

    def add(self, packet: Packet[Stream]) -> None:
        """Counts a packet that was read."""
        if packet.pts is not None and packet.time_base is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._read_s = max(self._read_s, end_s - self._start_s)

    def missing_s(self, tolerance_s: float) -> float:
        """Returns the seconds missing at the end; 0 if at most the tolerance or 1% is missing."""
        missing_s = self.stated_s - self._read_s
        return missing_s if missing_s > max(tolerance_s, 0.01 * self.stated_s) else 0.0


def stated_frames(video: VideoStream) -> int:
    """Returns the number of frames that a file states; 0 if it does not."""
    return 0 if video.frames == _UNKNOWN_FRAMES else video.frames


def ends_inside_packet(path: Path) -> bool:
    """Returns whether a transport stream is truncated inside a packet; it states no duration to compare with."""
    with path.open("rb") as file:
        head = file.read(2 * max(_TRANSPORT_SYNC_BYTES))
    for length, sync in _TRANSPORT_SYNC_BYTES.items():
        if head[sync : sync + 1] == head[sync + length : sync + length + 1] == b"G":
            return path.stat().st_size % length != 0
    return False
