"""Keypoint schemas: validation, and the round trip through TOML records."""

import tomllib

import pytest

from e2pose.core.errors import SchemaError
from e2pose.core.schema import KeypointSchema, find_built_in_schema, load_schema, schema_names

FIELDS = {
    "name": "x",
    "keypoints": ("a", "b", "c"),
    "edges": ((0, 1),),
    "flip": (1, 0, 2),
    "sigmas": (0.1, 0.1, 0.1),
    "groups": {"head": (2,)},
}


@pytest.mark.parametrize("name", schema_names())
def test_bundled_schemas_are_complete(name):
    schema = load_schema(name)
    assert schema.name == name
    assert KeypointSchema.from_record(schema.to_record()) == schema
    assert schema.groups["head"]
    for index, partner in enumerate(schema.flip):
        sides = {schema.side(index), schema.side(partner)}
        assert sides in ({"left", "right"}, {"middle"}), "a flip pair has a left and a right keypoint"
    connected = {index for edge in schema.edges for index in edge}
    assert connected == set(range(len(schema))), "every keypoint belongs to an edge"


def test_coco_has_17_keypoints():
    coco = load_schema("coco")
    assert len(coco) == 17
    assert coco.keypoints[0] == "nose"
    assert coco.flip[5] == 6
    assert coco.sigmas[11] == 0.107
    assert schema_names() == ("coco", "crowdpose")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": (), "flip": (), "sigmas": ()}, "schema 'x' has no keypoints"),
        ({"keypoints": ("a", "b", "a")}, "repeats keypoint names: a"),
        ({"sigmas": (0.1, 0.1)}, "needs 3 sigmas between 0 and 1"),
        ({"sigmas": (0.1, 0.1, 0.0)}, "needs 3 sigmas between 0 and 1"),
        ({"sigmas": (0.1, 0.1, float("nan"))}, "needs 3 sigmas between 0 and 1"),
        ({"flip": (1, 0)}, "needs 3 valid flip indices"),
        ({"flip": (1, 0, 3)}, "needs 3 valid flip indices"),
        ({"flip": (1, 0, -1)}, "needs 3 valid flip indices"),
        ({"flip": (1, 2, 0)}, "'a' flips to 'b', which flips to 'c'"),
        ({"edges": ((0, 3),)}, r"edge \(0, 3\) that does not join two keypoints"),
        ({"edges": ((1, 1),)}, r"edge \(1, 1\) that does not join two keypoints"),
        ({"groups": {"head": (3,)}}, "group 'head' with an invalid index"),
    ],
)
def test_inconsistent_fields_are_rejected(changes, message):
    with pytest.raises(SchemaError, match=message):
        KeypointSchema(**FIELDS | changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edges": [["a", "z"]]}, "unknown keypoint 'z'"),
        ({"flip_pairs": [["a", "z"]]}, "unknown keypoint 'z'"),
        ({"groups": {"head": ["z"]}}, "unknown keypoint 'z'"),
        ({"flip_pairs": [["a", "b"], ["a", "c"]]}, "'b' flips to 'a', which flips to 'c'"),
        ({"flip_pairs": [["b", "a"], ["c", "a"]]}, "'b' flips to 'a', which flips to 'c'"),
        ({"edges": [["a", "b", "c"]]}, "each entry of 'edges' must be a pair"),
        ({"edges": ["ab"]}, "'edges' must be a list of pairs, not \\['ab'\\]"),
        ({"flip_pairs": [["a"]]}, "each entry of 'flip_pairs' must be a pair"),
    ],
)
def test_invalid_names_are_rejected(options, message):
    with pytest.raises(SchemaError, match=message):
        KeypointSchema.from_names("x", ["a", "b", "c"], **options)


