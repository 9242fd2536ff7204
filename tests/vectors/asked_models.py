"""Plays of models: terms, prices, servers, retirement, shares, bans (LC-PRE-7 to LC-PRE-15, 43)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.governance.messages import Ban, Propose, VoteProposal
from learningchain.chain.contracts.governance.records import proposal_id
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.contracts.prediction.messages import (
    PredictionCode,
    RetireModel,
    ServeModel,
    SetPrice,
    Share,
    UnserveModel,
)
from learningchain.chain.errors import Code
from learningchain.chain.host import BANNED, K_SUPPLY, SUSPENDED, Escrow, account_key, escrow_key
from learningchain.chain.types import tx_id
from learningchain.chain.verification.standing import Strike
from tests.vectors.kit import id_of
from tests.vectors.prediction_plays import (
    BEGIN,
    CLASSES,
    NUMBERS,
    PROGRAM,
    SERVERS,
    STAKE,
    VALIDATORS,
    Ask,
    number,
    verifier,
)

HOUR = 3_600_000
ZERO = bytes(32)
BARRED = [Strike(id_of(f"j{n}"), BEGIN + 10**9) for n in range(1, 4)]
"""Strikes of three roots."""


def account_of(play_or_none: Ask | None, name: str, **changed: Any) -> dict[bytes, Any]:
    state = Ask("", "").state if play_or_none is None else play_or_none.state
    known: Any = state.get(account_key(id_of(name)))
    return {account_key(id_of(name)): replace(known, **changed)}


def terms() -> Ask:
    """Every bound of a model's terms."""
    records = {member_key(id_of("carol")): Member(id_of("carol"), False, 0, 0, [], 0, BARRED, [])}
    play = Ask("models that are refused", "LC-PRE-49", records | account_of(None, "dave", status=SUSPENDED))
    play.register(NUMBERS, "frank")
    theirs = play.model
    good, image = NUMBERS, PROGRAM.image
    odd: list[dict[str, Any]] = [
        *({"kind": 0}, {"kind": 3}, {"kind": 1}, {"kind": 1, "classes": 1}, {"kind": 1, "classes": 65_537}, {"classes": 2}),
        *({"tol": 0}, {"tol": 10**15 + 1}, {"royalty": 10**12 + 1}, {"floor": 0}, {"floor": 10**12 + 1}),
        *({"slots": 0}, {"slots": 65}, {"max_rows": 0}, {"max_rows": 257}, {"input_cap": 0}, {"input_cap": 2**23 + 1}),
        *({"row_ms": 0}, {"row_ms": 60_001}, {"start_s": 0}, {"start_s": 601}),
        *({"source": [ZERO]}, {"program": []}, {"schema": b"\x01" * 36}, {"sample": b"\x01" * 36}),
        *({"sample": PROGRAM.model}, {"sample_answers": PROGRAM.model}),
        *({"shares": [Share(id_of("bob"), 0)]}, {"shares": [Share(id_of("bob"), 2**32)]}),
    ]
    programs = [
        *(replace(PROGRAM, arch=0), replace(PROGRAM, arch=3), replace(PROGRAM, model=b""), replace(PROGRAM, params="ö" * 4_097)),
        *(replace(PROGRAM, image=replace(image, size=0)), replace(PROGRAM, image=replace(image, kind=3))),
        *(replace(PROGRAM, image=replace(image, reference="plays/digits:1")), replace(PROGRAM, size=0)),
        *(replace(PROGRAM, size=2**34 + 1), replace(PROGRAM, cpus_milli=9), replace(PROGRAM, cpus_milli=1_024_001)),
        *(replace(PROGRAM, mem_mb=5), replace(PROGRAM, mem_mb=4_194_305), replace(PROGRAM, tmp_mb=4_194_305)),
        *(replace(PROGRAM, threads=0), replace(PROGRAM, threads=4_097)),
    ]
    odd += [{"program": [one]} for one in programs]
    rows: list[tuple[int, str, Any]] = [(PredictionCode.BAD_MODEL_TERMS, "alice", replace(good, **one)) for one in odd]
    rows += [(PredictionCode.BAD_NAME, "alice", replace(good, name=name)) for name in ("", "a" * 65, "A", "a b", "ä", "a\n")]
    rows += [
        (PredictionCode.NOT_ACTIVE, "dave", replace(good, tol=0)),
        (PredictionCode.TOO_MANY_STRIKES, "carol", replace(good, tol=0)),
        (PredictionCode.BAD_MODEL_TERMS, "alice", replace(good, tol=0, name="")),
        (PredictionCode.BAD_NAME, "alice", replace(good, name="", previous=[ZERO])),
        (PredictionCode.NO_SUCH_MODEL, "alice", replace(good, previous=[ZERO])),
        (PredictionCode.NOT_OWNER, "alice", replace(good, previous=[theirs])),
        (PredictionCode.BAD_SOURCE, "alice", replace(good, source=[ZERO], program=[])),
        (Code.UNKNOWN_ACCOUNT, "alice", replace(good, shares=[Share(id_of("nobody"), 1)])),
        (Code.INSUFFICIENT_CREDITS, "erin", good),
    ]
    for first in range(0, len(rows), 40):
        play.refuse_all(rows[first : first + 40])
    for n in range(3):
        play.do("alice", replace(good, name=f"a{n}", previous=[]))
    play.refuse(PredictionCode.TOO_MANY_MODELS, "alice", replace(good, name="a3"))
    wide = replace(CLASSES, name="a" * 64, tol=10**15, royalty=10**12, floor=10**12, slots=64, max_rows=256, input_cap=2**23)
    wide = replace(wide, row_ms=60_000, start_s=600, classes=65_536, shares=[Share(id_of("bob"), 2**32 - 1)])
    play.do("bob", wide)
    return play


