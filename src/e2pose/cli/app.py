"""The `e2pose` command: a table of commands, and the only place that turns errors into words on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from e2pose.cli.interrupts import orderly_termination
from e2pose.cli.terminal import print_error
from e2pose.core.errors import E2PoseError, OptionError

COMMANDS = {
    "predict": "Find everybody's pose in pictures and videos.",
    "evaluate": "Measure a model on annotated pictures.",
    "train": "Train a model from a recipe.",
    "export": "Write a model in another format.",
    "convert": "Turn a model of the original authors into one of ours.",
    "bench": "Compare models and other pose estimators on the same frames.",
    "models": "List the models that can be used by name.",
}
"""Each command is the function of its name in the module of its name, imported when the command is used."""

GROUPS = {
    "doctor": "Find out what is wrong before it costs time.",
}
"""Likewise, but what bears the name is an application with commands of its own."""

FAILED, MISSPELT, INTERRUPTED, UNREAD = 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The words after `e2pose`; None for those of this process.

    Returns:
        The exit code: 0, 1 after an error, 2 for a command line that cannot be understood, 130 after Ctrl-C, 143 after
        SIGTERM, 141 if whoever read the output has enough, like `head`.
    """
    try:
        with orderly_termination():
            code = build()(sys.argv[1:] if arguments is None else list(arguments)) or 0
            print(end="", flush=True)  # now, where it is noticed if nobody reads; there may be no output at all
            return code
    except CycloptsError as error:
        print_error(misspelt(error))
        return MISSPELT
    except E2PoseError as error:
        print_error(error)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        if not _is_unread():
            raise
        return UNREAD


def build() -> App:
    """The application with all its commands, none of them imported."""
    app = App(
        name="e2pose",
        help="Real-time multi-person 2D pose estimation.",
        help_format="plaintext",  # loading the parser of another format would make it a third slower
        default_parameter=Parameter(negative="", show_default=False),
        version=_version,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        exit_on_error=False,
        print_error=False,
        help_on_error=False,
    )
    for name, summary in COMMANDS.items():
        app.command(f"e2pose.cli.{name}:{name}", name=name, help=summary, help_format="markdown")
    for name, summary in GROUPS.items():
        app.command(f"e2pose.cli.{name}:{name}", name=name, help=summary)
    return app


def _is_unread() -> bool:
    """Whether nobody reads the output any more; what is left of it then goes nowhere."""
    try:
        os.write(sys.stdout.fileno(), b"\n")  # what is buffered may be nothing, which tells nothing
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def misspelt(error: CycloptsError) -> OptionError:
    """The error of the parser in the form of all others: what is wrong, then what to do."""
    error.verbose = False
    message, asks, suggestion = str(error).partition(" Did you mean ")
    return OptionError(message, f"did you mean {suggestion}" if asks else "add --help to see what is accepted")


def _version() -> str:
    from importlib.metadata import version

    return version("e2pose")
