"""Finds out which runtimes and devices work on this machine."""

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
    """The configurations of a runtime that work on this machine, and the reasons why others do not."""

    name: RuntimeName
    version: str | None  # of its library; None if it is not installed or cannot be imported
    works: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def probe_runtimes(model: Path) -> list[RuntimeStatus]:
    """Probes every runtime with an ONNX file."""
    return [_probe(name, model) for name in RUNTIMES]


def _probe(name: RuntimeName, model: Path) -> RuntimeStatus:
    kind = RUNTIMES[name]
    if find_spec(kind.package) is None:
        return RuntimeStatus(name, None, problems=(f"not installed: pip install 'e2pose[{kind.extra}]'",))
    try:
        version = str(import_module(kind.package).__version__)
        works, problems = _PROBES[name](model)
    except Exception as error:  # a broken installation may raise anything
        return RuntimeStatus(name, None, problems=(f"installed, but cannot be used: {error}",))
    return RuntimeStatus(name, version, tuple(works), tuple(problems))


_Findings = tuple[list[str], list[str]]


def _open_all(configurations: list[RuntimeOptions], model: Path) -> _Findings:
    works, problems = [], []
    for options in configurations:
        try:
            works.append(open_runtime(model, options).description)
        except E2PoseError as error:
            problems.append(error.message)
    return works, problems


def _probe_onnxruntime(model: Path) -> _Findings:
    from e2pose.runtimes.onnxruntime import PROVIDERS

    available = set(import_module("onnxruntime").get_available_providers())
    devices = [device for device, provider in PROVIDERS.items() if provider in available]
    return _open_all([RuntimeOptions("onnxruntime", device) for device in devices], model)


def _probe_openvino(model: Path) -> _Findings:
    return _open_all([RuntimeOptions("openvino"), RuntimeOptions("openvino", precision="bf16")], model)


def _probe_tensorrt(_: Path) -> _Findings:
    """Searches for a GPU only, because building an engine takes minutes."""
    from e2pose.runtimes.gpu import Gpu

    try:
        return [f"on cuda:0 ({Gpu(0).name})"], []
    except E2PoseError as error:
        return [], [error.message]


def _probe_torch(_: Path) -> _Findings:
    torch = import_module("torch")
    gpus = [f"on cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return [f"on cpu, {torch.get_num_threads()} threads", *gpus], []


_PROBES: dict[RuntimeName, Callable[[Path], _Findings]] = {
    "onnxruntime": _probe_onnxruntime,
    "openvino": _probe_openvino,
    "tensorrt": _probe_tensorrt,
    "torch": _probe_torch,
}
