"""Plays of requests that wait: refusals, tips, the queue, eviction, the pump, policies (LC-PRE-16 to LC-PRE-21, 43, 46)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.contracts.prediction.messages import (
    AddTip,
    CancelRequest,
    CommitAnswer,
    PolicyRate,
    PredictionCode,
    RegisterPolicy,
    RetireModel,
    ServeModel,
    SetPrice,
    UnserveModel,
    inline_cid,
    policy_id_of,
    request_id_of,
)
from learningchain.chain.contracts.prediction.records import RequestState, request_key
from learningchain.chain.errors import Code
from learningchain.chain.host import BANNED, K_SUPPLY, SUSPENDED, Due, Escrow, due_key, escrow_key
from learningchain.chain.host.records import params_key
from learningchain.chain.types import tx_id
from tests.vectors.asked_models import BARRED, HOUR, ZERO, account_of
from tests.vectors.kit import id_of
from tests.vectors.prediction_plays import (
    CID,
    CLASSES,
    KEEP,
    NUMBERS,
    SERVERS,
    Ask,
    asking,
    full,
    number,
)

LOW, HIGH = -(10**18), 10**18
POLICY = RegisterPolicy(ZERO, True, 500, [PolicyRate(LOW, 50_000), PolicyRate(100, 70_000)], 3, 0)


def refused() -> Ask:
    """Every bound of a request."""
    records = {member_key(id_of("carol")): Member(id_of("carol"), False, 0, 0, [], 0, BARRED, [])}
    play = Ask("requests that are refused", "LC-PRE-17", records | account_of(None, "dave", status=SUSPENDED))
    play.register(replace(NUMBERS, name="other"), "frank")
    other = play.model
    play.do("frank", replace(POLICY, model=other))
    theirs = policy_of(play)
    play.served()
    good = asking(play.model)
    bad, point = PredictionCode.BAD_REQUEST, PredictionCode.BAD_DATA_POINT
    odd: list[tuple[int, dict[str, Any]]] = [
        *((bad, {"answers": n, "agree": 1, "tip": 10**9}) for n in (0, 2, 4, 16, 17)),
        *((bad, one) for one in ({"agree": 0}, {"agree": 6}, {"rows": 0}, {"rows": 33}, {"tip": 10**15 + 1})),
        *((bad, one) for one in ({"wait": 999}, {"wait": HOUR + 1}, {"wait": 0, "size": 0})),
        *(
            (point, one)
            for one in ({"size": 0, "inline": b""}, {"size": 4_097, "inline": b""}, {"cid": b"\x01" * 36, "inline": b""})
        ),
        *(
            (point, one)
            for one in (
                {"size": 8},
                {"cid": CID + bytes(32)},
                {"inline": b"another"},
                _inline(2_049),
            )
        ),
        (PredictionCode.NO_SUCH_POLICY, {"policy": [ZERO]}),
        (PredictionCode.NO_SUCH_POLICY, {"policy": [theirs], "tip": 49}),
        (PredictionCode.TIP_TOO_SMALL, {"tip": 49, "max_charge": 0}),
        (PredictionCode.CHARGE_TOO_HIGH, {"max_charge": 5_281}),
        (PredictionCode.CHARGE_TOO_HIGH, {"max_charge": 5_281, "answers": 7}),
        (PredictionCode.NO_SERVERS, {"answers": 7, "agree": 7}),
        (Code.INSUFFICIENT_CREDITS, {"tip": 9_600_000}),
    ]
    rows: list[tuple[int, str, Any]] = [(code, "bob", replace(good, **one)) for code, one in odd]
    rows += [
        (PredictionCode.NO_SUCH_MODEL, "bob", replace(good, model=ZERO, answers=0)),
        (PredictionCode.NOT_ACTIVE, "dave", replace(good, answers=0)),
        (PredictionCode.TOO_MANY_STRIKES, "carol", replace(good, answers=0)),
        (PredictionCode.NO_SERVERS, "bob", replace(good, model=other, tip=50)),
    ]
    play.refuse_all(rows)
    play.refuse_all(
        [
            (Code.OK, "bob", replace(good, max_charge=5_282)),
            (Code.OK, "bob", replace(good, rows=32, tip=10_000, wait=1_000, answers=1, agree=1)),
            (PredictionCode.TOO_MANY_WAITING, "bob", good),
        ]
    )
    play.wait(1_000)
    play.do("alice", RetireModel(play.model))
    play.refuse(PredictionCode.NOT_LIVE, "bob", replace(good, answers=0))
    return play


def carried() -> Ask:
    """LC-PRE-1: 2,041 bytes are paid as 256 rows, also where the tip grows beyond that, and where nobody answers."""
    play = Ask("bytes that a request carries are paid as rows", "LC-PRE-1")
    play.served(NUMBERS, *SERVERS[:3])
    good = replace(asking(play.model, answers=3, agree=2, tip=30), **_inline(2_041))
    play.refuse(PredictionCode.CHARGE_TOO_HIGH, "bob", replace(good, max_charge=30 + 30 + 272))
    play.ask(answers=3, tip=30, max_charge=30 + 30 + 273, **_inline(2_041))
    for more in (5_400, 1):  # a twentieth is 273, and one more
        play.do("bob", AddTip(play.request, more))
    play.answer(lambda name: None)
    assert play.read().state == RequestState.FAILED
    return play


def _inline(size: int) -> dict[str, Any]:
    """An input of so many bytes."""
    content = b"{" * size
    return {"inline": content, "size": size, "cid": inline_cid(content)}


def policy_of(play: Ask) -> bytes:
    """Of the message that was the last block's only one."""
    return policy_id_of(tx_id(play.last), 0)


