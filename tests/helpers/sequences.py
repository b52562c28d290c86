"""Made sequences of walking people with known identities, and how well numbers follow them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.poses import NO_TRACK, Poses
from e2pose.core.schema import load_schema

COCO = load_schema("coco")
SIGMAS = np.array(COCO.sigmas)
PICTURE_WH = np.array([1280, 720])

# Feet at (0, 0), one unit tall, seen from the side and a little from the front.
_HEAD = [(0.02, -0.93), (0.04, -0.95), (0.01, -0.95), (0.03, -0.94), (-0.03, -0.94)]
_TRUNK = [(0.07, -0.82), (-0.07, -0.82), (0.09, -0.65), (-0.09, -0.65), (0.1, -0.5), (-0.1, -0.5)]
_LEGS = [(0.05, -0.5), (-0.05, -0.5), (0.05, -0.27), (-0.05, -0.27), (0.05, -0.03), (-0.05, -0.03)]
_STANDING = np.array([*_HEAD, *_TRUNK, *_LEGS])
_IN_SIGHT = 0.25  # people of whom less can be seen neither count nor are found
_SWING = np.array([0, 0, 0, 0, 0, 0, 0, -0.04, 0.04, -0.12, 0.12, 0, 0, 0.06, -0.06, 0.16, -0.16])


@dataclass(frozen=True)
class Walker:
    """Somebody who moves through the picture.

    Args:
        feet: Where the feet are at each time in seconds, in pixels; None while the person is far away.
        height: In pixels; the tallest are nearest and hide others.
        steps_hz: Double steps per second; 0 for somebody who stands.
        returns_s: When the person comes back after so long that they count as somebody new; infinite if never.
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
class Noise:
    """What a model does wrong.

    Args:
        spread: Standard deviation of a keypoint, in its own tolerance.
        gross: Share of keypoints that lie anywhere near the person.
        missed: Share of visible people who are not found.
        ghosts: Poses of nobody per frame.
    """

    spread: float = 0.5
    gross: float = 0.02
    missed: float = 0.03
    ghosts: float = 0.05


@dataclass(frozen=True)
class Moment:
    """One frame: what is true and what a model found.

    Args:
        time_s: Its time.
        truth: Keypoints of everybody in sight by identity.
        areas: Areas of the same people in square pixels.
        found: The poses of the model.
    """

    time_s: float
    truth: dict[object, np.ndarray]
    areas: dict[object, float]
    found: Poses


def play(
    walkers: Sequence[Walker],
    seconds: float,
    *,
    seed: int,
    noise: Noise = Noise(),
    pillars: Sequence[tuple[float, float]] = (),
    times_s: Sequence[float] | None = None,
) -> list[Moment]:
    """Lets people walk and a model look at them, at 30 frames per second if no times are given.

    Args:
        walkers: The people.
        seconds: How long.
        seed: Of all chances.
        noise: What the model does wrong.
        pillars: From which to which x nobody can be seen.
        times_s: The times of the frames.
    """
    rng = np.random.default_rng(seed)
    moments = []
    for time_s in np.arange(0, seconds, 1 / 30) if times_s is None else times_s:
        truth, areas, rows = {}, {}, []
        in_front: list[np.ndarray] = []
        for index, walker in sorted(enumerate(walkers), key=lambda pair: -pair[1].height):
            keypoints = walker.keypoints(time_s)
            if keypoints is None:
                continue
            seen = _seen(keypoints, in_front, pillars)
            in_front.append(keypoints)
            if seen.mean() < _IN_SIGHT:
                continue
            identity = index, time_s >= walker.returns_s
            truth[identity], areas[identity] = keypoints, 0.12 * walker.height**2
            if rng.random() >= noise.missed:
                rows.append(_found(rng, keypoints, seen, walker.height, noise))
        rows += [_ghost(rng) for _ in range(rng.poisson(noise.ghosts))]
        moments.append(Moment(float(time_s), truth, areas, _poses(rows)))
    return moments


def _seen(keypoints: np.ndarray, in_front: Sequence[np.ndarray], pillars: Sequence[tuple[float, float]]) -> np.ndarray:
    """Which keypoints are in the picture and not behind somebody or something."""
    seen = ((keypoints >= 0) & (keypoints <= PICTURE_WH)).all(axis=1)
    for left, right in pillars:
        seen &= (keypoints[:, 0] < left) | (keypoints[:, 0] > right)
    for other in in_front:
        low, high = other[5:13].min(axis=0), other[11:].max(axis=0)  # trunk and legs
        seen &= ~((keypoints > low) & (keypoints < high)).all(axis=1)
    return seen


def _found(rng: np.random.Generator, keypoints: np.ndarray, seen: np.ndarray, height: float, noise: Noise):
    spread = noise.spread * SIGMAS * np.sqrt(0.12) * height * np.where(seen, 1, 3)
    found = keypoints + rng.normal(size=(17, 2)) * spread[:, None]
    gross = rng.random(17) < noise.gross
    found[gross] = keypoints.mean(axis=0) + rng.uniform(-0.5, 0.5, (gross.sum(), 2)) * height
    keypoint_scores = np.where(seen, rng.uniform(0.5, 0.95, 17), rng.uniform(0.05, 0.4, 17))
    score = np.clip(0.85 * seen.mean() + rng.normal(0, 0.06), 0.05, 0.99)
    return found, keypoint_scores, score


