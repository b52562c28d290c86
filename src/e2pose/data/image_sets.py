"""Sets of labelled images in any supported format, with the keypoints of one schema."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.errors import AnnotationError, InputError
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.data.config import DEFAULT_IMAGES, DataSetConfig
from e2pose.data.tool_labels import read_tool_labels
from e2pose.formats.coco import read_coco
from e2pose.formats.data_yaml import read_data_yaml
from e2pose.formats.yolo import list_images, read_yolo
from e2pose.sources.images import IMAGE_SUFFIXES, read_image_size

SCHEMA_FROM_DATA = "data"
"""Schema name of a recipe that uses the keypoints of its first image set."""

_MAX_NAMED_FILES = 3


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One set of labelled images, divided into training images and held-out images."""

    folder: Path  # of the image files
    training: Annotations  # with the omissions and notes of the whole set
    held_out: Annotations  # only used for evaluation during a training
    weight: float  # share of the training images drawn from this set, relative to the other sets


def open_set(config: DataSetConfig, root: Path, schema: KeypointSchema) -> ImageSet:
    """Reads the annotations of a set, with the keypoints of a schema.

    Raises:
        AnnotationError: The annotations cannot be read, list no image or have none of the keypoints.
        SchemaError: The schema named by the set cannot be read.
    """
    path = root / config.path
    if config.background:
        folder = path / config.images
        annotations = _read_background(folder, schema)
    else:
        folder, annotations = read_set(config, root)
    if not annotations.images:
        raise AnnotationError(f"'{path}' lists no images", "remove the set from the recipe")
    annotations = with_schema(annotations, schema, str(path))
    images = annotations.images
    held_out = images[:: config.holdout] if config.holdout else ()
    training = tuple(image for index, image in enumerate(images) if not config.holdout or index % config.holdout)
    return ImageSet(folder, replace(annotations, images=training), Annotations(schema, held_out), config.weight)


def resolve_schema(name: str, sets: Sequence[DataSetConfig], root: Path) -> KeypointSchema:
    """Returns the schema of a recipe: a bundled schema, that of a TOML file, or for "data" that of the first set.

    Sets of background images have no schema.

    Raises:
        SchemaError: The schema cannot be read.
        AnnotationError: The name is "data", and the first set with labels cannot be read.
    """
    if name != SCHEMA_FROM_DATA:
        return load_schema(name)
    labelled = [part for part in sets if not part.background]
    if not labelled:
        raise AnnotationError("all image sets are background", "add an image set with labelled persons to the recipe")
    return read_set(labelled[0], root)[1].schema


def read_set(config: DataSetConfig, root: Path) -> tuple[Path, Annotations]:
    """Returns the folder of a set's image files, and the annotations with their own keypoints.

    The content of the files decides about the format: see docs/guides/data.md.

    Raises:
        AnnotationError: The annotations cannot be read, or do not have as many keypoints as the set's schema.
        SchemaError: The schema named by the set cannot be read.
    """
    path = root / config.path
    schema = None if config.schema_name is None else load_schema(config.schema_name)
    json_path = path / config.annotations
    yaml_path = path if path.suffix in (".yaml", ".yml") else path / "data.yaml"
    labels = read_tool_labels(
        json_path if json_path.is_file() else path,
        images=None if config.images == DEFAULT_IMAGES else path / config.images,
        category=config.category,
        size_of=_read_size,
    )
    if labels is None and not yaml_path.is_file() and not json_path.is_file():
        raise _no_annotations(path, config)
    if labels is not None:
        folder, annotations = labels.folder, labels.annotations
    elif not json_path.is_file():
        folder = read_data_yaml(yaml_path, category=config.category).folder
        annotations = read_yolo(
            yaml_path, config.split, suffixes=IMAGE_SUFFIXES, size_of=_read_size, category=config.category
        )
    else:
        folder = path / config.images
        annotations = read_coco(
            json_path, category=config.category, schema=schema, size_of=lambda name: _read_size(folder / name)
        )
    if schema is None:
        return folder, annotations
    if len(schema) != len(annotations.schema):
        raise AnnotationError(
            f"the schema '{config.schema_name}' has {len(schema)} keypoints, but '{path}' has "
            f"{len(annotations.schema)}",
            "use a schema with the keypoints of the set in the same order",
        )
    return folder, replace(annotations, schema=schema)


