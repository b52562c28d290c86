"""Copies the audio tracks of a video into another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from e2pose.core.frame import Frame

_COPIED_CODECS = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "vorbis", "dts", "pcm_s16le", "pcm_s24le"},
}
"""Codecs that each container holds unchanged; audio in other codecs is converted to AAC."""

_MIN_MP3_RATE = 16_000  # MP4 cannot signal lower sample rates for MP3
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_DEFAULT_AAC_RATE = 48_000
_MAX_ROUNDING_S = Fraction(1, 1000)  # of the times of frames
_MAX_BACKWARD_S = Fraction(1, 20)  # a larger step back in time starts a joined recording
_MAX_WAIT_S = Fraction(1)  # between the sound and the frames of a joined recording


class AudioTracks:
    """All audio tracks of a file, added to a container before anything is written to it.

    The sound follows the frames: it starts with the first one, moves with those of joined recordings and ends with the
    last one. Does nothing if the file has no audio. `suffix` is that of the container.
    """

    def __init__(self, source: Path, container: OutputContainer, suffix: str) -> None:
        self._source = source
        self._container = container
        self._shifts_s: list[Fraction] = []
        self._input = av.open(f"file:{source}")
        try:
            streams = [stream for stream in self._input.streams.audio if stream.codec_context is not None]
            self._num_unknown = len(self._input.streams.audio) - len(streams)
            self._is_cut = False
            self._tracks = {stream.index: _Track(stream, container, suffix, self._shifts_s) for stream in streams}
            self._packets: Iterator[Packet[Any]] = self._input.demux(streams) if streams else iter(())
            self._next = self._read()
        except BaseException:
            self._input.close()
            raise

    def follow(self, frame: Frame) -> None:
        """Writes the sound before a frame, so that it is interleaved."""
        if frame.file_time_s is None:
            return
        shift_s = Fraction(frame.time_s) - Fraction(frame.file_time_s)
        if not self._shifts_s or abs(shift_s - self._shifts_s[-1]) > _MAX_ROUNDING_S:
            self._shifts_s.append(shift_s)
        self._write_until(frame.time_s)

    def finish(self, end_s: float) -> None:
        """Writes the sound up to the end of the last frame; sound behind it is not decoded."""
        ended: set[int] = set()
        while self._shifts_s and self._next is not None and len(ended) < len(self._tracks):
            self._write_until(end_s)
            if self._next is not None:  # other tracks may lie behind in the file
                ended.add(self._next.stream.index)
                self._next = self._read()
        for track in self._tracks.values():
            track.finish(self._container)

    @property
    def omissions(self) -> str:
        """A sentence about sound of the file that could not be written; empty if all of it was."""
        num_damaged = sum(track.num_damaged for track in self._tracks.values())
        parts = [_count(self._num_unknown, "track") + " in an unknown codec"] if self._num_unknown else []
        parts += [_count(num_damaged, "damaged packet")] if num_damaged else []
        parts += ["the rest after a damaged place"] if self._is_cut else []
        return f"left out of the sound of '{self._source}': {', '.join(parts)}" if parts else ""

    def close(self) -> None:
        """Closes the source file."""
        self._input.close()

    def _write_until(self, time_s: float) -> None:
        while self._next is not None:
            track = self._tracks[self._next.stream.index]
            if track.time_of(self._next, time_s) >= time_s:
                return
            track.write(self._next, self._container)
            self._next = self._read()

    def _read(self) -> Packet[Any] | None:
        try:
            return next(self._packets, None)
        except av.FFmpegError:
            self._is_cut = True
            return None


class _Track:
    """Adds one audio stream to a container and converts its packets.

    `shifts_s` are the seconds to add to the timestamps in the file, one value for each recording that was joined.
    """

    def __init__(
        self, stream: AudioStream, container: OutputContainer, suffix: str, shifts_s: Sequence[Fraction]
    ) -> None:
        self._stream = stream
        self._shifts_s = shifts_s
        self._recording = 0
        self._extra_s = Fraction(0)
        self._end_s: Fraction | None = None
        self._last_dts: int | None = None
        self._kind: tuple[str, str, int] | None = None  # of the decoded frames
        self.num_damaged = 0
        """Number of packets that could not be decoded or written."""
        self._is_copied = _can_be_copied(stream, suffix)
        if self._is_copied:
            self._target = container.add_stream_from_template(stream)
        else:
            rate = stream.rate if stream.rate in _AAC_RATES else _DEFAULT_AAC_RATE
            self._target = container.add_stream("aac", rate=rate, layout="mono" if stream.channels == 1 else "stereo")
        if stream.language:
            self._target.metadata["language"] = stream.language

    def time_of(self, packet: Packet[Any], video_s: float) -> Fraction:
        """Returns the time of a packet, where the frames are at `video_s`.

        A packet that steps back belongs to a joined recording. Until its frames arrive, but at most one second, its
        time is later than `video_s`.
        """
        if packet.pts is None or packet.time_base is None:
            return self._end_s or Fraction(0)
        stamp_s = packet.pts * packet.time_base
        if self._end_s is None:
            return stamp_s + self._shift_s
        while self._recording + 1 < len(self._shifts_s):
            next_s = stamp_s + self._shifts_s[self._recording + 1]
            if abs(next_s - self._end_s) >= abs(stamp_s + self._shift_s - self._end_s):
                break
            self._recording, self._extra_s = self._recording + 1, Fraction(0)
        if stamp_s + self._shift_s < self._end_s - _MAX_BACKWARD_S:
            if video_s < self._end_s + _MAX_WAIT_S:
                return self._end_s + _MAX_WAIT_S
            self._extra_s += self._end_s - stamp_s - self._shift_s
        return stamp_s + self._shift_s

    def write(self, packet: Packet[Any], container: OutputContainer) -> None:
        """Writes a packet, unless it ends before the first frame."""
        if not self._is_copied:
            self._encode(packet, container)
        elif packet.dts is not None and packet.pts is not None and packet.time_base is not None:
            shift = round(self._shift_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            self._end_s = (packet.pts + (packet.duration or 0)) * packet.time_base
            packet.stream = self._target
            if self._end_s >= 0:  # AAC needs the packet before the first frame
                self._mux(container, [packet])

    def finish(self, container: OutputContainer) -> None:
        """Writes the packets that the encoder still holds."""
        if not self._is_copied and self._end_s is not None:
            self._mux(container, self._target.encode(None))

    @property
    def _shift_s(self) -> Fraction:
        return self._shifts_s[self._recording] + self._extra_s

    def _encode(self, packet: Packet[Any], container: OutputContainer) -> None:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError:
            self.num_damaged += 1
            return
        for frame in self._resample(frames):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts += round(self._shift_s / frame.time_base)
                self._end_s = frame.pts * frame.time_base + Fraction(frame.samples, frame.sample_rate)
            if self._end_s is None or self._end_s > 0:
                self._mux(container, self._target.encode(frame))

    def _resample(self, frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
        """Converts frames to the format of the encoder; the format of a broadcast may change at any frame."""
        for frame in frames:
            kind = frame.format.name, frame.layout.name, frame.sample_rate
            if kind != self._kind:
                self._kind = kind
                self._resampler = AudioResampler(self._target.format, self._target.layout, self._target.rate)
            yield from self._resampler.resample(frame)

    def _mux(self, container: OutputContainer, packets: Iterable[Packet[AudioStream]]) -> None:
        """Writes packets, except those whose timestamp does not increase."""
        for packet in packets:
            if packet.dts is not None and (self._last_dts is None or packet.dts > self._last_dts):
                self._last_dts = packet.dts
                try:
                    container.mux(packet)
                except av.InvalidDataError:
                    self.num_damaged += 1


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _can_be_copied(stream: AudioStream, suffix: str) -> bool:
    codec = stream.codec_context.codec.canonical_name
    rate_is_too_low = suffix == ".mp4" and codec == "mp3" and stream.rate < _MIN_MP3_RATE
    is_known = stream.rate > 0 and stream.channels > 0  # unknown if the sound starts late or never
    return is_known and codec in _COPIED_CODECS[suffix] and not rate_is_too_low
