"""`e2pose doctor` without a subcommand: reports the installation and the usable runtimes."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from e2pose.core.errors import E2PoseError

_LIBRARIES = ("numpy", "opencv-python-headless", "av", "onnx", "faster-coco-eval", "tensorflow-cpu", "tf2onnx")
_VARIABLES = ("E2POSE_HOME", "E2POSE_OFFLINE", "E2POSE_MIRROR")


def machine(*, json_path: Annotated[Path | None, Parameter(name="--json")] = None) -> int:
    """Report the installed libraries, the usable runtimes and the one that runs the default model.

    Exits with 1 if the default model cannot run.

    Args:
        json_path: Also write the report to this JSON file.
    """
    from e2pose.core.files import atomic_path, check_target

    if json_path is not None:
        check_target(json_path)
    report = _inspect()
    print("\n".join(_format(report)))
    if json_path is not None:
        with atomic_path(json_path) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if report["error"] else 0


def _inspect() -> dict[str, Any]:
    from e2pose.core.files import check_folder
    from e2pose.runtimes.cpu import usable_cores
    from e2pose.runtimes.probe import probe_runtimes
    from e2pose.runtimes.select import open_runtime
    from e2pose.zoo.cache import cache_folder
    from e2pose.zoo.catalogue import read_catalogue, resolve_model

    report: dict[str, Any] = {
        "e2pose": version("e2pose"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": usable_cores(),
        "libraries": {name: _installed_version(name) for name in _LIBRARIES},
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "cache": str(cache_folder("models")),
        "cache_error": "",
        "model": read_catalogue()[1],
        "error": "",
    }
    try:
        check_folder(cache_folder("models"))
    except E2PoseError as error:
        report["cache_error"] = error.message
    try:
        path = resolve_model("default").path
        report |= {"model_file": str(path), "runtime": open_runtime(path).description}
        report["runtimes"] = [asdict(state) for state in probe_runtimes(path)]
    except E2PoseError as error:
        report["error"] = error.message
    return report


def _installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _format(report: dict[str, Any]) -> list[str]:
    libraries = ", ".join(f"{name} {number or '-'}" for name, number in report["libraries"].items())
    environment = ", ".join(f"{name}={value}" for name, value in report["environment"].items()) or "no variables set"
    lines = [
        f"e2pose       {report['e2pose']}, Python {report['python']}, {report['system']}, {report['cores']} cores",
        f"libraries    {libraries}",
        f"environment  {environment}",
        f"cache        {report['cache']}" + (f": {report['cache_error']}" if report["cache_error"] else ""),
        "",
    ]
    for state in report.get("runtimes", []):
        lines.append(f"{state['name']:<11}  {state['version'] or '-'}")
        lines += [f"{'':<11}  works: {line}" for line in state["works"]]
        lines += [f"{'':<11}  unavailable: {line}" for line in state["problems"]]
    if report["error"]:
        return [*lines, f"cannot run the default model '{report['model']}': {report['error']}"]
    suffix, runtime = Path(report["model_file"]).suffix, report["runtime"].partition(" ")[0]
    return [
        *lines,
        "",
        f"default      {report['model']}, {report['runtime']}",
        f"reason       {suffix} files run with {runtime}; --device selects another device than the CPU",
    ]
