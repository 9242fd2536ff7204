"""The log: one form for the node's own lines and for those of libraries, and no stranger's bytes on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

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
