"""E2Pose with our extensions: every keypoint is refined by what the image shows at its own place.

The published network computes the initial keypoints. A coarse offset map moves them, and optionally a fine one of
stride 4, whose features then also enter the pyramid. docs/concepts/network.md describes it.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from e2pose.models.config import NetworkConfig
from e2pose.models.fine_features import FINE_STRIDE, FineFeatures, FineFusion
from e2pose.models.half_resolution import HalfResolutionBranch
from e2pose.models.head import Prediction, Side
from e2pose.models.paper import E2Pose
from e2pose.models.refinement import CoarseRefinement, FineRefinement, apply_offsets, select_top_k


class _Features(NamedTuple):
    """Maps of one image resolution."""

    maps: dict[int, Tensor]
    """The backbone's maps by stride."""
    fine: Tensor | None
    """The fine features."""
    refinement: Tensor | None
    """The features of the fine refinement."""


class RefinedE2Pose(E2Pose):
    """The published network with offset maps; takes the arguments of `E2Pose`, and `config` has a refinement."""

    def __init__(self, config: NetworkConfig, num_keypoints: int, *, one_to_many: bool = False) -> None:
        super().__init__(config, num_keypoints, one_to_many=one_to_many)
        assert config.refinement is not None
        self.steps = config.refinement.steps
        fine = config.refinement.fine
        self.fine_steps = fine.steps if fine else 0
        on_level, in_refinement = fine.num_large_kernel_blocks if fine else (0, 0)
        channels, strides, width = self.backbone.channels, config.strides, config.width
        stride = strides[0] // 2
        self.coarse_refinement = CoarseRefinement(
            channels[stride],
            width,
            num_keypoints,
            stride,
            fine=fine is not None,
            num_large_kernel_blocks=in_refinement,
        )
        self.fine_features = FineFeatures(self.backbone.early_channels) if fine else None
        self.fine_fusion = FineFusion(strides, width, on_level) if fine else None
        self.fine_refinement = FineRefinement(num_keypoints) if fine else None
        has_branch = fine is not None and fine.half_resolution_branch
        self.half_resolution = HalfResolutionBranch(channels, strides, width) if has_branch else None

    def forward(self, pixels: Tensor) -> Prediction:
        """Predicts the candidates of letterboxed RGB images, uint8 (B, 3, H, W), H and W multiples of 32."""
        input_size_hw = (pixels.shape[2], pixels.shape[3])
        image = self.normalise(pixels)
        features = self._extract(image)
        half_levels: dict[int, Tensor] = {}
        half_refinement = None
        if self.half_resolution:
            half = self._extract(functional.avg_pool2d(image, 2))
            assert half.fine is not None
            assert half.refinement is not None
            half_levels, half_refinement = self.half_resolution(half.maps, half.fine, half.refinement)
        levels = self._build_levels(features, half_levels)
        prediction = self.head(levels, input_size_hw)
        coarse = self.coarse_refinement.extract(
            features.maps[self.coarse_refinement.stride], levels[0], features.refinement, half_refinement
        )
        offset_maps = [self.coarse_refinement(coarse)]
        if self.fine_refinement:
            offset_maps.append(self.fine_refinement(features.refinement, coarse))
        return self._refine(prediction, tuple(offset_maps), input_size_hw)

    def _extract(self, image: Tensor) -> _Features:
        maps, early_maps = self.backbone(image)
        if self.fine_features is None or self.fine_refinement is None:
            return _Features(maps, None, None)
        fine = self.fine_features(early_maps)
        return _Features(maps, fine, self.fine_refinement.extract(fine))

    def _build_levels(self, features: _Features, half_levels: dict[int, Tensor]) -> list[Tensor]:
        """Builds the pyramid; fine features and half-resolution maps are added before its levels are merged."""
        levels = self.pyramid.bottom_up(features.maps)
        if self.fine_fusion is None or features.fine is None:
            return self.pyramid.top_down(levels)
        levels[0] = levels[0] + self.fine_fusion.project(features.fine, levels[0])
        for stride, level in half_levels.items():
            index = self.pyramid.strides.index(stride)
            levels[index] = levels[index] + level
        fused: list[Tensor] = self.fine_fusion(self.pyramid.top_down(levels))
        return fused

    def _refine(
        self, prediction: Prediction, offset_maps: tuple[Tensor, ...], input_size_hw: tuple[Side, Side]
    ) -> Prediction:
        """Moves the initial keypoints by the offset maps: all in training, otherwise those of the best candidates."""
        initial = prediction.keypoints
        top_k = None if self.training else select_top_k(prediction.person_logits, self.head.num_keypoints)
        keypoints = [initial if top_k is None else initial.gather(1, top_k)]
        map_strides = (self.coarse_refinement.stride, FINE_STRIDE)
        for offset_map, stride, steps in zip(offset_maps, map_strides, (self.steps, self.fine_steps), strict=False):
            keypoints += apply_offsets(offset_map, keypoints[-1], stride, input_size_hw, steps)
        if top_k is not None:
            keypoints = [initial, *(initial.scatter(1, top_k, step) for step in keypoints[1:])]
        return Prediction(
            person_logits=prediction.person_logits,
            keypoint_logits=prediction.keypoint_logits,
            keypoints=keypoints[-1],
            centers=prediction.centers,
            intermediate_keypoints=tuple(keypoints[:-1]),
            offset_maps=offset_maps,
            one_to_many_logits=prediction.one_to_many_logits,
        )

    def pretrained_modules(self) -> list[nn.Module]:
        """Returns the parts that usually start from the weights of another network."""
        return [self.backbone, *([self.fine_features] if self.fine_features else [])]
