"""The command line as a whole: home folders in words, warnings, hints for words in the place of a command."""

import os
import warnings
from pathlib import Path

import pytest

from e2pose.cli import app
from e2pose.cli.app import main
from e2pose.core.errors import SkippedImagesWarning


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("~/a.jpg", "{home}/a.jpg"),
        ("--output=~/a.json", "--output={home}/a.json"),
        ("~", "{home}"),
        ("a~/b", "a~/b"),
        ("--threshold=0.5", "--threshold=0.5"),
        ("~nobody/a.jpg", "~nobody/a.jpg"),
        ("-o", "-o"),
    ],
)
def test_home_folder_is_expanded_in_words_and_values(home: Path, word: str, expanded: str) -> None:
    assert app._expand_home([word]) == [str(expanded).format(home=home)]


def test_option_with_a_home_folder_reaches_the_command(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--output=~/none.onnx"]) == 2
    assert main(["train", "~/none.toml"]) == 2
    assert str(home / "none.toml") in capfd.readouterr().err


def test_own_warnings_are_one_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    others = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: others.append(str(message)))

    def run(_words: list[str]) -> int:
        warnings.showwarning(SkippedImagesWarning("two pages"), SkippedImagesWarning, "a.py", 1)
        warnings.showwarning(UserWarning("not ours"), UserWarning, "a.py", 1)
        return 0

    monkeypatch.setattr(app, "build", lambda: run)
    assert main([]) == 0
    assert capfd.readouterr().err == "warning: two pages\n"
    assert others == ["not ours"]


@pytest.mark.parametrize("word", ["a.jpg", "clip.mp4", "photos/", "*.jpg", "0", "rtsp://x/1", "screen:0", "~/a"])
def test_input_without_a_command_suggests_predict(word: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([word, "--track"]) == 2
    assert "hint: did you mean: e2pose predict" in capfd.readouterr().err


@pytest.mark.parametrize("word", ["predcit", "foo"])
def test_misspelt_command_does_not_suggest_predict_with_it(word: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    assert f"e2pose predict {word}" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("batch photos/", "e2pose batch requires --output"),
        ("batch photos/ -o", "-o requires a value"),
        ("train", "e2pose train requires RECIPE"),
        ("serve --port", "--port requires a value"),
        ("serve --input-size 320", "parameter --input-size requires 2 positional arguments"),
    ],
)
def test_missing_argument_is_named(words: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    err = capfd.readouterr().err
    assert message in err
    assert "hint: " in err


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove the current folder")
def test_missing_current_folder_is_an_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["predict", "../a.jpg", "-o", "out.json"]) == 1
    assert "the current folder does not exist any more" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows reports long names otherwise")
@pytest.mark.parametrize(
    "command",
    [
        ["doctor", "data", "{name}"],
        ["train", "{name}.toml"],
        ["evaluate", "default", "{name}.json", "."],
        ["convert", "{name}.onnx", "a.onnx"],
        ["batch", "a.jpg", "-o", "{name}"],
        ["predict", "{name}.jpg"],
    ],
    ids=lambda command: command[0],
)
def test_name_that_the_file_system_rejects_is_an_error(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([word.format(name="x" * 300) for word in command]) in (1, 2)
    printed = capfd.readouterr().err
    assert "error: " in printed
    assert "hint: " in printed
    assert "Traceback" not in printed
