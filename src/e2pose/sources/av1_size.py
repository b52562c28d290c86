"""Sizes in the AV1 data of an AVIF, which the decoder allocates whatever the boxes of the file state."""

from __future__ import annotations

import io
from math import prod

import av

_PROBE_PIXELS = "65536"  # FFmpeg decodes a small frame when it opens a file, but no larger one


def max_coded_pixels(data: bytes) -> int:
    """Returns the number of pixels of the largest AV1 frame; nothing is decoded.

    Raises:
        av.FFmpegError: The AV1 data are damaged.
    """
    largest = 0
    with av.open(io.BytesIO(data), "r", format="mov", options={"max_pixels": _PROBE_PIXELS}) as container:
        for packet in container.demux(container.streams.video):
            if packet.size:
                parser = av.CodecContext.create("av1", "r")
                parser.parse(bytes(packet))
                largest = max(largest, prod((parser.width, parser.height)))
    return largest