def _ghost(rng: np.random.Generator):
    height = rng.uniform(80, 400)
    keypoints = _STANDING * height * rng.uniform(0.5, 1.5) + rng.uniform((0, 100), PICTURE_WH)
    return keypoints + rng.normal(size=(17, 2)) * 0.03 * height, rng.uniform(0.1, 0.7, 17), rng.uniform(0.2, 0.65)


def _poses(rows) -> Poses:
    if not rows:
        return Poses.empty(COCO)
    keypoints, keypoint_scores, scores = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    return Poses(keypoints, keypoint_scores, scores, COCO)


def identity_f1(moments: Sequence[Moment], answers: Sequence[Poses]) -> float:
    """How well the numbers of poses follow the identities of people, from 0 to 1: IDF1.

    `IDF1 = 2 IDTP / (2 IDTP + IDFP + IDFN)`. Each identity is given to at most one number and each number to at most
    one identity, so that the sum of frames in which a person with that identity has a pose with that number is largest:
    that sum is IDTP. All other people are IDFN and all other numbered poses IDFP. A pose is a person's if their OKS is
    0.5 or more.

    Source:
        Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCV Workshops
        2016, section 2.3.
    """
    overlap: dict[tuple[object, int], int] = {}
    people = poses = 0
    for moment, answer in zip(moments, answers, strict=True):
        numbered = answer[answer.track_ids != NO_TRACK]
        people += len(moment.truth)
        poses += len(numbered)
        for identity, keypoints in moment.truth.items():
            similarity = object_keypoint_similarity(
                numbered.keypoints,
                keypoints[None],
                np.ones((1, 17), bool),
                np.array([moment.areas[identity]]),
                SIGMAS,
            )
            for number in numbered.track_ids[similarity[:, 0] >= 0.5].tolist():
                overlap[identity, number] = overlap.get((identity, number), 0) + 1
    identities, numbers = ({pair[side]: None for pair in overlap} for side in (0, 1))
    counts = np.array([[overlap.get((identity, number), 0) for number in numbers] for identity in identities])
    if counts.size == 0:
        return float(people == poses)
    matched = counts[linear_sum_assignment(-counts)].sum()
    return 2 * matched / (people + poses)


def crossing(seed: int) -> list[Moment]:
    """Two people walk past each other, in front of somebody who stands."""
    rng = np.random.default_rng([seed, 1])
    right = Walker(_straight(100, rng.uniform(150, 260), 620), 300, rng.uniform(0.8, 1.2), rng.random())
    left = Walker(_straight(1180, -rng.uniform(150, 260), 600), rng.uniform(270, 295), rng.uniform(0.8, 1.2))
    return play([right, left, Walker(_straight(640, 0, 500), 200, 0)], 6, seed=seed)


def occlusion(seed: int) -> list[Moment]:
    """Two people walk past each other, each of them for one second out of sight or more behind a pillar."""
    rng = np.random.default_rng([seed, 2])
    speed = rng.uniform(140, 220)
    right = Walker(_straight(60, speed, 620), 300, rng.uniform(0.8, 1.2), rng.random())
    left = Walker(_straight(1250, -rng.uniform(140, 220), 560), 240, rng.uniform(0.8, 1.2), rng.random())
    return play([right, left], 6, seed=seed, pillars=[(560, 560 + speed)])


def leaving(seed: int) -> list[Moment]:
    """One person leaves for about a second and is the same when back, another for five seconds and is somebody new."""
    rng = np.random.default_rng([seed, 3])
    speed, other_speed = rng.uniform(150, 250, 2)
    turn_s, gone_s = 540 / speed, 540 / other_speed

    def soon_back(time_s: float) -> tuple[float, float]:
        return max(1340 - speed * max(abs(time_s - turn_s - 0.25) - 0.25, 0), 300.0), 620.0

    def late_back(time_s: float) -> tuple[float, float] | None:
        if gone_s <= time_s < gone_s + 5:
            return None
        return (480 - other_speed * time_s if time_s < gone_s else -60 + other_speed * (time_s - gone_s - 5)), 600.0

    walkers = [
        Walker(soon_back, 300, 1, rng.random()),
        Walker(late_back, 280, 1, rng.random(), returns_s=gone_s + 4),
        Walker(_straight(640, 0, 560), 220, 0),
    ]
    return play(walkers, 12, seed=seed)


def eight(seed: int) -> list[Moment]:
    """Eight people walk to and fro and hide each other again and again."""
    rng = np.random.default_rng([seed, 4])

    def walker(index: int) -> Walker:
        height, speed, start = 150 + 25 * index, rng.uniform(60, 200), rng.uniform(0, 2 * np.pi)

        def to_and_fro(time_s: float) -> tuple[float, float]:
            return 640 + 500 * np.sin(start + speed * time_s / 500), 350 + 0.9 * height

        return Walker(to_and_fro, height, rng.uniform(0.8, 1.2), rng.random())

    return play([walker(index) for index in range(8)], 10, seed=seed)


def _straight(start: float, speed: float, y: float) -> Callable[[float], tuple[float, float]]:
    return lambda time_s: (start + speed * time_s, y)
