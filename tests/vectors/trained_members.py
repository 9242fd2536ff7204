"""Plays of opening, joining, leaving, starting and ending (LC-FED-7 to LC-FED-18, 45 to 50)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import (
    AdmitMember,
    CloseFederation,
    CommitMeasure,
    CommitUpdate,
    FederationCode,
    JoinFederation,
    LeaveFederation,
    NewData,
    OpenFederation,
    ReadyKey,
    RemoveMember,
    SealKey,
    ServeFederation,
    StartRound,
    VaultModel,
)
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.contracts.membership import Release, member_key
from learningchain.chain.errors import Code
from learningchain.chain.host import Account, Parked, account_key, parked_key
from learningchain.chain.host.terms import Image, Limits
from learningchain.chain.verification.standing import Strike
from tests.vectors.federation_plays import (
    BEGIN,
    CID,
    HELPERS,
    HIDDEN,
    KEEP,
    OWNERS,
    PENDING,
    TERMS,
    VALIDATORS,
    Train,
    changed,
    cid,
    digest,
    flagged_alone,
    full,
    training,
    verifier,
)
from tests.vectors.kit import id_of, key_of

C = FederationCode
NONE = bytes(32)
OPEN: dict[str, Any] = {"secrecy": 2, "min_sum": 1}
LIMITS = TERMS.limits
FAR = BEGIN + 180 * 86_400_000

BAD_TERMS: tuple[dict[str, Any], ...] = (
    *({"bounty": 0}, {"bounty": 10**15 + 1}, {"fee": 0}, {"fee": 10**9 + 1}, {"rounds": 0}, {"rounds": 1_001}),
    *({"float_kind": 0}, {"float_kind": 3}, {"tol": 10**18 + 1}, {"round_ms": 9_999}, {"round_ms": 180 * 86_400_000 + 1}),
    *({"pace_ms": 999}, {"pace_ms": 180 * 86_400_000 + 1}, {"ends": BEGIN + 900}, {"ends": FAR + 1_000_000}),
    *({"min_members": 1, "min_sum": 1}, {"max_members": 2}, {"max_members": 129, "fee": 1_000}, {"min_sum": 1}, {"min_sum": 4}),
    *({"min_sum": 0, "secrecy": 2}, {"secrecy": 0}, {"secrecy": 3}, {"rule": 0}, {"rule": 3}, {"rule": 4}),
    *({"rule": 5, **OPEN}, {"dims": 1_023, "size": 4_292}, {"split": 0}, {"split": 4}, {"split": 3}),
    *({"clip": 9}, {"clip": 2**50 + 1}, {"patience": 0}, {"patience": 6}, {"dp_milli": 8_001}, {"dp_milli": 1, **OPEN}),
    *({"dp_milli": 1, "split": 3, "reference": True}, {"limits": Limits(9, 512, 60, 1, 1_000_000, 16, 1)}),
    *({"limits": Limits(1_000, 512, 60, 0, 1_000_000, 16, 1)}, {"limits": Limits(1_000, 512, 60, 1, 2**34 + 1, 16, 1)}),
    *({"image": replace(TERMS.image, size=0)}, {"image": Image(1, "no digest", b"", b"", 5)}, {"image": Image(3, "", b"", b"", 5)}),
    *({"arch": 3}, {"params": "x" * 8_193}, {"schema": b"no"}, {"hidden": [replace(HIDDEN, size=0)]}),
    {"hidden": [replace(HIDDEN, cid=b"x")]},
)
BAD_MODELS: tuple[dict[str, Any], ...] = (
    *({"dims": 0, "size": 20, **OPEN}, {"size": 4_104}, {"size": 4_096 + 262_153}, {"model": CID}),
    {"dims": 2**28 + 1, "size": 4 * 2**28 + 13, "fee": 10**8},
)


def terms() -> Train:
    play = Train("terms that are refused", "LC-FED-7").serving(*HELPERS[:3])
    for at in range(0, len(BAD_TERMS), 8):
        play.refuse_all([(C.BAD_TERMS, "alice", OpenFederation(replace(TERMS, **bad))) for bad in BAD_TERMS[at : at + 8]])
    play.refuse_all([(C.BAD_MODEL, "alice", OpenFederation(replace(TERMS, **bad))) for bad in BAD_MODELS])
    play.refuse_all([(C.BAD_TARGET, "alice", OpenFederation(replace(TERMS, target=far))) for far in (10**18, -(10**18))])
    play.refuse(C.FEW_VERIFIERS, "alice", OpenFederation(TERMS))
    play.serving(HELPERS[3])
    big = replace(TERMS, limits=Limits(1_000, 513, 60, 1, 1_000_000, 16, 1))
    play.refuse(C.FEW_VERIFIERS, "alice", OpenFederation(big))
    play.refuse(Code.INSUFFICIENT_CREDITS, "erin", OpenFederation(TERMS))
    play.refuse(Code.INSUFFICIENT_CREDITS, "alice", OpenFederation(replace(TERMS, bounty=10**9 - 4_509)))
    return play


def edges() -> Train:
    play = Train("terms at their edges are taken, two of a root at a time", "LC-FED-9").serving(*HELPERS)
    play.opens(rule=4, dims=1, size=13, min_members=2, **OPEN)
    play.opens(max_members=128, fee=47, clip=2**50, patience=5, dp_milli=8_000, params="é" * 4_096, schema=cid("schema"))
    play.refuse(C.TOO_MANY_FEDERATIONS, "alice", OpenFederation(TERMS))
    play.opens("bob", split=3, reference=True, rule=2, float_kind=2, hidden=[HIDDEN], size=4_096 + 262_152, fee=100)
    return play


def standing() -> Train:
    strikes = [Strike(id_of(one), BEGIN + 10**7) for one in ("o5", "o6", "o7")]
    struck = replace(verifier("carol"), verifier=False, strikes=strikes, box_key=b"")
    suspended = Account(key_of("bob").public, 1, 10**9, 0, [0, 0, 0, 0], 0)
    changed = {member_key(id_of("carol")): struck, account_key(id_of("bob")): suspended}
    play = Train("who is suspended or does not stand opens nothing, joins nothing, serves nothing", "LC-FED-9", changed)
    play.refuse_all([(C.NOT_ACTIVE, "bob", OpenFederation(TERMS)), (C.NO_STANDING, "carol", OpenFederation(TERMS))])
    play.serving(*HELPERS).opens()
    play.refuse_all(
        [
            (C.NOT_ACTIVE, "bob", JoinFederation(play.federation, NONE, 0)),
            (C.NOT_ACTIVE, "bob", ServeFederation(True)),
            (C.BAD_BOXES, "carol", ServeFederation(True)),
        ]
    )
    play.do("bob", ServeFederation(False))
    return play


def unknown() -> Train:
    play = Train("messages about a federation that is not there, or has ended", "LC-FED-9")
    ops = (
        *(JoinFederation(NONE, NONE, 0), AdmitMember(NONE, bytes(20)), LeaveFederation(NONE), StartRound(NONE, 0)),
        *(CloseFederation(NONE), VaultModel(NONE, cid("x"))),
    )
    play.refuse_all([(C.NO_SUCH_FEDERATION, "bob", op) for op in ops])
    play.serving(*HELPERS).opens()
    play.join("o1")
    play.do("alice", CloseFederation(play.federation))
    ended: tuple[Any, ...] = (
        *(JoinFederation(play.federation, NONE, 0), StartRound(play.federation, 0), CloseFederation(play.federation)),
        SealKey(play.federation, []),
    )
    play.refuse_all([(C.WRONG_STATE, "alice", op) for op in ended])
    play.do("o1", VaultModel(play.federation, cid("vault")))
    play.block(step=KEEP - 200)
    play.block(step=100)
    play.block(step=100)
    play.refuse(C.NO_SUCH_FEDERATION, "o1", VaultModel(play.federation, cid("vault")))
    return play


def joining() -> Train:
    play = Train("joining and leaving, with admission by the sponsor", "LC-FED-10")
    play.serving(*HELPERS).opens(admit_open=False, max_members=3, split=2)
    ref = play.federation
    play.refuse_all(
        [
            (C.OWN_FEDERATION, "alice", JoinFederation(ref, NONE, 5)),
            (C.BAD_FILE, "o1", JoinFederation(ref, NONE, 0)),
            (C.BAD_FILE, "o1", JoinFederation(ref, NONE, 2**31)),
        ]
    )
    play.join("o1", "o2", "o3", n=2**31 - 1)
    play.refuse_all(
        [
            (C.ALREADY_MEMBER, "o1", JoinFederation(ref, NONE, 5)),
            (C.FULL, "o4", JoinFederation(ref, NONE, 5)),
            (C.NOT_SPONSOR, "o1", AdmitMember(ref, id_of("o1"))),
            (C.NOT_A_MEMBER, "alice", AdmitMember(ref, id_of("o4"))),
            (C.NOT_A_MEMBER, "o1", VaultModel(ref, cid("x"))),
        ]
    )
    play.do("alice", AdmitMember(ref, id_of("o1")))
    play.refuse(C.ALREADY_MEMBER, "alice", AdmitMember(ref, id_of("o1")))
    play.do("o4", JoinFederation(ref, digest("o1"), 5))
    play.refuse(C.DUPLICATE_DATA, "alice", AdmitMember(ref, id_of("o4")))
    play.refuse_all(
        [
            (C.NOT_A_MEMBER, "o5", NewData(ref, NONE, 5)),
            (C.BAD_FILE, "o1", NewData(ref, NONE, 0)),
            (C.NOT_SPONSOR, "o1", RemoveMember(ref, id_of("o2"))),
            (C.NOT_A_MEMBER, "alice", RemoveMember(ref, id_of("o5"))),
            (C.NOT_A_MEMBER, "o5", LeaveFederation(ref)),
            (C.BAD_FILE, "o1", VaultModel(ref, CID)),
        ]
    )
    play.do("o2", NewData(ref, digest("o1"), 7))
    play.refuse(C.TOO_OFTEN, "o2", NewData(ref, digest("o2"), 7))
    play.do("o1", VaultModel(ref, cid("x")))
    play.refuse(C.TOO_OFTEN, "o1", VaultModel(ref, cid("x")))
    play.do("o4", NewData(ref, digest("o4"), 7))
    play.do("alice", AdmitMember(ref, id_of("o4")))
    play.refuse(C.DUPLICATE_DATA, "o1", NewData(ref, digest("o3"), 7))
    play.do("alice", AdmitMember(ref, id_of("o3")))
    play.refuse_all(
        [
            (C.TOO_OFTEN, "o4", NewData(ref, NONE, 7)),
            (C.DUPLICATE_DATA, "o1", NewData(ref, digest("o3"), 7)),
        ]
    )
    play.do("o5", JoinFederation(ref, digest("o5"), 5))
    play.refuse(C.FULL, "alice", AdmitMember(ref, id_of("o5")))
    play.do("alice", RemoveMember(ref, id_of("o3")))
    play.do("alice", AdmitMember(ref, id_of("o5")))
    play.do("o1", LeaveFederation(ref))
    play.do("alice", RemoveMember(ref, id_of("o2")))
    play.do("o1", JoinFederation(ref, digest("o1"), 9))
    play.do("alice", AdmitMember(ref, id_of("o1")))
    return play


def lapsing() -> Train:
    play = Train("who waits too long is forgotten", "LC-FED-10")
    play.serving(*HELPERS).opens(admit_open=False, pace_ms=200_000)
    ref = play.federation
    play.join("o1", "o2")
    play.do("alice", AdmitMember(ref, id_of("o1")))
    play.do("o1", LeaveFederation(ref))
    play.do("o1", JoinFederation(ref, digest("o1"), 0))
    play.block(step=PENDING - 300)
    play.do("o3", JoinFederation(ref, digest("o3"), 0))
    play.block(step=200)
    play.refuse(C.NOT_A_MEMBER, "alice", AdmitMember(ref, id_of("o2")))
    play.do("alice", AdmitMember(ref, id_of("o3")))
    return play


def crowded() -> Train:
    """Three of one root wait, as many as may: two of other roots take the places of the last two, a third one none."""
    name, rule = "who waits beside many of one root displaces the last of them", "LC-FED-10"
    state = Train(name, rule).state
    one_root = {}
    for owner in ("o1", "o2", "o3"):
        key = member_key(id_of(owner))
        known: Any = state.get(key)
        one_root[key] = replace(known, root=id_of("o1"))
    play = Train(name, rule, one_root)
    play.serving(*HELPERS).opens(admit_open=False, min_members=2, min_sum=2, max_members=3)
    ref = play.federation
    play.do("o1", JoinFederation(ref, digest("o1"), 0))
    play.all({owner: JoinFederation(ref, digest(owner), 0) for owner in ("o2", "o3")})
    for owner in ("o4", "o5"):
        play.do(owner, JoinFederation(ref, digest(owner), 0))
    play.refuse(C.FULL, "o6", JoinFederation(ref, digest("o6"), 0))
    for owner in ("o1", "o4"):
        play.do("alice", AdmitMember(ref, id_of(owner)))
    return play


def starting() -> Train:
    play = Train("what a start needs", "LC-FED-15")
    play.serving(*HELPERS[:4]).opens(vetted=True, min_sum=2)
    ref = play.federation
    play.refuse_all(
        [
            (C.NOT_SPONSOR, "bob", StartRound(ref, 0)),
            (C.WRONG_ROUND, "alice", StartRound(ref, 1)),
            (C.NOT_SPONSOR, "bob", CloseFederation(ref)),
            (C.WRONG_STATE, "alice", SealKey(ref, [])),
            (C.WRONG_STATE, "s1", ReadyKey(ref, 1, NONE)),
            (C.WRONG_STATE, "s1", CommitMeasure(ref, 0, 0, NONE)),
            (C.WRONG_STATE, "o1", CommitUpdate(ref, 1, cid("x"), 5)),
        ]
    )
    play.do("s4", ServeFederation(False))
    play.refuse(C.FEW_VERIFIERS, "alice", StartRound(ref, 0))
    play.serving("s4")
    play.begin(0)
    play.refuse(C.WRONG_STATE, "alice", CloseFederation(ref))
    play.refuse(C.WRONG_STATE, "alice", StartRound(ref, 0))
    play.measured(2 * 10**9)
    play.join("o1", "o4", "o5")
    play.refuse(C.TOO_FEW_MEMBERS, "alice", StartRound(ref, 1))
    play.do("o2", JoinFederation(ref, digest("o2"), 0))
    play.do("s2", ServeFederation(False))
    play.refuse(C.FEW_VERIFIERS, "alice", StartRound(ref, 1))
    play.serving("o1")
    play.do("alice", StartRound(ref, 1))
    return play


def only_verifier() -> Train:
    """One alone is as many as have to be able of one."""
    play = Train("one verifier alone is no panel", "LC-FED-15", flagged_alone("s1"))
    play.serving("s1").opens()
    play.refuse(C.NO_PANEL, "alice", StartRound(play.federation, 0))
    return play


def last_verifier() -> Train:
    """Of two one loses its flag."""
    play = Train("one verifier alone does not aggregate", "LC-FED-15", flagged_alone("s1", "s2"))
    play.serving("s1", "s2").opens()
    play.join(*OWNERS[:4])
    play.begin(0)
    play.measured(2 * 10**9)
    play = Train(play.name, play.rule, flagged_alone("s1"), play)
    play.refuse(C.NO_AGGREGATORS, "alice", StartRound(play.federation, 1))
    return play


def few_outside() -> Train:
    """Five have the flag and serve, so three have to be able; three of them are members."""
    play = Train("the others are too few for a panel without members", "LC-FED-15", flagged_alone("s1", "s2", *OWNERS[:3]))
    play.serving("s1", "s2", *OWNERS[:3]).opens(outside=True)
    play.join(*OWNERS[:3])
    play.refuse(C.NO_PANEL, "alice", StartRound(play.federation, 0))
    play.do("o3", LeaveFederation(play.federation))
    play.begin(0)
    assert sorted(play.panel()) == ["o3", "s1", "s2"]
    return play


def unstarted() -> Train:
    """Who was there at the start is not at the draw."""
    play = Train("nobody is left for the panel at its draw", "LC-FED-19", flagged_alone("s1", "s2"))
    play.serving("s1", "s2").opens()
    play.do("alice", StartRound(play.federation, 0))
    play.all({name: ServeFederation(False) for name in ("s1", "s2")})
    play.drawn()
    assert play.read().state == FederationState.IDLE
    return play


def few() -> Train:
    play = training("two of a pool of three are away at the draw", "LC-FED-20")
    play.do("alice", StartRound(play.federation, 1))
    play.all({name: ServeFederation(False) for name in play.others()[:-1] + play.panel()})
    play.drawn()
    assert play.read().state == FederationState.IDLE
    return play


def members_sit() -> Train:
    play = Train("members sit where others are too few, and aggregate only there", "LC-FED-18", flagged_alone("s1", *OWNERS[:3]))
    play.serving("s1", "o1", "o2", "o3").opens()
    play.join(*OWNERS[:4])
    play.begin(0)
    play.measured(2 * 10**9)
    play.begin(1)
    play.ready()
    return play


def unfilled() -> Train:
    """Two are left of three: a member who could be the third one does not sit where `outside` is set."""
    flagged = flagged_alone("s1", "s2", "s3", "o1")
    play = Train("with `outside` members fill no panel", "LC-FED-18", flagged)
    play.serving("s1", "s2", "s3", "o1").opens(outside=True)
    play.join("o1", "o2")
    play.do("alice", StartRound(play.federation, 0))
    play.do("s3", ServeFederation(False))
    play.drawn()
    assert sorted(play.panel()) == ["s1", "s2"]
    return play


def outsiders() -> Train:
    play = Train("with `outside` members never sit, and who sat never joins", "LC-FED-10")
    play.serving("s1", "s2", "s3", "s4", "o1", "o2").opens(outside=True)
    play.join("o1", "o2")
    play.begin(0)
    assert sorted(play.panel()) == ["s1", "s2", "s3", "s4"]
    play.refuse(C.OWN_FEDERATION, "s1", JoinFederation(play.federation, NONE, 0))
    return play


def closed() -> Train:
    play = Train("abandoned, its records leave in pages", "LC-FED-48")
    play.serving(*HELPERS).opens()
    play.join(*OWNERS[:5])
    play.do("o5", LeaveFederation(play.federation))
    play.join("o6")
    play.begin(0)
    play.measured(2 * 10**9)
    play.pass_deadline()
    assert play.read().state == FederationState.END
    play.block(step=KEEP)
    play.block(step=1)
    play.block(step=1)
    return play


def expired() -> Train:
    play = Train("a start at its deadline is too late; its time is over", "LC-FED-45")
    play.serving(*HELPERS).opens(ends=BEGIN + 30_000)
    play.block(step=29_700)
    late = play.read().deadline - play.clock
    play.block(step=late)
    assert play.read().state == FederationState.END
    return play


def used_up() -> Train:
    play = training("starts are used up", "LC-FED-45", rounds=1)
    for _ in range(3):
        play.begin(1)
        play.ready()
        play.pass_deadline()
    assert play.read().state == FederationState.END
    return play


def _parked(play: Train) -> Train:
    return Train(play.name, play.rule, {parked_key(5, play.federation): Parked(1, "failed", [], [], [])}, play)


def given_back() -> Train:
    play = _parked(training("a parked federation is given back", "LC-FED-50"))
    play.refuse(Code.PARKED, "o5", JoinFederation(play.federation, NONE, 0))
    codes = play.block(*(play.tx(name, Release(5, play.federation, True)) for name in VALIDATORS[:5]))
    assert not any(codes), codes
    play.block()
    play = _parked(play)
    codes = play.block(*(play.tx(name, Release(5, play.federation, True)) for name in VALIDATORS[:5]))
    assert not any(codes), codes
    play.block()
    play.block()
    return play


def indexes() -> Train:
    """128 were given: who has one comes back, others get that of one that left and that no accepted set names."""
    play = Train("all indexes are given", "LC-FED-11")
    play.serving(*HELPERS).opens()
    play.join("o1", "o2", "o3")
    play = changed(play, indexes=128, named=b"\x02")
    leave, asks = LeaveFederation(play.federation), JoinFederation(play.federation, digest("o4"), 0)
    play.refuse(C.FULL, "o4", asks)
    play.do("o2", leave)
    play.refuse(C.FULL, "o4", asks)
    play.join("o2")
    play.all(dict.fromkeys(("o3", "o1"), leave))
    play.do("o4", asks)
    assert play.member("o4").index == 1 and not play.knows("o1")
    play.refuse(C.NOT_A_MEMBER, "o1", leave)
    play.join("o1")
    assert play.member("o1").index == 3 and not play.knows("o3")
    play.refuse(C.FULL, "o3", JoinFederation(play.federation, digest("o3"), 0))
    return play


def benched_index() -> Train:
    """A bench is served first: up to start 1, so that the index is free with the second."""
    play = Train("an index does not go over while its bench lasts", "LC-FED-11")
    play.serving(*HELPERS).opens()
    play.join(*OWNERS[:4])
    play = changed(play, indexes=128, starts=4)
    left, ref = play.member("o1"), play.federation
    play = Train(play.name, play.rule, {records.member_key(ref, id_of("o1")): replace(left, benched_until=5)}, play)
    play.do("o1", LeaveFederation(ref))
    asks = JoinFederation(ref, digest("o5"), 0)
    play.refuse(C.FULL, "o5", asks)
    play.do("alice", StartRound(ref, 0))
    play.do("o5", asks)
    assert play.member("o5").index == left.index
    return play


def running_index() -> Train:
    """Who left while an attempt runs with it may still be summed."""
    play = training("an index of the attempt that runs does not go over", "LC-FED-11")
    play = changed(play, indexes=128)
    play.begin(1)
    play.ready()
    ref = play.federation
    asks = JoinFederation(ref, digest("o5"), 0)
    play.do("o4", LeaveFederation(ref))
    play.refuse(C.FULL, "o5", asks)
    play.pass_deadline()
    assert play.read().state == FederationState.IDLE
    play.do("o5", asks)
    assert play.member("o5").index == 4 and not play.knows("o4")
    return play


def late_start() -> Train:
    play = Train("a start comes too late where the deadline waits for another one", "LC-FED-15")
    play.serving(*HELPERS).opens()
    play = full(play)
    left = play.read().deadline - play.clock
    codes = play.block(play.tx("alice", StartRound(play.federation, 0)), step=left)
    assert codes == [C.TOO_LATE], codes
    play.block()
    return play


MEMBERS: tuple[Callable[[], Train], ...] = (
    *(
        terms,
        edges,
        standing,
        unknown,
        joining,
        lapsing,
        crowded,
        starting,
        only_verifier,
        last_verifier,
        few_outside,
        unstarted,
        few,
    ),
    *(members_sit, unfilled, outsiders, closed, indexes, benched_index, running_index, late_start),
    *(expired, used_up, given_back),
)
