"""`e2pose bench`: our models and others on the same frames."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from e2pose.cli.terminal import Progress, print_message

if TYPE_CHECKING:
    from e2pose.bench.report import Comparison

_TEXTS = 3  # columns
_WIDE = 220  # characters; what reads a pipe does not fold

_Words = Annotated[tuple[str, ...], Parameter(consume_multiple=True)]


@Parameter(name="*")
@dataclass(frozen=True)
class BenchOptions:
    """Options of `e2pose bench`.

    Args:
        models: Our models: names that `e2pose models` lists, or model files; options may follow a name, such as
            `default:runtime=openvino`.
        peers: Others that come with e2pose, or `all`; options may follow a name, such as `movenet:size=384`.
        peer: Scripts for other peers.
        annotations: COCO keypoint annotations of the pictures, for the average precision.
        frames: The most frames that are taken, the first ones.
        rounds: How often every peer is asked about every frame.
        threads: CPU threads of each peer.
        warm_up: How many frames do not count at the beginning of each peer's turn.
        reference: Which model or peer ratios refer to; the first one if it is not given.
        people: Also measure how long scenes with 1, 2, 5, 10 and 20 people take.
        overlay: Draw everybody's poses side by side; needs --output.
        rebuild: Make the environments of the peers anew.
        output: Folder for tables, charts and overlays.
        quiet: Show no progress.
    """

    models: _Words = ("default",)
    peers: _Words = ()
    peer: _Words = ()
    annotations: Path | None = None
    frames: int = 300
    rounds: int = 3
    threads: int = 2
    warm_up: int = 3
    reference: str | None = None
    people: bool = False
    overlay: bool = False
    rebuild: bool = False
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False


def bench(*source: Annotated[str, Parameter(required=True)], options: BenchOptions = BenchOptions()) -> None:
    """Compare models and other pose estimators: their speed, memory, size and, with annotations, accuracy.

    Args:
        source: Pictures, videos, folders or patterns such as `'photos/*.jpg'`.
        options: What to compare, and how.
    """
    from e2pose.bench.comparison import Reporter, Subject, run_comparison
    from e2pose.bench.peer_script import requested_peers
    from e2pose.bench.runner import Pace

    with Progress(shown=not options.quiet) as progress:
        comparison = run_comparison(
            requested_peers(options.models, options.peers, options.peer),
            Subject(source, options.frames, options.annotations, options.people, options.overlay, options.output),
            command=command_line(source, options),
            reference=options.reference,
            pace=Pace(options.rounds, options.warm_up, options.threads),
            rebuild=options.rebuild,
            reporter=Reporter((lambda _: None) if options.quiet else print_message, progress.advance),
        )
    show(comparison)


def command_line(source: tuple[str, ...], options: BenchOptions) -> str:
    """The command that repeats a comparison: its sources, and the options that are not as usual."""
    words = ["e2pose", "bench", *source]
    for field in fields(options):
        value = getattr(options, field.name)
        if value == field.default or field.name in ("quiet", "rebuild"):
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        words += [] if value is True else map(str, value) if isinstance(value, tuple) else [str(value)]
    return shlex.join(words)


def show(comparison: Comparison) -> None:
    """Prints the tables and all that stands below them."""
    import sys

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from e2pose.bench.report import circumstances, notes, people_rows, rows

    console = Console(width=None if sys.stdout.isatty() else _WIDE, soft_wrap=True, highlight=False, markup=False)
    for head, *body in filter(None, (rows(comparison), people_rows(comparison))):
        table = Table(box=SIMPLE_HEAD, show_edge=False)
        for number, title in enumerate(head):
            table.add_column(title, justify="left" if number < _TEXTS else "right")
        for row in body:
            table.add_row(*row)
        console.print(table)
    for line in [*notes(comparison), *circumstances(comparison), comparison.command]:
        console.print(line)
