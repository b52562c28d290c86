"""Options of `e2pose batch`. Light enough for `--help`: imports no image or runtime library."""

from __future__ import annotations

import re
from dataclasses import dataclass

from e2pose.core.errors import OptionError

_ENGINE = re.compile(r"processes|ray(=.+)?")
_SHARE = re.compile(r"\d+|\d+(\.\d+)?%", re.ASCII)


@dataclass(frozen=True)
class BatchOptions:
    """What a job computes. All options are stored in `job.json`; a job cannot continue with others.

    Args:
        model: Model name from `e2pose models`, or model file. On a cluster, each node must be able to read it.
        threshold: Minimum score of a person, from 0 to 1; by default that of the model.
        track: Track persons across the frames of each video and assign stable ids. Videos are not cut into segments.
        smooth: Reduce the jitter of keypoints between the frames of a video. Videos are not cut into segments.
        shard: Maximum number of files in a shard, the unit of work that is repeated after a failure; by default 1/64
            of the files, from 32 to 2000.
        segment: Cut longer videos at key frames into segments of about this many seconds.

    Raises:
        OptionError: An option is out of range.
    """

    model: str = "default"
    threshold: float | None = None
    track: bool = False
    smooth: bool = False
    shard: int | None = None
    segment: float = 60.0

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise OptionError(
                f"the threshold must be between 0 and 1, not {self.threshold}", "omit it for the model's own threshold"
            )
        if self.shard is not None and self.shard < 1:
            raise OptionError(f"a shard must have at least 1 file, not {self.shard}", "omit --shard for the default")
        if not self.segment > 0:
            raise OptionError(
                f"the length of a segment must be above 0 s, not {self.segment:g}", "omit --segment for 60 seconds"
            )


@dataclass(frozen=True)
class EngineOptions:
    """How a job runs. These options do not change the results, so that a job may continue with others.

    Args:
        engine: `processes` of this machine, or the Ray cluster `ray=ADDRESS`; `ray` alone uses the cluster of this
            machine or starts one.
        workers: Number of worker processes on this machine; by default one per usable core, each with one thread, or
            one with --device cuda.
        images_per_run: Number of images that a worker passes to the model in one run; by default 1 on a CPU, else 16.
        timeout: Seconds that one image or video frame may take. A worker that takes longer is ended.
        max_failed: Number or percentage of files that may fail; with more, the exit code is 1.
        extend: Add the files of the given inputs that the job does not contain yet.

    Raises:
        OptionError: An option is out of range.
    """

    engine: str = "processes"
    workers: int | None = None
    images_per_run: int | None = None
    timeout: float = 120.0
    max_failed: str = "0"
    extend: bool = False

    def __post_init__(self) -> None:
        if not _ENGINE.fullmatch(self.engine):
            raise OptionError(f"unknown engine '{self.engine}'", "use processes, ray or ray=ADDRESS")
        for name in ("workers", "images_per_run"):
            number = getattr(self, name)
            if number is not None and number < 1:
                option = name.replace("_", "-")
                raise OptionError(f"--{option} must be at least 1, not {number}", f"omit --{option} for the default")
        if not self.timeout > 0:
            raise OptionError(f"the timeout must be above 0 s, not {self.timeout:g}", "omit it for 120 seconds")
        if not _SHARE.fullmatch(self.max_failed):
            raise OptionError(
                f"--max-failed must be a number of files or a percentage, not '{self.max_failed}'",
                "use for example 10 or 0.5%",
            )

    def allows(self, num_failed: int, num_files: int) -> bool:
        """Returns whether the job counts as successful with this number of failed files."""
        if self.max_failed.endswith("%"):
            return num_failed <= num_files * float(self.max_failed[:-1]) / 100
        return num_failed <= int(self.max_failed)
