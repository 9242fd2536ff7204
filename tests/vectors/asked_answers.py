"""Plays of requests that are drawn: seats, keys, silence, tallies, money, decisions (LC-PRE-21 to LC-PRE-34, 44)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.prediction.messages import (
    CommitAnswer,
    GiveKeys,
    OpenAnswer,
    PolicyRate,
    PredictionCode,
    RetireModel,
    Share,
    UnserveModel,
)
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.errors import Code
from learningchain.chain.host import BANNED, SUSPENDED
from tests.vectors.asked_models import ZERO, account_of
from tests.vectors.asked_requests import LOW, POLICY, policy_of
from tests.vectors.kit import id_of
from tests.vectors.prediction_plays import (
    CLASSES,
    NUMBERS,
    PRIVATE,
    SERVERS,
    Ask,
    Says,
    asking,
    full,
    number,
    said,
)

FIVE, SEVEN = SERVERS[:5], SERVERS


def _asked(name: str, rule: str, says: Says, servers: tuple[str, ...] = FIVE, **changed: Any) -> Ask:
    """A request that is answered, and whatever follows until it is final."""
    play = Ask(name, rule)
    play.served(NUMBERS, *servers)
    play.ask(**changed)
    play.answer(says)
    return play


def among(names: list[str], first: Answer | None, others: Answer | None, many: int = 1) -> Says:
    """The first of these say one thing, the others another."""
    return lambda name: first if name in names[:many] else others


def _by_places(name: str, rule: str, told: Sequence[Answer | None], servers: tuple[str, ...] = FIVE, **changed: Any) -> Ask:
    """A request whose seats say these, in draw order."""
    play = Ask(name, rule)
    play.served(NUMBERS, *servers)
    play.ask(**changed)
    play.until(RequestState.ANSWER)
    seats = play.seats()
    play.answer(lambda who: told[seats.index(who)] if who in seats and seats.index(who) < len(told) else None)
    return play


def agreed() -> Ask:
    play = _asked("five agree: paid, minted, final", "LC-PRE-30", lambda name: number(7))
    play.until(RequestState.FINAL)
    return play


def one_answer() -> Ask:
    play = _asked("one answer: its word", "LC-PRE-30", lambda name: number(7), answers=1, agree=1, tip=1_001)
    play.until(RequestState.FINAL)
    return play


def classes() -> Ask:
    """Classes and scores of two rows; one row has no value."""
    play = Ask("a class model: one row agrees, one does not", "LC-PRE-28")
    play.served(CLASSES, *FIVE)
    play.ask(rows=2, answers=3, tip=601, agree=3)
    play.until(RequestState.ANSWER)
    seats = play.seats()
    play.answer(lambda name: Answer(AnswerCode.OK, [4, seats.index(name)], [90, 50], 0))
    play.until(RequestState.FINAL)
    return play


def weak() -> Ask:
    told: list[Answer | None] = [number(7), number(900), number(8), number(500), number(300)]
    play = _by_places("two of five agree: WEAK, and who was wrong goes unpaid", "LC-PRE-29", told, agree=3)
    play.until(RequestState.FINAL)
    return play


def fined() -> Ask:
    told: list[Answer | None] = [number(7), number(7), number(900), number(7), number(7)]
    return _by_places("four of five agree: the fifth is fined", "LC-PRE-33", told)


def bad_input() -> Ask:
    bad = said(AnswerCode.BAD_INPUT)
    return _by_places("a quorum says BAD_INPUT: a quarter each, the others are fined", "LC-PRE-33", [bad, bad, number(1), bad, bad])


def heavy() -> Ask:
    over = said(AnswerCode.OVERRUN)
    return _by_places("a quorum says OVERRUN", "LC-PRE-31", [over] * 4 + [number(1)])


def faulty() -> Ask:
    fault = said(AnswerCode.FAULT)
    return _by_places("a quorum says FAULT: all goes back", "LC-PRE-32", [fault] * 4 + [number(1)])


def abstained() -> Ask:
    out = said(AnswerCode.ABSTAIN)
    return _by_places("most abstain: a quarter for who answered", "LC-PRE-31", [out, number(1), out, out, number(1)])


def shown_to_two() -> Ask:
    """Three have no data: two answers can be read, and are paid as such; the model is not to blame."""
    none, told = said(AnswerCode.NO_DATA), number(7)
    return _by_places("three of five have no data: two answers are paid in full", "LC-PRE-55", [none, told, none, told, none])


def shown_to_one() -> Ask:
    """A quorum has no key. With shares the royalty is kept."""
    play = Ask("four of five have no key: one answer is paid in full", "LC-PRE-55")
    play.served(replace(NUMBERS, shares=[Share(id_of("carol"), 1), Share(id_of("dave"), 2)]), *FIVE)
    play.ask()
    play.until(RequestState.ANSWER)
    first = play.seats()[0]
    play.answer(lambda who: number(7) if who == first else said(AnswerCode.BAD_KEY))
    return play


def five_ways() -> Ask:
    return _by_places("five different answers", "LC-PRE-31", [number(100 * n) for n in range(5)])


def wrong_checks() -> Ask:
    told: list[Answer | None] = [number(7, check=500), number(7), number(7), number(7, check=900), number(7)]
    return _by_places("right answers with wrong checks are not valid", "LC-PRE-27", told)


def substituted() -> Ask:
    """One is silent: a substitute stands in; one of those that committed does not open."""
    play = Ask("a silent seat, its substitute, and one that does not open", "LC-PRE-23")
    play.served(NUMBERS, *SEVEN)
    play.ask()
    play.until(RequestState.ANSWER)
    silent, late = play.seats()[:2]
    first = play.commits(lambda name: None if name == silent else number(7))
    play.block(step=play.read().deadline - play.clock)
    play.until(RequestState.ANSWER)
    assert play.read().round == 2
    play.refuse(PredictionCode.NOT_SEATED, silent, CommitAnswer(play.request, 2, ZERO))
    play.refuse(PredictionCode.WRONG_ROUND, silent, CommitAnswer(play.request, 1, ZERO))
    second = play.commits(lambda name: number(8))
    play.block()
    assert play.read().state == RequestState.OPEN
    play.opens({name: answer for name, answer in first.items() if name != late}, 1)
    play.opens(second, 2)
    play.block(step=max(100, play.read().deadline - play.clock))
    play.until(RequestState.FINAL)
    return play


def without_substitutes() -> Ask:
    return _by_places("two are silent, and nobody is left to stand in", "LC-PRE-23", [number(7), None, number(7), None, number(7)])


def too_few() -> Ask:
    return _by_places("one commits: too few", "LC-PRE-32", [None, None, number(7)], SERVERS[:3], answers=3)


def nobody() -> Ask:
    """Nobody answers, three times: asleep, until they serve again."""
    play = Ask("three times silent: asleep, and too few are left", "LC-PRE-34")
    play.served(NUMBERS, *SERVERS[:3])
    for name in ("bob", "carol", "dave"):
        play.ask(name, answers=3)
        play.answer(lambda who: None)
    play.serve(*SERVERS[:3], amount=3_000)
    play.ask("frank", answers=3)
    play.answer(lambda who: number(1))
    return play


def nobody_opens() -> Ask:
    play = Ask("all commit, none opens", "LC-PRE-24")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3)
    play.answer(lambda who: number(1), opens=lambda who: False)
    return play


def shared() -> Ask:
    play = Ask("a model with shares holds its royalty", "LC-PRE-30")
    play.served(replace(NUMBERS, shares=[Share(id_of("carol"), 1), Share(id_of("dave"), 2)]), *SERVERS[:3])
    play.ask(answers=3)
    play.answer(lambda who: number(1))
    return play


def epoch() -> Ask:
    """What an epoch may mint is spent, and the next one begins."""
    play = Ask("subsidies to an epoch's last, and those of the next", "LC-PRE-5")
    play.served(NUMBERS, *FIVE)
    for _ in range(2):
        play.ask(tip=100_000)
        play.answer(lambda who: number(1))
    play.wait(50_000)
    play.ask(tip=100_000)
    play.answer(lambda who: number(1))
    return play


def banned_seats() -> Ask:
    """A banned seat is neither paid nor fined nor minted for; a suspended one serves on."""
    play = Ask("a seat is banned, one is suspended, under way", "LC-PRE-33")
    play.served(NUMBERS, *FIVE)
    play.ask()
    play.until(RequestState.ANSWER)
    first, second, third, *_ = play.seats()
    answers = play.commits(lambda name: number(900) if name == third else number(7))
    found = account_of(play, first, status=BANNED) | account_of(play, second, status=SUSPENDED)
    found |= account_of(play, third, status=BANNED)
    fresh = Ask(play.name, play.rule, found, play)
    fresh.block()
    fresh.opens({name: answer for name, answer in answers.items() if name not in (first, third)})
    fresh.block(step=fresh.read().deadline - fresh.clock)
    fresh.until(RequestState.FINAL)
    return fresh


def out() -> Ask:
    """Nine requesters of different roots are told wrong: the server is out, with a strike of the last one's root."""
    play = Ask("nine bad entries: out, a strike, and back by ServeModel", "LC-PRE-34")
    play.served(replace(NUMBERS, slots=64), *SERVERS[:3])
    liar = SERVERS[0]
    for name in ("bob", "bob", *(f"j{n}" for n in range(1, 9))):
        play.ask(name, answers=3, tip=900)
        play.answer(lambda who: number(900) if who == liar else number(1))
    play.refuse(PredictionCode.NO_SERVERS, "carol", asking(play.model, answers=3, tip=900))
    play.serve(liar, amount=0)
    return play


