"""Copies the audio tracks of a video into another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

_COPIED_CODECS = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "vorbis", "dts", "pcm_s16le", "pcm_s24le"},
}
"""Codecs that each container holds unchanged; audio in other codecs is converted to AAC."""

_MIN_MP3_RATE = 16_000  # MP4 cannot signal lower sample rates for MP3
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_DEFAULT_AAC_RATE = 48_000
_MAX_BACKWARD_S = Fraction(1, 2)  # a larger step back in time starts a new recording


class AudioTracks:
    """All audio tracks of a file, added to a container before anything is written to it.

    Does nothing if the file has none. `suffix` is that of the container.
    """

    def __init__(self, source: Path, container: OutputContainer, suffix: str) -> None:
        self._container = container
        self._input = av.open(f"file:{source}")
        try:
            video = self._input.streams.video[0]
            start_s = Fraction((video.start_time or 0) * (video.time_base or 0))  # time of the first video frame
            self._streams = [stream for stream in self._input.streams.audio if stream.codec_context is not None]
            self._tracks = {stream.index: _Track(stream, container, suffix, start_s) for stream in self._streams}
            self._packets = self._ordered_packets()
            self._next = next(self._packets, None)
        except BaseException:
            self._input.close()
            raise

    def write_until(self, time_s: float) -> None:
        """Writes the audio up to a time, in seconds since the first video frame, so that it is interleaved."""
        while self._next is not None:
            packet = self._next
            if packet.pts is not None and packet.time_base is not None and packet.pts * packet.time_base > time_s:
                return
            self._container.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Closes the source file."""
        self._input.close()

    def _ordered_packets(self) -> Iterator[Packet[AudioStream]]:
        """Yields the packets for the container, without packets whose timestamp does not increase."""
        last_dts: dict[int, int] = {}
        for index, packet in self._converted_packets():
            if packet.dts is not None and (index not in last_dts or packet.dts > last_dts[index]):
                last_dts[index] = packet.dts
                yield packet

    def _converted_packets(self) -> Iterator[tuple[int, Packet[AudioStream]]]:
        if not self._streams:
            return
        with suppress(av.FFmpegError):  # audio after a damaged place is lost
            for packet in self._input.demux(self._streams):
                with suppress(av.FFmpegError):
                    for converted in self._tracks[packet.stream.index].convert(packet):
                        yield packet.stream.index, converted
        for index, track in self._tracks.items():
            for converted in track.finish():
                yield index, converted


class _Clock:
    """Shifts timestamps to start at the first video frame; where recordings are concatenated, the time continues."""

    def __init__(self, start_s: Fraction) -> None:
        self._shift_s = -start_s
        self._end_s: Fraction | None = None

    def shift(self, pts: int, duration: int, time_base: Fraction) -> int:
        """Returns the ticks to add to a timestamp."""
        time_s = pts * time_base + self._shift_s
        if self._end_s is not None and time_s < self._end_s - _MAX_BACKWARD_S:
            self._shift_s += self._end_s - time_s
            time_s = self._end_s
        self._end_s = time_s + duration * time_base
        return round(self._shift_s / time_base)


class _Track:
    """Adds one audio stream to a container and converts its packets."""

    def __init__(self, stream: AudioStream, container: OutputContainer, suffix: str, start_s: Fraction) -> None:
        self._stream = stream
        self._clock = _Clock(start_s)
        self._is_copied = _can_be_copied(stream, suffix)
        if self._is_copied:
            self._target = container.add_stream_from_template(stream)
        else:
            rate = stream.rate if stream.rate in _AAC_RATES else _DEFAULT_AAC_RATE
            self._target = container.add_stream("aac", rate=rate, layout="mono" if stream.channels == 1 else "stereo")
        if stream.language:
            self._target.metadata["language"] = stream.language

    def convert(self, packet: Packet[Any]) -> Iterator[Packet[AudioStream]]:
        if not self._is_copied:
            yield from self._encode(packet)
        elif packet.dts is not None and packet.pts is not None and packet.time_base is not None:
            shift = self._clock.shift(packet.pts, packet.duration or 0, packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = self._target
            yield packet

    def finish(self) -> Iterable[Packet[AudioStream]]:
        """Returns the packets that the encoder still holds."""
        return () if self._is_copied else self._target.encode(None)

    def _encode(self, packet: Packet[Any]) -> Iterator[Packet[AudioStream]]:
        for frame in self._stream.decode(packet):
            if frame.pts is not None and frame.time_base is not None:
                duration = round(Fraction(frame.samples, frame.sample_rate) / frame.time_base)
                frame.pts += self._clock.shift(frame.pts, duration, frame.time_base)
            yield from self._target.encode(frame)


def _can_be_copied(stream: AudioStream, suffix: str) -> bool:
    codec = stream.codec_context.codec.canonical_name
    rate_is_too_low = suffix == ".mp4" and codec == "mp3" and stream.rate < _MIN_MP3_RATE
    return codec in _COPIED_CODECS[suffix] and not rate_is_too_low
