"""Peer scripts that only require Python, with options for all kinds of errors."""

from pathlib import Path

import numpy as np

from e2pose.bench.images import BenchImage
from e2pose.bench.peer_script import PeerScript, read_peer_script
from e2pose.core.frame import Origin

HEAD = """# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.e2pose-bench]
# name = "Fake"
# licence = "MIT"
# environment = "this"
# ///
"""

BODY = """
import json, os, subprocess, sys, time

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
mode = arguments.get("--mode", "good")
names = arguments.get("--keypoints", "nose,left_eye").split(",")

def send(record):
    print(json.dumps(record) if isinstance(record, dict) else record, flush=True)

def point(x, y):
    return [x, y, 0.9]

if mode == "silent":
    time.sleep(600)
if mode == "load error":
    send({"error": "no weights here,\\nsorry"})
    sys.exit(1)
if mode == "exit at start":
    sys.exit("nothing\\nImportError: no luck")
handshake = {
    "handshake": 2, "name": arguments.get("--name", "Fake"), "version": "1.2", "licence": "MIT", "runtime": "none 0",
    "precision": "f32", "threads": int(arguments["--threads"]), "weights": [], "random_weights": mode == "random",
    "multi_person": mode != "single", "keypoints": names, "note": "only for tests", "more": 1,
}
if mode == "incomplete handshake":
    del handshake["licence"]
send(handshake)
num_requests = 0
for line in sys.stdin:
    request = json.loads(line)
    if "--requests" in arguments:
        with open(arguments["--requests"], "a") as file:
            file.write(f"{handshake['name']} {request.get('frame', 'stop')}\\n")
    if request.get("stop"):
        send({"result": True, "peak_memory_mb": -1 if mode == "invalid result" else 12.5})
        break
    num_requests += 1
    poses = [{"score": 0.8, "keypoints": [point(10 + 5 * i, 20) for i in range(len(names))]}]
    ms = {"preprocess": 0, "network": float(arguments.get("--network-ms", 0.01)), "postprocess": 0}
    response = {"frame": request["frame"], "poses": poses, "ms": ms}
    fails = num_requests > int(arguments.get("--after", 0))
    if fails and mode == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(arguments["--child"], "w") as file:
            file.write(str(child.pid))
        time.sleep(600)
    elif fails and mode == "crash":
        print("Traceback", file=sys.stderr)
        print("ValueError: too many persons", file=sys.stderr)
        os._exit(3)
    elif fails and mode == "killed":
        os.kill(os.getpid(), 11)
    elif fails and mode == "text":
        response = "Loading weights... 100%"
    elif fails and mode == "wrong frame":
        response["frame"] += 1
    elif fails and mode == "few keypoints":
        poses[0]["keypoints"].pop()
    elif fails and mode == "nan":
        poses[0]["keypoints"][1][0] = float("nan")
    elif fails and mode == "score as text":
        poses[0]["score"] = "0.8"
    elif fails and mode == "impossible time":
        ms["network"] = 1e6
    elif fails and mode == "negative time":
        ms["network"] = -1
    elif fails and mode == "endless line":
        while True:
            sys.stdout.write("x" * 65536)
    elif fails and mode == "additional line":
        send("I am done")
    elif fails and mode == "many lines":
        while True:
            send("I am done")
    elif fails and mode == "much stderr":
        sys.stderr.write("warning: this is fine\\n" * 200_000)
    send(response)
"""


def write_peer(path: Path, *, head: str = HEAD, body: str = BODY) -> Path:
    """Writes a peer script."""
    path.write_text(head + body, encoding="utf-8")
    return path


def fake_script(folder: Path) -> PeerScript:
    """Writes and reads a peer script."""
    return read_peer_script(write_peer(folder / "fake.py"))


def write_frames(folder: Path, count: int, size_hw: tuple[int, int] = (40, 60)) -> list[BenchImage]:
    """Writes grey frames as the bench does."""
    images = []
    for index in range(count):
        path = folder / f"{index}.npy"
        np.save(path, np.full((*size_hw, 3), 60 + index, np.uint8))
        images.append(BenchImage(index, path, Origin(f"{index}.png", path=Path(f"{index}.png"))))
    return images
