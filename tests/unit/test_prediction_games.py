"""What the rules of predictions leave open, played for its price: a policy that somebody of the same root uses up, a suspended
owner's models, small requests behind a large one. docs/predictions.md tells it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.membership import member_key
from learningchain.chain.contracts.prediction.decisions import Decision
from learningchain.chain.contracts.prediction.messages import AddTip, PolicyRate, PredictionCode, RegisterPolicy, policy_id_of
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.host import ACTIVE, SUSPENDED, account_key
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import ASKER, OWNER, Table, asking, number

FRIEND = "friend"


def changed(table: Table, key: bytes, **fields: Any) -> None:
    table.chain.put(key, replace(table.get(key), **fields))


@pytest.mark.parametrize("same_root", [True, False])
def test_another_account_of_the_root_uses_a_policy_up_for_288_micro_credits(same_root: bool) -> None:
    """Three requests, as cheap as a model can be. What is asked then is referred to a person, and nothing is decided otherwise."""
    table = Table(people=(FRIEND,), register={"floor": 1, "royalty": 0}, pred_row=5)
    if same_root:
        changed(table, member_key(id_of(FRIEND)), root=id_of(ASKER))
    terms = RegisterPolicy(table.model, True, 1_000, [PolicyRate(-(10**18), 1)], 3, 3)
    policy = policy_id_of(table.must(ASKER, terms), 0)
    before = table.balance(FRIEND)
    for _ in range(3):
        table.everybody(table.ask(FRIEND, answers=1, tip=1), number(5))
    price = before - table.balance(FRIEND)
    request = table.ask(policy=[policy])
    table.everybody(request, number(5))
    assert [one.decision for one in table.result(request).decisions] == [Decision.REFER if same_root else Decision.ACCEPT]
    assert price == 288


def test_a_suspended_owners_models_take_no_requests_until_its_case_ends_and_what_waits_goes_on() -> None:
    table = Table(servers=5, register={"slots": 1})
    drawn = table.ask()
    seats = table.drawn(drawn)
    waits = table.ask()
    changed(table, account_key(id_of(OWNER)), status=SUSPENDED)
    assert table.refusal(ASKER, asking(table.model)) == PredictionCode.NOT_LIVE
    table.answer(drawn, dict.fromkeys(seats, number(5)))
    table.everybody(waits, number(5))
    assert [table.state(one) for one in (drawn, waits)] == ["AGREED"] * 2
    changed(table, account_key(id_of(OWNER)), status=ACTIVE)
    assert table.refusal(ASKER, asking(table.model)) == 0


@pytest.mark.parametrize("slots", [1, 4])
def test_twenty_small_requests_wait_behind_a_large_one_at_the_head_until_they_tip_more(slots: int) -> None:
    """With one slot each twenty servers have thirteen seats at a time: fifteen are drawn where the model is idle."""
    table = Table(servers=20, judges=0, people=(FRIEND,), register={"slots": slots}, pred_a0=300_000)
    busy = table.ask(answers=1)
    seats = table.drawn(busy)
    large = table.ask(FRIEND, answers=15, tip=15_000)
    small = [table.ask(answers=1, wait=3_600_000) for _ in range(20)]
    table.block()
    waiting = [one for one in (large, *small) if table.record(one).state == RequestState.WAITING]
    if slots > 1:
        assert not waiting
        return
    assert waiting == [large, *small]
    table.must(ASKER, AddTip(small[0], 2_000))
    table.drawn(small[0])
    table.answer(busy, dict.fromkeys(seats, number(5)))
    table.everybody(small[0], number(5))
    table.until(large, RequestState.ANSWER)
    assert {table.state(one) for one in small[1:]} == {"WAITING"}
    table.everybody(large, number(5))
    table.drawn(small[1])
    assert sum(table.state(one) == "ANSWER" for one in small) == 13
