"""Tallies on a real ledger: who is paid, fined, remembered, and what is minted. LC-PRE-5, 12, 26 to 34."""

from __future__ import annotations

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.records import SubsidyEpoch
from learningchain.chain.contracts.prediction.tally import AnswerCode
from learningchain.chain.host import K_SUPPLY, Supply
from tests.unit.prediction_kit import ASKER, OWNER, Table, code, number


def paid(table: Table, before: dict[str, int], names: list[str]) -> list[int]:
    return [table.balance(name) - before[name] for name in names]


def balances(table: Table) -> dict[str, int]:
    return {name: table.balance(name) for name in (ASKER, OWNER, *table.servers)}


def test_a_liar_is_not_paid_and_where_a_quorum_knows_better_it_is_fined() -> None:
    table = Table(servers=5, pred_sub=0)
    before = balances(table)
    request = table.ask(tip=50_000)
    seats = table.drawn(request)
    table.answer(request, {name: number(7_000_000 if name == seats[2] else 5) for name in seats})
    assert (table.outcome(request), table.result(request).agree) == ("AGREED", 4)
    honest = [name for name in seats if name != seats[2]]
    assert paid(table, before, honest) == [10_000] * 4 and paid(table, before, [seats[2]]) == [0]
    assert table.stake(seats[2]) == 1_010_000 - 1_000
    assert before[ASKER] - table.balance(ASKER) == 40_000 + 3 + 2_501, "the liar's share goes back"


def test_a_fault_s_result_is_kept_and_costs_what_is_kept() -> None:
    """LC-PRE-32: else who serves its own model that faults has state for nothing."""
    table = Table(servers=5, pred_row=5)
    before = table.balance(ASKER)
    table.everybody(table.ask(tip=50_000), code(AnswerCode.FAULT))
    assert before - table.balance(ASKER) == 5 * (1 + 16 + 2), "the request carries nine bytes"


def test_a_subsidy_is_at_most_half_of_what_burns_and_of_the_epoch() -> None:
    table = Table(servers=3, pred_sub=20_000, pred_epoch_sub=200)
    before, supply = balances(table), table.get(K_SUPPLY)
    assert isinstance(supply, Supply)
    request = table.ask(answers=3, tip=3_000)
    seats = table.drawn(request)
    table.answer(request, dict.fromkeys(seats, number(5)))
    fee = (3_000 + 3 + 19) // 20
    assert fee // 6 == 25
    assert paid(table, before, seats) == [1_025] * 3
    now = table.get(K_SUPPLY)
    assert isinstance(now, Supply) and now.minted - supply.minted == 75
    epoch = table.get(records.K_EPOCH)
    assert epoch == SubsidyEpoch(table.chain.clock // 3_600_000, 75)
    before = balances(table)
    request = table.ask(answers=3, tip=30_000)
    table.answer(request, dict.fromkeys(table.drawn(request), number(5)))
    assert sorted(paid(table, before, seats)) == [10_018, 10_028, 10_041], "125 are left of the epoch: a third of what is left each"


def test_nothing_is_minted_at_the_end_of_the_supply() -> None:
    table = Table(servers=3)
    supply = table.get(K_SUPPLY)
    assert isinstance(supply, Supply)
    room = 2**63 - 1 - supply.minted
    table.chain.put(K_SUPPLY, Supply(2**63 - 1, supply.burned + room))
    request = table.ask(answers=3, tip=30_000)
    table.everybody(request, number(5))
    assert table.outcome(request) == "AGREED"
    assert table.get(records.K_EPOCH) is None


def test_who_asks_itself_loses_at_least_half_of_what_burns() -> None:
    """Requester, owner and servers in one hand."""
    table = Table(servers=5)
    everything = sum(balances(table).values())
    request = table.ask(tip=1_000_000)
    table.everybody(request, number(5))
    fee = (1_000_000 + 3 + 19) // 20
    assert everything - sum(balances(table).values()) >= fee // 2