def contradicted() -> Ask:
    """A quorum of five seats contradicts it for three roots, and for most of the four that asked."""
    play = Ask("contradicted for three roots of four: out", "LC-PRE-34")
    play.served(replace(NUMBERS, slots=64), *FIVE)
    liar = FIVE[0]
    for lies, name in enumerate(("bob", "bob", "carol", "dave", "frank")):
        play.ask(name)
        play.answer(lambda who, lies=lies: number(900) if who == liar and lies else number(1))  # type: ignore[misc]
    play.ask("j1", answers=3, tip=900)
    play.until(RequestState.ANSWER)
    return play


def back() -> Ask:
    """It leaves while it has a seat, and is gone with it; what it did is remembered when it is back, and when it leaves again."""
    play = Ask("who leaves and is back has the record that it had", "LC-PRE-59")
    play.served(replace(NUMBERS, slots=64), *FIVE)
    liar, silent, good = FIVE[:3]
    for name in ("bob", "carol"):
        play.ask(name)
        play.answer(lambda who: None if who == silent else number(900) if who == liar else number(1))
    for name in (liar, silent, good):
        play.do(name, UnserveModel(play.model))
    play.until(RequestState.FINAL)
    play.serve(silent, liar, good)
    play.ask("dave")
    play.answer(lambda who: number(900) if who == liar else number(1))
    play.until(RequestState.FINAL)
    play.do(liar, UnserveModel(play.model))
    play.do("alice", RetireModel(play.model))
    return play


