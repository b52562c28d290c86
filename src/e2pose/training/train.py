"""Trains a network from a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from e2pose.core.errors import AnnotationError, E2PoseError, InputError, TrainingError
from e2pose.core.files import expand_home
from e2pose.training.devices import launch
from e2pose.training.interrupts import StoppedError, StopRequest, explained_errors
from e2pose.training.loop import Progress, train_steps
from e2pose.training.recipe import Recipe, load_recipe
from e2pose.training.reporter import TrainingReporter
from e2pose.training.run_folder import CHECKPOINT, WEIGHTS, RunFolder
from e2pose.training.set_up import Training, set_up
from e2pose.training.warm_start import with_initial_network

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train(
    recipe_path: str | Path,
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    resume: bool = False,
    root: str | Path | None = None,
    reporter: TrainingReporter | None = None,
) -> Path:
    """Trains a network and returns the path of its weights.

    The folder of the run contains `weights.safetensors` (the averaged weights, usable at any time), `checkpoint.pt`,
    the log as `log.jsonl`, `log.csv`, `curves.png` and TensorBoard events, `previews/`, `recipe.json` and
    `environment.json`. SIGINT and SIGTERM stop the training after the current step and write a checkpoint.

    Args:
        recipe_path: A TOML file, or the name of a recipe that comes with e2pose; see `e2pose.training.recipe.Recipe`.
        overrides: Changes of the recipe, such as `optim.steps=100`.
        output: Folder of the run; `runs/<name of the recipe>` if None.
        resume: Continue the run in that folder.
        root: Folder of the image sets, instead of the one in the recipe.
        reporter: Reports the progress; None prints lines to stderr.

    Raises:
        OptionError: The recipe is invalid.
        AnnotationError: The image sets cannot be used.
        ModelError: The initial weights cannot be used.
        RuntimeChoiceError: The device is not available.
        TrainingError: The folder already contains a run, or none to resume; the training diverged; or the memory is
            full.
        OutputError: A file of the run cannot be written; its previous version is intact.
    """
    recipe = load_recipe(Path(recipe_path), overrides)
    folder = expand_home(output) if output else Path("runs") / recipe.name
    if not resume and (folder / CHECKPOINT).exists():
        raise TrainingError(
            f"'{folder}' already contains a run", "continue it with --resume, or choose another folder with -o"
        )
    previous = folder / WEIGHTS if resume and (folder / WEIGHTS).exists() else None
    recipe = with_initial_network(recipe, previous)
    root, reporter = expand_home(root or recipe.data.root), reporter or TrainingReporter()
    work = partial(_train, recipe=recipe, folder=folder, root=root, resume=resume, reporter=reporter)
    return launch(recipe, work)


def _train(
    fabric: Fabric, *, recipe: Recipe, folder: Path, root: Path, resume: bool, reporter: TrainingReporter
) -> Path:
    """Trains in every process; only the process of rank 0 writes files and reports."""
    with explained_errors(recipe), StopRequest() as stop:
        training = set_up(fabric, recipe, root, checkpoint=folder / CHECKPOINT if resume else None)
        with closing(train_steps(training.trainer, training.batches, stop)) as steps:
            try:
                if fabric.is_global_zero:
                    _train_and_record(steps, training, recipe, folder, reporter)
                else:
                    for _ in steps:
                        pass
            except StoppedError:
                fabric.barrier()  # the launching process ends all processes as soon as one ends
                raise
    return folder / WEIGHTS


def _train_and_record(
    steps: Iterable[Progress | None], training: Training, recipe: Recipe, folder: Path, reporter: TrainingReporter
) -> None:
    """Takes all steps, reports them and writes the files of the run, also if the training stops early."""
    state, num_errors = training.trainer.state, 0
    with closing(reporter):
        for line in training.summary:
            reporter.message(line)
        with closing(RunFolder(folder, recipe, training)) as run:
            try:
                for progress in steps:
                    _after_step(run, recipe, progress, state.step, reporter)
                    if progress is not None:
                        num_errors = _report_errors(training.batches.errors, num_errors, reporter)
            except (StoppedError, InputError) as error:  # a signal, or images that cannot be read any more
                if state.step > 0 or isinstance(error, StoppedError):
                    run.save()
                    run.log.summarise()
                    reporter.message(f"stopped after step {state.step}; continue with --resume")
                raise
    reporter.message(f"weights written to {folder / WEIGHTS}")


def _after_step(
    run: RunFolder, recipe: Recipe, progress: Progress | None, step: int, reporter: TrainingReporter
) -> None:
    """Logs, saves, evaluates and previews as often as the recipe says, and after the last step."""
    steps = recipe.optim.steps

    def is_due(every: int) -> bool:
        return every > 0 and (step % every == 0 or step == steps)

    if progress is not None:
        run.log.write(progress.to_record())
        reporter.message(_format_progress(progress, steps))
        if not progress.persons_per_image:
            reporter.message("these images contain no labelled person; check [augment] and the labels")
    if is_due(recipe.save_every):
        run.save()
    if is_due(recipe.evaluate_every):
        _evaluate(run, step, reporter)
    if is_due(recipe.preview_every):
        run.write_preview()
    if step == steps:
        run.log.summarise()
    reporter.step(step, steps)


def _evaluate(run: RunFolder, step: int, reporter: TrainingReporter) -> None:
    """Evaluates on held-out images and reports the metrics, or why there are none."""
    try:
        metrics = run.evaluate()
    except (AnnotationError, InputError) as error:  # images that cannot be read any more
        reporter.message(f"step {step}  held-out images were not evaluated: {error.message}")
        return
    if metrics:
        values = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        reporter.message(f"step {step}  held-out images: {values}")


def _report_errors(errors: Mapping[str, E2PoseError], num_reported: int, reporter: TrainingReporter) -> int:
    """Reports images that could not be read since the last report; returns the number of all such images."""
    if len(errors) > num_reported:
        reporter.message(f"replaced images that cannot be read any more: {len(errors)}, the last one: {[*errors][-1]}")
    return len(errors)


def _format_progress(progress: Progress, steps: int) -> str:
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    return (
        f"step {progress.step}/{steps}  {losses}  {progress.persons_per_image:.1f} persons/image  "
        f"rate {progress.rate:.2f}  {progress.images_per_s:.1f} images/s  waiting {progress.waiting:.0%}"
    )
