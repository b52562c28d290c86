import ast
from pathlib import Path

import pytest

import e2pose
from e2pose.core import errors

PACKAGES = (
    "core",
    "formats",
    "transforms",
    "render",
    "zoo",
    "runtimes",
    "tracking",
    "inference",
    "evaluation",
    "batch",
)
CLASSES = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.E2PoseError) and value is not errors.MissingExtraError
}


def test_tree_in_the_docstring_lists_all_classes() -> None:
    lines = str(errors.__doc__).splitlines()
    listed = {word for line in lines for word in line.split() if word.endswith(("Error", "Warning"))}
    defined = {name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__}
    assert listed - {"UserWarning"} == defined


@pytest.mark.parametrize("package", PACKAGES)
def test_every_error_has_a_hint(package: str) -> None:
    without = [
        f"{path.name}:{node.lineno}"
        for path in sorted((Path(e2pose.__path__[0]) / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in CLASSES
        if len(node.args) + len(node.keywords) < 2
    ]
    assert without == []
