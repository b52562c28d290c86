"""Prints size, latency, AP and deviation of a model for every available runtime.

python examples/compare_runtimes.py default 'train/*.jpg' val.json val/
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import e2pose
from e2pose.bench.machine import describe_machine
from e2pose.cli.app import main
from e2pose.export.verify import largest_deviation
from e2pose.runtimes.base import Runtime
from e2pose.zoo.catalogue import resolve_model

EXPORTS = {
    "model.onnx": [],
    "f32.xml": [],
    "bf16.xml": ["--precision", "bf16"],
    "int8.onnx": ["--to", "int8"],
}
"""Exported files, and the options of e2pose export."""

RUNS = [
    ("model.onnx", "onnxruntime"),
    ("int8.onnx", "onnxruntime"),
    ("f32.xml", "openvino"),
    ("bf16.xml", "openvino"),
    ("int8.onnx", "openvino"),
]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", help="a name from the catalogue, or a .safetensors file")
parser.add_argument("calibration", help="images for calibration and comparison: a folder or pattern")
parser.add_argument("annotations", type=Path, help="COCO annotations")
parser.add_argument("images", type=Path, help="the folder of the annotated images")
parser.add_argument("--limit", type=int, help="number of annotated images to evaluate")
options = parser.parse_args()
weights = resolve_model(options.model, (".safetensors",)).path

with e2pose.open_source((options.calibration,)) as source:
    images = [frame.image for frame, _ in zip(source, range(20), strict=False)]


def size_mb(path: Path) -> float:
    """Returns the size of a model, including a separate file of weights."""
    weights = path.with_suffix(".bin")
    return sum(part.stat().st_size for part in (path, weights) if part.is_file()) / 1e6


def row(path: Path, runtime: str, reference: Runtime) -> str:
    """Returns a row of the table."""
    estimator = e2pose.load(path, runtime=runtime)
    result = e2pose.evaluate(estimator, options.annotations, options.images, limit=options.limit)
    deviation = largest_deviation(estimator.runtime, reference, images, batch_sizes=(1,))
    network_ms = result.latency["network"].p50_ms
    return (
        f"| {estimator.runtime.description} | {size_mb(path):.1f} | {network_ms:.1f} | {100 * result.metrics.ap:.1f} "
        f"| {deviation.keypoint_px:.2g} | {deviation.score:.1g} | {deviation.similarity:.4f} |"
    )


with TemporaryDirectory() as name:
    folder = Path(name)
    for file, arguments in EXPORTS.items():
        if main(["export", str(weights), str(folder / file), "--images", options.calibration, *arguments]):
            print(f"{file} cannot be exported on this machine", file=sys.stderr)
    reference = e2pose.load(weights, runtime="torch", precision="f32").runtime
    machine, (height, width) = describe_machine(), reference.spec.input_size_hw
    print(
        f"{reference.spec.name}, input {height}x{width}; {machine.cores} threads, {machine.cpu}, load {machine.load}\n"
    )
    print("| runtime | MB | network ms | AP | px | score | similarity |\n|---|---|---|---|---|---|---|")
    print(row(weights, "torch", reference))
    for file, runtime in RUNS:
        if (folder / file).is_file():
            print(row(folder / file, runtime, reference))
