import ast
import re
import sys

import pytest
from packaging.requirements import Requirement

from e2pose.bench.peer_script import E2POSE_MODEL, PEERS, peer_names, read_peer_script

PINNED = re.compile(r"[A-Za-z0-9_.-]+==\d[\w.]*")


def test_bundled_peers() -> None:
    assert set(peer_names()) >= {"mediapipe", "mmpose", "movenet", "openpifpaf", "yolo11"}


@pytest.mark.parametrize("name", peer_names())
def test_all_packages_are_pinned(name: str) -> None:
    script = read_peer_script(PEERS / f"{name}.py")
    packages = [word for step in script.needs.steps for word in step[2:] if not word.startswith("-")]
    assert script.dependencies
    assert [one for one in [*script.dependencies, *packages] if not PINNED.fullmatch(one)] == []
    names = [Requirement(one).name for one in script.dependencies]
    assert names == sorted(set(names))
    assert all(step[:2] == ("pip", "install") for step in script.needs.steps)
    assert script.requires_python.contains("3.11")
    assert script.needs.homepage.startswith("https://")
    assert len({file.name for file in script.needs.files}) == len(script.needs.files)


@pytest.mark.parametrize("name", peer_names())
def test_torch_version_equals_the_constraint_of_the_project(name: str) -> None:
    lines = (PEERS.parents[3] / "constraints-cpu.txt").read_text().splitlines()
    constraint = next(line for line in lines if line.startswith("torch=="))
    torch = [one for one in read_peer_script(PEERS / f"{name}.py").dependencies if one.startswith("torch==")]
    assert torch in ([], [constraint])


@pytest.mark.parametrize("path", sorted(PEERS.glob("*.py")), ids=lambda path: path.stem)
def test_peer_modules_import_only_the_standard_library_and_numpy(path) -> None:
    """Other imports could print or fail before `serve` runs. Only `e2pose_model` may import e2pose."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_start = {name for node in tree.body for name in imported_names(node)}
    siblings = {one.stem for one in PEERS.glob("*.py")}
    translator = {"onnx"} if path.stem == "tfjs_graph" else set()  # imported by peers after the start
    assert at_start <= {*sys.stdlib_module_names, "numpy"} | siblings | translator
    anywhere = {name for node in ast.walk(tree) for name in imported_names(node)}
    assert ("e2pose" in anywhere) == (path.stem == E2POSE_MODEL)


def test_peer_scripts_are_not_a_package() -> None:
    assert not (PEERS / "__init__.py").exists()


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [(node.module or "").partition(".")[0]] if isinstance(node, ast.ImportFrom) else []
