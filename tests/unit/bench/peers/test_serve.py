import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from e2pose.bench.peer_script import PEERS
from e2pose.bench.protocol import STOP_REQUEST, frame_request, parse_handshake, parse_response, parse_result

NOISY = """
import ctypes, os
import numpy as np
from serve import Peer, Pose, serve

def print_everywhere():
    print("python")
    ctypes.CDLL(None).puts(b"c")  # in the buffer of C, which is flushed at exit
    os.system("echo shell")

def load(options):
    print_everywhere()
    def estimate(image, watch):
        print_everywhere()
        with watch("network"):
            poses = [Pose(np.float32(0.5), np.array([[image.shape[1], image.shape[0], image[0, 0, 0]]], np.float32))]
        return poses
    return Peer(
        estimate, f"Noisy {options.size} {options.word}", "1", "MIT", "none", [options.files / "w"], keypoints=["nose"]
    )

serve(load, size=(5, 7), word=("anything",))
"""


def write_script(folder: Path, text: str, name: str = "fake") -> Path:
    shutil.copy(PEERS / "serve.py", folder)
    script = folder / f"{name}.py"
    script.write_text(textwrap.dedent(text))
    (folder / "w").write_bytes(b"weights")
    return script


def run(script: Path, requests: bytes = b"", options: tuple[str, ...] = (), **variables: str):
    command = [sys.executable, str(script), "--threads", "2", "--files", str(script.parent), *options]
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_THREADS")} | variables
    done = subprocess.run(command, input=requests, capture_output=True, timeout=60, env=environment, check=False)
    return done, done.stdout.splitlines(keepends=True)


def error_of(script: Path, requests: bytes = b"", options: tuple[str, ...] = ()) -> str:
    done, lines = run(script, requests, options)
    assert done.returncode == 1
    assert list(json.loads(lines[-1])) == ["error"]
    return json.loads(lines[-1])["error"]


def save_frame(folder: Path) -> Path:
    np.save(folder / "7.npy", np.full((3, 4, 3), 9, np.uint8))
    return folder / "7.npy"


def test_printing_libraries_do_not_disturb_the_protocol(tmp_path: Path) -> None:
    script = write_script(tmp_path, NOISY)
    done, lines = run(script, frame_request(7, save_frame(tmp_path)) + STOP_REQUEST, ("--size", "7", "--word", "word"))
    assert done.returncode == 0
    assert len(lines) == 3
    handshake = parse_handshake(lines[0])
    assert (handshake.name, handshake.threads, handshake.keypoints) == ("Noisy 7 word", 2, ("nose",))
    assert handshake.weights[0].file == "w"
    assert handshake.weights[0].sha256 == "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    response = parse_response(lines[1], 7, 1)
    assert response.poses[0].keypoints == ((4, 3, 9),)
    assert response.ms.network > 0 == response.ms.preprocess
    assert 5 < parse_result(lines[2]).peak_memory_mb < 1000
    assert {b"python", b"c", b"shell"} <= set(done.stderr.splitlines())


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ("import there_is_none", "ModuleNotFoundError: No module named 'there_is_none'"),
        ("raise ValueError('two\\n  lines')", "ValueError: two lines"),
        ("raise SystemExit('away')", "SystemExit: away"),
        ("assert options.threads == 0", "AssertionError"),
        ("raise ValueError(1000 * 'x')", "ValueError: " + 287 * "x" + "…"),
    ],
)
def test_errors_are_reported_in_one_line(tmp_path: Path, load: str, message: str) -> None:
    script = write_script(tmp_path, f"from serve import serve\ndef load(options):\n    {load}\nserve(load)")
    assert error_of(script) == message


def test_invalid_options_are_reported(tmp_path: Path) -> None:
    script = write_script(tmp_path, NOISY)
    assert "invalid choice: 6 (choose from 5, 7)" in error_of(script, options=("--size", "6"))
    assert "unrecognized arguments: --colour red" in error_of(script, options=("--colour", "red"))


def test_nan_is_an_error_instead_of_invalid_json(tmp_path: Path) -> None:
    script = write_script(tmp_path, NOISY.replace("np.float32(0.5)", "np.nan"))
    assert "not JSON compliant" in error_of(script, frame_request(7, save_frame(tmp_path)))


def test_missing_frame_is_an_error(tmp_path: Path) -> None:
    script = write_script(tmp_path, NOISY)
    assert "No such file" in error_of(script, frame_request(7, tmp_path / "8.npy"))


def test_script_can_have_the_name_of_its_library(tmp_path: Path) -> None:
    text = (
        "from serve import serve\ndef load(options):\n    import wave\n    raise ValueError(wave.__file__)\nserve(load)"
    )
    message = error_of(write_script(tmp_path, text, name="wave"))
    assert message.endswith("wave.py")
    assert str(tmp_path) not in message


def test_peak_memory_excludes_subprocesses(tmp_path: Path) -> None:
    text = """
    import numpy as np
    from serve import Peer, run_in_subprocess, serve

    def work(megabytes):
        np.ones((megabytes, 1 << 20), np.uint8).sum()

    def load(options):
        run_in_subprocess(work, 400)
        work(150)
        return Peer(lambda image, watch: [], "Big", "1", "MIT", "none")

    if __name__ == "__main__":
        serve(load)
    """
    _, lines = run(write_script(tmp_path, text), STOP_REQUEST)
    assert 150 < parse_result(lines[1]).peak_memory_mb < 350


def test_failed_subprocess_is_reported_and_leaves_no_file(tmp_path: Path) -> None:
    text = """
    from serve import run_in_subprocess, serve

    def prepare(path):
        from serve import atomic_path
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ValueError

    def load(options):
        run_in_subprocess(prepare, options.files / "ready")

    if __name__ == "__main__":
        serve(load)
    """
    script = write_script(tmp_path, text)
    assert error_of(script) == "RuntimeError: the step 'prepare' failed with exit code 1; see the log"
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"fake.py", "serve.py", "w"}
