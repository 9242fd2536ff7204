"""Rounds on a real ledger: keys, commitments, openings, substitutes, silence. LC-PRE-22 to 25, 34, 50, 51."""

from __future__ import annotations

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import (
    BOX_BYTES,
    CommitAnswer,
    GiveKeys,
    OpenAnswer,
    PredictionCode,
    answer_commitment,
    challenge,
    seed_of,
)
from learningchain.chain.contracts.prediction.records import PredictionSeat, RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, ModelKind
from tests.unit.ledger_kit import id_of
from tests.unit.prediction_kit import ASKER, Table, number, sha

KEY_HASH = sha("a key's hash")


def boxes(count: int) -> list[bytes]:
    return [bytes([n]) * BOX_BYTES for n in range(count)]


# --- commitments and openings ----------------------------------------------------------------------------------------------------


def test_a_commitment_binds_chain_request_round_seat_and_answer() -> None:
    args = (bytes(32), b"r" * 32, 1, b"s" * 20, number(5), b"x" * 32)
    seen = {answer_commitment(*args)}
    for place, other in enumerate((b"c" * 32, b"q" * 32, 2, b"t" * 20, number(6), b"y" * 32)):
        seen.add(answer_commitment(*args[:place], other, *args[place + 1 :]))  # type: ignore[arg-type, call-arg]
    assert len(seen) == 7


def test_substitutes_have_the_challenge_of_those_they_stand_in_for() -> None:
    assert challenge(bytes(32), bytes(32), 1) == challenge(bytes(32), bytes(32), 2) != challenge(bytes(32), bytes(32), 3)
    assert 0 <= challenge(bytes(32), bytes(32), 1) < 2**31
    assert seed_of(b"\x01" + bytes(31)) == 2**56


def test_who_may_commit_and_when() -> None:
    table = Table(servers=4)
    request = table.ask(answers=3)
    seats = table.drawn(request)
    other = next(name for name in table.servers if name not in seats)
    sealed = table.sealed(request, 1, seats[0], number(5))
    codes = table.codes(
        (seats[0], sealed),
        (other, CommitAnswer(request, 1, bytes(32))),
        (seats[1], CommitAnswer(request, 2, bytes(32))),
        (seats[1], CommitAnswer(bytes(32), 1, bytes(32))),
        (seats[1], OpenAnswer(request, 1, number(5), bytes(32))),
    )
    assert codes == [
        0,
        PredictionCode.NOT_SEATED,
        PredictionCode.WRONG_ROUND,
        PredictionCode.NO_SUCH_REQUEST,
        PredictionCode.WRONG_STATE,
    ]
    assert table.refusal(seats[0], sealed) == PredictionCode.ALREADY_COMMITTED


def test_the_last_commitment_and_the_last_opening_end_their_windows() -> None:
    table = Table(servers=3)
    request = table.ask(answers=3)
    seats = table.drawn(request)
    table.commit(request, dict.fromkeys(seats, number(5)))
    table.block(1)
    assert table.state(request) == "OPEN"
    table.open(request, dict.fromkeys(seats, number(5)))
    table.block(1)
    assert table.state(request) == "AGREED"


