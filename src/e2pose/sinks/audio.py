"""The sound of a video, taken over into another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

_COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "vorbis", "dts", "pcm_s16le", "pcm_s24le"},
}
"""For each container the codecs that it holds as they are; everything else becomes AAC."""

_LOWEST_MP3_RATE = 16_000  # of MP3 in MP4, which names no lower one
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_RESTART_S = Fraction(1, 2)  # a clock that runs back by more than this has started anew


class AudioTracks:
    """All the sound of a file, added to a container; silent if the file has none.

    Args:
        source: The file.
        container: The container to add to, before anything is written to it.
        suffix: The suffix that the container will have.
    """

    def __init__(self, source: Path, container: OutputContainer, suffix: str) -> None:
        self._container = container
        self._input = av.open(f"file:{source}")
        try:
            start_s = _video_start(self._input)
            self._streams = [stream for stream in self._input.streams.audio if stream.codec_context is not None]
            self._tracks = {stream.index: _track(stream, container, suffix, start_s) for stream in self._streams}
            self._packets = self._convert()
            self._next = next(self._packets, None)
        except BaseException:
            self._input.close()
            raise

    def write_until(self, time_s: float) -> None:
        """Writes the sound up to a time from the first video frame, so that it lies beside the pictures."""
        while self._next is not None:
            packet = self._next
            if packet.pts is not None and packet.time_base is not None and packet.pts * packet.time_base > time_s:
                return
            self._container.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Closes the file that the sound comes from."""
        self._input.close()

    def _convert(self) -> Iterator[Packet[AudioStream]]:
        """The packets for the container in the order of the file, without those that run back in time."""
        last_dts = {stream.index: -(1 << 62) for stream in self._streams}
        for index, packet in self._converted():
            if packet.dts is not None and packet.dts > last_dts[index]:
                last_dts[index] = packet.dts
                yield packet

    def _converted(self) -> Iterator[tuple[int, Packet[AudioStream]]]:
        if not self._streams:
            return
        with suppress(av.FFmpegError):  # what follows a place where the file is damaged is lost
            for packet in self._input.demux(self._streams):
                with suppress(av.FFmpegError):
                    for converted in self._tracks[packet.stream.index].convert(packet):
                        yield packet.stream.index, converted
        for index, track in self._tracks.items():
            for converted in track.finish():
                yield index, converted


class _Clock:
    """Times from the first video frame; where recordings were joined and the clock starts anew, time goes on.

    Args:
        start_s: The time of the first video frame.
    """

    def __init__(self, start_s: Fraction) -> None:
        self._shift_s = -start_s
        self._end_s: Fraction | None = None

    def shift(self, pts: int, duration: int, time_base: Fraction) -> int:
        """What to add to a time stamp, in ticks."""
        time_s = pts * time_base + self._shift_s
        if self._end_s is not None and time_s < self._end_s - _RESTART_S:
            self._shift_s += self._end_s - time_s
            time_s = self._end_s
        self._end_s = time_s + duration * time_base
        return round(self._shift_s / time_base)


class _Copied:
    def __init__(self, target: AudioStream, start_s: Fraction) -> None:
        self._target = target
        self._clock = _Clock(start_s)

    def convert(self, packet: Packet[Any]) -> Iterable[Packet[AudioStream]]:
        if packet.dts is None or packet.pts is None or packet.time_base is None:
            return ()
        shift = self._clock.shift(packet.pts, packet.duration or 0, packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        packet.stream = self._target
        return (packet,)

    def finish(self) -> Iterable[Packet[AudioStream]]:
        return ()


class _Encoded:
    def __init__(self, stream: AudioStream, target: AudioStream, start_s: Fraction) -> None:
        self._stream = stream
        self._target = target
        self._clock = _Clock(start_s)

    def convert(self, packet: Packet[Any]) -> Iterable[Packet[AudioStream]]:
        for sound in self._stream.decode(packet):
            if sound.pts is not None and sound.time_base is not None:
                duration = round(Fraction(sound.samples, sound.sample_rate) / sound.time_base)
                sound.pts += self._clock.shift(sound.pts, duration, sound.time_base)
            yield from self._target.encode(sound)

    def finish(self) -> Iterable[Packet[AudioStream]]:
        return self._target.encode(None)


def _track(stream: AudioStream, container: OutputContainer, suffix: str, start_s: Fraction) -> _Copied | _Encoded:
    """Adds a stream to the container and makes what fills it."""
    track: _Copied | _Encoded
    if _can_be_copied(stream, suffix):
        target = container.add_stream_from_template(stream)
        track = _Copied(target, start_s)
    else:
        rate = stream.rate if stream.rate in _AAC_RATES else 48000
        target = container.add_stream("aac", rate=rate, layout="mono" if stream.channels == 1 else "stereo")
        track = _Encoded(stream, target, start_s)
    if stream.language:
        target.metadata["language"] = stream.language
    return track


def _can_be_copied(stream: AudioStream, suffix: str) -> bool:
    codec = stream.codec_context.codec.canonical_name
    too_low = suffix == ".mp4" and codec == "mp3" and stream.rate < _LOWEST_MP3_RATE
    return codec in _COPIED[suffix] and not too_low


def _video_start(source: InputContainer) -> Fraction:
    """When the first video frame is shown, in seconds of the file's own clock."""
    video = source.streams.video[0]
    if video.start_time is None or video.time_base is None:
        return Fraction(0)
    return video.start_time * video.time_base
