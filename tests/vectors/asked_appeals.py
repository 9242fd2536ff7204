"""Plays of appeals: judges, verdicts, slashing, and what stands afterwards (LC-PRE-35 to LC-PRE-42, 58)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.membership import member_key
from learningchain.chain.contracts.prediction.messages import AppealAnswer, CommitAnswer, GiveKeys, PolicyRate, PredictionCode
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.errors import Code
from learningchain.chain.host import SUSPENDED
from tests.vectors.asked_answers import among
from tests.vectors.asked_models import ZERO, account_of
from tests.vectors.asked_requests import LOW, POLICY, policy_of
from tests.vectors.kit import id_of
from tests.vectors.prediction_plays import (
    APPEAL,
    CLASSES,
    JUDGES,
    NUMBERS,
    PRIVATE,
    SERVERS,
    VALIDATORS,
    Ask,
    Says,
    full,
    number,
    said,
    verifier,
)

FIVE = SERVERS[:5]
TRUE, FALSE = number(7), number(900)


def few(*left: str) -> dict[bytes, Any]:
    """Of the verifiers that serve nothing only these have the flag."""
    names = (*VALIDATORS, *JUDGES, "s6", "s7")
    return {member_key(id_of(name)): verifier(name, verifier=name in left) for name in names}


def _answered(name: str, rule: str, says: Says, records: dict[bytes, Any] | None = None, **changed: Any) -> Ask:
    play = Ask(name, rule, records or {})
    play.served(NUMBERS, *FIVE)
    play.ask(**changed)
    play.answer(says)
    assert play.read().state in (RequestState.AGREED, RequestState.WEAK)
    return play


def _divided(name: str, rule: str, records: dict[bytes, Any]) -> Ask:
    """Three of five agree on another value than the two others."""
    play = Ask(name, rule, records)
    play.served(NUMBERS, *FIVE)
    play.ask()
    play.until(RequestState.ANSWER)
    play.answer(among(play.seats(), FALSE, TRUE, 3))
    assert play.read().state == RequestState.AGREED
    return play


def _judged(play: Ask, says: Says, appellant: str = "carol", rows: tuple[int, ...] = (), **named: Any) -> Ask:
    play.appeal(appellant, rows)
    play.answer(says, **named)
    assert play.read().state == RequestState.FINAL
    return play


def refused() -> Ask:
    play = Ask("appeals that are refused", "LC-PRE-36", account_of(None, "dave", status=SUSPENDED))
    play.served(NUMBERS, *FIVE)
    play.ask(rows=10, tip=500)
    request = play.request
    play.refuse_all(
        [
            (PredictionCode.NO_SUCH_REQUEST, "carol", AppealAnswer(ZERO, [])),
            (PredictionCode.WRONG_STATE, "carol", AppealAnswer(request, [])),
        ]
    )
    play.answer(lambda name: number(*range(10)))
    half = play.read().answered + APPEAL // 2
    raws = [play.tx(name, AppealAnswer(request, [1, 0])) for name in ("carol", "dave")]
    assert play.block(*raws, step=half - 1 - play.clock) == [PredictionCode.NOT_APPEALABLE, PredictionCode.NOT_ACTIVE]
    play.block(step=1)
    bad = PredictionCode.BAD_REQUEST
    play.refuse_all(
        [
            *((bad, "carol", AppealAnswer(request, rows)) for rows in ([1, 0], [1, 1], [10], list(range(9)))),
            (PredictionCode.NOT_ACTIVE, "dave", AppealAnswer(request, [1, 0])),
            (Code.INSUFFICIENT_CREDITS, "erin", AppealAnswer(request, [])),
            (Code.OK, "carol", AppealAnswer(request, list(range(2, 10)))),
            (PredictionCode.WRONG_STATE, "carol", AppealAnswer(request, [])),
        ]
    )
    play.until(RequestState.ANSWER)
    judge = play.seats()[0]
    play.refuse_all(
        [
            (PredictionCode.WRONG_ROUND, judge, CommitAnswer(request, 1, ZERO)),
            (PredictionCode.NOT_SEATED, "s1", CommitAnswer(request, 3, ZERO)),
        ]
    )
    play.answer(lambda name: number(*range(10)))
    play.refuse(PredictionCode.WRONG_STATE, "carol", AppealAnswer(request, []))
    return play


def disputed() -> Ask:
    """Who appeals names right rows: what a seat says otherwise is answered all the same, of each seat in turns. One says a code."""
    play = Ask("rows that seats dispute are answered, whoever appeals", "LC-PRE-57")
    play.served(replace(NUMBERS, max_rows=64), *SERVERS)
    play.ask(rows=64, answers=7, tip=7 * 640)
    play.until(RequestState.ANSWER)
    seats = play.seats()

    def says(name: str) -> Answer:
        place = seats.index(name)
        if place == 6:
            return said(AnswerCode.FAULT)
        rows = [7] * 64
        if place < 3:
            rows[50] = 900
            rows[10 * place : 10 * place + 4] = [5_000 * (place + 1)] * 4
        rows[60 if place == 5 else 61] = 7 + 4 * NUMBERS.tol + (place == 5)
        return number(*rows, check=0 if place != 4 else 10**6)

    play.answer(says, order=seats)
    play.appeal("carol", range(40, 48))
    play.until(RequestState.ANSWER)
    assert set(range(40, 48)) < set(play.read().rows) and len(play.read().rows) == 16
    play.answer(lambda name: number(*([7] * 16)))
    return play


def unfit() -> Ask:
    """Two say that the input does not fit, one of them which row; the others value it. Who appeals names right rows."""
    play = Ask("a row of which a seat says that it does not fit is answered, whoever appeals", "LC-PRE-57")
    play.served(replace(NUMBERS, max_rows=64), *FIVE)
    play.ask(rows=64, tip=5 * 640)
    play.until(RequestState.ANSWER)
    seats, bad = play.seats(), AnswerCode.BAD_INPUT
    told = [*[number(*([7] * 64))] * 3, Answer(bad, [], [], 57), said(bad)]
    play.answer(dict(zip(seats, told, strict=True)).__getitem__, order=seats)
    play.appeal("carol", range(40, 48))
    play.until(RequestState.ANSWER)
    rows = play.read().rows
    assert {*range(40, 48), 56} < set(rows) and len(rows) == 16
    play.answer(lambda name: Answer(bad, [], [], rows.index(56) + 1 if id_of(name)[0] % 2 else 0))
    assert play.read().appeal == AppealVerdict.OVERTURNED
    return play


def late() -> Ask:
    """Its event waits behind another one."""
    play = _answered("an appeal after its window", "LC-PRE-36", lambda name: TRUE)
    fresh = full(play)
    raw = fresh.tx("carol", AppealAnswer(fresh.request, []))
    assert fresh.block(raw, step=fresh.read().deadline - fresh.clock) == [PredictionCode.TOO_LATE]
    fresh.block()
    return fresh


def no_committee() -> Ask:
    play = _divided("two could judge", "LC-PRE-36", few("j1", "j2"))
    play.refuse(PredictionCode.NO_COMMITTEE, "bob", AppealAnswer(play.request, []))
    play.until(RequestState.FINAL)
    return play


def outnumbered() -> Ask:
    play = _answered("five could judge what five agree on", "LC-PRE-36", lambda name: TRUE, few(*JUDGES[:5]))
    play.refuse(PredictionCode.NO_COMMITTEE, "bob", AppealAnswer(play.request, []))
    play.until(RequestState.FINAL)
    return play


def upheld() -> Ask:
    play = _answered("judges find the same: the bond pays them", "LC-PRE-40", lambda name: TRUE)
    return _judged(play, lambda name: FALSE if name == "j1" else number(27))


def added() -> Ask:
    """A row that the judges alone value is added, and is no change."""
    play = Ask("a row without a value gets one", "LC-PRE-40")
    play.served(NUMBERS, *FIVE)
    play.ask(rows=2, answers=3, tip=60)
    play.until(RequestState.ANSWER)
    seats = play.seats()
    play.answer(lambda name: number(7, 500 * seats.index(name), check=0))
    return _judged(play, lambda name: number(7, 3, check=0))


def slashed() -> Ask:
    """Beyond doubt: those behind the value lose of their stakes as much as the owner; who was right is paid at last."""
    play = Ask("overturned beyond doubt: stakes and deposit fall, who was right is paid", "LC-PRE-42")
    play.served(NUMBERS, *FIVE)
    play.ask()
    play.until(RequestState.ANSWER)
    seats = play.seats()
    play.answer(among(seats, FALSE, TRUE, 4), order=seats)
    assert play.read().state == RequestState.AGREED
    play = _judged(play, lambda name: TRUE)
    assert play.read().appeal == AppealVerdict.OVERTURNED
    assert len(play.read().rounds[-1].seats) >= 15
    for _ in range(3):
        play.block()
    return play


def few_wrong() -> Ask:
    play = _divided("overturned beyond doubt, and three of five were wrong: they are fined, the owner is not", "LC-PRE-42", {})
    play = _judged(play, lambda name: TRUE, "bob")
    assert play.read().appeal == AppealVerdict.OVERTURNED and len(play.read().rounds[-1].seats) >= 15
    return play


def one_wrong() -> Ask:
    play = _answered(
        "overturned beyond doubt, and the only seat was wrong: the model goes on",
        "LC-PRE-42",
        lambda name: FALSE,
        answers=1,
        agree=1,
        tip=10,
    )
    play = _judged(play, lambda name: TRUE)
    assert play.read().appeal == AppealVerdict.OVERTURNED
    return play


def spared() -> Ask:
    """Few judges: values fall, stakes do not; the appellant was the requester, who pays the votes."""
    play = _answered("overturned by few: nobody is slashed", "LC-PRE-41", lambda name: FALSE, few(*JUDGES[:6]))
    return _judged(play, lambda name: TRUE, "bob")


def together() -> Ask:
    play = _divided("three judges and two of the draw overturn what three said", "LC-PRE-58", few("j1", "j2", "j3"))
    play = _judged(play, lambda name: TRUE)
    assert play.read().appeal == AppealVerdict.OVERTURNED
    return play


def outweighed() -> Ask:
    """Six of eight judges, and no more than five and two of them who say what was said."""
    play = _answered("most judges say something else, and do not outweigh", "LC-PRE-58", lambda name: TRUE, few(*JUDGES[:8]))
    play = _judged(play, lambda name: TRUE if name in ("j1", "j2") else FALSE, "bob")
    assert play.read().appeal == AppealVerdict.VOID
    return play


def one_row_outweighed() -> Ask:
    """Judges say something else of both rows: of one all five agree, of the other three."""
    play = Ask("of two rows the one that is outweighed falls", "LC-PRE-58", few(*JUDGES[:4]))
    play.served(NUMBERS, *FIVE)
    play.ask(rows=2)
    play.until(RequestState.ANSWER)
    play.answer(among(play.seats(), number(900, 7), number(7, 7, check=907), 3))
    play = _judged(play, lambda name: number(7, 900))
    assert play.read().appeal == AppealVerdict.OVERTURNED
    return play


def code_outweighed() -> Ask:
    """Seven of ten judges say that it cannot be answered, eight answered it."""
    play = _answered("a code does not outweigh those who answer", "LC-PRE-58", lambda name: TRUE, few(*JUDGES[:10]))
    answering = JUDGES[:3]
    play = _judged(play, lambda name: TRUE if name in answering else said(AnswerCode.FAULT))
    assert play.read().appeal == AppealVerdict.VOID
    return play


def doubted() -> Ask:
    """Two judges of many repeat the old value."""
    play = _answered("overturned, and some judges doubt it: nobody is slashed", "LC-PRE-42", lambda name: FALSE)
    play.appeal("carol")
    play.until(RequestState.ANSWER)
    doubting = play.seats()[:3]
    play.answer(lambda name: FALSE if name in doubting else TRUE)
    return play


def by_code() -> Ask:
    """Judges find that the input does not fit: all values fall, a policy refers them."""
    play = Ask("overturned by a code: all values fall", "LC-PRE-41")
    play.served(NUMBERS, *FIVE)
    play.do("carol", replace(POLICY, model=play.model, rates=[PolicyRate(LOW, 1)]))
    play.ask(policy=[policy_of(play)])
    play.until(RequestState.ANSWER)
    seats = play.seats()
    bad = said(AnswerCode.BAD_INPUT)
    play.answer(lambda name: bad if name == seats[0] else TRUE)
    return _judged(play, lambda name: bad)


def decided_anew() -> Ask:
    play = Ask("overturned: a policy decides anew", "LC-PRE-44")
    play.served(NUMBERS, *FIVE)
    play.do("carol", replace(POLICY, model=play.model))
    play.ask(rows=20, tip=1_000, policy=[policy_of(play)])
    play.answer(lambda name: number(*([900] * 20)))
    return _judged(play, lambda name: number(*([7] * 16), check=1), rows=(0, 19))


def void_for_others() -> Ask:
    play = _answered("judges do not agree: the bond goes back", "LC-PRE-39", lambda name: TRUE)
    return _judged(play, lambda name: number(id_of(name)[0] * 100))


def void_for_the_requester() -> Ask:
    play = _answered("judges do not agree, and the requester had asked: it pays who opened", "LC-PRE-39", lambda name: TRUE)
    return _judged(play, lambda name: number(id_of(name)[0] * 100), "bob")


def void_without_data() -> Ask:
    play = _answered("judges have no data: the bond pays them, whoever appealed", "LC-PRE-39", lambda name: TRUE)
    return _judged(play, lambda name: said(AnswerCode.NO_DATA))


def void_by_withholding() -> Ask:
    """Two of six judges get the data, which is neither an answer nor NO_DATA."""
    names = ("j1", "j2", "j3", "j4", "j5", "j6")
    play = _answered(
        "most judges have no data, too few for a quorum: the bond pays them", "LC-PRE-39", lambda name: TRUE, few(*names)
    )
    return _judged(play, lambda name: TRUE if name in names[:2] else said(AnswerCode.NO_DATA))


def half() -> Ask:
    """Three of six agree: not more than half."""
    names = ("j1", "j2", "j3", "j4", "j5", "j6")
    play = _answered("half of the judges are no verdict", "LC-PRE-38", lambda name: FALSE, few(*names))
    return _judged(play, lambda name: TRUE if name in names[:3] else None)


def silent_judges() -> Ask:
    """One commits nothing, one opens nothing: strikes and draws; one commitment alone is no verdict."""
    play = _answered("judges that are silent", "LC-PRE-37", lambda name: TRUE, few(*JUDGES[:6]))
    play = _judged(play, lambda name: None if name == "j1" else TRUE, opens=lambda name: name != "j2")
    play.ask("dave")
    play.answer(lambda name: TRUE)
    return _judged(play, lambda name: TRUE if name == "j3" else None)


def _then(name: str, *left: str) -> Ask:
    """An appeal that eight could judge; at the draw these have their flags."""
    play = _answered(name, "LC-PRE-36", lambda name: TRUE, few(*JUDGES[:8]))
    play.appeal("carol")
    return Ask(play.name, play.rule, few(*left), play)


def fewer_judges() -> Ask:
    """What those that left would have cost goes back."""
    play = _then("fewer judges at the draw than at the appeal", *JUDGES[:6])
    play.answer(lambda name: TRUE)
    return play


def too_few_judges() -> Ask:
    play = _then("too few judges to outweigh are left at the draw: void", *JUDGES[:5])
    play.until(RequestState.FINAL)
    return play


def _private(name: str, rule: str) -> Ask:
    play = Ask(name, rule, few("j1", "j2", "j3", "j4"))
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3, **PRIVATE)
    play.until(RequestState.KEYS)
    play.keys()
    play.answer(lambda who: TRUE)
    return play


def private() -> Ask:
    """The requester alone appeals, and gives the judges their keys; a judge without a box key is none."""
    play = _private("a private request is appealed, and the judges call the key bad", "LC-PRE-40")
    play.refuse(PredictionCode.NOT_APPEALABLE, "carol", AppealAnswer(play.request, [1, 0]))
    play.do("bob", AppealAnswer(play.request, []))
    play.until(RequestState.KEYS)
    play.refuse(PredictionCode.NOT_REQUESTER, "carol", GiveKeys(play.request, 3, [bytes(80)] * 4))
    play.keys()
    play.answer(lambda name: said(AnswerCode.BAD_KEY))
    return play


def keyless() -> Ask:
    play = _private("an appeal without keys burns its bond", "LC-PRE-22")
    play.do("bob", AppealAnswer(play.request, []))
    play.until(RequestState.FINAL)
    return play


def class_appeal() -> Ask:
    """Another class with the same score is another value."""
    play = Ask("another class is found", "LC-PRE-41")
    play.served(CLASSES, *SERVERS[:3])
    play.ask(answers=3)
    play.answer(lambda name: Answer(AnswerCode.OK, [3], [50], 0))
    return _judged(play, lambda name: Answer(AnswerCode.OK, [4], [50], 0))


APPEALS: tuple[Callable[[], Ask], ...] = (
    *(
        refused,
        disputed,
        unfit,
        late,
        no_committee,
        outnumbered,
        upheld,
        added,
        slashed,
        few_wrong,
        one_wrong,
        spared,
        together,
        outweighed,
        one_row_outweighed,
        code_outweighed,
        doubted,
        by_code,
        decided_anew,
        void_for_others,
    ),
    *(
        void_for_the_requester,
        void_without_data,
        void_by_withholding,
        half,
        silent_judges,
        fewer_judges,
        too_few_judges,
        private,
        keyless,
        class_appeal,
    ),
)
