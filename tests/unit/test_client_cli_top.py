"""`top`: one frame where there is no terminal; in one it looks again by itself and leaves it as it was."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from learningchain.client.cli.top import Frame, Pace, draw
from tests.unit.client_fake_api import ACCOUNT, JOB, OTHER, OWN, RUN, STATUS, TOKEN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
NOW_MS = 1_700_000_000_000


def claim(claimant: str, loss: str, since: int) -> dict[str, Any]:
    return {"claimant": claimant, "loss": loss, "claimed": since}


def of_own(api: Fake) -> None:
    """A live job that this node posted, with two claims, the better one later."""
    job = {"id": JOB, "state": "OPEN", "bounty": "100", "claimants": 2, "posted": NOW_MS, "poster": OWN}
    api.answers["GET /v1/jobs"] = [job]
    api.answers[f"GET /v1/jobs/{JOB}"] = job | {"claims": [claim(OTHER, "0.900", NOW_MS), claim(OWN, "0.125", NOW_MS + 1)]}


def test_without_a_terminal_one_frame_is_printed(api: Fake, run: Any) -> None:
    of_own(api)
    ran = run("top")
    assert ran.code == 0 and ran.err == ""
    for word in (
        "37 % of 4 processors",
        "55 % of 8.0 GiB",
        "123 MiB",
        "90.0 GiB of disk",
        str(STATUS["height"]),
        str(ACCOUNT["balance"]),
        "2 of 3",
        "0.2",
        "r-17",
        "OPEN",
        "100",
    ):
        assert word in ran.out, word
    assert ran.out.index("0.125") < ran.out.index("0.900"), "the best claim comes first"


def test_the_curve_and_the_log_are_of_the_run_that_began_last(api: Fake, run: Any) -> None:
    """Of those that run still; what its program prints moves nothing on the terminal."""
    log = "\x1b[2J\x1b]0;owned\x07epoch 1\nepoch 2 \x1b[31mof 3"
    runs = [RUN | {"id": "r-16"}, RUN | {"started": 1_700_000_000_001}, RUN | {"id": "r-18", "started": 2**45, "ended": 2**46}]
    api.answers["GET /v1/runs"] = runs
    api.answers["GET /v1/runs/r-17"] = RUN | {"log": log}
    ran = run("top")
    assert "Loss by step, run r-17" in ran.out and "The end of its log, run r-17\nepoch 1\nepoch 2 of 3\n" in ran.out
    assert "\x1b" not in ran.out and "owned" not in ran.out
    assert [path for _, path, _, _ in api.seen if path.startswith("/v1/runs/")] == ["/v1/runs/r-17"], "one log a look"
    assert run("top", "--json").json["watched"]["log"] == log


@pytest.mark.parametrize("runs", [[], [RUN | {"id": "gone"}]])
def test_without_a_run_there_is_no_curve_and_no_log(api: Fake, run: Any, runs: list[Any]) -> None:
    api.answers["GET /v1/runs"] = runs
    ran = run("top")
    assert ran.code == 0 and "Loss by step" not in ran.out and "log" not in ran.out


@pytest.mark.parametrize(
    ("height", "width", "jobs", "own", "logged"),
    [
        (24, 80, 1, 0, True),
        (24, 80, 9, 0, True),
        (24, 80, 9, 1, False),
        (32, 80, 9, 3, True),
        (60, 99, 9, 3, True),
        (99, 99, 9, 3, True),
    ],
)
def test_jobs_and_leaderboards_are_whole_in_a_low_terminal_and_the_log_has_the_rest(
    height: int, width: int, jobs: int, own: int, logged: bool
) -> None:
    """Also while nothing answers, which the first line then says."""
    steps = [{"step": n, "of": 99, "loss": 1 / (1 + n)} for n in range(9)]
    watched = RUN | {"progress": steps, "log": "said\n" * 99}
    live = [{"id": f"{n:064x}", "state": "OPEN", "bounty": "1", "claimants": 2, "posted": NOW_MS} for n in range(jobs)]
    boards = [job | {"claims": [claim(OTHER, "0.5", NOW_MS)] * 5} for job in live[:own]]
    load = {"samples": [], "processors": 2, "memory": 1}
    frame = Frame(STATUS, ACCOUNT, [RUN] * 9, live, boards, load, watched)
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None, no_color=True, legacy_windows=False
    )
    for trouble in ("", "No answer: it is gone"):
        console.file = io.StringIO()
        console.print(draw(frame, console, Pace(), trouble), end="")
        lines = console.file.getvalue().splitlines()
        assert lines[-1] == "q leaves" and (lines[0] == trouble) == bool(trouble)
        assert ("said" in lines) == logged and len(lines) in ([height] if logged else range(height + 1))
        assert sum("OPEN" in line for line in lines) == min(jobs, 3 if height < 45 else 6)
        assert sum(OTHER[:8] in line for line in lines) == 3 * min(own, 1 if height < 45 else 3)


def test_in_a_terminal_it_looks_again_and_q_leaves_it_as_it_was(api: Fake, tmp_path: Path) -> None:
    """An event makes it look again; the terminal takes typed keys as before afterwards."""
    (tmp_path / "token").write_text(TOKEN)
    api.answers["GET /v1/status"] = [(200, STATUS), (200, STATUS), (200, STATUS | {"height": 4_711})]
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    words = [sys.executable, "-m", "learningchain", "top", "--api", api.url, "--token-file", str(tmp_path / "token")]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    process = subprocess.Popen(words, stdin=its, stdout=its, stderr=its, env=environment, cwd=ROOT)
    try:
        seen = read_until(ours, b"4711")
        os.write(ours, b"q")
        seen += drain(ours, process)
        assert process.wait(LIMIT_S) == 0
        assert b"q leaves" in seen and b"Loss by step" in seen and b"The end of its log" in seen and b"Traceback" not in seen
        assert termios.tcgetattr(its)[3] == before[3], "keys are echoed again, line by line"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(its)


def read_until(screen: int, text: bytes) -> bytes:
    seen, deadline = b"", time.monotonic() + LIMIT_S
    while text not in seen:
        assert time.monotonic() < deadline, seen[-2_000:]
        if select.select([screen], [], [], 0.2)[0]:
            seen += os.read(screen, 65_536)
    return seen


def drain(screen: int, process: subprocess.Popen[bytes]) -> bytes:
    """What it still writes, read so that it never waits for us."""
    seen, deadline = b"", time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([screen], [], [], 0.1)[0]:
            seen += os.read(screen, 65_536)
    return seen
