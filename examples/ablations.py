"""Trains the same recipe with one thing changed at a time, and prints what came out as a Markdown table.

    python examples/ablations.py recipes/mobilenetv2.toml runs/ablations --set optim.steps=1500

Every run has the same images in the same order, the same seed and the same number of steps, and is measured on the
images that the recipe's sets hold out. What is finished is not trained again, so that the script may be stopped and
started. Needs the extras `train` and `eval`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from e2pose.training.log import LINES, read_lines
from e2pose.training.train import CHECKPOINT, train

VARIANTS: dict[str, list[str]] = {
    "as the recipe": [],
    "with the one-to-many score": ["loss.many=0.1"],
    "keypoints by absolute error alone": ["loss.oks=0"],
    "keypoints by OKS alone": ["loss.distance=0"],
    "keypoints by likelihood and OKS": ["loss.distance=0", "loss.likelihood=0.3"],
    "strides 32 to 512": ["network.strides=[32,64,128,256,512]"],
    "without refinement": ["network.refinements=0"],
    "without companions": ["match.companions=0"],
    "without mosaic": ["augment.mosaic=0"],
    "with 30 % mosaics": ["augment.mosaic=0.3"],
}


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    print("| Variant | AP | AP50 | duplicates per image | minutes |")
    print("|---|---|---|---|---|")
    for name, changes in VARIANTS.items():
        rows = [
            run(options.recipe, options.folder, name, [*options.overrides, *changes], s) for s in range(options.seeds)
        ]
        ap = " / ".join(f"{100 * row['ap']:.1f}" for row in rows)
        mean = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        print(
            f"| {name} | {ap} | {100 * mean['ap50']:.1f} | {mean['duplicates_per_image']:.2f} "
            f"| {mean['minutes']:.0f} |",
            flush=True,
        )


def run(recipe: str, folder: Path, name: str, overrides: list[str], seed: int) -> dict[str, float]:
    """Trains one variant, unless its result is there."""
    place = folder / f"{name.replace(' ', '-').replace('%', 'percent')}-{seed}"
    result = place / "result.json"
    if not result.exists():
        since = time.perf_counter()
        resume = (place / CHECKPOINT).exists()
        train(recipe, overrides=[*overrides, f"seed={seed}"], output=place, resume=resume)
        measured = [record for record in read_lines(place / LINES) if "ap" in record][-1]
        record = {key: measured[key] for key in ("ap", "ap50", "duplicates_per_image")}
        result.write_text(json.dumps({**record, "minutes": (time.perf_counter() - since) / 60}), encoding="utf-8")
    return dict(json.loads(result.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
