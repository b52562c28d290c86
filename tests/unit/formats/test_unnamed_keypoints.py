"""COCO files whose categories have no names of keypoints: labelme2coco, VIA, Label Studio."""

import json

import pytest

from e2pose.core.errors import AnnotationError
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.formats.coco import read_coco

TIPS = KeypointSchema.from_names("tips", ["hub", "left_tip", "right_tip"], flip_pairs=[("left_tip", "right_tip")])


def annotation(number=1, category=0, count=3, **changes):
    points = [value for index in range(count) for value in (10 + index, 20, 2)]
    entry = {"id": number, "image_id": 1, "category_id": category, "bbox": [5, 5, 30, 30], "keypoints": points}
    return {key: value for key, value in (entry | changes).items() if value is not None}


def read(folder, *annotations, categories=({"id": 0, "name": "person", "supercategory": "person"},), **options):
    record = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "annotations": annotations,
        "categories": categories,
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return read_coco(path, **options)


def test_schema_names_the_keypoints(tmp_path):
    annotations = read(tmp_path, annotation(), annotation(2, keypoints=None), schema=TIPS)
    assert annotations.schema is TIPS
    assert [person.has_keypoints for person in annotations.images[0].persons] == [True, False]


@pytest.mark.parametrize("empty", [[], None, {}, ""])
def test_empty_names_are_no_names(tmp_path, empty):
    categories = [{"id": 0, "name": "person", "keypoints": empty, "skeleton": empty}]
    assert read(tmp_path, annotation(), categories=categories, schema=TIPS).schema is TIPS


@pytest.mark.parametrize(
    ("count", "schema", "example"),
    [(3, "my-schema.toml", "my-schema.toml"), (17, "coco", "coco")],
)
def test_error_says_what_to_add(tmp_path, count, schema, example):
    with pytest.raises(AnnotationError) as caught:
        read(tmp_path, annotation(count=count))
    assert f"the annotations of the category 'person' have {count} keypoints, but the category has no list" in (
        caught.value.message
    )
    assert caught.value.hint == (
        f'add "keypoints" with {count} names to the category, or choose a schema with {count} keypoints: schema = '
        f'"{schema}" of the image set in a recipe, --schema {example} on the command line'
    )


def test_other_number_of_keypoints_is_one_error(tmp_path):
    with pytest.raises(AnnotationError, match=r"'coco' has 17 keypoints, but the annotations .* have 3") as caught:
        read(tmp_path, *(annotation(number) for number in range(1, 9)), schema=load_schema("coco"))
    assert caught.value.hint


def test_single_annotation_with_another_number_is_an_invalid_entry(tmp_path):
    with pytest.raises(AnnotationError, match=r"an invalid entry: annotation 3: .* of 3 keypoints: 9 numbers, not 6"):
        read(tmp_path, annotation(), annotation(2), annotation(3, count=2), schema=TIPS)


def test_only_categories_with_keypoints_in_annotations_are_named(tmp_path):
    categories = [{"id": 0, "name": "person"}, {"id": 1, "name": "car"}]
    annotations = read(
        tmp_path, annotation(), annotation(2, category=1, keypoints=None), categories=categories, schema=TIPS
    )
    assert len(annotations.images[0].persons) == 1
    assert [omission.reason for omission in annotations.omitted] == ["the category 'car' has no keypoints"]


def test_several_categories_with_keypoints_need_a_choice(tmp_path):
    entries = annotation(), annotation(2, category=1)
    categories = [{"id": 0, "name": "man"}, {"id": 1, "name": "woman"}]
    with pytest.raises(
        AnnotationError, match=r"2 categories with keypoints: 'man' \(id 0\), 'woman' \(id 1\)"
    ) as caught:
        read(tmp_path, *entries, categories=categories, schema=TIPS)
    assert "--category" in caught.value.hint
    for choice, count in (("man", 1), ("*", 2), (["man", 1], 2)):
        image = read(tmp_path, *entries, categories=categories, schema=TIPS, category=choice).images[0]
        assert len(image.persons) == count


@pytest.mark.parametrize(
    "entries", [[], [annotation(keypoints=None)], [annotation(keypoints=[])], [annotation(category=7)]]
)
@pytest.mark.parametrize("schema", [None, TIPS])
def test_boxes_without_keypoints_are_an_error(tmp_path, entries, schema):
    with pytest.raises(AnnotationError, match="has no keypoints: neither a category nor an annotation") as caught:
        read(tmp_path, *entries, schema=schema)
    assert "background = true" in caught.value.hint


def test_names_of_the_file_take_precedence(tmp_path):
    categories = [{"id": 0, "name": "person", "keypoints": ["a", "b", "c"]}]
    assert read(tmp_path, annotation(), categories=categories, schema=TIPS).schema.keypoints == ("a", "b", "c")


@pytest.mark.parametrize("keypoints", [[0.2, 0.5, 2] * 3, [0, 0, 2, 1, 1, 1, 0.5, 0.25, 2]])
def test_keypoints_as_fractions_of_the_image_are_an_error(tmp_path, keypoints):
    with pytest.raises(AnnotationError, match="probably fractions of its size") as caught:
        read(tmp_path, annotation(keypoints=keypoints), schema=TIPS)
    assert caught.value.hint
    read(tmp_path, annotation(keypoints=keypoints), annotation(2), schema=TIPS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "it is a list, as are COCO results and exports of some tools, instead of an object"),
        ("{}", "it has no list 'images' and no list 'annotations' and no list 'categories'"),
        ('{"images": [], "annotations": {}, "categories": []}', "it has no list 'annotations'$"),
        ("5", "it has no list 'images'"),
        ("<!DOCTYPE html><html>", "it is not JSON; it starts with '<!DOCTYPE html><html'"),
        ("PK\x03\x04", r"it is not JSON; it starts with 'PK.x03.x04'"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a pointer of Git LFS"),
        ('{"images": ', "it is not valid JSON: Expecting value: line 1 column 12"),
    ],
)
def test_other_files_are_named_as_such(tmp_path, text, message):
    path = tmp_path / "annotations.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AnnotationError, match=message) as caught:
        read_coco(path)
    assert caught.value.hint
