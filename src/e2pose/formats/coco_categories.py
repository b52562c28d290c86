"""The category of persons in COCO annotations, and the schema of its keypoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from e2pose.core.errors import AnnotationError, OptionError, SchemaError
from e2pose.core.schema import KeypointSchema, find_built_in_schema, load_schema
from e2pose.core.sides import find_mirrored_names
from e2pose.formats.fields import FieldError, is_missing, show, to_id, to_integer, to_names
from e2pose.formats.reading_log import ReadingLog

CategoryChoice = str | int | Sequence[str | int] | None
"""Name or id of a category, several with the same keypoints, or "*" for all; None if only one has keypoints."""

_MAX_NAMED = 5


@dataclass(frozen=True)
class Category:
    """One entry of the list `categories`."""

    id: int
    name: str
    keypoints: tuple[str, ...]  # empty if it has none
    skeleton: object


@dataclass(frozen=True)
class Categories:
    """All categories of a file, and the schema of those that are read."""

    schema: KeypointSchema
    listed: Mapping[int, Category]
    selected: frozenset[int]

    def reason_to_omit(self, value: object) -> str | None:
        """Returns why annotations with this `category_id` are not read; None if they are.

        A `category_id` may also be the name of a category. Annotations without one are read if all categories with
        keypoints are selected.

        Raises:
            FieldError: The value is neither a number nor text.
        """
        if is_missing(value):
            others = {one.id for one in self.listed.values() if one.keypoints} - self.selected
            return "'category_id' is missing" if others else None
        category = _find(self.listed, value)
        if category is None:
            return "the category is not in 'categories'"
        if category.id in self.selected:
            return None
        return f"the category '{category.name}' {'is not selected' if category.keypoints else 'has no keypoints'}"


def read_categories(
    entries: Sequence[object],
    choice: CategoryChoice,
    path: str | Path,
    log: ReadingLog,
    *,
    annotations: Sequence[object] = (),
    schema: KeypointSchema | None = None,
) -> Categories:
    """Returns the categories of a file, of which `choice` selects those to read.

    If no category has names of keypoints, those of the annotations with keypoints get the names of `schema`.

    Raises:
        AnnotationError: An entry is invalid, `choice` is not listed or has no keypoints, without a choice not
            exactly one category has keypoints, or the annotations have another number of keypoints than `schema`.
    """
    listed: dict[int, Category] = {}
    for position, entry in enumerate(entries):
        with log.entry(f"category at position {position}"):
            category = _parse_category(entry)
            if listed.setdefault(category.id, category) != category:
                raise FieldError(f"another category has the id {category.id}, too")
    log.raise_if_invalid()
    is_named = any(category.keypoints for category in listed.values())
    if not is_named:
        listed = _name_keypoints(listed, annotations, schema, path)
    selected = _select(list(listed.values()), choice, path)
    try:
        schema = schema if schema and not is_named else _make_schema(selected[0], log)
    except SchemaError as error:
        raise AnnotationError(f"'{path}': the category with keypoints is invalid: {error}", error.hint) from error
    return Categories(schema, listed, frozenset(category.id for category in selected))


def _parse_category(entry: object) -> Category:
    if not isinstance(entry, dict):
        raise FieldError(f"it must be a mapping of fields, not {show(entry)}")
    name = entry.get("name")
    if isinstance(name, list | dict) and name:
        raise FieldError(f"'name' must be text, not {show(name)}")
    category_id = to_id(entry.get("id"), "id")
    keypoints = to_names(entry.get("keypoints"), "keypoints")
    return Category(category_id, str(entry["id"] if is_missing(name) else name), keypoints, entry.get("skeleton"))


def _select(categories: Sequence[Category], choice: CategoryChoice, path: str | Path) -> list[Category]:
    with_keypoints = [category for category in categories if category.keypoints]
    names = ", ".join(f"'{category.name}' (id {category.id})" for category in with_keypoints[:_MAX_NAMED])
    names += f" and {len(with_keypoints) - _MAX_NAMED} more" if len(with_keypoints) > _MAX_NAMED else ""
    if choice is None:
        if len(with_keypoints) > 1:
            raise AnnotationError(
                f"'{path}' has {len(with_keypoints)} categories with keypoints: {names}",
                f'choose one: category = "{with_keypoints[0].name}" of the image set in a recipe, --category on the '
                'command line; or several with the same keypoints, or "*" for all',
            )
        return with_keypoints
    selected = []
    for wanted in list_choices(choice):
        if wanted == "*":
            selected += with_keypoints
            continue
        found = [one for one in with_keypoints if _is_named(one, wanted)]
        found = found or [one for one in with_keypoints if str(one.id) == str(wanted).strip()]
        if len(found) != 1:
            count = "no category" if not found else f"{len(found)} categories"
            raise AnnotationError(
                f"'{path}' has {count} '{wanted}' with keypoints; there are: {names}",
                "use the name or the id of one of them",
            )
        selected += found
    if not selected or any(one.keypoints != selected[0].keypoints for one in selected):
        raise AnnotationError(
            f"'{path}': the categories {show(choice)} must be at least one and have the same keypoints",
            "read categories with different keypoints as separate sets",
        )
    return selected


def list_choices(choice: CategoryChoice) -> list[str | int]:
    """Returns the names and ids of a choice of categories.

    Raises:
        OptionError: It is something else.
    """
    choices = [choice] if isinstance(choice, str | int) else choice
    if (
        not isinstance(choices, Sequence)
        or isinstance(choices, bytes)
        or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in choices)
    ):
        raise OptionError(
            f"the category must be a name, an id or a list of them, not {show(choice)}", 'use, for example, "person"'
        )
    return list(choices)


def _name_keypoints(
    listed: Mapping[int, Category], annotations: Sequence[object], schema: KeypointSchema | None, path: str | Path
) -> dict[int, Category]:
    """Returns the categories, where those whose annotations have keypoints get the names of `schema`.

    Raises:
        AnnotationError: No annotation has keypoints, there is no schema, or the numbers of keypoints differ.
    """
    counts = _count_keypoints(listed, annotations)
    if not counts:
        raise AnnotationError(
            f"'{path}' has no keypoints: neither a category nor an annotation of a listed category has the list "
            "'keypoints'",
            "export the annotations as COCO keypoints; if the images show no person, set background = true of the set",
        )
    category, count = next(iter(counts.items()))
    name = listed[category].name
    if schema is None:
        example = "coco" if count == len(load_schema("coco")) else "my-schema.toml"
        raise AnnotationError(
            f"'{path}' has no names of keypoints: the annotations of the category '{name}' have {count} keypoints, but "
            "the category has no list 'keypoints'",
            f'add "keypoints" with {count} names to the category, or choose a schema with {count} keypoints: schema = '
            f'"{example}" of the image set in a recipe, --schema {example} on the command line',
        )
    if set(counts.values()) != {len(schema)}:
        raise AnnotationError(
            f"the schema '{schema.name}' has {len(schema)} keypoints, but the annotations of the category '{name}' in "
            f"'{path}' have {count}",
            "use a schema with the keypoints of the set in the same order",
        )
    return {key: replace(one, keypoints=schema.keypoints if key in counts else ()) for key, one in listed.items()}


def _count_keypoints(listed: Mapping[int, Category], annotations: Sequence[object]) -> dict[int, int]:
    """Returns the usual number of keypoints of the annotations of each category that have any, by its id."""
    counts: dict[int, Counter[int]] = {}
    for entry in annotations:
        keypoints = entry.get("keypoints") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(keypoints, list) or not keypoints:
            continue
        try:
            category = _find(listed, entry.get("category_id"))
        except FieldError:
            continue
        if category is not None:
            count = len(keypoints) if isinstance(keypoints[0], list) else len(keypoints) // 3
            counts.setdefault(category.id, Counter())[count] += 1
    return {category: usual.most_common(1)[0][0] for category, usual in counts.items()}


def _find(listed: Mapping[int, Category], value: object) -> Category | None:
    """Returns the category with this id or name; None if there is none.

    Raises:
        FieldError: The value is neither a number nor text.
    """
    category = listed.get(to_id(value, "category_id"))
    if category is None and isinstance(value, str):
        category = next((one for one in listed.values() if _is_named(one, value)), None)
    return category


def _is_named(category: Category, name: object) -> bool:
    return category.name.strip().lower() == str(name).strip().lower()


def _make_schema(category: Category, log: ReadingLog) -> KeypointSchema:
    """Returns the built-in schema with the same keypoints, if there is one, or a new one from names and skeleton."""
    names = _rename_crowdpose(category.keypoints)
    return find_built_in_schema(names) or KeypointSchema.from_names(
        category.name,
        names,
        edges=[(names[first], names[second]) for first, second in _parse_skeleton(category.skeleton, names, log)],
        flip_pairs=find_mirrored_names(names),
    )


def _rename_crowdpose(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the keypoint names of the schema `crowdpose` for those of CrowdPose; other names unchanged."""
    crowdpose = load_schema("crowdpose").keypoints
    return crowdpose if tuple("head_top" if name == "head" else name for name in names) == crowdpose else names


