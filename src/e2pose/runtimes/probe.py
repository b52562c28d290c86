"""What could run models on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from e2pose.core.errors import E2PoseError
from e2pose.runtimes.options import RuntimeName, RuntimeOptions
from e2pose.runtimes.select import RUNTIMES, open_runtime


@dataclass(frozen=True)
class RuntimeStatus:
    """What is known of a runtime.

    Args:
        name: The runtime.
        version: Of its library; None if that is not installed or cannot be imported.
        works: What runs a model, for each way that works.
        problems: What does not, and why.
    """

    name: RuntimeName
    version: str | None
    works: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def probe_runtimes(model: Path) -> list[RuntimeStatus]:
    """Tries every runtime.

    Args:
        model: An ONNX file to try with.
    """
    return [_state(name, model) for name in RUNTIMES]


def _state(name: RuntimeName, model: Path) -> RuntimeStatus:
    kind = RUNTIMES[name]
    if find_spec(kind.package) is None:
        return RuntimeStatus(name, None, problems=(f"not installed: pip install 'e2pose[{kind.extra}]'",))
    try:
        version = str(import_module(kind.package).__version__)
        works, problems = _TRIALS[name](model)
    except Exception as error:  # whatever a broken installation raises
        return RuntimeStatus(name, None, problems=(f"installed, but cannot be used: {error}",))
    return RuntimeStatus(name, version, tuple(works), tuple(problems))


_Trial = tuple[list[str], list[str]]


def _try(options: list[RuntimeOptions], model: Path) -> _Trial:
    works, problems = [], []
    for one in options:
        try:
            works.append(open_runtime(model, one).description)
        except E2PoseError as error:
            problems.append(error.message)
    return works, problems


def _try_onnxruntime(model: Path) -> _Trial:
    from e2pose.runtimes.onnxruntime import PROVIDERS

    offered = set(import_module("onnxruntime").get_available_providers())
    devices = [device for device, provider in PROVIDERS.items() if provider in offered]
    return _try([RuntimeOptions("onnxruntime", device) for device in devices], model)


def _try_openvino(model: Path) -> _Trial:
    return _try([RuntimeOptions("openvino"), RuntimeOptions("openvino", precision="bf16")], model)


def _try_tensorrt(_: Path) -> _Trial:
    """Looks for a GPU; building an engine would take minutes."""
    from e2pose.runtimes.gpu import Gpu

    try:
        return [f"on cuda:0 ({Gpu(0).name})"], []
    except E2PoseError as error:
        return [], [error.message]


def _try_torch(_: Path) -> _Trial:
    torch = import_module("torch")
    gpus = [f"on cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return [f"on cpu, {torch.get_num_threads()} threads", *gpus], []


_TRIALS: dict[RuntimeName, Callable[[Path], _Trial]] = {
    "onnxruntime": _try_onnxruntime,
    "openvino": _try_openvino,
    "tensorrt": _try_tensorrt,
    "torch": _try_torch,
}
