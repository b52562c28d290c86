"""Randomly changed recipes give a recipe or an error in words with a hint; never a Python error."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2pose.core.errors import E2PoseError
from e2pose.training.recipe import load_recipe
from helpers.mutations import RAW_WORDS, few_examples, mutated_records, mutated_texts, values

TEXT = """name = "x"
schema = "coco"
input_size_hw = [256, 320]
[data]
root = "data"
sets = [{ path = "a", weight = 2.0 }, { path = "b", category = ["cat", 2] }]
[augment]
scale = [0.75, 1.7]
grids = [[1, 2], [2, 2]]
[optim]
steps = 3
batch_size = 2
"""
KEYS = st.sampled_from(["optim.steps", "data.sets.0.path", "data.sets", "augment.flip", "a..b", "name.0", "x.-1"])
ASSIGNMENTS = st.text(max_size=20) | st.builds("{}={}".format, KEYS, st.text(max_size=12) | values.map(repr))


def check(path: Path, overrides=()) -> None:
    try:
        load_recipe(path, overrides)
    except E2PoseError as error:
        assert error.hint
        assert "\n" not in error.hint
        assert not any(word in error.message for word in RAW_WORDS), error.message


@few_examples
@given(text=mutated_texts(TEXT), name=st.sampled_from(["mutated.toml", "mutated.json"]))
def test_texts(tmp_path_factory, text, name):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    check(path)


@few_examples
@given(record=mutated_records(tomllib.loads(TEXT)), mark=st.booleans())
def test_values(tmp_path_factory, record, mark):
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    path.write_bytes(b"\xef\xbb\xbf" * mark + json.dumps(record).encode())
    check(path)


@few_examples
@given(assignments=st.lists(ASSIGNMENTS, min_size=1, max_size=3))
def test_assignments(tmp_path_factory, assignments):
    path = tmp_path_factory.getbasetemp() / "mutated.toml"
    path.write_text(TEXT, encoding="utf-8")
    check(path, assignments)


@pytest.mark.parametrize("text", ["[" * 100_000, "a = " + "[" * 100_000, "a = " + "9" * 10_000, "a.b" * 3])
@pytest.mark.parametrize("name", ["recipe.toml", "recipe.json"])
def test_hostile_files_are_rejected_in_words(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(E2PoseError):
        load_recipe(path)
