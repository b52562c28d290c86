import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from e2pose.zoo.authors import read_authors_models
from e2pose.zoo.catalogue import read_catalogue


def test_models_lists_the_catalogue_and_the_authors_models(e2pose) -> None:
    done = e2pose("models")
    entries, default = read_catalogue()
    assert done.code == 0
    assert done.err == ""
    assert f"{default} (default)" in done.out
    authors = read_authors_models()
    assert len(done.out.splitlines()) == 1 + len(entries) + 3 + len(authors)
    assert all(
        any({name, model.url} <= set(line.split()) for line in done.out.splitlines()) for name, model in authors.items()
    )
    assert "4d2b04917d69ab8f6ac1a8b49aba90a5ffdf9078d19e59c9aac1efffda1e6d7d" in done.out


def test_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "e2pose", "models"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_version_is_printed(e2pose) -> None:
    done = e2pose("--version")
    assert (done.code, done.out.strip()) == (0, version("e2pose"))


def test_no_command_shows_help(e2pose) -> None:
    done = e2pose()
    assert done.code == 0
    assert "predict" in done.out


@pytest.mark.parametrize(
    "words", [["train", "missing.toml"], ["export", "missing.safetensors", "out.onnx"], ["train", "empty.toml"]]
)
def test_missing_or_empty_file_is_one_error(e2pose, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "empty.toml").touch()
    done = e2pose(*words)
    assert done.code in (1, 2)
    assert len(done.errors) == 1, done.err
    assert words[1] in done.errors[0]
    assert {path.name for path in tmp_path.iterdir()} == {"empty.toml"}
