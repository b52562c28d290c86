"""`e2pose train`: labelled pictures to weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from e2pose.cli.terminal import say
from e2pose.core.errors import MissingExtraError


def train(
    recipe: Path,
    /,
    *,
    resume: bool = False,
    data: Path | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
) -> None:
    """Train a model from a recipe.

    Args:
        recipe: A TOML file; see the folder `recipes`.
        resume: Go on where an interrupted training stopped.
        data: Folder of the image sets; if not given, the recipe's own.
        output: Folder for weights and logs; if not given, `runs/` and the recipe's name.
    """
    try:
        from e2pose.training.train import train as train_recipe
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error

    weights = train_recipe(recipe, resume=resume, root=data, output=output)
    say(f"written to {weights}")
