"""Simulated sequences of walking persons with known identities, and the IDF1 score of track ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import load_schema

COCO = load_schema("coco")
SIGMAS = np.array(COCO.sigmas)
IMAGE_WH = np.array([1280, 720])

# Feet at (0, 0), one unit tall, in three-quarter view.
_HEAD = [(0.02, -0.93), (0.04, -0.95), (0.01, -0.95), (0.03, -0.94), (-0.03, -0.94)]
_TRUNK = [(0.07, -0.82), (-0.07, -0.82), (0.09, -0.65), (-0.09, -0.65), (0.1, -0.5), (-0.1, -0.5)]
_LEGS = [(0.05, -0.5), (-0.05, -0.5), (0.05, -0.27), (-0.05, -0.27), (0.05, -0.03), (-0.05, -0.03)]
_STANDING = np.array([*_HEAD, *_TRUNK, *_LEGS])
_MIN_VISIBLE = 0.25  # persons with a smaller share of visible keypoints neither count nor are detected
_SWING = np.array([0, 0, 0, 0, 0, 0, 0, -0.04, 0.04, -0.12, 0.12, 0, 0, 0.06, -0.06, 0.16, -0.16])


@dataclass(frozen=True)
class Walker:
    """A person who moves through the image.

    Args:
        feet: Position of the feet in pixels at a time in seconds; None while the person is absent.
        height: In pixels; taller persons are nearer and occlude others.
        steps_hz: Double steps per second; 0 for a standing person.
        phase: Phase of the steps, from 0 to 1.
        returns_s: Time of a return after which the person counts as a new identity; infinite if never.
    """

    feet: Callable[[float], tuple[float, float] | None]
    height: float = 300.0
    steps_hz: float = 1.0
    phase: float = 0.0
    returns_s: float = np.inf

    def keypoints(self, time_s: float) -> np.ndarray | None:
        feet = self.feet(time_s)
        if feet is None:
            return None
        angle = 2 * np.pi * (self.steps_hz * time_s + self.phase)
        pose = _STANDING.copy()
        if self.steps_hz:
            pose[:, 0] += _SWING * np.sin(angle)
            pose[:, 1] += 0.012 * np.cos(2 * angle)
        return pose * self.height + feet


@dataclass(frozen=True)
class DetectorNoise:
    """Errors of a simulated detector.

    Args:
        spread: Standard deviation of a keypoint, relative to its tolerance.
        outliers: Share of keypoints that lie anywhere near the person.
        missed: Share of visible persons that are not detected.
        false_positives: Mean number of false detections per frame.
    """

    spread: float = 0.5
    outliers: float = 0.02
    missed: float = 0.03
    false_positives: float = 0.05


@dataclass(frozen=True)
class SimulatedFrame:
    """Ground truth and detections of one frame.

    Args:
        time_s: Time of the frame.
        truth: Keypoints of all visible persons by identity.
        areas: Areas of the same persons in square pixels.
        detected: Poses from the simulated detector.
    """

    time_s: float
    truth: dict[object, np.ndarray]
    areas: dict[object, float]
    detected: Poses


def simulate(
    walkers: Sequence[Walker],
    seconds: float,
    *,
    seed: int,
    noise: DetectorNoise = DetectorNoise(),
    occluders: Sequence[tuple[float, float]] = (),
) -> list[SimulatedFrame]:
    """Simulates persons and a detector at 30 frames per second.

    Args:
        walkers: The persons.
        seconds: Duration.
        seed: Seed of all random numbers.
        noise: Errors of the detector.
        occluders: Ranges of x in which no keypoint is visible.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for time_s in np.arange(0, seconds, 1 / 30):
        truth, areas, rows = {}, {}, []
        in_front: list[np.ndarray] = []
        for index, walker in sorted(enumerate(walkers), key=lambda pair: -pair[1].height):
            keypoints = walker.keypoints(time_s)
            if keypoints is None:
                continue
            visible = _visible(keypoints, in_front, occluders)
            in_front.append(keypoints)
            if visible.mean() < _MIN_VISIBLE:
                continue
            identity = index, time_s >= walker.returns_s
            truth[identity], areas[identity] = keypoints, 0.12 * walker.height**2
            if rng.random() >= noise.missed:
                rows.append(_detect(rng, keypoints, visible, walker.height, noise))
        rows += [_false_positive(rng) for _ in range(rng.poisson(noise.false_positives))]
        frames.append(SimulatedFrame(float(time_s), truth, areas, _poses(rows)))
    return frames


def _visible(
    keypoints: np.ndarray, in_front: Sequence[np.ndarray], occluders: Sequence[tuple[float, float]]
) -> np.ndarray:
    """Returns which keypoints are inside the image and not behind persons or occluders."""
    visible = ((keypoints >= 0) & (keypoints <= IMAGE_WH)).all(axis=1)
    for left, right in occluders:
        visible &= (keypoints[:, 0] < left) | (keypoints[:, 0] > right)
    for other in in_front:
        low, high = other[5:13].min(axis=0), other[11:].max(axis=0)  # trunk and legs
        visible &= ~((keypoints > low) & (keypoints < high)).all(axis=1)
    return visible


def _detect(rng: np.random.Generator, keypoints: np.ndarray, visible: np.ndarray, height: float, noise: DetectorNoise):
    spread = noise.spread * SIGMAS * np.sqrt(0.12) * height * np.where(visible, 1, 3)
    detected = keypoints + rng.normal(size=(17, 2)) * spread[:, None]
    outliers = rng.random(17) < noise.outliers
    detected[outliers] = keypoints.mean(axis=0) + rng.uniform(-0.5, 0.5, (outliers.sum(), 2)) * height
    keypoint_scores = np.where(visible, rng.uniform(0.5, 0.95, 17), rng.uniform(0.05, 0.4, 17))
    score = np.clip(0.85 * visible.mean() + rng.normal(0, 0.06), 0.05, 0.99)
    return detected, keypoint_scores, score