def owner_suspended() -> Ask:
    play = Ask("a model whose owner is suspended takes no request", "LC-PRE-17")
    play.served()
    play = Ask(play.name, play.rule, account_of(play, "alice", status=SUSPENDED), play)
    play.refuse(PredictionCode.NOT_LIVE, "bob", asking(play.model))
    return play


def policies() -> Ask:
    play = Ask("policies that are refused, dropped, and named", "LC-PRE-43", account_of(None, "dave", status=SUSPENDED))
    play.register(CLASSES, "frank")
    classes = play.model
    play.served()
    good, bad = replace(POLICY, model=play.model), PredictionCode.BAD_POLICY
    ascending = [PolicyRate(LOW + n, n) for n in range(33)]
    odd: list[dict[str, Any]] = [
        *({"threshold": HIGH + 1}, {"threshold": LOW - 1}, {"rates": []}, {"rates": [PolicyRate(LOW + 1, 0)]}),
        *({"rates": [PolicyRate(LOW, 1_000_001)]}, {"rates": [PolicyRate(LOW, 1)] * 2}, {"rates": ascending}),
        *({"rates": [PolicyRate(LOW, 1), PolicyRate(HIGH + 1, 1)]}, {"least": 0}, {"least": 16}, {"model": classes}),
    ]
    rows: list[tuple[int, str, Any]] = [(bad, "bob", replace(good, **one)) for one in odd]
    rows += [
        (PredictionCode.NO_SUCH_MODEL, "bob", replace(good, model=ZERO, least=0)),
        (PredictionCode.NOT_ACTIVE, "dave", replace(good, least=0)),
        (Code.INSUFFICIENT_CREDITS, "erin", good),
    ]
    play.refuse_all(rows)
    play.do("bob", replace(good, rates=ascending[:32], least=15, threshold=HIGH))
    play.do("carol", good)
    policy = policy_of(play)
    play.wait(KEEP - 500)
    play.ask(policy=[policy], wait=60_000)
    play.answer(lambda name: number(500))
    play.until(RequestState.FINAL)
    play.wait(KEEP + 200)
    return play


