"""Model specs: their JSON and what is refused."""

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


def test_every_field_travels():
    assert set(json.loads(SPEC.to_json())) == {field.name for field in dataclasses.fields(SPEC)}
    for field in dataclasses.fields(SPEC):
        if field.default is not dataclasses.MISSING:
            assert getattr(SPEC, field.name) != field.default, "or the round trip would prove nothing"


def test_fields_with_a_default_may_be_absent():
    record = json.loads(SPEC.to_json())
    short = {name: record[name] for name in ("name", "input_size_hw", "fit", "schema")}
    spec = ModelSpec.from_json(json.dumps(short))
    assert (spec.threshold, spec.keypoint_score_scale, spec.trained_on) == (0.4, 1.0, ())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": "crop"}, "one of letterbox, stretch, not 'crop'"),
        ({"input_size_hw": (0, 5)}, "positive height and width"),
        ({"threshold": 1.5}, "'threshold' must lie between 0 and 1, not 1.5"),
        ({"keypoint_threshold": -0.1}, "'keypoint_threshold' must lie between 0 and 1"),
        ({"threshold": float("nan")}, "'threshold' must lie between 0 and 1"),
        ({"keypoint_score_scale": 0.0}, "'keypoint_score_scale' must be above 0"),
        ({"multiple_of": 100}, "sides of the canvas must be multiples of 100, not \\(256, 384\\)"),
        ({"multiple_of": 0}, "sides of the canvas must be multiples of 0"),
        ({"fit": "stretch"}, "only a letterbox can be shortened to a multiple of 128, not a stretch"),
    ],
)
def test_a_value_out_of_range(changes, message):
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
def test_text_that_is_no_spec(text):
    with pytest.raises(ModelError, match="cannot be read"):
        ModelSpec.from_json(text)


def test_metadata():
    assert ModelSpec.from_metadata({METADATA_KEY: SPEC.to_json(), "other": "x"}, "a.onnx") == SPEC
    with pytest.raises(ModelError, match=r"'a\.onnx' does not say how it wants its input"):
        ModelSpec.from_metadata({"other": "x"}, "a.onnx")
