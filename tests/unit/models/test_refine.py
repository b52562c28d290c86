"""The refiner reads its map at each keypoint's own place, and exactly there."""

import pytest
import torch
from torch import Tensor, nn

from e2pose.core.errors import ModelError
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.models.head import cell_centers
from e2pose.models.refine import KeypointRefiner

CANVAS_HW = (64, 96)
STRIDE = 8


class PointTo(nn.Module):
    """In place of the last convolution: every cell says the way to one point for each keypoint, in canvas pixels."""

    def __init__(self, goals_xy: Tensor) -> None:
        super().__init__()
        self.goals_xy = goals_xy

    def forward(self, features: Tensor) -> Tensor:
        rows, columns = features.shape[2:]
        centers = cell_centers(rows, columns, STRIDE, features.device)
        way = (self.goals_xy[:, None] - centers) / (2.0 * STRIDE)  # (K, cells, 2)
        return way.permute(0, 2, 1).reshape(1, -1, rows, columns).expand(len(features), -1, -1, -1)


def refiner_of(keypoints: int, steps: int) -> KeypointRefiner:
    return KeypointRefiner(fine_channels=4, width=6, keypoints=keypoints, stride=STRIDE, steps=steps)


def maps_of(images: int) -> tuple[Tensor, Tensor]:
    height, width = CANVAS_HW
    return torch.zeros(images, 4, height // 8, width // 8), torch.zeros(images, 6, height // 16, width // 16)


def test_keypoints_arrive_where_the_map_points_from_anywhere() -> None:
    torch.manual_seed(0)
    goals = torch.tensor([[20.3, 11.1], [70.0, 50.5], [33.3, 33.3]])
    refiner = refiner_of(3, steps=1)
    refiner.output = PointTo(goals)
    wh = torch.tensor([96.0, 64.0])
    inner = 4 / wh + torch.rand(2, 5, 3, 2) * (1 - 8 / wh)  # between the outermost cell centres
    (refined,) = refiner(*maps_of(2), inner, CANVAS_HW)
    torch.testing.assert_close(refined * wh, goals.expand(2, 5, 3, 2), atol=1e-3, rtol=0)


def test_a_keypoint_outside_of_the_canvas_reads_its_edge() -> None:
    refiner = refiner_of(1, steps=1)
    refiner.output = PointTo(torch.tensor([[48.0, 32.0]]))
    (refined,) = refiner(*maps_of(1), torch.tensor([[[[-0.5, 0.5]]]]), CANVAS_HW)
    assert (refined[0, 0, 0] * torch.tensor([96.0, 64.0])).tolist() == pytest.approx([-48 + 48 - 4, 32], abs=1e-3)


def test_each_step_learns_for_itself() -> None:
    torch.manual_seed(0)
    refiner = refiner_of(2, steps=2)
    start = torch.rand(1, 3, 2, 2, requires_grad=True)
    first, second = refiner(torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6), start, CANVAS_HW)
    assert not torch.equal(first, second)
    second.sum().backward()
    assert start.grad is None
    assert refiner.output.weight.grad is not None
    assert refiner.output.weight.grad.abs().sum() > 0


def test_the_network_tells_the_drafts_and_ends_with_the_last_refinement() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(strides=(16, 32), width=8, refinements=2)).eval()
    with torch.inference_mode():
        prediction = network(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
        network.refiner = None
        plain = network(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    assert len(prediction.drafts) == 2
    assert not torch.equal(prediction.drafts[-1], prediction.keypoints)
    assert plain.drafts == ()


@pytest.mark.parametrize("strides", [(4, 8, 16, 32)])
def test_a_map_finer_than_the_backbone_has_is_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="refined"):
        NetworkConfig(strides=strides, refinements=1)
