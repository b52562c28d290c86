"""The state of a training, and the checkpoints that resume it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from e2pose.core.errors import TrainingError
from e2pose.core.files import atomic_path, write_error
from e2pose.core.spec import ModelSpec
from e2pose.models.paper import E2Pose
from e2pose.models.weights import save_weights
from e2pose.training.ema import WeightAverage

if TYPE_CHECKING:
    from lightning_fabric.plugins import Precision


@dataclass
class TrainingState:
    """Everything that changes from step to step.

    It contains no state of a random generator: step and seed determine the images of a batch.

    Args:
        network: The trained network.
        average: Running average of its weights.
        optimizer: Optimiser with its moments.
        precision: Fabric's precision plugin, which scales f16 gradients.
        spec: Describes how the network is used.
        step: Steps done.
    """

    network: E2Pose
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    precision: Precision
    spec: ModelSpec
    step: int = 0

    def save(self, path: Path) -> None:
        """Writes a checkpoint.

        Raises:
            OutputError: The file cannot be written.
        """
        record = {
            "identity": self._identity(),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scale": self.precision.state_dict(),
        }
        with atomic_path(path) as temporary:
            try:
                torch.save(record, temporary)
            except RuntimeError as error:  # raised by torch if the disk is full
                raise write_error(path, OSError(str(error))) from error

    def save_weights(self, path: Path) -> None:
        """Writes the averaged weights as a model file.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            save_weights(path, self.average.network, self.spec)
        except SafetensorError as error:
            raise write_error(path, OSError(str(error))) from error

    def load(self, path: Path) -> None:
        """Loads a checkpoint.

        Raises:
            TrainingError: The file is missing or damaged, or belongs to another network.
        """
        try:
            record: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            identity = record["identity"]
        except Exception as error:  # torch raises many types for a damaged file
            raise _cannot_resume(path, error) from error
        self._check_identity(path, identity)
        try:
            self.network.load_state_dict(record["network"])
            self.average.network.load_state_dict(record["average"])
            self._load_moments(record["optimizer"])
            self.step = int(record["step"])
            self.precision.load_state_dict(record["scale"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise _cannot_resume(path, error) from error

    def _load_moments(self, record: dict[str, Any]) -> None:
        """Loads the moments of the optimiser, but keeps rates and decays, which the recipe may have changed."""
        settings = [
            {name: value for name, value in group.items() if name != "params"} for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(record)
        for group, setting in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(setting)

    def _identity(self) -> dict[str, Any]:
        """What must not change when a training is resumed."""
        return {
            **self.network.config.model_dump(mode="json"),
            "one_to_many": self.network.head.one_to_many is not None,
            "keypoints": list(self.spec.schema.keypoints),
        }

    def _check_identity(self, path: Path, saved: dict[str, Any]) -> None:
        current = self._identity()
        names = sorted(name for name in current.keys() | saved.keys() if current.get(name) != saved.get(name))
        if names:
            changes = ", ".join(f"{name} is {saved.get(name)} there and {current.get(name)} here" for name in names)
            raise TrainingError(
                f"'{path}' belongs to another network than the recipe: {changes}",
                "resume with the recipe of that run, or start a new run from its weights with initial.weights",
            )


def _cannot_resume(path: Path, reason: Exception) -> TrainingError:
    return TrainingError(
        f"cannot resume from '{path}': {reason}",
        "start without --resume, or set -o to the folder of a run of this recipe",
    )