def rests() -> Ask:
    """Seven times silent in its last 32 seats, never three times in a row: it rests for an hour, whatever it does."""
    play = Ask("silent in seven of 32 seats: not drawn for an hour", "LC-PRE-34")
    play.served(replace(NUMBERS, slots=64), *SERVERS[:3])
    lazy = SERVERS[0]
    for turn in range(11):
        play.ask(("bob", "carol", "dave")[turn % 3], answers=3, tip=900)
        play.answer(lambda who, turn=turn: None if who == lazy and turn % 3 else number(1))  # type: ignore[misc]
    play.serve(lazy, amount=0)
    play.refuse(PredictionCode.NO_SERVERS, "carol", asking(play.model, answers=3, tip=900))
    play.block(step=3_600_000)
    play.ask("carol", answers=3, tip=900)
    play.answer(lambda who: number(1))
    return play


def unrecorded() -> Ask:
    """Six of ten tallies of five seats without agreement: the model retires, its deposit burns."""
    play = Ask("six bad tallies of different roots retire a model", "LC-PRE-12")
    play.served(NUMBERS, *FIVE)
    for name in ("bob", "bob", "carol", "dave", "frank", "j1", "j2"):
        play.ask(name)
        play.until(RequestState.ANSWER)
        seats = play.seats()
        play.answer(lambda who, seats=seats: number(100 * seats.index(who)))  # type: ignore[misc]
    for _ in range(3):
        play.block()
    return play


# --- refusals -------------------------------------------------------------------------------------------------------------------