def tips() -> Ask:
    """A tip moves a request forward, and its blocks begin again."""
    play = Ask("tips, a cancelled request, and what comes too late", "LC-PRE-19")
    play.served(NUMBERS, *SERVERS[:5])
    play.ask(tip=50, wait=5_000)
    first = play.request
    play.refuse_all(
        [
            (PredictionCode.NO_SUCH_REQUEST, "bob", AddTip(ZERO, 1)),
            (PredictionCode.NOT_REQUESTER, "carol", AddTip(first, 1)),
            (PredictionCode.BAD_REQUEST, "bob", AddTip(first, 0)),
            (PredictionCode.BAD_REQUEST, "bob", AddTip(first, 10**15 - 49)),
            (Code.INSUFFICIENT_CREDITS, "bob", AddTip(first, 9_999_000)),
            (PredictionCode.NO_SUCH_REQUEST, "bob", CancelRequest(ZERO)),
            (PredictionCode.NOT_REQUESTER, "carol", CancelRequest(first)),
            (Code.OK, "bob", AddTip(first, 25)),
        ]
    )
    play.do("bob", AddTip(first, 1))
    play.do("bob", AddTip(first, 10**6))
    play.do("bob", CancelRequest(first))
    play.refuse_all(
        [(PredictionCode.WRONG_STATE, "bob", AddTip(first, 1)), (PredictionCode.WRONG_STATE, "bob", CancelRequest(first))]
    )
    return play


def too_late() -> Ask:
    """The wait is over, and its deadline waits behind another one."""
    play = Ask("a tip and a cancellation after the wait", "LC-PRE-19")
    play.served(NUMBERS, *SERVERS[:5])
    play.ask(wait=1_000)
    play = full(play)
    late = [play.tx("bob", AddTip(play.request, 1)), play.tx("bob", CancelRequest(play.request))]
    assert play.block(*late, step=1_000) == [PredictionCode.TOO_LATE] * 2
    play.block()
    return play


def leaving() -> Ask:
    """Who leaves answers what it was drawn for; until then it does not come back."""
    play = Ask("a server leaves while it has a seat", "LC-PRE-10")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3)
    play.until(RequestState.ANSWER)
    rows = [
        (Code.OK, "s1", UnserveModel(play.model)),
        (PredictionCode.NOT_SERVING, "s1", ServeModel(play.model, 1)),
        (PredictionCode.NOT_SERVING, "s1", UnserveModel(play.model)),
    ]
    play.refuse_all(rows)
    play.answer(lambda name: number(7))
    play.until(RequestState.FINAL)
    play.serve("s1")
    return play


def expired() -> Ask:
    """Nobody is drawn for what waits too short."""
    play = Ask("a wait that is over before the draw: all goes back", "LC-PRE-32")
    play.served()
    play.ask(wait=1_000)
    play.block(step=2_000)
    play.block()
    assert play.read().state == RequestState.FAILED
    return play


def evicted() -> Ask:
    """The queue is full: the last one gives way to a higher tip that waits long enough."""
    play = Ask("a full queue: who gives way, who is refused, and what an evictor burns", "LC-PRE-18")
    play.served(NUMBERS, *SERVERS[:3])
    model = play.model
    slow = {"answers": 3, "wait": 100_000}
    raw = [play.tx(name, asking(model, **slow, tip=tip)) for name, tip in (("bob", 60), ("carol", 40), ("dave", 50))]
    assert play.block(*raw) == [0, 0, 0]
    low = asking(model, **slow, tip=30)
    rows = [
        (PredictionCode.QUEUE_FULL, "frank", low),
        (PredictionCode.QUEUE_FULL, "frank", asking(model, answers=3, tip=60, wait=59_999)),
        (Code.OK, "frank", asking(model, answers=3, tip=45, wait=60_000)),
    ]
    play.refuse_all(rows)
    play.request = request_id_of(tx_id(play.last), 0)
    assert play.read().evictor
    play.do("frank", CancelRequest(play.request))
    return play


def evictor_expires() -> Ask:
    """Who evicted another burns its fee even where everything else goes back."""
    play = Ask("an evictor whose servers leave burns its fee", "LC-PRE-18")
    play.served(NUMBERS, *SERVERS[:3])
    raw = [play.tx(name, asking(play.model, answers=3, tip=tip)) for name, tip in (("bob", 60), ("carol", 40), ("dave", 50))]
    assert play.block(*raw) == [0, 0, 0]
    play.ask("frank", answers=3, tip=2_000, wait=60_000)
    assert play.read().evictor
    play.block(*(play.tx(name, UnserveModel(play.model)) for name in SERVERS[:3]))
    for _ in range(3):
        play.block()
    assert play.read().state == RequestState.FAILED
    return play