def test_who_may_open_and_what() -> None:
    table = Table(servers=5, register={"kind": ModelKind.CLASS, "classes": 3})
    request = table.ask(rows=2, tip=1_000)
    seats = table.drawn(request)
    good, small = Answer(AnswerCode.OK, [1, 2], [5, 6], 11), Answer(AnswerCode.OK, [1], [5, 6], 11)
    wrong = Answer(AnswerCode.OK, [1, 3], [5, 6], 11)
    loud = Answer(AnswerCode.ABSTAIN, [], [], 7)
    said = {seats[0]: good, seats[1]: small, seats[2]: wrong, seats[3]: loud}
    table.commit(request, said)
    table.until(request, RequestState.OPEN)
    salt = {name: sha(name) for name in seats}
    first = OpenAnswer(request, 1, good, salt[seats[0]])
    codes = table.codes(
        (seats[1], OpenAnswer(request, 1, small, salt[seats[1]])),
        (seats[2], OpenAnswer(request, 1, wrong, salt[seats[2]])),
        (seats[3], OpenAnswer(request, 1, loud, salt[seats[3]])),
        (seats[4], OpenAnswer(request, 1, good, salt[seats[4]])),
        (seats[0], OpenAnswer(request, 1, good, bytes(32))),
        (seats[0], OpenAnswer(request, 3, good, salt[seats[0]])),
        (seats[0], OpenAnswer(request, 2, good, salt[seats[0]])),
        (ASKER, first),
        (seats[0], first),
        (seats[0], first),
    )
    bad = PredictionCode.BAD_ANSWER
    assert codes[:4] == [bad, bad, bad, PredictionCode.NOT_COMMITTED]
    assert codes[4:] == [
        PredictionCode.ANSWER_MISMATCH,
        PredictionCode.WRONG_ROUND,
        PredictionCode.NOT_SEATED,
        PredictionCode.NOT_SEATED,
        0,
        PredictionCode.ALREADY_OPENED,
    ]


def test_windows_take_nothing_after_their_end() -> None:
    """Also where the deadline itself still waits for its turn."""
    table = Table(servers=3, max_due=1)
    request = table.ask(answers=3)
    seats = table.drawn(request)
    message = table.sealed(request, 1, seats[0], number(5))
    late = table.codes((seats[0], message), step=60_000)
    assert late[0] in (PredictionCode.TOO_LATE, PredictionCode.WRONG_STATE)


# --- silence and substitutes -----------------------------------------------------------------------------------------------------


def test_substitutes_stand_in_for_the_silent_who_pay() -> None:
    table = Table(servers=7)
    request = table.ask(tip=50_000)
    seats = table.drawn(request)
    table.commit(request, dict.fromkeys(seats[:3], number(5)))
    table.until(request, RequestState.REDRAW)
    assert table.stake(seats[4]) == 1_010_000 - min(10_000, 10 * 100)
    table.until(request, RequestState.ANSWER)
    second = table.seats(request, 2)
    assert len(second) == 2 and not set(second) & set(seats)
    assert table.standing.unfinal_seats == 7
    table.commit(request, dict.fromkeys(second, number(5)))
    table.until(request, RequestState.OPEN)
    table.open(request, dict.fromkeys([*seats[:3], *second], number(5)))
    table.block()
    assert table.outcome(request) == "AGREED"
    assert table.result(request).values[0].support == 5
    table.until(request, RequestState.FINAL, step=60_000)
    ends = {table.name_of(one.account): (one.round, one.code) for one in table.result(request).seats}
    assert ends[seats[4]] == (1, 0) and ends[second[0]] == (2, AnswerCode.OK)


# --- keys ------------------------------------------------------------------------------------------------------------------------


def test_a_private_request_opens_once_each_seat_has_its_box() -> None:
    table = Table(servers=5)
    request = table.ask(key_hash=[KEY_HASH], inline=b"", size=1_000)
    seats = table.drawn(request)
    assert table.state(request) == "KEYS"
    first = table.get(records.seat_key(request, 1, id_of(seats[0])))
    assert isinstance(first, PredictionSeat) and first.box_key == sha("box", seats[0])
    codes = table.codes(
        (ASKER, GiveKeys(request, 1, boxes(4))),
        (ASKER, GiveKeys(request, 2, boxes(5))),
        ("s0", GiveKeys(request, 1, boxes(5))),
        (ASKER, GiveKeys(bytes(32), 1, boxes(5))),
        (ASKER, GiveKeys(request, 1, boxes(5))),
    )
    assert codes == [
        PredictionCode.BAD_KEYS,
        PredictionCode.WRONG_ROUND,
        PredictionCode.NOT_REQUESTER,
        PredictionCode.NO_SUCH_REQUEST,
        0,
    ]
    assert table.state(request) == "ANSWER"
    third = table.get(records.seat_key(request, 1, id_of(seats[2])))
    assert isinstance(third, PredictionSeat) and third.box == bytes([2]) * BOX_BYTES
    assert table.refusal(ASKER, GiveKeys(request, 1, boxes(5))) == PredictionCode.WRONG_STATE
