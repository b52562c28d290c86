"""A signal after models have come and gone finds a process that can take it."""

import signal
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, signal, sys
from e2pose.runtimes.openvino import OpenVinoRuntime
signal.signal(signal.SIGINT, lambda *_: print("taken"))
first = OpenVinoRuntime(sys.argv[1])
second = OpenVinoRuntime(sys.argv[1])
del first
del second
os.kill(os.getpid(), signal.SIGINT)
"""


def test_an_interrupt_after_two_models_are_gone(tiny_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_model)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != -signal.SIGSEGV
    assert done.stdout == "taken\n"