def pumped() -> Ask:
    """A model of one slot draws few at once; a higher tip goes first; what cannot be drawn yet waits."""
    play = Ask("the pump: the order of the queue, and seats that stop it", "LC-PRE-20")
    play.served(replace(NUMBERS, slots=1), *SERVERS[:5])
    raw = [play.tx(name, asking(play.model, answers=3, tip=tip)) for name, tip in (("bob", 30), ("carol", 45), ("dave", 30))]
    assert play.block(*raw) == [0, 0, 0]
    for _ in range(4):
        play.block()
    for _ in range(3):
        play.block(step=3_200)
    play.wait(12_000)
    return play


def _roomy() -> dict[bytes, Any]:
    """Many may wait, and many be owned."""
    known: Any = Ask("", "").state.get(params_key(4))
    return {params_key(4): replace(known, pred_waiting=128, pred_waiting_own=128, pred_models=128)}


def _asked_at_once(play: Ask, count: int) -> list[bytes]:
    raws = [play.tx(("bob", "carol", "dave", "frank")[place % 4], asking(play.model, answers=1, agree=1)) for place in range(count)]
    assert not any(play.block(*raws))
    return [request_id_of(tx_id(raw), 0) for raw in raws]


def _states(play: Ask, requests: list[bytes]) -> Counter[int]:
    found: list[Any] = [play.state.get(request_key(one)) for one in requests]
    return Counter(one.state for one in found)


def sixteen() -> Ask:
    """Seats are free for all of them: sixteen are drawn in a block, the others in the next one."""
    play = Ask("the pump stops after sixteen, and goes on a block later", "LC-PRE-20", _roomy())
    play.served(replace(NUMBERS, slots=64), *SERVERS[:5])
    requests = _asked_at_once(play, 20)
    for _ in range(10):
        if RequestState.ANSWER in _states(play, requests):
            break
        play.block()
    assert _states(play, requests) == {RequestState.ANSWER: 16, RequestState.WAITING: 4}
    play.block()
    assert _states(play, requests) == {RequestState.ANSWER: 20}
    return play


def retired_in_pages() -> Ask:
    """Of a retired model 64 requests fail in a block, the others in the next one."""
    play = Ask("requests that wait for a retired model fail in pages", "LC-PRE-11", _roomy())
    play.served(NUMBERS, *SERVERS[:5])
    requests = _asked_at_once(play, 66)
    play.do("alice", RetireModel(play.model))
    play.block()
    assert _states(play, requests) == {RequestState.FAILED: 64, RequestState.WAITING: 2}
    play.block()
    assert _states(play, requests) == {RequestState.FAILED: 66}
    return play


def banned_in_pages() -> Ask:
    """Of a banned owner 64 models retire in a block, the others in the next one."""
    play = Ask("models of a banned owner retire in pages", "LC-PRE-13", _roomy())
    for first in (0, 22, 44):
        raws = [play.tx("frank", replace(NUMBERS, name=f"m{first + place}")) for place in range(22)]
        assert not any(play.block(*raws))
    frank = id_of("frank")
    banned = account_of(play, "frank", status=BANNED) | {due_key(frank, play.clock, 4, frank): Due(4, frank)}
    play = Ask(play.name, play.rule, banned, play)
    play.block()
    assert sum(key.startswith(b"po/" + frank) for key in play.state.keys(b"po/")) == 2
    play.block()
    assert not any(key.startswith(b"po/" + frank) for key in play.state.keys(b"po/"))
    return play


def unfinal() -> Ask:
    """Stakes answer for seats that are not final: with half of the least stake each for five."""
    play = Ask("stakes bound the seats that are not final", "LC-PRE-20")
    play.register(replace(NUMBERS, floor=1_000, slots=64))
    play.serve(*SERVERS[:3], amount=110_000)
    held: dict[bytes, Any] = {escrow_key(play.model + id_of(name) + b"pV"): Escrow(55_000) for name in SERVERS[:3]}
    supply: Any = play.state.get(K_SUPPLY)
    play = Ask(play.name, play.rule, held | {K_SUPPLY: replace(supply, burned=supply.burned + 165_000)}, play)
    for name in ("bob", "carol", "dave", "frank", "j1"):
        play.ask(name, answers=3, tip=3_000)
        play.answer(lambda name: number(7))
    play.ask("j2", answers=3, tip=3_000)
    for _ in range(3):
        play.block()
    assert play.read().state == RequestState.WAITING
    play.wait(8_000)
    for _ in range(3):
        play.block()
    assert play.read().state == RequestState.ANSWER
    return play


