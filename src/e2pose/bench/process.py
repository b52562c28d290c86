"""One running peer: asked in lines, held to time limits, stopped with all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from e2pose.bench.environment import last_words
from e2pose.bench.protocol import (
    Answer,
    Hello,
    end_request,
    frame_request,
    read_answer,
    read_farewell,
    read_hello,
)
from e2pose.core.errors import PeerError

_LONGEST_LINE = 1 << 24  # bytes; nobody finds so many people
_LINES_AHEAD = 4
_MOMENT_S = 5.0
_ROUNDING_MS = 1.0
_CLOSED = b""

# Each of these holds a library to a number of threads.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# These would let the environment of the bench shine through into that of the peer.
_PRIVATE_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")


@dataclass(frozen=True)
class Limits:
    """How long a peer may take for its hello, for a frame, and to end, in seconds."""

    hello_s: float = 300.0
    answer_s: float = 120.0
    end_s: float = 30.0


DEFAULT_LIMITS = Limits()
"""How long peers may take if nobody says otherwise."""


class PeerProcess:
    """A peer at work. Whatever it does wrong ends it, with one line that says why.

    Args:
        command: What to run.
        threads: How many threads its libraries may use.
        modules: A folder whose modules it may import.
        log: The file that gets what it prints on stderr.
        limits: How long it may take.

    Raises:
        PeerError: It cannot be started.
    """

    def __init__(self, command: Sequence[str], *, threads: int, modules: Path, log: Path, limits: Limits) -> None:
        self.spawned_s = perf_counter()
        """When it was started, on the clock of `perf_counter`."""
        self._log, self._limits = log, limits
        self._keypoints = 0
        self._closed = False
        self._lines: Queue[bytes] = Queue(_LINES_AHEAD)
        try:
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=_environment(threads, modules),
                    **_own_group(),
                )
        except OSError as error:
            raise PeerError(f"it cannot be started: {error.strerror}") from error
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def hello(self) -> Hello:
        """What it says first.

        Raises:
            PeerError: It says something else, nothing in time, or ends.
        """
        with _Blame(self):
            hello = read_hello(self._next_line(self._limits.hello_s, "its hello"))
        self._keypoints = len(hello.keypoints)
        return hello

    def ask(self, frame: int, path: Path) -> tuple[Answer, float]:
        """The poses in a frame, and how many milliseconds lay between question and answer.

        Raises:
            PeerError: It says something else, nothing in time, or ends.
        """
        with _Blame(self):
            start = perf_counter()
            self._say(frame_request(frame, path))
            line = self._next_line(self._limits.answer_s, f"its answer to frame {frame}")
            wall_ms = 1000 * (perf_counter() - start)
            answer = read_answer(line, frame, self._keypoints)
            if answer.ms.total > wall_ms + _ROUNDING_MS:
                raise PeerError(
                    f"it says that frame {frame} took {answer.ms.total:.1f} ms, but its answer came after "
                    f"{wall_ms:.1f} ms"
                )
        return answer, wall_ms

    def end(self) -> float:
        """Asks it to end; gives the most memory that it has used, in MB of 2^20 bytes.

        Raises:
            PeerError: It says something else, or nothing in time.
        """
        with _Blame(self):
            self._say(end_request())
            farewell = read_farewell(self._next_line(self._limits.end_s, "its last line"))
        self.close()
        return farewell.peak_memory_mb

    def pause(self) -> None:
        """Stops it where it stands, so that nothing of it disturbs the others; without effect on Windows."""
        self._signal("SIGSTOP")

    def resume(self) -> None:
        """Lets it go on."""
        self._signal("SIGCONT")

    def close(self) -> None:
        """Ends it and what it has started, at once; the second time there is nothing left to do."""
        if self._closed:
            return
        self._closed = True
        self._signal("SIGKILL")
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_MOMENT_S)
        given_up_s = perf_counter() + _MOMENT_S
        while self._reader.is_alive() and perf_counter() < given_up_s:
            with suppress(Empty):  # the reader waits while there are too many lines
                self._lines.get(timeout=0.01)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        if not self._reader.is_alive():  # else somebody who left the group holds the pipe, and closing would wait
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it."""
        self.close()

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, as is found out while waiting for the answer
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _next_line(self, limit_s: float, what: str) -> bytes:
        try:
            line = self._lines.get(timeout=limit_s)
        except Empty as error:
            raise PeerError(f"{what} did not come within {limit_s:g} s") from error
        if line == _CLOSED:
            raise PeerError(f"it ended before {what}: {self._end_of_it()}")
        if not line.endswith(b"\n"):
            raise PeerError(f"{what} is no line: {len(line)} bytes without an end")
        return line

    def _end_of_it(self) -> str:
        try:
            code = self._process.wait(_MOMENT_S)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        try:
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        except ValueError:
            how = f"by signal {-code}"
        return f"{how}, {last_words(self._log)}"

    def _read(self) -> None:
        """Takes in what it says, in a thread; when it falls silent for good, an empty line says so."""
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):
            while line := self._process.stdout.readline(_LONGEST_LINE):
                self._lines.put(line)
        self._lines.put(_CLOSED)

    def _signal(self, name: str) -> None:
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, getattr(signal, name))


class _Blame:
    """Ends a peer for any error."""

    def __init__(self, peer: PeerProcess) -> None:
        self._peer = peer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._peer.close()


def _environment(threads: int, modules: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _PRIVATE_VARIABLES}
    held = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return {**kept, **held, "PYTHONPATH": str(modules), "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}


def _own_group() -> dict[str, Any]:
    """A group of processes in our session: it can be stopped as a whole.

    Should the bench be killed, the system wakes those that are stopped and hangs them up.
    """
    return {"process_group": 0} if os.name == "posix" else {}
