"""Whole trainings on a synthetic image set, small enough for a test."""

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

from e2pose.core.errors import AnnotationError, InputError, OutputError, TrainingError
from e2pose.data.image_sets import open_set
from e2pose.inference.estimator import Estimator
from e2pose.models.weights import load_weights
from e2pose.runtimes.torch import TorchRuntime
from e2pose.training.evaluate import evaluate_sets
from e2pose.training.recipe import load_recipe
from e2pose.training.train import train
from helpers.training_runs import RecordingReporter, write_recipe, write_set


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory) -> Path:
    """The folder of an uninterrupted run of six steps."""
    folder = tmp_path_factory.mktemp("whole")
    train(write_recipe(folder, root, steps=6), output=folder / "run", reporter=RecordingReporter())
    return folder / "run"


@pytest.fixture
def copied(whole, tmp_path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(whole, tmp_path / "copied")


def assert_same_weights(first: Path, second: Path) -> None:
    ours, theirs = (load_weights(folder / "weights.safetensors")[0].state_dict() for folder in (first, second))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def assert_no_temporary_files(folder: Path) -> None:
    assert [path.name for path in folder.rglob(".*")] == []


def saved_step(folder: Path) -> int:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["step"]


def at(step: int, act):
    """A reporter that calls a function after a step."""
    return RecordingReporter(lambda done: act() if done == step else None)


def assert_resumes_from(step, recipe, run, whole):
    """Checks the files of a run, and that it ends like the uninterrupted one."""
    assert saved_step(run) == step
    assert_no_temporary_files(run)
    train(recipe, output=run, resume=True, reporter=RecordingReporter())
    assert_same_weights(whole, run)


def test_killed_and_resumed_run_equals_an_uninterrupted_one(root, whole, tmp_path):
    class KilledError(Exception):
        pass

    def kill():
        raise KilledError

    recipe, run = write_recipe(tmp_path, root, steps=6, save_every=3), tmp_path / "run"
    with pytest.raises(KilledError):
        train(recipe, output=run, reporter=at(4, kill))
    train(recipe, output=run, resume=True, reporter=RecordingReporter())
    assert_same_weights(whole, run)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [4, 6]  # steps after the checkpoint are logged once


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)], ids=["INT", "TERM"]
)
def test_signal_stops_a_run_with_a_checkpoint(root, whole, tmp_path, number, end):
    recipe, run = write_recipe(tmp_path, root, steps=6), tmp_path / "run"
    usual = signal.getsignal(number)
    reporter = at(2, lambda: os.kill(os.getpid(), number))
    with pytest.raises(end) as ending:
        train(recipe, output=run, reporter=reporter)
    assert getattr(ending.value, "code", 143) == 143
    assert signal.getsignal(number) is usual
    assert reporter.is_closed
    assert "--resume" in reporter.messages[-1]
    assert_resumes_from(2, recipe, run, whole)


