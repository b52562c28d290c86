import json
import pkgutil
import subprocess
import sys

import pytest
from importlinter.cli import lint_imports

import e2pose
from e2pose.cli.app import COMMANDS

HEAVY = {"torch", "torchvision", "cv2", "onnxruntime", "PIL", "av"}


def loaded_after(statement: str) -> set[str]:
    """Returns the packages that a new interpreter has loaded after a statement."""
    report = "; import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", statement + report], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_of(*packages: str) -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(e2pose.__path__, "e2pose.")]
    found = {package: [name for name in names if name.startswith(f"e2pose.{package}")] for package in packages}
    assert all(found.values())
    return [name for modules in found.values() for name in modules]


def test_packages_import_downwards_only(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    monkeypatch.chdir(pytestconfig.rootpath)
    assert lint_imports(cache_dir=None) == 0


def test_core_and_formats_load_numpy_only() -> None:
    assert not loaded_after(f"import {', '.join(modules_of('core', 'formats'))}") & HEAVY


def test_inference_never_loads_torch() -> None:
    packages = (
        "transforms",
        "render",
        "zoo",
        "sources",
        "sinks",
        "tracking",
        "inference",
        "evaluation",
        "batch",
        "bench",
        "runtimes.onnxruntime",
    )
    assert not loaded_after(f"import {', '.join(modules_of(*packages))}") & {"torch", "torchvision", "PIL"}


def test_import_of_e2pose_loads_no_library() -> None:
    assert not loaded_after("import e2pose") & (HEAVY | {"numpy"})


def test_root_help_loads_no_library() -> None:
    assert not loaded_after("from e2pose.cli.app import main; main(['--help'])") & (HEAVY | {"numpy", "pydantic"})


def test_help_of_commands_loads_no_heavy_library() -> None:
    every = f"[main([command, '--help']) for command in {list(COMMANDS)}]"
    assert not loaded_after(f"from e2pose.cli.app import main; assert not any({every})") & HEAVY
