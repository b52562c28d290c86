"""Finds the annotation tool that wrote a file or folder of labels, from the content.

COCO and YOLO are not in the table: `None` means that a path has none of the formats below.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2pose.core.errors import AnnotationError
from e2pose.formats.coco_categories import CategoryChoice
from e2pose.formats.cvat import read_cvat
from e2pose.formats.deeplabcut import FILES, read_deeplabcut
from e2pose.formats.label_studio import read_label_studio
from e2pose.formats.labelme import read_labelme
from e2pose.formats.sleap import read_sleap
from e2pose.formats.tool_entries import ImageAccess, LabelledImages

_NUM_BYTES = 1 << 16  # at the beginning of a file, enough for its first entries
_MAX_NAMED_FILES = 3


def _is_key(name: str) -> re.Pattern[str]:
    return re.compile(rf'"(?:{name})"\s*:')


_SHAPES, _IMAGE_PATH, _IMAGE_ID = map(_is_key, ("shapes", "imagePath|version", "image_id"))
_TASK = _is_key("data|annotations|completions|annotation_id")
_USUAL_FILES = ("annotations.json", "data.yaml")  # of COCO and YOLO, which take precedence in a folder
_BODYPARTS = re.compile(r"^\s*(multianimal)?(bodyparts|project)\s*:", re.MULTILINE)


@dataclass(frozen=True)
class Tool:
    """An annotation tool, and how its labels are recognised and read."""

    name: str
    suffixes: tuple[str, ...]  # of its files, in lower case
    names: tuple[str, ...]  # patterns of its files in a folder, the most specific first
    is_written_by: Callable[[str], bool]  # from the beginning of a file
    read: Callable[[Path, Path | None, ImageAccess, CategoryChoice], LabelledImages]
    is_folder: bool = False  # whether all files of a folder together are the labels


def _is_hdf5(text: str) -> bool:
    return text.startswith("\x89HDF")


TOOLS = (
    Tool(
        "DeepLabCut",
        (".yaml", ".yml"),
        ("config.yaml",),
        lambda text: _BODYPARTS.search(text) is not None,
        lambda path, _, access, __: read_deeplabcut(path, access),
    ),
    Tool(
        "DeepLabCut",
        (".csv",),
        (f"{FILES}.csv",),
        lambda text: text.startswith("scorer,"),
        lambda path, _, access, __: read_deeplabcut(path, access),
    ),
    Tool("DeepLabCut", (".h5",), (f"{FILES}.h5",), _is_hdf5, lambda path, _, access, __: read_deeplabcut(path, access)),
    Tool("SLEAP", (".slp",), ("*.slp",), _is_hdf5, read_sleap),
    Tool(
        "CVAT",
        (".xml",),
        ("annotations.xml", "*.xml"),
        lambda text: "<annotations" in text,
        lambda path, images, _, category: read_cvat(path, images, category),
    ),
    Tool(
        "LabelMe",
        (".json",),
        ("*.json", "*/*.json"),
        lambda text: text.startswith("{") and bool(_SHAPES.search(text)) and bool(_IMAGE_PATH.search(text)),
        lambda path, images, access, _: read_labelme(path, images, access),
        is_folder=True,
    ),
    Tool(
        "Label Studio",
        (".json",),
        ("*.json",),
        lambda text: text.startswith("[") and bool(_TASK.search(text)) and not _IMAGE_ID.search(text),
        lambda path, images, access, _: read_label_studio(path, images, access),
    ),
)


@dataclass(frozen=True)
class Found:
    """Labels of a tool."""

    tool: Tool
    path: Path  # the file, or the folder of a tool with one file per image

    def read(
        self, access: ImageAccess, *, images: Path | None = None, category: CategoryChoice = None
    ) -> LabelledImages:
        """Reads the labels.

        Args:
            access: Access to the image files.
            images: Folder of the image files; None for the usual places beside the labels.
            category: Name of the skeleton to read, in formats that may have several.

        Raises:
            AnnotationError: The labels cannot be read or have invalid entries.
            MissingExtraError: A package that the format needs is not installed.
        """
        return self.tool.read(self.path, images, access, category)


def find_labels(path: Path) -> Found | None:
    """Returns the labels of an annotation tool in a file or folder; None if there are none.

    Raises:
        AnnotationError: A folder has several files of labels, of which one must be chosen.
    """
    if path.is_file():
        return next((Found(tool, path) for tool in TOOLS if _is_written_by(tool, path)), None)
    usual = next((path / name for name in _USUAL_FILES if (path / name).is_file()), None)
    if usual is not None:
        return find_labels(usual)
    return next((found for tool in TOOLS for pattern in tool.names if (found := _find(tool, path, pattern))), None)


def _find(tool: Tool, folder: Path, pattern: str) -> Found | None:
    """Returns the labels of a tool in the files of a folder that match a pattern."""
    files = (file for file in sorted(folder.glob(pattern)) if _is_written_by(tool, file))
    if tool.is_folder:
        return Found(tool, folder) if any(files) else None
    found = list(files)
    if len(found) > 1:
        names = ", ".join(f"'{file.name}'" for file in found[:_MAX_NAMED_FILES])
        raise AnnotationError(
            f"'{folder}' has {len(found)} files of {tool.name}: {names}", "use the path of one of these files"
        )
    return Found(tool, found[0]) if found else None


def _is_written_by(tool: Tool, path: Path) -> bool:
    if path.suffix.lower() not in tool.suffixes or path.name.startswith("."):
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(_NUM_BYTES)
    except OSError:
        return False
    text = beginning.decode("latin-1")
    return tool.is_written_by(text.removeprefix("\xef\xbb\xbf").lstrip())
