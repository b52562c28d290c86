"""Preprocessing of the peers, and conversion of their outputs to keypoints in the frame."""

import importlib.util
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from e2pose.bench.peer_script import PEERS


@pytest.fixture
def peer(monkeypatch):
    """Returns a function that imports a peer script under another name, because some have the name of a library."""
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


def center_of(image: np.ndarray) -> tuple[float, float]:
    """Returns (x, y) of the bright spot, from the outer corner."""
    y, x = np.nonzero(image > image.max() / 2)
    return x.mean() + 0.5, y.mean() + 0.5


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (333, 500), (100, 120)])
def test_movenet_scaling_is_inverted(peer, height: int, width: int) -> None:
    movenet = peer("movenet")
    pixels, scale = movenet.scale_and_pad(bright_spot(height, width, 80, 60), 256)
    assert max(pixels.shape) == 256
    assert pixels.shape[0] % 32 == pixels.shape[1] % 32 == 0
    x, y = center_of(pixels[..., 0])
    person = np.zeros((1, 56), np.float32)
    person[0, 3:6] = y / pixels.shape[0], x / pixels.shape[1], 0.75  # the second keypoint
    person[0, 55] = 0.5
    (pose,) = movenet.to_poses(person, pixels.shape[:2], scale)
    assert pose.score == 0.5
    assert pose.keypoints.shape == (17, 3)
    assert pose.keypoints[1] - movenet.HALF_PIXEL * np.array([1, 1, 0]) == pytest.approx([80, 60, 0.75], abs=1)


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 427), (100, 120)])
def test_yolo_letterbox_is_inverted(peer, height: int, width: int, *, square: bool) -> None:
    yolo = peer("yolo11")
    pixels, scale, corner_xy = yolo.letterbox(bright_spot(height, width, 80, 60), 640, square=square)
    assert pixels.shape[1] == 3
    assert pixels.shape[2:] == (640, 640) if square else max(pixels.shape[2:]) == 640
    assert pixels.shape[2] % 32 == pixels.shape[3] % 32 == 0
    assert pixels.max() == 1
    x, y = center_of(pixels[0, 0])
    candidates = np.zeros((56, 3), np.float32)
    candidates[:5, :] = np.array([x, y, 40, 60, 0.9])[:, None]
    candidates[4] = 0.0005, 0.9, 0.8  # below the minimum, highest, and suppressed because of the same box
    candidates[8:11, 1] = x, y, 0.75
    (pose,) = yolo.to_poses(candidates, scale, corner_xy)
    assert pose.score == pytest.approx(0.9)
    assert pose.keypoints[1] - yolo.HALF_PIXEL * np.array([1, 1, 0]) == pytest.approx([80, 60, 0.75], abs=1)


def test_half_a_pixel_is_added_to_coordinates_of_coco(peer) -> None:
    """Networks trained on COCO count from the centre of the first pixel."""
    person = np.zeros((1, 56), np.float32)
    person[0, :3] = 0.5, 0.25, 0.75  # y, x and score of the first keypoint, in an input of 100 x 200 pixels
    (pose,) = peer("movenet").to_poses(person, (100, 200), 2.0)
    assert pose.keypoints[0].tolist() == [25.5, 25.5, 0.75]
    candidate = np.zeros((56, 1), np.float32)
    candidate[:8, 0] = 50, 50, 40, 40, 0.75, 70, 60, 0.5
    (pose,) = peer("yolo11").to_poses(candidate, 2.0, np.array([20, 10]))
    assert pose.keypoints[0].tolist() == [25.5, 25.5, 0.5]


def test_yolo_keeps_separate_persons_sorted_by_score(peer) -> None:
    candidates = np.zeros((56, 2), np.float32)
    candidates[:5] = np.array([[100, 100, 50, 50, 0.3], [130, 100, 50, 50, 0.6]]).T
    poses = peer("yolo11").to_poses(candidates, 1.0, np.zeros(2))
    assert [round(float(pose.score), 3) for pose in poses] == [0.6, 0.3]
    assert peer("yolo11").to_poses(candidates[:, :0], 1.0, np.zeros(2)) == []


def test_mediapipe_selects_the_keypoints_of_coco(peer) -> None:
    landmarks = [SimpleNamespace(x=index / 100, y=0.5, visibility=index / 32) for index in range(33)]
    pose = peer("mediapipe").to_pose(landmarks, (200, 100))
    # nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; the left one first
    assert pose.keypoints[:, 0] == pytest.approx([0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
    assert set(pose.keypoints[:, 1]) == {100}
    assert pose.score == pytest.approx(pose.keypoints[:, 0].mean() / 32)


def test_mmpose_boxes_tile_the_frame(peer) -> None:
    mmpose = peer("mmpose")
    boxes = mmpose.tile_boxes(4, (80, 200))
    assert boxes.tolist() == [[50 * index, 10, 50 * index + 50, 70] for index in range(4)]
    with pytest.raises(NotImplementedError, match="cannot compute nms"):
        mmpose.StubModule("mmcv._ext").nms(boxes)


def test_openpifpaf_stretching_is_inverted(peer) -> None:
    pose = peer("openpifpaf").to_pose(0.5, np.array([[255.5, 127.5, 0.25]]), np.array([2, 0.5]))
    assert pose.keypoints.tolist() == [[512, 64, 0.25]]
