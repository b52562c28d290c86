"""Records of a recipe that describe the data: image sets and augmentation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(gt=0, multiple_of=32)]
GridSide = Annotated[int, Field(ge=1, le=4)]


class Record(BaseModel):
    """A frozen part of a recipe that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSetConfig(Record):
    """One set of labelled images; see `e2pose.data.image_sets`."""

    path: str
    """Folder with COCO or CrowdPose annotations and images, or with the `data.yaml` of a YOLO pose data set."""
    annotations: str = "annotations.json"
    """File of COCO or CrowdPose annotations, in the folder."""
    images: str = "images"
    """Folder of their images, in the folder."""
    split: Literal["train", "val", "test"] = "train"
    """Which part of a YOLO pose data set."""
    schema_name: Annotated[str | None, Field(alias="schema")] = None
    """What the keypoints are, if the annotations do not name them as the recipe's schema does: a schema that comes with
    e2pose, or the path of a TOML file."""
    weight: Positive = 1.0
    """Share of the training images drawn from this set, relative to the other sets."""
    holdout: Annotated[int, Field(ge=2)] | None = None
    """Leave every n-th image out of training and measure AP on it while training."""


class DataConfig(Record):
    """What is learned from."""

    root: str = "data"
    """Folder of the sets, relative to where the command runs."""
    sets: Annotated[tuple[DataSetConfig, ...], Field(min_length=1)]
    cache: bool = True
    """Keep all images decoded in memory, no larger than the largest scale of the augmentation needs them: in that of
    the GPU if there is one, which then makes the canvases too."""


class AugmentConfig(Record):
    """How a training image is varied. Lengths are relative to the canvas."""

    flip: Fraction = 0.5
    scale: tuple[Positive, Positive] = (0.75, 1.7)
    """Factor on the size of the fitted image, drawn evenly on a logarithmic scale."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 30.0
    """Largest angle in degrees either way."""
    rotation_chance: Fraction = 0.5
    aspect: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Largest relative change of the aspect ratio either way."""
    shift: Fraction = 0.1
    """Largest shift either way, as a fraction of the canvas."""
    mosaic: Fraction = 0.3
    """Chance that several images share a canvas, side by side."""
    grids: Annotated[tuple[tuple[GridSide, GridSide], ...], Field(min_length=1)] = ((2, 2),)
    """Rows and columns of a mosaic; one of these is drawn."""
    paste: Fraction = 0.0
    """Chance that one to three people from other images are pasted onto a canvas."""
    cutout: Fraction = 0.0
    """Chance that one to three boxes of a canvas are painted over."""
    brightness: Fraction = 0.3
    contrast: Fraction = 0.3
    saturation: Fraction = 0.4
    grey: Fraction = 0.05
    blur: Fraction = 0.05
    noise: Fraction = 0.0
    """Chance of noise as of a small sensor."""
    jpeg: Fraction = 0.0
    """Chance of the marks of strong JPEG compression."""
    clean: Fraction = 0.0
    """Share of the training, at its end, without mosaic, paste, cutout, grey, blur, noise and jpeg."""

    def cleaned(self) -> Self:
        """The same without what is left out at the end of a training."""
        off = ("mosaic", "paste", "cutout", "grey", "blur", "noise", "jpeg")
        return self.model_copy(update=dict.fromkeys(off, 0.0))