def with_schema(annotations: Annotations, schema: KeypointSchema, set_name: str) -> Annotations:
    """Returns the annotations with the keypoints of another schema, matched by name.

    "Left Eye", "left-eye" and "left_eye" are the same name. Keypoints that the annotations do not have count as not
    labelled, so they are not trained on these images; a note names those that the schema does not have. Errors call the
    image set `set_name`.

    Raises:
        AnnotationError: The schemas have no keypoint in common.
    """
    if annotations.schema.keypoints == schema.keypoints:
        return replace(annotations, schema=schema)
    given = annotations.schema.keypoints
    positions = {_normalise(keypoint): index for index, keypoint in enumerate(given)}
    positions |= {keypoint: index for index, keypoint in enumerate(given)}
    sources = np.array([positions.get(name, positions.get(_normalise(name), -1)) for name in schema.keypoints])
    if (sources < 0).all():
        raise AnnotationError(
            f"'{set_name}' has the keypoints {', '.join(given)}, none of which '{schema.name}' has",
            'name the keypoints by a schema with the same order, such as schema = "coco" of the set, or train the own '
            f'keypoints of the set: schema = "{SCHEMA_FROM_DATA}" of the recipe',
        )
    images = tuple(
        replace(
            image,
            persons=tuple(_select_keypoints(person, sources) for person in image.persons),
            labelled_keypoints=tuple(np.flatnonzero(np.isin(sources, image.labelled_keypoints)).tolist()),
        )
        for image in annotations.images
    )
    unused = [keypoint for index, keypoint in enumerate(given) if index not in sources]
    note = f"the schema '{schema.name}' does not have these keypoints, which are omitted: {', '.join(unused)}"
    return replace(annotations, schema=schema, images=images, notes=(*annotations.notes, *([note] if unused else [])))


def _normalise(name: str) -> str:
    return re.sub(r"[\s_.-]+", "_", name.strip().lower())


def _read_background(folder: Path, schema: KeypointSchema) -> Annotations:
    """Returns all image files in a folder as images without persons."""
    if not folder.is_dir():
        raise AnnotationError(
            f"there is no folder '{folder}' of background images",
            "set images of the image set to the folder of the image files, relative to its path",
        )
    files = list_images(folder, IMAGE_SUFFIXES)
    return Annotations(
        schema,
        tuple(
            ImageAnnotation(
                id=number,
                file_name=file.relative_to(folder).as_posix(),
                size_hw=_read_size(file),
                persons=(),
                labelled_keypoints=tuple(range(len(schema))),
            )
            for number, file in enumerate(files, start=1)
        ),
    )


def _read_size(path: Path) -> tuple[int, int]:
    """Returns (height, width) of an image file; (1, 1) if it cannot be read, which a training reports and omits."""
    try:
        return read_image_size(path)
    except (AnnotationError, InputError):
        return 1, 1


def _no_annotations(path: Path, config: DataSetConfig) -> AnnotationError:
    """Returns the error of a set without a file of annotations, which names the files that could be meant."""
    if not path.is_dir():
        hint = "correct the path of the image set, which is relative to data.root of the recipe (--data)"
        return AnnotationError(f"there is no folder '{path}'", hint)
    files = [file for pattern in ("*", "*/*") for file in path.glob(pattern)]
    found = sorted(file.relative_to(path).as_posix() for file in files if file.suffix in (".json", ".yaml", ".yml"))
    shown = ", ".join(f"'{name}'" for name in found[:_MAX_NAMED_FILES])
    shown += f" and {len(found) - _MAX_NAMED_FILES} more" if len(found) > _MAX_NAMED_FILES else ""
    problem = f"'{path}' has neither '{config.annotations}' nor 'data.yaml'"
    if not found:
        return AnnotationError(
            f"{problem}, nor labels of another annotation tool",
            "docs/guides/data.md lists what to export from which tool",
        )
    hint = (
        f'COCO: set annotations = "{found[0]}" of the image set, and images to the folder of the image files'
        if found[0].endswith(".json")
        else f'YOLO: set path = "{Path(config.path, found[0]).as_posix()}" of the image set'
    )
    return AnnotationError(f"{problem}, but {shown}", f"{hint}; e2pose doctor data accepts the file itself")


def _select_keypoints(person: PersonAnnotation, sources: np.ndarray) -> PersonAnnotation:
    """Returns the person with the keypoints of these indices; -1 stands for a keypoint that is not labelled."""
    return replace(
        person,
        keypoints=person.keypoints[sources],
        visibility=np.where(sources < 0, 0, person.visibility[sources]).astype(np.uint8),
    )
