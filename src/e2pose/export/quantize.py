"""Export in int8: a quarter of the size, and faster on CPUs with VNNI or similar instructions."""

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
from e2pose.core.files import atomic_path, check_suffix
from e2pose.core.spec import METADATA_KEY, PRECISION_KEY, ModelSpec
from e2pose.export.equalize import ActivationStats, GraphWeights, correct_biases, equalize, measure_activations
from e2pose.export.sensitivity import LayerSelection, select_layers
from e2pose.export.source import ExportSource
from e2pose.export.verify import Deviation, Images, largest_deviation
from e2pose.inference.preprocess import preprocess
from e2pose.runtimes.base import INPUT
from e2pose.runtimes.onnxruntime import OnnxRuntime

MIN_SIMILARITY = 0.7
"""A quantised model with a lower `pose_similarity` to the original is not written."""

_OPERATORS = ("Conv", "Add", "Clip", "Relu", "MaxPool")
_PRODUCTS_PER_CONVERSION = 300.0
"""Number of products whose extra time in float equals the time to convert one value between integer and float."""
_MAX_TRIAL_IMAGES = 24
_MIN_IMAGES = 2


@dataclass(frozen=True)
class Int8Result:
    """The result of a quantisation.

    Args:
        layers: The quantised layers, and the similarity to the original.
        deviation: The largest differences.
    """

    layers: LayerSelection
    deviation: Deviation


