"""Anonymisation of persons in images and videos, also where the model misses them for some frames.

A run with blur has two parts. `PersonsToBlur`, its first stage, finds the persons to blur in each frame: all detections
down to a low threshold, and tracked persons where they are predicted while they are missed. It passes on the poses of
the usual threshold, so the outputs hold the same persons as without blur. `BlurSink` blurs the frames before another
sink receives them, after the frames that follow: with them, it interpolates gaps and extends new persons backwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float, UInt8

from e2pose.core.arguments import check_type
from e2pose.core.frame import Frame, check_image
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.spec import ModelSpec
from e2pose.inference.estimator import Estimator
from e2pose.render.blur import Blur, blur_image, check_region
from e2pose.sinks.base import Sink, keeps_output
from e2pose.tracking.clock import Clock
from e2pose.tracking.scene_cut import CutDetector
from e2pose.tracking.tracker import Tracker

LOOKAHEAD_S = 0.5
"""Seconds of a file by which `BlurSink` looks ahead."""

_DETECTED = 0.5  # persons are blurred down to this fraction of the threshold
_KNOWN = 0.25  # and known persons down to this one
_MEMORY_S = 1.0  # a person that is missed stays known for so long
_DRIFT_PER_S = 0.6  # uncertainty of an interpolated position, in sizes per second from the nearest detection
_MAX_PENDING_BYTES = 512 * 2**20  # of frames that wait for later ones


class BlurThresholds(NamedTuple):
    """Minimum scores of the persons in a run with blur."""

    output: float  # of the poses that the other stages and the outputs receive
    blurred: float  # of a person that is blurred
    known: float  # of a person that is blurred because it was detected before; the threshold of the estimator

    @staticmethod
    def of(threshold: float, spec: ModelSpec, *, output: float | None = None) -> BlurThresholds:
        """Derives the thresholds from that of a detection; `output` replaces it for the outputs."""
        base = min(threshold, spec.threshold)
        output = threshold if output is None else output
        return BlurThresholds(output, _DETECTED * base, min(_KNOWN * base, output))


def anonymise_image(
    estimator: Estimator, image: UInt8[np.ndarray, "h w 3"], region: Blur
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of a single image with all persons blurred that the estimator finds, down to half its threshold.

    Raises:
        OptionError: The keypoints of the model do not locate the region.
    """
    check_type("the estimator", estimator, Estimator, hint="load one with e2pose.load()")
    check_region(estimator.spec.schema, region)
    thresholds = BlurThresholds.of(estimator.threshold, estimator.spec)
    return blur_image(image, estimator.with_threshold(thresholds.blurred)(check_image(image)), region)


@dataclass(frozen=True, eq=False)
class BlurTargets:
    """The persons to blur in one frame."""

    poses: Poses
    margins_px: Float[np.ndarray, "n"]  # by which the region of each person grows, because its position is uncertain
    sequence: int  # number of the scene
    time_s: float  # of the run
    tracked: dict[int, Float[np.ndarray, "k 2"]]  # keypoints of the detected persons by track id

    def blur(self, image: UInt8[np.ndarray, "h w 3"], region: Blur) -> UInt8[np.ndarray, "h w 3"]:
        """Returns a copy of the image of the frame with the persons blurred."""
        return blur_image(image, self.poses, region, margins_px=self.margins_px)

    def with_persons(self, persons: list[tuple[Float[np.ndarray, "k 2"], float]]) -> BlurTargets:
        """Adds persons: their keypoints and margins."""
        if not persons:
            return self
        count, schema = len(persons), self.poses.schema
        poses = Poses(
            keypoints=np.concatenate([self.poses.keypoints, [keypoints for keypoints, _ in persons]], dtype=np.float32),
            keypoint_scores=np.concatenate([self.poses.keypoint_scores, np.zeros((count, len(schema)), np.float32)]),
            scores=np.concatenate([self.poses.scores, np.zeros(count, np.float32)]),  # sorted last, so order is kept
            schema=schema,
        )
        return replace(self, poses=poses, margins_px=np.append(self.margins_px, [margin for _, margin in persons]))


