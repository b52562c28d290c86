"""Whole trainings on made pictures, small enough for a test."""

import csv
import json
import os
import resource
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
import torch

from e2pose.core.errors import AnnotationError, OutputError, TrainingError
from e2pose.models.weights import load_weights
from e2pose.training.measure import measure_weights
from e2pose.training.recipe import load_recipe
from e2pose.training.train import train
from helpers.training_runs import Quiet, write_recipe, write_set


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory) -> Path:
    """The folder of an uninterrupted run of six steps."""
    folder = tmp_path_factory.mktemp("whole")
    train(write_recipe(folder, root, steps=6), output=folder / "run", listener=Quiet())
    return folder / "run"


@pytest.fixture
def again(whole, tmp_path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(whole, tmp_path / "again")


def assert_same_weights(first: Path, second: Path) -> None:
    ours, theirs = (load_weights(folder / "weights.safetensors")[0].state_dict() for folder in (first, second))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def assert_nothing_is_left_over(folder: Path) -> None:
    assert [path.name for path in folder.rglob(".*")] == []


def saved_step(folder: Path) -> int:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["step"]


def at(step: int, act):
    """A listener that acts after a step."""
    return Quiet(lambda done: act() if done == step else None)


def assert_it_goes_on_from(step, recipe, run, whole):
    """Checks what a run has left, and that it ends like the uninterrupted one."""
    assert saved_step(run) == step
    assert_nothing_is_left_over(run)
    train(recipe, output=run, resume=True, listener=Quiet())
    assert_same_weights(whole, run)


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(root, whole, tmp_path):
    class KilledError(Exception):
        pass

    def kill():
        raise KilledError

    recipe, run = write_recipe(tmp_path, root, steps=6, save_every=3), tmp_path / "run"
    with pytest.raises(KilledError):
        train(recipe, output=run, listener=at(4, kill))
    train(recipe, output=run, resume=True, listener=Quiet())
    assert_same_weights(whole, run)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [4, 6]  # what was logged after the checkpoint is logged once


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)], ids=["INT", "TERM"]
)
def test_a_signal_ends_a_run_with_a_checkpoint(root, whole, tmp_path, number, end):
    recipe, run = write_recipe(tmp_path, root, steps=6), tmp_path / "run"
    usual = signal.getsignal(number)
    listener = at(2, lambda: os.kill(os.getpid(), number))
    with pytest.raises(end) as ending:
        train(recipe, output=run, listener=listener)
    assert getattr(ending.value, "code", 143) == 143
    assert signal.getsignal(number) is usual
    assert listener.is_closed
    assert "--resume" in listener.lines[-1]
    assert_it_goes_on_from(2, recipe, run, whole)


