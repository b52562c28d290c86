"""Training recipes: a TOML file becomes one frozen record that rejects unknown keys."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from e2pose.core.errors import OptionError
from e2pose.core.files import read_text, reason_of
from e2pose.core.spec import Fit
from e2pose.data.config import (
    DEFAULT_FIT,
    DEFAULT_INPUT_SIZE_HW,
    AugmentConfig,
    Count,
    DataConfig,
    FilePath,
    Fraction,
    Integer,
    Positive,
    Real,
    Record,
    Side,
    Text,
)
from e2pose.formats.fields import show
from e2pose.models.config import NetworkConfig
from e2pose.training.recipes import find_recipe, recipe_names

NonNegative = Annotated[Real, Field(ge=0, le=1e30)]
PositiveCount = Annotated[Integer, Field(gt=0, lt=2**31)]


class InitialConfig(Record):
    """The weights that a training starts from, and which of them are frozen."""

    weights: FilePath | None = None
    """A model to fine-tune from: its name, or a `.safetensors` file relative to the current folder. It sets the
    entries of `[network]` that the recipe omits. Its schema may differ: keypoints are matched by name."""
    backbone_weights: FilePath | None = None
    """A `.pth` file with ImageNet weights in torchvision's naming, relative to the current folder."""
    freeze_stem: bool = True
    """Do not train the backbone's layers up to stride 4."""
    freeze_batch_norm: bool = True
    """Do not update the statistics of the backbone's batch norms."""


class MatchConfig(Record):
    """Assignment of candidates to persons; see `e2pose.training.matcher`."""

    score_power: Fraction = 0.2
    """Exponent of the person score in the quality of a pair; that of OKS is 1 minus this value."""
    radius: Positive = 2.0
    """Largest distance of a candidate's cell from the person's centre, in strides."""
    cells: Positive = 3.0
    """Size of a person, the square root of its area, in strides of the level that fits it best."""
    prior: Positive = 0.05
    """Weight of the distances from the centre and from the best level, relative to the quality."""
    auxiliary_positives: Count = 6
    """Largest number of further candidates that learn a person's keypoints, but not its score."""


class LossConfig(Record):
    """Weights of the terms of the loss; see `e2pose.training.losses`."""

    person: Positive = 1.0
    oks: NonNegative = 1.0
    distance: NonNegative = 3.0
    one_to_many: NonNegative = 0.0
    """Weight of the one-to-many person score, an output that only training uses; 0 omits it. Its positives include the
    auxiliary matches, so its weight of 0.1 is comparable to 1 for `person`."""
    center: Positive = 0.2
    visibility: Positive = 0.5
    intermediate_tolerance: Positive = 1.0
    """Factor on the OKS tolerances of keypoints before their last refinement. A higher tolerance accepts approximate
    keypoints and attracts them from a longer distance."""
    auxiliary_negative_weight: Positive = 1.0
    """Weight of auxiliary matches as negatives of the person score. A higher weight reduces duplicates."""
    offset_denoising: NonNegative = 0.0
    """Weight of offset denoising; see `e2pose.training.denoising`."""
    score_floor: Fraction = 0.2
    """Target of a matched candidate's person score if the OKS of its keypoints is 0."""
    non_exhaustive_negative_weight: Fraction = 0.2
    """Weight of negatives in images and boxes where not every person is labelled."""


class OptimConfig(Record):
    """AdamW with a linear warm-up and a cosine decay of the learning rate."""

    steps: PositiveCount
    batch_size: PositiveCount = 32
    """Images of one step in all processes together."""
    accumulate: PositiveCount = 1
    """Forward passes that share the images of a step. More passes need less memory."""
    learning_rate: Positive = 1e-3
    backbone_factor: Fraction = 0.3
    """Learning rate of the backbone and fine features relative to the other layers; 0 freezes them."""
    weight_decay: NonNegative = 0.02
    warmup_steps: Count = 200
    final_factor: Fraction = 0.02
    """Learning rate of the last step relative to its peak."""
    clip_norm: Positive = 5.0
    """Largest norm of the gradient."""
    ema_decay: Annotated[Real, Field(ge=0, lt=1)] = 0.999
    """Share of the old average of the weights that each step keeps."""
    precision: Literal["f32", "bf16", "f16"] = "bf16"
    """Precision of the forward pass; "f16" is for GPUs without bf16."""


