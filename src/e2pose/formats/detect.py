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
    return re.compile(rf'"{name}"\s*:')


_SHAPES, _IMAGE_PATH, _DATA, _IMAGE_ID = map(_is_key, ("shapes", "imagePath|version", "data", "image_id"))
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
        "Label Studio",
        (".json",),
        ("*.json",),
        lambda text: text.startswith("[") and bool(_DATA.search(text)) and not _IMAGE_ID.search(text),
        lambda path, images, access, _: read_label_studio(path, images, access),
    ),
    Tool(
        "LabelMe",
        (".json",),
        ("*.json", "*/*.json"),
        lambda text: text.startswith("{") and bool(_SHAPES.search(text)) and bool(_IMAGE_PATH.search(text)),
        lambda path, images, access, _: read_labelme(path, images, access),
        is_folder=True,
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
    for tool in TOOLS:
        for pattern in tool.names:
            files = [file for file in sorted(path.glob(pattern)) if _is_written_by(tool, file)]
            if files and tool.is_folder:
                return Found(tool, path)
            if len(files) > 1:
                names = ", ".join(f"'{file.name}'" for file in files[:_MAX_NAMED_FILES])
                raise AnnotationError(
                    f"'{path}' has {len(files)} files of {tool.name}: {names}", "use the path of one of these files"
                )
            if files:
                return Found(tool, files[0])
    return None


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
