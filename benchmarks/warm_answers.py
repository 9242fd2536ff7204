"""What it costs that each request has a container of its own, one that waits for it or one that is started for it: beside plain
HTTP to a server that lives on in a container of the same image and answers everybody."""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from learningchain.sandbox import AnswerForm, ParsedAnswer, RunResult, RunSpec, RunStatus, Sandbox, WarmRun
from learningchain.sandbox.answers import AnswerReader, request_json
from learningchain.sandbox.images import build_python_image

JOB = rb"""#!/usr/local/bin/python3
import http.server, sys

def answer(asked):
    rows = [sum(map(float, line.strip("[]").split(","))) for line in asked.split()]
    return "".join("%.6f\n" % row for row in rows) + "check %.6f\n" % sum(rows)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        text = answer(self.rfile.read(int(self.headers["Content-Length"])).decode()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass

if sys.argv[1] == "serve":
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
print('LC {"ready":1}', flush=True)
if sys.stdin.readline() == "go\n":
    with open("/lc/in/input") as given, open("/lc/out/answer", "w") as file:
        file.write(answer(given.read()))
    print('LC {"done":1}', flush=True)
"""
ROWS = 16
INPUT = b"".join(b"0.5,%d,-1.25,3\n" % row for row in range(ROWS))
FORM = AnswerForm(rows=ROWS)
START_S = 30.0


@dataclass(frozen=True)
class WarmAnswersFigure:
    """In milliseconds, medians; the three take turns, so that the ratios are of neighbours."""

    requests: int
    http_ms: float
    """A POST on a new connection, to a server that stays, in a container of the same image."""
    warm_ms: float
    """From the request to its parsed answer, in a container that waits for it and dies with it."""
    cold_ms: float
    """The same in a container that is started for it."""
    warm_quartiles_ms: list[float]
    warm_to_http: float
    cold_to_warm: float
    """Medians of the ratios of neighbours."""


def warm_answers(requests: int) -> WarmAnswersFigure:
    """Raises `SandboxUnavailable` without an engine, `RuntimeError` where an answer is not the right one."""
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as name:
        folder = Path(name)
        image = build_python_image(folder / "job.tar", {"/lc/job": JOB}, with_packages=())
        (folder / "model").write_bytes(b"weights" * 10_000)
        room = Sandbox(folder, node_tag=f"bench-{os.getpid()}")
        try:
            room.check_engine()
            room.load_archive(folder / "job.tar", image)
            server = PlainServer(room._store.require(image))
            try:
                turns = [_turn(room, server, _spec(image, folder / "model", n)) for n in range(requests + 1)][1:]
            finally:
                server.close()
        finally:
            room.cleanup()
            room.close()
    plain, warm, cold = ([turn[at] for turn in turns] for at in range(3))
    return WarmAnswersFigure(
        requests,
        statistics.median(plain),
        statistics.median(warm),
        statistics.median(cold),
        statistics.quantiles(warm, n=4),
        statistics.median(w / p for p, w, _ in turns),
        statistics.median(c / w for _, w, c in turns),
    )


class PlainServer:
    """The same program as a server, as models are served elsewhere."""

    def __init__(self, image: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        run = ["docker", "run", "--rm", "--detach", "--network", "host", "--entrypoint", "/lc/job", image, "serve", str(self._port)]
        self._name = subprocess.run(run, check=True, capture_output=True, timeout=60, text=True).stdout.strip()
        until = time.monotonic() + START_S
        while True:
            try:
                self.ask()
                return
            except OSError:
                if time.monotonic() > until:
                    self.close()
                    raise RuntimeError("the server in a container does not answer") from None
                time.sleep(0.05)

    def ask(self) -> float:
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("POST", "/", INPUT)
            text = connection.getresponse().read()
        finally:
            connection.close()
        spent = time.perf_counter() - began
        if text.count(b"\n") != ROWS + 1:
            raise RuntimeError(f"the server answered {text[:80]!r}")
        return spent * 1000

    def close(self) -> None:
        subprocess.run(["docker", "kill", self._name], check=False, capture_output=True, timeout=60)


def _spec(image: str, model: Path, number: int) -> RunSpec:
    return RunSpec(run_id=f"bench{number}", image_id=image, phase="predict", seed=1, budget_s=10, inputs={"model": model})


def _turn(room: Sandbox, server: PlainServer, spec: RunSpec) -> tuple[float, float, float]:
    """One request each way: by HTTP, to a container that waits, and to one that is started for it."""
    warm = room.start(spec)
    room.settle()
    plain = server.ask()
    began = time.perf_counter()
    answered = _finish(warm)
    halfway = time.perf_counter()
    room.settle()
    again = time.perf_counter()
    _finish(room.start(spec))
    cold = time.perf_counter() - again
    room.settle()
    if answered.scores[1] != 3_250_000_000:
        raise RuntimeError(f"the container answered {answered}")
    return plain, (halfway - began) * 1000, cold * 1000


def _finish(warm: WarmRun | RunResult) -> ParsedAnswer:
    if isinstance(warm, RunResult):
        raise RuntimeError(f"the container did not get ready: {warm}")
    result: RunResult = warm.finish({"request.json": request_json(ROWS, 1, 1), "input": INPUT}, read=lambda: AnswerReader(FORM))
    if result.status is not RunStatus.OK or not isinstance(result.result, ParsedAnswer):
        raise RuntimeError(f"the run failed: {result}")
    return result.result
