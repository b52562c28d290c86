"""Load of `e2pose serve`: rate, refusals, health, hang-ups, memory and shutdown, against the bare estimator.

Needs `wrk` (Debian: apt-get install wrk) and an idle machine. Prints a table and exits with 1 if a limit is exceeded:

    python tests/load/serve.py                        # about 10 minutes
    python tests/load/serve.py --seconds 3 --requests 2000 --model fast

Limits: at least 0.85 of the rate of the bare estimator with as many callers; refusals only beyond the queue; `/healthz`
below 50 ms; the latency after 200 hang-ups within 2.5 times the idle one, because running images are finished; memory
growth below 20 MB; exit within 10 s.
"""

import argparse
import http.client
import json
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

IMAGE = Path(__file__).parents[2] / "samples" / "park.jpg"
CONNECTIONS = (1, 2, 8, 64)
QUEUE = 16  # the default of the server, which computes a few more than it lets wait
SCRIPT = """
wrk.method = "POST"
wrk.body = io.open("{image}", "rb"):read("*a")
wrk.headers["Content-Type"] = "image/jpeg"
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init(args) answered = 0; refused = 0; other = 0 end
function response(status)
  if status == 200 then answered = answered + 1
  elseif status == 503 then refused = refused + 1
  else other = other + 1 end
end
function done(summary, latency)
  local sums = {{answered = 0, refused = 0, other = 0}}
  for _, thread in ipairs(threads) do
    for name in pairs(sums) do sums[name] = sums[name] + thread:get(name) end
  end
  local seconds = summary.duration / 1e6
  print(string.format('{{"rate": %f, "refused": %d, "other": %d, "errors": %d, "p50_ms": %f, "p99_ms": %f}}',
    sums.answered / seconds, sums.refused, sums.other, summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""
BARE = """
import sys, time, threading, e2pose
from pathlib import Path
from e2pose.inference.estimator import Estimator

model, callers, seconds, image = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]).read_bytes()
estimator = Estimator.open(model, num_images=1 if callers == 1 else None)
callers = min(callers, estimator.num_parallel)
end, counts = time.monotonic() + seconds, [0] * callers

def call(index):
    while time.monotonic() < end:
        estimator(image)
        counts[index] += 1

estimator(image)
start = time.monotonic()
end = start + seconds
threads = [threading.Thread(target=call, args=[index]) for index in range(callers)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(counts) / (time.monotonic() - start))
"""


class Server:
    """A running server."""

    def __init__(self, model: str) -> None:
        command = [sys.executable, "-m", "e2pose", "serve", "--port", "0", "--model", model]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.match(r"ready: https?://[^/]+:(\d+)/", line):
                self.port = int(found[1])
                break

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {"Content-Type": "image/jpeg"} if body else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def latency_ms(self) -> float:
        start_s = time.monotonic()
        status, _ = self.request("POST", "/v1/poses", IMAGE.read_bytes())
        assert status == 200, status
        return 1000 * (time.monotonic() - start_s)

    def memory_mb(self) -> float:
        _, text = self.request("GET", "/metrics")
        return int(re.search(rb"process_resident_memory_bytes (\d+)", text)[1]) / 1e6


class Health:
    """Polls `/healthz` ten times a second, and keeps the slowest answer."""

    def __init__(self, server: Server) -> None:
        self.server, self.times_ms, self.stopped = server, [], threading.Event()
        self.thread = threading.Thread(target=self.poll)

    def poll(self) -> None:
        while not self.stopped.wait(0.1):
            start_s = time.monotonic()
            assert self.server.request("GET", "/healthz")[0] == 200
            self.times_ms.append(1000 * (time.monotonic() - start_s))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def bare_rate(model: str, callers: int, seconds: float) -> float:
    command = [sys.executable, "-c", BARE, model, str(callers), str(seconds), str(IMAGE)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def load(server: Server, connections: int, seconds: float) -> dict:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(image=IMAGE))
        script.flush()
        options = ["-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s", "--timeout", "30s"]
        command = ["wrk", *options, "-s", script.name, f"http://127.0.0.1:{server.port}/v1/poses"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(next(line for line in printed.splitlines() if line.startswith("{")))


def hang_up(server: Server, count: int) -> None:
    body = IMAGE.read_bytes()
    head = f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def one(_: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + body)
            time.sleep(0.05)

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(one, range(count)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--requests", type=int, default=20_000, help="of the memory test")
    options = parser.parse_args()
    failed = []

    def check(name: str, value: str, passed: bool) -> None:
        print(f"| {name} | {value} | {'yes' if passed else 'NO'} |", flush=True)
        if not passed:
            failed.append(name)

    print("| Measurement | Value | Within the limit |\n|---|---|---|")
    server = Server(options.model)
    for connections in CONNECTIONS:
        at = f"{connections} connection{'s' if connections > 1 else ''}"
        before = bare_rate(options.model, connections, options.seconds / 2)
        with Health(server) as health:
            result = load(server, connections, options.seconds)
        bare = (before + bare_rate(options.model, connections, options.seconds / 2)) / 2
        share = result["rate"] / bare
        times = f"p50 {result['p50_ms']:.0f} ms, p99 {result['p99_ms']:.0f} ms"
        check(f"rate, {at}", f"{result['rate']:.1f}/s of {bare:.1f}/s = {share:.2f}; {times}", share >= 0.85)
        failures = result["other"] + result["errors"]
        expected = (result["refused"] > 0) == (connections > QUEUE) and not failures
        check(f"refused, {at}", f"{result['refused']}; other failures {failures}", expected)
        slowest, p99 = max(health.times_ms), statistics.quantiles(health.times_ms, n=100)[98]
        check(f"/healthz, {at}", f"p99 {p99:.0f} ms, slowest {slowest:.0f} ms", slowest < 50)

    idle = statistics.median(server.latency_ms() for _ in range(20))
    hang_up(server, 200)
    first = server.latency_ms()
    check("latency after 200 hang-ups", f"{first:.0f} ms; idle {idle:.0f} ms", first < 2.5 * idle)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: server.latency_ms(), range(options.requests // 20)))
        start_mb = server.memory_mb()
        list(threads.map(lambda _: server.latency_ms(), range(options.requests)))
    growth = server.memory_mb() - start_mb
    check(f"memory growth, {options.requests:,} requests", f"{growth:.1f} MB on {start_mb:.0f} MB", growth < 20)

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(server.latency_ms) for _ in range(8)]
        time.sleep(0.02)
        start_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=20)
        seconds = time.monotonic() - start_s
        answered = sum(future.exception() is None for future in running)
    check("SIGTERM under load", f"{answered} of 8 answered, exit in {seconds:.1f} s", answered == 8 and seconds < 10)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
