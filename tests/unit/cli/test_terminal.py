import io
import os
import sys
from itertools import count

import pytest

from e2pose.cli import terminal
from e2pose.cli.terminal import Progress, print_error, print_message
from e2pose.core.errors import InputError, OptionError


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    """Replaces stderr; must be called in the test, because pytest replaces stderr after the fixtures."""
    screen = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    return screen


def set_clock_step(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Advances the clock by some seconds at each reading."""
    ticks = count()
    monkeypatch.setattr(terminal, "monotonic", lambda: next(ticks) * seconds)


def advance(progress: Progress, steps: int = 5) -> None:
    with progress:
        for _ in range(steps):
            progress.advance()


def test_long_work_shows_bar_with_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = use_terminal(monkeypatch)
    set_clock_step(0.5, monkeypatch)
    advance(Progress(5))
    assert "5/5" in screen.getvalue()
    assert "/s" in screen.getvalue()


def test_work_shorter_than_a_second_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = use_terminal(monkeypatch)
    set_clock_step(0.15, monkeypatch)
    advance(Progress(5))
    assert screen.getvalue() == ""


def test_disabled_progress_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = use_terminal(monkeypatch)
    set_clock_step(0.5, monkeypatch)
    advance(Progress(5, shown=False))
    assert screen.getvalue() == ""


def test_redirected_stderr_shows_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    set_clock_step(0.5, monkeypatch)
    advance(Progress(5))
    assert capsys.readouterr().err == ""


def test_unknown_total_is_a_question_mark_until_given(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = use_terminal(monkeypatch)
    set_clock_step(0.5, monkeypatch)
    with Progress() as progress:
        for _ in range(4):
            progress.advance()
        progress.advance(total=7)
    assert "3/?" in screen.getvalue()
    assert "5/7" in screen.getvalue()


def test_errors_are_printed_with_their_hint_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(InputError("there is no file 'a'", "check the spelling"))
    print_error(OptionError("no"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: there is no file 'a'\n\nhint: check the spelling\nerror: no\n"


def test_messages_are_discarded_after_the_reader_of_stderr_closed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        print_message("one")
        print_message("two")
        monkeypatch.undo()
