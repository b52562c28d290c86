import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from helpers.synthetic import TINY_KEYPOINTS

WEIGHTS = Path(__file__).parents[2] / "src" / "e2pose" / "zoo" / "weights"
BLOCKED = (
    "torch",
    "torchvision",
    "safetensors",
    "onnx",
    "onnxscript",
    "faster_coco_eval",
    "pycocotools",
    "PIL",
    "scipy",
)

PREDICT = f"""
import sys

class BlockedModules:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, BlockedModules())
from e2pose.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_extras(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREDICT, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_predict_works_with_the_base_install(tiny_model: Path, tmp_path: Path) -> None:
    image = tmp_path / "white.png"
    cv2.imwrite(str(image), np.full((40, 60, 3), 255, np.uint8))
    done = run_without_extras(
        "predict", image, "--model", tiny_model, "-o", tmp_path / "drawn", "-o", tmp_path / "poses.json"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "poses.json").is_file()
    assert (tmp_path / "drawn" / "white.png").is_file()


def test_missing_extra_is_an_error_with_the_install_command(tmp_path: Path) -> None:
    image, weights = tmp_path / "white.png", WEIGHTS / "mobilenetv2-320.safetensors"
    cv2.imwrite(str(image), np.full((40, 60, 3), 255, np.uint8))
    assert weights.is_file()
    done = run_without_extras("predict", image, "--model", weights)
    assert done.returncode == 1
    assert "pip install 'e2pose[train]'" in done.stderr
    assert "Traceback" not in done.stderr


LOAD = """
import json, sys

class BlockedModules:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, BlockedModules())
import numpy as np
import e2pose

estimator = e2pose.load(sys.argv[1])
poses = estimator(np.full((100, 200, 3), 255, np.uint8))
print(json.dumps({"keypoint": poses.keypoints[0, 0].tolist(), "description": estimator.description}))
"""


def test_load_and_estimate_with_torch_blocked(tiny_model: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOAD, tiny_model], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads(done.stdout)
    expected = TINY_KEYPOINTS[0] * [200, 100]
    assert max(abs(expected - result["keypoint"])) < 1e-3
    assert result["description"].startswith("tiny, onnxruntime ")