@contextmanager
def largest_file(size: int):
    """Limits the size of written files, so that writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("lost", ["weights.safetensors", "checkpoint.pt"])
def test_full_disk_keeps_the_previous_checkpoint(root, whole, tmp_path, lost):
    recipe, run = write_recipe(tmp_path, root, steps=6, save_every=2), tmp_path / "run"
    room = {"weights.safetensors": 100_000, "checkpoint.pt": 12_000_000}[lost]
    disk = largest_file(room)
    with pytest.raises(OutputError, match=rf"{lost}'.*") as failure:
        train(recipe, output=run, reporter=at(3, disk.__enter__))
    disk.__exit__(None, None, None)
    assert "disk space" in failure.value.hint
    assert_resumes_from(2, recipe, run, whole)


def test_diverging_run_keeps_the_last_good_checkpoint(root, whole, tmp_path):
    recipe, run = write_recipe(tmp_path, root, steps=6, save_every=3), tmp_path / "run"

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(recipe, output=run, reporter=at(3, interrupt))
    with pytest.raises(TrainingError, match=r"diverged at step [345]: ") as failure:
        train(recipe, overrides=["optim.learning_rate=1e30"], output=run, resume=True, reporter=RecordingReporter())
    assert "optim.learning_rate" in failure.value.hint
    assert_resumes_from(3, recipe, run, whole)


def test_full_memory_keeps_the_previous_checkpoint(root, whole, tmp_path):
    recipe, run = write_recipe(tmp_path, root, steps=6, save_every=3), tmp_path / "run"

    def run_out():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(TrainingError, match="out of memory with 4 images of 96x96") as failure:
        train(recipe, output=run, reporter=at(4, run_out))
    assert "optim.accumulate" in failure.value.hint
    assert_resumes_from(3, recipe, run, whole)


def test_runs_are_not_overwritten_and_only_runs_can_be_resumed(root, copied, tmp_path):
    recipe = write_recipe(tmp_path, root, steps=1)
    with pytest.raises(TrainingError, match="cannot resume"):
        train(recipe, output=tmp_path / "run", resume=True, reporter=RecordingReporter())
    with pytest.raises(TrainingError, match="already contains a run"):
        train(recipe, output=copied, reporter=RecordingReporter())


@pytest.mark.parametrize("change", ["network.width=16", "network.strides=[16, 32, 64]", "schema=crowdpose"])
def test_resuming_with_another_network_is_rejected(root, copied, tmp_path, change):
    recipe = write_recipe(tmp_path, root, steps=8)
    with pytest.raises(TrainingError, match=r"another network than the recipe: (width|strides|keypoints)") as failure:
        train(recipe, overrides=[change], output=copied, resume=True, reporter=RecordingReporter())
    assert "initial.weights" in failure.value.hint


def test_resumed_run_does_not_need_its_initial_weights(root, copied, tmp_path):
    recipe = write_recipe(tmp_path, root, steps=6)
    for key in ("backbone_weights", "weights"):
        train(recipe, overrides=[f"initial.{key}=nowhere"], output=copied, resume=True, reporter=RecordingReporter())


def test_missing_image_set_is_reported(root, tmp_path):
    recipe = write_recipe(tmp_path, tmp_path / "nowhere", steps=1)
    with pytest.raises(AnnotationError, match="nowhere"):
        train(recipe, output=tmp_path / "run", reporter=RecordingReporter())


def test_wrong_image_in_a_worker_is_one_error_without_traceback(tmp_path):
    root = write_set(tmp_path)
    cv2.imwrite(
        str(root / "synthetic" / "images" / "1.png"), cv2.imread(str(root / "synthetic" / "images" / "1.png"))[:50]
    )
    recipe = write_recipe(tmp_path, root, steps=2)
    with pytest.raises(
        AnnotationError, match=r"^no image of 'synthetic' .*1\.png' is 96 pixels wide and 50"
    ) as failure:
        train(
            recipe, overrides=["workers=1", "data.cache=false"], output=tmp_path / "run", reporter=RecordingReporter()
        )
    assert "Traceback" not in failure.value.message
    assert failure.value.hint


def test_run_folder_contains_recipe_environment_table_and_curves(root, whole):
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
    """Writes the set `synthetic` with its image listed several times."""
    root = write_set(folder)
    path = root / "synthetic" / "annotations.json"
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
def test_default_model_overfits_one_image(tmp_path):
    recipe, run = write_recipe(tmp_path, write_set_of(2, tmp_path), steps=80), tmp_path / "run"
    network = ["strides=[16,32,64]", "width=128", "head_depth=2", "refinement.steps=2"]
    changes = [
        "initial.weights=default",
        "data.sets.0.holdout=2",
        "optim.batch_size=2",
        "optim.learning_rate=2e-3",
        "loss.distance=1",
    ]
    train(
        recipe,
        overrides=[*changes, *(f"network.{change}" for change in network)],
        output=run,
        reporter=RecordingReporter(),
    )
    numbers = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert numbers["ap"] > 0.9


def test_held_out_images_are_evaluated_and_drawn_during_training(tmp_path):
    root = write_set_of(4, tmp_path)
    reporter, recipe = RecordingReporter(), write_recipe(tmp_path, root, steps=3)
    train(
        recipe,
        overrides=["data.sets.0.holdout=2", "evaluate_every=2", "preview_every=2"],
        output=tmp_path / "run",
        reporter=reporter,
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    evaluated = [line for line in lines if "ap" in line]
    assert [line["step"] for line in evaluated] == [2, 3]
    assert all(0 <= line["ap"] <= 1 for line in evaluated)
    recipe = load_recipe(recipe, ["data.sets.0.holdout=2"])
    network, spec = load_weights(tmp_path / "run" / "weights.safetensors")
    sets = [open_set(recipe.data.sets[0], tmp_path, spec.schema)]
    found = evaluate_sets(Estimator(TorchRuntime(network, spec)), recipe, sets)
    assert found == pytest.approx({name: evaluated[-1][name] for name in found})
    assert sum("held-out images: ap" in line for line in reporter.messages) == 2
    sheets = sorted((tmp_path / "run" / "previews").iterdir())
    assert [sheet.name for sheet in sheets] == ["0000002.jpg", "0000003.jpg"]
    assert cv2.imread(str(sheets[0])).shape == (320, 644, 3)


def write_set_of_files(count: int, folder: Path) -> Path:
    """Writes the set `synthetic` with copies of its image in files of their own."""
    root = write_set_of(count, folder)
    path = root / "synthetic" / "annotations.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for image in record["images"][1:]:
        image["file_name"] = f"{image['id']}.png"
        shutil.copy(root / "synthetic" / "images" / "1.png", root / "synthetic" / "images" / image["file_name"])
    path.write_text(json.dumps(record), encoding="utf-8")
    return root


def test_image_that_disappears_during_a_training_is_replaced_and_reported(tmp_path):
    root = write_set_of_files(3, tmp_path)
    lost = root / "synthetic" / "images" / "2.png"
    reporter = at(1, lost.unlink)
    recipe, run = write_recipe(tmp_path, root, steps=4), tmp_path / "run"
    changes = ["data.cache=false", "data.sets.0.holdout=3", "evaluate_every=2", "log_every=2", "threads=1"]
    train(recipe, overrides=changes, output=run, reporter=reporter)
    replaced = [message for message in reporter.messages if "cannot be read any more" in message]
    assert len(replaced) == 1, "the count is reported when it grows"
    assert replaced[0].startswith("replaced images that cannot be read any more: 1, the last one: there is no file")
    assert saved_step(run) == 4


def test_training_stops_with_a_checkpoint_if_all_images_disappear(tmp_path):
    root = write_set_of_files(3, tmp_path)
    images = root / "synthetic" / "images"
    reporter = at(2, lambda: images.rename(tmp_path / "elsewhere"))
    recipe, run = write_recipe(tmp_path, root, steps=4), tmp_path / "run"
    changes = ["data.cache=false", "threads=1"]
    with pytest.raises(InputError, match="images in succession cannot be read any more"):
        train(recipe, overrides=changes, output=run, reporter=reporter)
    assert reporter.messages[-1] == "stopped after step 2; continue with --resume"
    (tmp_path / "elsewhere").rename(images)
    assert saved_step(run) == 2
    train(recipe, overrides=changes, output=run, resume=True, reporter=RecordingReporter())
    assert saved_step(run) == 4


def test_held_out_images_that_disappear_do_not_end_the_training(tmp_path):
    root = write_set_of_files(3, tmp_path)
    reporter = at(1, (root / "synthetic" / "images" / "1.png").unlink)
    recipe, run = write_recipe(tmp_path, root, steps=3), tmp_path / "run"
    changes = ["data.sets.0.holdout=3", "evaluate_every=2", "threads=1"]
    train(recipe, overrides=changes, output=run, reporter=reporter)
    assert saved_step(run) == 3
    assert sum("held-out images were not evaluated: " in message for message in reporter.messages) == 2
