"""`e2pose bench`: comparison of models and other pose estimators on the same frames."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from e2pose.bench.options import DEFAULT_OPTIONS, BenchOptions
from e2pose.cli.terminal import Progress, print_message

if TYPE_CHECKING:
    from e2pose.bench.report import Comparison

_NUM_TEXT_COLUMNS = 3
_PIPE_WIDTH = 220  # characters; tables in a pipe are not wrapped


def bench(
    *source: Annotated[str, Parameter(required=True)],
    options: Annotated[BenchOptions, Parameter(name="*", consume_multiple=True)] = DEFAULT_OPTIONS,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False,
) -> None:
    """Compare speed, memory, size and, with annotations, accuracy of models and other pose estimators.

    Args:
        source: Images, videos, folders or patterns such as `'photos/*.jpg'`.
        options: Comparison options.
        output: Folder for tables, charts and overlays.
        quiet: Hide the progress.
    """
    from e2pose.bench.comparison import run_comparison

    with Progress(shown=not quiet) as progress:
        comparison = run_comparison(
            source,
            options,
            output=output,
            command=format_command(source, options, output),
            on_message=(lambda _: None) if quiet else print_message,
            on_turn=progress.advance,
        )
    print_comparison(comparison)


def format_command(source: tuple[str, ...], options: BenchOptions, output: Path | None) -> str:
    """Returns the command that repeats a comparison, without options that have their default."""
    words = ["e2pose", "bench", *source]
    values = {field.name: (getattr(options, field.name), field.default) for field in fields(options)}
    del values["rebuild"]
    for name, (value, default) in {**values, "output": (output, None)}.items():
        if value != default:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else map(str, value) if isinstance(value, tuple) else [str(value)]
    return shlex.join(words)


def print_comparison(comparison: Comparison) -> None:
    """Prints tables, notes, conditions and the command."""
    import sys

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from e2pose.bench.report import conditions, main_table, notes, scene_table

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(width=width, soft_wrap=True, highlight=False, markup=False)
    for header, *body in filter(None, (main_table(comparison), scene_table(comparison))):
        table = Table(box=SIMPLE_HEAD, show_edge=False)
        for number, title in enumerate(header):
            table.add_column(title, justify="left" if number < _NUM_TEXT_COLUMNS else "right")
        for row in body:
            table.add_row(*row)
        console.print(table)
    for line in [*notes(comparison), *conditions(comparison), comparison.command]:
        console.print(line)
