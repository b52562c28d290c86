"""`e2pose train`: trains a model from a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from e2pose.core.errors import MissingExtraError, OptionError
from e2pose.core.files import read_text
from e2pose.training.recipe import load_recipe
from e2pose.training.recipes import find_recipe
from e2pose.training.reporter import TrainingReporter

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


def train(
    recipe: Path,
    /,
    *,
    resume: bool = False,
    overrides: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    data: Path | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    profile: bool = False,
    show: bool = False,
) -> None:
    """Train a model from a recipe.

    Args:
        recipe: Name of a recipe that comes with e2pose, such as `finetune`, or path of a TOML file.
        resume: Continue an interrupted training from its last checkpoint.
        overrides: Change an entry of the recipe, for example `--set optim.steps=100`. Can be repeated.
        data: Folder of the image sets; by default `data.root` of the recipe.
        output: Folder for weights and logs; by default `runs/` and the name of the recipe.
        profile: Train for a few steps without writing any file, and print the time of each phase.
        show: Print the file of the recipe, for example to change a copy of it, and exit.
    """
    if profile and (resume or output):
        raise OptionError("--profile writes no files", "omit --resume and --output")
    load_recipe(recipe, overrides)  # reports a wrong recipe at once: importing torch takes seconds
    if show:
        print(read_text(find_recipe(recipe)), end="")
        return
    try:
        from e2pose.training.profile import profile as profile_recipe
        from e2pose.training.train import train as train_recipe
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error

    if profile:
        print(profile_recipe(recipe, overrides=overrides, root=data).format_table())
        return
    reporter = ProgressBar() if sys.stderr.isatty() else TrainingReporter()
    train_recipe(recipe, overrides=overrides, resume=resume, root=data, output=output, reporter=reporter)


class ProgressBar(TrainingReporter):
    """A progress bar with the messages of the training above it."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None  # created by the first step, in the process that trains

    def message(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._bar is None:
            super().message(line)
        else:
            self._bar.console.print(line, markup=False, highlight=False)

    def step(self, done: int, total: int) -> None:
        """Moves the bar."""
        if self._bar is None:
            self._bar = _open_bar(done, total)
        self._bar.update(self._bar.task_ids[0], completed=done)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()


def _open_bar(done: int, total: int) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task("", total=total, completed=done)
    bar.start()
    return bar