def test_names_become_indices():
    schema = KeypointSchema.from_names(
        "x", ["a", "b", "c"], edges=[["c", "a"]], flip_pairs=[["a", "b"], ["b", "a"]], groups={"head": ["c"]}
    )
    assert schema == KeypointSchema("x", ("a", "b", "c"), ((2, 0),), (1, 0, 2), (0.05,) * 3, {"head": (2,)})


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("left_ear", "left"),
        ("right_ear", "right"),
        ("Right-Hip", "right"),
        ("ear_l", "left"),
        ("r_hip", "right"),
        ("nose", "middle"),
        ("upright_pole", "middle"),
    ],
)
def test_side_follows_from_the_name(name, side):
    assert KeypointSchema.from_names("x", [name]).side(0) == side


@pytest.mark.parametrize(
    "record",
    [{}, {"name": "x"}, {"keypoints": ["a"]}, {"name": "x", "keypoints": ["a"], "edge": []}],
)
def test_record_with_missing_or_unknown_fields_is_rejected(record):
    with pytest.raises(SchemaError, match="needs 'name' and 'keypoints' and may have edges"):
        KeypointSchema.from_record(record)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "record",
    [
        {"name": "x", "keypoints": ["a"], "sigmas": ["wide"]},
        {"name": "x", "keypoints": ["a"], "sigmas": 0.1},
        {"name": "x", "keypoints": ["a"], "sigmas": [-(10**400)]},
        {"name": "x", "keypoints": ["a"], "sigmas": None},
        {"name": "x", "keypoints": "ab"},
        {"name": "x", "keypoints": 3},
        {"name": "x", "keypoints": ["a"], "groups": ["a"]},
        {"name": "x", "keypoints": ["a", "b"], "edges": [3]},
        {"name": "x", "keypoints": ["a", "b"], "edges": 3},
    ],
)
def test_record_with_fields_of_the_wrong_type_is_rejected(record):
    with pytest.raises(SchemaError, match=r"schema 'x': '\w+' must be a (list|table) of"):
        KeypointSchema.from_record(record)


def test_schema_is_read_from_a_file(tmp_path):
    path = tmp_path / "größe.toml"
    path.write_text(
        'name = "größe"\nkeypoints = ["left_tip", "grip"]\nedges = [["left_tip", "grip"]]', encoding="utf-8"
    )
    assert load_schema(path) == KeypointSchema("größe", ("left_tip", "grip"), ((0, 1),), (0, 1), (0.05, 0.05))
    assert load_schema(path).to_record()["edges"] == tomllib.loads(path.read_text(encoding="utf-8"))["edges"]


def test_built_in_schema_is_found_by_its_keypoints_in_order():
    coco = load_schema("coco")
    assert find_built_in_schema(coco.keypoints) == coco
    assert find_built_in_schema(coco.keypoints[::-1]) is None


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", None])
def test_unreadable_file_lists_bundled_schemas(tmp_path, content):
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"cannot read the keypoint schema .*mine\.toml") as caught:
        load_schema(path)
    assert "coco, crowdpose" in caught.value.hint


def test_side_of_a_joined_word_follows_from_the_partner():
    schema = KeypointSchema.from_names("x", ["upleft", "upright", "upright_pole"], flip_pairs=[["upleft", "upright"]])
    assert [schema.side(index) for index in range(3)] == ["left", "right", "middle"]


def test_sided_names_without_a_partner_are_found():
    names = ["left_wirst", "right_wrist", "left_eye", "right_eye", "nose", "rear", "lshoulder", "lower_lip"]
    schema = KeypointSchema.from_names("x", names, flip_pairs=[["left_eye", "right_eye"]])
    assert schema.unpaired_sides() == ("left_wirst", "right_wrist", "lshoulder")
    paired = KeypointSchema.from_names("x", names[:2], flip_pairs=[names[:2]])
    assert paired.unpaired_sides() == (), "the flip pairs say more than the names"


@pytest.mark.parametrize("name", [*schema_names()])
def test_bundled_schemas_have_no_unpaired_sides(name):
    assert load_schema(name).unpaired_sides() == ()


def test_byte_order_mark_of_a_schema_file_is_skipped(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "mine"\r\nkeypoints = ["a"]\r\n')
    assert load_schema(path).keypoints == ("a",)
