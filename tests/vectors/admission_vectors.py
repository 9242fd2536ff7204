"""Cases of invitations, joins, leaves, box keys, and of what a vote decides of a member: LC-MEM-21 to LC-MEM-31."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job import CancelJob, Claim
from learningchain.chain.contracts.membership import (
    BanRecord,
    Branch,
    CaseRef,
    Invitation,
    Invite,
    Inviting,
    Join,
    Leave,
    MemberParams,
    Release,
    RevokeInvite,
    SetBoxKey,
    SetCapacity,
    SetTraining,
    Slot,
    SlotState,
    Training,
    ban_key,
    branch_key,
    invitation_escrow,
    invitation_id,
    invitation_key,
    inviting_key,
    join_digest,
    member_key,
    training_key,
)
from learningchain.chain.contracts.membership.records import SLOTS_KEPT
from learningchain.chain.crypto import LOW_ORDER
from learningchain.chain.host import (
    BANNED,
    K_NEXT_VALIDATORS,
    SUSPENDED,
    Due,
    Escrow,
    HeldDue,
    Parked,
    Supply,
    Validators,
    account_key,
    due_key,
)
from learningchain.chain.host.records import K_SUPPLY, KeyOwner, key_owner_key
from learningchain.chain.host.terms import Capacity
from learningchain.chain.params import Params
from learningchain.chain.types import Validator
from learningchain.chain.verification.standing import Draw, Strike
from tests.vectors.base_vectors import job_terms
from tests.vectors.executed import ALICE, BOB, JOB, NAMES, NEXT, NOBODY, V1, V2, Maker, Records, account, clock, start, tx
from tests.vectors.executed_members import member_record, suspended
from tests.vectors.executed_services import service_case
from tests.vectors.kit import id_of, key_of

P = MemberParams()
NO_KEY = b"\x07" * 33


def token(name: str) -> bytes:
    return key_of(f"token {name}").public


def ref(name: str) -> bytes:
    return invitation_id(token(name))


def now() -> int:
    return clock() + NEXT


def params(**changed: int) -> Records:
    return {b"gp2/": replace(P, **changed)}


def slots(*found: tuple[str, SlotState, int], of: bytes = ALICE) -> Records:
    return {inviting_key(of): Inviting([Slot(ref(name), state, until) for name, state, until in found])}


def branch(below: int, of: bytes = ALICE, above: bytes = b"") -> Records:
    return {branch_key(of): Branch(below, above)}


def line(length: int) -> Records:
    """Alice at the end of a line of inviters, each of which invited the next."""
    names = [bytes([n]) * 20 for n in range(1, length)]
    above = [b"", *names]
    return {branch_key(who): Branch(len(names) - n, above[n]) for n, who in enumerate([*names, ALICE])}


def open_one(
    name: str = "one", *, until: int = 0, credits: int = 700, more: tuple[tuple[str, SlotState, int], ...] = ()
) -> Records:
    """An open invitation of Alice, behind the slots that are given."""
    expires = until or now() + 5_000
    held: Records = {invitation_key(ref(name)): Invitation(token(name), ALICE, expires, credits)}
    held |= {due_key(ALICE, expires, 2, ref(name)): Due(2, ref(name))} | slots(*more, (name, SlotState.OPEN, expires))
    if credits:
        held |= {
            b"e/" + invitation_escrow(ref(name)): Escrow(credits),
            account_key(ALICE): account("alice", balance=5_000_000 - credits),
        }
    return held


def joining(who: str = "nobody", name: str = "one", inviter: bytes = ALICE, **changed: Any) -> Join:
    digest = join_digest(start()[0], token(name), key_of(who).public)
    signed = (key_of(who).sign(digest), key_of(f"token {name}").sign(digest))
    return replace(Join(inviter, token(name), key_of(who).public, *signed), **changed)


# --- messages -------------------------------------------------------------------------------------------------------------------


def _invites() -> list[Maker]:
    def say(name: str, message: Invite, records: Records | None = None, who: str = "alice") -> Maker:
        return Maker(name, "LC-MEM-21", [tx(who, message)], dict(records or {}))

    good = Invite(token("one"), now() + 5_000, 700)
    struck = [Strike(id_of(str(n)), now() + 10) for n in range(3)]
    full = tuple((str(n), SlotState.OPEN, now() + 9) for n in range(3))
    ended = [(f"{n} ended", SlotState.REVOKED, 0) for n in range(SLOTS_KEPT - 2)]
    invited = {"inviter": V1, "since": now() - P.invite_rest}
    return [
        say("an invitation", good),
        say("an invitation without credits", replace(good, credits=0)),
        say("an invitation of all that is free", replace(good, credits=5_000_000)),
        say("more credits than are free", replace(good, credits=5_000_001)),
        say("no member invites", good, {member_key(ALICE): None}),
        say("where a vote admits", good, params(join_policy=2)),
        say("where invitations alone admit", good, params(join_policy=1)),
        say("a suspended one invites", good, {account_key(ALICE): account("alice", status=SUSPENDED)}),
        say("who does not stand invites", good, member_record("alice", strikes=struck)),
        say("who stands with two invites", good, member_record("alice", strikes=[replace(struck[0], end=now()), *struck[1:]])),
        say("a newcomer invites", good, member_record("alice", **(invited | {"since": now() - P.invite_rest + 1}))),
        say("an invited member invites once it may", good, member_record("alice", **invited)),
        say("one that a vote admitted just now", good, member_record("alice", since=now())),
        say("it expires now", replace(good, expires=now())),
        say("it expires just after now", replace(good, expires=now() + 1)),
        say("it stands as long as it may", replace(good, expires=now() + P.invite_longest)),
        say("it stands longer than it may", replace(good, expires=now() + P.invite_longest + 1)),
        say("its key is none", replace(good, key=NO_KEY)),
        say("its key is in an open one of another member", good, open_one(), "bob"),
        say("its key was in one of the sender's", good, slots(("one", SlotState.REVOKED, 0))),
        say("its key was in one of another member that ended", good, slots(("one", SlotState.USED, 5), of=BOB)),
        say("a fourth open one", good, slots(*full)),
        say("a third beside a used one", good, slots(*full[:2], ("used", SlotState.USED, now() + 1))),
        say("a third beside a used one that counts no more", good, slots(*full[:2], ("used", SlotState.USED, now()))),
        say("revoked and expired ones count not", good, slots(*full[:2], ("a", SlotState.REVOKED, 0), ("b", SlotState.EXPIRED, 0))),
        say("open ones count until their deadline ran", good, slots(*((name, state, now()) for name, state, _ in full))),
        say("the slots are full: the oldest that counts not goes", good, slots(full[0], *ended, full[1])),
        say("the sixteenth slot: none goes", good, slots(full[0], *ended[1:], full[1])),
        Maker("two in one transaction", "LC-MEM-21", [tx("alice", good, Invite(token("two"), now() + 6_000, 1))]),
    ]


def _joins() -> list[Maker]:
    def say(name: str, message: Join, records: Records, who: str = "bob", rule: str = "LC-MEM-23") -> Maker:
        return Maker(name, rule, [tx(who, message)], records)

    other = join_digest(bytes(32), token("one"), key_of("nobody").public)
    twice = [tx("bob", joining()), tx("bob", joining("somebody"), sequence=1)]
    kept = {"capacity": [Capacity(1, 4_000, 2_048, 10**9, 10**8, 600)], "capacity_since": 9, "draws": [Draw(V2, True, False)]}
    past: dict[str, Any] = {"strikes": [Strike(V2, now() + 5)], "verifier_since": 11, "rests_until": now() + 12, **kept}
    left = member_record("bob", left=now() - 5, root=V1, box_key=JOB, box_since=7, **past)
    back = joining("bob")
    return [
        say("a join", joining(), open_one()),
        say("a join that brings no credits", joining(), open_one(credits=0)),
        say("a join that the inviter sends", joining(), open_one(), "alice"),
        say("a join by one whose inviter was invited", joining(), open_one() | member_record("alice", root=V1, inviter=V1)),
        Maker("a token that is used twice in a block", "LC-MEM-23", twice, open_one()),
        Maker(
            "a newcomer that acts in the block of its join",
            "LC-TX-15",
            [tx("bob", joining()), tx("nobody", Transfer(BOB, 1, b""))],
            open_one(),
        ),
        say("a window that earns less than a newcomer may send", joining(), open_one() | {b"gp/": _short()}, rule="LC-TX-15"),
        say("where a vote admits: a join", joining(), open_one() | params(join_policy=2)),
        say("an invitation that was used", joining(), slots(("one", SlotState.USED, 5)), rule="LC-MEM-25"),
        say("an invitation that was revoked", joining(), slots(("one", SlotState.REVOKED, 0)), rule="LC-MEM-25"),
        say("an invitation that expired", joining(), slots(("one", SlotState.EXPIRED, 0)), rule="LC-MEM-25"),
        say("an invitation that nobody made", joining(), {}, rule="LC-MEM-25"),
        say("an invitation of another member", joining(inviter=BOB), open_one(), rule="LC-MEM-25"),
        say("an invitation in its last moment", joining(), open_one(until=now() + 1)),
        say(
            "an invitation whose time is over and whose deadline waits",
            joining(),
            {key: record for key, record in open_one(until=now()).items() if not key.startswith(b"d/")},
        ),
        say("signed for another network by the newcomer", joining(signature=key_of("nobody").sign(other)), open_one()),
        say("signed for another network by the token", joining(token=key_of("token one").sign(other)), open_one()),
        say("the newcomer's key was replaced", joining(key=key_of("somebody").public), open_one()),
        say("the newcomer's key is none", joining(key=NO_KEY), open_one()),
        say("a member joins", joining("v1"), open_one(), rule="LC-MEM-22"),
        say(
            "a key that another account had later",
            joining(),
            open_one() | {key_owner_key(key_of("nobody").public): KeyOwner(BOB, 30)},
            "v1",
            "LC-MEM-22",
        ),
        say(
            "who left comes back with its later key",
            joining(),
            open_one()
            | left
            | {
                account_key(BOB): replace(account("bob"), key=key_of("nobody").public),
                key_owner_key(key_of("nobody").public): KeyOwner(BOB, 30),
            },
            "v1",
            "LC-MEM-22",
        ),
        say("who left comes back", back, open_one() | left, "v1", "LC-MEM-22"),
        say(
            "who left and has another key now",
            back,
            open_one() | left | {account_key(BOB): replace(account("bob"), key=key_of("another").public)},
            "v1",
            "LC-MEM-22",
        ),
        say(
            "who left and was banned",
            back,
            open_one() | left | {account_key(BOB): account("bob", status=BANNED)},
            "v1",
            "LC-MEM-22",
        ),
        say(
            "who left and is suspended",
            back,
            open_one() | left | {account_key(BOB): account("bob", status=SUSPENDED)},
            "v1",
            "LC-MEM-22",
        ),
        say("a branch that has room for one", joining(), open_one() | branch(P.invite_branch - 1), rule="LC-MEM-33"),
        say("a branch that is full", joining(), open_one() | branch(P.invite_branch), rule="LC-MEM-33"),
        say("below one whose root has room", joining(), open_one() | branch(6, above=V1) | branch(9, V1), rule="LC-MEM-33"),
        say(
            "below one that has as many as its root has left",
            joining(),
            open_one() | branch(P.invite_branch // 2, above=V1) | branch(P.invite_branch // 2, V1),
            rule="LC-MEM-33",
        ),
        say(
            "below one that has one less than its root has left",
            joining(),
            open_one() | branch(P.invite_branch // 2 - 1, above=V1) | branch(P.invite_branch // 2, V1),
            rule="LC-MEM-33",
        ),
        say("below one of another root, the first", joining(), open_one() | member_record("alice", root=V1), rule="LC-MEM-33"),
        say("at the end of a long line", joining(), open_one() | line(32), rule="LC-MEM-33"),
        say("at the end of a line that is too long", joining(), open_one() | line(33), rule="LC-MEM-33"),
        say("who left comes back below a root that is full", back, open_one() | left | branch(P.invite_branch), "v1", "LC-MEM-33"),
        say("an invitation that is parked", joining(), open_one() | _parked(), rule="LC-BLK-20"),
    ]


def _short() -> Params:
    return Params(block_reward=7, bandwidth_window=200_000, bandwidth_base=64)


def _parked() -> Records:
    return {b"p/\x02" + ref("one"): Parked(30, "failed", [HeldDue(ALICE, now() - 9)], [], [])}


def _ends() -> list[Maker]:
    def revoke(name: str, records: Records, who: str = "alice", rule: str = "LC-MEM-25") -> Maker:
        return Maker(name, rule, [tx(who, RevokeInvite(ref("one")))], records)

    words = [tx(name, Release(2, ref("one"), True)) for name in NAMES[:3]]
    at = now() - 10
    stale = {due_key(ALICE, at, 2, ref("one")): Due(2, ref("one"))}
    return [
        revoke("revoked", open_one()),
        revoke("revoked, without credits", open_one(credits=0)),
        revoke("revoked by another member", open_one(), "bob"),
        revoke("revoked once more", slots(("one", SlotState.REVOKED, 0))),
        revoke("revoked after it was used", slots(("one", SlotState.USED, now() + 9))),
        revoke("revoked after it expired", slots(("one", SlotState.EXPIRED, 0))),
        revoke("revoked while it is parked", open_one() | _parked(), rule="LC-BLK-20"),
        Maker("it expires", "LC-MEM-25", [], open_one(until=at, more=(("two", SlotState.USED, 3),))),
        Maker("a deadline of one that ended", "LC-MEM-25", [], stale),
        Maker("a deadline of another time", "LC-MEM-25", [], open_one() | stale),
        Maker("a parked one is given back", "LC-MEM-14", words, open_one() | _parked()),
    ]


def _leaves() -> list[Maker]:
    def say(name: str, who: str, records: Records | None = None) -> Maker:
        return Maker(name, "LC-MEM-26", [tx(who, Leave())], dict(records or {}))

    gone = member_record("alice", left=5)
    following = Validators(41, [Validator(id_of(n), key_of(n).public) for n in sorted(NAMES[1:], key=id_of)])
    capacity = Capacity(1, 4_000, 2_048, 10**9, 10**8, 600)
    two = open_one("two", until=now() + 9, credits=0, more=(("one", SlotState.OPEN, now() + 5_000),))
    both = open_one() | two | {invitation_key(ref("one")): Invitation(token("one"), ALICE, now() + 5_000, 700)}
    for_members = (
        SetCapacity(capacity),
        Invite(token("two"), now() + 5, 0),
        joining(),
        SetBoxKey(JOB),
        SetTraining(1, 60),
        job_terms()[0],
        Claim(JOB, 1, bytes(32), False),
    )
    return [
        say("a member leaves", "alice"),
        say("a member with open invitations leaves", "alice", both),
        say(
            "a suspended verifier leaves",
            "alice",
            suspended(until=now() + 99) | member_record("alice", verifier=True, verifier_since=3),
        ),
        say("a member that trains leaves", "alice", {training_key(ALICE): Training(1, 60, 5)}),
        say("a member that trains for nobody any more leaves", "alice", {training_key(ALICE): Training(1, 0, 5)}),
        say("a validator leaves", "v1"),
        say("a validator that this block takes out of the set", "v1", {K_NEXT_VALIDATORS: following}),
        say("who has no member record leaves", "alice", {member_key(ALICE): None}),
        say("who left leaves", "alice", gone),
        *(
            Maker(f"who left sends {type(message).__name__}", "LC-MEM-27", [tx("alice", message)], gone | open_one("three"))
            for message in for_members
        ),
        Maker("who left moves credits", "LC-MEM-27", [tx("alice", Transfer(BOB, 5, b""))], gone),
        Maker("who left sends what is for anybody", "LC-MEM-27", [tx("alice", CancelJob(JOB))], gone),
        Maker("who left, about what is parked", "LC-MEM-27", [tx("alice", joining())], gone | open_one() | _parked()),
    ]


def _boxes() -> list[Maker]:
    def say(name: str, key: bytes, records: Records | None = None) -> Maker:
        return Maker(name, "LC-MEM-29", [tx("alice", SetBoxKey(key))], dict(records or {}))

    known = member_record("alice", box_key=JOB, box_since=5)
    return [
        say("a box key", JOB),
        say("another box key", hashlib.sha256(JOB).digest(), known),
        say("the same box key", JOB, known),
        say("a box key of no member", JOB, {member_key(ALICE): None}),
        *(say(f"a box key without a secret: {key.hex()}", key) for key in sorted(LOW_ORDER)),
        *(
            say(f"a box key without a secret, its highest bit set: {key.hex()}", key)
            for key in sorted(low[:31] + bytes([low[31] | 0x80]) for low in LOW_ORDER)
        ),
    ]


def admissions() -> list[Maker]:
    return [*_invites(), *_joins(), *_ends(), *_leaves(), *_boxes()]


# --- what a vote decides --------------------------------------------------------------------------------------------------------


def admission_services() -> list[dict[str, Any]]:
    key, here = key_of("nobody").public, clock()
    gone = member_record("alice", left=5)
    banned = {account_key(ALICE): account("alice", status=BANNED, balance=0), ban_key(ALICE): BanRecord(5_000_000)}
    burned = {K_SUPPLY: Supply(4_010_000_000, 5_000_000)}
    invited = member_record("alice", inviter=BOB, root=V1)
    strikes = [Strike(V2, here - 1), Strike(ALICE, here + 5), Strike(V1, here + 9)]
    case = suspended(until=here + 99, refs=[CaseRef(JOB, 1, BOB, BOB)])
    return [
        service_case("a root of its own", "LC-MEM-24", "admit", [key, b""]),
        service_case("below another root", "LC-MEM-24", "admit", [key, V1]),
        service_case("where invitations alone admit: a vote", "LC-MEM-24", "admit", [key, b""], params(join_policy=1)),
        service_case("where votes alone admit", "LC-MEM-24", "admit", [key, b""], params(join_policy=2)),
        service_case("by no key", "LC-MEM-22", "admit", [NO_KEY, b""]),
        service_case("by the key of a member", "LC-MEM-22", "admit", [key_of("alice").public, b""]),
        service_case("by the key of one that left", "LC-MEM-22", "admit", [key_of("alice").public, V1], gone),
        service_case("a removal", "LC-MEM-26", "remove", [ALICE], open_one()),
        service_case("a removal of one that left", "LC-MEM-26", "remove", [ALICE], gone),
        service_case("a removal of a validator", "LC-MEM-26", "remove", [V1]),
        service_case("the flag is set", "LC-MEM-28", "set_verifier", [ALICE, True]),
        service_case("the flag is taken", "LC-MEM-28", "set_verifier", [V1, False]),
        service_case("the flag stands so", "LC-MEM-28", "set_verifier", [V1, True]),
        service_case("the flag of one that is suspended", "LC-MEM-28", "set_verifier", [ALICE, True], case),
        service_case("the flag of one that left", "LC-MEM-28", "set_verifier", [ALICE, True], gone),
        service_case("the flag of one that is banned", "LC-MEM-28", "set_verifier", [ALICE, True], banned),
        service_case("a member", "LC-MEM-22", "exists", [ALICE]),
        service_case("one that left", "LC-MEM-22", "exists", [ALICE], gone),
        service_case("nobody", "LC-MEM-22", "exists", [NOBODY]),
        service_case("a ban by vote", "LC-MEM-30", "ban", [ALICE, JOB], open_one()),
        service_case("a ban of one with an open case", "LC-MEM-30", "ban", [ALICE, JOB[::-1]], case),
        service_case("a ban of an invited one", "LC-MEM-30", "ban", [ALICE, JOB], invited),
        service_case("a ban of one that trains", "LC-MEM-34", "ban", [ALICE, JOB], {training_key(ALICE): Training(1, 60, 5)}),
        service_case(
            "a ban of one whose inviter was struck for it before",
            "LC-MEM-30",
            "ban",
            [ALICE, JOB],
            invited | member_record("bob", strikes=strikes),
        ),
        service_case(
            "a ban of one whose inviter is banned",
            "LC-MEM-30",
            "ban",
            [ALICE, JOB],
            invited | {account_key(BOB): account("bob", status=BANNED, balance=0)},
        ),
        service_case("a ban of one whose inviter left", "LC-MEM-30", "ban", [ALICE, JOB], invited | member_record("bob", left=5)),
        service_case("a ban of who left", "LC-MEM-30", "ban", [ALICE, JOB], gone),
        service_case("a ban of who is banned", "LC-MEM-30", "ban", [ALICE, JOB], banned),
        service_case("a ban that is lifted", "LC-MEM-31", "lift_ban", [ALICE, 5_000_000, JOB], banned | burned),
        service_case("a ban that is lifted without credits", "LC-MEM-31", "lift_ban", [ALICE, 0, JOB], banned | burned),
        service_case(
            "the strike ends of an inviter that left, too",
            "LC-MEM-31",
            "lift_ban",
            [ALICE, 1, JOB],
            banned | burned | invited | member_record("bob", strikes=strikes, left=5),
        ),
        service_case("more than was burned", "LC-MEM-31", "lift_ban", [ALICE, 5_000_001, JOB], banned | burned),
        service_case("no ban to lift", "LC-MEM-31", "lift_ban", [ALICE, 0, JOB]),
        service_case(
            "the inviter's strike ends with the ban",
            "LC-MEM-31",
            "lift_ban",
            [ALICE, 1, JOB],
            banned | burned | invited | member_record("bob", strikes=strikes),
        ),
    ]