def answers_refused() -> Ask:
    """Every refusal of a commitment and an answer."""
    play = Ask("commitments and answers that are refused", "LC-PRE-24")
    play.served(CLASSES, *FIVE)
    play.ask(rows=2, answers=3, tip=600)
    request = play.request
    good = Answer(AnswerCode.OK, [1, 9], [5, -(10**18)], 2**63 - 1)
    any_commit, any_open = CommitAnswer(request, 1, ZERO), OpenAnswer(request, 1, good, ZERO)
    play.refuse_all(
        [
            (PredictionCode.NO_SUCH_REQUEST, "s1", replace(any_commit, request=ZERO)),
            (PredictionCode.WRONG_STATE, "s1", any_commit),
            (PredictionCode.WRONG_STATE, "s1", any_open),
            (PredictionCode.WRONG_STATE, "bob", GiveKeys(request, 1, [])),
        ]
    )
    play.until(RequestState.ANSWER)
    first, second, third = play.seats()
    outside = next(name for name in FIVE if name not in (first, second, third))
    odd = [replace(good, classes=[1]), replace(good, classes=[1, 10]), replace(good, scores=[5])]
    play.refuse_all(
        [
            (PredictionCode.WRONG_ROUND, outside, replace(any_commit, round=2)),
            (PredictionCode.NOT_SEATED, outside, any_commit),
            (PredictionCode.WRONG_STATE, first, any_open),
            (Code.OK, first, play.sealed(first, good)),
            (PredictionCode.ALREADY_COMMITTED, first, any_commit),
            (Code.OK, second, play.sealed(second, odd[0])),
        ]
    )
    late = play.tx(third, play.sealed(third, good))
    assert play.block(late, step=play.read().deadline - play.clock) != [0]
    play.until(RequestState.OPEN)
    shown = play.opening(first, good, 1)
    play.refuse_all(
        [
            (PredictionCode.NO_SUCH_REQUEST, first, replace(shown, request=ZERO)),
            (PredictionCode.WRONG_ROUND, first, replace(shown, round=3)),
            (PredictionCode.WRONG_STATE, first, any_commit),
            (PredictionCode.NOT_COMMITTED, third, play.opening(third, good, 1)),
            (PredictionCode.NOT_SEATED, "j1", shown),
            (PredictionCode.ANSWER_MISMATCH, first, replace(shown, salt=ZERO)),
            (PredictionCode.ANSWER_MISMATCH, first, replace(shown, answer=odd[1])),
            (PredictionCode.BAD_ANSWER, second, play.opening(second, odd[0], 1)),
            (Code.OK, first, shown),
            (PredictionCode.ALREADY_OPENED, first, shown),
        ]
    )
    play.wait(max(100, play.read().deadline - play.clock))
    return play


def odd_answers() -> Ask:
    """Answers that no tally may count: wrong rows, wrong classes, codes that carry something."""
    play = Ask("answers that contradict the request", "LC-PRE-25")
    play.served(CLASSES, *SERVERS)
    play.ask(rows=2, answers=7, tip=1_400)
    play.until(RequestState.ANSWER)
    good = Answer(AnswerCode.OK, [1, 9], [5, 5], 10)
    odd = [
        *(replace(good, classes=[]), replace(good, classes=[1, 10]), replace(good, scores=[5]), replace(good, scores=[5, 5, 5])),
        *(replace(good, code=AnswerCode.FAULT), Answer(AnswerCode.ABSTAIN, [], [], 1), replace(good, classes=[1, 2, 3])),
    ]
    told = dict(zip(play.seats(), odd, strict=True))
    play.commits(told.__getitem__)
    play.block()
    play.refuse_all((PredictionCode.BAD_ANSWER, name, play.opening(name, answer)) for name, answer in told.items())
    play.wait(play.read().deadline - play.clock)
    return play


def odd_numbers() -> Ask:
    play = Ask("classes of a model of numbers, and rows that the request does not have", "LC-PRE-25")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3)
    play.until(RequestState.ANSWER)
    bad = AnswerCode.BAD_INPUT
    odd = dict(
        zip(play.seats(), (Answer(AnswerCode.OK, [0], [5], 5), Answer(bad, [], [], 2), Answer(bad, [], [], -1)), strict=True)
    )
    play.commits(odd.__getitem__)
    play.block()
    play.refuse_all((PredictionCode.BAD_ANSWER, name, play.opening(name, answer)) for name, answer in odd.items())
    return play


def too_late() -> Ask:
    """A block has passed the deadline, and its event waits behind another's."""
    play = Ask("commitments and keys after their deadlines", "LC-PRE-23")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3)
    play.until(RequestState.ANSWER)
    name = play.seats()[0]
    fresh = full(play)
    raw = fresh.tx(name, fresh.sealed(name, number(1)))
    assert fresh.block(raw, step=fresh.read().deadline - fresh.clock) == [PredictionCode.TOO_LATE]
    fresh.block()
    return fresh


