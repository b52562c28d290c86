"""Training from nothing, as far as two minutes go."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from e2pose.cli.app import main

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_smoke_recipe_keeps_its_promise(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stick_people.py", str(tmp_path / "stick_people")])
    runpy.run_path(str(ROOT / "examples" / "stick_people.py"), run_name="__main__")
    run = tmp_path / "run"
    changes = ["--set", f"data.root={tmp_path}", "-o", str(run)]
    assert main(["train", str(ROOT / "recipes" / "smoke.toml"), *changes]) == 0
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["ap"] for line in log if "ap" in line][-1] > 0.35
