"""Training in several processes."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from e2pose.core.errors import AnnotationError
from e2pose.training.losses import Losses
from e2pose.training.sync_norm import SyncBatchNormCPU, synchronise_batch_norms
from e2pose.training.train import train
from helpers.float64 import Float64Reporter, in_double
from helpers.training_runs import RecordingReporter, write_recipe, write_set


@pytest.fixture
def single_process_group(tmp_path):
    distributed.init_process_group("gloo", f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("is_training", [True, False])
def test_synchronised_batch_norm_of_one_process_equals_an_ordinary_one(single_process_group, is_training):
    torch.manual_seed(0)
    plain, shared = nn.Sequential(nn.BatchNorm2d(3)), nn.Sequential(nn.BatchNorm2d(3))
    for network in (plain, shared):
        nn.init.constant_(network[0].weight, 2.0)
        nn.init.constant_(network[0].bias, 0.5)
        network.train(is_training)
    synchronise_batch_norms(shared, torch.device("cpu"))
    assert type(shared[0]) is SyncBatchNormCPU
    x = 5 + 3 * torch.randn(4, 3, 6, 5)
    x[:, 0] *= 1e-3  # variance of about the layer's epsilon
    target, inputs = torch.randn(4, 3, 6, 5), [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [network(value) for network, value in zip((plain, shared), inputs, strict=True)]
    for output in outputs:
        (output * target).sum().backward()
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for ours, theirs in zip(shared[0].parameters(), plain[0].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(shared.state_dict(), plain.state_dict())


def losses_of(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    names = {"total", *(part.name for part in fields(Losses))}
    return [{name: value for name, value in line.items() if name in names} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 2])
def test_two_processes_equal_one(tmp_path: Path, passes):
    recipe = write_recipe(tmp_path, write_set(tmp_path), steps=3)
    changes = ["log_every=1", "augment.flip=0.5", "augment.mosaic=0.5", f"optim.accumulate={passes}"]
    changes.append("optim.clip_norm=1e9")  # clipping would hide a wrong factor of the gradient, as Adam does
    one, two = tmp_path / "one", tmp_path / "two"
    with in_double():
        train(recipe, overrides=changes, output=one, reporter=RecordingReporter())
        train(recipe, overrides=[*changes, "devices=2"], output=two, reporter=Float64Reporter())
    for ours, theirs in zip(losses_of(two), losses_of(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    ours, theirs = (torch.load(run / "checkpoint.pt", weights_only=True) for run in (two, one))
    assert theirs["network"]["head.output.weight"].dtype == torch.float64
    for part in ("network", "average"):
        torch.testing.assert_close(ours[part], theirs[part], rtol=1e-7, atol=1e-9)
    for first, second in zip(*(record["optimizer"]["state"].values() for record in (ours, theirs)), strict=True):
        gradient = second["exp_avg"]
        assert (first["exp_avg"] - gradient).norm() <= 1e-8 * gradient.norm() + 1e-9


@pytest.mark.slow
def test_error_of_one_process_is_raised_unchanged(tmp_path: Path):
    recipe = write_recipe(tmp_path, tmp_path / "nowhere", steps=3)
    with pytest.raises(AnnotationError, match="nowhere") as failure:
        train(recipe, overrides=["devices=2"], output=tmp_path / "run")
    assert failure.value.hint


@pytest.mark.slow
def test_signal_stops_two_processes_with_a_checkpoint(tmp_path: Path):
    recipe, run = write_recipe(tmp_path, write_set(tmp_path), steps=10_000), tmp_path / "run"
    words = ["train", str(recipe), "--set", "devices=2", "--set", "log_every=1", "-o", str(run)]
    process = subprocess.Popen([sys.executable, "-m", "e2pose", *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 2/"):
            process.terminate()
            break
    _, rest = process.communicate(timeout=300)
    assert process.returncode == 143
    assert rest.splitlines()[-1].endswith("continue with --resume")
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] >= 2
    assert list(run.rglob(".*")) == []
