"""Prints size, latency, AP and deviation of one model in every runtime that this machine has.

python examples/runtimes.py default 'train/*.jpg' val.json val/
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
"""Files to write, and the options that make them."""

RUNS = [
    ("model.onnx", "onnxruntime"),
    ("int8.onnx", "onnxruntime"),
    ("f32.xml", "openvino"),
    ("bf16.xml", "openvino"),
    ("int8.onnx", "openvino"),
]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", help="a name from the catalogue, or a .safetensors file")
parser.add_argument("pictures", help="pictures to quantise with and to compare on: a folder or pattern")
parser.add_argument("annotations", type=Path, help="COCO annotations")
parser.add_argument("images", type=Path, help="the folder of the annotated pictures")
parser.add_argument("--limit", type=int, help="look at the first so many annotated pictures only")
options = parser.parse_args()
weights = resolve_model(options.model, (".safetensors",)).path

with e2pose.open_source((options.pictures,)) as source:
    images = [frame.image for frame, _ in zip(source, range(20), strict=False)]


def size_mb(path: Path) -> float:
    """Size of a model, with the file of its weights if that is another one."""
    weights = path.with_suffix(".bin")
    return sum(part.stat().st_size for part in (path, weights) if part.is_file()) / 1e6


def row(path: Path, runtime: str, reference: Runtime) -> str:
    """A line of the table."""
    estimator = e2pose.load(path, runtime=runtime)
    result = e2pose.evaluate(estimator, options.annotations, options.images, limit=options.limit)
    off = largest_deviation(estimator.runtime, reference, images, batches=(1,))
    network_ms = result.latency["network"].p50_ms
    return (
        f"| {estimator.runtime.description} | {size_mb(path):.1f} | {network_ms:.1f} | {100 * result.metrics.ap:.1f} "
        f"| {off.keypoint_px:.2g} | {off.score:.1g} | {off.agreement:.4f} |"
    )


with TemporaryDirectory() as name:
    folder = Path(name)
    for file, how in EXPORTS.items():
        if main(["export", str(weights), str(folder / file), "--pictures", options.pictures, *how]):
            print(f"no {file} on this machine", file=sys.stderr)
    reference = e2pose.load(weights, runtime="torch", precision="f32").runtime
    machine, (height, width) = describe_machine(), reference.spec.input_size_hw
    print(
        f"{reference.spec.name}, canvas {height}x{width}; {machine.cores} threads, {machine.cpu}, load {machine.load}\n"
    )
    print("| runtime | MB | network ms | AP | px | score | agreement |\n|---|---|---|---|---|---|---|")
    print(row(weights, "torch", reference))
    for file, runtime in RUNS:
        if (folder / file).is_file():
            print(row(folder / file, runtime, reference))
