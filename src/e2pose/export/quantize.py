"""A model in integers of eight bits: a quarter of the size, and quicker on CPUs with VNNI or the like."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from jaxtyping import UInt8
from onnxruntime.quantization import CalibrationDataReader, QuantType, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from e2pose.core.candidates import Candidates
from e2pose.core.errors import ModelError, OptionError
from e2pose.core.files import atomic_path
from e2pose.core.spec import METADATA_KEY, PRECISION_KEY, ModelSpec
from e2pose.export.equalize import Activity, Weights, correct_biases, equalize, watch
from e2pose.export.sensitivity import Choice, choose_layers
from e2pose.export.source import ExportSource
from e2pose.export.verify import Deviation, Images, largest_deviation
from e2pose.inference.preprocess import preprocess
from e2pose.runtimes.base import INPUT
from e2pose.runtimes.onnxruntime import OnnxRuntime

MIN_AGREEMENT = 0.7
"""A quantised model that agrees less with the model that it was made from is not written."""

_OPERATORS = ("Conv", "Add", "Clip", "Relu", "MaxPool")
_PRODUCTS_PER_VALUE = 300.0  # as many take in float longer than in integers as it takes to bring a value over
_MOST_TRIED = 24  # pictures on which layers are tried
_FEWEST = 2


@dataclass(frozen=True)
class Quantised:
    """What came of a quantisation.

    Args:
        layers: Which layers were quantised, and how far the result agrees with the original.
        deviation: The largest differences.
    """

    layers: Choice
    deviation: Deviation


def export_int8(
    source: ExportSource,
    path: str | Path,
    images: Images,
    *,
    accept: Callable[[Path], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Quantised:
    """Quantises convolutions, per channel, with ranges seen on pictures, and leaves sensitive ones in float.

    Args:
        source: The model.
        path: An `.onnx` file, for ONNX Runtime and OpenVINO on CPUs.
        images: RGB pictures like those that the model will see, at least two; a hundred are enough. Every second one
            shows the ranges, the others show which layers are sensitive.
        accept: Looks at the finished file and raises if it is not good enough.
        progress: Told after each try of a choice of layers how many there will be at most.

    Raises:
        OptionError: The path does not end in `.onnx`, or there are too few pictures.
        ModelError: The result agrees too little with the model; then there is no file.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise OptionError(f"a quantised model must end in .onnx, but '{path}' does not", "give another name")
    if len(images) < _FEWEST:
        raise OptionError(
            f"quantising needs at least {_FEWEST} pictures to see what values occur, not {len(images)}",
            "add --pictures with a folder of about a hundred pictures like those the model will see",
        )
    tried = images[1::2][:_MOST_TRIED]
    canvases = [_whole_canvas(image, source.spec) for image in tried]
    truth = [source.reference(pixels) for pixels in canvases]
    with _quiet(), TemporaryDirectory() as folder:
        room = _Workshop(source, Path(folder), images[::2])
        choice = choose_layers(
            room.prices, lambda names: room.candidates(names, canvases), truth, source.spec, progress
        )
        if not choice.agreement >= MIN_AGREEMENT:
            raise ModelError(
                f"quantised, '{source.spec.name}' agrees with itself by {choice.agreement:.2f} only; at least "
                f"{MIN_AGREEMENT} is accepted",
                "give more pictures, and such as the model will see",
            )
        with atomic_path(path) as temporary:
            room.write(choice.quantised, temporary)
            runtime = OnnxRuntime(temporary)
            deviation = largest_deviation(runtime, source.reference, tried, batches=(1,))
            if accept is not None:
                accept(temporary)
    return Quantised(choice, deviation)


