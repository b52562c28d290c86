"""The record of a job, `job.json`: inputs, model, options, version and manifest. Only an equal job may continue it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from e2pose.batch.manifest import ManifestPart
from e2pose.batch.options import BatchOptions
from e2pose.batch.storage import JobFolder
from e2pose.batch.worker import hash_model
from e2pose.core.errors import InputError, OptionError
from e2pose.runtimes.options import RuntimeOptions

_NAME = "job.json"
_NO_EFFECT = ("threads", "allow_fallback")  # runtime options that do not change the results


@dataclass(frozen=True)
class Job:
    """What a job computes, and from which files.

    Args:
        version: Version of e2pose.
        model_sha256: Hash of the model file.
        options: Options and runtime options, as JSON values.
        inputs: The names of the inputs, absolute.
        parts: The files of the manifest.
    """

    version: str
    model_sha256: str
    options: dict[str, Any]
    inputs: tuple[str, ...] = ()
    parts: tuple[ManifestPart, ...] = ()

    @staticmethod
    def create(options: BatchOptions, runtime: RuntimeOptions) -> Job:
        """Returns the job of these options, without inputs.

        Raises:
            ModelError: The model is unknown or cannot be read.
        """
        values = asdict(options) | {"model": absolute_model(options.model)}
        values |= {name: value for name, value in asdict(runtime).items() if name not in _NO_EFFECT}
        return Job(version("e2pose"), hash_model(options.model, runtime), json.loads(json.dumps(values)))

    @staticmethod
    def read(folder: JobFolder) -> Job | None:
        """Returns the job of a folder; None if it contains none.

        Raises:
            InputError: The record is damaged.
        """
        text = folder.read(_NAME)
        if text is None:
            return None
        try:
            record = json.loads(text)
            parts = tuple(ManifestPart(**part) for part in record["parts"])
            if not parts:
                raise ValueError("it lists no files")  # noqa: TRY301
            return Job(
                **record | {"inputs": tuple(record["inputs"]), "options": dict(record["options"]), "parts": parts}
            )
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"'{folder.address}/{_NAME}' is not the record of a job: {error}", "restore it, or use another folder"
            ) from error

    def write(self, folder: JobFolder) -> None:
        """Writes the record, which starts the job or extends it.

        Raises:
            OutputError: The folder cannot be written.
        """
        folder.write(_NAME, json.dumps(asdict(self), indent=2) + "\n")

    def check_continues(self, started: Job, folder: JobFolder) -> None:
        """Checks that this job computes the same as the one that was started.

        Raises:
            OptionError: It does not.
        """
        ours, theirs = ({"version": job.version, **job.options} for job in (self, started))
        changed = [name for name in ours if ours[name] != theirs.get(name)]
        if changed or self.model_sha256 != started.model_sha256:
            differences = [
                f"{name.replace('_', '-')} is {_show(ours[name])} instead of {_show(theirs.get(name))}"
                for name in changed
            ]
            if self.model_sha256 != started.model_sha256 and "model" not in changed:
                differences.append(f"the model file '{self.options['model']}' has changed")
            raise OptionError(
                f"the job in '{folder.address}' was started differently: {', '.join(differences)}",
                "continue it as it was started, or choose another folder with -o",
            )


def _show(value: object) -> str:
    return "the default" if value is None else repr(value)


def absolute_model(model: str) -> str:
    """Returns the absolute path of a model file, which workers resolve in other folders, or the name of a model."""
    path = Path(model).expanduser()
    return str(path.absolute()) if path.is_file() else model


def check_inputs(job: Job, inputs: Sequence[str], folder: JobFolder) -> None:
    """Checks that the inputs are those of the job.

    Raises:
        OptionError: They are not.
    """
    if unknown := [name for name in inputs if name not in job.inputs]:
        raise OptionError(
            f"the job in '{folder.address}' was started without the input '{unknown[0]}'",
            "add --extend to add its files to the job, or choose another folder with -o",
        )


def extended(job: Job, inputs: Sequence[str], part: ManifestPart) -> Job:
    """Returns a job with further inputs and a further part of the manifest."""
    return replace(job, inputs=tuple(dict.fromkeys((*job.inputs, *inputs))), parts=(*job.parts, part))
