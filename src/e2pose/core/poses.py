"""The result of pose estimation: the keypoints of all persons in an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int64

from e2pose.core.errors import OptionError
from e2pose.core.schema import KeypointSchema

NO_TRACK = -1
"""The track id of a detection that has no track yet because it has just appeared."""


@dataclass(frozen=True, eq=False)
class Poses:
    """The poses of N persons, sorted by descending score; without persons, N is 0.

    All arrays are read-only copies. Nothing is clipped or zeroed: a keypoint may lie outside the image, and a keypoint
    with a low score keeps its position.

    Args:
        keypoints: (x, y) in pixels of the source image; (0, 0) is the outer corner of its first pixel.
        keypoint_scores: Score of each keypoint in [0, 1].
        scores: Score of each person in [0, 1].
        schema: The K keypoints.
        track_ids: Track id of each person across frames, from 1, or `NO_TRACK`; None without tracking.

    Raises:
        OptionError: The shapes are inconsistent.
    """

    keypoints: Float32[np.ndarray, "n k 2"]
    keypoint_scores: Float32[np.ndarray, "n k"]
    scores: Float32[np.ndarray, "n"]
    schema: KeypointSchema
    track_ids: Int64[np.ndarray, "n"] | None = None

    def __post_init__(self) -> None:
        num_persons, num_keypoints = len(self.keypoints), len(self.schema)
        expected = {
            "keypoints": (num_persons, num_keypoints, 2),
            "keypoint_scores": (num_persons, num_keypoints),
            "scores": (num_persons,),
        }
        if self.track_ids is not None:
            expected["track_ids"] = (num_persons,)
        for name, shape in expected.items():
            if np.shape(getattr(self, name)) != shape:
                raise OptionError(
                    f"'{name}' must have the shape {shape} for {num_persons} persons of the schema "
                    f"'{self.schema.name}', not {np.shape(getattr(self, name))}",
                    "pass one entry per person in every array; Poses.empty(schema) creates poses without persons",
                )
        order = np.argsort(-np.asarray(self.scores, dtype=np.float32), kind="stable")
        for name in expected:
            dtype = np.int64 if name == "track_ids" else np.float32
            array = np.array(getattr(self, name), dtype=dtype)[order]
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @staticmethod
    def empty(schema: KeypointSchema) -> Poses:
        """Returns the poses of an image without persons."""
        num_keypoints = len(schema)
        keypoints = np.zeros((0, num_keypoints, 2), np.float32)
        return Poses(keypoints, np.zeros((0, num_keypoints), np.float32), np.zeros(0, np.float32), schema)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(
        self, index: Bool[np.ndarray, "n"] | Int[np.ndarray, "m"] | slice | Sequence[int] | int | np.integer[Any]
    ) -> Poses:
        """Selects persons with a mask, indices, a slice or a single index: `poses[poses.scores > 0.5]`."""
        selected = [index] if isinstance(index, int | np.integer) else index
        if isinstance(selected, list | tuple):
            is_mask = bool(selected) and isinstance(selected[0], bool | np.bool_)
            selected = np.array(selected, dtype=bool if is_mask else np.int64)
        return Poses(
            keypoints=self.keypoints[selected],
            keypoint_scores=self.keypoint_scores[selected],
            scores=self.scores[selected],
            schema=self.schema,
            track_ids=None if self.track_ids is None else self.track_ids[selected],
        )

    def visible(self, threshold: float) -> Bool[np.ndarray, "n k"]:
        """Returns the mask of the keypoints that score at least the threshold."""
        return np.asarray(self.keypoint_scores >= threshold)

    def boxes(self, threshold: float = 0.0) -> Float32[np.ndarray, "n 4"]:
        """Returns the boxes (x, y, width, height) around the keypoints that score at least the threshold.

        The box of a person without such keypoints encloses all of its keypoints.
        """
        visible = self.visible(threshold)
        visible = visible | ~visible.any(axis=1, keepdims=True)
        low = np.where(visible[..., None], self.keypoints, np.inf).min(axis=1, initial=np.inf)
        high = np.where(visible[..., None], self.keypoints, -np.inf).max(axis=1, initial=-np.inf)
        return np.concatenate([low, high - low], axis=1).astype(np.float32).reshape(-1, 4)
