"""The sound of a video, taken over into another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

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


class AudioTrack:
    """The first audio stream of a file, added to a container; silent if the file has none.

    Args:
        source: The file.
        container: The container to add to, before anything is written to it.
        suffix: The suffix that the container will have.
    """

    def __init__(self, source: Path, container: OutputContainer, suffix: str) -> None:
        self._container = container
        self._last_dts: int | None = None
        self._input = av.open(f"file:{source}")
        try:
            self._packets = _packets(self._input, container, suffix)
        except BaseException:
            self._input.close()
            raise
        self._next = next(self._packets, None)

    def write_until(self, time_s: float) -> None:
        """Writes the sound up to a time from the first video frame, so that it lies beside the pictures."""
        while self._next is not None:
            packet = self._next
            if packet.pts is not None and packet.time_base is not None and packet.pts * packet.time_base > time_s:
                return
            # Where recordings were joined time jumps back, which no container accepts.
            if packet.dts is not None and (self._last_dts is None or packet.dts > self._last_dts):
                self._last_dts = packet.dts
                self._container.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Closes the file that the sound comes from."""
        self._input.close()


def _packets(source: InputContainer, container: OutputContainer, suffix: str) -> Iterator[Packet[AudioStream]]:
    """Adds a stream to the container and gives the packets for it, with times from the first video frame."""
    stream = next((stream for stream in source.streams.audio if stream.codec_context is not None), None)
    if stream is None:
        return iter(())
    if _can_be_copied(stream, suffix):
        return _copy(source, stream, container.add_stream_from_template(stream))
    rate = stream.rate if stream.rate in _AAC_RATES else 48000
    layout = "mono" if stream.channels == 1 else "stereo"
    return _transcode(source, stream, container.add_stream("aac", rate=rate, layout=layout))


def _can_be_copied(stream: AudioStream, suffix: str) -> bool:
    codec = stream.codec_context.codec.canonical_name
    too_low = suffix == ".mp4" and codec == "mp3" and stream.rate < _LOWEST_MP3_RATE
    return codec in _COPIED[suffix] and not too_low


def _copy(source: InputContainer, stream: AudioStream, target: AudioStream) -> Iterator[Packet[AudioStream]]:
    start_s = _video_start(source)
    with suppress(av.FFmpegError):  # what follows a damaged place is lost
        for packet in source.demux(stream):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            shift = round(start_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = target
            yield packet


def _transcode(source: InputContainer, stream: AudioStream, target: AudioStream) -> Iterator[Packet[AudioStream]]:
    start_s = _video_start(source)
    with suppress(av.FFmpegError):
        for sound in source.decode(stream):
            if sound.pts is not None and sound.time_base is not None:
                sound.pts -= round(start_s / sound.time_base)
            yield from target.encode(sound)
    yield from target.encode(None)


def _video_start(source: InputContainer) -> Fraction:
    """When the first video frame is shown, in seconds of the file's own clock."""
    video = source.streams.video[0]
    if video.start_time is None or video.time_base is None:
        return Fraction(0)
    return video.start_time * video.time_base