def _parse_skeleton(value: object, names: Sequence[str], log: ReadingLog) -> list[tuple[int, int]]:
    """Returns the edges of a skeleton, which counts from 1, or from 0 if it has a 0; invalid edges are omitted."""
    if is_missing(value):
        return []
    pairs = [_parse_edge(edge, names) for edge in value] if isinstance(value, list) else [None]
    first = 0 if any(0 in pair for pair in pairs if pair) else 1
    if first == 0:
        log.note("the skeleton has a 0, so it counts keypoints from 0")
    edges = []
    for position, pair in enumerate(pairs):
        ends = tuple(end if isinstance(end, str) else end - first for end in pair or ())
        edge = tuple(names.index(end) if isinstance(end, str) else end for end in ends)
        if len(edge) == 2 and edge[0] != edge[1] and all(0 <= end < len(names) for end in edge):
            edges.append((edge[0], edge[1]))
        else:
            shown = show(value[position] if isinstance(value, list) else value)
            log.omit("skeleton edges", "the ends are not two different keypoints of the category", shown)
    return edges


def _parse_edge(edge: object, names: Sequence[str]) -> list[int | str] | None:
    """Returns the two ends of an edge, each a number or the name of a keypoint; None if it is something else."""
    if not isinstance(edge, list):
        return None
    try:
        return [end if isinstance(end, str) and end in names else to_integer(end, "skeleton") for end in edge]
    except FieldError:
        return None