class Recipe(Record):
    """All settings of a training."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """Name of the model and of the folder of its run."""
    schema_name: Annotated[Text, Field(alias="schema")] = "coco"
    """A bundled keypoint schema, the path of a TOML file, or "data" for the schema of the first image set."""
    input_size_hw: tuple[Side, Side] = DEFAULT_INPUT_SIZE_HW
    fit: Fit = DEFAULT_FIT
    seed: Annotated[Integer, Field(ge=0, lt=2**63)] = 0
    licence: Text = "Apache-2.0"
    """Licence of the resulting weights."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device of the network; "auto" selects a GPU if there is one."""
    devices: PositiveCount = 1
    """Training processes per machine. Each has its own GPU or, on the CPU, its share of the cores."""
    nodes: PositiveCount = 1
    """Number of machines."""
    workers: Count = 1
    """Processes that prepare images, per training process; 0 prepares them in the training process."""
    threads: Count = 0
    """CPU threads of the network; 0 uses all cores."""
    compile: bool = False
    """Compile the network, which takes minutes at the start and makes steps faster. Needs a C++ compiler."""
    log_every: PositiveCount = 20
    """Steps between two lines of the log."""
    save_every: PositiveCount = 500
    """Steps between two checkpoints."""
    evaluate_every: Count = 500
    """Steps between two evaluations on held-out images; 0 for none."""
    evaluate_images: PositiveCount = 500
    """Largest number of evaluated images, evenly chosen."""
    preview_every: Count = 500
    """Steps between two sheets of predictions, always on the same images; 0 for none."""
    data: DataConfig
    network: NetworkConfig = NetworkConfig()
    initial: InitialConfig = InitialConfig()
    augment: AugmentConfig = AugmentConfig()
    match: MatchConfig = MatchConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig

    @property
    def processes(self) -> int:
        """Number of training processes on all machines."""
        return self.devices * self.nodes

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
            raise ValueError(f"must be the name of a folder, not {name!r}")
        return name

    @model_validator(mode="after")
    def _check_batch_size(self) -> Self:
        if self.optim.batch_size % (self.processes * self.optim.accumulate):
            raise ValueError(
                f"optim.batch_size must be a multiple of devices * nodes * optim.accumulate = "
                f"{self.processes * self.optim.accumulate}, not {self.optim.batch_size}"
            )
        return self


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe from TOML, from the JSON file that a run writes, or by the name of one that comes with e2pose.

    Overrides are assignments such as `optim.steps=100` or `data.sets.0.path="mine"`. A value is written as in TOML;
    text needs no quotes if it is no other valid value.

    Raises:
        OptionError: The file cannot be read, an assignment is invalid, or a key is unknown, missing or has a wrong
            value.
    """
    record = _read(find_recipe(path))
    for assignment in overrides:
        _assign(record, assignment)
    try:
        return Recipe.model_validate(record)
    except ValidationError as error:
        problems = "; ".join(map(_describe_problem, _select_problems(error.errors())))
        raise OptionError(
            f"the recipe '{path}' is invalid: {problems}", "correct these keys; docs/guides/train.md describes them"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise OptionError(f"the recipe '{path}' is a folder", f"use a TOML file in it, such as '{path / 'my.toml'}'")
    is_json = path.suffix.lower() == ".json"
    try:
        text = read_text(path)
        record = json.loads(text) if is_json else tomllib.loads(text)
    except (OSError, UnicodeError) as error:
        reason = reason_of(error)
        raise OptionError(
            f"cannot read the recipe '{path}': {reason}",
            f"use the path of a TOML file, or the name of a recipe that comes with e2pose: {', '.join(recipe_names())}",
        ) from error
    except (ValueError, RecursionError) as error:
        syntax = "JSON" if is_json else "TOML"
        raise OptionError(
            f"the recipe '{path}' is not valid {syntax}: {error}",
            "correct this line; docs/guides/train.md has an example",
        ) from error
    if not isinstance(record, dict):
        raise OptionError(f"the recipe '{path}' is not a table", "use the path of a TOML file")
    return record


def _assign(record: dict[str, Any], assignment: str) -> None:
    """Sets an entry of the record, creating missing tables."""
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise OptionError(f"--set requires KEY=VALUE, not '{assignment}'", "for example: --set optim.steps=100")
    *path, last = key.strip().split(".")
    value = _parse_value(assignment, text.strip())
    table: Any = record
    try:
        for name in path:
            table = table.setdefault(name, {}) if isinstance(table, dict) else table[int(name)]
        table[last if isinstance(table, dict) else int(last)] = value
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise OptionError(
            f"the recipe has no entry '{key}'", "use the names of tables, and numbers from 0 for the entries of lists"
        ) from error


def _parse_value(assignment: str, text: str) -> object:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError) as error:
        if text[:1] not in ("", "'", '"', "[", "{"):
            return text
        raise OptionError(
            f"the value in '{assignment}' is not valid TOML: {error}",
            "quote the assignment in the shell: --set 'input_size_hw=[320, 320]'",
        ) from error
    if set(parsed) != {"value"}:
        raise OptionError(f"'{assignment}' sets more than one entry", "repeat --set for each entry")
    return parsed["value"]


def _select_problems(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Returns the errors without those of a list that is only too short because its entries are invalid."""
    invalid = [error["loc"][:-1] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short" or not any(path[: len(error["loc"])] == error["loc"] for path in invalid)
    ]


def _describe_problem(error: ErrorDetails) -> str:
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        nearest = _nearest_key(error["loc"])
        return f"{where}: unknown key" + (f"; did you mean '{nearest}'?" if nearest else "")
    if error["type"] == "missing":
        return f"{where}: this key is required"
    message = error["msg"].removeprefix("Value error, ")
    if message.startswith("Input should") and ", got " not in message:
        message = f"{message}, not {show(error['input'])}"
    return f"{where}: {message[:1].lower()}{message[1:]}" if where else message


def _nearest_key(unknown: Sequence[str | int]) -> str | None:
    """Returns the dotted key that resembles an unknown one most, or one that ends like it in another table."""
    *path, last = [str(part) for part in unknown if not isinstance(part, int)]
    known = list(_dotted_keys(Recipe))
    close = get_close_matches(".".join([*path, last]), known, 1, cutoff=0.7)
    elsewhere = [key for key in known if get_close_matches(last, [key.split(".")[-1]], 1, cutoff=0.8)]
    return next(iter([*close, *elsewhere]), None)


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yields all keys of a record and its nested records, such as `optim` and `optim.steps`."""
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        yield key
        for part in _nested_types(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _dotted_keys(part, f"{key}.")


def _nested_types(annotation: object) -> Iterator[object]:
    yield annotation
    for part in get_args(annotation):
        yield from _nested_types(part)
