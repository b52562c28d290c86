"""Profiles the steps of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from e2pose.training.devices import launch
from e2pose.training.interrupts import StopRequest, explained_errors
from e2pose.training.loop import train_steps
from e2pose.training.recipe import Recipe, load_recipe
from e2pose.training.set_up import set_up
from e2pose.training.step_timer import PHASES
from e2pose.training.warm_start import with_initial_network

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_NUM_WARM_UP_STEPS = 5
_NUM_MEASURED_STEPS = 20


@dataclass(frozen=True)
class StepProfile:
    """The mean time of a training step."""

    seconds: Mapping[str, float]  # by phase, of the first process
    batch_size: int  # images of one step in all processes together

    def format_table(self) -> str:
        """Formats milliseconds and shares of the phases, and the throughput."""
        total = sum(self.seconds.values())
        rows = [f"{name:<10} {1000 * value:>9.1f} ms {value / total:>7.1%}" for name, value in self.seconds.items()]
        throughput = f"{'':<10} {self.batch_size / total:>9.1f} images/s"
        return "\n".join([*rows, f"{'step':<10} {1000 * total:>9.1f} ms", throughput])


def profile(recipe_path: str | Path, *, overrides: Sequence[str] = (), root: str | Path | None = None) -> StepProfile:
    """Trains for a few steps without writing any file; arguments and errors are those of `train`."""
    recipe = with_initial_network(load_recipe(Path(recipe_path), overrides))
    optim = recipe.optim.model_copy(update={"steps": _NUM_WARM_UP_STEPS + _NUM_MEASURED_STEPS})
    recipe = recipe.model_copy(update={"optim": optim, "log_every": 1})
    seconds = launch(recipe, partial(_profile, recipe=recipe, root=Path(root or recipe.data.root)))
    return StepProfile(seconds, recipe.optim.batch_size)


def _profile(fabric: Fabric, *, recipe: Recipe, root: Path) -> dict[str, float]:
    with explained_errors(recipe), StopRequest() as stop:
        training = set_up(fabric, recipe, root, exact_timing=True)
        with closing(train_steps(training.trainer, training.batches, stop)) as steps:
            seconds = [progress.seconds for progress in steps if progress is not None]
    measured = seconds[_NUM_WARM_UP_STEPS:]
    return {phase: sum(step[phase] for step in measured) / len(measured) for phase in PHASES}
