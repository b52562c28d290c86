"""`e2pose doctor` alone: what is installed here, and what would run a model."""

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

LIBRARIES = ("numpy", "opencv-python-headless", "av", "onnx", "faster-coco-eval", "tensorflow-cpu", "tf2onnx")
SETTINGS = ("E2POSE_HOME", "E2POSE_OFFLINE", "E2POSE_MIRROR")


def machine(*, json_path: Annotated[Path | None, Parameter(name="--json")] = None) -> int:
    """Say what is installed, what would run a model here, and why.

    The exit code is 1 if the default model cannot be run, and 0 otherwise.

    Args:
        json_path: Write it to this file too.
    """
    from e2pose.core.files import atomic_path

    found = examine()
    print("\n".join(lines(found)))
    if json_path is not None:
        with atomic_path(json_path) as temporary:
            temporary.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if found["problem"] else 0


def examine() -> dict[str, Any]:
    """Everything that could matter, by name."""
    from e2pose.core.errors import OutputError
    from e2pose.core.files import check_folder
    from e2pose.runtimes.cpu import usable_cores
    from e2pose.runtimes.probe import probe_runtimes
    from e2pose.runtimes.select import open_runtime
    from e2pose.zoo.cache import cache_folder
    from e2pose.zoo.catalogue import read_catalogue, resolve_model

    found: dict[str, Any] = {
        "e2pose": version("e2pose"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": usable_cores(),
        "libraries": {name: installed(name) for name in LIBRARIES},
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "cache": str(cache_folder("models")),
        "cache_problem": "",
        "model": read_catalogue()[1],
        "problem": "",
    }
    try:
        check_folder(cache_folder("models"))
    except OutputError as error:
        found["cache_problem"] = error.message
    try:
        path = resolve_model("default").path
        found |= {"model_file": str(path), "chosen": open_runtime(path).description}
        found["runtimes"] = [asdict(state) for state in probe_runtimes(path)]
    except E2PoseError as error:
        found["problem"] = error.message
    return found


def installed(name: str) -> str | None:
    """The version of a library; None if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    libraries = ", ".join(f"{name} {number or '-'}" for name, number in found["libraries"].items())
    settings = ", ".join(f"{name}={value}" for name, value in found["settings"].items()) or "none"
    text = [
        f"e2pose     {found['e2pose']}, Python {found['python']}, {found['system']}, {found['cores']} usable cores",
        f"libraries  {libraries}",
        f"settings   {settings}",
        f"cache      {found['cache']}" + (f": {found['cache_problem']}" if found["cache_problem"] else ""),
        "",
    ]
    for state in found.get("runtimes", []):
        text.append(f"{state['name']:<11}  {state['version'] or '-'}")
        text += [f"{'':<11}  works: {one}" for one in state["works"]]
        text += [f"{'':<11}  does not: {one}" for one in state["problems"]]
    if found["problem"]:
        return [*text, f"the default model '{found['model']}' cannot be run: {found['problem']}"]
    return [
        *text,
        "",
        f"would run  {found['model']}, {found['chosen']}",
        f"because    .{found['model_file'].rpartition('.')[2]} files are for "
        f"{found['chosen'].partition(' ')[0]}, on the CPU unless --device says otherwise",
    ]
