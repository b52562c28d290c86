"""What a keypoint is: names, edges, mirror partners and tolerances, from a short TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from e2pose.core.errors import SchemaError

_FIELDS = {"name", "keypoints", "edges", "flip_pairs", "sigmas", "groups"}


@dataclass(frozen=True)
class KeypointSchema:
    """The keypoints of a person, or of anything else with keypoints.

    Args:
        name: Short name of the schema.
        keypoints: Distinct keypoint names; their order is the order of every keypoint axis.
        edges: Pairs of keypoint indices that are drawn as lines.
        flip: For each keypoint the index of its partner in a mirrored image; its own index if it has none.
        sigmas: Tolerance of each keypoint as used by object keypoint similarity: the standard deviation of human
            annotators relative to the square root of the person's area.
        groups: Named sets of keypoint indices, such as "head".

    Raises:
        SchemaError: The fields contradict each other.
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    flip: tuple[int, ...]
    sigmas: tuple[float, ...]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        where = f"schema '{self.name}'"
        if count == 0:
            raise SchemaError(f"{where} has no keypoints", "list at least one name under 'keypoints'")
        repeated = sorted({name for name in self.keypoints if self.keypoints.count(name) > 1})
        if repeated:
            raise SchemaError(
                f"{where} names keypoints twice: {', '.join(repeated)}", "give each keypoint its own name"
            )
        if len(self.sigmas) != count or not all(0 < sigma < 1 for sigma in self.sigmas):
            raise SchemaError(
                f"{where} needs {count} sigmas between 0 and 1, one for each keypoint, not {list(self.sigmas)}",
                "0.05 is a fair value where annotators' spread is unknown",
            )
        if len(self.flip) != count or any(not 0 <= partner < count for partner in self.flip):
            raise SchemaError(f"{where} needs {count} flip indices from 0 to {count - 1}, not {list(self.flip)}")
        for index, partner in enumerate(self.flip):
            if self.flip[partner] != index:
                raise SchemaError(
                    f"{where}: '{self.keypoints[index]}' flips to '{self.keypoints[partner]}', which flips to "
                    f"'{self.keypoints[self.flip[partner]]}'",
                    "each keypoint belongs to at most one flip pair",
                )
        for first, second in self.edges:
            if not (0 <= first < count and 0 <= second < count) or first == second:
                raise SchemaError(
                    f"{where} has an edge ({first}, {second}) that does not join two of its {count} keypoints"
                )
        for group, members in self.groups.items():
            if any(not 0 <= member < count for member in members):
                raise SchemaError(f"{where} has a group '{group}' with an index outside 0 to {count - 1}")

    def __len__(self) -> int:
        return len(self.keypoints)

    def side(self, index: int) -> str:
        """The body side of a keypoint, "left", "right" or "middle", by its name."""
        words = _words(self.keypoints[index])
        return next((side for side in ("left", "right") if side in words or side[0] in words), "middle")

    @staticmethod
    def from_names(
        name: str,
        keypoints: Sequence[str],
        *,
        edges: Sequence[Sequence[str]] = (),
        flip_pairs: Sequence[Sequence[str]] = (),
        sigmas: Sequence[float] = (),
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> KeypointSchema:
        """Builds a schema in which keypoints are referred to by name.

        Args:
            name: Short name of the schema.
            keypoints: Keypoint names in order.
            edges: Pairs of names to join.
            flip_pairs: Pairs of names that change places in a mirrored image.
            sigmas: One tolerance per keypoint; 0.05 each if empty, which lies between those of COCO for the face (0.025
                to 0.035) and for limbs (0.062 to 0.107).
            groups: Named sets of keypoint names.

        Raises:
            SchemaError: A name is unknown or the fields contradict each other.
        """
        position = {keypoint: index for index, keypoint in enumerate(keypoints)}

        def index_of(keypoint: str) -> int:
            if keypoint not in position:
                raise SchemaError(
                    f"schema '{name}' refers to an unknown keypoint '{keypoint}'",
                    f"its keypoints are: {', '.join(keypoints)}",
                )
            return position[keypoint]

        flip = list(range(len(keypoints)))
        for pair in flip_pairs:
            first, second = _pair(name, "flip_pairs", pair)
            for one, other in ((index_of(first), index_of(second)), (index_of(second), index_of(first))):
                if flip[one] not in (one, other):
                    raise SchemaError(
                        f"schema '{name}' has '{keypoints[one]}' in two flip pairs",
                        "each keypoint belongs to at most one flip pair",
                    )
                flip[one] = other
        pairs = [_pair(name, "edges", edge) for edge in edges]
        return KeypointSchema(
            name=name,
            keypoints=tuple(keypoints),
            edges=tuple((index_of(first), index_of(second)) for first, second in pairs),
            flip=tuple(flip),
            sigmas=tuple(float(sigma) for sigma in sigmas) or (0.05,) * len(keypoints),
            groups={group: tuple(index_of(member) for member in members) for group, members in (groups or {}).items()},
        )

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> KeypointSchema:
        """Builds a schema from the fields of its TOML or JSON form.

        Raises:
            SchemaError: A field is missing, unknown or wrong.
        """
        unknown = sorted(set(record) - _FIELDS)
        if unknown or "keypoints" not in record or "name" not in record:
            raise SchemaError(
                f"a schema needs 'name' and 'keypoints' and may have {', '.join(sorted(_FIELDS))}; "
                f"received: {', '.join(sorted(record)) or 'nothing'}"
            )
        try:
            return KeypointSchema.from_names(
                str(record["name"]),
                [str(keypoint) for keypoint in record["keypoints"]],
                edges=record.get("edges", ()),
                flip_pairs=record.get("flip_pairs", ()),
                sigmas=record.get("sigmas", ()),
                groups=record.get("groups"),
            )
        except SchemaError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise SchemaError(
                f"schema '{record['name']}' has a field of the wrong kind: {error}",
                "'keypoints' is a list of names, 'edges' and 'flip_pairs' are lists of pairs of names, 'sigmas' is a "
                "list of numbers and 'groups' a table of lists of names",
            ) from error

    def to_record(self) -> dict[str, Any]:
        """The fields of the TOML or JSON form: the inverse of `from_record`."""
        names = self.keypoints
        return {
            "name": self.name,
            "keypoints": list(names),
            "edges": [[names[first], names[second]] for first, second in self.edges],
            "flip_pairs": [[names[i], names[j]] for i, j in enumerate(self.flip) if i < j],
            "sigmas": list(self.sigmas),
            "groups": {group: [names[member] for member in members] for group, members in self.groups.items()},
        }


def find_mirrored_names(keypoints: Sequence[str]) -> list[tuple[str, str]]:
    """Finds the pairs of names that differ in their side alone, such as "left_eye" and "right_eye".

    Args:
        keypoints: Distinct names.
    """
    opposite = {"left": "right", "l": "r"}
    position = {tuple(_words(name)): name for name in keypoints}
    pairs = []
    for name in keypoints:
        words = tuple(_words(name))
        mirrored = tuple(opposite.get(word, re.sub("^left", "right", word)) for word in words)
        if mirrored != words and mirrored in position:
            pairs.append((name, position[mirrored]))
    return pairs


def _words(name: str) -> list[str]:
    """The words of a name, in lower case: "left_eye", "Left Eye" and "leftEye" have the same two."""
    return [word.lower() for word in re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|\d+", name)]


def _pair(schema: str, what: str, pair: Sequence[str]) -> tuple[str, str]:
    if isinstance(pair, str) or len(pair) != 2:
        raise SchemaError(f"schema '{schema}': each entry of '{what}' must be a pair of keypoint names, not {pair!r}")
    return str(pair[0]), str(pair[1])


@cache
def schema_names() -> tuple[str, ...]:
    """The names of the schemas that come with e2pose."""
    files = (resources.files("e2pose.core") / "schemas").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


@cache
def load_schema(name_or_path: str | Path) -> KeypointSchema:
    """Reads a schema that comes with e2pose, by name, or one of the user's, by path.

    Raises:
        SchemaError: There is no such schema, or the file is not a valid one.
    """
    folder = resources.files("e2pose.core") / "schemas"
    try:
        if str(name_or_path) in schema_names():
            text = (folder / f"{name_or_path}.toml").read_text(encoding="utf-8")
        else:
            text = Path(name_or_path).read_text(encoding="utf-8")
        record = tomllib.loads(text)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SchemaError(
            f"cannot read the keypoint schema '{name_or_path}': {error}",
            f"known names: {', '.join(schema_names())}; or give a path",
        ) from error
    return KeypointSchema.from_record(record)
