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
from e2pose.training.optim import WeightAverage

if TYPE_CHECKING:
    from lightning_fabric.plugins import Precision


@dataclass
class TrainingState:
    """Everything that changes from step to step, and the spec of the network.

    It contains no state of a random generator: step and seed determine the images of a batch.
    """

    network: E2Pose
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    precision: Precision  # Fabric's plugin, which scales f16 gradients
    spec: ModelSpec
    step: int = 0  # steps done

    def save(self, path: Path) -> None:
        """Writes a checkpoint, or raises `OutputError`."""
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
        """Writes the averaged weights as a model file, or raises `OutputError`."""
        try:
            save_weights(path, self.average.network, self.spec)
        except SafetensorError as error:
            raise write_error(path, OSError(str(error))) from error

    def load(self, path: Path) -> None:
        """Loads a checkpoint, or raises `TrainingError` if it is missing, damaged or of another network."""
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
        groups = self.optimizer.state_dict()["param_groups"]
        saved = record["param_groups"]
        kept = [{**group, "params": other["params"]} for group, other in zip(groups, saved, strict=True)]
        self.optimizer.load_state_dict({**record, "param_groups": kept})

    def _identity(self) -> dict[str, Any]:
        """Returns the settings that must not change when a training is resumed."""
        return {
            **self.network.config.model_dump(mode="json"),
            "one_to_many": self.network.head.one_to_many is not None,
            "keypoints": list(self.spec.schema.keypoints),
        }

    def _check_identity(self, path: Path, saved: dict[str, Any]) -> None:
        current = self._identity()
        names = sorted(name for name in current.keys() | saved.keys() if current.get(name) != saved.get(name))
        if names:
            changes = ", ".join(
                f"{name} is {saved.get(name)} in the file and {current.get(name)} in the recipe" for name in names
            )
            raise TrainingError(
                f"'{path}' belongs to another network than the recipe: {changes}",
                "resume with the recipe of that run, or start a new run from its weights with initial.weights",
            )


def _cannot_resume(path: Path, reason: Exception) -> TrainingError:
    return TrainingError(
        f"cannot resume from '{path}': {reason}",
        "start without --resume, or set -o to the folder of a run of this recipe",
    )
