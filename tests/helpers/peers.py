"""Peers for the bench that need nothing but Python, and do whatever a test wants them to."""

from pathlib import Path

import numpy as np

from e2pose.bench.images import Picture
from e2pose.bench.peer_script import read_peer_script
from e2pose.core.frame import Origin

HEAD = """# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.e2pose-bench]
# name = "Made"
# licence = "MIT"
# environment = "this"
# ///
"""

BODY = """
import json, os, subprocess, sys, time

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
mode = arguments.get("--mode", "good")
names = arguments.get("--keypoints", "nose,left_eye").split(",")

def say(record):
    print(json.dumps(record) if isinstance(record, dict) else record, flush=True)

def point(x, y):
    return [x, y, 0.9]

if mode == "mute":
    time.sleep(600)
if mode == "refuses":
    say({"error": "no weights here,\\nsorry"})
    sys.exit(1)
if mode == "stillborn":
    sys.exit("nothing\\nImportError: no luck")
hello = {
    "hello": 1, "name": arguments.get("--name", "Made"), "version": "1.2", "licence": "MIT", "runtime": "none 0",
    "precision": "f32", "threads": int(arguments["--threads"]), "weights": [], "random_weights": mode == "random",
    "people": "one" if mode == "single" else "many", "keypoints": names, "note": "made for tests", "more": 1,
}
if mode == "half a hello":
    del hello["licence"]
say(hello)
asked = 0
for line in sys.stdin:
    request = json.loads(line)
    if "diary" in arguments.get("--diary", ""):
        with open(arguments["--diary"], "a") as diary:
            diary.write(f"{hello['name']} {request.get('frame', 'end')}\\n")
    if request.get("end"):
        say({"end": True, "peak_memory_mb": -1 if mode == "impossible end" else 12.5})
        break
    asked += 1
    start = time.perf_counter()
    time.sleep(float(arguments.get("--sleep", 0.001)))
    ms = 1000 * (time.perf_counter() - start)
    poses = [{"score": 0.8, "keypoints": [point(10 + 5 * i, 20) for i in range(len(names))]}]
    answer = {"frame": request["frame"], "poses": poses, "ms": {"preprocess": 0, "network": ms, "postprocess": 0}}
    late = asked > int(arguments.get("--after", 0))
    if late and mode == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(arguments["--child"], "w") as file:
            file.write(str(child.pid))
        time.sleep(600)
    elif late and mode == "crash":
        print("Traceback", file=sys.stderr)
        print("ValueError: too many people", file=sys.stderr)
        os._exit(3)
    elif late and mode == "killed":
        os.kill(os.getpid(), 11)
    elif late and mode == "rubbish":
        answer = "Loading weights... 100%"
    elif late and mode == "wrong frame":
        answer["frame"] += 1
    elif late and mode == "few keypoints":
        poses[0]["keypoints"].pop()
    elif late and mode == "nan":
        poses[0]["keypoints"][1][0] = float("nan")
    elif late and mode == "text for a number":
        poses[0]["score"] = "0.8"
    elif late and mode == "lie":
        answer["ms"]["network"] = 1e6
    elif late and mode == "negative":
        answer["ms"]["network"] = -1
    elif late and mode == "endless":
        while True:
            sys.stdout.write("x" * 65536)
    elif late and mode == "chatter":
        say("I am done")
    elif late and mode == "flood":
        sys.stderr.write("warning: this is fine\\n" * 200_000)
    say(answer)
"""


def write_peer(path: Path, *, head: str = HEAD, body: str = BODY) -> Path:
    """Writes the script of a peer."""
    path.write_text(head + body, encoding="utf-8")
    return path


def made_script(folder: Path):
    """A peer as the bench knows it."""
    return read_peer_script(write_peer(folder / "made.py"))


def write_frames(folder: Path, count: int, size_hw: tuple[int, int] = (40, 60)) -> list[Picture]:
    """Grey frames, saved as the bench does."""
    pictures = []
    for index in range(count):
        path = folder / f"{index}.npy"
        np.save(path, np.full((*size_hw, 3), 60 + index, np.uint8))
        pictures.append(Picture(index, path, Origin(f"{index}.png", path=Path(f"{index}.png"))))
    return pictures
