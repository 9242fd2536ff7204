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
from client.contracts.prediction.cli import ask, samples, shown
from client.contracts.prediction.cli import requests as listed
from client.sdk_types import NotFound, Unreachable
from sandbox import ParsedAnswer
from tests.unit.test_client_cli_predictions import AGREED, DRAWN, FAILED, QUOTED, REQUEST, WAITING, WEAK

NEW = {"new_class": 3, "new_score": "9.5"}


def words(view: Mapping[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    shown.show_request(console, view)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def table(view: Mapping[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    console.print(shown.values_table(view))  # type: ignore[arg-type]
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


# --- a request ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "code"), [(AGREED, 0), (WEAK, 5), (FAILED, 4), (WAITING, 3), (AGREED | {"state": "FINAL"}, 0), (DRAWN, 3)]
)
def test_every_end_has_its_exit_code(view: Any, code: int) -> None:
    assert shown.exit_code(view) == code


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (WAITING, "waits: place 2 of 5"),
        (DRAWN | {"state": "KEYS"}, "3 servers are drawn and wait for the key"),
        (DRAWN | {"seats": [{"committed": True, "opened": False}, {"committed": False, "opened": False}]}, "1 of 2 servers sealed"),
        (
            DRAWN | {"state": "OPEN", "seats": [{"committed": True, "opened": True}] * 2 + [{"committed": True, "opened": False}]},
            "2 of 3",
        ),
        (WAITING | {"state": "REDRAW"}, "others are drawn"),
        (WAITING | {"state": "APPEAL"}, "judges are drawn"),
        (FAILED, "failed: NO_AGREEMENT"),
        (AGREED, "AGREED, 3 agree"),
        (AGREED | {"agree": None}, "AGREED"),
    ],
)
def test_each_step_is_a_few_words(view: Any, said: str) -> None:
    assert said in shown.step(view)


def test_what_is_not_known_yet_is_told_as_that() -> None:
    text = words(WAITING)
    assert "0.00273 locked; known when it is answered" in text and "place in the queue" in text
    for absent in ("seats", "answers", "agree", "values", "appeal", "policy"):
        assert f"\n{absent} " not in text
    seats = [{"committed": True, "opened": True}, {"committed": True, "opened": False}, {"committed": False, "opened": False}]
    assert "3 drawn, 2 sealed an answer, 1 opened it" in words(DRAWN | {"seats": seats})
    text = words(AGREED)
    assert "3 of 3, asked for 2" in text and "1 of 2 rows" in text and "3 OK" in text and "locked" not in text


def test_rows_that_have_a_value_and_were_refused_are_shown() -> None:
    told = [{"committed": True, "opened": True, "round": 1, "unfit": row} for row in (None, 200, 200, 7)]
    judge = {"committed": True, "opened": True, "round": 3, "unfit": 5}
    assert "row 7 does not fit: say 1, row 200 does not fit: say 2" in words(AGREED | {"seats": [*told, judge]})
    assert "does not fit" not in words(AGREED | {"seats": [told[0], judge]})


def test_an_appeal_says_who_and_how_it_ended() -> None:
    appeal = {"appellant": REQUEST, "verdict": None, "judges": 5}
    assert "not decided yet, 5 judges" in words(AGREED | {"appeal": appeal})
    assert "OVERTURNED, 5 judges" in words(AGREED | {"appeal": appeal | {"verdict": "OVERTURNED"}})


def test_values_stand_with_their_classes_decisions_and_what_an_appeal_made_of_them() -> None:
    decisions = [
        {"row": 0, "decision": "accept", "rate_ppm": 125_000, "borderline": True},
        {"row": 1, "decision": "refer", "rate_ppm": 0, "borderline": False},
    ]
    assert table(AGREED) == ["row class score support", "0 7 2.500000000 3", "1 - - 0"]
    assert table(AGREED | {"decisions": decisions}) == [
        "row class score support decision rate",
        "0 7 2.500000000 3 accept (borderline) 12.5 %",
        "1 - - 0 refer 0 %",
    ]
    changed = [AGREED["values"][0] | NEW, AGREED["values"][1]]
    assert table(AGREED | {"values": changed})[:2] == ["row class score support after the appeal", "0 7 2.500000000 3 3 9.5"]
    numbers = [{**one, "class": None, "new_class": None, "new_score": None} for one in AGREED["values"]]
    assert table(AGREED | {"values": numbers})[0] == "row score support"


def test_a_terminal_shows_so_many_rows_and_says_how_many_more_there_are() -> None:
    many = [AGREED["values"][0] | {"row": row} for row in range(shown.SHOWN_ROWS + 1)]
    assert "1 rows more: --json shows all of them." in words(AGREED | {"values": many})
    assert "rows more" not in words(AGREED | {"values": many[:-1]})
    assert len(table(AGREED | {"values": many})) == shown.SHOWN_ROWS + 1


def test_plain_values_are_shown_to_who_has_the_key_and_the_others_are_told() -> None:
    private = AGREED | {"private": True}
    assert "this node has not its key" in words(private | {"plain": None}) and "this node has not its key" not in words(AGREED)
    accept = {"decision": "accept", "rate_ppm": 125_000}
    values = [{"class": 7, "score": "2.5"}, {"class": None, "score": "3.5"}, None]
    text = words(private | {"plain": {"values": values, "decisions": [accept, {"decision": "decline", "rate_ppm": 125_000}, None]}})
    assert "row 0: class 7, 2.5: accept at 12.5 %" in text and "row 1: 3.5: decline\n" in text and "row 2: no value\n" in text
    assert "2.500000000" not in text, "the blinded ones help nobody"
    assert "row 0: class 7, 2.5\n" in words(private | {"plain": {"values": values, "decisions": None}})


def test_a_price_says_where_too_few_serve() -> None:
    def quoted(**changes: Any) -> str:
        console = Console(file=io.StringIO(), width=200)
        ask.show_quote(console, QUOTED | changes)  # type: ignore[arg-type]
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    assert "none: too few serve this model" in quoted(seats=0) and "would be refused" not in quoted()
    assert "0.0006 (at least 0.0005)" in quoted(least_tip="0.0005") and "50 s" in quoted()
    assert "it is retired (MODEL_RETIRED)" in quoted(refusal={"message": "it is retired", "name": "MODEL_RETIRED"})


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


def test_who_waited_long_enough_gets_it_as_it_is_or_nothing() -> None:
    assert followed(Node(WAITING), 0.0)[0] == WAITING
    assert followed(Node(NotFound("no")), 0.0) == (None, [])


def test_who_follows_what_left_unseen_is_told_so_at_once() -> None:
    """A node that took a snapshot: waiting brings nothing more."""
    with pytest.raises(NotFound, match=r"in blocks that this node has not .* It was WAITING when it was seen last, and"):
        followed(Node(WAITING, NotFound("no such request")))
    with pytest.raises(NotFound, match="It was AGREED when it was seen last, and no appeal can change it"):
        followed(Node(AGREED, NotFound("no such request")), final=True)
    pruned = Node(NotFound("no request, or it left before block 40"), WAITING, AGREED)
    pruned.first_block = 40
    with pytest.raises(NotFound, match="left before block 40"):
        followed(pruned)
    pruned = Node(NotFound("not yet"), WAITING, AGREED)
    pruned.first_block = 40
    assert followed(pruned, sent=True)[0] == AGREED, "one that was sent just now may come"


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


def test_a_program_that_watches_gets_a_line_for_each_change() -> None:
    def lines(final: bool, *views: Any) -> list[str]:
        out = Out()
        common: Any = SimpleNamespace(out=out)
        node: Any = Node(*views)
        asyncio.run(listed._lines(common, node, REQUEST, final))
        return out.said

    done = AGREED | {"state": "FINAL"}
    assert lines(False, WAITING, WAITING, DRAWN, AGREED, done) == ["WAITING", "ANSWER", "AGREED"]
    assert lines(True, WAITING, AGREED, AGREED, done) == ["WAITING", "AGREED", "FINAL"]
    assert lines(True, FAILED) == ["FAILED"]


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


def test_terms_at_their_bounds_are_sent_as_typed() -> None:
    assert ask._terms(1, 1, None, None, "1s") == {"n": 1, "within_s": 1.0, "agree": 1}
    assert ask._terms(15, 15, "0.5", "2", "1h") == {"n": 15, "within_s": 3_600.0, "agree": 15, "tip": "0.5", "max_charge": "2"}


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


def test_an_answer_is_written_as_an_image_writes_it() -> None:
    assert samples.answer_text(ParsedAnswer((2, 0), (500, -1_000_000_000), 7)) == (
        b"2 0.000000500\n0 -1.000000000\ncheck 0.000000007\n"
    )
    assert samples.answer_text(ParsedAnswer((), (500,), 0)) == b"0.000000500\ncheck 0.000000000\n"


def test_a_model_that_is_no_job_s_is_tried_with_what_it_will_be_given() -> None:
    body = {"image": {"image_id": "sha256:" + "ab" * 32}, "model": {"cid": "b"}, "limits": {"cpus": 1.5, "mem_mb": 64}}
    found = samples._of_body(body)
    assert (found["cpus_milli"], found["threads"], found["mem_mb"], found["image"]["image_id"]) == (1_500, 2, 64, "ab" * 32)
    found = samples._of_body(body | {"limits": {}})
    assert (found["cpus_milli"], found["threads"], found["mem_mb"], found["tmp_mb"]) == (1_000, 1, 512, 64)
