"""Model specs: validation, and the round trip through JSON and metadata."""

import dataclasses
import json

import pytest

from e2pose.core.errors import ModelError
from e2pose.core.schema import load_schema
from e2pose.core.spec import METADATA_KEY, ModelSpec

SPEC = ModelSpec(
    name="mobilenet v2 größer",
    input_size_hw=(256, 384),
    fit="letterbox",
    schema=load_schema("crowdpose"),
    threshold=0.3,
    keypoint_threshold=0.45,
    keypoint_score_scale=2.0,
    multiple_of=128,
    licence="CC-BY-4.0",
    trained_on=("one", "two"),
)


def test_json_round_trip():
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC
    assert "\n" not in SPEC.to_json()


def test_json_contains_every_field():
    assert set(json.loads(SPEC.to_json())) == {field.name for field in dataclasses.fields(SPEC)}
    for field in dataclasses.fields(SPEC):
        if field.default is not dataclasses.MISSING:
            assert getattr(SPEC, field.name) != field.default, "a default value would prove nothing"


def test_missing_fields_take_their_defaults():
    record = json.loads(SPEC.to_json())
    short = {name: record[name] for name in ("name", "input_size_hw", "fit", "schema")}
    spec = ModelSpec.from_json(json.dumps(short))
    assert (spec.threshold, spec.keypoint_score_scale, spec.trained_on) == (0.4, 1.0, ())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": "crop"}, "one of letterbox, stretch, not 'crop'"),
        ({"input_size_hw": (0, 5)}, "each side of the input size must be between 1 and 16384, not 0"),
        ({"threshold": 1.5}, "'threshold' must be between 0 and 1, not 1.5"),
        ({"keypoint_threshold": -0.1}, "'keypoint_threshold' must be between 0 and 1"),
        ({"threshold": float("nan")}, "'threshold' must be between 0 and 1"),
        ({"keypoint_score_scale": 0.0}, "'keypoint_score_scale' must be above 0"),
        ({"multiple_of": 100}, "input size must be multiples of 100, not \\(256, 384\\)"),
        ({"multiple_of": 0}, "'multiple_of' must be between 1 and 16384, not 0"),
        ({"fit": "stretch"}, "'multiple_of' \\(128\\) requires the fit letterbox, not stretch"),
    ],
)
def test_value_out_of_range_is_rejected(changes, message):
    record = json.loads(SPEC.to_json()) | changes
    with pytest.raises(ModelError, match=message):
        ModelSpec.from_json(json.dumps(record))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        json.dumps(json.loads(SPEC.to_json()) | {"colour": "BGR"}),
        json.dumps(json.loads(SPEC.to_json()) | {"schema": {"name": "x"}}),
        json.dumps(json.loads(SPEC.to_json()) | {"schema": 3}),
        json.dumps(json.loads(SPEC.to_json()) | {"input_size_hw": 256}),
        json.dumps(json.loads(SPEC.to_json()) | {"input_size_hw": ["a", "b"]}),
        json.dumps(json.loads(SPEC.to_json()) | {"threshold": "high"}),
    ],
)
def test_invalid_json_is_rejected(text):
    with pytest.raises(ModelError, match="cannot be read"):
        ModelSpec.from_json(text)


def test_spec_is_read_from_metadata():
    assert ModelSpec.from_metadata({METADATA_KEY: SPEC.to_json(), "other": "x"}, "a.onnx") == SPEC
    with pytest.raises(ModelError, match=r"'a\.onnx' has no metadata entry 'e2pose"):
        ModelSpec.from_metadata({"other": "x"}, "a.onnx")


def test_input_size_changes_only_where_the_model_allows_it():
    assert SPEC.with_input_size(None) is SPEC.with_input_size((256, 384)) is SPEC
    assert SPEC.with_input_size((128, 512)) == dataclasses.replace(SPEC, input_size_hw=(128, 512))
    with pytest.raises(ModelError, match="must be multiples of 128, not \\(100, 512\\)"):
        SPEC.with_input_size((100, 512))
    with pytest.raises(ModelError, match="fixed input size of 256 x 384, not 128 x 512") as caught:
        dataclasses.replace(SPEC, multiple_of=None).with_input_size((128, 512))
    assert "--input-size 128 512" in caught.value.hint
