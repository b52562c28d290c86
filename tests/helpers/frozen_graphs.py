"""Frozen graphs with the operation names and shapes of the original authors, and random weights."""

from pathlib import Path

import numpy as np

PREFIX = "E2Pose/E2Pose_pose_stage00_"


def write_frozen_graph(path: Path, size_hw=(64, 96), batch: int | None = 1, prefix: str = PREFIX) -> Path:
    """Writes a small frozen graph; needs TensorFlow."""
    import tensorflow

    random = np.random.default_rng(0)
    v1, nn = tensorflow.compat.v1, tensorflow.nn

    def conv(values, channels, stride):
        shape = (3, 3, values.shape[-1], channels)
        kernel = random.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape).astype(np.float32)
        return nn.conv2d(values, tensorflow.constant(kernel), stride, "SAME")

    with tensorflow.Graph().as_default() as graph:
        pixels = v1.placeholder(tensorflow.float32, [batch, *size_hw, 3], name="e2pose/inputimg")
        fine = nn.relu(conv(nn.relu(conv(pixels / 127.5 - 1, 8, 8)), 16, 4))
        parts = {"pv": [], "kvxy": []}
        for level in (fine, nn.relu(conv(fine, 16, 2))):
            cells = level.shape[1] * level.shape[2]
            parts["pv"].append(tensorflow.sigmoid(tensorflow.reshape(conv(level, 1, 1), [-1, cells, 1, 1])))
            parts["kvxy"].append(tensorflow.sigmoid(tensorflow.reshape(conv(level, 51, 1), [-1, cells, 17, 3])))
        for name, levels in parts.items():
            tensorflow.concat(levels, 1, name=f"{prefix}reshape_{name}/concat")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path
