"""Trains the same recipe with one thing changed at a time, and prints what came out as a Markdown table.

    python examples/ablations.py recipes/ablation.toml runs/ablations --measure canvas_hw=[320,320]

Every run has the same images in the same order, the same seed and the same number of steps, and is measured on the
images that the recipe's sets hold out. What is finished is not trained again, so that the script may be stopped and
started. Needs the extras `train` and `eval`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from e2pose.training.measure import measure_weights
from e2pose.training.train import CHECKPOINT, train

VARIANTS: dict[str, list[str]] = {
    "as the recipe": [],
    "with the one-to-many score": ["loss.many=0.1"],
    "keypoints by absolute error alone": ["loss.oks=0"],
    "keypoints by OKS alone": ["loss.distance=0"],
    "strides 32 to 512": ["network.strides=[32,64,128,256,512]"],
    "without refinement": ["network.refinements=0"],
    "without companions": ["match.companions=0"],
    "without mosaic": ["augment.mosaic=0"],
}


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--measure", action="append", default=[], metavar="KEY=VALUE", help="as --set, at the end only")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for seed in range(options.seeds):
        for name, changes in VARIANTS.items():
            overrides = [*options.overrides, *changes, f"seed={seed}"]
            rows[name].append(run(options.recipe, options.folder / slug(name, seed), overrides, options.measure))
    print("| Variant | AP | AP50 | AR | duplicates per image |")
    print("|---|---|---|---|---|")
    for name, results in rows.items():
        ap, ap50, ar = (" / ".join(f"{100 * result[key]:.1f}" for result in results) for key in ("ap", "ap50", "ar"))
        duplicates = " / ".join(f"{result['duplicates_per_image']:.2f}" for result in results)
        print(f"| {name} | {ap} | {ap50} | {ar} | {duplicates} |")


def slug(name: str, seed: int) -> str:
    """The name of a run's folder."""
    return f"{name.replace(' ', '-')}-{seed}"


def run(recipe: str, folder: Path, overrides: list[str], measure: list[str]) -> dict[str, float]:
    """Trains one variant and measures it, unless its result is there."""
    result = folder / "result.json"
    if not result.exists():
        weights = train(recipe, overrides=overrides, output=folder, resume=(folder / CHECKPOINT).exists())
        result.write_text(json.dumps(measure_weights(weights, recipe, overrides=[*overrides, *measure])), "utf-8")
    return dict(json.loads(result.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
