"""Training from the command line."""

import json

import pytest

from helpers.training_runs import write_recipe, write_set


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path, write_set(tmp_path), steps=1)


def test_changed_entries_are_used_and_written_to_the_run(e2pose, recipe, tmp_path):
    done = e2pose("train", recipe, "--set", "seed=7", "--set", "network.width=8", "-o", "run")
    assert done.code == 0
    assert done.out == ""
    assert "step 1/1" in done.err
    assert done.err.splitlines()[-1] == "weights written to run/weights.safetensors"
    kept = json.loads((tmp_path / "run" / "recipe.json").read_text(encoding="utf-8"))
    assert (kept["seed"], kept["network"]["width"], kept["schema"]) == (7, 8, "coco")


def test_misspelt_key_is_one_error_with_a_suggestion(e2pose, recipe, tmp_path):
    done = e2pose("train", recipe, "--set", "optim.stepz=3", "-o", "run")
    assert done.code == 2
    assert len(done.errors) == 1
    assert "did you mean 'optim.steps'" in done.errors[0]
    assert not (tmp_path / "run").exists()


def test_profile_prints_the_time_of_each_phase_and_writes_no_files(e2pose, recipe, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = e2pose("train", recipe, "--profile", "--set", "optim.batch_size=2", "--set", "network.width=8")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    phases = ["waiting", "transfer", "forward", "matching", "losses", "backward", "optimiser"]
    assert [row[0] for row in rows[:8]] == [*phases, "step"]
    assert sum(float(row[3].rstrip("%")) for row in rows[:7]) == pytest.approx(100, abs=0.5)
    assert rows[8][1] == "images/s"
    assert sorted(tmp_path.rglob("*")) == before
    assert e2pose("train", recipe, "--profile", "--resume").code == 2
