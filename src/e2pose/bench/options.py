"""Options of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2pose.core.errors import OptionError


@dataclass(frozen=True)
class BenchOptions:
    """Options of `e2pose bench`.

    Args:
        models: Names from `e2pose models`, or model files; options follow a colon: `default:runtime=openvino`.
        peers: Bundled peers, or `all`; options follow a colon: `movenet:size=384`.
        peer: Scripts of other peers; options follow a colon.
        annotations: COCO keypoint annotations of the images, for average precision.
        frames: Maximum number of frames; the first ones are used (default: 300).
        rounds: How often each peer processes all frames (default: 3).
        threads: CPU threads of each peer (default: 2).
        warm_up: Unmeasured frames at the start of each turn of a peer (default: 3).
        reference: Model or peer that speed ratios are relative to, as named above; by default the first one.
        scenes: Also measure the latency for scenes with 1, 2, 5, 10 and 20 persons.
        overlay: Draw the poses of all peers side by side; requires --output.
        rebuild: Recreate the environments of the peers.

    Raises:
        OptionError: A number is out of range.
    """

    models: tuple[str, ...] = ("default",)
    peers: tuple[str, ...] = ()
    peer: tuple[str, ...] = ()
    annotations: Path | None = None
    frames: int = 300
    rounds: int = 3
    threads: int = 2
    warm_up: int = 3
    reference: str | None = None
    scenes: bool = False
    overlay: bool = False
    rebuild: bool = False

    def __post_init__(self) -> None:
        for name, minimum in (("frames", 1), ("rounds", 1), ("threads", 1), ("warm_up", 0)):
            value = getattr(self, name)
            if value < minimum:
                option = f"--{name.replace('_', '-')}"
                default = getattr(type(self), name)
                raise OptionError(
                    f"{option} must be at least {minimum}, not {value}", f"omit {option} for the default, {default}"
                )


DEFAULT_OPTIONS = BenchOptions()
