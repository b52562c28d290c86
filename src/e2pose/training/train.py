"""From a recipe to weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from e2pose.core.errors import TrainingError
from e2pose.core.files import atomic_path
from e2pose.inference.estimator import Estimator
from e2pose.runtimes.torch import TorchRuntime
from e2pose.sinks.images import encode_image
from e2pose.training.devices import launch
from e2pose.training.log import RunLog
from e2pose.training.loop import Progress, train_steps
from e2pose.training.measure import by_name, measure
from e2pose.training.preview import choose_pictures, draw_sheet
from e2pose.training.provenance import describe_environment
from e2pose.training.recipe import Recipe, load_recipe
from e2pose.training.set_up import Training, say_nothing, set_up
from e2pose.training.stopping import StoppedError, StopRequest, explained
from e2pose.training.warm_start import as_in_model

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"
RECIPE = "recipe.json"
ENVIRONMENT = "environment.json"
PREVIEWS = "previews"


@runtime_checkable
class Listener(Protocol):
    """Follows a training. Where several processes train it is pickled, and followed in the first of them."""

    def tell(self, line: str) -> None:
        """Takes a line for people."""

    def step(self, done: int, total: int) -> None:
        """Told after each step."""

    def close(self) -> None:
        """Told at the end, however it came."""


class Lines:
    """Prints lines to stderr."""

    def tell(self, line: str) -> None:
        """Prints a line."""
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    def step(self, done: int, total: int) -> None:
        """Prints nothing."""

    def close(self) -> None:
        """Has nothing to do."""


@dataclass(frozen=True)
class _Order:
    recipe: Recipe
    folder: Path
    root: Path
    resume: bool
    listener: Listener


def train(
    recipe_path: str | Path,
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    resume: bool = False,
    root: str | Path | None = None,
    listener: Listener | None = None,
) -> Path:
    """Trains a network and returns the path of its weights.

    The run's folder holds `weights.safetensors` (the averaged weights, usable at any time), `checkpoint.pt`, the
    numbers as `log.jsonl`, `log.csv`, `curves.png` and for TensorBoard, `previews/`, `recipe.json` and
    `environment.json`. SIGINT and SIGTERM end the training after its current step with a checkpoint.

    Args:
        recipe_path: A TOML file; see `e2pose.training.recipe.Recipe`.
        overrides: Entries of the recipe to change, such as `optim.steps=100`.
        output: Folder of the run; `runs/<name of the recipe>` if None.
        resume: Go on with the run in that folder.
        root: Folder of the image sets, instead of the one in the recipe.
        listener: Follows the training; None prints lines to stderr.

    Raises:
        OptionError: The recipe is wrong.
        AnnotationError: The image sets cannot be used.
        ModelError: The weights to start from cannot be used.
        RuntimeChoiceError: The device is not available.
        TrainingError: There is already a run in the folder, none to resume, the training diverged or the memory is
            full.
        OutputError: A file of the run cannot be written; the one before it is whole.
    """
    recipe = load_recipe(Path(recipe_path), overrides)
    folder = Path(output) if output else Path("runs") / recipe.name
    if not resume and (folder / CHECKPOINT).exists():
        raise TrainingError(
            f"'{folder}' already holds a run", "go on with it by --resume, or choose another folder with -o"
        )
    before = folder / WEIGHTS if resume and (folder / WEIGHTS).exists() else None
    recipe = as_in_model(recipe, before)
    order = _Order(recipe, folder, Path(root or recipe.data.root), resume, listener or Lines())
    return launch(recipe, _train, order)


def _train(fabric: Fabric, order: _Order) -> Path:
    """What each process does."""
    recipe, checkpoint = order.recipe, order.folder / CHECKPOINT if order.resume else None
    tell = order.listener.tell if fabric.is_global_zero else say_nothing
    with explained(recipe), StopRequest() as stop:
        training = set_up(fabric, recipe, order.root, checkpoint=checkpoint, tell=tell)
        run = _Run(fabric, order, training) if fabric.is_global_zero else _Bystander()
        try:
            is_done = train_steps(training.trainer, training.batches, stop=stop, report=run.report, after=run.after)
            if not is_done:
                run.interrupted()
                fabric.barrier()  # whoever waits for the processes takes the end of one for the end of all
                raise StoppedError(stop.signal)
        finally:
            run.close()
    tell(f"written to {order.folder / WEIGHTS}")
    return order.folder / WEIGHTS


class _Bystander:
    """A process that trains and leaves talking and writing to the first one."""

    def report(self, progress: Progress) -> None:
        """Says nothing."""

    def after(self, step: int) -> None:
        """Writes nothing."""

    def interrupted(self) -> None:
        """Saves nothing."""

    def close(self) -> None:
        """Has nothing to do."""


class _Run(_Bystander):
    """The folder of a run and the people who follow it."""

    def __init__(self, fabric: Fabric, order: _Order, training: Training) -> None:
        self._recipe = order.recipe
        self._folder = order.folder
        self._listener = order.listener
        self._sets = training.sets
        self._trainer = training.trainer
        self._device = str(fabric.device)
        _write_json(self._folder / RECIPE, order.recipe.model_dump(mode="json", by_alias=True))
        _write_json(self._folder / ENVIRONMENT, describe_environment(fabric.device))
        self._log = RunLog(self._folder, self._trainer.state.step)
        self._pictures = choose_pictures(self._sets) if order.recipe.preview_every else []

    def report(self, progress: Progress) -> None:
        self._log.write(progress.to_record())
        self._listener.tell(_line(progress, self._recipe.optim.steps))

    def after(self, step: int) -> None:
        recipe = self._recipe
        if self._is_due(recipe.save_every, step):
            self._save()
        if self._is_due(recipe.evaluate_every, step):
            self._measure(step)
        if self._is_due(recipe.preview_every, step):
            self._preview(step)
        if step == recipe.optim.steps:
            self._log.summarise()
        self._listener.step(step, recipe.optim.steps)

    def interrupted(self) -> None:
        self._save()
        self._log.summarise()
        self._listener.tell(f"stopped after step {self._trainer.state.step}; go on with --resume")

    def close(self) -> None:
        self._log.close()
        self._listener.close()

    def _is_due(self, every: int, step: int) -> bool:
        return every > 0 and (step % every == 0 or step == self._recipe.optim.steps)

    def _save(self) -> None:
        state = self._trainer.state
        state.scale = self._trainer.scale
        state.save_weights(self._folder / WEIGHTS)
        state.save(self._folder / CHECKPOINT)

    def _measure(self, step: int) -> None:
        sets = by_name(self._recipe, self._sets)
        numbers = measure(self._estimator(), sets, limit=self._recipe.evaluate_images)
        if numbers:
            self._log.write({"step": step, **numbers})
            self._listener.tell(f"step {step}  held out: " + "  ".join(f"{k} {v:.3f}" for k, v in numbers.items()))

    def _preview(self, step: int) -> None:
        sheet = draw_sheet(self._estimator(), self._pictures)
        with atomic_path(self._folder / PREVIEWS / f"{step:07}.jpg") as temporary:
            temporary.write_bytes(encode_image(sheet, temporary))

    def _estimator(self) -> Estimator:
        state = self._trainer.state
        return Estimator(TorchRuntime(state.average.network, state.spec, self._device))


def _write_json(path: Path, record: object) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _line(progress: Progress, steps: int) -> str:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    return (
        f"step {progress.step}/{steps}  {losses}  rate {progress.rate:.2f}  "
        f"{progress.images_per_s:.1f} images/s  waiting {progress.waiting:.0%}"
    )
