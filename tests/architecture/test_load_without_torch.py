import json
import subprocess
import sys
from pathlib import Path

from helpers.synthetic import TINY_KEYPOINTS

SCRIPT = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
import e2pose

estimator = e2pose.load(sys.argv[1])
poses = estimator(np.full((100, 200, 3), 255, np.uint8))
print(json.dumps({"keypoint": poses.keypoints[0, 0].tolist(), "description": estimator.description}))
"""


def test_load_and_estimate_with_torch_blocked(tiny_model: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, tiny_model], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    expected = TINY_KEYPOINTS[0] * [200, 100]
    assert max(abs(expected - answer["keypoint"])) < 1e-3
    assert answer["description"].startswith("tiny, onnxruntime ")
