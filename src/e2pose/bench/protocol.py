"""What the bench and a peer say to each other: one JSON object in a line, checked on arrival.

    bench: (starts the peer)                        peer: {"hello": 1, "name": ..., "keypoints": [...], ...}
    bench: {"frame": 7, "path": "/.../7.npy"}       peer: {"frame": 7, "poses": [...], "ms": {...}}
    bench: {"end": true}                            peer: {"end": true, "peak_memory_mb": 312.5}

In place of any of these a peer may say `{"error": "one line"}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from e2pose.core.errors import PeerError

_EXCERPT = 80  # characters of a line that is quoted in an error

_Milliseconds = Annotated[FiniteFloat, Field(ge=0)]


class _Said(BaseModel):
    """Unknown fields are ignored, so that a peer may say more than is asked; values are never converted."""

    model_config = ConfigDict(frozen=True, strict=True)


class WeightsFile(_Said):
    """A file of weights that a peer has loaded."""

    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Hello(_Said):
    """What a peer says of itself when everything is loaded."""

    hello: Literal[1]
    """Version of the protocol."""
    name: Annotated[str, Field(min_length=1)]
    version: str
    licence: str
    runtime: str
    precision: str
    threads: int
    weights: tuple[WeightsFile, ...]
    random_weights: bool
    """Whether the weights mean nothing, so that only the speed can be measured."""
    people: Literal["many", "one"]
    """How many people it finds in a frame."""
    keypoints: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names in the order of its answers: COCO's where COCO has the keypoint."""
    note: str = ""
    """One line for the table."""


class FoundPose(_Said):
    """One person: (x, y) in pixels of the frame, (0, 0) being the outer corner of its first pixel, and a score each."""

    score: FiniteFloat
    keypoints: tuple[tuple[FiniteFloat, FiniteFloat, FiniteFloat], ...]


class Milliseconds(_Said):
    """How long the parts of the work on a frame took; loading the frame is none of them."""

    preprocess: _Milliseconds
    network: _Milliseconds
    postprocess: _Milliseconds

    @property
    def total(self) -> float:
        """From pixels to poses."""
        return self.preprocess + self.network + self.postprocess


class Answer(_Said):
    """The poses in a frame."""

    frame: int
    poses: tuple[FoundPose, ...]
    ms: Milliseconds


class Farewell(_Said):
    """The last that a peer says."""

    end: Literal[True]
    peak_memory_mb: Annotated[FiniteFloat, Field(gt=0)]


_Kind = TypeVar("_Kind", bound=_Said)


def frame_request(index: int, path: Path) -> bytes:
    """Asks for the poses in a frame that lies in a file of NumPy."""
    return _line({"frame": index, "path": str(path)})


def end_request() -> bytes:
    """Asks the peer to end."""
    return _line({"end": True})


def read_hello(line: bytes) -> Hello:
    """Checks a peer's first line.

    Raises:
        PeerError: It is something else, or an error that the peer reports.
    """
    hello = _read(line, Hello, "its hello")
    if len(set(hello.keypoints)) < len(hello.keypoints):
        raise PeerError("its hello is wrong: it names a keypoint twice")
    return hello


def read_answer(line: bytes, frame: int, keypoints: int) -> Answer:
    """Checks the answer to a request.

    Args:
        line: What the peer said.
        frame: Which frame it was asked about.
        keypoints: How many keypoints each person must have.

    Raises:
        PeerError: It is something else, or an error that the peer reports.
    """
    answer = _read(line, Answer, f"its answer to frame {frame}")
    if answer.frame != frame:
        raise PeerError(f"it was asked about frame {frame} and answered about frame {answer.frame}")
    for pose in answer.poses:
        if len(pose.keypoints) != keypoints:
            raise PeerError(
                f"its answer to frame {frame} is wrong: a person has {len(pose.keypoints)} keypoints, but its hello "
                f"names {keypoints}"
            )
    return answer


def read_farewell(line: bytes) -> Farewell:
    """Checks a peer's last line.

    Raises:
        PeerError: It is something else.
    """
    return _read(line, Farewell, "its last line")


def one_line(text: str, length: int = 200) -> str:
    """A text from a peer, fit for a line of ours: shortened, without line breaks and control characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    words = " ".join(printable.split())
    return words if len(words) <= length else f"{words[: length - 1]}…"


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _read(line: bytes, kind: type[_Kind], what: str) -> _Kind:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"{what} is not JSON: '{_excerpt(line)}'") from error
    if isinstance(record, dict) and "error" in record:
        raise PeerError(one_line(str(record["error"])) or "it reports an error without a word")
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise PeerError(one_line(f"{what} is wrong: {where + ': ' if where else ''}{first['msg']}")) from error


def _excerpt(line: bytes) -> str:
    return one_line(line[: 4 * _EXCERPT].decode(errors="replace"), _EXCERPT)