def export_int8(
    source: ExportSource,
    path: str | Path,
    images: Images,
    *,
    check: Callable[[Path], None] | None = None,
    on_trial: Callable[[int], None] | None = None,
) -> Int8Result:
    """Quantises convolutions per output channel, with ranges from images, and keeps sensitive ones in float.

    Args:
        source: The model.
        path: An `.onnx` file, for ONNX Runtime and OpenVINO on CPUs.
        images: At least two RGB images from the deployment domain; a hundred are enough. Every second image calibrates
            the ranges, the others select the layers.
        check: Called with the finished file; raises an error to reject it.
        on_trial: Called after each trial of the layer selection with the maximum number of trials.

    Raises:
        OptionError: The path does not end in `.onnx`, or there are too few images.
        ModelError: The similarity to the original is too low; the file is not written.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    check_suffix(path, ".onnx", "an int8 model")
    if len(images) < _MIN_IMAGES:
        raise OptionError(
            f"int8 needs at least {_MIN_IMAGES} images for calibration, not {len(images)}",
            "add --images with a folder of about a hundred images from the deployment domain",
        )
    trial_images = images[1::2][:_MAX_TRIAL_IMAGES]
    inputs = [_preprocess(image, source.spec) for image in trial_images]
    reference = [source.reference(pixels) for pixels in inputs]
    with _silence_onnxruntime(), TemporaryDirectory() as folder:
        quantizer = _Quantizer(source, Path(folder), images[::2])
        layers = select_layers(
            quantizer.float_costs, lambda names: quantizer.run(names, inputs), reference, source.spec, on_trial
        )
        if not layers.similarity >= MIN_SIMILARITY:
            raise ModelError(
                f"in int8, the similarity of '{source.spec.name}' to the original is {layers.similarity:.2f}; at least "
                f"{MIN_SIMILARITY} is accepted",
                "use more calibration images, taken from the deployment domain",
            )
        with atomic_path(path) as temporary:
            quantizer.write(layers.quantised, temporary)
            deviation = largest_deviation(OnnxRuntime(temporary), source.reference, trial_images, batch_sizes=(1,))
            if check is not None:
                check(temporary)
    return Int8Result(layers, deviation)


class _Quantizer:
    """An equalised and calibrated model that is written with any selection of layers quantised.

    Args:
        source: The model.
        folder: Folder for temporary files.
        images: Calibration images.
    """

    def __init__(self, source: ExportSource, folder: Path, images: Images) -> None:
        self._folder = folder
        self._spec = source.spec
        prepared = folder / "prepared.onnx"
        quant_pre_process(str(source.onnx), str(prepared), skip_symbolic_shape=True)
        self._model = onnx.load(prepared)
        batch_size = self._model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1  # 0 stands for any
        batches = [np.repeat(_preprocess(image, source.spec), batch_size, axis=0) for image in images]
        equalize(self._model, batches)
        for index, node in enumerate(self._model.graph.node):
            node.name = f"{node.op_type}_{index}"
        onnx.save(self._model, prepared)
        feeding = set(_find_feeding_nodes(self._model.graph))
        convolutions = [node for node in self._model.graph.node if node.op_type == "Conv" and node.name in feeding]
        self._connecting = feeding - {node.name for node in convolutions}
        self._ranges = _calibrate(prepared, folder, batches)
        maps = {name for node in convolutions for name in (node.input[0], node.output[0])}
        self._stats = measure_activations(self._model, sorted(maps), batches)
        weights = GraphWeights(self._model.graph)
        self.float_costs = {node.name: _float_cost(node, weights, self._stats) for node in convolutions}

    def run(self, layers: Sequence[str], inputs: Sequence[UInt8[np.ndarray, "_ 3 h w"]]) -> list[Candidates]:
        """Returns the candidates of the model with the named layers quantised."""
        path = self._folder / "trial.onnx"
        self.write(layers, path)
        runtime = OnnxRuntime(path)
        return [runtime(pixels) for pixels in inputs]

    def write(self, layers: Sequence[str], path: Path) -> None:
        """Writes the model with the named layers and the operators between them quantised."""
        selected = set(layers)
        connecting = self._connecting if len(selected) > 1 else set()
        corrected = copy.deepcopy(self._model)
        correct_biases(corrected, selected, self._stats)
        quantizer = QDQQuantizer(
            corrected,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=[node.name for node in self._model.graph.node if node.name in selected | connecting],
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
    """Passes one batch after the other to the calibrator."""

    def __init__(self, batches: Sequence[UInt8[np.ndarray, "batch 3 h w"]]) -> None:
        self._batches = iter([{INPUT: batch} for batch in batches])

    def get_next(self) -> dict[str, Any] | None:
        """Returns the next batch, or None after the last one."""
        return next(self._batches, None)


def _calibrate(model: Path, folder: Path, batches: Sequence[UInt8[np.ndarray, "batch 3 h w"]]) -> Any:  # noqa: ANN401
    """Returns the range of every map: a moving average of the extremes, so that a single image has little influence."""
    calibrator = create_calibrator(
        str(model),
        list(_OPERATORS),
        augmented_model_path=str(folder / "augmented.onnx"),
        extra_options={"moving_average": True},
    )
    calibrator.collect_data(_Reader(batches))
    return calibrator.compute_data()


def _float_cost(convolution: onnx.NodeProto, weights: GraphWeights, stats: Mapping[str, ActivationStats]) -> float:
    """Returns the cost of keeping a convolution in float: conversions of its input and output, and slower products."""
    num_inputs, num_outputs = (stats[name].size for name in (convolution.input[0], convolution.output[0]))
    kernel = weights[convolution.input[1]].shape[1:]
    return num_inputs + num_outputs + num_outputs * float(np.prod(kernel)) / _PRODUCTS_PER_CONVERSION


def _preprocess(image: UInt8[np.ndarray, "_ _ 3"], spec: ModelSpec) -> UInt8[np.ndarray, "1 3 h w"]:
    """Preprocesses an image without cropping: calibration stacks the activations of several images."""
    return preprocess([image], replace(spec, multiple_of=None)).pixels


def _find_feeding_nodes(graph: onnx.GraphProto) -> list[str]:
    """Returns the names of the quantisable nodes whose output reaches a convolution.

    The outputs of the last convolutions are coordinates, for which eight bits are far too few.
    """
    reaching: set[str] = set()
    feeding = []
    for node in reversed(graph.node):  # graph.node is in the order of computation
        is_feeding = bool(reaching.intersection(node.output))
        if is_feeding and node.op_type in _OPERATORS:
            feeding.append(node.name)
        if is_feeding or node.op_type == "Conv":
            reaching.update(node.input)
    return feeding[::-1]


@contextmanager
def _silence_onnxruntime() -> Iterator[None]:
    """Suppresses ONNX Runtime's advice for developers."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
