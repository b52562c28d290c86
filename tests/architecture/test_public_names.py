import ast
import inspect

import pytest

import e2pose

PUBLIC_NAMES = {
    "Affine",
    "E2PoseError",
    "Estimator",
    "Frame",
    "KeypointSchema",
    "ModelSpec",
    "Poses",
    "Smoother",
    "Tracker",
    "__version__",
    "blur_image",
    "draw_poses",
    "evaluate",
    "load",
    "load_schema",
    "open_batch",
    "open_sink",
    "open_source",
    "run",
}


def test_public_names_are_exact() -> None:
    assert set(e2pose.__all__) == PUBLIC_NAMES
    assert set(dir(e2pose)) == PUBLIC_NAMES


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES))
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(e2pose, name)
    assert isinstance(value, str) if name == "__version__" else value.__name__ == name


def test_type_imports_match_the_lazy_imports() -> None:
    tree = ast.parse(inspect.getsource(e2pose))
    imports = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("e2pose.")
        for alias in node.names
    }
    assert imports == {name: f"e2pose.{module}" for name, module in e2pose._MODULES.items()}


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'e2pose' has no attribute 'laod'"):
        e2pose.laod  # noqa: B018
