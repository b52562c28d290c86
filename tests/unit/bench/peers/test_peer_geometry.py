"""What the peers' scripts do themselves: into the canvas, and from it to keypoints in the frame."""

import importlib.util
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from e2pose.bench.peer_script import PEERS


@pytest.fixture
def peer(monkeypatch):
    """Loads a peer's script under another name: some are called like libraries."""
    monkeypatch.syspath_prepend(str(PEERS))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"peer_{name}", PEERS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def bright_spot(height: int, width: int, x: int, y: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y - 4 : y + 4, x - 4 : x + 4] = 255
    return image


def centre_of(canvas: np.ndarray) -> tuple[float, float]:
    """(x, y) of what is bright, counted from the outer corner."""
    y, x = np.nonzero(canvas > canvas.max() / 2)
    return x.mean() + 0.5, y.mean() + 0.5


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (333, 500), (100, 120)])
def test_movenet_finds_the_way_back(peer, height: int, width: int) -> None:
    movenet = peer("movenet")
    canvas, scale = movenet.fit(bright_spot(height, width, 80, 60), 256)
    assert max(canvas.shape) == 256
    assert canvas.shape[0] % 32 == canvas.shape[1] % 32 == 0
    x, y = centre_of(canvas[..., 0])
    person = np.zeros((1, 56), np.float32)
    person[0, 3:6] = y / canvas.shape[0], x / canvas.shape[1], 0.75  # the second keypoint
    person[0, 55] = 0.5
    (pose,) = movenet.to_poses(person, canvas.shape[:2], scale)
    assert pose.score == 0.5
    assert pose.keypoints.shape == (17, 3)
    assert pose.keypoints[1] - movenet.HALF_PIXEL * np.array([1, 1, 0]) == pytest.approx([80, 60, 0.75], abs=1)


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 427), (100, 120)])
def test_yolo_finds_the_way_back(peer, height: int, width: int, *, square: bool) -> None:
    yolo = peer("yolo11")
    pixels, scale, corner_xy = yolo.letterbox(bright_spot(height, width, 80, 60), 640, square=square)
    assert pixels.shape[1] == 3
    assert pixels.shape[2:] == (640, 640) if square else max(pixels.shape[2:]) == 640
    assert pixels.shape[2] % 32 == pixels.shape[3] % 32 == 0
    assert pixels.max() == 1
    x, y = centre_of(pixels[0, 0])
    found = np.zeros((56, 3), np.float32)
    found[:5, :] = np.array([x, y, 40, 60, 0.9])[:, None]
    found[4] = 0.0005, 0.9, 0.8  # improbable, the best, and one with the same box
    found[8:11, 1] = x, y, 0.75
    (pose,) = yolo.to_poses(found, scale, corner_xy)
    assert pose.score == pytest.approx(0.9)
    assert pose.keypoints[1] - yolo.HALF_PIXEL * np.array([1, 1, 0]) == pytest.approx([80, 60, 0.75], abs=1)


def test_yolo_keeps_people_apart_best_first(peer) -> None:
    found = np.zeros((56, 2), np.float32)
    found[:5] = np.array([[100, 100, 50, 50, 0.3], [130, 100, 50, 50, 0.6]]).T
    poses = peer("yolo11").to_poses(found, 1.0, np.zeros(2))
    assert [round(float(pose.score), 3) for pose in poses] == [0.6, 0.3]
    assert peer("yolo11").to_poses(found[:, :0], 1.0, np.zeros(2)) == []


def test_mediapipe_gives_the_keypoints_that_coco_has(peer) -> None:
    landmarks = [SimpleNamespace(x=index / 100, y=0.5, visibility=index / 32) for index in range(33)]
    pose = peer("mediapipe").to_pose(landmarks, (200, 100))
    # nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; the left one first
    assert pose.keypoints[:, 0] == pytest.approx([0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
    assert set(pose.keypoints[:, 1]) == {100}
    assert pose.score == pytest.approx(pose.keypoints[:, 0].mean() / 32)


def test_mmpose_looks_into_boxes_all_over_the_frame(peer) -> None:
    mmpose = peer("mmpose")
    boxes = mmpose.spread(4, (80, 200))
    assert boxes.tolist() == [[50 * index, 10, 50 * index + 50, 70] for index in range(4)]
    with pytest.raises(NotImplementedError, match="cannot compute nms"):
        mmpose.StandIn("mmcv._ext").nms(boxes)


def test_openpifpaf_undoes_the_stretching(peer) -> None:
    pose = peer("openpifpaf").to_pose(0.5, np.array([[255.5, 127.5, 0.25]]), np.array([2, 0.5]))
    assert pose.keypoints.tolist() == [[512, 64, 0.25]]
