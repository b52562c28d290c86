"""Protocol between the bench and a peer: one JSON object per line on stdin and stdout, validated on arrival.

    bench: (starts the peer)                        peer: {"handshake": 2, "name": ..., "keypoints": [...], ...}
    bench: {"frame": 7, "path": "/.../7.npy"}       peer: {"frame": 7, "poses": [...], "ms": {...}}
    bench: {"stop": true}                           peer: {"result": true, "peak_memory_mb": 312.5}

Instead of each of its messages, a peer can send `{"error": "one line"}`. The parsers raise a `PeerError` with this
line, or with the reason why a message is invalid.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from e2pose.core.errors import PeerError

STOP_REQUEST = b'{"stop": true}\n'
"""Asks the peer for its result message and to exit."""

_EXCERPT_CHARACTERS = 80

_Milliseconds = Annotated[FiniteFloat, Field(ge=0)]


class _Message(BaseModel):
    """Additional fields are ignored; values are not converted."""

    model_config = ConfigDict(frozen=True, strict=True)


class WeightsFile(_Message):
    """Name and hash of a file of weights."""

    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Handshake(_Message):
    """First message of a peer, sent when everything is loaded."""

    handshake: Literal[2]
    """Version of the protocol."""
    name: Annotated[str, Field(min_length=1)]
    version: str
    licence: str
    runtime: str
    precision: str
    threads: int
    weights: tuple[WeightsFile, ...]
    random_weights: bool
    """True if only the speed is meaningful."""
    multi_person: bool
    """False if at most one person per frame is detected."""
    keypoints: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names in the order of the poses; COCO names for the keypoints of COCO."""
    note: str = ""
    """One line for the notes below the table."""


class PeerPose(_Message):
    """A person's score, and (x, y, score) of each keypoint in frame pixels; (0, 0) is the outer corner of the image."""

    score: FiniteFloat
    keypoints: tuple[tuple[FiniteFloat, FiniteFloat, FiniteFloat], ...]


class StageTimes(_Message):
    """Time per stage, without loading the frame."""

    preprocess: _Milliseconds
    network: _Milliseconds
    postprocess: _Milliseconds

    @property
    def total(self) -> float:
        """Time from pixels to poses."""
        return self.preprocess + self.network + self.postprocess


class FrameResponse(_Message):
    """The poses of a frame."""

    frame: int
    poses: tuple[PeerPose, ...]
    ms: StageTimes


class ResultMessage(_Message):
    """Last message of a peer."""

    result: Literal[True]
    peak_memory_mb: Annotated[FiniteFloat, Field(gt=0)]


_MessageType = TypeVar("_MessageType", bound=_Message)


def frame_request(index: int, path: Path) -> bytes:
    """Requests the poses of a frame in a NumPy file."""
    return json.dumps({"frame": index, "path": str(path)}).encode() + b"\n"


def parse_handshake(line: bytes) -> Handshake:
    """Validates the first message of a peer."""
    handshake = _parse(line, Handshake, "the handshake")
    if len(set(handshake.keypoints)) < len(handshake.keypoints):
        raise PeerError("the handshake is invalid: a keypoint name is repeated")
    return handshake


def parse_response(line: bytes, frame: int, num_keypoints: int) -> FrameResponse:
    """Validates the response to the request of a frame; each person must have `num_keypoints` keypoints."""
    response = _parse(line, FrameResponse, f"the response to frame {frame}")
    if response.frame != frame:
        raise PeerError(f"the response to frame {frame} is about frame {response.frame}")
    for pose in response.poses:
        if len(pose.keypoints) != num_keypoints:
            raise PeerError(
                f"the response to frame {frame} is invalid: a person has {len(pose.keypoints)} keypoints, but the "
                f"handshake names {num_keypoints}"
            )
    return response


def parse_result(line: bytes) -> ResultMessage:
    """Validates the last message of a peer."""
    return _parse(line, ResultMessage, "the result message")


def to_one_line(text: str, max_length: int = 200) -> str:
    """Replaces line breaks and control characters by spaces, and shortens the text."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(printable.split())
    return line if len(line) <= max_length else f"{line[: max_length - 1]}…"


def first_message(error: ValidationError) -> str:
    """Returns the location and message of the first error."""
    first = error.errors(include_url=False, include_context=False)[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))


def _parse(line: bytes, message_type: type[_MessageType], what: str) -> _MessageType:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        excerpt = to_one_line(line[: 4 * _EXCERPT_CHARACTERS].decode(errors="replace"), _EXCERPT_CHARACTERS)
        raise PeerError(f"{what} is not JSON: '{excerpt}'") from error
    if isinstance(record, dict) and "error" in record:
        raise PeerError(to_one_line(str(record["error"])) or "the peer reports an error without a message")
    try:
        return message_type.model_validate_json(line)
    except ValidationError as error:
        raise PeerError(to_one_line(f"{what} is invalid: {first_message(error)}")) from error
