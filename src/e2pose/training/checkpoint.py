"""Everything that a training needs to go on after a stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from e2pose.core.errors import OutputError, TrainingError
from e2pose.core.files import atomic_path, write_error
from e2pose.core.spec import ModelSpec
from e2pose.models.paper import E2Pose
from e2pose.models.weights import save_weights
from e2pose.training.ema import WeightAverage


@dataclass
class TrainingState:
    """What changes from step to step.

    Images are drawn by step and seed, so no state of a random generator belongs to it.

    Args:
        network: What is trained.
        average: Its running average.
        optimizer: With its moments.
        spec: How the network is used.
        step: Steps done.
        scale: State of the scaler of f16 gradients; empty for other precisions.
    """

    network: E2Pose
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    spec: ModelSpec
    step: int = 0
    scale: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the state.

        Raises:
            OutputError: The file cannot be written.
        """
        record = {
            "made_for": self._identity(),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scale": self.scale,
        }
        _write(path, lambda temporary: torch.save(record, temporary))

    def save_weights(self, path: Path) -> None:
        """Writes the averaged weights as a model.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            save_weights(path, self.average.network, self.spec)
        except SafetensorError as error:
            raise _full(path, error) from error

    def load(self, path: Path) -> None:
        """Takes over a state that was written.

        Raises:
            TrainingError: The file is missing, damaged or of another network.
        """
        try:
            record: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            made_for = record["made_for"]
        except Exception as error:  # torch raises many kinds for a bad file
            raise _cannot_resume(path, str(error)) from error
        self._check(path, made_for)
        try:
            self.network.load_state_dict(record["network"])
            self.average.network.load_state_dict(record["average"])
            self._load_moments(record["optimizer"])
            self.step = int(record["step"])
            self.scale = record["scale"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise _cannot_resume(path, str(error)) from error

    def _load_moments(self, record: dict[str, Any]) -> None:
        """Takes over what the optimiser remembers, but not its rates and decays, which are the recipe's."""
        settings = [
            {name: value for name, value in part.items() if name != "params"} for part in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(record)
        for part, setting in zip(self.optimizer.param_groups, settings, strict=True):
            part.update(setting)

    def _identity(self) -> dict[str, Any]:
        network = self.network
        one_to_many = network.head.one_to_many is not None
        config = network.config.model_dump(mode="json")
        return {**config, "one_to_many": one_to_many, "keypoints": list(self.spec.schema.keypoints)}

    def _check(self, path: Path, made_for: dict[str, Any]) -> None:
        mine = self._identity()
        names = sorted(name for name in mine.keys() | made_for.keys() if mine.get(name) != made_for.get(name))
        if names:
            changes = ", ".join(f"{name} {made_for.get(name)} is now {mine.get(name)}" for name in names)
            raise TrainingError(
                f"'{path}' is of another network than the recipe's: {changes}",
                "resume with the recipe of that run, or start a new one from its weights with initial.weights",
            )


def _write(path: Path, write: Callable[[Path], object]) -> None:
    with atomic_path(path) as temporary:
        try:
            write(temporary)
        except RuntimeError as error:  # what torch makes of a full disk
            raise _full(path, error) from error


def _full(path: Path, error: Exception) -> OutputError:
    return write_error(path, OSError(str(error)))


def _cannot_resume(path: Path, why: str) -> TrainingError:
    return TrainingError(
        f"cannot resume from '{path}': {why}",
        "start without --resume, or give the folder of a run of this recipe",
    )
