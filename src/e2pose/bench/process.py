"""The process of one peer: requests with time limits, pausing, and termination of all its child processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from time import perf_counter
from typing import Any

from e2pose.bench.environment import last_message
from e2pose.bench.protocol import (
    STOP_REQUEST,
    FrameResponse,
    Handshake,
    ResultMessage,
    frame_request,
    parse_handshake,
    parse_response,
    parse_result,
)
from e2pose.core.errors import PeerError

_MAX_LINE_BYTES = 1 << 24
_MAX_UNREAD_LINES = 4
_EXIT_LIMIT_S = 5.0
_TIME_TOLERANCE_MS = 1.0
_END_OF_OUTPUT = b""

# Variables that limit the threads of libraries.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Variables that would make packages of the bench importable in the peer.
_PRIVATE_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds for the handshake, the response to a frame, and the result message."""

    handshake_s: float = 300.0
    response_s: float = 120.0
    result_s: float = 30.0


DEFAULT_LIMITS = Limits()


class PeerProcess:
    """A running peer, whose libraries use `threads` threads, and find modules in the folder `modules`.

    Its stderr is written to `log`. All methods raise `PeerError` if the process cannot be started, has exited, or sends
    an invalid or late message. Every error terminates it.
    """

    def __init__(self, command: Sequence[str], *, threads: int, modules: Path, log: Path, limits: Limits) -> None:
        self._log, self._limits = log, limits
        self._num_keypoints = 0
        self._lines: Queue[bytes] = Queue()
        # On POSIX the peer leads a process group, which can be paused and killed with all its child processes. If the
        # bench is killed, the system continues and hangs up stopped groups.
        group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
        pipe = subprocess.PIPE
        try:
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    command, stdin=pipe, stdout=pipe, stderr=errors, env=_environment(threads, modules), **group
                )
        except OSError as error:
            raise PeerError(f"the process cannot be started: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._reader = Thread(target=self._read_lines, daemon=True)
        self._reader.start()

    def receive_handshake(self) -> Handshake:
        """Waits for the first message."""
        with self._closed_on_error():
            handshake = parse_handshake(self._next_line(self._limits.handshake_s, "the handshake"))
        self._num_keypoints = len(handshake.keypoints)
        return handshake

    def estimate(self, frame: int, path: Path) -> tuple[FrameResponse, float]:
        """Requests the poses of a frame; returns the response and the milliseconds between request and response.

        A response that claims more time than has passed is invalid.
        """
        with self._closed_on_error():
            start = perf_counter()
            self._send(frame_request(frame, path))
            line = self._next_line(self._limits.response_s, f"the response to frame {frame}")
            wall_ms = 1000 * (perf_counter() - start)
            response = parse_response(line, frame, self._num_keypoints)
            if response.ms.total > wall_ms + _TIME_TOLERANCE_MS:
                raise PeerError(
                    f"the response to frame {frame} claims {response.ms.total:.1f} ms, but arrived after "
                    f"{wall_ms:.1f} ms"
                )
        return response, wall_ms

    def stop(self) -> ResultMessage:
        """Requests the result message and terminates the process."""
        with self._closed_on_error():
            self._send(STOP_REQUEST)
            result = parse_result(self._next_line(self._limits.result_s, "the result message"))
        self.close()
        return result

    def pause(self) -> None:
        """Stops the process group, so that it does not slow down others; without effect on Windows."""
        self._signal("SIGSTOP")

    def resume(self) -> None:
        """Continues the process group."""
        self._signal("SIGCONT")

    def close(self) -> None:
        """Kills the process and its child processes. Further calls have no effect."""
        if self._stdin.closed:
            return
        self._signal("SIGKILL")
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_LIMIT_S)
        self._reader.join(_EXIT_LIMIT_S)
        with suppress(OSError):
            self._stdin.close()
        if not self._reader.is_alive():  # a process that left the group may still hold the pipe; closing would block
            self._stdout.close()

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _send(self, line: bytes) -> None:
        with suppress(OSError):  # the process has exited, which is reported while waiting for the response
            self._stdin.write(line)
            self._stdin.flush()

    def _next_line(self, limit_s: float, what: str) -> bytes:
        try:
            line = self._lines.get(timeout=limit_s)
        except Empty as error:
            raise PeerError(f"{what} did not arrive within {limit_s:g} s") from error
        if line == _END_OF_OUTPUT:
            raise PeerError(f"the process ended before {what}: {self._exit_reason()}")
        if not line.endswith(b"\n"):
            raise PeerError(f"{what} is not a line: {len(line)} bytes without a line break")
        return line

    def _exit_reason(self) -> str:
        try:
            code = self._process.wait(_EXIT_LIMIT_S)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        names = {number.value: number.name for number in signal.Signals}
        reason = f"signal {names.get(-code, -code)}" if code < 0 else f"exit code {code}"
        return f"{reason}, {last_message(self._log)}"

    def _read_lines(self) -> None:
        """Reads stdout in a thread, until its end or too many unread lines."""
        with suppress(OSError, ValueError):
            while self._lines.qsize() < _MAX_UNREAD_LINES:
                line = self._stdout.readline(_MAX_LINE_BYTES)
                if not line:
                    break
                self._lines.put(line)
        self._lines.put(_END_OF_OUTPUT)

    def _signal(self, name: str) -> None:
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, getattr(signal, name))


def _environment(threads: int, modules: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _PRIVATE_VARIABLES}
    limits = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return {**kept, **limits, "PYTHONPATH": str(modules), "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}
