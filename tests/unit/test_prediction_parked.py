"""What is parked, or under way when a network restarts, gives back what it holds, in every state. LC-PRE-54, LC-BLK-20, 38."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import BOX_BYTES, GiveKeys
from learningchain.chain.contracts.prediction.records import ModelState, RequestState
from learningchain.chain.host import Host, parked_key
from learningchain.chain.ledger.restart import carry
from tests.unit.ledger_kit import Act, own_contract
from tests.unit.prediction_kit import ASKER, OWNER, Table, number
from tests.unit.test_prediction_policies import registered


def in_waiting(table: Table) -> bytes:
    return table.ask(wait=3_600_000)


def in_keys(table: Table) -> bytes:
    request = table.ask(key_hash=[bytes(32)])
    table.until(request, RequestState.KEYS)
    return request


def in_answer(table: Table) -> bytes:
    request = table.ask()
    table.commit(request, {table.drawn(request)[0]: number(5)})
    return request


def in_redraw(table: Table) -> bytes:
    request = table.ask()
    table.commit(request, dict.fromkeys(table.drawn(request)[:3], number(5)))
    table.until(request, RequestState.REDRAW)
    return request


def in_open(table: Table) -> bytes:
    request = table.ask()
    seats = table.drawn(request)
    table.commit(request, dict.fromkeys(seats, number(5)))
    table.until(request, RequestState.OPEN)
    table.open(request, {seats[0]: number(5)})
    return request


def in_agreed(table: Table) -> bytes:
    request = table.ask()
    table.everybody(request, number(5))
    return request


def in_appeal(table: Table) -> bytes:
    request = in_agreed(table)
    table.appeal(request, OWNER)
    return request


def in_judging(table: Table) -> bytes:
    request = in_appeal(table)
    table.until(request, RequestState.ANSWER)
    table.commit(request, {table.seats(request, 3)[0]: number(5)})
    return request


STATES = [in_waiting, in_keys, in_answer, in_redraw, in_open, in_agreed, in_appeal, in_judging]


def release(table: Table, ref: bytes) -> None:
    table.must("v1", Act("give back " + ref.hex()))


class Releasing(dict[str, Callable[[Host, bytes, Act], None]]):
    def __missing__(self, what: str) -> Callable[[Host, bytes, Act], None]:
        ref = bytes.fromhex(what.removeprefix("give back "))
        return lambda host, sender, m: host.contracts[records.NUMBER].on_give_back(host.acting(host.contracts[records.NUMBER]), ref)  # type: ignore[misc]


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
def test_a_request_gives_back_what_it_holds(reach: Callable[[Table], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is judged: stakes stand, seats go, whoever paid has it back but for what an answer cost already."""
    own_contract(monkeypatch, Releasing())
    table = Table(pred_a0=60_000 if reach is not in_redraw else 3_000, pred_open=60_000, pred_keys=60_000)
    before = {name: table.balance(name) for name in (ASKER, OWNER)}
    request = reach(table)
    answered = table.record(request).outcome
    stakes = {name: table.stake(name) for name in table.servers}
    release(table, request)
    assert table.state(request) == ("FINAL" if answered else "FAILED")
    assert table.escrowed(records.charge_escrow(request)) == table.escrowed(records.bond_escrow(request)) == 0
    assert {name: table.stake(name) for name in table.servers} == stakes
    if not answered:
        assert table.balance(ASKER) == before[ASKER]
    assert table.balance(OWNER) == before[OWNER] + (3 if answered else 0)
    for _ in range(3):
        table.block(60_000)
    assert table.get(parked_key(records.NUMBER, request)) is None
    assert table.standing.unfinal_seats == table.standing.open_seats == table.standing.waiting == 0


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
def test_a_restart_ends_a_request_in_every_state(reach: Callable[[Table], bytes]) -> None:
    table = Table(pred_a0=60_000 if reach is not in_redraw else 3_000, pred_open=60_000, pred_keys=60_000)
    request = reach(table)
    carried = carry(table.chain.state)
    assert [one.ref for one in carried.ended] == [request]
    held = {one.key[2:] for one in carried.records if one.key.startswith(b"e/")}
    assert not [ref for ref in held if ref.startswith(request)]
    assert [one for one in carried.records if one.key == records.request_key(request)]


def test_a_parked_model_is_retired_and_ends_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    own_contract(monkeypatch, Releasing())
    table = Table()
    release(table, table.model)
    assert table.standing.state == ModelState.RETIRED
    table.block()
    assert table.get(records.model_key(table.model)) is None
    assert table.balance(OWNER) == 10**9


def test_a_parked_policy_is_dropped_unless_a_request_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own_contract(monkeypatch, Releasing())
    table = Table()
    unused, used = registered(table), registered(table, least=1)
    request = table.ask(policy=[used])
    for ref in (unused, used):
        release(table, ref)
    assert table.get(records.policy_key(unused)) is None and table.get(records.policy_key(used)) is not None
    assert table.state(request) != "FAILED"


def test_a_request_whose_deadline_fails_is_parked_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table()
    request = table.ask()
    seats = table.drawn(request)
    table.commit(request, dict.fromkeys(seats, number(5)))
    table.until(request, RequestState.OPEN)
    with monkeypatch.context() as broken:
        broken.setattr("learningchain.chain.contracts.prediction.settling.tally_of", lambda *_: 1 // 0)
        table.open(request, dict.fromkeys(seats, number(5)))
        table.block()
    assert table.state(request) == "OPEN" and table.get(parked_key(records.NUMBER, request)) is not None
    other = table.ask()
    table.everybody(other, number(5))
    assert table.outcome(other) == "AGREED"
    assert table.refusal(ASKER, GiveKeys(request, 1, [bytes(BOX_BYTES)])) == 6, "PARKED"
