"""The files of a run: weights, checkpoint, log, previews, recipe and environment."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from e2pose.core.files import atomic_path
from e2pose.inference.estimator import Estimator
from e2pose.runtimes.torch import TorchRuntime
from e2pose.sinks.images import encode_image
from e2pose.training.evaluate import evaluate_sets
from e2pose.training.log import RunLog
from e2pose.training.preview import draw_preview, read_preview_images
from e2pose.training.recipe import Recipe
from e2pose.training.set_up import Training

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"
RECIPE = "recipe.json"
ENVIRONMENT = "environment.json"
PREVIEWS = "previews"


class RunFolder:
    """Writes the files of a run. With several processes, only the process of rank 0 has one."""

    def __init__(self, path: Path, recipe: Recipe, training: Training) -> None:
        self.path = path
        self._recipe = recipe
        self._sets = training.sets
        self._trainer = training.trainer
        _write_json(path / RECIPE, recipe.model_dump(mode="json", by_alias=True))
        _write_json(path / ENVIRONMENT, describe_environment(self._trainer.fabric.device))
        self.log = RunLog(path, self._trainer.state.step)
        self._preview_images = read_preview_images(self._sets) if recipe.preview_every else []

    def save(self) -> None:
        """Writes weights and checkpoint, each atomically."""
        state = self._trainer.state
        state.save_weights(self.path / WEIGHTS)
        state.save(self.path / CHECKPOINT)

    def evaluate(self) -> dict[str, float]:
        """Evaluates the averaged weights on held-out images and logs the metrics; see `evaluate_sets`."""
        metrics = evaluate_sets(self._estimator(), self._recipe, self._sets, limit=self._recipe.evaluate_images)
        if metrics:
            self.log.write({"step": self._trainer.state.step, **metrics})
        return metrics

    def write_preview(self) -> None:
        """Writes a sheet of predictions of the averaged weights, if there are images for it."""
        if not self._preview_images:
            return
        sheet = draw_preview(self._estimator(), self._preview_images)
        with atomic_path(self.path / PREVIEWS / f"{self._trainer.state.step:07}.jpg") as temporary:
            temporary.write_bytes(encode_image(sheet, temporary))

    def close(self) -> None:
        """Closes the log."""
        self.log.close()

    def _estimator(self) -> Estimator:
        state = self._trainer.state
        return Estimator(TorchRuntime(state.average.network, state.spec, str(self._trainer.fabric.device)))


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Returns the versions of code and software, the machine and the start time of a training."""
    is_cuda = device.type == "cuda"
    return {
        "e2pose": version("e2pose"),
        "commit": _find_commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if is_cuda else platform.processor() or platform.machine(),
        "cuda": torch.version.cuda if is_cuda else None,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "command": sys.argv,
    }


def _find_commit() -> str | None:
    """Returns the commit if e2pose runs from a git checkout, with `-dirty` for uncommitted changes."""
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _write_json(path: Path, record: object) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
