"""Network streams."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from time import monotonic

import av
import numpy as np
from av.container import InputContainer
from jaxtyping import UInt8

from e2pose.core.address import redact_address
from e2pose.core.errors import InputError
from e2pose.core.files import reason_of
from e2pose.sources.base import call_in_thread
from e2pose.sources.decoder import VideoDecoder
from e2pose.sources.video_stream import find_video_stream, frame_rate, upright_rgb

STALL_TIMEOUT_S = 4.0
_OPEN_TIMEOUT_S = 10.0
_OPTIONS = {"fflags": "nobuffer", "analyzeduration": "2000000"}
_RTSP_OPTIONS = {"rtsp_flags": "prefer_tcp"}  # TCP loses no packets and passes firewalls
_PLAYLISTS = ("hls", "dash")  # their length is that of the list, which grows during a live broadcast
_HINT = "check the network and the camera"


class StreamConnection:
    """One connection to a network stream, which counts as lost after `stall_timeout_s` seconds without an image.

    Raises:
        InputError: The stream cannot be opened or has no video.
    """

    def __init__(self, address: str, stall_timeout_s: float = STALL_TIMEOUT_S) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._container = _open(address, stall_timeout_s)
        try:
            self._video = find_video_stream(self._container, redact_address(address))
        except InputError:
            self._container.close()
            raise
        self._video.thread_type = "SLICE"  # frame threads would delay each frame
        self._decoder = VideoDecoder(self._video)

    @property
    def is_file(self) -> bool:
        """Whether the stream has an end, so that it can be read like a file: it states a duration or a length."""
        is_playlist = self._container.format.name.partition(",")[0] in _PLAYLISTS
        return self._container.duration is not None or (self._container.size > 0 and not is_playlist)

    @property
    def rate(self) -> Fraction:
        """Frames per second as the stream states them, otherwise a guess."""
        return frame_rate(self._video)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Yields images until the connection is lost, which raises an `InputError`; skips undecodable packets."""
        last = monotonic()
        try:
            for packet in self._container.demux():  # includes audio, which does not reset the timeout
                if packet.stream is self._video:
                    for frame in self._decoder.decode(packet):
                        yield upright_rgb(frame)
                        last = monotonic()
                if monotonic() - last > self._stall_timeout_s:
                    raise self._stall_error()
        except av.ExitError as error:
            raise self._stall_error() from error
        except (av.FFmpegError, OSError) as error:
            raise InputError(reason_of(error), _HINT) from error

    def close(self) -> None:
        """Closes the connection."""
        self._container.close()

    def _stall_error(self) -> InputError:
        return InputError(f"no image arrived for {self._stall_timeout_s:g} s", _HINT)


def _open(address: str, stall_timeout_s: float) -> InputContainer:
    options = _OPTIONS | (_RTSP_OPTIONS if address.lower().startswith("rtsp") else {})
    try:
        return call_in_thread(lambda: av.open(address, options=options, timeout=(_OPEN_TIMEOUT_S, stall_timeout_s)))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = f"no answer within {_OPEN_TIMEOUT_S:g} s" if isinstance(error, av.ExitError) else reason_of(error)
        raise InputError(
            f"cannot open the stream '{redact_address(address)}': {reason}",
            "check the address, its user name and password, and that the camera is on",
        ) from None  # the error of FFmpeg contains the whole address