class _Workshop:
    """A model with known ranges of values, of which layers can be quantised."""

    def __init__(self, source: ExportSource, folder: Path, images: Images) -> None:
        self._folder = folder
        self._spec = source.spec
        prepared = folder / "prepared.onnx"
        quant_pre_process(str(source.onnx), str(prepared), skip_symbolic_shape=True)
        self._model = onnx.load(prepared)
        batch = self._model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1  # 0 stands for any
        canvases = [np.repeat(_whole_canvas(image, source.spec), batch, axis=0) for image in images]
        equalize(self._model, canvases)
        for index, node in enumerate(self._model.graph.node):
            node.name = f"{node.op_type}_{index}"
        onnx.save(self._model, prepared)
        inner = _feeding_convolutions(self._model.graph)
        convolutions = [node for node in self._model.graph.node if node.op_type == "Conv" and node.name in set(inner)]
        self._between = set(inner) - {node.name for node in convolutions}
        calibrator = create_calibrator(
            str(prepared),
            list(_OPERATORS),
            augmented_model_path=str(folder / "watched.onnx"),
            extra_options={"moving_average": True},  # of the extremes of the pictures: one odd picture counts little
        )
        calibrator.collect_data(_Reader(canvases))
        self._ranges = calibrator.compute_data()
        maps = {name for node in convolutions for name in (node.input[0], node.output[0])}
        self._activity = watch(self._model, sorted(maps), canvases)
        weights = Weights(self._model.graph)
        self.prices = {node.name: _price(node, weights, self._activity) for node in convolutions}

    def candidates(self, layers: Sequence[str], canvases: Sequence[UInt8[np.ndarray, "_ 3 h w"]]) -> list[Candidates]:
        """What the model says with these layers quantised."""
        path = self._folder / "tried.onnx"
        self.write(layers, path)
        runtime = OnnxRuntime(path)
        return [runtime(pixels) for pixels in canvases]

    def write(self, layers: Sequence[str], path: Path) -> None:
        """Writes the model with these layers quantised, and what lies between them."""
        chosen = set(layers)
        between = self._between if len(chosen) > 1 else set()
        corrected = copy.deepcopy(self._model)
        correct_biases(corrected, chosen, self._activity)
        quantizer = QDQQuantizer(
            corrected,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=[node.name for node in self._model.graph.node if node.name in chosen | between],
            nodes_to_exclude=[],
            op_types_to_quantize=list(_OPERATORS),
            extra_options={},
        )
        quantizer.quantize_model()
        model = quantizer.model.model
        used = {node.domain for node in model.graph.node}
        versions = [entry for entry in model.opset_import if entry.domain in used]
        del model.opset_import[:]
        model.opset_import.extend(versions)
        model.producer_name, model.graph.name = "e2pose", self._spec.name
        onnx.helper.set_model_props(model, {METADATA_KEY: self._spec.to_json(), PRECISION_KEY: "int8"})
        path.write_bytes(model.SerializeToString())


class _Reader(CalibrationDataReader):  # type: ignore[misc] # ONNX Runtime has no types
    """Gives the calibrator one canvas after the other."""

    def __init__(self, canvases: Sequence[UInt8[np.ndarray, "batch 3 h w"]]) -> None:
        self._batches = iter([{INPUT: canvas} for canvas in canvases])

    def get_next(self) -> dict[str, Any] | None:
        """The next canvas; None after the last."""
        return next(self._batches, None)


def _price(convolution: onnx.NodeProto, weights: Weights, activity: Mapping[str, Activity]) -> float:
    """What leaving a convolution in float costs: values that go from integers to float and back, and products."""
    read, given = (activity[name].size for name in (convolution.input[0], convolution.output[0]))
    kernel = weights[convolution.input[1]].shape[1:]
    return read + given + given * float(np.prod(kernel)) / _PRODUCTS_PER_VALUE


def _whole_canvas(image: UInt8[np.ndarray, "_ _ 3"], spec: ModelSpec) -> UInt8[np.ndarray, "1 3 h w"]:
    """An image on a canvas that is not shortened: activations of different pictures are laid side by side."""
    return preprocess([image], replace(spec, multiple_of=None)).pixels


def _feeding_convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that can be quantised and whose result, on some way, reaches a convolution.

    The last convolutions give coordinates, and what follows is arithmetic with them: eight bits are far too few.
    """
    reaching: set[str] = set()
    feeding = []
    for node in reversed(graph.node):  # which are in the order of computation
        feeds = bool(reaching.intersection(node.output))
        if feeds and node.op_type in _OPERATORS:
            feeding.append(node.name)
        if feeds or node.op_type == "Conv":
            reaching.update(node.input)
    return feeding[::-1]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps ONNX Runtime's advice to developers away from the user."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