@contextmanager
def largest_file(size: int):
    """Lets the system refuse to write more into a file, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("lost", ["weights.safetensors", "checkpoint.pt"])
def test_a_full_disk_leaves_the_checkpoint_before(root, whole, tmp_path, lost):
    recipe, run = write_recipe(tmp_path, root, steps=6, save_every=2), tmp_path / "run"
    room = {"weights.safetensors": 100_000, "checkpoint.pt": 12_000_000}[lost]
    disk = largest_file(room)
    with pytest.raises(OutputError, match=rf"{lost}'.*") as failure:
        train(recipe, output=run, listener=at(3, disk.__enter__))
    disk.__exit__(None, None, None)
    assert "disk space" in failure.value.hint
    assert_it_goes_on_from(2, recipe, run, whole)


def test_a_diverging_run_leaves_the_last_good_checkpoint(root, whole, tmp_path):
    recipe, run = write_recipe(tmp_path, root, steps=6, save_every=3), tmp_path / "run"

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(recipe, output=run, listener=at(3, interrupt))
    with pytest.raises(TrainingError, match=r"diverged: at step [345] ") as failure:
        train(recipe, overrides=["optim.learning_rate=1e30"], output=run, resume=True, listener=Quiet())
    assert "optim.learning_rate" in failure.value.hint
    assert_it_goes_on_from(3, recipe, run, whole)


def test_a_full_memory_leaves_the_checkpoint_before(root, whole, tmp_path):
    recipe, run = write_recipe(tmp_path, root, steps=6, save_every=3), tmp_path / "run"

    def run_out():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(TrainingError, match="not enough memory for 4 images of 96x96") as failure:
        train(recipe, output=run, listener=at(4, run_out))
    assert "optim.accumulate" in failure.value.hint
    assert_it_goes_on_from(3, recipe, run, whole)


def test_runs_are_not_overwritten_and_only_runs_can_be_resumed(root, again, tmp_path):
    recipe = write_recipe(tmp_path, root, steps=1)
    with pytest.raises(TrainingError, match="cannot resume"):
        train(recipe, output=tmp_path / "run", resume=True, listener=Quiet())
    with pytest.raises(TrainingError, match="already holds a run"):
        train(recipe, output=again, listener=Quiet())


@pytest.mark.parametrize("change", ["network.width=16", "network.strides=[16, 32, 64]", "schema=crowdpose"])
def test_a_run_is_not_resumed_with_another_network(root, again, tmp_path, change):
    recipe = write_recipe(tmp_path, root, steps=8)
    with pytest.raises(TrainingError, match=r"another network than the recipe's: (width|strides|keypoints)") as failure:
        train(recipe, overrides=[change], output=again, resume=True, listener=Quiet())
    assert "initial.weights" in failure.value.hint


def test_a_resumed_run_does_not_look_for_the_weights_that_it_started_from(root, again, tmp_path):
    recipe = write_recipe(tmp_path, root, steps=6)
    for key in ("backbone_weights", "weights"):
        train(recipe, overrides=[f"initial.{key}=nowhere"], output=again, resume=True, listener=Quiet())


def test_a_training_says_what_is_wrong_with_its_data(root, tmp_path):
    recipe = write_recipe(tmp_path, tmp_path / "nowhere", steps=1)
    with pytest.raises(AnnotationError, match="nowhere"):
        train(recipe, output=tmp_path / "run", listener=Quiet())


def test_a_wrong_image_is_one_clear_error_from_whatever_process(tmp_path):
    root = write_set(tmp_path)
    cv2.imwrite(str(root / "made" / "images" / "1.png"), cv2.imread(str(root / "made" / "images" / "1.png"))[:50])
    recipe = write_recipe(tmp_path, root, steps=2)
    with pytest.raises(AnnotationError, match=r"^'[^\n]*1\.png' has 50x96 pixels") as failure:
        train(recipe, overrides=["workers=1", "data.cache=false"], output=tmp_path / "run", listener=Quiet())
    assert "Traceback" not in failure.value.message
    assert failure.value.hint


def test_a_run_leaves_everything_that_it_was_made_of(root, whole):
    assert load_recipe(whole / "recipe.json") == load_recipe(write_recipe(whole, root, steps=6))
    environment = json.loads((whole / "environment.json").read_text(encoding="utf-8"))
    assert environment["torch"] == torch.__version__
    assert environment["device"] == "cpu"
    assert environment["commit"] is None or len(environment["commit"].removesuffix("-dirty")) == 40
    rows = list(csv.DictReader((whole / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["step"] for row in rows] == ["4", "6"]
    assert float(rows[0]["total"]) > 0
    assert cv2.imread(str(whole / "curves.png")).std() > 0


def write_set_of(count: int, folder: Path) -> Path:
    """Writes the set `made` with its picture listed several times."""
    root = write_set(folder)
    path = root / "made" / "annotations.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    numbers = range(1, count + 1)
    record["images"] = [{**record["images"][0], "id": number} for number in numbers]
    record["annotations"] = [
        {**person, "image_id": number, "id": 2 * number + index}
        for number in numbers
        for index, person in enumerate(record["annotations"])
    ]
    path.write_text(json.dumps(record), encoding="utf-8")
    return root


@pytest.mark.slow
def test_a_picture_is_learned_by_heart_from_the_default_model(tmp_path):
    recipe, run = write_recipe(tmp_path, write_set_of(2, tmp_path), steps=120), tmp_path / "run"
    network = ["strides=[16,32,64]", "width=128", "head_depth=2", "refinement.steps=2"]
    changes = [
        "initial.weights=default",
        "data.sets.0.holdout=2",
        "optim.batch_size=2",
        "optim.learning_rate=2e-3",
        "loss.distance=1",
    ]
    train(recipe, overrides=[*changes, *(f"network.{change}" for change in network)], output=run, listener=Quiet())
    numbers = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert numbers["ap"] > 0.9


def test_held_out_images_are_measured_and_drawn_while_training(tmp_path):
    root = write_set_of(4, tmp_path)
    listener, recipe = Quiet(), write_recipe(tmp_path, root, steps=3)
    train(
        recipe,
        overrides=["data.sets.0.holdout=2", "evaluate_every=2", "preview_every=2"],
        output=tmp_path / "run",
        listener=listener,
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    measured = [line for line in lines if "ap" in line]
    assert [line["step"] for line in measured] == [2, 3]
    assert all(0 <= line["ap"] <= 1 for line in measured)
    found = measure_weights(tmp_path / "run" / "weights.safetensors", recipe, overrides=["data.sets.0.holdout=2"])
    assert found == pytest.approx({name: measured[-1][name] for name in found})
    assert sum("held out" in line for line in listener.lines) == 3  # how many there are, and both measurements
    sheets = sorted((tmp_path / "run" / "previews").iterdir())
    assert [sheet.name for sheet in sheets] == ["0000002.jpg", "0000003.jpg"]
    assert cv2.imread(str(sheets[0])).shape == (320, 644, 3)
