"""A configuration -> a network."""

from __future__ import annotations

from e2pose.core.errors import ModelError
from e2pose.models.config import NetworkConfig
from e2pose.models.paper import E2Pose
from e2pose.models.refined import RefinedE2Pose


def build_network(config: NetworkConfig, num_keypoints: int, *, one_to_many: bool = False) -> E2Pose:
    """Builds a network with random weights: `E2Pose`, or `RefinedE2Pose` if the configuration has a refinement.

    Args:
        config: The layers of the network.
        num_keypoints: K, the number of keypoints of its schema.
        one_to_many: Add the second person score, which only training uses.

    Raises:
        ModelError: The strides do not suit the refinement.
    """
    if config.refinement is None:
        return E2Pose(config, num_keypoints, one_to_many=one_to_many)
    if config.strides[0] not in ((8, 16) if config.refinement.fine else (8, 16, 32)):
        raise ModelError(
            f"strides that start at {config.strides[0]} do not suit the refinement",
            "start network.strides at 8 or 16, or at 32 without network.refinement.fine",
        )
    return RefinedE2Pose(config, num_keypoints, one_to_many=one_to_many)
