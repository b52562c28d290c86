"""A training recipe: one TOML file, read into frozen records that refuse unknown keys."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from e2pose.core.errors import OptionError
from e2pose.core.spec import Fit
from e2pose.data.config import AugmentConfig, Count, DataConfig, Fraction, Positive, Record, Side
from e2pose.models.config import NetworkConfig
from e2pose.training.recipe_keys import assign, nearest_key


class InitialConfig(Record):
    """The weights that a training starts from, and which of them stay as they are."""

    weights: str | None = None
    """A model to fine-tune from: a `.safetensors` file, relative to the current folder, or the name of a model. What
    `[network]` does not set is as in this model. Its schema may differ: keypoints of the same names keep their
    weights."""
    backbone_weights: str | None = None
    """A `.pth` file with ImageNet weights in torchvision's naming, relative to the current folder."""
    freeze_stem: bool = True
    """Do not train the backbone's layers up to stride 4."""
    freeze_batch_norm: bool = True
    """Do not update the statistics of the backbone's batch norms."""


class MatchConfig(Record):
    """How candidates are given to people; see `e2pose.training.matcher`."""

    score_power: Fraction = 0.2
    """Weight of the person score against object keypoint similarity in the quality of a pair."""
    radius: Positive = 2.0
    """A candidate's cell lies within so many strides of the person's centre."""
    cells: Positive = 3.0
    """How many strides the square root of a person's area spans on the level that suits it best."""
    prior: Positive = 0.05
    """Weight of the distance to centre and best level against quality."""
    auxiliary_positives: Count = 6
    """How many further candidates learn the keypoints of a person without primary to be it."""


class LossConfig(Record):
    """Weights of the parts of the loss; see `e2pose.training.losses`."""

    person: Positive = 1.0
    oks: Annotated[float, Field(ge=0)] = 1.0
    distance: Annotated[float, Field(ge=0)] = 3.0
    one_to_many: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the one-to-many person score, which only training has; 0 leaves it out. A person has a primary
    candidate and its auxiliary_positives there, so that 0.1 weighs about as much as 1 for the person score."""
    center: Positive = 0.2
    visibility: Positive = 0.5
    intermediate_tolerance: Positive = 1.0
    """Factor on the tolerances by which keypoints before their last refinement are judged: a draft only has to come
    near, and more tolerance pulls it from farther away."""
    auxiliary_negative_weight: Positive = 1.0
    """Weight of the auxiliary_positives of a person, as background, in the person score: more of it makes fewer duplicates."""
    offset_denoising: Annotated[float, Field(ge=0)] = 0.0
    """Weight of how well the refiners' maps lead to labelled keypoints from all around, wherever the intermediate_keypoints are."""
    score_floor: Fraction = 0.2
    """The person score that a matched candidate should have even if its keypoints are all wrong."""
    non_exhaustive_negative_weight: Fraction = 0.2
    """Weight of background where not everybody is labelled."""


class OptimConfig(Record):
    """AdamW with a linear warm-up and a cosine decay."""

    steps: Annotated[int, Field(gt=0)]
    batch_size: Annotated[int, Field(gt=0)] = 32
    """Images of one step, in all processes together."""
    accumulate: Annotated[int, Field(gt=0)] = 1
    """Share the images of a step out among so many passes through the network, to need less memory."""
    learning_rate: Positive = 1e-3
    backbone_factor: Fraction = 0.3
    """The learning rate of backbone and fine features relative to that of the rest; 0 leaves them as they are."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    warmup_steps: Count = 200
    final_factor: Fraction = 0.02
    """The learning rate at the end relative to its peak."""
    clip_norm: Positive = 5.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    precision: Literal["f32", "bf16", "f16"] = "bf16"
    """Of the network's forward pass; "f16" is for GPUs that have no bf16."""


class Recipe(Record):
    """A whole training."""

    name: str
    schema_name: Annotated[str, Field(alias="schema")] = "coco"
    """A keypoint schema that comes with e2pose, the path of a TOML file, or "data" for that of the first image set."""
    input_size_hw: tuple[Side, Side] = (256, 256)
    fit: Fit = "letterbox"
    seed: int = 0
    licence: str = "Apache-2.0"
    """Licence of the resulting weights."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the network is trained; "auto" takes a GPU if there is one."""
    devices: Annotated[int, Field(gt=0)] = 1
    """Processes on each machine, each with a GPU of its own or, on the CPU, with a share of the cores."""
    nodes: Annotated[int, Field(gt=0)] = 1
    """Machines."""
    workers: Count = 1
    """Processes that prepare images, for each that trains; 0 prepares them in the training process."""
    threads: Count = 0
    """Processor threads for the network; 0 takes them all."""
    compile: bool = False
    """Compile the network for this very machine: minutes at the start, then faster steps. Needs a C++ compiler."""
    log_every: Annotated[int, Field(gt=0)] = 20
    """Steps between two lines of the log."""
    save_every: Annotated[int, Field(gt=0)] = 500
    """Steps between two checkpoints."""
    evaluate_every: Count = 500
    """Steps between two measurements of AP on held-out images; 0 for none."""
    evaluate_images: Annotated[int, Field(gt=0)] = 500
    """At most so many held-out images are measured, evenly chosen."""
    preview_every: Count = 500
    """Steps between two sheets of predictions on always the same images; 0 for none."""
    data: DataConfig
    network: NetworkConfig = NetworkConfig()
    initial: InitialConfig = InitialConfig()
    augment: AugmentConfig = AugmentConfig()
    match: MatchConfig = MatchConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig

    @property
    def processes(self) -> int:
        """How many processes train."""
        return self.devices * self.nodes

    @model_validator(mode="after")
    def _can_be_shared_out(self) -> Self:
        shares = self.processes * self.optim.accumulate
        if self.optim.batch_size % shares:
            raise ValueError(
                f"optim.batch_size {self.optim.batch_size} cannot be shared out evenly among {self.processes} "
                f"processes and {self.optim.accumulate} passes"
            )
        return self


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe: TOML, or JSON as a run leaves it beside its weights.

    Args:
        path: The file.
        overrides: Entries to change, such as `optim.steps=100`; see `e2pose.training.recipe_keys.assign`.

    Raises:
        OptionError: The file cannot be read, or a key is unknown, missing or has a wrong value.
    """
    record = _read(path)
    for assignment in overrides:
        assign(record, assignment)
    try:
        return Recipe.model_validate(record)
    except ValidationError as error:
        problems = "; ".join(map(_problem, error.errors()))
        raise OptionError(f"the recipe '{path}' has wrong entries: {problems}", "see docs/guides/train.md") from error


def _read(path: Path) -> dict[str, Any]:
    is_json = path.suffix.lower() == ".json"
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text) if is_json else tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"cannot read the recipe '{path}': {error}", "give the path of a TOML file") from error
    except ValueError as error:
        raise OptionError(f"the recipe '{path}' is not valid {'JSON' if is_json else 'TOML'}: {error}") from error
    if not isinstance(record, dict):
        raise OptionError(f"the recipe '{path}' is not a table", "give the path of a TOML file")
    return record


def _problem(error: ErrorDetails) -> str:
    """What is wrong with one entry, for people."""
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        meant = nearest_key(Recipe, error["loc"])
        return f"{where}: there is no such key" + (f"; did you mean '{meant}'?" if meant else "")
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message[:1].lower()}{message[1:]}" if where else message
