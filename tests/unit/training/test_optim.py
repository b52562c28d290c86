"""Learning rates, weight decay and the schedule of every parameter group, and the weight average."""

import math

import pytest
import torch

from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.training.optim import WeightAverage, build_optimizer, rate_factor, set_rate
from e2pose.training.recipe import OptimConfig

CONFIG = OptimConfig(
    steps=100, learning_rate=0.01, backbone_factor=0.3, weight_decay=0.07, warmup_steps=10, final_factor=0.1
)


@pytest.fixture(scope="module")
def network():
    return build_network(
        NetworkConfig(strides=(16, 32), width=8, refinement=RefinementConfig(fine=FineRefinementConfig(steps=1))), 17
    )


def settings_of(network, optimizer) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each optimised parameter, by its name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_every_parameter_has_the_rate_and_decay_of_its_group(network, factor):
    optimizer = build_optimizer(network, CONFIG)
    set_rate(optimizer, factor)
    settings = settings_of(network, optimizer)
    assert settings.keys() == dict(network.named_parameters()).keys()
    for name, parameter in network.named_parameters():
        is_pretrained = name.startswith(("backbone.", "fine_features."))
        rate = factor * (0.003 if is_pretrained else 0.01)
        assert settings[name] == (pytest.approx(rate), 0.07 if parameter.ndim == 4 else 0.0), name
    assert len(set(settings.values())) == 4


def test_biases_and_norms_do_not_decay(network):
    settings = settings_of(network, build_optimizer(network, CONFIG))
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert settings[f"{name}.weight"][1] == settings[f"{name}.bias"][1] == 0.0
        elif isinstance(layer, torch.nn.Conv2d):
            assert settings[f"{name}.weight"][1] == 0.07
            assert layer.bias is None or settings[f"{name}.bias"][1] == 0.0


def test_frozen_parameters_are_not_optimised(network):
    bias = network.head.output.bias
    bias.requires_grad_(False)
    try:
        assert "head.output.bias" not in settings_of(network, build_optimizer(network, CONFIG))
    finally:
        bias.requires_grad_(True)


def test_first_step_of_adamw_moves_by_the_rate_and_decays_matrices(network):
    optimizer = build_optimizer(network, CONFIG)
    set_rate(optimizer, 0.5)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    optimizer.step()
    for name, parameter in network.named_parameters():
        rate = 0.5 * (0.003 if name.startswith(("backbone.", "fine_features.")) else 0.01)
        decay = 0.07 if parameter.ndim == 4 else 0.0
        torch.testing.assert_close(parameter.detach(), (1 - rate * decay) * before[name] - rate, msg=name)


def test_rate_warms_up_linearly_and_falls_as_half_a_cosine():
    for step in range(10):
        assert rate_factor(step, CONFIG) == pytest.approx((step + 1) / 10)
    for step in range(10, 101):
        cosine = math.cos(math.pi * (step - 10) / 90)
        assert rate_factor(step, CONFIG) == pytest.approx(0.1 + 0.9 * (1 + cosine) / 2)
    assert rate_factor(0, CONFIG.model_copy(update={"warmup_steps": 0})) == 1
    assert rate_factor(100, CONFIG.model_copy(update={"warmup_steps": 100})) == 1


def test_average_follows_the_weights():
    network = build_network(NetworkConfig(strides=(32,), width=2, head_depth=0), 17)
    average = WeightAverage(network, decay=0.75)
    bias = average.network.head.output.bias
    assert not bias.requires_grad
    assert not average.network.training
    with torch.no_grad():
        bias.fill_(1.0)
        network.head.output.bias.fill_(3.0)
    network.head.norms["32"][0].num_batches_tracked.fill_(7)
    average.update(network, step=100)
    assert bias.unique().tolist() == [1.5]
    assert int(average.network.head.norms["32"][0].num_batches_tracked) == 7
    average.update(network, step=0)  # early steps are forgotten sooner: a decay of 1/10
    assert bias.unique().tolist() == pytest.approx([0.1 * 1.5 + 0.9 * 3])
    average.update(network, step=2)
    assert bias.unique().tolist() == pytest.approx([3 - 0.25 * (3 - 2.85)])
