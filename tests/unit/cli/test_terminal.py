import io
import sys
from itertools import count

import pytest

from e2pose.cli import terminal
from e2pose.cli.terminal import Progress, print_error
from e2pose.core.errors import InputError, OptionError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def sit_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    return screen


def let_each_look_take(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(terminal, "monotonic", lambda: next(ticks) * seconds)


def work(progress: Progress, steps: int = 5) -> None:
    with progress:
        for _ in range(steps):
            progress.advance()


def test_long_work_gets_a_bar_with_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = sit_at_a_terminal(monkeypatch)
    let_each_look_take(0.5, monkeypatch)
    work(Progress(5))
    assert "5/5" in screen.getvalue()
    assert "/s" in screen.getvalue()


def test_short_work_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = sit_at_a_terminal(monkeypatch)
    let_each_look_take(0.001, monkeypatch)
    work(Progress(5))
    assert screen.getvalue() == ""


def test_quiet_work_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = sit_at_a_terminal(monkeypatch)
    let_each_look_take(0.5, monkeypatch)
    work(Progress(5, shown=False))
    assert screen.getvalue() == ""


def test_a_file_gets_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    let_each_look_take(0.5, monkeypatch)
    work(Progress(5))
    assert capsys.readouterr().err == ""


def test_unknown_total_is_shown_as_such_until_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = sit_at_a_terminal(monkeypatch)
    let_each_look_take(0.5, monkeypatch)
    with Progress() as progress:
        for _ in range(4):
            progress.advance()
        progress.advance(total=7)
    assert "3/?" in screen.getvalue()
    assert "5/7" in screen.getvalue()


def test_errors_are_followed_by_their_hint(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(InputError("there is no file 'a'", "check the spelling"))
    print_error(OptionError("no"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: there is no file 'a'\n\nhint: check the spelling\nerror: no\n"