# --- private requests -----------------------------------------------------------------------------------------------------------


def private() -> Ask:
    play = Ask("a private request: keys, answers, a substitute with its own keys", "LC-PRE-22")
    play.served(NUMBERS, *SEVEN)
    play.ask(**PRIVATE)
    play.until(RequestState.KEYS)
    boxes = [bytes(80)] * 5
    play.refuse_all(
        [
            (PredictionCode.NO_SUCH_REQUEST, "bob", GiveKeys(ZERO, 1, boxes)),
            (PredictionCode.WRONG_STATE, "s1", CommitAnswer(play.request, 1, ZERO)),
            (PredictionCode.WRONG_ROUND, "carol", GiveKeys(play.request, 2, boxes)),
            (PredictionCode.NOT_REQUESTER, "carol", GiveKeys(play.request, 1, [])),
            (PredictionCode.BAD_KEYS, "bob", GiveKeys(play.request, 1, boxes[1:])),
            (PredictionCode.BAD_KEYS, "bob", GiveKeys(play.request, 1, [*boxes, bytes(80)])),
        ]
    )
    play.keys()
    silent = play.seats()[0]
    first = play.commits(lambda name: None if name == silent else number(10**17))
    play.block(step=play.read().deadline - play.clock)
    play.until(RequestState.KEYS)
    play.keys()
    second = play.commits(lambda name: number(10**17 + 1))
    play.block()
    play.opens(first, 1)
    play.opens(second, 2)
    play.block()
    play.until(RequestState.FINAL)
    return play


def no_keys() -> Ask:
    play = Ask("a private request without keys: a share to each seat", "LC-PRE-22")
    play.served(NUMBERS, *FIVE)
    play.ask(**PRIVATE)
    play.until(RequestState.FAILED)
    return play


def no_second_keys() -> Ask:
    """Keys for the first seats alone: the substitutes go, unfined."""
    play = Ask("no keys for the substitutes", "LC-PRE-22")
    play.served(NUMBERS, *SEVEN)
    play.ask(**PRIVATE)
    play.until(RequestState.KEYS)
    play.keys()
    silent = play.seats()[0]
    first = play.commits(lambda name: None if name == silent else number(5))
    play.block(step=play.read().deadline - play.clock)
    play.until(RequestState.KEYS)
    play.until(RequestState.OPEN)
    play.opens(first, 1)
    play.block()
    return play


def bad_keys() -> Ask:
    play = Ask("a quorum says BAD_KEY", "LC-PRE-31")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3, **PRIVATE)
    play.until(RequestState.KEYS)
    play.keys()
    play.answer(lambda name: said(AnswerCode.BAD_KEY))
    return play


# --- decisions ------------------------------------------------------------------------------------------------------------------


def decided() -> Ask:
    """Accepted, declined, referred for want of support; the second request of a root is one too many."""
    play = Ask("a policy decides each row", "LC-PRE-44")
    play.served(NUMBERS, *FIVE)
    rates = [PolicyRate(LOW, 10_000), PolicyRate(100, 20_000)]
    play.do("carol", replace(POLICY, model=play.model, rates=rates, most=1))
    policy = policy_of(play)
    for _ in range(2):
        play.ask(rows=4, tip=300, policy=[policy])
        play.until(RequestState.ANSWER)
        seats = play.seats()
        play.answer(lambda name, seats=seats: number(99, 495, 511, 100 * (seats.index(name) // 2), check=7))  # type: ignore[misc]
    return play


def decided_in_private() -> Ask:
    play = Ask("a policy refers what is private", "LC-PRE-44")
    play.served(NUMBERS, *SERVERS[:3])
    play.do("carol", replace(POLICY, model=play.model, below=False))
    play.ask(answers=3, policy=[policy_of(play)], **PRIVATE)
    play.until(RequestState.KEYS)
    play.keys()
    play.answer(lambda name: number(600))
    return play


ANSWERS: tuple[Callable[[], Ask], ...] = (
    *(agreed, one_answer, classes, weak, fined, bad_input, heavy, faulty, abstained, five_ways, wrong_checks),
    *(shown_to_two, shown_to_one),
    *(substituted, without_substitutes, too_few, nobody, nobody_opens, shared, epoch, banned_seats, out, unrecorded),
    *(contradicted, back, rests),
    *(answers_refused, odd_answers, odd_numbers, too_late, private, no_keys, no_second_keys, bad_keys, decided, decided_in_private),
)
