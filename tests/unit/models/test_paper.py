import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.models.paper import E2Pose
from e2pose.training.recipe import load_recipe
from e2pose.training.recipes import FOLDER

ROOT = Path(__file__).parents[3]
SMALL = NetworkConfig(strides=(32, 64), width=16, head_depth=1)


def black(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.zeros(count, 3, height, width, dtype=torch.uint8)


def published_layouts() -> list[tuple[str, Path, list[str]]]:
    """The layouts in the headers of the recipes: name, recipe and its overrides."""
    layouts = []
    for recipe in sorted(FOLDER.glob("coco-*.toml")):
        text = recipe.read_text(encoding="utf-8").replace(" \\\n#     ", " ")
        for line in re.findall(r"^#   (e2pose train .*)$", text, re.MULTILINE):
            words = shlex.split(line)
            assert words[2] == recipe.stem
            overrides = [word for flag, word in pairwise(words) if flag == "--set"]
            (name,) = [text.removeprefix("name=coco-") for text in overrides if text.startswith("name=")]
            layouts.append((name, recipe, overrides))
    return layouts


LAYOUTS = published_layouts()


def size_table() -> dict[str, list[str]]:
    """Rows of docs/models/sizes.md by layout name."""
    rows = {}
    for line in (ROOT / "docs/models/sizes.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and " x " in cells[1] and cells[2].isdigit():
            rows[f"{cells[0]}-{cells[1].replace(' ', '')}"] = cells[2:]
    return rows


def test_recipes_cover_the_ten_published_layouts():
    assert len(size_table()) == 10
    assert {name for name, _, _ in LAYOUTS} == set(size_table())


@pytest.mark.parametrize(("name", "recipe", "overrides"), LAYOUTS, ids=[name for name, _, _ in LAYOUTS])
def test_published_layout_has_the_documented_size(name, recipe, overrides):
    loaded = load_recipe(recipe, overrides)
    assert name == "{}-{}x{}".format(loaded.network.backbone, *loaded.input_size_hw)
    with torch.device("meta"), torch.no_grad():
        network = build_network(loaded.network, num_keypoints=17).eval()
        prediction = network(black(*loaded.input_size_hw))
    assert type(network) is E2Pose
    millions = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (network, network.backbone)]
    candidates = prediction.person_logits.shape[1]
    assert [str(candidates), *(f"{value:.2f}" for value in millions)] == size_table()[name][:3]
    assert prediction.keypoint_logits.shape == (1, candidates, 17)
    assert prediction.keypoints.shape == (1, candidates, 17, 2)
    assert prediction.centers.shape == (1, candidates, 2)


def test_pixels_are_normalised_to_the_statistics_of_imagenet():
    network = build_network(SMALL, 17)
    darkest, brightest = (network.normalise(torch.full((1, 3, 1, 1), v, dtype=torch.uint8)) for v in (0, 255))
    assert darkest.flatten().tolist() == pytest.approx([-2.1179, -2.0357, -1.8044], abs=1e-4)  # red, green, blue
    assert brightest.flatten().tolist() == pytest.approx([2.2489, 2.4286, 2.6400], abs=1e-4)


def test_untrained_head_predicts_the_centre_of_each_cell():
    network = build_network(SMALL, 17).eval()
    torch.nn.init.zeros_(network.head.output.weight)
    with torch.inference_mode():
        prediction = network(black(64, 96))
    fine = [(x, y) for y in (16, 48) for x in (16, 48, 80)]
    coarse = [(32, 32), (96, 32)]
    expected = torch.tensor(fine + coarse) / torch.tensor([96.0, 64.0])
    torch.testing.assert_close(prediction.centers[0], expected)
    torch.testing.assert_close(prediction.keypoints[0], expected[:, None].expand(-1, 17, -1))
    torch.testing.assert_close(prediction.person_logits.sigmoid(), torch.full((1, 8), 0.01))


def test_offsets_are_in_units_of_strides():
    network = build_network(SMALL, 17).eval()
    torch.nn.init.zeros_(network.head.output.weight)
    with torch.no_grad():
        network.head.output.bias[1 + 17 + 2 + 2 * 5] = 0.5  # x of keypoint 5
        network.head.output.bias[1 + 17 + 1] = 0.25  # y of the centre
        prediction = network(black(64, 64))
    fine, coarse = prediction.keypoints[0, 0] * 64, prediction.keypoints[0, 4] * 64
    assert fine[5].tolist() == pytest.approx([16 + 0.5 * 2 * 32, 16 + 0.25 * 32])  # offsets in units of two strides
    assert coarse[5].tolist() == pytest.approx([32 + 0.5 * 2 * 64, 32 + 0.25 * 64])
    assert fine[4].tolist() == pytest.approx([16, 16 + 0.25 * 32])


@pytest.mark.parametrize("strides", [(32, 64, 128, 256, 512), (16, 32, 64), (8, 16, 32), (32,)])
def test_images_of_a_batch_do_not_influence_each_other(strides):
    torch.manual_seed(0)
    network = build_network(NetworkConfig(strides=strides, width=16), 17).eval()
    pixels = torch.randint(0, 256, (3, 3, 96, 160), dtype=torch.uint8)
    with torch.inference_mode():
        batch = network(pixels)
        single = [network(pixels[index : index + 1]) for index in range(3)]
    for name in ("person_logits", "keypoint_logits", "keypoints", "centers"):
        parts = torch.cat([getattr(prediction, name) for prediction in single])
        torch.testing.assert_close(getattr(batch, name), parts, atol=1e-4, rtol=1e-4)


def test_one_to_many_scores_exist_in_training_only():
    network = build_network(SMALL, 17, one_to_many=True)
    pixels = black(64, 96, count=2)
    assert network.train()(pixels).one_to_many_logits.shape == (2, 8)
    assert network.eval()(pixels).one_to_many_logits is None