def newer() -> Ask:
    """The name is that of the newest one."""
    play = Ask("a newer model of the same name, and both leave", "LC-PRE-15")
    play.register()
    first = play.model
    play.register(replace(NUMBERS, previous=[first]))
    play.do("alice", RetireModel(first))
    play.block()
    play.do("alice", RetireModel(play.model))
    play.block()
    return play


def prices() -> Ask:
    play = Ask("prices: lower at once, a higher floor an hour later", "LC-PRE-8")
    play.register()
    model = play.model
    raised = SetPrice(model, 30, 10, 31, 11)
    play.refuse_all(
        [
            (PredictionCode.NO_SUCH_MODEL, "alice", replace(raised, model=ZERO)),
            (PredictionCode.NOT_OWNER, "bob", replace(raised, expected_floor=9)),
            (PredictionCode.PRICE_CHANGED, "alice", replace(raised, expected_floor=9, floor=0)),
            (PredictionCode.PRICE_CHANGED, "alice", replace(raised, expected_royalty=29)),
            (PredictionCode.BAD_MODEL_TERMS, "alice", replace(raised, floor=0)),
            (PredictionCode.BAD_MODEL_TERMS, "alice", replace(raised, floor=10**12 + 1)),
            (PredictionCode.BAD_MODEL_TERMS, "alice", replace(raised, royalty=10**12 + 1)),
        ]
    )
    play.do("alice", raised)
    play.refuse(PredictionCode.PRICE_CHANGED, "alice", raised)
    play.refuse(PredictionCode.STAKE_TOO_SMALL, "s1", ServeModel(model, STAKE + 1_099))
    play.do("s1", ServeModel(model, STAKE + 1_100))
    play.do("alice", SetPrice(model, 31, 11, 32, 12))
    play.wait(HOUR - 100)
    play.do("alice", SetPrice(model, 32, 12, 33, 13), step=100)
    play.wait(HOUR)
    play.do("alice", SetPrice(model, 33, 13, 5, 13))
    play.do("alice", SetPrice(model, 5, 13, 6, 2))
    last = [(Code.OK, "alice", RetireModel(model)), (PredictionCode.NOT_LIVE, "alice", SetPrice(model, 1, 1, 0, 1))]
    play.refuse_all(last)
    return play


