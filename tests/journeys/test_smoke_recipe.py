"""Trainings that take minutes, on pictures that are made."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from e2pose.cli.app import main

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.parametrize(
    ("pictures", "recipe", "goal"),
    [
        pytest.param("stick_people", "smoke", 0.35, id="from nothing"),
        pytest.param("houses", "houses", 0.9, id="five other keypoints from the default model"),
    ],
)
def test_a_recipe_keeps_its_promise(tmp_path, monkeypatch, pictures, recipe, goal):
    monkeypatch.syspath_prepend(ROOT / "examples")  # as for a script that is started
    monkeypatch.setattr(sys, "argv", [f"{pictures}.py", str(tmp_path / pictures)])
    runpy.run_path(str(ROOT / "examples" / f"{pictures}.py"), run_name="__main__")
    run = tmp_path / "run"
    changes = ["--set", f"data.root={tmp_path}", "-o", str(run)]
    assert main(["train", str(ROOT / "recipes" / f"{recipe}.toml"), *changes]) == 0
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["ap"] for line in log if "ap" in line][-1] > goal
