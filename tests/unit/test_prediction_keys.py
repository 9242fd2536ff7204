"""The keys of private requests: given to those who were drawn, by the machine of the requester, and opened by theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership.messages import SetBoxKey
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import AppealAnswer, GiveKeys, inline_cid
from learningchain.chain.contracts.prediction.records import PredictionSeat, RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.crypto import sha256
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.membership.roles.box import of_box
from learningchain.client.contracts.prediction.roles.giving import KeyGiver, given_status
from learningchain.client.contracts.prediction.roles.inputs import InputSealed, InputUnfit, PredictionInput
from learningchain.client.contracts.prediction.roles.private import BoxPlace, blinded, encrypted, of_key, opened
from learningchain.client.contracts.prediction.roles.runs import answer_of
from learningchain.client.contracts.prediction.roles.sealed import answer_in
from learningchain.client.contracts.prediction.work import PART as WORK
from learningchain.client.keys.boxes import public_of
from learningchain.client.work.boxes import BOX_KEYS
from learningchain.client.work.events import (
    Chain,
    Changed,
    ContentReady,
    ImageReady,
    Kept,
    RunEnded,
    SecretStored,
    StartRun,
    Submit,
)
from learningchain.client.work.machine import LedgerStatus, Recalled
from learningchain.sandbox import AnswerForm, RunStatus
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import ASKER, INPUT, Table, number, sha
from tests.unit.test_prediction_private import drawing
from tests.unit.test_work_prediction_server import Bench, committed, of, ran

KEY = sha256(b"K")
FILE = encrypted(INPUT, KEY, drawing(9))
ASKED: dict[str, Any] = {"cid": inline_cid(FILE), "size": len(FILE), "inline": FILE, "key_hash": [sha256(KEY)]}


def recalled(name: str, *secrets: Any) -> Recalled:
    return Recalled(id_of(name), bytes(32), WorkConfig(), drawing(3), list(secrets))


def asked(**more: Any) -> tuple[Table, bytes]:
    table = Table(**more)
    people = (*table.servers, *table.judges)
    table.send(*((name, SetBoxKey(key=public_of(sha("own box", name)))) for name in people))
    return table, table.ask(tip=10**6, **ASKED)


def look(machine: KeyGiver, table: Table, request: bytes) -> list[Any]:
    state = table.chain.state
    return [*machine.handle(Changed(state, (records.request_key(request),))), *machine.handle(Chain(state, table.chain.clock))]


def keys_opened(table: Table, request: bytes, round_: int) -> list[bytes]:
    """What each seat makes of its box."""
    found = []
    for name in table.seats(request, round_):
        seat = table.get(records.seat_key(request, round_, id_of(name)))
        assert isinstance(seat, PredictionSeat)
        place = BoxPlace(request, round_, id_of(name))
        found.append(opened(seat.box, place, seat.box_key, [sha("own box", name)], sha256(KEY)))
    return found


def test_the_key_goes_to_every_seat_once() -> None:
    table, request = asked()
    machine = KeyGiver(recalled(ASKER, of_key(KEY)))
    assert look(machine, table, request) == [], "nobody is drawn yet"
    table.until(request, RequestState.KEYS)
    (first,) = look(machine, table, request)
    (again,) = look(KeyGiver(recalled(ASKER, of_key(KEY))), table, request)
    assert isinstance(first, Submit) and (first.kind, first.key) == (again.kind, again.key), "the outbox takes it once"
    assert given_status(table.chain.state, id_of(ASKER), table.chain.clock, first.op)[0] is LedgerStatus.OPEN
    table.must(ASKER, first.op)
    assert table.record(request).state == RequestState.ANSWER
    assert given_status(table.chain.state, id_of(ASKER), table.chain.clock, first.op)[0] is LedgerStatus.STANDS
    assert keys_opened(table, request, 1) == [KEY] * 5 and look(machine, table, request) == []


def test_nobody_gives_the_keys_of_anothers_request() -> None:
    table, request = asked()
    table.until(request, RequestState.KEYS)
    assert look(KeyGiver(recalled("s0", of_key(KEY))), table, request) == []


def test_keys_that_come_too_late_are_not_sent() -> None:
    table, request = asked()
    table.until(request, RequestState.KEYS)
    (said,) = look(KeyGiver(recalled(ASKER, of_key(KEY))), table, request)
    deadline = table.record(request).deadline
    assert given_status(table.chain.state, id_of(ASKER), deadline, said.op) == (LedgerStatus.TOO_LATE, deadline)
    table.leave(request, RequestState.KEYS)
    assert table.outcome(request) == "NO_KEYS"
    assert given_status(table.chain.state, id_of(ASKER), table.chain.clock, said.op)[0] is LedgerStatus.TOO_LATE


def test_substitutes_and_judges_get_boxes_of_their_own() -> None:
    table, request = asked(judges=5)
    machine = KeyGiver(recalled(ASKER, of_key(KEY)))
    table.until(request, RequestState.KEYS)
    table.must(ASKER, look(machine, table, request)[0].op)
    plain = number(700)
    hidden = blinded(plain, KEY, request, [0], 0)
    silent, *others = table.seats(request)
    table.answer(request, dict.fromkeys(others, hidden))
    table.until(request, RequestState.KEYS)
    (second,) = look(machine, table, request)
    assert second.op.round == 2 and len(second.op.boxes) == 1
    table.must(ASKER, second.op)
    (substitute,) = table.seats(request)
    assert substitute != silent and keys_opened(table, request, 2) == [KEY]
    table.commit(request, {substitute: hidden})
    table.until(request, RequestState.OPEN)
    table.open(request, dict.fromkeys([*others, substitute], hidden))
    table.until(request, RequestState.AGREED)
    table.must(ASKER, AppealAnswer(request, []))
    table.until(request, RequestState.KEYS)
    (third,) = look(machine, table, request)
    assert third.op.round == 3
    table.must(ASKER, third.op)
    assert set(keys_opened(table, request, 3)) == {KEY} and len({one.key for one in (second, third)}) == 2


def test_a_key_that_came_from_the_disk_is_given_too_and_what_is_over_is_told_no_more() -> None:
    table, request = asked()
    table.until(request, RequestState.KEYS)
    late, never = KeyGiver(recalled(ASKER)), KeyGiver(recalled(ASKER))
    assert look(late, table, request) == look(never, table, request) == []
    late.handle(SecretStored(of_key(KEY)))
    late.handle(Kept(of_box(sha("own"), bytes(33), 5)))
    (said,) = late.handle(Chain(table.chain.state, table.chain.clock))
    assert isinstance(said, Submit) and not late.busy
    table.leave(request, RequestState.KEYS)
    assert never.notices() and never.handle(Chain(table.chain.state, table.chain.clock)) == []
    assert not never.notices() and not never.busy


class Doctored:
    """The state of a table, in which one record is another one."""

    def __init__(self, table: Table, request: bytes, **changes: Any) -> None:
        self.key = records.request_key(request)
        self.record, self.state = msgspec.structs.replace(table.record(request), **changes), table.chain.state

    def get(self, key: bytes) -> Any:
        return self.record if key == self.key else self.state.get(key)


def test_the_keys_of_an_appeal_are_its_appellants_to_give() -> None:
    table, request = asked()
    table.until(request, RequestState.KEYS)
    drawn = [msgspec.structs.replace(one, round=3) for one in table.record(request).rounds]
    appeal: Any = Doctored(table, request, round=3, rounds=drawn, appellant=id_of("s0"))
    before: Any = Doctored(table, request, appellant=id_of("s0"))
    changed = (records.request_key(request),)
    for name, gives in ((ASKER, (before,)), ("s0", (appeal,))):
        for state in (before, appeal):
            said = KeyGiver(recalled(name, of_key(KEY))).handle(Changed(state, changed))
            assert bool(said) == (state in gives), (name, state.record.round)


def test_the_message_fits_into_a_transaction_with_boxes_for_every_judge() -> None:
    assert len(encode(GiveKeys(bytes(32), 3, [bytes(80)] * 63))) < 6_000


# --- servers ---------------------------------------------------------------------------------------------------------------------


def seated(box_of: Any = None) -> tuple[Table, bytes, Bench]:
    """A private request that is open to its seats, and the machine of one of them; `box_of` changes that seat's box."""
    table, request = asked(pred_open=30_000)
    table.until(request, RequestState.KEYS)
    (said,) = look(KeyGiver(recalled(ASKER, of_key(KEY))), table, request)
    name = table.seats(request)[0]
    if box_of is not None:
        said = Submit(said.kind, said.key, said.ref, GiveKeys(request, 1, [box_of(said.op.boxes[0]), *said.op.boxes[1:]]))
    table.must(ASKER, said.op)
    return table, request, Bench(table, name, of_box(sha("own box", name), bytes(33), 1))