class PersonsToBlur:
    """Finds the persons to blur in each frame. The first stage of a run, before its tracker.

    Args:
        thresholds: Returns the thresholds; the estimator of the run has the one of known persons.

    Example:
        >>> thresholds = BlurThresholds.of(estimator.threshold, estimator.spec)
        >>> persons = PersonsToBlur(lambda: thresholds)
        >>> sink = BlurSink(e2pose.open_sink("out.mp4", draw=draw), persons, "heads", lookahead_s=LOOKAHEAD_S)
        >>> e2pose.run(estimator.with_threshold(thresholds.known), source, stages=[persons], sinks=[sink])
    """

    def __init__(self, thresholds: Callable[[], BlurThresholds]) -> None:
        self._thresholds = thresholds
        self._tracker = Tracker(memory_s=_MEMORY_S)
        self._clock = Clock()
        self._is_cut = CutDetector()
        self._sequence = 0
        self.latest: BlurTargets | None = None
        """The persons to blur in the latest frame."""

    def __call__(self, frame: Frame, poses: Poses) -> Poses:
        """Updates `latest` and returns the poses of the outputs."""
        continues = self._clock.advance(frame)
        same_schema = self.latest is None or self.latest.poses.schema == poses.schema
        if self._is_cut(frame.image) or not continues or not same_schema:
            self._tracker.reset()
            self._sequence += 1
        thresholds = self._thresholds()
        self._tracker.threshold = thresholds.blurred
        known = self._tracker.update(poses, self._clock.time_s)
        assert known.track_ids is not None
        tracked = dict(zip(known.track_ids.tolist(), known.keypoints, strict=True))
        tracked.pop(NO_TRACK, None)
        strong = poses[poses.scores >= thresholds.blurred]
        found = BlurTargets(strong, np.zeros(len(strong)), self._sequence, self._clock.time_s, tracked)
        weak = [(keypoints, 0.0) for keypoints in known[known.scores < thresholds.blurred].keypoints]
        self.latest = found.with_persons(weak + self._tracker.undetected())
        return poses[poses.scores >= thresholds.output]


class BlurSink:
    """Blurs each frame, then writes it to another sink, which is entered and exited together with this one.

    Args:
        sink: Receives the blurred frames, with their poses unchanged.
        persons: The first stage of the same run.
        region: What is blurred.
        lookahead_s: Seconds by which frames are delayed to look ahead; 0 for live sources.
    """

    def __init__(self, sink: Sink, persons: PersonsToBlur, region: Blur, *, lookahead_s: float = 0.0) -> None:
        self._sink = sink
        self._persons = persons
        self._region = region
        self._lookahead_s = lookahead_s
        self._pending: deque[tuple[Frame, Poses, BlurTargets]] = deque()
        self._last_seen: dict[int, tuple[float, Float[np.ndarray, "k 2"]]] = {}

    def write(self, frame: Frame, poses: Poses) -> None:
        """Accepts the next frame, and writes those that need no later frame any more."""
        targets = self._persons.latest
        assert targets is not None
        self._pending.append((frame, poses, targets))
        max_pending = _MAX_PENDING_BYTES // max(frame.image.nbytes, 1)
        while self._pending and (self._is_complete(targets) or len(self._pending) > max_pending):
            self._write_oldest()

    def __enter__(self) -> Self:
        self._sink.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Writes the frames that still wait, then exits the other sink."""
        try:
            while self._pending and keeps_output(error):
                self._write_oldest()
        except BaseException as failure:
            self._sink.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._sink.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def _is_complete(self, newest: BlurTargets) -> bool:
        """Returns whether later frames cannot change the oldest waiting frame."""
        oldest = self._pending[0][2]
        return newest.sequence != oldest.sequence or newest.time_s - oldest.time_s >= self._lookahead_s

    def _write_oldest(self) -> None:
        frame, poses, targets = self._pending.popleft()
        later = [other for _, _, other in self._pending if other.sequence == targets.sequence]
        self._last_seen |= {track_id: (targets.time_s, keypoints) for track_id, keypoints in targets.tracked.items()}
        found: dict[int, tuple[float, Float[np.ndarray, "k 2"]]] = {}
        for other in reversed(later):
            found |= {track_id: (other.time_s, keypoints) for track_id, keypoints in other.tracked.items()}
        missed = [
            _interpolate(self._last_seen.get(track_id), found[track_id], targets.time_s)
            for track_id in found.keys() - targets.tracked.keys()
        ]
        image = targets.with_persons(missed).blur(frame.image, self._region)
        self._sink.write(replace(frame, image=image), poses)


def _interpolate(
    before: tuple[float, Float[np.ndarray, "k 2"]] | None, after: tuple[float, Float[np.ndarray, "k 2"]], time_s: float
) -> tuple[Float[np.ndarray, "k 2"], float]:
    """Returns the keypoints between two detections, or before the first one, and the uncertainty of their position."""
    after_s, last = after
    before_s, first = (time_s - np.inf, last) if before is None else before
    share = 0.0 if before is None else (after_s - time_s) / (after_s - before_s)
    size = float(np.ptp(last[np.isfinite(last).all(axis=1)], axis=0).max(initial=0))
    return share * first + (1 - share) * last, _DRIFT_PER_S * min(time_s - before_s, after_s - time_s) * size
