"""Randomly changed schemas give a schema or an error in words with a hint; never a Python error."""

import pytest
from hypothesis import given

from e2pose.core.errors import SchemaError
from e2pose.core.schema import KeypointSchema, load_schema
from helpers.mutations import RAW_WORDS, few_examples, mutated_records, mutated_texts

RECORD = {
    "name": "tool",
    "keypoints": ["left_tip", "right_tip", "grip"],
    "edges": [["left_tip", "grip"]],
    "flip_pairs": [["left_tip", "right_tip"]],
    "sigmas": [0.05, 0.05, 0.1],
    "groups": {"head": ["grip"]},
}
TEXT = """name = "tool"
keypoints = ["left_tip", "right_tip", "grip"]
edges = [["left_tip", "grip"]]
flip_pairs = [["left_tip", "right_tip"]]
sigmas = [0.05, 0.05, 0.1]
[groups]
head = ["grip"]
"""

pytestmark = pytest.mark.usefixtures("unchecked")


def read(function, *arguments):
    try:
        schema = function(*arguments)
    except SchemaError as error:
        assert error.hint
        assert not any(word in error.message for word in RAW_WORDS), error.message
    else:
        assert KeypointSchema.from_record(schema.to_record()) == schema


@few_examples
@given(record=mutated_records(RECORD))
def test_schema_records(record):
    read(KeypointSchema.from_record, record)


@few_examples
@given(text=mutated_texts(TEXT))
def test_schema_files(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("schema") / "mutated.toml"  # schemas are cached by path
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read(load_schema, path)