def sealed_answer(said: list[Any]) -> Any:
    (submit,) = of(said, Submit)
    return answer_in(submit.secret)[1].answer


def test_a_seat_opens_its_box_reads_the_rows_and_seals_a_blinded_answer() -> None:
    table, request, bench = seated()
    bench.look()
    bench.give(ImageReady(table.model, "sha256:" + "ab" * 32))
    (start,) = of(bench.give(ContentReady(f"model-{table.model.hex()}", "model", Path("/model"))), StartRun)
    assert start.late.given()["input"] == INPUT
    said = committed(bench, ran(start.run, 700))
    assert said.secret is not None
    assert answer_in(said.secret)[1].answer == blinded(number(700), KEY, request, [0], 0) != number(700)


def test_a_seat_whose_box_does_not_open_says_bad_key_and_runs_nothing() -> None:
    _, _, bench = seated(lambda made: made[:-1] + bytes([made[-1] ^ 1]))
    said = bench.look()
    assert sealed_answer(said).code == AnswerCode.BAD_KEY and not of(said, StartRun)


def test_a_seat_that_lost_its_own_key_abstains() -> None:
    table, _, bench = seated()
    assert sealed_answer(Bench(table, bench.name).look()).code == AnswerCode.ABSTAIN


def test_an_input_that_the_key_does_not_open_is_a_bad_key_and_one_of_other_rows_a_bad_input() -> None:
    form = AnswerForm(rows=1, classes=0)
    sealed = PredictionInput(FILE[:-1] + b"x", 1, (0,), 0, 0, form, 1.0, KEY)
    with pytest.raises(InputSealed):
        sealed.given()
    assert answer_of(RunEnded("run", RunStatus.OK, "", InputSealed("no"))) == Answer(AnswerCode.BAD_KEY, [], [], 0)
    assert replace(sealed, source=FILE).given()["input"] == INPUT
    with pytest.raises(InputUnfit):
        replace(sealed, source=encrypted(INPUT * 2, KEY, drawing(1))).given()


def test_the_work_of_predictions_is_told_of_the_accounts_box_keys() -> None:
    assert BOX_KEYS in WORK.reads and GiveKeys in WORK.ledger_statuses
    assert not WORK.owns(BOX_KEYS)
