from typing import get_args

import pytest
from pydantic import ValidationError

from e2pose.core.errors import ModelError
from e2pose.models.backbones.build import BACKBONES
from e2pose.models.build import build_network
from e2pose.models.config import Backbone, FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.paper import E2Pose
from e2pose.models.refined import RefinedE2Pose

REFINED = NetworkConfig(
    strides=(16, 32),
    width=8,
    refinement=RefinementConfig(steps=3, fine=FineRefinementConfig(num_large_kernel_blocks=(6, 3))),
)


def test_backbone_names_are_those_that_can_be_built():
    assert set(get_args(Backbone)) == set(BACKBONES)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "vgg"}, "'mobilenetv2'"),
        ({"width": 0}, "greater than 0"),
        ({"depth": 1}, "not permitted"),
        ({"strides": [32, 64], "refinement": {"fine": {"num_large_kernel_blocks": [3, -1]}}}, "greater than or equal"),
        *(({"strides": strides}, "strides must start at") for strides in ([], [16], [16, 64], [64, 128], [32, 16])),
    ],
)
def test_wrong_values_are_rejected(values, message):
    with pytest.raises(ValidationError, match=message):
        NetworkConfig.model_validate(values)


@pytest.mark.parametrize(
    ("strides", "refinement"),
    [((4, 8, 16, 32), RefinementConfig()), ((32, 64), RefinementConfig(fine=FineRefinementConfig()))],
)
def test_strides_that_do_not_suit_the_refinement_are_rejected(strides, refinement):
    with pytest.raises(ModelError, match="do not suit the refinement"):
        build_network(NetworkConfig(strides=strides, refinement=refinement), 17)


def test_refinement_selects_the_class():
    assert type(build_network(NetworkConfig(width=8), 17)) is E2Pose
    assert type(build_network(REFINED, 17)) is RefinedE2Pose


def test_configuration_survives_json():
    assert NetworkConfig.model_validate_json(REFINED.model_dump_json()) == REFINED


def test_unset_values_come_from_the_other_configuration():
    changes = NetworkConfig.model_validate({"width": 16, "refinement": {"fine": {"half_resolution_branch": True}}})
    merged = changes.with_defaults(REFINED)
    assert (merged.strides, merged.width) == ((16, 32), 16)
    assert merged.refinement.steps == 3
    assert merged.refinement.fine.num_large_kernel_blocks == (6, 3)
    assert merged.refinement.fine.half_resolution_branch
    assert NetworkConfig().with_defaults(REFINED) == REFINED
    assert merged.with_defaults(REFINED) == merged


def test_false_turns_a_part_off():
    assert NetworkConfig.model_validate({"refinement": False}).with_defaults(REFINED).refinement is None
    without_fine = NetworkConfig.model_validate({"refinement": {"fine": False}}).with_defaults(REFINED)
    assert without_fine.refinement == RefinementConfig(steps=3)
