import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

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

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from e2pose.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_extras(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREDICT, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_predict_works_with_the_base_install_only(tiny_model: Path, tmp_path: Path) -> None:
    picture = tmp_path / "white.png"
    cv2.imwrite(str(picture), np.full((40, 60, 3), 255, np.uint8))
    done = run_without_extras(
        "predict", picture, "--model", tiny_model, "-o", tmp_path / "drawn", "-o", tmp_path / "poses.json"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "poses.json").is_file()
    assert (tmp_path / "drawn" / "white.png").is_file()


def test_missing_extra_is_an_error_with_the_command_that_installs_it(tmp_path: Path) -> None:
    picture, weights = tmp_path / "white.png", tmp_path / "model.safetensors"
    cv2.imwrite(str(picture), np.full((40, 60, 3), 255, np.uint8))
    weights.touch()
    done = run_without_extras("predict", picture, "--model", weights)
    assert done.returncode == 1
    assert "pip install 'e2pose[train]'" in done.stderr
    assert "Traceback" not in done.stderr
