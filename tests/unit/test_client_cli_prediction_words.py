"""Predictions on the terminal: what each field of an answer becomes, how a request is followed, what is refused as it is typed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from client.cli.common import WrongUsage
from client.contracts.prediction.cli import ask, shown
from client.sdk_types import NotFound, Unreachable
from tests.unit.test_client_cli_predictions import AGREED, DRAWN, FAILED, REQUEST, WAITING, WEAK


def words(view: Mapping[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    shown.show_request(console, view)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


# --- a request ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "code"), [(AGREED, 0), (WEAK, 5), (FAILED, 4), (WAITING, 3), (AGREED | {"state": "FINAL"}, 0), (DRAWN, 3)]
)
def test_every_end_has_its_exit_code(view: Any, code: int) -> None:
    assert shown.exit_code(view) == code


def test_plain_values_are_shown_to_who_has_the_key_and_the_others_are_told() -> None:
    private = AGREED | {"private": True}
    assert "this node has not its key" in words(private | {"plain": None}) and "this node has not its key" not in words(AGREED)
    accept = {"decision": "accept", "rate_ppm": 125_000}
    values = [{"class": 7, "score": "2.5"}, {"class": None, "score": "3.5"}, None]
    text = words(private | {"plain": {"values": values, "decisions": [accept, {"decision": "decline", "rate_ppm": 125_000}, None]}})
    assert "row 0: class 7, 2.5: accept at 12.5 %" in text and "row 1: 3.5: decline\n" in text and "row 2: no value\n" in text
    assert "2.500000000" not in text, "the blinded ones help nobody"
    assert "row 0: class 7, 2.5\n" in words(private | {"plain": {"values": values, "decisions": None}})


# --- following -------------------------------------------------------------------------------------------------------------------


class Node:
    """Answers in turn, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), list[dict[str, Any]]()
        self.first_block = 1

    async def status(self) -> Any:
        return {"first_block": self.first_block}

    async def prediction(self, request: str, **how: Any) -> Any:
        self.asked.append(how)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Out:
    as_json = False

    def __init__(self) -> None:
        self.said: list[str] = []
        self.notes = SimpleNamespace(is_terminal=False)

    def note(self, text: str) -> None:
        self.said.append(text)

    def line(self, view: Any) -> None:
        self.said.append(view["state"])


def followed(node: Node, within_s: float = 60.0, *, final: bool = False, sent: bool = False) -> tuple[Any, list[str]]:
    out: Any = Out()
    follower = shown.RequestFollower(out)
    return asyncio.run(follower.follow(node, REQUEST, within_s, final=final, sent=sent)), out.said  # type: ignore[arg-type]


def test_a_request_is_followed_until_it_is_answered_and_each_step_is_said_once() -> None:
    node = Node(NotFound("not yet"), WAITING, WAITING, DRAWN, AGREED)
    view, said = followed(node)
    assert view == AGREED and said == ["waits: place 2 of 5", "3 of 3 servers sealed their answers", "AGREED, 3 agree"]
    assert [how["changed"] for how in node.asked] == [False, False, True, True, True], "it waits for another state than the last"


@pytest.mark.parametrize(("end", "final"), [(AGREED | {"state": "FINAL"}, True), (FAILED, True), (FAILED, False), (WEAK, False)])
def test_who_waits_for_the_end_passes_an_answer_that_may_still_change(end: Any, final: bool) -> None:
    assert followed(Node(AGREED, end) if final else Node(DRAWN, end), final=final)[0] == end


def test_a_node_that_goes_away_for_a_moment_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def at_once(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("client.contracts.prediction.cli.shown.asyncio.sleep", at_once)
    gone = Unreachable("gone")
    assert followed(Node(*[gone] * shown.RETRIES, WAITING, *[gone] * shown.RETRIES, AGREED))[0] == AGREED
    assert pauses[:3] == [0.4, 0.8, 1.6] and max(pauses) == 5.0
    with pytest.raises(Unreachable):
        followed(Node(gone))


# --- what is typed ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0, None, "30s"), "--n is an odd number"),
        ((2, None, "30s"), "--n is an odd number"),
        ((17, None, "30s"), "--n is an odd number"),
        ((3, 0, "30s"), "--m is a number from 1 to 3"),
        ((3, 4, "30s"), "--m is a number from 1 to 3"),
        ((3, None, "999ms"), "--within is a time"),
        ((3, None, "3601s"), "--within is a time"),
    ],
)
def test_terms_out_of_their_bounds_are_named(given: tuple[int, int | None, str], said: str) -> None:
    n, m, within = given
    with pytest.raises(WrongUsage, match=said):
        ask._terms(n, m, None, None, within)


def test_rows_are_read_up_to_their_most_bytes_and_each_stands_on_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "MAX_INPUT", 2**20)
    (tmp_path / "rows").write_bytes(b"1" * 2**20)
    assert ask.read_rows((), tmp_path / "rows") == b"1" * 2**20
    (tmp_path / "rows").write_bytes(b"1" * (2**20 + 1))
    with pytest.raises(WrongUsage, match="more than 1 MiB"):
        ask.read_rows((), tmp_path / "rows")
    (tmp_path / "rows").write_bytes(b"")
    with pytest.raises(WrongUsage, match="no rows in it"):
        ask.read_rows((), tmp_path / "rows")
    assert ask.read_rows(('{\n"a": "\u00fc"}', "[1,\n2]"), None) == '{"a":"\u00fc"}\n[1,2]\n'.encode()
    for number, rows in ((1, ("NaN",)), (2, ("1", "x")), (1, ("[" * 100_000,))):
        with pytest.raises(WrongUsage, match=f"Row {number} is no JSON"):
            ask.read_rows(rows, None)
