"""Maps of corrections are read at each keypoint's own place, and exactly there."""

import pytest
import torch
from torch import Tensor

from e2pose.core.errors import ModelError
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig, RefinementConfig
from e2pose.models.head import cell_centers
from e2pose.models.refine import KeypointRefiner, follow, top_candidates
from helpers.networks import livened

CANVAS_HW = (64, 96)
STRIDE = 8


def map_to(goals_xy: Tensor, images: int = 1) -> Tensor:
    """A map of corrections whose every cell says the way to one point for each keypoint, in canvas pixels."""
    rows, columns = (side // STRIDE for side in CANVAS_HW)
    centers = cell_centers(rows, columns, STRIDE, goals_xy.device)
    way = (goals_xy[:, None] - centers) / (2.0 * STRIDE)  # (K, cells, 2)
    return way.permute(0, 2, 1).reshape(1, -1, rows, columns).expand(images, -1, -1, -1)


def test_keypoints_arrive_where_the_map_points_from_anywhere() -> None:
    torch.manual_seed(0)
    goals = torch.tensor([[20.3, 11.1], [70.0, 50.5], [33.3, 33.3]])
    wh = torch.tensor([96.0, 64.0])
    inner = 4 / wh + torch.rand(2, 5, 3, 2) * (1 - 8 / wh)  # between the outermost cell centres
    (refined,) = follow(map_to(goals, images=2), inner, STRIDE, CANVAS_HW, steps=1)
    torch.testing.assert_close(refined * wh, goals.expand(2, 5, 3, 2), atol=1e-3, rtol=0)


def test_a_keypoint_outside_of_the_canvas_reads_its_edge() -> None:
    corrections = map_to(torch.tensor([[48.0, 32.0]]))
    (refined,) = follow(corrections, torch.tensor([[[[-0.5, 0.5]]]]), STRIDE, CANVAS_HW, steps=1)
    assert (refined[0, 0, 0] * torch.tensor([96.0, 64.0])).tolist() == pytest.approx([-48 + 48 - 4, 32], abs=1e-3)


def test_each_step_learns_for_itself() -> None:
    torch.manual_seed(0)
    refiner = KeypointRefiner(channels=4, width=6, keypoints=2, stride=STRIDE, steps=2)
    start = torch.rand(1, 3, 2, 2, requires_grad=True)
    corrections = refiner(refiner.look(torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6)))
    first, second = follow(corrections, start, STRIDE, CANVAS_HW, steps=2)
    assert not torch.equal(first, second)
    second.sum().backward()
    assert start.grad is None
    assert refiner.output.weight.grad is not None
    assert refiner.output.weight.grad.abs().sum() > 0


def test_the_first_map_is_told_what_the_fine_refiner_sees() -> None:
    torch.manual_seed(0)
    refiner = KeypointRefiner(channels=4, width=6, keypoints=2, stride=STRIDE, steps=1, fine=True).eval()
    torch.nn.init.normal_(refiner.fine.weight)  # at first it does not listen
    features, level, seen = torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6), torch.zeros(1, 192, 15, 23)
    lit = seen.clone()
    lit[..., 9, 13] = 5.0
    changed = (refiner.look(features, level, lit) - refiner.look(features, level, seen)).abs().sum(dim=(0, 1))
    rows, columns = changed.nonzero().unbind(dim=1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 6, 4, 8)  # two cells around (4, 6)


def test_the_network_tells_the_drafts_and_ends_with_the_last_refinement() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(strides=(16, 32), width=8, refinement=RefinementConfig(steps=2)), 17).eval()
    with torch.inference_mode():
        prediction = network(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
        network.refiner = None
        plain = network(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    assert len(prediction.intermediate_keypoints) == 2
    assert not torch.equal(prediction.intermediate_keypoints[-1], prediction.keypoints)
    assert plain.intermediate_keypoints == ()


@pytest.mark.parametrize("strides", [(4, 8, 16, 32)])
def test_a_map_finer_than_the_backbone_has_is_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="do not suit"):
        build_network(NetworkConfig(strides=strides, refinement=RefinementConfig()), 17)


def test_only_the_likeliest_hundred_are_refined_and_all_while_training() -> None:
    torch.manual_seed(0)
    network = livened(
        build_network(NetworkConfig(strides=(8, 16, 32), width=8, refinement=RefinementConfig(steps=1)), 17)
    ).eval()
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        prediction = network(pixels)
        moved = (prediction.keypoints != prediction.intermediate_keypoints[0]).flatten(2).any(dim=2)
        assert moved.sum(dim=1).tolist() == [100, 100]
        for here, logits in zip(moved, prediction.person_logits, strict=True):
            assert logits[here].min() >= logits[~here].max()
        (every,) = follow(prediction.corrections[0], prediction.intermediate_keypoints[0], 4, (96, 96), 1)
        torch.testing.assert_close(prediction.keypoints[moved], every[moved])
        trained = network.train()(pixels)
        assert (trained.keypoints != trained.intermediate_keypoints[0]).flatten(2).any(dim=2).all()


def test_few_candidates_are_all_likely() -> None:
    assert sorted(top_candidates(torch.randn(1, 30), keypoints=2)[0, :, 0, 0].tolist()) == list(range(30))
