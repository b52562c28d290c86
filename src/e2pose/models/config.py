"""What a network is made of."""

from __future__ import annotations

from dataclasses import dataclass

from e2pose.core.errors import ModelError

PUBLISHED_STRIDES = (32, 64, 128, 256, 512)


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is made of.

    Args:
        backbone: A key of `e2pose.models.build.BACKBONES`.
        keypoints: Number of keypoints K.
        strides: Cell sizes of the levels in canvas pixels, from fine to coarse, each twice the one before. One
            candidate per cell; the default gives 341 candidates on a canvas of 512x512, as in the published models.
        width: Channels of pyramid and head.
        head_depth: Number of 3x3 convolutions in the head.
        refinements: How often each keypoint is corrected by what the picture around it shows; see
            `e2pose.models.refine`. The published models do not do it.
        fine_refinements: How often each keypoint is corrected after that on a map of stride 4, whose features then also
            help the levels; see `e2pose.models.fine`.
        context: Blocks of large kernels on the finest level and in the first refiner, where there are fine refinements;
            see `e2pose.models.large_kernel`.
        half_size: Look at the picture at half its size too; see `e2pose.models.half_size`.
        one_to_many: While training, give every cell a second person score for which several cells may answer for one
            person.

    Raises:
        ModelError: A value is not accepted.
    """

    backbone: str = "mobilenetv2"
    keypoints: int = 17
    strides: tuple[int, ...] = PUBLISHED_STRIDES
    width: int = 256
    head_depth: int = 1
    refinements: int = 0
    fine_refinements: int = 0
    context: tuple[int, int] = (3, 1)
    half_size: bool = False
    one_to_many: bool = False

    def __post_init__(self) -> None:
        doubled = all(coarse == 2 * fine for fine, coarse in zip(self.strides, self.strides[1:], strict=False))
        if not self.strides or self.strides[0] not in (4, 8, 16, 32) or self.strides[-1] < 32 or not doubled:
            raise ModelError(
                f"the strides must start at 4, 8, 16 or 32, double from level to level and reach 32, not {self.strides}"
            )
        if min(self.keypoints, self.width) < 1 or min(self.head_depth, self.refinements, self.fine_refinements) < 0:
            raise ModelError(f"keypoints, width, head depth and refinements must be positive, not {self}")
        if self.refinements and self.strides[0] < 8:
            raise ModelError("keypoints cannot be refined on levels as fine as stride 4", "start the strides at 8")
        if self.fine_refinements and (not self.refinements or self.strides[0] > 16):
            raise ModelError(
                "keypoints can only be refined finely after refinements, on levels from stride 8 or 16",
                "set refinements, or leave fine_refinements out",
            )
        if min(self.context) < 0:
            raise ModelError(f"there cannot be {self.context} blocks of large kernels", "give two numbers from 0 on")
        if self.half_size and not self.fine_refinements:
            raise ModelError(
                "the picture at half its size is of use with fine refinements only",
                "set fine_refinements, or leave half_size out",
            )
