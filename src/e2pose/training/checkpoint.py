"""Everything that a training needs to go on after a stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from e2pose.core.errors import TrainingError
from e2pose.core.files import atomic_path
from e2pose.models.e2pose import E2Pose
from e2pose.training.ema import WeightAverage


@dataclass
class TrainingState:
    """What changes from step to step.

    Images are drawn by step and seed, so no state of a random generator belongs to it.

    Args:
        network: What is trained.
        average: Its running average.
        optimizer: With its moments.
        step: Steps done.
    """

    network: E2Pose
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    step: int = 0

    def save(self, path: Path) -> None:
        """Writes the state.

        Raises:
            OutputError: The file cannot be written.
        """
        record = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as temporary:
            torch.save(record, temporary)

    def load(self, path: Path) -> None:
        """Takes over a state that was written.

        Raises:
            TrainingError: The file is missing, damaged or of another network.
        """
        try:
            record: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(record["network"])
            self.average.network.load_state_dict(record["average"])
            self.optimizer.load_state_dict(record["optimizer"])
            self.step = int(record["step"])
        except Exception as error:  # torch raises many kinds for a bad file
            raise TrainingError(
                f"cannot resume from '{path}': {error}",
                "start without --resume, or give the folder of a run of this recipe",
            ) from error
