"""Image sets of any format, with the keypoints of one schema."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from e2pose.core.annotations import Annotations, PersonAnnotation
from e2pose.core.errors import AnnotationError
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.data.config import DataSetConfig
from e2pose.formats.coco import read_coco
from e2pose.formats.yolo import read_yolo, read_yolo_file
from e2pose.sources.images import IMAGE_SUFFIXES, read_image_size
from e2pose.training.recipe import Recipe

SCHEMA_OF_DATA = "data"
"""The schema of a recipe that takes over the keypoints of its first image set."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one set that are learned from, and those held out.

    Args:
        folder: Where the image files are.
        annotations: Images that are learned from.
        heldout: Images of the same set that are not.
        weight: Share of the training images drawn from this set, relative to the other sets.
    """

    folder: Path
    annotations: Annotations
    heldout: Annotations
    weight: float


def open_set(config: DataSetConfig, root: Path, schema: KeypointSchema) -> ImageSet:
    """Reads the annotations of a set, with the keypoints of a schema.

    Raises:
        AnnotationError: They cannot be read, or have no image or none of the keypoints.
        SchemaError: The schema that the set names cannot be read.
    """
    folder, dataset = read_set(config, root)
    if not dataset.images:
        raise AnnotationError(f"'{root / config.path}' lists no image", "remove the set from the recipe")
    dataset = with_schema(dataset, schema, str(root / config.path))
    held = [config.holdout is not None and index % config.holdout == 0 for index in range(len(dataset.images))]
    learned = tuple(image for image, out in zip(dataset.images, held, strict=True) if not out)
    heldout = tuple(image for image, out in zip(dataset.images, held, strict=True) if out)
    return ImageSet(folder, Annotations(schema, learned), Annotations(schema, heldout), config.weight)


def recipe_schema(recipe: Recipe, root: Path) -> KeypointSchema:
    """The keypoints that a recipe's network learns.

    Raises:
        SchemaError: The schema cannot be read.
        AnnotationError: The first set, which it is taken from, cannot be read.
    """
    if recipe.schema_name == SCHEMA_OF_DATA:
        return read_set(recipe.data.sets[0], root)[1].schema
    return load_schema(recipe.schema_name)


def read_set(config: DataSetConfig, root: Path) -> tuple[Path, Annotations]:
    """Reads the annotations of a set with its own keypoints.

    Returns:
        The folder that the file names start from, and the annotations.

    Raises:
        AnnotationError: They cannot be read.
        SchemaError: The schema that the set names cannot be read.
        InputError: The size of a picture of a YOLO pose data set cannot be read.
    """
    place = root / config.path
    annotations = place / config.annotations
    yaml = place if place.suffix in (".yaml", ".yml") else place / "data.yaml"
    if yaml.is_file() and not annotations.is_file():
        folder = read_yolo_file(yaml).folder
        dataset = read_yolo(yaml, config.split, suffixes=IMAGE_SUFFIXES, size_of=read_image_size)
    else:
        folder, dataset = place / config.images, read_coco(annotations)
    if config.schema_name is None:
        return folder, dataset
    schema = load_schema(config.schema_name)
    if len(schema) != len(dataset.schema):
        raise AnnotationError(
            f"the schema '{config.schema_name}' has {len(schema)} keypoints, but '{place}' has {len(dataset.schema)}",
            "name a schema with the keypoints of the set, in their order",
        )
    return folder, replace(dataset, schema=schema)


def with_schema(dataset: Annotations, schema: KeypointSchema, name: str) -> Annotations:
    """The same images with the keypoints of a schema, found by their names.

    Keypoints that the data set does not have are not labelled anywhere, so nothing is learned about them.

    Args:
        dataset: Annotations.
        schema: What the keypoints should be.
        name: What to call the data set in an error.

    Raises:
        AnnotationError: It has none of the keypoints.
    """
    if dataset.schema.keypoints == schema.keypoints:
        return replace(dataset, schema=schema)
    position = {keypoint: index for index, keypoint in enumerate(dataset.schema.keypoints)}
    sources = np.array([position.get(keypoint, -1) for keypoint in schema.keypoints])
    if (sources < 0).all():
        raise AnnotationError(
            f"'{name}' has the keypoints {', '.join(dataset.schema.keypoints)}, none of which '{schema.name}' has",
            "choose the schema of the annotations in the recipe, or give the set a schema with the right names",
        )
    images = tuple(
        replace(
            image,
            persons=tuple(_rearranged(person, sources) for person in image.persons),
            labelled_keypoints=tuple(np.flatnonzero(np.isin(sources, image.labelled_keypoints)).tolist()),
        )
        for image in dataset.images
    )
    return Annotations(schema, images)


def _rearranged(person: PersonAnnotation, sources: np.ndarray) -> PersonAnnotation:
    """The person with keypoints taken from these positions; a negative one is not labelled."""
    return replace(
        person,
        keypoints=person.keypoints[sources],
        visibility=np.where(sources < 0, 0, person.visibility[sources]).astype(np.uint8),
    )
