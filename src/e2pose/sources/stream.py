"""Streams from the network."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from time import monotonic

import av
import numpy as np
from av.container import InputContainer
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.sources.address import public_name
from e2pose.sources.pixels import upright_rgb
from e2pose.sources.video import first_video

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp", "rtp")
"""What an address may begin with."""

STALL_S = 4.0
_OPENING_S = 10.0
_OPTIONS = {
    "rtsp": {"rtsp_flags": "prefer_tcp"},  # which loses nothing and passes through firewalls
    "": {"fflags": "nobuffer", "analyzeduration": "2000000"},
}


class StreamConnection:
    """One connection to a stream.

    Args:
        address: Where it is.
        stall_s: How long nothing may come until the connection counts as lost.

    Raises:
        InputError: There is no such stream, or it has no pictures.
    """

    def __init__(self, address: str, stall_s: float = STALL_S) -> None:
        self._name = public_name(address)
        self._stall_s = stall_s
        self._container = _open(address, stall_s)
        try:
            self._video = first_video(self._container, self._name)
        except InputError:
            self._container.close()
            raise
        self._video.thread_type = "SLICE"  # threads for whole frames would each hold one back

    @property
    def is_file(self) -> bool:
        """Whether it has an end, so that every frame of it can be read in its own time."""
        return self._container.duration is not None

    @property
    def rate(self) -> Fraction:
        """What the stream says, or a guess."""
        return self._video.average_rate or self._video.guessed_rate or Fraction(25)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The pictures; what cannot be decoded is left out.

        Raises:
            InputError: The connection broke, or nothing came for too long.
        """
        last = monotonic()
        try:
            for packet in self._container.demux():  # with the sound, which alone is no sign of life
                if packet.stream is self._video:
                    try:
                        pictures = self._video.decode(packet)
                    except (av.InvalidDataError, av.EOFError):
                        pictures = []
                    for picture in pictures:
                        yield upright_rgb(picture)
                        last = monotonic()
                if monotonic() - last > self._stall_s:
                    raise self._stalled()
        except av.ExitError as error:
            raise self._stalled() from error
        except (av.FFmpegError, OSError) as error:
            raise InputError(_reason(error), "check the network and the camera") from error

    def close(self) -> None:
        """Closes the connection."""
        self._container.close()

    def _stalled(self) -> InputError:
        return InputError(f"no picture came for {self._stall_s:g} s", "check the network and the camera")


def _open(address: str, stall_s: float) -> InputContainer:
    scheme = address.partition(":")[0].lower()
    options = {**_OPTIONS[""], **_OPTIONS.get(scheme.removesuffix("s"), {})}
    try:
        return av.open(address, options=options, timeout=(_OPENING_S, stall_s))
    except (av.FFmpegError, OSError, ValueError) as error:
        problem = f"no answer within {_OPENING_S:g} s" if isinstance(error, av.ExitError) else _reason(error)
        raise InputError(
            f"cannot open the stream '{public_name(address)}': {problem}",
            "check the address, the name and the password in it, and that the camera is on",
        ) from error


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
