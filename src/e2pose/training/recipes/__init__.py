"""The recipes that come with e2pose."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def recipe_names() -> tuple[str, ...]:
    """Returns the names of the recipes that come with e2pose."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def find_recipe(name_or_path: str | Path) -> Path:
    """Returns the path of a recipe that comes with e2pose, by its name; other paths unchanged.

    Example:
        >>> find_recipe("finetune").name
        'finetune.toml'
    """
    path = Path(name_or_path)
    is_bundled = str(path) in recipe_names() and not path.is_file()
    return FOLDER / f"{path}.toml" if is_bundled else path
