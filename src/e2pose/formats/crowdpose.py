"""What CrowdPose's files of annotations do differently from COCO's, so that `read_coco` reads both.

- The top of the head is called "head"; in the schema `crowdpose` it is "head_top".
- Their skeleton is COCO's, with numbers up to 17 for 14 keypoints; the schema's edges are used instead.
- An image has a `crowdIndex`: how much its people hide each other, from 0 to 1.
- A person has no area; it is taken for 0.53 of the box, as CrowdPose's evaluation does.

Keypoints are whole numbers and are compared by COCO's tools, so they count from the centre of the first pixel like
COCO's.

Source: Li et al., "CrowdPose: Efficient Crowded Scenes Pose Estimation and a New Benchmark", CVPR 2019.
"""

from __future__ import annotations

from e2pose.core.schema import load_schema


def rename_keypoints(names: tuple[str, ...]) -> tuple[str, ...]:
    """CrowdPose's names as the schema `crowdpose` has them; all other names as they are."""
    known = load_schema("crowdpose").keypoints
    return known if tuple("head_top" if name == "head" else name for name in names) == known else names
