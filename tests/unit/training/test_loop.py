import numpy as np
import pytest
import torch
from torch import nn

from e2pose.core.errors import TrainingError
from e2pose.data.targets import collate_labels
from e2pose.training.checkpoint import TrainingState
from e2pose.training.devices import open_fabric
from e2pose.training.ema import WeightAverage
from e2pose.training.loop import Trainer
from e2pose.training.optim import build_optimizer
from e2pose.training.phases import PHASES, PhaseClock, phase_table
from e2pose.training.recipe import load_recipe
from e2pose.training.set_up import new_network, new_spec, open_batches, open_training_images
from e2pose.training.stopping import explained
from helpers.float64 import in_double
from helpers.targets import SCHEMA, labels_of
from helpers.training_runs import write_recipe


@pytest.fixture
def recipe(tmp_path):
    return load_recipe(write_recipe(tmp_path, tmp_path, steps=5))


@pytest.mark.parametrize(("devices", "passes"), [(1, 1), (2, 1), (1, 4), (2, 3)])
def test_processes_and_passes_share_the_images_of_a_step(recipe, devices, passes):
    optim = recipe.optim.model_copy(update={"batch_size": 12, "accumulate": passes})
    recipe = recipe.model_copy(update={"devices": devices, "optim": optim})
    shares = [
        open_batches(recipe, open_training_images(recipe, [], SCHEMA), process).image_numbers(7)
        for process in range(devices)
    ]
    assert sorted(number for share in shares for number in share) == list(range(84, 96))
    assert len({len(share) for share in shares}) == 1
    first_pass = sorted(number for share in shares for number in share[: 12 // devices // passes])
    assert first_pass == list(range(84, 84 + 12 // passes))  # so that batch norms see the same, whoever works


def made_trainer(recipe):
    """Always the same network, whose batch norms do not learn, and what trains it."""
    torch.manual_seed(0)
    network = new_network(recipe, SCHEMA, pretrained=False, tell=print)
    spec = new_spec(recipe, SCHEMA)
    state = TrainingState(network, WeightAverage(network, 0.9), build_optimizer(network, recipe.optim), spec)
    for layer in network.eval().modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.01, 0.1)
    return network, state, Trainer(open_fabric(recipe), recipe, SCHEMA, state, PhaseClock(torch.device("cpu")))


def one_step(recipe, parts):
    """The losses of one step, and the state after it."""
    _, state, trainer = made_trainer(recipe)
    return trainer.step(parts, sum(target.present.sum() for _, target in parts)), state


def made_parts(*counts):
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (len(counts), 3, 96, 96), dtype=np.uint8))
    labels = [labels_of(rng, count, (96, 96), size=40) for count in counts]
    return pixels, labels


def test_a_step_in_several_passes_equals_one_in_a_single_pass(recipe):
    pixels, labels = made_parts(2, 0, 1, 3)
    halves = [(pixels[:1], labels[:1]), (pixels[1:], labels[1:])]
    with in_double():
        whole, one = one_step(recipe, [(pixels, collate_labels(labels))])
        shared, other = one_step(recipe, [(part, collate_labels(some)) for part, some in halves])
    torch.testing.assert_close(shared, whole, rtol=1e-9, atol=1e-12)
    for first, second in zip(one.optimizer.state.values(), other.optimizer.state.values(), strict=True):
        gradient = first["exp_avg"]  # a tenth of it
        assert (second["exp_avg"] - gradient).norm() <= 1e-8 * gradient.norm() + 1e-12


def test_half_precision_is_that_of_the_pass_and_not_of_the_weights(recipe):
    pixels, labels = made_parts(2, 1)
    parts = [(pixels, collate_labels(labels))]
    exact, _ = one_step(recipe, parts)
    rough, state = one_step(
        recipe.model_copy(update={"optim": recipe.optim.model_copy(update={"precision": "bf16"})}), parts
    )
    assert rough.isfinite().all()
    assert not torch.equal(rough, exact)
    assert {value.dtype for value in state.network.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    ("spoilt", "message"), [("weights", "the network's answer"), ("gradient", "the gradient is nan")]
)
def test_numbers_that_are_not_finite_change_nothing(recipe, spoilt, message):
    pixels, labels = made_parts(1)
    network, state, trainer = made_trainer(recipe)
    if spoilt == "weights":
        network.head.output.bias.data[0] = np.nan
    else:
        network.head.output.bias.register_hook(lambda gradient: gradient * np.nan)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    with pytest.raises(TrainingError, match=f"at step 0 {message}") as failure:
        trainer.step([(pixels, collate_labels(labels))], torch.tensor(1))
    assert "learning_rate" in failure.value.hint
    assert state.step == 0
    for old, new in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "4 images of 96x96"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "4 images of 96x96"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "prepares images died"),
    ],
)
def test_a_machine_that_has_had_enough_is_explained(recipe, error, message):
    with pytest.raises(TrainingError, match=message) as failure, explained(recipe):
        raise error
    assert "--resume" in failure.value.hint


def test_other_errors_are_left_alone(recipe):
    with pytest.raises(RuntimeError, match="shapes do not fit"), explained(recipe):
        raise RuntimeError("shapes do not fit")


def test_time_counts_for_its_phase_and_not_in_pauses(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("e2pose.training.phases.perf_counter", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    clock = PhaseClock(torch.device("cpu"))
    with clock("forward"):
        wait(2)
    with clock.paused():
        wait(10)
    with clock("waiting"):
        wait(1)
    wait(1)
    assert clock.elapsed == 4
    assert clock.seconds == {**dict.fromkeys(PHASES, 0.0), "forward": 2, "waiting": 1}
    table = phase_table(clock.seconds, batch_size=6)
    assert "forward       2000.0 ms   66.7%" in table
    assert table.endswith("2.0 images/s")
    clock.restart()
    assert clock.elapsed == sum(clock.seconds.values()) == 0