def serving() -> Ask:
    """Who may serve, and what it locks."""
    records: dict[bytes, Any] = {
        member_key(id_of("s2")): verifier("s2", strikes=BARRED),
        member_key(id_of("s3")): verifier("s3", box_key=b""),
        member_key(id_of("s5")): verifier("s5", rests_until=BEGIN + 10**9),
    }
    records |= account_of(None, "s4", status=SUSPENDED) | account_of(None, "s6", balance=STAKE + 999)
    play = Ask("who serves, and who may not", "LC-PRE-9", records)
    play.register()
    model, enough = play.model, STAKE + 1_000
    least = ServeModel(model, enough)
    play.refuse_all(
        [
            (PredictionCode.NO_SUCH_MODEL, "s1", replace(least, model=ZERO)),
            (PredictionCode.NOT_ACTIVE, "s4", least),
            (PredictionCode.NOT_A_VERIFIER, "bob", least),
            (PredictionCode.TOO_MANY_STRIKES, "s2", least),
            (PredictionCode.NO_BOX_KEY, "s3", replace(least, amount=0)),
            (PredictionCode.STAKE_TOO_SMALL, "s1", replace(least, amount=enough - 1)),
            (PredictionCode.STAKE_TOO_SMALL, "s1", replace(least, amount=10**15 + 1)),
            (Code.INSUFFICIENT_CREDITS, "s6", least),
            (PredictionCode.NOT_SERVING, "s1", UnserveModel(model)),
            (PredictionCode.NO_SUCH_MODEL, "s1", UnserveModel(ZERO)),
        ]
    )
    play.do("s1", least)
    play.do("s1", ServeModel(model, 0))
    play.do("s1", ServeModel(model, 7))
    play.do("s5", least)
    play.serve("s7", *(f"j{n}" for n in range(1, 6)))
    play.refuse(PredictionCode.SERVERS_FULL, "j6", least)
    play.do("s1", ServeModel(model, 1))
    play.do("s7", UnserveModel(model))
    play.refuse(PredictionCode.NOT_SERVING, "s7", UnserveModel(model))
    play.do("j6", least)
    play.refuse_all(
        [
            (Code.OK, "alice", RetireModel(model)),
            (PredictionCode.NOT_LIVE, "s7", least),
            (PredictionCode.NOT_SERVING, "s1", UnserveModel(model)),
            (PredictionCode.NOT_LIVE, "alice", RetireModel(model)),
            (PredictionCode.NOT_OWNER, "bob", RetireModel(model)),
            (PredictionCode.NO_SUCH_MODEL, "bob", RetireModel(ZERO)),
        ]
    )
    play.block()
    play.refuse(PredictionCode.NO_SUCH_MODEL, "alice", RetireModel(model))
    return play


def _with_royalty(name: str, amount: int) -> Ask:
    parts = [Share(id_of("bob"), 3), Share(id_of("carol"), 2), Share(id_of("dave"), 2)]
    play = Ask(name, "LC-PRE-14")
    play.register(replace(NUMBERS, shares=parts))
    return Ask(play.name, play.rule, _royalty(play, amount) | account_of(play, "dave", status=BANNED), play)


def shares() -> Ask:
    """What came for those who share a model goes to them with the next pump; what a rounding leaves waits for the next royalty, or
    for the model's end. Of a banned one it burns."""
    play = Ask("royalties that are shared as they come", "LC-PRE-14")
    weights = (("bob", 3), ("carol", 2), ("dave", 2))
    play.served(replace(NUMBERS, royalty=1, shares=[Share(id_of(who), weight) for who, weight in weights]), *SERVERS[:3])
    play = Ask(play.name, play.rule, account_of(play, "dave", status=BANNED), play)
    for asker in ("bob", "carol", "frank"):
        play.ask(asker, answers=3)
        play.answer(lambda who: number(1))
        play.block()
    play.do("alice", RetireModel(play.model))
    play.block()
    return play


def shared_at_the_end() -> Ask:
    play = _with_royalty("a royalty that is shared when the model retires", 1)
    play.do("alice", RetireModel(play.model))
    play.block()
    return play


def bans() -> Ask:
    """Who is banned owns and serves nothing any more: its models retire without their deposits, its stakes burn."""
    play = Ask("a ban retires models, and burns deposit and stakes", "LC-PRE-13")
    play.register(NUMBERS, "s1")
    play.serve("s1", "s2")
    play.register(replace(NUMBERS, name="hers"))
    play.serve("s1", "s2")
    play.do("v1", Propose(Ban(id_of("s1")), play.clock + 50_000))
    proposal = proposal_id(tx_id(play.last), 0)
    play.block(*(play.tx(name, VoteProposal(proposal, True)) for name in VALIDATORS[1:6]))
    play.block()
    play.block()
    return play


def _royalty(play: Ask, amount: int) -> dict[bytes, Any]:
    supply: Any = play.state.get(K_SUPPLY)
    return {escrow_key(play.model + b"pR"): Escrow(amount), K_SUPPLY: replace(supply, minted=supply.minted + amount)}


MODELS: tuple[Callable[[], Ask], ...] = (terms, newer, prices, serving, shares, shared_at_the_end, bans)
