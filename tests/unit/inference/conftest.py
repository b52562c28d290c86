from collections.abc import Callable

import numpy as np
import pytest

from e2pose.core.candidates import Candidates
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import ModelSpec


class BrightnessRuntime:
    """Finds as many persons as the red value of the central pixel, each at its own position."""

    description = "fake runtime"

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.batches: list[int] = []

    def __call__(self, pixels: np.ndarray) -> Candidates:
        self.batches.append(len(pixels))
        height, width = self.spec.input_size_hw
        persons = pixels[:, 0, height // 2, width // 2]
        batch, candidates, keypoints = len(pixels), 5, len(self.spec.schema)
        rank = np.arange(candidates, dtype=np.float32)
        scores = np.where(rank < persons[:, None], 0.9 - rank / 20, 0.1).astype(np.float32)
        positions = np.linspace(0, 1, candidates * keypoints * 2, dtype=np.float32)
        return Candidates(
            scores=scores,
            keypoint_scores=np.full((batch, candidates, keypoints), 0.75, np.float32),
            keypoints=np.tile(positions.reshape(1, candidates, keypoints, 2), (batch, 1, 1, 1)),
        )


@pytest.fixture
def schema() -> KeypointSchema:
    return KeypointSchema.from_names("pair", ["head", "foot"])


@pytest.fixture
def runtime(schema: KeypointSchema) -> BrightnessRuntime:
    return BrightnessRuntime(ModelSpec("test", (32, 64), "letterbox", schema))


@pytest.fixture
def make_image() -> Callable[..., np.ndarray]:
    """Returns a function that creates an image in which the runtime finds the given number of persons."""
    return lambda persons, size_hw=(50, 40): np.full((*size_hw, 3), persons, np.uint8)
