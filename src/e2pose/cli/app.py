"""The `e2pose` command: the table of commands, and the only place that prints errors and sets the exit code."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from cyclopts import (
    App,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from e2pose.cli.interrupts import graceful_termination
from e2pose.cli.terminal import print_error, print_message
from e2pose.core.errors import E2PoseError, OptionError
from e2pose.core.files import expand_home

COMMANDS = {
    "predict": "Detect poses in images, videos, cameras and streams.",
    "evaluate": "Measure the accuracy of a model on annotated images.",
    "train": "Train a model from a recipe.",
    "export": "Export a model to another format, precision or input size.",
    "convert": "Convert a model of the original E2Pose authors to ONNX.",
    "batch": "Detect poses in millions of images and videos, on one machine or a Ray cluster.",
    "bench": "Compare models and other pose estimators on the same images.",
    "serve": "Serve poses over HTTP and WebSocket, with a live page.",
    "models": "List the models that can be used by name.",
}
"""Help text of each command: a function of the same name in the module of the same name, imported on use."""

GROUPS = {"doctor": "Check the installation, or labelled images before training."}
"""Help text of each command with subcommands: an `App` of the same name in the module of the same name."""

ERROR, USAGE_ERROR, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command given by the words after `e2pose`; None for those of this process.

    Returns the exit code: 0 on success, 1 after an error, 2 for an invalid command line or option, 130 after Ctrl-C,
    143 after SIGTERM, 141 if the reader of the output closed the pipe, as `head` does.
    """
    try:
        with graceful_termination(), _one_line_warnings():
            code = build()(_expand_home(sys.argv[1:] if arguments is None else arguments)) or 0
            print(end="", flush=True)  # raises BrokenPipeError here instead of at interpreter exit
            return code
    except CycloptsError as error:
        print_error(_usage_error(error))
        return USAGE_ERROR
    except E2PoseError as error:
        print_error(error)
        return USAGE_ERROR if isinstance(error, OptionError) else ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        if not _is_stdout_closed():
            raise
        return BROKEN_PIPE
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not _has_current_folder():
            print_error(E2PoseError("the current folder does not exist any more", "change to an existing folder: cd ~"))
        elif error.filename is not None:  # for example a name that is longer than the file system accepts
            print_error(E2PoseError(f"cannot use '{error.filename}': {error.strerror}", "check the path"))
        else:
            raise
        return ERROR


def build() -> App:
    """Builds the application with all commands; imports none of them."""
    app = App(
        name="e2pose",
        help="Real-time multi-person 2D pose estimation.",
        help_format="plaintext",  # importing the parser of another format adds a third to the start time
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


def _expand_home(words: Sequence[str]) -> list[str]:
    """Replaces `~` by the home folder in words and in the values of options such as --output=~/poses.json."""
    expanded = []
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        is_path = value == "~" or value.startswith(("~/", f"~{os.sep}"))
        expanded.append(f"{option}{equals}{expand_home(value)}" if is_path else word)
    return expanded


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Prints the warnings of e2pose as one line each, without the line of code that issued them."""
    original = warnings.showwarning

    def show(  # noqa: PLR0917
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category.__module__.startswith("e2pose."):
            print_message(f"warning: {message}")
        else:
            original(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = original


def _has_current_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _is_stdout_closed() -> bool:
    """Returns whether the reader closed stdout; if so, redirects the rest of the output to the null device."""
    try:
        os.write(sys.stdout.fileno(), b"\n")  # a flush would not do: the buffer may be empty
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _usage_error(error: CycloptsError) -> OptionError:
    """Converts an error of the argument parser into message and hint."""
    error.verbose = False
    message, found, suggestion = str(error).partition(" Did you mean ")
    hint = f"did you mean {suggestion}" if found else "add --help to list the accepted options"
    if isinstance(error, MissingArgumentError) and error.argument is not None and not error.tokens_so_far:
        command = " ".join(("e2pose", *(error.command_chain or ())))
        missing = f"{error.keyword} requires a value" if error.keyword else f"{command} requires {error.argument.name}"
        return OptionError(missing, f"add it; {command} --help describes it")
    if isinstance(error, UnusedCliTokensError):
        words = " ".join(error.unused_tokens or ())
        return OptionError(f"unexpected arguments: {words}", "add --help to list the accepted arguments")
    if isinstance(error, UnknownOptionError) and (error.token.keyword or error.token.value) == "-":
        return OptionError(
            "'-' (standard input) is not supported as an input",
            "save the data to a file first; for a file of this name, use './-'",
        )
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        words = " ".join(map(shlex.quote, error.unused_tokens))
        if _looks_like_an_input(error.unused_tokens[0]):
            hint = f"did you mean: e2pose predict {words}"
    message, choices, names = message.partition(" Choose from: ")
    if choices:
        names = names.rstrip(".").replace('"', "")
        message, hint = f"{message} Accepted are: {names}.", f"use one of: {names}"
    return OptionError(message, hint)


def _looks_like_an_input(word: str) -> bool:
    """Returns whether a word in the place of a command is a file, folder, pattern, camera, stream or screen."""
    path = Path(word)
    return path.exists() or word.isdecimal() or bool(path.suffix) or any(mark in word for mark in "/:*?")


def _version() -> str:
    from importlib.metadata import version

    return version("e2pose")
