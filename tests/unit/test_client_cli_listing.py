"""Tables in a terminal: whatever its width, no number, id or name is broken; and what the short pages and `runs` say."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from learningchain.client.cli.common import listing
from tests.unit.client_fake_api import ENTRY, JOB, OTHER, OWN, STATUS, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]
ADDRESS = "lc1p6d9qa0fjffaqk75dwpvn5dydvk7trshr6d9x3"
ROWS = [[ADDRESS, "121.053919", "27.312636", "a validator that has not been heard for a while", 17], [ADDRESS, "0.5", "-", "", 3]]
COLUMNS = ["account", "free", "staked", "what it is", "blocks"]
RUN = {"id": "r-17", "job": JOB, "phase": "train", "state": "running", "loss": None, "reason": None, "started": 1, "ended": None}


@pytest.mark.parametrize("width", [240, 120, 100, 80, 60, 48])
def test_no_number_and_no_id_is_broken_at_any_width(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(listing(COLUMNS, ROWS, {"free", "staked", "blocks"}))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.rstrip() for line in shown.splitlines()]
    assert all(len(line) <= width for line in lines)
    for value in (ADDRESS, "121.053919", "27.312636", "17"):
        assert any(value in line.split() for line in lines), (width, value, shown)
    assert " ".join(shown.split()).count("validator") == 1
    assert ("what it is" in lines[0]) == (width >= 80), "where it is too narrow each row has lines of its own"


def test_the_command_alone_says_what_to_do_first_on_one_screen(run: Any) -> None:
    first, whole = run(), run("--help")
    assert (first.code, whole.code) == (0, 0)
    assert len(first.out.splitlines()) <= 24 and max(map(len, first.out.splitlines())) <= 80
    assert "learningchain lab up" in first.out and "learningchain --help" in first.out and "keystore" not in first.out
    assert "keystore" in whole.out


def test_a_run_is_shown_and_its_log_is_plain_text(api: Fake, run: Any) -> None:
    said = "first\x1b[31m red\x1b[0m\n\x1b]0;title\x07second\n"
    steps = [{"step": n, "of": 9, "loss": str(9 - n)} for n in range(1, 9)]
    api.answers |= {"GET /v1/runs": [RUN], "GET /v1/runs/r-17": RUN | {"log": said, "progress": steps}}
    assert run("runs", "log", "latest").out == "first red\nsecond\n"
    assert run("runs", "log", "r-1", "--lines", "1").out == "second\n"
    shown = run("runs", "show", "r").out
    assert "Run r-17" in shown and "second" in shown and "\x1b" not in shown
    assert run("runs", "show", "latest", "--json").json["log"] == said
    ran = run("runs", "show", "x", "--json")
    assert ran.code == 2 and "learningchain runs lists" in ran.error["message"]
    api.answers["GET /v1/runs"] = []
    assert "There is no run yet" in run("runs", "log", "latest").err


def test_one_is_told_which_account_is_ones_own(api: Fake, run: Any, tmp_path: Path) -> None:
    (tmp_path / "node/keystore.json").write_text(json.dumps({"address": OWN}))
    (one,) = api.answers["GET /v1/jobs"]
    api.answers["GET /v1/jobs"] = [one | {"poster": OWN, "winner": OTHER}]
    (line,) = [line for line in run("job", "list").out.splitlines() if JOB[:12] in line]
    assert len(re.findall(r"\(you\)", line)) == 1 and line.index("(you)") < line.index(OTHER[:9])
    assert "(you)" not in run("id", "--address").out
    assert f"{OWN} (you)" in run("accounts").out and f"{OWN} (you)" in run("balance").out
    assert "(you)" not in json.dumps(run("accounts", "--json").json)


def test_what_moved_no_credits_stands_in_a_history_where_it_is_asked_for(api: Fake, run: Any) -> None:
    """A node declares its key and its machine: nobody looks there for where credits went."""
    api.answers[f"GET /v1/accounts/{OWN}/history"] = [ENTRY | {"reason": "box.key", "amount": None, "cursor": 4}, ENTRY]
    assert "box.key" not in run("history").out and "transfer" in run("history").out
    assert "box.key" in run("history", "--all").out
    api.answers[f"GET /v1/accounts/{OWN}/history"] = [ENTRY | {"reason": "box.key", "amount": None}]
    assert "Nothing yet" in run("history").out


@pytest.mark.parametrize(("works", "said"), [(True, "not its own"), (False, "learningchain node --work")])
def test_without_runs_it_is_said_whether_the_node_works_at_all(api: Fake, run: Any, works: bool, said: str) -> None:
    api.answers |= {"GET /v1/runs": [], "GET /v1/reasons": [], "GET /v1/status": STATUS | {"working": works}}
    assert said in run("runs").out


def test_no_line_into_a_pipe_ends_in_blanks(run: Any) -> None:
    for words in (("status",), ("accounts",), ("job", "show", JOB)):
        assert all(line == line.rstrip() for line in run(*words).out.splitlines()), words
