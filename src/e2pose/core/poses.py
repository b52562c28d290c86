"""The result of pose estimation: the keypoints of all persons in an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int64

from e2pose.core.arguments import check_number, check_type, show, to_array
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
        OptionError: A field is no array of numbers, or the shapes are inconsistent.
    """

    keypoints: Float32[np.ndarray, "n k 2"]
    keypoint_scores: Float32[np.ndarray, "n k"]
    scores: Float32[np.ndarray, "n"]
    schema: KeypointSchema
    track_ids: Int64[np.ndarray, "n"] | None = None

    def __post_init__(self) -> None:
        hint = "load it with e2pose.load_schema, or use estimator.spec.schema"
        check_type("the schema of poses", self.schema, KeypointSchema, hint=hint)
        arrays = {
            name: to_array(f"'{name}'", getattr(self, name), np.int64 if name == "track_ids" else np.float32)
            for name in ("keypoints", "keypoint_scores", "scores", "track_ids")
            if name != "track_ids" or self.track_ids is not None
        }
        num_persons, num_keypoints = len(np.atleast_1d(arrays["keypoints"])), len(self.schema)
        expected = {
            "keypoints": (num_persons, num_keypoints, 2),
            "keypoint_scores": (num_persons, num_keypoints),
            "scores": (num_persons,),
        }
        if self.track_ids is not None:
            expected["track_ids"] = (num_persons,)
        for name, shape in expected.items():
            if arrays[name].shape != shape:
                raise OptionError(
                    f"'{name}' must have the shape {shape} for {num_persons} persons of the schema "
                    f"'{self.schema.name}', not {arrays[name].shape}",
                    "pass one entry per person in every array; Poses.empty(schema) creates poses without persons",
                )
        order = np.argsort(-arrays["scores"], kind="stable")
        for name in expected:
            array = arrays[name][order]
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @staticmethod
    def empty(schema: KeypointSchema) -> Poses:
        """Returns the poses of an image without persons."""
        check_type("the schema of poses", schema, KeypointSchema, hint="load it with e2pose.load_schema")
        num_keypoints = len(schema)
        keypoints = np.zeros((0, num_keypoints, 2), np.float32)
        return Poses(keypoints, np.zeros((0, num_keypoints), np.float32), np.zeros(0, np.float32), schema)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(
        self, index: Bool[np.ndarray, "n"] | Int[np.ndarray, "m"] | slice | Sequence[int] | int | np.integer[Any]
    ) -> Poses:
        """Selects persons with a mask, indices, a slice or a single index: `poses[poses.scores > 0.5]`.

        Raises:
            IndexError: There is no such person. Iteration over single persons relies on it.
            OptionError: The index has another type.
        """
        is_single = isinstance(index, int | np.integer) and not isinstance(index, bool)
        selected = [index] if is_single else index
        if isinstance(selected, list | tuple):
            is_mask = bool(selected) and isinstance(selected[0], bool | np.bool_)
            selected = to_array("indices of persons", selected, bool if is_mask else np.int64)
        if not isinstance(selected, slice) and not (isinstance(selected, np.ndarray) and selected.dtype.kind in "biu"):
            raise OptionError(f"cannot select persons with {show(index)}", "use an index, a slice, a list or a mask")
        return Poses(
            keypoints=self.keypoints[selected],
            keypoint_scores=self.keypoint_scores[selected],
            scores=self.scores[selected],
            schema=self.schema,
            track_ids=None if self.track_ids is None else self.track_ids[selected],
        )

    def visible(self, threshold: float) -> Bool[np.ndarray, "n k"]:
        """Returns the mask of the keypoints that score at least the threshold."""
        threshold = check_number("the threshold", threshold, hint="use a score from 0 to 1")
        return np.asarray(self.keypoint_scores >= threshold)

    def __reduce__(self) -> tuple[type[Poses], tuple[Any, ...]]:
        return Poses, (
            self.keypoints,
            self.keypoint_scores,
            self.scores,
            self.schema,
            self.track_ids,
        )  # read-only again

    def boxes(self, threshold: float = 0.0) -> Float32[np.ndarray, "n 4"]:
        """Returns the boxes (x, y, width, height) around the keypoints that score at least the threshold.

        The box of a person without such keypoints encloses all of its keypoints.
        """
        visible = self.visible(threshold)
        visible = visible | ~visible.any(axis=1, keepdims=True)
        low = np.where(visible[..., None], self.keypoints, np.inf).min(axis=1, initial=np.inf)
        high = np.where(visible[..., None], self.keypoints, -np.inf).max(axis=1, initial=-np.inf)
        return np.concatenate([low, high - low], axis=1).astype(np.float32).reshape(-1, 4)
