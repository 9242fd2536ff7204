"""The log: one form for the node's own lines and for those of libraries, and no stranger's bytes on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from learningchain.client.node.screen import RollingFile

URL = "postgresql://u:sesame@open@h/db"
HOSTILE = "x\x1b[2J\x9b31m\u202e\nTue fake line"
PROGRAM = """
import logging, sys
import structlog
from learningchain.client.node import logs
logs.configure("info", sys.argv[1])
text = sys.argv[2]
logging.getLogger("library").error("bad %s", text)
try:
    raise ValueError(text)
except ValueError:
    logging.getLogger("library").exception("failed")
    structlog.get_logger("own").exception("failed")
structlog.get_logger("own").info("heard", text=text)
structlog.get_logger("own").info("at", where=sys.argv[3])
structlog.get_logger("own").debug("not shown")
logging.getLogger("library").info("not shown")
"""


def log_of(form: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, form, HOSTILE, f"{URL}: refused"], check=True, capture_output=True, text=True
    ).stderr


def test_as_json_every_line_is_one_document_also_those_of_libraries() -> None:
    lines = [json.loads(line) for line in log_of("json").splitlines()]
    assert [line["event"] for line in lines] == [f"bad {HOSTILE}", "failed", "failed", "heard", "at"]
    assert lines[-1]["where"] == "postgresql://***"
    assert all({"level", "timestamp"} <= set(line) for line in lines)
    assert [line["logger"] for line in lines[:2]] == ["library"] * 2
    assert all("ValueError" in line["exception"] for line in lines[1:3])


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_strangers_send_does_not_reach_a_terminal_as_it_came(form: str) -> None:
    shown = log_of(form)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert not any(line.startswith("Tue fake") for line in shown.splitlines())


AT_A_TERMINAL = """
import sys
from pathlib import Path
import structlog
from learningchain.client.node import logs
from learningchain.client.node.screen import Screen
logs.configure("info", "console", Screen(Path(sys.argv[1])))
log = structlog.get_logger("own")
log.info("node started", network="lab", height=7, address="lc1mine")
log.info("looking for work", train=True, verify=False)
log.info("intent settled", intent="box:0:0:d5f3")
log.info("run ended", run="train-1", status="ok", loss="0.5")
log.warning("the sandbox is not ready", why=sys.argv[2])
log.warning("the sandbox is not ready", why=sys.argv[2], again_in_s=8)
"""


def test_at_a_terminal_people_read_a_few_lines_and_the_file_has_the_log(tmp_path: Path) -> None:
    words = [sys.executable, "-c", AT_A_TERMINAL, str(tmp_path), HOSTILE]
    for _ in range(2):
        shown = subprocess.run(words, check=True, capture_output=True, text=True).stderr.splitlines()
    where, started, work, ended, warned = shown
    assert where.endswith("node.log") and started == "Network lab, block 7. This node is lc1mine"
    assert "runs others' jobs" in work and "judges" not in work and ended == "Run train-1 has ended: ok, loss 0.5"
    assert warned.startswith("warning: the sandbox is not ready: x") and warned.isprintable()
    file = tmp_path / "node.log"
    assert file.read_text().count("box:0:0:d5f3") == 2 and "\x1b" not in file.read_text(), "it goes on in the same file"
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_of_the_log_is_bounded(tmp_path: Path) -> None:
    file = RollingFile(tmp_path / "node.log", most=100)
    for at in range(50):
        file.write(f"line {at}\n")
    file.flush()
    assert {path.name for path in tmp_path.iterdir()} == {"node.log", "node.log.1"}
    assert "line 49\n" in (tmp_path / "node.log").read_text() and (tmp_path / "node.log.1").stat().st_size < 120
