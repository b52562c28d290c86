"""The ablation script on a synthetic image set."""

import importlib
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from e2pose.training.recipe import load_recipe
from helpers.training_runs import write_recipe, write_set

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ablations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module("ablations")


def test_every_variant_changes_the_recipe_validly(ablations) -> None:
    recipes = [load_recipe("ablation", changes) for changes in ablations.VARIANTS.values()]
    assert all(recipe != other for index, recipe in enumerate(recipes) for other in recipes[:index])


@pytest.mark.slow
def test_every_variant_is_trained_once_and_has_a_row(ablations, tmp_path, monkeypatch, capfd) -> None:
    plain, coarse, direct = "as the recipe", "strides 32 to 512", "without refinement"
    monkeypatch.setattr(ablations, "VARIANTS", {name: ablations.VARIANTS[name] for name in (plain, coarse, direct)})
    root = write_set(tmp_path / "data")
    annotations = root / "synthetic" / "annotations.json"
    record = json.loads(annotations.read_text(encoding="utf-8"))
    record["images"].append({**record["images"][0], "id": 2, "file_name": "2.png"})
    record["annotations"] += [{**entry, "id": entry["id"] + 100, "image_id": 2} for entry in record["annotations"]]
    annotations.write_text(json.dumps(record), encoding="utf-8")
    shutil.copy(root / "synthetic" / "images" / "1.png", root / "synthetic" / "images" / "2.png")
    recipe = write_recipe(tmp_path, root, steps=1)
    changes = [
        "--set",
        "data.sets.0.holdout=2",
        "--set",
        "network.refinement.steps=1",
        "--evaluate",
        "input_size_hw=[192,192]",
    ]

    def table(*options: str) -> list[list[str]]:
        monkeypatch.setattr(sys, "argv", ["ablations.py", str(recipe), str(tmp_path / "runs"), *changes, *options])
        ablations.main()
        lines = [line.strip("| ").split(" | ") for line in capfd.readouterr().out.splitlines()]
        assert [cells[0] for cells in lines[2:]] == [plain, coarse, direct]
        return lines

    monkeypatch.setattr("e2pose.training.profile._NUM_MEASURED_STEPS", 1)
    monkeypatch.setattr("e2pose.training.profile._NUM_WARM_UP_STEPS", 0)
    costs = {cells[0]: cells[1:] for cells in table("--cost")[2:]}
    assert all(cells[:4] == ["-"] * 4 and float(cells[4]) > 0 for cells in costs.values())
    assert not list((tmp_path / "runs").rglob("checkpoint.pt"))
    parameters, macs = ({name: float(cells[column]) for name, cells in costs.items()} for column in (5, 6))
    assert parameters[coarse] > parameters[plain] > parameters[direct]  # more levels have more parameters
    assert macs[plain] > max(macs[coarse], macs[direct])
    first = table()
    assert all(0 <= float(cells[1]) <= 100 for cells in first[2:])
    assert [cells[5:] for cells in first[2:]] == [cells[4:] for cells in costs.values()]
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("checkpoint.pt")}
    assert len(stamps) == len(first) - 2
    assert table() == first
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