def _false_positive(rng: np.random.Generator):
    height = rng.uniform(80, 400)
    keypoints = _STANDING * height * rng.uniform(0.5, 1.5) + rng.uniform((0, 100), IMAGE_WH)
    return keypoints + rng.normal(size=(17, 2)) * 0.03 * height, rng.uniform(0.1, 0.7, 17), rng.uniform(0.2, 0.65)


def _poses(rows) -> Poses:
    if not rows:
        return Poses.empty(COCO)
    keypoints, keypoint_scores, scores = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    return Poses(keypoints, keypoint_scores, scores, COCO)


def identity_f1(frames: Sequence[SimulatedFrame], tracked: Sequence[Poses]) -> float:
    """Returns the IDF1 of track ids against known identities, from 0 to 1.

    `IDF1 = 2 IDTP / (2 IDTP + IDFP + IDFN)`. Identities and track ids are matched one to one, so that the number of
    frames in which a person has a pose with the matched id is maximal: that number is IDTP. All other persons are IDFN
    and all other poses with an id IDFP. A pose belongs to a person if their OKS is at least 0.5.

    Source:
        Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCV Workshops
        2016, section 2.3.
    """
    overlap: dict[tuple[object, int], int] = {}
    num_persons = num_poses = 0
    for frame, poses in zip(frames, tracked, strict=True):
        with_id = poses[poses.track_ids != NO_TRACK]
        num_persons += len(frame.truth)
        num_poses += len(with_id)
        for identity, keypoints in frame.truth.items():
            similarity = object_keypoint_similarity(
                with_id.keypoints,
                keypoints[None],
                np.ones((1, 17), bool),
                np.array([frame.areas[identity]]),
                SIGMAS,
            )
            for track_id in with_id.track_ids[similarity[:, 0] >= 0.5].tolist():
                overlap[identity, track_id] = overlap.get((identity, track_id), 0) + 1
    identities, track_ids = ({pair[side]: None for pair in overlap} for side in (0, 1))
    counts = np.array([[overlap.get((identity, track_id), 0) for track_id in track_ids] for identity in identities])
    if counts.size == 0:
        return float(num_persons == num_poses)
    matched = counts[linear_sum_assignment(-counts)].sum()
    return 2 * matched / (num_persons + num_poses)


def crossing(seed: int) -> list[SimulatedFrame]:
    """Two persons walk past each other, in front of a standing person."""
    rng = np.random.default_rng([seed, 1])
    right = Walker(_straight(100, rng.uniform(150, 260), 620), 300, rng.uniform(0.8, 1.2), rng.random())
    left = Walker(_straight(1180, -rng.uniform(150, 260), 600), rng.uniform(270, 295), rng.uniform(0.8, 1.2))
    return simulate([right, left, Walker(_straight(640, 0, 500), 200, 0)], 6, seed=seed)


def occlusion(seed: int) -> list[SimulatedFrame]:
    """Two persons walk past each other; each is occluded by a pillar for at least one second."""
    rng = np.random.default_rng([seed, 2])
    speed = rng.uniform(140, 220)
    right = Walker(_straight(60, speed, 620), 300, rng.uniform(0.8, 1.2), rng.random())
    left = Walker(_straight(1250, -rng.uniform(140, 220), 560), 240, rng.uniform(0.8, 1.2), rng.random())
    return simulate([right, left], 6, seed=seed, occluders=[(560, 560 + speed)])


def leaving(seed: int) -> list[SimulatedFrame]:
    """One person leaves for about a second and keeps the identity, another for five seconds and gets a new one."""
    rng = np.random.default_rng([seed, 3])
    speed, other_speed = rng.uniform(150, 250, 2)
    turn_s, gone_s = 540 / speed, 540 / other_speed

    def returns_soon(time_s: float) -> tuple[float, float]:
        return max(1340 - speed * max(abs(time_s - turn_s - 0.25) - 0.25, 0), 300.0), 620.0

    def returns_late(time_s: float) -> tuple[float, float] | None:
        if gone_s <= time_s < gone_s + 5:
            return None
        return (480 - other_speed * time_s if time_s < gone_s else -60 + other_speed * (time_s - gone_s - 5)), 600.0

    walkers = [
        Walker(returns_soon, 300, 1, rng.random()),
        Walker(returns_late, 280, 1, rng.random(), returns_s=gone_s + 4),
        Walker(_straight(640, 0, 560), 220, 0),
    ]
    return simulate(walkers, 12, seed=seed)


def eight(seed: int) -> list[SimulatedFrame]:
    """Eight persons walk to and fro and occlude each other repeatedly."""
    rng = np.random.default_rng([seed, 4])

    def walker(index: int) -> Walker:
        height, speed, start = 150 + 25 * index, rng.uniform(60, 200), rng.uniform(0, 2 * np.pi)

        def to_and_fro(time_s: float) -> tuple[float, float]:
            return 640 + 500 * np.sin(start + speed * time_s / 500), 350 + 0.9 * height

        return Walker(to_and_fro, height, rng.uniform(0.8, 1.2), rng.random())

    return simulate([walker(index) for index in range(8)], 10, seed=seed)


def _straight(start: float, speed: float, y: float) -> Callable[[float], tuple[float, float]]:
    return lambda time_s: (start + speed * time_s, y)
