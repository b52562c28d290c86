"""Trains variants of a recipe that differ in one setting each, and prints their results as a Markdown table.

    python examples/ablations.py ablation runs/ablations --evaluate input_size_hw=[320,320]
    python examples/ablations.py ablation runs/ablations --evaluate input_size_hw=[320,320] --cost

All runs use the same images in the same order, the same seed and the same number of steps, and are evaluated on the
held-out images of the recipe's sets. Finished runs are not repeated, so the script can be stopped and started again.
With `--cost` it profiles 25 steps of each variant instead; run that on an otherwise idle machine. Needs the extra
`train`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from e2pose.core.files import atomic_path
from e2pose.data.image_sets import open_set, resolve_schema
from e2pose.inference.estimator import Estimator
from e2pose.models.weights import load_weights
from e2pose.runtimes.torch import TorchRuntime
from e2pose.training.evaluate import evaluate_sets
from e2pose.training.profile import profile
from e2pose.training.recipe import load_recipe
from e2pose.training.run_folder import CHECKPOINT
from e2pose.training.set_up import new_network
from e2pose.training.train import train

VARIANTS: dict[str, list[str]] = {
    "as the recipe": [],
    "with the one-to-many score": ["loss.one_to_many=0.1"],
    "keypoints by absolute error alone": ["loss.oks=0"],
    "keypoints by OKS alone": ["loss.distance=0"],
    "strides 32 to 512": ["network.strides=[32,64,128,256,512]"],
    "without refinement": ["network.refinement=false"],
    "without auxiliary positives": ["match.auxiliary_positives=0"],
    "without mosaic": ["augment.mosaic=0"],
    "combined": ["loss.distance=0", "loss.one_to_many=0.1", "augment.mosaic=0"],
}

RESULT, COST = "result.json", "cost.json"

Metrics = dict[str, float]


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument(
        "--evaluate", action="append", default=[], metavar="KEY=VALUE", help="as --set, for the final evaluation only"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cost", action="store_true", help="measure the cost of a step without training")
    options = parser.parse_args()
    for seed in range(1 if options.cost else options.seeds):
        for name, changes in VARIANTS.items():
            folder, overrides = options.folder / slug(name, seed), [*options.overrides, *changes, f"seed={seed}"]
            if options.cost:
                run_once(folder / COST, partial(measure_cost, options.recipe, overrides, options.evaluate))
            else:
                run_once(folder / RESULT, partial(train_variant, options.recipe, folder, overrides, options.evaluate))
    print_table(options.folder, options.seeds)


def slug(name: str, seed: int) -> str:
    """Returns the name of a run's folder."""
    return f"{name.replace(' ', '-')}-{seed}"


def run_once(path: Path, work: Callable[[], Metrics]) -> None:
    """Writes the result of the work to a file, unless the file exists."""
    if not path.exists():
        metrics = work()
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(metrics), encoding="utf-8")


def train_variant(recipe_path: str, folder: Path, overrides: Sequence[str], evaluation: Sequence[str]) -> Metrics:
    """Trains one variant and evaluates it on all held-out images."""
    weights = train(recipe_path, overrides=overrides, output=folder, resume=(folder / CHECKPOINT).exists())
    recipe = load_recipe(Path(recipe_path), [*overrides, *evaluation])
    network, spec = load_weights(weights)
    runtime = TorchRuntime(network, replace(spec, input_size_hw=recipe.input_size_hw))
    sets = [open_set(part, Path(recipe.data.root), spec.schema) for part in recipe.data.sets]
    return evaluate_sets(Estimator(runtime), recipe, sets)


def measure_cost(recipe_path: str, overrides: Sequence[str], evaluation: Sequence[str]) -> Metrics:
    """Measures a training step without its image preparation, and the size of the evaluated network."""
    seconds = profile(recipe_path, overrides=[*overrides, "workers=0", "data.cache=false"]).seconds
    recipe = load_recipe(Path(recipe_path), [*overrides, *evaluation])
    schema = resolve_schema(recipe.schema_name, recipe.data.sets, Path(recipe.data.root))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network = new_network(recipe, schema).eval()
        network(torch.zeros(1, 3, *recipe.input_size_hw, dtype=torch.uint8))
    return {
        "step_s": sum(seconds.values()) - seconds["waiting"],
        "parameters_m": sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        "gmacs": counter.get_total_flops() / 2e9,
    }


def print_table(folder: Path, seeds: int) -> None:
    """Prints a row per variant, with the values of all seeds, and a dash for missing values."""
    print("| Variant | AP | AP50 | AR | duplicates per image | s per step | parameters, M | GMACs |")
    print("|---|---|---|---|---|---|---|---|")
    for name in VARIANTS:
        results = [read(folder / slug(name, seed) / RESULT) for seed in range(seeds)]
        costs = [read(folder / slug(name, 0) / COST)]
        percents = [cell(results, key, 1, 100) for key in ("ap", "ap50", "ar")]
        duplicates = cell(results, "duplicates_per_image", 2)
        sizes = [cell(costs, key, 2) for key in ("step_s", "parameters_m", "gmacs")]
        print("|", " | ".join([name, *percents, duplicates, *sizes]), "|")


def read(path: Path) -> Metrics:
    """Reads the metrics in a file; none if it does not exist."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def cell(records: Sequence[Metrics], key: str, digits: int, factor: float = 1) -> str:
    """Formats one value of each record."""
    return " / ".join(f"{factor * record[key]:.{digits}f}" if key in record else "-" for record in records)


if __name__ == "__main__":
    main()
