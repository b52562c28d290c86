import pytest

from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.core.sides import find_mirrored_names
from e2pose.data.config import AugmentConfig
from e2pose.data.mirroring import describe_mirroring, resolve_flip

UNNAMED = tuple(map(str, range(17)))
MISSPELT = ("nose", "left_eye", "right_eye", "left_wirst", "right_wrist")


def schema_of(names):
    return KeypointSchema.from_names("x", names, flip_pairs=find_mirrored_names(names))


@pytest.mark.parametrize(
    ("names", "flip", "chance", "line"),
    [
        (load_schema("coco").keypoints, "auto", 0.5, None),
        (load_schema("coco").keypoints, 0.2, 0.2, None),
        (("lshoulder", "rshoulder"), "auto", 0.5, None),
        (UNNAMED, "auto", 0, "training images are not mirrored, because the keypoints have no flip pairs"),
        (("nose", "tail"), "auto", 0, "training images are not mirrored, because the keypoints have no flip pairs"),
        (
            MISSPELT,
            "auto",
            0,
            "training images are not mirrored, because these keypoints have a side but no partner: left_wirst, "
            "right_wrist",
        ),
        (UNNAMED, 0.5, 0.5, "augment.flip is 0.5, although the keypoints have no flip pairs"),
        (UNNAMED, 0.0, 0, None),
        (
            MISSPELT,
            1.0,
            1,
            "augment.flip is 1, although these keypoints have a side but no partner: left_wirst, right_wrist",
        ),
    ],
)
def test_images_are_mirrored_only_with_flip_pairs_or_on_request(names, flip, chance, line):
    augment, schema = AugmentConfig(flip=flip), schema_of(names)
    assert resolve_flip(augment, schema).flip_chance == chance
    assert describe_mirroring(augment, schema) == ([line] if line else [])
