"""One training step: passes, precision, learning rates, clipping and divergence."""

import numpy as np
import pytest
import torch
from torch import nn

from e2pose.core.errors import TrainingError
from e2pose.data.batches import Batches
from e2pose.data.targets import collate_labels
from e2pose.training.checkpoint import TrainingState
from e2pose.training.devices import open_fabric
from e2pose.training.image_data import open_training_images
from e2pose.training.interrupts import StoppedError, StopRequest
from e2pose.training.layout import Layout
from e2pose.training.loop import Trainer, set_training_mode, train_steps
from e2pose.training.losses import compute_losses
from e2pose.training.matcher import match
from e2pose.training.optim import WeightAverage, build_optimizer
from e2pose.training.recipe import load_recipe
from e2pose.training.set_up import new_network, new_spec, open_batches
from e2pose.training.step_timer import PHASES, StepTimer
from helpers.float64 import in_double
from helpers.targets import SCHEMA, labels_of
from helpers.training_runs import write_recipe


@pytest.fixture
def load(tmp_path):
    """Returns the recipe of the tests with changes."""
    path = write_recipe(tmp_path, tmp_path, steps=5)
    return lambda *overrides: load_recipe(path, overrides)


@pytest.mark.parametrize(("devices", "passes"), [(1, 1), (2, 1), (1, 4), (2, 3)])
def test_processes_and_passes_divide_the_images_of_a_step(load, devices, passes):
    recipe = load(f"devices={devices}", "optim.batch_size=12", f"optim.accumulate={passes}")
    parts = [
        open_batches(recipe, open_training_images(recipe, [], SCHEMA), process).image_numbers(7)
        for process in range(devices)
    ]
    assert sorted(number for part in parts for number in part) == list(range(84, 96))
    assert len({len(part) for part in parts}) == 1
    first_pass = sorted(number for part in parts for number in part[: 12 // devices // passes])
    assert first_pass == list(range(84, 84 + 12 // passes))  # batch norms use the same images for any `devices`


def new_trainer(recipe):
    """A trainer of the same network each time, whose batch norms do not learn."""
    torch.manual_seed(0)
    network = new_network(recipe, SCHEMA)
    spec, fabric = new_spec(recipe, SCHEMA), open_fabric(recipe)
    average = WeightAverage(network, recipe.optim.ema_decay)
    optimizer = build_optimizer(network, recipe.optim)
    state = TrainingState(network, average, optimizer, fabric.strategy.precision, spec)
    for layer in network.eval().modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.01, 0.1)
    return Trainer(fabric, recipe, SCHEMA, state, StepTimer(torch.device("cpu")))


def one_step(recipe, batch):
    """The losses of one step, and the state after it."""
    trainer = new_trainer(recipe)
    return trainer.step(batch, sum(target.present.sum() for _, target in batch)), trainer.state


def new_images(*counts):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (len(counts), 3, 96, 96), dtype=np.uint8))
    return images, [labels_of(rng, count, (96, 96), size=40) for count in counts]


def single_pass(*counts):
    images, labels = new_images(*counts)
    return [(images, collate_labels(labels))]


def gradients_of(state):
    """The gradients of the first step: Adam's first moment is a tenth of it."""
    return [10 * moments["exp_avg"] for moments in state.optimizer.state.values()]


def test_several_passes_equal_a_single_pass(load):
    images, labels = new_images(2, 0, 1, 3)
    halves = [(images[:1], labels[:1]), (images[1:], labels[1:])]
    recipe = load("optim.clip_norm=1e9")
    with in_double():
        whole, one = one_step(recipe, [(images, collate_labels(labels))])
        shared, other = one_step(recipe, [(part, collate_labels(some)) for part, some in halves])
    torch.testing.assert_close(shared, whole, rtol=1e-9, atol=1e-12)
    for first, second in zip(gradients_of(one), gradients_of(other), strict=True):
        assert (second - first).norm() <= 1e-8 * first.norm() + 1e-12


def test_gradient_is_that_of_the_total_loss_of_the_batch_alone(load):
    trainer = new_trainer(load("optim.clip_norm=1e9"))
    images, labels = new_images(2, 1)
    batch = [(images[:1], collate_labels(labels[:1])), (images[1:], collate_labels(labels[1:]))]
    trainer.step(batch, torch.tensor(3))
    network, recipe = trainer.state.network, trainer.recipe
    layout = Layout.of(recipe.input_size_hw, recipe.network.strides, SCHEMA)
    total = 0
    for part, target in batch:
        prediction = network(part)
        matches = match(prediction, target, layout, recipe.match)
        losses = compute_losses(prediction, target, matches, layout, recipe.loss, num_persons=torch.tensor(3))
        total = total + losses.total
    expected = torch.autograd.grad(total, list(network.parameters()))
    trainer.step(batch, torch.tensor(3))
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert (parameter.grad - gradient).norm() <= 1e-3 * gradient.norm() + 1e-6


def test_losses_are_returned_in_the_order_of_their_names(load):
    trainer = new_trainer(load("loss.visibility=0.9", "loss.oks=0"))
    assert trainer.loss_names == ("person", "distance", "center", "visibility", "total")
    *terms, total = trainer.step(single_pass(2, 1), torch.tensor(3)).tolist()
    assert total == pytest.approx(sum(terms), rel=1e-5)
    assert min(terms) > 0


def test_gradient_is_clipped_to_the_norm_of_the_recipe(load):
    _, unclipped = one_step(load("optim.clip_norm=1e9"), single_pass(2, 1))
    norm = torch.stack([gradient.norm() for gradient in gradients_of(unclipped)]).norm()
    _, clipped = one_step(load(f"optim.clip_norm={float(norm) / 3}"), single_pass(2, 1))
    for whole, third in zip(gradients_of(unclipped), gradients_of(clipped), strict=True):
        torch.testing.assert_close(third, whole / 3, rtol=1e-3, atol=1e-6)


def test_each_step_uses_the_rate_of_the_schedule_and_updates_the_average(load):
    trainer = new_trainer(load("optim.backbone_factor=0.5"))
    rates = []
    for _ in range(3):
        before = trainer.state.average.network.head.output.bias.clone()
        trainer.step(single_pass(2, 1), torch.tensor(3))
        rates.append({group["lr"] for group in trainer.state.optimizer.param_groups})
        assert not torch.equal(trainer.state.average.network.head.output.bias, before)
    expected = [{4e-3 * (step + 1) / 5, 2e-3 * (step + 1) / 5} for step in range(3)]  # five steps of warm-up
    assert [sorted(rate) for rate in rates] == [pytest.approx(sorted(rate)) for rate in expected]
    assert trainer.state.step == 3


def test_half_precision_applies_to_the_forward_pass_only(load):
    batch = single_pass(2, 1)
    exact, _ = one_step(load(), batch)
    rough, state = one_step(load("optim.precision=bf16"), batch)
    assert rough.isfinite().all()
    assert not torch.equal(rough, exact)
    assert {value.dtype for value in state.network.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [("weights", "the prediction is not finite"), ("gradient", "the norm of the gradient is nan")],
)
def test_step_that_is_not_finite_changes_nothing(load, spoilt, message):
    trainer = new_trainer(load())
    network = trainer.state.network
    if spoilt == "weights":
        network.head.output.bias.data[0] = np.nan
    else:
        network.head.output.bias.register_hook(lambda gradient: gradient * np.nan)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    with pytest.raises(TrainingError, match=f"diverged at step 0: {message}") as failure:
        trainer.step(single_pass(1), torch.tensor(1))
    assert "learning_rate" in failure.value.hint
    assert trainer.state.step == 0
    for old, new in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=0, equal_nan=True)


