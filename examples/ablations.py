"""Trains the same recipe with one thing changed at a time, and prints what came out as a Markdown table.

    python examples/ablations.py recipes/ablation.toml runs/ablations --measure input_size_hw=[320,320]
    python examples/ablations.py recipes/ablation.toml runs/ablations --measure input_size_hw=[320,320] --cost

Every run has the same images in the same order, the same seed and the same number of steps, and is measured on the
images that the recipe's sets hold out. What is finished is not done again, so that the script may be stopped and
started. With `--cost` it takes 25 steps of each variant instead, one after the other; run that while nothing else runs.
Needs the extras `train` and `eval`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from e2pose.core.files import atomic_path
from e2pose.data.image_sets import resolve_schema
from e2pose.training.measure import measure_weights
from e2pose.training.profile import time_phases
from e2pose.training.recipe import load_recipe
from e2pose.training.set_up import new_network, say_nothing
from e2pose.training.train import CHECKPOINT, train

VARIANTS: dict[str, list[str]] = {
    "as the recipe": [],
    "with the one-to-many score": ["loss.one_to_many=0.1"],
    "keypoints by absolute error alone": ["loss.oks=0"],
    "keypoints by OKS alone": ["loss.distance=0"],
    "strides 32 to 512": ["network.strides=[32,64,128,256,512]"],
    "without refinement": ["network.refinement=false"],
    "without auxiliary_positives": ["match.auxiliary_positives=0"],
    "without mosaic": ["augment.mosaic=0"],
    "combined": ["loss.distance=0", "loss.one_to_many=0.1", "augment.mosaic=0"],
}

RESULT, COST = "result.json", "cost.json"

Numbers = dict[str, float]


def main() -> None:
    """Does what is missing, then prints the table of what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--measure", action="append", default=[], metavar="KEY=VALUE", help="as --set, at the end only")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cost", action="store_true", help="measure what a step costs, and train nothing")
    options = parser.parse_args()
    for seed in range(1 if options.cost else options.seeds):
        for name, changes in VARIANTS.items():
            folder, overrides = options.folder / slug(name, seed), [*options.overrides, *changes, f"seed={seed}"]
            if options.cost:
                keep(folder / COST, partial(cost, options.recipe, overrides, options.measure))
            else:
                keep(folder / RESULT, partial(run, options.recipe, folder, overrides, options.measure))
    print_table(options.folder, options.seeds)


def slug(name: str, seed: int) -> str:
    """The name of a run's folder."""
    return f"{name.replace(' ', '-')}-{seed}"


def keep(path: Path, work: Callable[[], Numbers]) -> None:
    """Does the work and keeps its numbers in a file, unless that is there."""
    if not path.exists():
        numbers = work()
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(numbers), encoding="utf-8")


def run(recipe: str, folder: Path, overrides: Sequence[str], measure: Sequence[str]) -> Numbers:
    """Trains one variant and measures it."""
    weights = train(recipe, overrides=overrides, output=folder, resume=(folder / CHECKPOINT).exists())
    return measure_weights(weights, recipe, overrides=[*overrides, *measure])


def cost(recipe: str, overrides: Sequence[str], measure: Sequence[str]) -> Numbers:
    """Seconds of a training step without the making of its images, and the size of the network as it is measured."""
    seconds = time_phases(recipe, overrides=[*overrides, "workers=0", "data.cache=false"])
    used = load_recipe(Path(recipe), [*overrides, *measure])
    schema = resolve_schema(used.schema_name, used.data.sets, Path(used.data.root))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network = new_network(used, schema, pretrained=False, tell=say_nothing).eval()
        network(torch.zeros(1, 3, *used.input_size_hw, dtype=torch.uint8))
    return {
        "step_s": sum(seconds.values()) - seconds["waiting"],
        "parameters_m": sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        "gmacs": counter.get_total_flops() / 2e9,
    }


def print_table(folder: Path, seeds: int) -> None:
    """Prints a row for each variant; several seeds stand beside each other, and a dash where nothing is known."""
    print("| Variant | AP | AP50 | AR | duplicates per image | s per step | parameters, M | GMACs |")
    print("|---|---|---|---|---|---|---|---|")
    for name in VARIANTS:
        results = [read(folder / slug(name, seed) / RESULT) for seed in range(seeds)]
        costs = [read(folder / slug(name, 0) / COST)]
        percents = [cell(results, key, 1, 100) for key in ("ap", "ap50", "ar")]
        duplicates = cell(results, "duplicates_per_image", 2)
        sizes = [cell(costs, key, 2) for key in ("step_s", "parameters_m", "gmacs")]
        print("|", " | ".join([name, *percents, duplicates, *sizes]), "|")


def read(path: Path) -> Numbers:
    """The numbers in a file; none if it is not there."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def cell(records: Sequence[Numbers], key: str, digits: int, factor: float = 1) -> str:
    """One number of several records, for people."""
    return " / ".join(f"{factor * record[key]:.{digits}f}" if key in record else "-" for record in records)


if __name__ == "__main__":
    main()
