"""Decoding of the video stream of a file or network stream."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.codec.context import CodecContext
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from e2pose.sources.deinterlace import Deinterlacer
from e2pose.sources.video_stream import DECODER_OPTIONS, frame_rate

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders discard the alpha channel


class VideoDecoder:
    """Decodes the packets of a video stream into progressive frames in display order."""

    def __init__(self, stream: VideoStream) -> None:
        self._context = _alpha_context(stream) or stream.codec_context
        self._time_base = stream.time_base
        self._deinterlacer = Deinterlacer()
        self._stamps = _Stamps()
        kind = stream.container.format.name, stream.codec_context.name
        self._has_pts = kind[0] != "avi" and kind != ("mxf", "h264")  # FFmpeg numbers their packets in decoding order
        frame_ticks = 1 / (frame_rate(stream) * (stream.time_base or 1))
        self._delay = round(stream.codec_context.reorder_depth * frame_ticks)
        self.num_damaged = 0
        """Number of packets that could not be decoded and of frames that the decoder had to complete."""

    def decode(self, packet: Packet[Stream] | None) -> Iterator[VideoFrame]:
        """Yields the frames that are complete after a packet; an empty packet or None ends the stream.

        Only `num_damaged` reports a packet that cannot be decoded.
        """
        try:
            frames = self._context.decode(packet)
        except av.EOFError:  # a second end
            return
        except av.FFmpegError:
            self.num_damaged += 1
            frames = []
        for frame in frames:
            self.num_damaged += frame.is_corrupt
            frame.time_base = frame.time_base or self._time_base  # missing at the end of the stream
            if self._has_pts:
                frame.pts = self._stamps.best(frame.pts, frame.dts)
            else:
                frame.pts = None if frame.dts is None else frame.dts - self._delay
            yield from self._deinterlacer(frame)
        if packet is None or not packet.size:
            yield from self._deinterlacer.flush()


class _Stamps:
    """Chooses between the presentation and the decoding timestamp of frames: the kind that stepped back less often.

    Source: guess_correct_pts in FFmpeg's libavcodec/decode.c.
    """

    def __init__(self) -> None:
        self._num_faulty_pts = self._num_faulty_dts = 0
        self._last_pts: int | None = None
        self._last_dts: int | None = None

    def best(self, pts: int | None, dts: int | None) -> int | None:
        if dts is not None:
            self._num_faulty_dts += self._last_dts is not None and dts <= self._last_dts
        if pts is not None:
            self._num_faulty_pts += self._last_pts is not None and pts <= self._last_pts
        self._last_dts = pts if dts is None else dts
        self._last_pts = dts if pts is None else pts
        return dts if pts is None or (dts is not None and self._num_faulty_pts > self._num_faulty_dts) else pts


def _alpha_context(stream: VideoStream) -> VideoCodecContext | None:
    """Returns a decoder that keeps the alpha channel of a WebM video; None if others keep it or there is none."""
    codec = _WITH_ALPHA.get(stream.codec_context.name)
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    if tags.get("alpha_mode") != "1" or codec not in av.codecs_available:
        return None
    context = CodecContext.create(codec, "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = stream.codec_context.extradata
    context.options = dict(DECODER_OPTIONS)
    return context
