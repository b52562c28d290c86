"""`e2pose train`: labelled pictures to weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from e2pose.cli.terminal import print_message
from e2pose.core.errors import MissingExtraError, OptionError

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
) -> None:
    """Train a model from a recipe.

    Args:
        recipe: A TOML file; see the folder `recipes`.
        resume: Go on where an interrupted training stopped.
        overrides: Change an entry of the recipe, for example `--set optim.steps=100`. Can be repeated.
        data: Folder of the image sets; if not given, the recipe's own.
        output: Folder for weights and logs; if not given, `runs/` and the recipe's name.
        profile: Take a few steps only, keep nothing, and print where the time went.
    """
    if profile and (resume or output):
        raise OptionError("--profile keeps nothing, so there is nothing to resume and no output", "leave those out")
    try:
        from e2pose.training.profile import profile as profile_recipe
        from e2pose.training.train import Lines
        from e2pose.training.train import train as train_recipe
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error

    if profile:
        print(profile_recipe(recipe, overrides=overrides, root=data))
        return
    listener = Bar() if sys.stderr.isatty() else Lines()
    train_recipe(recipe, overrides=overrides, resume=resume, root=data, output=output, listener=listener)


class Bar:
    """A progress bar with the lines of the training above it."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None  # made in the process that trains

    def tell(self, line: str) -> None:
        """Prints a line."""
        if self._bar is None:
            print_message(line)
        else:
            self._bar.console.print(line, markup=False, highlight=False)

    def step(self, done: int, total: int) -> None:
        """Moves the bar."""
        if self._bar is None:
            self._bar = _open_bar(done, total)
        self._bar.update(self._bar.task_ids[0], completed=done)

    def close(self) -> None:
        """Takes the bar away."""
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
