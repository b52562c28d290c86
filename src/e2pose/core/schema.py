"""Keypoint schemas: names, edges, left-right partners and tolerances, read from short TOML files."""

from __future__ import annotations

import reprlib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from e2pose.core.arguments import check_path, check_type
from e2pose.core.errors import SchemaError
from e2pose.core.files import read_text, reason_of
from e2pose.core.sides import find_mirrored_names, parts_of, side_of

_FIELDS = {"name", "keypoints", "edges", "flip_pairs", "sigmas", "groups"}
_PAIRS, _NUMBERS, _NAMES, _TABLE = (
    "a list of pairs",
    "a list of numbers",
    "a list of names",
    "a table of lists of names",
)
_KINDS = {"keypoints": _NAMES, "edges": _PAIRS, "flip_pairs": _PAIRS, "sigmas": _NUMBERS, "groups": _TABLE}
_HEAD_PART_NAMES = """
    brow cheek chin ear eye eyebrow face forehead head jaw lip mouth muzzle nose nostril pupil skull snout
"""
_HEAD_PARTS = frozenset(_HEAD_PART_NAMES.split())
_SCHEMAS = Path(__file__).with_name("schemas")


@dataclass(frozen=True)
class KeypointSchema:
    """The keypoints of a person, or of any other kind of object.

    Args:
        name: Short name of the schema.
        keypoints: Distinct keypoint names; their order is the order of every keypoint axis.
        edges: Pairs of keypoint indices that are drawn as lines.
        flip: For each keypoint, the index of its partner in a mirrored image; its own index if it has no partner.
        sigmas: Tolerance of each keypoint for object keypoint similarity: the standard deviation of human annotators
            relative to the square root of the person's area.
        groups: Named sets of keypoint indices, such as "head".

    Raises:
        SchemaError: The fields are inconsistent.
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    flip: tuple[int, ...]
    sigmas: tuple[float, ...]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        schema = f"schema '{self.name}'"
        indices = f"use indices from 0 to {count - 1}"
        if count == 0:
            raise SchemaError(f"{schema} has no keypoints", "list at least one name under 'keypoints'")
        repeated = sorted({name for name in self.keypoints if self.keypoints.count(name) > 1})
        if repeated:
            raise SchemaError(f"{schema} repeats keypoint names: {', '.join(repeated)}", "make each name unique")
        if len(self.sigmas) != count or not all(0 < sigma < 1 for sigma in self.sigmas):
            raise SchemaError(
                f"{schema} needs {count} sigmas between 0 and 1, one for each keypoint, not {list(self.sigmas)}",
                "use 0.05 where the spread of the annotators is unknown",
            )
        if len(self.flip) != count or any(not 0 <= partner < count for partner in self.flip):
            raise SchemaError(f"{schema} needs {count} valid flip indices, not {list(self.flip)}", indices)
        for index, partner in enumerate(self.flip):
            if self.flip[partner] != index:
                raise SchemaError(
                    f"{schema}: '{self.keypoints[index]}' flips to '{self.keypoints[partner]}', which flips to "
                    f"'{self.keypoints[self.flip[partner]]}'",
                    "put each keypoint into one flip pair at most",
                )
        for first, second in self.edges:
            if not (0 <= first < count and 0 <= second < count) or first == second:
                raise SchemaError(f"{schema} has an edge ({first}, {second}) that does not join two keypoints", indices)
        for group, members in self.groups.items():
            if any(not 0 <= member < count for member in members):
                raise SchemaError(f"{schema} has a group '{group}' with an invalid index: {list(members)}", indices)

    def __len__(self) -> int:
        return len(self.keypoints)

    def side(self, index: int) -> str:
        """Returns the body side of a keypoint, "left", "right" or "middle", according to its name and its partner's."""
        name, partner = self.keypoints[index], self.keypoints[self.flip[index]]
        for left, _ in find_mirrored_names([name, partner]):
            return "left" if left == name else "right"
        return side_of(name)

    def indices_of_parts(self, parts: Collection[str]) -> tuple[int, ...]:
        """Returns the keypoints with one of the parts in their names, on any side: "left_eye" is an "eye"."""
        return tuple(index for index, name in enumerate(self.keypoints) if not parts_of(name).isdisjoint(parts))

    @property
    def head(self) -> tuple[int, ...]:
        """Indices of the keypoints of the head: the group "head", or by name if there is no such group."""
        return self.groups["head"] if "head" in self.groups else self.indices_of_parts(_HEAD_PARTS)

    def unpaired_sides(self) -> tuple[str, ...]:
        """Returns the names of keypoints with a side but without a partner, such as a misspelt "left_wirst"."""
        return tuple(
            name for index, name in enumerate(self.keypoints) if self.flip[index] == index and side_of(name) != "middle"
        )

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
        """Builds a schema from fields that refer to keypoints by name.

        Args:
            name: Short name of the schema.
            keypoints: Keypoint names in order.
            edges: Pairs of names to join.
            flip_pairs: Pairs of names that change places in a mirrored image.
            sigmas: One tolerance per keypoint; 0.05 each if empty, which lies between those of COCO for the face (0.025
                to 0.035) and for limbs (0.062 to 0.107).
            groups: Named sets of keypoint names.

        Raises:
            SchemaError: A name is unknown or the fields are inconsistent.
        """
        check_type("the name of a schema", name, str, hint="use a short word", error=SchemaError)
        fields = {
            "keypoints": keypoints,
            "edges": edges,
            "flip_pairs": flip_pairs,
            "sigmas": sigmas,
            "groups": {} if groups is None else groups,
        }
        for field_name, value in fields.items():
            if not _is_of_kind(value, _KINDS[field_name]):
                raise SchemaError(
                    f"schema '{name}': '{field_name}' must be {_KINDS[field_name]}, not {reprlib.repr(value)}",
                    "correct this field",
                )
        keypoints = [str(keypoint) for keypoint in keypoints]
        position = {keypoint: index for index, keypoint in enumerate(keypoints)}

        def index_of(keypoint: str) -> int:
            if keypoint not in position:
                raise SchemaError(
                    f"schema '{name}' refers to an unknown keypoint '{keypoint}'",
                    f"use one of its keypoints: {', '.join(keypoints)}",
                )
            return position[keypoint]

        def indices_of(field_name: str, pair: Sequence[str]) -> tuple[int, int]:
            if isinstance(pair, str) or len(pair) != 2:
                raise SchemaError(
                    f"schema '{name}': each entry of '{field_name}' must be a pair of keypoint names, not {pair!r}",
                    'write each pair as a list of two names: ["left_eye", "right_eye"]',
                )
            return index_of(str(pair[0])), index_of(str(pair[1]))

        flip = list(range(len(keypoints)))
        for pair in flip_pairs:
            first, second = indices_of("flip_pairs", pair)
            flip[first], flip[second] = second, first
        return KeypointSchema(
            name=name,
            keypoints=tuple(keypoints),
            edges=tuple(indices_of("edges", edge) for edge in edges),
            flip=tuple(flip),
            sigmas=tuple(float(sigma) for sigma in sigmas) or (0.05,) * len(keypoints),
            groups={group: tuple(index_of(member) for member in members) for group, members in (groups or {}).items()},
        )

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> KeypointSchema:
        """Builds a schema from its TOML or JSON form.

        Raises:
            SchemaError: A field is missing, unknown or invalid.
        """
        check_type("a schema", record, dict, hint="pass a dict with 'name' and 'keypoints'", error=SchemaError)
        if not {"name", "keypoints"} <= set(record) <= _FIELDS:
            raise SchemaError(
                f"a schema needs 'name' and 'keypoints' and may have {', '.join(sorted(_FIELDS))}; "
                f"received: {', '.join(sorted(record)) or 'nothing'}",
                "add the missing fields and remove the unknown ones",
            )
        return KeypointSchema.from_names(
            str(record["name"]),
            record["keypoints"],
            edges=record.get("edges", ()),
            flip_pairs=record.get("flip_pairs", ()),
            sigmas=record.get("sigmas", ()),
            groups=record.get("groups"),
        )

    def to_record(self) -> dict[str, Any]:
        """Returns the TOML or JSON form: the inverse of `from_record`."""
        names = self.keypoints
        return {
            "name": self.name,
            "keypoints": list(names),
            "edges": [[names[first], names[second]] for first, second in self.edges],
            "flip_pairs": [[names[i], names[j]] for i, j in enumerate(self.flip) if i < j],
            "sigmas": list(self.sigmas),
            "groups": {group: [names[member] for member in members] for group, members in self.groups.items()},
        }


