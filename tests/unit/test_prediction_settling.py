"""Tallies on a real ledger: who is paid, fined, remembered, and what is minted. LC-PRE-5, 12, 26 to 34."""

from __future__ import annotations

from chain.contracts.prediction import records
from chain.contracts.prediction.records import SubsidyEpoch
from chain.contracts.prediction.tally import AnswerCode
from chain.host import K_SUPPLY, Supply
from tests.unit.ledger_kit import id_of
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


def test_three_against_two_is_no_quorum_that_fines() -> None:
    table = Table(servers=5, pred_sub=0)
    request = table.ask(tip=50_000, agree=4)
    seats = table.drawn(request)
    table.answer(request, {name: number(9_000 if name in seats[:2] else 5) for name in seats})
    assert (table.state(request), table.result(request).agree) == ("WEAK", 3)
    assert {table.stake(name) for name in seats} == {1_010_000}


def test_rows_without_a_value_are_not_paid_for() -> None:
    table = Table(servers=3, pred_sub=0, register={"royalty": 1_000})
    before = balances(table)
    request = table.ask(answers=3, rows=2, tip=60_000)
    seats = table.drawn(request)
    answers = {name: number(5, 1_000 * (place + 1), check=0) for place, name in enumerate(seats)}
    table.answer(request, answers)
    assert table.outcome(request) == "AGREED"
    assert [one.support for one in table.result(request).values] == [3, 0]
    assert paid(table, before, seats) == [10_000] * 3
    assert table.balance(OWNER) - before[OWNER] == 1_000
    assert before[ASKER] - table.balance(ASKER) == 30_000 + 1_000 + 3_100


def test_five_different_answers_are_no_agreement_and_each_has_a_quarter() -> None:
    table = Table(servers=5)
    before = balances(table)
    request = table.ask(tip=50_000)
    seats = table.drawn(request)
    table.answer(request, {name: number(1_000 * place) for place, name in enumerate(seats)})
    assert table.outcome(request) == "NO_AGREEMENT"
    assert paid(table, before, seats) == [2_500] * 5
    assert table.standing.tallies[0].bad


def test_data_for_two_of_five_buys_two_answers_and_no_bad_word() -> None:
    """Their answers can be read: they cost their shares and the royalty, and the model's record stays empty."""
    table = Table(servers=5, pred_sub=0, register={"royalty": 1_000})
    before = balances(table)
    request = table.ask(tip=50_000)
    seats = table.drawn(request)
    table.answer(request, {name: number(5) if name in seats[:2] else code(AnswerCode.NO_DATA) for name in seats})
    assert table.outcome(request) == "NO_AGREEMENT"
    assert paid(table, before, seats) == [10_000, 10_000, 0, 0, 0] and table.balance(OWNER) - before[OWNER] == 1_000
    assert before[ASKER] - table.balance(ASKER) == 20_000 + 1_000 + 2_550
    assert not table.standing.tallies


def test_a_fault_that_a_quorum_says_costs_nothing() -> None:
    table = Table(servers=5)
    before = balances(table)
    request = table.ask(tip=50_000)
    table.everybody(request, code(AnswerCode.FAULT))
    assert table.outcome(request) == "MODEL_FAULT" and balances(table) == before


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


def test_one_answer_alone_is_its_word() -> None:
    table = Table(servers=1)
    request = table.ask(answers=1, agree=1)
    table.everybody(request, number(42))
    assert (table.outcome(request), table.result(request).values[0].score) == ("AGREED", 42)


def test_the_record_of_a_server_has_one_entry_a_root() -> None:
    table = Table(servers=3)
    for _ in range(2):
        request = table.ask(answers=3)
        table.everybody(request, number(5))
    server = table.server("s0")
    assert server is not None
    assert [(one.root, one.bad) for one in server.record] == [(id_of(ASKER), False)]
