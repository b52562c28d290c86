"""The parts of a recipe that describe image sets and augmentation."""

from __future__ import annotations

import os.path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from e2pose.core.spec import Fit


def _reject_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")  # noqa: TRY004 - pydantic converts it
    return value


def _reject_zero_byte(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character U+0000")
    return text


Real = Annotated[float, BeforeValidator(_reject_boolean)]
Integer = Annotated[int, BeforeValidator(_reject_boolean)]
Text = Annotated[str, AfterValidator(_reject_zero_byte)]
FilePath = Annotated[Text, AfterValidator(os.path.expanduser)]
"""A path in a recipe, in which `~` stands for the home folder."""

Fraction = Annotated[Real, Field(ge=0, le=1)]
Positive = Annotated[Real, Field(gt=0, le=1e30)]
Count = Annotated[Integer, Field(ge=0, lt=2**31)]
Side = Annotated[Integer, Field(gt=0, le=16384, multiple_of=32)]
Scale = Annotated[Real, Field(ge=0.01, le=100)]
GridSide = Annotated[Integer, Field(ge=1, le=4)]


DEFAULT_INPUT_SIZE_HW = (256, 256)
"""Input size of recipes that set none."""

DEFAULT_FIT: Fit = "letterbox"
"""Fit of recipes that set none."""


class Record(BaseModel):
    """A frozen part of a recipe that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


DEFAULT_IMAGES = "images"
"""Folder of the image files of an image set, where it is not stated."""


class DataSetConfig(Record):
    """One set of labelled images; see `e2pose.data.image_sets`."""

    path: FilePath
    """Folder with COCO or CrowdPose annotations and images, or with the `data.yaml` of a YOLO pose data set; or the
    labels of DeepLabCut, SLEAP, CVAT, Label Studio or LabelMe, a file or its folder."""
    annotations: Text = "annotations.json"
    """File of the annotations, relative to `path`, if `path` is a folder of them."""
    images: Text = DEFAULT_IMAGES
    """Folder of their image files, relative to `path`."""
    split: Literal["train", "val", "test"] = "train"
    """Split of a YOLO pose data set."""
    category: Text | Integer | tuple[Text | Integer, ...] | None = None
    """Category (in CVAT and SLEAP: skeleton) to read, by name or id, where several have keypoints; several with the
    same keypoints; "*" for all."""
    schema_name: Annotated[Text | None, Field(alias="schema")] = None
    """Names of the keypoints where the annotations have none or others than the recipe's schema: a schema that comes
    with e2pose, or the path of a TOML file."""
    background: bool = False
    """Use all image files in the folder `images` as images without persons; annotations are not read."""
    weight: Positive = 1.0
    """Share of the training images drawn from this set, relative to the other sets."""
    holdout: Annotated[Integer, Field(ge=2)] | None = None
    """Hold out every n-th image: exclude it from training and evaluate on it during the training."""

    @model_validator(mode="after")
    def _check_background(self) -> Self:
        fields = {"annotations": "annotations", "split": "split", "category": "category", "schema_name": "schema"}
        default = type(self).model_fields
        useless = [key for name, key in fields.items() if getattr(self, name) != default[name].default]
        if self.background and useless:
            raise ValueError(f"a set with background = true has no annotations; omit {' and '.join(useless)}")
        return self


class DataConfig(Record):
    """The images of a training."""

    root: FilePath = "data"
    """Folder of the sets, relative to the working directory."""
    sets: Annotated[tuple[DataSetConfig, ...], Field(min_length=1)]
    cache: bool = True
    """Keep all images decoded in memory, at no more than the resolution that the largest scale of the augmentation
    needs. Forked worker processes (Linux) share this memory."""


class AugmentConfig(Record):
    """Augmentation of the training images. Lengths are relative to the input size."""

    flip: Fraction | Literal["auto"] = "auto"
    """Chance of a horizontal flip; "auto" is 0.5, or 0 if keypoints lack flip pairs, see `e2pose.data.mirroring`."""
    scale: tuple[Scale, Scale] = (0.75, 1.7)
    """Range of the factor on the size of the fitted image, uniform on a logarithmic scale."""
    rotation: Annotated[Real, Field(ge=0, le=180)] = 30.0
    """Largest rotation in degrees in either direction."""
    rotation_chance: Fraction = 0.5
    """Chance of a rotation."""
    aspect: Annotated[Real, Field(ge=0, lt=1)] = 0.1
    """Largest relative change of the aspect ratio."""
    shift: Fraction = 0.1
    """Largest shift in either direction."""
    mosaic: Fraction = 0.3
    """Chance that several images share one training image, side by side."""
    grids: Annotated[tuple[tuple[GridSide, GridSide], ...], Field(min_length=1)] = ((2, 2),)
    """Layouts (rows, columns) of a mosaic; one of them is drawn."""
    paste: Fraction = 0.0
    """Chance that one to three persons of other images are pasted."""
    cutout: Fraction = 0.0
    """Chance that one to three boxes are filled with a colour."""
    brightness: Fraction = 0.3
    """Largest change of the brightness, relative to half of the range of values."""
    contrast: Fraction = 0.3
    """Largest relative change of the contrast."""
    saturation: Fraction = 0.4
    """Largest relative change of the saturation."""
    grey: Fraction = 0.05
    """Chance of greyscale."""
    blur: Fraction = 0.05
    """Chance of blur."""
    noise: Fraction = 0.0
    """Chance of the noise of a small sensor."""
    jpeg: Fraction = 0.0
    """Chance of strong JPEG compression."""
    clean: Fraction = 0.0
    """Share of the training, at its end, without mosaic, paste, cutout, grey, blur, noise and jpeg."""

    @model_validator(mode="after")
    def _check_scale(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"augment.scale must be [smallest, largest], not {list(self.scale)}")
        return self

    @property
    def flip_chance(self) -> float:
        """The chance of a horizontal flip, in [0, 1]."""
        return 0.5 if self.flip == "auto" else self.flip

    def cleaned(self) -> Self:
        """Returns the configuration of the last part of a training, see `clean`."""
        disabled = ("mosaic", "paste", "cutout", "grey", "blur", "noise", "jpeg")
        return self.model_copy(update=dict.fromkeys(disabled, 0.0))
