"""What servers can do to those who ask by lies that are outvoted and by silence, and how long it is remembered (LC-PRE-34, 59)."""

from __future__ import annotations

import pytest

from learningchain.chain.contracts.membership import member_key
from learningchain.chain.contracts.prediction.messages import ServeModel, UnserveModel
from learningchain.chain.contracts.prediction.records import RequestState, ServerRecord
from learningchain.chain.contracts.prediction.tally import Answer
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import Table, number

TRUE, FALSE = number(5), number(9_000)
HOUR = 3_600_000


def askers(count: int) -> tuple[str, ...]:
    """Each of a root of its own."""
    return tuple(f"asker{n}" for n in range(count))


def play(table: Table, asker: str, says: dict[str, Answer | None]) -> bool:
    """A request of five answers, to its tally; whether it needed substitutes. Who is not named tells the truth."""
    request, answers = table.ask(asker), dict[str, Answer]()
    while table.record(request).state != RequestState.OPEN:
        own = {name: answer for name in table.drawn(request) if (answer := says.get(name, TRUE)) is not None}
        table.commit(request, own)
        answers |= own
        table.until(request, RequestState.OPEN, RequestState.REDRAW)
    table.open(request, answers)
    table.leave(request, RequestState.OPEN)
    return len(table.record(request).rounds) > 1


def serving(table: Table, name: str) -> ServerRecord:
    found = table.server(name)
    assert found is not None
    return found


def strikes(table: Table, name: str) -> int:
    return len(table.get(member_key(id_of(name))).strikes)


def come_back(table: Table, name: str) -> None:
    """Left and served again, or woken."""
    if serving(table, name).awake and not serving(table, name).out:
        table.must(name, UnserveModel(table.model))
        while table.server(name) is not None:
            table.block(60_000)
        table.must(name, ServeModel(table.model, 1_010_000))
    else:
        table.must(name, ServeModel(table.model, 1_000))


def test_a_liar_that_leaves_and_comes_back_is_out_all_the_same() -> None:
    """It lies in no more than half of its entries, so that it is not out by that, and leaves with the eighth lie; before, its
    record was empty then, and it was never out in 600 requests of thirty roots."""
    names = askers(30)
    table = Table(servers=8, judges=0, people=names, pred_appeal=1_000)
    liar, left, stays = table.servers[0], False, 0
    for turn in range(150):
        record = serving(table, liar).record
        bad = sum(entry.bad for entry in record)
        if bad < 8:
            left = False
        elif not left:
            come_back(table, liar)
            left, stays = True, stays + 1
        play(table, names[turn % 30], {liar: FALSE if 2 * (bad + 1) <= len(record) + 1 else TRUE})
        if serving(table, liar).out:
            break
    assert serving(table, liar).out and stays == 1 and strikes(table, liar) == 1


@pytest.mark.parametrize(("roots", "share", "expected"), [(2, 1, False), (3, 1, True), (8, 1, True), (8, 2, True), (8, 4, False)])
def test_where_few_roots_ask_a_liar_is_out_by_what_a_quorum_contradicts(roots: int, share: int, expected: bool) -> None:
    """With eight roots or fewer nobody was ever out. It lies in each `share`-th seat: below half it stays, for a fine each."""
    names = askers(roots)
    table = Table(servers=6, judges=0, people=names)
    liar, seats = table.servers[0], 0
    for turn in range(60):
        before = serving(table, liar).silent, serving(table, liar).record
        play(table, names[turn % roots], {liar: FALSE if seats % share == 0 else TRUE})
        seats += (serving(table, liar).silent, serving(table, liar).record) != before
        if serving(table, liar).out:
            break
    assert serving(table, liar).out is expected
    others = [serving(table, name) for name in table.servers[1:]]
    assert not any(one.out or any(entry.bad for entry in one.record) for one in others)


def test_a_server_that_is_silent_again_and_again_rests() -> None:
    """It is silent twice of three times, never three times in a row, and serves again at once whatever puts it to sleep. Before, it
    delayed every second request for as long as it liked."""
    names = askers(3)
    table = Table(servers=10, judges=0, people=names)
    lazy, seats, delayed = table.servers[0], 0, 0
    for turn in range(200):
        before = serving(table, lazy).silent
        if not serving(table, lazy).awake:
            come_back(table, lazy)
        delayed += play(table, names[turn % 3], {lazy: None if seats % 3 else TRUE})
        seats += serving(table, lazy).silent != before or serving(table, lazy).silent == 0
    assert delayed <= 7, "of 200 within the hour"
    assert serving(table, lazy).since > table.chain.clock and strikes(table, lazy) == 0


def test_silence_is_remembered_of_a_server_that_leaves_before_it_is_put_to_sleep() -> None:
    """After each second silence it leaves and serves again: with the seventh it rests all the same."""
    names = askers(3)
    table = Table(servers=10, judges=0, people=names, pred_appeal=1_000)
    lazy, delayed = table.servers[0], 0
    for turn in range(60):
        if serving(table, lazy).silent & 0b11 == 0b11:
            come_back(table, lazy)
        delayed += play(table, names[turn % 3], {lazy: None})
        if not serving(table, lazy).awake:
            break
    assert delayed == 7 and serving(table, lazy).since > table.chain.clock
