import ast
import inspect

import pytest

import e2pose

DOOR = {
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
    "open_sink",
    "open_source",
    "run",
}


def test_door_is_exact() -> None:
    assert set(e2pose.__all__) == DOOR
    assert set(dir(e2pose)) == DOOR


@pytest.mark.parametrize("name", sorted(DOOR))
def test_every_name_opens(name: str) -> None:
    value = getattr(e2pose, name)
    assert isinstance(value, str) if name == "__version__" else value.__name__ == name


def test_types_and_table_name_the_same_places() -> None:
    tree = ast.parse(inspect.getsource(e2pose))
    imports = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("e2pose.")
        for alias in node.names
    }
    assert imports == {name: f"e2pose.{room}" for name, room in e2pose._MODULES.items()}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'e2pose' has no attribute 'laod'"):
        e2pose.laod  # noqa: B018
