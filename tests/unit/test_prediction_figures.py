"""What a node counts of its own predictions beside what the ledger did: real blocks, the accounts' balances and stakes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import AddTip, CancelRequest
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.prediction.figures import FLOWS, JUDGE, SERVER, PredictionFigures
from learningchain.client.contracts.prediction.roles.requester import Requester
from learningchain.client.contracts.prediction.texts import REASONS
from learningchain.client.work.events import Changed
from learningchain.client.work.machine import Recalled
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import ASKER, OWNER, Table, cid_of, code, number

ABSTAIN = code(AnswerCode.ABSTAIN)


class Watched(Table):
    """Each of its people has a node that counts, from the first block of the request on."""

    def __init__(self, **more: Any) -> None:
        self.figures: dict[str, PredictionFigures] = {}
        super().__init__(servers=5, **more)
        people = (ASKER, OWNER, *self.servers, *self.judges)
        self.before = {name: self.balance(name) + self.stake(name) for name in people}
        self.figures = {name: PredictionFigures(id_of(name)) for name in people}

    def codes(self, *txs: object, step: int = 1_000) -> list[int]:
        found = super().codes(*txs, step=step)
        for event in (event for receipt in self.receipts for event in receipt.events):
            for figures in self.figures.values():
                figures.saw(event)
        return found

    def ends(self) -> dict[str, dict[tuple[str, ...], int]]:
        """Of who sat."""
        found = {name: {labels: n for labels, n in one.seats.items() if n} for name, one in self.figures.items()}
        return {name: ends for name, ends in found.items() if ends}

    def agrees_with_the_ledger(self, but: str = "") -> bool:
        """What counters say of everybody's credits is what account and stake moved by."""
        for name, one in self.figures.items():
            if name == but:
                continue
            sums: Counter[str] = Counter()
            for (flow, _), amount in one.credits.items():
                sums[flow] += amount
            moved = self.balance(name) + self.stake(name) - self.before[name]
            assert moved == sums["earned"] + sums["back"] - sums["locked"] - sums["lost"], name
        return True


@pytest.mark.parametrize(
    ("answers", "outcome", "ends"),
    [
        ([number(5)] * 5, "agreed", ["agreed"] * 5),
        (
            [number(5), number(5), number(7_000_000), number(5), number(5)],
            "agreed",
            ["agreed", "agreed", "fined", "agreed", "agreed"],
        ),
        ([number(5)] * 3 + [ABSTAIN, None], "agreed", ["agreed"] * 3 + ["abstained", "silent"]),
        (
            [number(1), number(5_000_000), ABSTAIN, ABSTAIN, None],
            "no_agreement",
            ["undecided"] * 2 + ["abstained"] * 2 + ["silent"],
        ),
        ([code(AnswerCode.FAULT)] * 5, "model_fault", ["unpaid"] * 5),
        ([None] * 5, "too_few", ["silent"] * 5),
    ],
)
def test_seats_and_requests_are_counted_by_what_they_came_to(answers: list[Answer | None], outcome: str, ends: list[str]) -> None:
    table = Watched()
    request = table.ask(tip=50_000)
    seats = table.drawn(request)
    table.answer(request, {name: answer for name, answer in zip(seats, answers, strict=True) if answer is not None})
    table.until(request, RequestState.AGREED, RequestState.WEAK, RequestState.FAILED)
    assert table.ends() == {name: {(SERVER, end): 1} for name, end in zip(seats, ends, strict=True)}
    asker = table.figures[ASKER]
    assert (asker.asked, +asker.ended) == (1, {outcome: 1})
    assert not any(one.asked or +one.ended for name, one in table.figures.items() if name != ASKER)
    assert table.agrees_with_the_ledger()


def test_judges_have_ends_of_their_own_and_a_bond_is_locked() -> None:
    table = Watched(judges=6)
    request = table.ask(tip=50_000)
    table.everybody(request, number(5))
    table.appeal(request)
    table.until(request, RequestState.ANSWER)
    judges = table.seats(request, 3)
    first = {name: ends for name, ends in table.ends().items() if name not in judges}
    table.answer(request, {name: number(5) for name in judges[1:]} | {judges[0]: number(9_000)})
    assert table.state(request) == "FINAL"
    ends = table.ends()
    assert ends[judges[0]][JUDGE, "unpaid"] == 1 and all(ends[name][JUDGE, "agreed"] == 1 for name in judges[1:])
    assert {name: ends[name] for name in first} == first
    assert table.agrees_with_the_ledger()


def test_what_an_appeal_takes_of_a_stake_is_lost() -> None:
    table = Watched(judges=16)
    request = table.ask(tip=50_000)
    right, *wrong = table.drawn(request)
    table.answer(request, {right: number(7_000_000)} | {name: number(5) for name in wrong})
    table.appeal(request, by=OWNER, rows=(0,))
    table.until(request, RequestState.ANSWER)
    table.answer(request, dict.fromkeys(table.seats(request, 3), number(7_000_000)))
    assert all(table.figures[name].credits["lost", "stake.slashed"] for name in wrong)
    assert table.figures[right].credits["earned", "answer.right"] and table.figures[right].seats[SERVER, "fined"] == 1
    assert table.agrees_with_the_ledger(but=OWNER), "whose deposit is no income of predictions"


def test_a_request_that_is_taken_back_ended_without_seats() -> None:
    table = Watched(register={"slots": 1}, pred_a0=300_000)
    table.drawn(table.ask(inline=b"", size=1_000_000, cid=cid_of("large")))
    request = table.ask(tip=50_000)
    table.send((ASKER, AddTip(request, 70_000)))
    table.send((ASKER, CancelRequest(request)))
    assert +table.figures[ASKER].ended == {"cancelled": 1} and not table.ends() and table.agrees_with_the_ledger()


def test_reasons_are_those_of_the_contract() -> None:
    assert set(FLOWS) <= set(REASONS)


def test_what_is_under_way_is_told_by_state_also_after_a_restart() -> None:
    table = Table(servers=5, register={"slots": 1}, pred_a0=300_000)
    known = Recalled(id_of(ASKER), table.chain.chain_id, WorkConfig(), bytes)
    machine, other = Requester(known), Requester(replace(known, me=id_of(OWNER)))

    def under_way(machine: Requester, *moved: bytes, anew: bool = False) -> dict[str, float]:
        machine.handle(Changed(table.chain.state, tuple(records.request_key(one) for one in moved), anew))
        (figure,) = machine.figures()
        return {state: n for (state,), n in figure.values.items() if n}

    first = table.ask(inline=b"", size=1_000_000, cid=cid_of("large"))
    table.drawn(first)
    second = table.ask()
    assert under_way(machine, first, second) == {"answer": 1, "waiting": 1}
    assert under_way(Requester(known), first, second, anew=True) == {"answer": 1, "waiting": 1}
    assert under_way(other, first, second) == {}
    table.answer(first, dict.fromkeys(table.seats(first), number(5)))
    assert under_way(machine, first) == {"agreed": 1, "waiting": 1}
    for request in (first, second):
        table.until(request, RequestState.FINAL, RequestState.FAILED, step=60_000)
    assert under_way(machine, first) == {"waiting": 1}, "it was not told of the second"
    assert under_way(machine, anew=True) == {}, "what was lost sight of is looked at"
