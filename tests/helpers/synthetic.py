"""Synthetic images, videos and a tiny model."""

from pathlib import Path

import av
import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from e2pose.core.schema import load_schema
from e2pose.core.spec import METADATA_KEY, ModelSpec

TINY_KEYPOINTS = np.stack([np.linspace(0.25, 0.75, 17), np.linspace(0.2, 0.8, 17)], axis=1)
"""Keypoints of the only person that the tiny model finds, as fractions of the image."""


def write_image(path: Path, size_hw: tuple[int, int] = (40, 60), brightness: int = 255) -> Path:
    """Writes a uniform grey image in RGB; in bright images the tiny model finds a person."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(path.suffix, np.full((*size_hw, 3), brightness, np.uint8))
    assert encoded
    path.write_bytes(data.tobytes())
    return path


def write_video(path: Path, frames: int = 6, rate: int = 12, size_hw: tuple[int, int] = (48, 64)) -> Path:
    """Writes a white video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size_hw, "yuv420p"
        white = av.VideoFrame.from_ndarray(np.full((*size_hw, 3), 255, np.uint8), format="rgb24")
        for _ in range(frames):
            container.mux(stream.encode(white))
        container.mux(stream.encode())
    return path


def read_video(path: Path) -> list[np.ndarray]:
    """Returns all frames of a video in RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_tiny_model(path: Path) -> Path:
    """Writes a model that finds one person, whose score is the brightness of the image from 0 to 1."""
    constants = {
        "white": np.float32(255),
        "nothing": np.float32(0),
        "positions": TINY_KEYPOINTS[None, None].astype(np.float32),
        "high_scores": np.full((1, 1, 17), 0.9, np.float32),
        "last": np.array([3]),
        "last_two": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1, 2, 3]),
        helper.make_node("Div", ["mean", "white"], ["brightness"]),
        helper.make_node("Squeeze", ["brightness", "last_two"], ["scores"]),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "positions"], ["keypoints"]),
        helper.make_node("Squeeze", ["zero", "last"], ["flat_zero"]),
        helper.make_node("Add", ["flat_zero", "high_scores"], ["keypoint_scores"]),
    ]
    outputs = {"scores": ["b", 1], "keypoint_scores": ["b", 1, 17], "keypoints": ["b", 1, 17, 2]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["b", 3, 64, 64])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    spec = ModelSpec("tiny", (64, 64), "stretch", load_schema("coco"))
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, path)
    return path