def test_f16_tolerates_overflows_while_the_scale_is_adjusted(load):
    trainer = new_trainer(load())
    trainer.recipe = load("optim.precision=f16")
    for _ in range(50):
        trainer._check_gradient(float("inf"))
    trainer._check_gradient(1.0)
    for _ in range(50):
        trainer._check_gradient(float("inf"))
    with pytest.raises(TrainingError, match="gradient is inf"):
        trainer._check_gradient(float("inf"))


class EqualBatches(Batches):
    """Five equal batches."""

    def __init__(self):
        object.__setattr__(self, "closed_at", [])

    def from_step(self, step):
        try:
            for done in range(step, 5):  # noqa: B007
                yield single_pass(2)
        finally:
            self.closed_at.append(done)


def test_progress_reports_the_means_since_the_last_report(load):
    recipe, stream = load("log_every=2"), EqualBatches()
    trainer, reference = new_trainer(recipe), new_trainer(recipe)
    losses = torch.stack([reference.step(single_pass(2), torch.tensor(2)) for _ in range(5)])
    reports = list(train_steps(trainer, stream, StopRequest()))
    assert [report and report.step for report in reports] == [None, 2, None, 4, 5]
    for report, steps in ((reports[1], losses[:2]), (reports[3], losses[2:4]), (reports[4], losses[4:])):
        assert report.losses == pytest.approx(dict(zip(trainer.loss_names, steps.mean(dim=0).tolist(), strict=True)))
        assert report.seconds.keys() == set(PHASES)
        assert report.images_per_s > 0
        assert 0 <= report.waiting < 1
    assert [report.rate for report in reports if report] == [pytest.approx(0.4), pytest.approx(0.8), 1.0]
    assert [report.persons_per_image for report in reports if report] == [2 / recipe.optim.batch_size] * 3
    names = {"step", *trainer.loss_names, "persons_per_image", "rate", "images_per_s", "waiting"}
    assert reports[1].to_record().keys() == names
    assert stream.closed_at == [4]


def test_stop_request_ends_the_loop_before_the_next_step(load):
    trainer, stream, stop = new_trainer(load()), EqualBatches(), StopRequest()
    steps = train_steps(trainer, stream, stop)
    next(steps)
    stop.signal = 15
    with pytest.raises(StoppedError):
        next(steps)
    assert trainer.state.step == 1
    assert stream.closed_at == [1]


@pytest.mark.parametrize(
    ("changes", "frozen", "in_eval_mode"),
    [
        (["initial.freeze_stem=false", "initial.freeze_batch_norm=false"], [], []),
        (["initial.freeze_stem=true", "initial.freeze_batch_norm=false"], ["stem"], ["stem"]),
        (["initial.freeze_stem=false", "initial.freeze_batch_norm=true"], [], ["stem", "rest"]),
        (["optim.backbone_factor=0"], ["stem", "rest"], ["stem", "rest"]),
    ],
)
def test_frozen_layers_keep_their_weights_and_statistics(load, changes, frozen, in_eval_mode):
    recipe = load(*changes)
    network = new_network(recipe, SCHEMA)
    set_training_mode(network, recipe)
    stem = {id(part) for layer in network.backbone.stem_modules() for part in layer.modules()}
    parts = {"stem": [], "rest": []}
    for layer in network.backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            parts["stem" if id(layer) in stem else "rest"].append(layer)
    for name, norms in parts.items():
        assert {norm.weight.requires_grad for norm in norms} == {name not in frozen}
        assert {norm.training for norm in norms} == {name not in in_eval_mode}
    head = [layer for layer in network.head.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(layer.training and layer.weight.requires_grad for layer in head)
