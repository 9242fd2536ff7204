"""Policies on a real ledger: registered, used, dropped; what they decide. LC-PRE-43, 44."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.decisions import Decision
from learningchain.chain.contracts.prediction.messages import PolicyRate, PredictionCode, RegisterPolicy, policy_id_of
from learningchain.chain.contracts.prediction.records import PolicyRecord, RequestState
from learningchain.chain.contracts.prediction.tally import ModelKind
from tests.unit.prediction_kit import ASKER, Table, asking, number

LOWEST = -(10**18)


def policy(model: bytes, **changes: Any) -> RegisterPolicy:
    fields: dict[str, Any] = {
        "model": model,
        "below": True,
        "threshold": 1_000,
        "rates": [PolicyRate(LOWEST, 20_000), PolicyRate(500, 50_000)],
        "least": 3,
        "most": 0,
    }
    return RegisterPolicy(**(fields | changes))


def registered(table: Table, **changes: Any) -> bytes:
    return policy_id_of(table.must(ASKER, policy(table.model, **changes)), 0)


def kept(table: Table, ref: bytes) -> PolicyRecord:
    found = table.get(records.policy_key(ref))
    assert isinstance(found, PolicyRecord)
    return found


def decided(table: Table, request: bytes) -> list[tuple[str, int, bool]]:
    return [(Decision(one.decision).name, one.rate, one.borderline) for one in table.result(request).decisions]


def test_rows_are_accepted_declined_and_referred() -> None:
    table = Table()
    ref = registered(table)
    assert table.escrowed(records.policy_escrow(ref)) == 10_000
    request = table.ask(rows=4, tip=2_000, policy=[ref])
    seats = table.drawn(request)
    told = {name: number(100, 990, 5_000, 7_000 * place, check=0) for place, name in enumerate(seats)}
    table.answer(request, told)
    assert decided(table, request) == [
        ("ACCEPT", 20_000, False),
        ("ACCEPT", 50_000, True),
        ("DECLINE", 0, False),
        ("REFER", 0, False),
    ]


def test_a_policy_that_nobody_names_is_dropped_and_one_in_use_is_not() -> None:
    table = Table(pred_keep=60_000)
    unused, used = registered(table), registered(table, least=1)
    request = table.ask(policy=[used])
    assert (kept(table, used).live, kept(table, used).due) == (1, 0)
    table.everybody(request, number(5))
    before = table.balance(ASKER)
    table.block(60_000)
    table.block()
    assert table.get(records.policy_key(unused)) is None and table.get(records.live_key(unused)) is None
    assert table.balance(ASKER) - before == 10_000
    assert kept(table, used).live == 1, "the request is not final"
    table.until(request, RequestState.FINAL, step=60_000)
    assert kept(table, used).due == table.record(request).ended + 60_000
    table.block(60_000)
    assert table.get(records.policy_key(used)) is None


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


@pytest.mark.parametrize(
    "changes",
    [
        {"rates": []},
        {"rates": [PolicyRate(0, 1)]},
        {"rates": [PolicyRate(LOWEST, 1), PolicyRate(LOWEST, 2)]},
        {"rates": [PolicyRate(LOWEST, 1_000_001)]},
        {"rates": [PolicyRate(LOWEST + n, 1) for n in range(33)]},
        {"threshold": 10**18 + 1},
        {"least": 0},
        {"least": 16},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_policies_out_of_bounds_are_refused(table: Table, changes: dict[str, Any]) -> None:
    assert table.refusal(ASKER, policy(table.model, **changes)) == PredictionCode.BAD_POLICY


def test_a_policy_is_of_one_model_of_numbers() -> None:
    table = Table(servers=5, register={"kind": ModelKind.CLASS, "classes": 2})
    assert table.refusal(ASKER, policy(table.model)) == PredictionCode.BAD_POLICY
    assert table.refusal(ASKER, policy(bytes(32))) == PredictionCode.NO_SUCH_MODEL
    other = table.register(name="numbers")
    ref = policy_id_of(table.must(ASKER, policy(other)), 0)
    assert table.refusal(ASKER, asking(table.model, policy=[ref])) == PredictionCode.NO_SUCH_POLICY
