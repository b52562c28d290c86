"""Recipes with random mistakes are read, or rejected in words: never with a Python error."""

import copy
import json
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2pose.core.errors import E2PoseError
from e2pose.training.recipe import load_recipe

RECIPES = [
    tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(__file__).parents[3].glob("recipes/*.toml"))
]
EXAMPLES = int(os.environ.get("E2POSE_FUZZ_EXAMPLES", "60"))

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 10**40, 10**400]),
    st.floats(),
    st.sampled_from([1e308, -1e308, 5e-324]),
    st.text(max_size=12),
    st.sampled_from(["", ".", "..", "auto", "data", "cpu", "inf", "nan", "1", "true", "\0", "\ud800", "a/b", "~/x"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths_of(record: object, prefix: tuple = ()) -> list[tuple]:
    """Returns the paths of all entries of nested tables and lists."""
    entries = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    return [path for key, value in entries for path in ((*prefix, key), *paths_of(value, (*prefix, key)))]


@st.composite
def mutated_recipes(draw):
    record = copy.deepcopy(draw(st.sampled_from(RECIPES)))
    for _ in range(draw(st.integers(1, 3))):
        paths = paths_of(record)
        if not paths:
            break
        *parents, last = draw(st.sampled_from(paths))
        table = record
        for key in parents:
            table = table[key]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                table[last] = draw(VALUES)
            case "remove":
                del table[last]
            case "add" if isinstance(table, dict):
                table[draw(st.text(max_size=8))] = draw(VALUES)
    return record


def check(path: Path, overrides: list[str] = []) -> None:  # noqa: B006
    try:
        load_recipe(path, overrides)
    except E2PoseError as error:
        assert error.hint
        assert "\n" not in error.hint


many = settings(
    max_examples=EXAMPLES,
    derandomize="E2POSE_FUZZ_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)


@many
@given(record=mutated_recipes(), mark=st.booleans())
def test_mutated_values_are_read_or_rejected_in_words(tmp_path, record, mark):
    path = tmp_path / "recipe.json"
    path.write_bytes(b"\xef\xbb\xbf" * mark + json.dumps(record).encode())
    check(path)


@many
@given(
    recipe=st.sampled_from(RECIPES),
    assignments=st.lists(
        st.one_of(
            st.text(max_size=20),
            st.builds(
                "{}={}".format,
                st.sampled_from(
                    ["optim.steps", "data.sets.0.path", "data.sets", "augment.flip", "a..b", "name.0", "x.-1"]
                ),
                st.text(max_size=12) | VALUES.map(repr),
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_mutated_assignments_are_applied_or_rejected_in_words(tmp_path, recipe, assignments):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    check(path, assignments)


@many
@given(data=st.data())
def test_damaged_files_are_rejected_in_words(tmp_path, data):
    text = data.draw(st.sampled_from(sorted(Path(__file__).parents[3].glob("recipes/*.toml")))).read_bytes()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 40)))
    path = tmp_path / data.draw(st.sampled_from(["recipe.toml", "recipe.json"]))
    path.write_bytes(text[:start] + data.draw(st.binary(max_size=8)) + text[stop:])
    check(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "a = " + "[" * 100_000, "a = " + "9" * 10_000, "a.b" * 3])
@pytest.mark.parametrize("name", ["recipe.toml", "recipe.json"])
def test_hostile_files_are_rejected_in_words(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(E2PoseError):
        load_recipe(path)
