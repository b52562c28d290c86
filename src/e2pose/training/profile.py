"""Where the time of a training would go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from e2pose.training.devices import launch
from e2pose.training.loop import Progress, train_steps
from e2pose.training.phases import PHASES, phase_table
from e2pose.training.recipe import Recipe, load_recipe
from e2pose.training.set_up import say_nothing, set_up
from e2pose.training.stopping import StoppedError, StopRequest, explained
from e2pose.training.warm_start import as_in_model

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_WARM_UP = 5
_MEASURED = 20


def profile(recipe_path: str | Path, *, overrides: Sequence[str] = (), root: str | Path | None = None) -> str:
    """Tells where the time of a recipe's steps goes, as a table for people; see `time_phases`."""
    recipe = load_recipe(Path(recipe_path), overrides)
    return phase_table(_time(recipe, root), recipe.optim.batch_size)


def time_phases(
    recipe_path: str | Path, *, overrides: Sequence[str] = (), root: str | Path | None = None
) -> dict[str, float]:
    """Takes a few steps of a recipe and keeps nothing of them.

    Args:
        recipe_path: A TOML file; see `e2pose.training.recipe.Recipe`.
        overrides: Entries of the recipe to change, such as `optim.batch_size=64`.
        root: Folder of the image sets, instead of the one in the recipe.

    Returns:
        The mean seconds of each phase of a step, in the first process if there are several.

    Raises:
        E2PoseError: As `e2pose.training.train.train` does.
    """
    return _time(load_recipe(Path(recipe_path), overrides), root)


def _time(recipe: Recipe, root: str | Path | None) -> dict[str, float]:
    recipe = as_in_model(recipe)
    short = recipe.optim.model_copy(update={"steps": _WARM_UP + _MEASURED})
    return launch(
        recipe, _time_phases, recipe.model_copy(update={"optim": short, "log_every": 1}), Path(root or recipe.data.root)
    )


def _time_phases(fabric: Fabric, recipe: Recipe, root: Path) -> dict[str, float]:
    reports: list[Progress] = []
    with explained(recipe), StopRequest() as stop:
        training = set_up(fabric, recipe, root, checkpoint=None, tell=say_nothing, exact_clock=True)
        is_done = train_steps(
            training.trainer, training.batches, stop=stop, report=reports.append, after=lambda _: None
        )
    if not is_done:
        raise StoppedError(stop.signal)
    measured = reports[_WARM_UP:]
    return {phase: sum(report.seconds[phase] for report in measured) / len(measured) for phase in PHASES}
