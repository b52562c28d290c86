import pytest
import torch
from torch import Tensor

from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig, RefinementConfig
from e2pose.models.head import cell_centers
from e2pose.models.refinement import CoarseRefinement, apply_offsets, select_top_k
from helpers.networks import randomise_weights

INPUT_SIZE_HW = (64, 96)
INPUT_SIZE_WH = torch.tensor([96.0, 64.0])
STRIDE = 8


def offset_map_to(targets_xy: Tensor, images: int = 1) -> Tensor:
    """An offset map that leads from every cell to one point per keypoint, in input pixels."""
    rows, columns = (side // STRIDE for side in INPUT_SIZE_HW)
    centers = cell_centers(rows, columns, STRIDE, targets_xy.device)
    offsets = (targets_xy[:, None] - centers) / (2.0 * STRIDE)  # (K, cells, 2)
    return offsets.permute(0, 2, 1).reshape(1, -1, rows, columns).expand(images, -1, -1, -1)


def test_keypoints_reach_the_target_of_the_map_from_anywhere() -> None:
    torch.manual_seed(0)
    targets = torch.tensor([[20.3, 11.1], [70.0, 50.5], [33.3, 33.3]])
    inside = 4 / INPUT_SIZE_WH + torch.rand(2, 5, 3, 2) * (1 - 8 / INPUT_SIZE_WH)  # between the outermost cell centres
    (refined,) = apply_offsets(offset_map_to(targets, images=2), inside, STRIDE, INPUT_SIZE_HW, steps=1)
    torch.testing.assert_close(refined * INPUT_SIZE_WH, targets.expand(2, 5, 3, 2), atol=1e-3, rtol=0)


def test_keypoint_outside_of_the_input_samples_the_border() -> None:
    offset_map = offset_map_to(torch.tensor([[48.0, 32.0]]))
    (refined,) = apply_offsets(offset_map, torch.tensor([[[[-0.5, 0.5]]]]), STRIDE, INPUT_SIZE_HW, steps=1)
    assert (refined[0, 0, 0] * INPUT_SIZE_WH).tolist() == pytest.approx([-48 + 48 - 4, 32], abs=1e-3)


def test_no_gradient_passes_between_steps() -> None:
    torch.manual_seed(0)
    refinement = CoarseRefinement(channels=4, width=6, num_keypoints=2, stride=STRIDE)
    start = torch.rand(1, 3, 2, 2, requires_grad=True)
    offset_map = refinement(refinement.extract(torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6)))
    first, second = apply_offsets(offset_map, start, STRIDE, INPUT_SIZE_HW, steps=2)
    assert not torch.equal(first, second)
    second.sum().backward()
    assert start.grad is None
    assert refinement.output.weight.grad.abs().sum() > 0


def test_fine_features_enter_the_coarse_refinement_at_their_position() -> None:
    torch.manual_seed(0)
    refinement = CoarseRefinement(channels=4, width=6, num_keypoints=2, stride=STRIDE, fine=True).eval()
    torch.nn.init.normal_(refinement.fine.weight)  # zero initially
    feature_map, level, fine = torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6), torch.zeros(1, 192, 15, 23)
    lit = fine.clone()
    lit[..., 9, 13] = 5.0
    difference = refinement.extract(feature_map, level, lit) - refinement.extract(feature_map, level, fine)
    rows, columns = difference.abs().sum(dim=(0, 1)).nonzero().unbind(dim=1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 6, 4, 8)  # two cells around (4, 6)


def test_new_refinement_ignores_fine_features_and_predicts_small_offsets() -> None:
    torch.manual_seed(0)
    refinement = CoarseRefinement(channels=4, width=6, num_keypoints=2, stride=STRIDE, fine=True).eval()
    feature_map, level = torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6)
    features = refinement.extract(feature_map, level)
    assert torch.equal(refinement.extract(feature_map, level, torch.randn(1, 192, 16, 24)), features)
    assert refinement(torch.randn(1, 96, 8, 12)).abs().max() < 0.5


def test_features_bypass_the_tower() -> None:
    torch.manual_seed(0)
    refinement = CoarseRefinement(channels=4, width=6, num_keypoints=2, stride=STRIDE).eval()
    torch.nn.init.zeros_(refinement.tower[-1].weight)
    assert refinement.extract(torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6)).any()


def test_half_resolution_features_are_added() -> None:
    torch.manual_seed(0)
    refinement = CoarseRefinement(channels=4, width=6, num_keypoints=2, stride=STRIDE).eval()
    feature_map, level = torch.randn(1, 4, 8, 12), torch.randn(1, 6, 4, 6)
    added = refinement.extract(feature_map, level, half_resolution=torch.full((1, 96, 8, 12), 0.7))
    with torch.no_grad():
        refinement.lateral.bias += 0.7
    torch.testing.assert_close(added, refinement.extract(feature_map, level))


def test_prediction_contains_the_keypoints_before_each_step() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(strides=(16, 32), width=8)
    network = build_network(config.model_copy(update={"refinement": RefinementConfig(steps=2)}), 17).eval()
    plain = build_network(config, 17).eval()
    plain.load_state_dict({name: network.state_dict()[name] for name in plain.state_dict()})
    pixels = torch.randint(0, 256, (2, 3, *INPUT_SIZE_HW), dtype=torch.uint8)
    with torch.inference_mode():
        refined, initial = network(pixels), plain(pixels)
    assert len(refined.intermediate_keypoints) == 2
    torch.testing.assert_close(refined.intermediate_keypoints[0], initial.keypoints)
    assert not torch.equal(refined.intermediate_keypoints[-1], refined.keypoints)
    assert initial.intermediate_keypoints == ()


def test_best_hundred_candidates_are_refined_and_all_in_training() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(strides=(8, 16, 32), width=8, refinement=RefinementConfig(steps=1))
    network = randomise_weights(build_network(config, 17)).eval()
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        prediction = network(pixels)
        initial = prediction.intermediate_keypoints[0]
        moved = (prediction.keypoints != initial).flatten(2).any(dim=2)
        assert moved.sum(dim=1).tolist() == [100, 100]
        for is_moved, logits in zip(moved, prediction.person_logits, strict=True):
            assert logits[is_moved].min() >= logits[~is_moved].max()
        (refined,) = apply_offsets(prediction.offset_maps[0], initial, 4, (96, 96), 1)
        torch.testing.assert_close(prediction.keypoints[moved], refined[moved])
        training = network.train()(pixels)
        assert (training.keypoints != training.intermediate_keypoints[0]).flatten(2).any(dim=2).all()


def test_second_person_score_is_kept_in_training() -> None:
    config = NetworkConfig(strides=(16, 32), width=8, refinement=RefinementConfig(steps=1))
    network = build_network(config, 17, one_to_many=True).train()
    assert network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).one_to_many_logits.shape == (2, 16 + 4)


def test_all_of_fewer_than_a_hundred_candidates_are_selected() -> None:
    assert sorted(select_top_k(torch.randn(1, 30), num_keypoints=2)[0, :, 0, 0].tolist()) == list(range(30))