def _is_of_kind(value: object, kind: str) -> bool:
    if kind == _TABLE:
        return isinstance(value, Mapping) and all(_is_of_kind(names, _NAMES) for names in value.values())
    if not isinstance(value, list | tuple):
        return False
    if kind == _PAIRS:
        return all(_is_of_kind(pair, _NAMES) for pair in value)
    if kind == _NUMBERS:
        return all(isinstance(item, int | float) and abs(item) < 1e9 for item in value)  # larger integers are no floats
    return all(isinstance(item, str | int) for item in value)


@cache
def schema_names() -> tuple[str, ...]:
    """Returns the names of the bundled schemas."""
    return tuple(sorted(path.stem for path in _SCHEMAS.glob("*.toml")))


def find_built_in_schema(names: tuple[str, ...]) -> KeypointSchema | None:
    """Returns the schema that comes with e2pose and has these keypoints in this order, if there is one."""
    return next((schema for schema in map(load_schema, schema_names()) if schema.keypoints == names), None)


def load_schema(name_or_path: str | Path) -> KeypointSchema:
    """Reads a bundled schema by name, or a schema file by path.

    Raises:
        SchemaError: There is no such schema, or the file is not a valid schema.
    """
    return _load_schema(check_path("a schema", name_or_path, error=SchemaError))


@cache
def _load_schema(name_or_path: str | Path) -> KeypointSchema:
    path = _SCHEMAS / f"{name_or_path}.toml" if str(name_or_path) in schema_names() else Path(name_or_path)
    try:
        record = tomllib.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(
            f"cannot read the keypoint schema '{name_or_path}': {reason_of(error)}",
            f"use one of {', '.join(schema_names())}, or the path of a TOML file",
        ) from error
    return KeypointSchema.from_record(record)