def price_kept() -> Ask:
    """A request keeps the price of its posting; servers with too little for the new one stay in its pool."""
    play = Ask("a price that rises while a request waits", "LC-PRE-8")
    play.served()
    play.do("alice", SetPrice(play.model, 30, 10, 40, 500))
    play.ask(tip=50)
    play.answer(lambda name: number(1))
    play.wait(HOUR)
    play.refuse(PredictionCode.TIP_TOO_SMALL, "bob", asking(play.model, tip=50))
    play.refuse(PredictionCode.NO_SERVERS, "bob", asking(play.model, tip=2_500))
    return play


def pool() -> Ask:
    """Who is drawn: the owner only where others are few, never the requester, nobody that came with the posting."""
    play = Ask("the owner sits where others are few, the requester never", "LC-PRE-16")
    play.register(NUMBERS, "s1")
    play.serve("s1", "s2", "s3")
    play.refuse(PredictionCode.NO_SERVERS, "s2", asking(play.model))
    play.ask("bob")
    play.answer(lambda name: number(1))
    play.serve("s4", "s5")
    play.ask("bob")
    play.answer(lambda name: number(1))
    play.ask("s2")
    play.answer(lambda name: number(1))
    return play


def retired() -> Ask:
    """Requests that wait fail, those that were drawn go on; servers leave with their last seat."""
    play = Ask("a model retires: one request goes on, another fails, and its last result leaves", "LC-PRE-11")
    play.served(replace(NUMBERS, slots=1), *SERVERS[:3])
    play.ask("bob", answers=3)
    drawn = play.request
    play.until(RequestState.ANSWER)
    play.ask("carol", answers=3)
    play.do("alice", RetireModel(play.model))
    play.block()
    play.refuse(PredictionCode.WRONG_STATE, "carol", CancelRequest(play.request))
    play.request = drawn
    play.answer(lambda name: number(7))
    play.until(RequestState.FINAL)
    play.register(NUMBERS)
    play.serve(*SERVERS[:3])
    play.wait(KEEP)
    play.ask("bob", answers=3)
    play.refuse(PredictionCode.NO_SUCH_REQUEST, "s1", CommitAnswer(drawn, 1, ZERO))
    return play


def kept() -> Ask:
    """Each request drops two results that are older; how often an input was asked is counted among those that are kept."""
    play = Ask("results leave two at a time", "LC-PRE-46")
    play.served(NUMBERS, *SERVERS[:3])
    for name in ("bob", "carol", "dave"):
        play.ask(name, answers=3, wait=1_000)
        play.block(step=1_000)
        play.block()
    play.ask("bob", answers=3)
    play.wait(KEEP - 3_000)
    play.ask("carol", answers=3)
    play.wait(3_000)
    for _ in range(3):
        play.ask("dave", answers=3, wait=1_000)
        play.block(step=1_000)
    return play


def stale() -> Ask:
    """A deadline that is not the present one of its request."""
    play = Ask("a deadline of a request that means nothing any more", "LC-PRE-45")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3)
    old = due_key(id_of("bob"), play.clock + 150, 4, play.request)
    play = Ask(play.name, play.rule, {old: Due(4, play.request)}, play)
    play.answer(lambda name: number(7))
    return play


REQUESTS: tuple[Callable[[], Ask], ...] = (
    *(
        refused,
        owner_suspended,
        carried,
        policies,
        tips,
        too_late,
        leaving,
        expired,
        evicted,
        evictor_expires,
        pumped,
        sixteen,
        retired_in_pages,
        banned_in_pages,
        unfinal,
        price_kept,
        pool,
        retired,
        kept,
        stale,
    ),
)
