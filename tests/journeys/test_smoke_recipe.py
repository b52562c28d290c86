"""Trainings on synthetic images that take minutes."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from e2pose.cli.app import main

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.parametrize(
    ("example", "recipe", "min_ap"),
    [
        pytest.param("stick_people", "smoke", 0.35, id="from random weights"),
        pytest.param("houses", "houses", 0.9, id="fine-tuned on other keypoints"),
    ],
)
def test_recipe_reaches_its_ap(tmp_path, monkeypatch, example, recipe, min_ap):
    monkeypatch.syspath_prepend(ROOT / "examples")  # as for `python examples/...`
    monkeypatch.setattr(sys, "argv", [f"{example}.py", str(tmp_path / example)])
    runpy.run_path(str(ROOT / "examples" / f"{example}.py"), run_name="__main__")
    run = tmp_path / "run"
    changes = ["--set", f"data.root={tmp_path}", "-o", str(run)]
    assert main(["train", recipe, *changes]) == 0
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["ap"] for line in log if "ap" in line][-1] > min_ap
