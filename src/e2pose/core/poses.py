"""The answer: everybody's keypoints in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int64

from e2pose.core.errors import OptionError
from e2pose.core.schema import KeypointSchema

NO_TRACK = -1
"""The identity of somebody in a tracked frame who has only just appeared and may yet turn out to be nobody."""


@dataclass(frozen=True, eq=False)
class Poses:
    """The poses of N persons, sorted by falling score. Nobody is `(0, K, 2)`.

    All arrays are read-only. Nothing is clipped or zeroed: a keypoint may lie outside the picture, and a doubtful one
    keeps its position and its low score.

    Args:
        keypoints: (x, y) in pixels of the source image; (0, 0) is the outer corner of its first pixel.
        keypoint_scores: Score of each keypoint in [0, 1].
        scores: Score of each person in [0, 1].
        schema: What the K keypoints are.
        track_ids: Identity of each person across frames, from 1, or `NO_TRACK`; None if nobody was tracked.

    Raises:
        OptionError: The shapes do not belong together.
    """

    keypoints: Float32[np.ndarray, "n k 2"]
    keypoint_scores: Float32[np.ndarray, "n k"]
    scores: Float32[np.ndarray, "n"]
    schema: KeypointSchema
    track_ids: Int64[np.ndarray, "n"] | None = None

    def __post_init__(self) -> None:
        keypoints = np.asarray(self.keypoints, dtype=np.float32)
        persons, count = len(keypoints), len(self.schema)
        expected = {
            "keypoints": (persons, count, 2),
            "keypoint_scores": (persons, count),
            "scores": (persons,),
        }
        if self.track_ids is not None:
            expected["track_ids"] = (persons,)
        for name, shape in expected.items():
            if np.shape(getattr(self, name)) != shape:
                raise OptionError(
                    f"'{name}' must have the shape {shape} for {persons} persons of the schema '{self.schema.name}', "
                    f"not {np.shape(getattr(self, name))}"
                )
        order = np.argsort(-np.asarray(self.scores, dtype=np.float32), kind="stable")
        for name in expected:
            dtype = np.int64 if name == "track_ids" else np.float32
            array = np.array(getattr(self, name), dtype=dtype)[order]
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @staticmethod
    def empty(schema: KeypointSchema) -> Poses:
        """The poses of a picture without people."""
        count = len(schema)
        empty = np.zeros((0, count, 2), np.float32)
        return Poses(empty, np.zeros((0, count), np.float32), np.zeros(0, np.float32), schema)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(
        self, index: Bool[np.ndarray, "n"] | Int[np.ndarray, "m"] | slice | Sequence[int] | int | np.integer[Any]
    ) -> Poses:
        """Selects persons with a mask, indices, a slice or one index: `poses[poses.scores > 0.5]`."""
        chosen = [index] if isinstance(index, int | np.integer) else index
        if isinstance(chosen, list | tuple):
            chosen = np.array(chosen, dtype=bool if chosen and isinstance(chosen[0], bool | np.bool_) else np.int64)
        return Poses(
            keypoints=self.keypoints[chosen],
            keypoint_scores=self.keypoint_scores[chosen],
            scores=self.scores[chosen],
            schema=self.schema,
            track_ids=None if self.track_ids is None else self.track_ids[chosen],
        )

    def visible(self, threshold: float) -> Bool[np.ndarray, "n k"]:
        """Which keypoints score at least the threshold."""
        return np.asarray(self.keypoint_scores >= threshold)

    def boxes(self, threshold: float = 0.0) -> Float32[np.ndarray, "n 4"]:
        """The boxes (x, y, width, height) around the keypoints that score at least the threshold.

        A person with no such keypoint gets a box around all of them.
        """
        seen = self.visible(threshold)
        seen = seen | ~seen.any(axis=1, keepdims=True)
        low = np.where(seen[..., None], self.keypoints, np.inf).min(axis=1, initial=np.inf)
        high = np.where(seen[..., None], self.keypoints, -np.inf).max(axis=1, initial=-np.inf)
        return np.concatenate([low, high - low], axis=1).astype(np.float32).reshape(-1, 4)
