"""Blocks about keys, for `executions`: rotation, guardians, recovery and its ends."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts import keys
from learningchain.chain.contracts.keys import (
    ComingGuardians,
    GuardianSet,
    GuardianWord,
    KeyChanges,
    ObjectRecovery,
    Recover,
    Recovery,
    RotateKey,
    SetGuardians,
)
from learningchain.chain.contracts.membership import Release
from learningchain.chain.crypto import account_id
from learningchain.chain.host import (
    BANNED,
    K_CLOCK_MARKS,
    K_HISTORY,
    K_PARAMS,
    K_VALIDATORS,
    SUSPENDED,
    ClockMark,
    ClockMarks,
    Due,
    History,
    KeyOwner,
    Parked,
    Validators,
    account_key,
    due_key,
    key_owner_key,
    parked_key,
)
from learningchain.chain.types import Validator
from tests.vectors.executed import (
    ALICE,
    BOB,
    HEIGHT,
    NEXT,
    NOBODY,
    V1,
    V2,
    V3,
    V4,
    WHO,
    Maker,
    Records,
    account,
    clock,
    genesis_of_cases,
    pay_to,
    start,
    tx,
)
from tests.vectors.executed_double_signing import double
from tests.vectors.executed_members import member_record
from tests.vectors.kit import key_of

DELAY = keys.KeyParams().recovery_delay_min
REST = keys.KeyParams().key_rest
GATHER = keys.KeyParams().recovery_gather


def proof(name: str, of: bytes, *, signer: str | None = None, chain: bytes | None = None) -> bytes:
    digest = keys.new_key_digest(chain or start()[0], of, key_of(name).public)
    return key_of(signer or name).sign(digest)


def rotate(of: bytes = ALICE, name: str = "new") -> RotateKey:
    return RotateKey(key_of(name).public, proof(name, of))


def word(name: str = "new", of: bytes = ALICE) -> Recover:
    return Recover(of, key_of(name).public, proof(name, of))


def guarded(threshold: int = 2, *by: bytes, of: bytes = ALICE) -> Records:
    return {keys.guardians_key(of): GuardianSet(sorted(by or (V1, V2, V3)), threshold, DELAY, [])}


def changing(*by: bytes, since: int, threshold: int = 1) -> Records:
    """Two of three guard alice, and these will: from `since` on."""
    later = ComingGuardians(since, sorted(by), threshold if by else 0, DELAY if by else 0)
    return {keys.guardians_key(ALICE): GuardianSet(sorted((V1, V2, V3)), 2, DELAY, [later])}


def open_recovery(
    *words: tuple[bytes, str], key: str = "", of: bytes = ALICE, until: int | None = None, objected: bool = False
) -> Records:
    """Begun before the case's block; its time comes in it unless `until` says otherwise."""
    now = clock() + NEXT
    at = now if until is None else until
    said = sorted([GuardianWord(who, key_of(name).public) for who, name in words], key=lambda w: w.guardian)
    return {
        keys.recovery_key(of): Recovery(
            now - 500, at, said, key_of(key).public if key else b"", now + 900 if key else at, objected
        ),
        due_key(of, at, keys.NUMBER, of): Due(keys.NUMBER, of),
    }


def cases() -> list[Maker]:
    return [*_new_keys(), *_validators(), *_guardians(), *_words(), *_ends(), *_parked()]


def _one(name: str, rule: str, *txs: bytes, records: Records | None = None, **other: Any) -> Maker:
    return Maker(name, rule, list(txs), dict(records or {}), **other)


def _new_keys() -> list[Maker]:
    now, new = clock() + NEXT, key_of("new").public
    pay = pay_to(BOB)
    taken = {key_owner_key(new): KeyOwner(BOB, 3)}
    hybrid = bytes((6,)) + new[1:]
    lately = {keys.changes_key(ALICE): KeyChanges(1, now - REST + 1, 0)}
    rested = {keys.changes_key(ALICE): KeyChanges(3, now - REST, 9)}
    suspended = {account_key(ALICE): account("alice", status=SUSPENDED, frozen=77)}
    first = {account_key(account_id(new)): account("new")}
    return [
        _one("a key rotated", "LC-KEY-2", tx("alice", rotate())),
        _one("the old key in the same block", "LC-KEY-3", tx("alice", rotate()), tx("alice", pay, sequence=1)),
        _one("the new key in the same block", "LC-KEY-3", tx("alice", rotate()), tx("alice", pay, sequence=1, key="new")),
        _one("the new key before its block", "LC-KEY-3", tx("alice", pay, key="new")),
        _one("a suspended account rotates", "LC-KEY-2", tx("alice", rotate()), records=suspended),
        _one("no key", "LC-KEY-1", tx("alice", RotateKey(hybrid, proof("new", ALICE)))),
        _one("another's key", "LC-KEY-1", tx("alice", rotate(name="bob"))),
        _one("one's own key", "LC-KEY-1", tx("alice", rotate(name="alice"))),
        _one("a key that was another's later one", "LC-KEY-1", tx("alice", rotate()), records=taken),
        _one("a key that is another's first one", "LC-KEY-1", tx("alice", rotate()), records=first),
        _one(
            "a key that is taken, with a bad signature: it is tested first",
            "LC-KEY-1",
            tx("alice", RotateKey(new, bytes(64))),
            records=taken,
        ),
        _one("a signature of another key", "LC-KEY-1", tx("alice", RotateKey(new, proof("new", ALICE, signer="bob")))),
        _one("a signature for another account", "LC-KEY-1", tx("alice", rotate(of=BOB))),
        _one("a signature for another network", "LC-KEY-1", tx("alice", RotateKey(new, proof("new", ALICE, chain=bytes(32))))),
        _one("a key that was rotated a moment ago", "LC-KEY-2", tx("alice", rotate()), records=lately),
        _one("a key that rested", "LC-KEY-2", tx("alice", rotate()), records=rested),
        _one("a bad signature a moment after: it is tested first", "LC-KEY-2", tx("alice", rotate(of=BOB)), records=lately),
        _one(
            "twice in a block",
            "LC-KEY-2",
            tx("alice", rotate()),
            tx("alice", rotate(name="newer"), sequence=1, key="new"),
        ),
        _one(
            "a rotation is an objection",
            "LC-KEY-2",
            tx("alice", rotate(name="newer")),
            records=guarded() | open_recovery((V1, "new"), until=now + 5),
        ),
        _one(
            "a rotation after an objection",
            "LC-KEY-2",
            tx("alice", rotate(name="newer")),
            records=guarded() | open_recovery((V1, "new"), until=now + 5, objected=True),
        ),
    ]


def _validators() -> list[Maker]:
    members = [Validator(identity, key_of(WHO[identity]).public) for identity in sorted((V1, V2, V3, V4))]

    def sets(count: int, first: int) -> Records:
        many = [Validators(min(first + n, HEIGHT - 1), members) for n in range(count)]
        return {K_HISTORY: History(many), K_VALIDATORS: many[-1]}

    passed = {K_CLOCK_MARKS: ClockMarks([ClockMark(HEIGHT - 1, clock() + NEXT - 100_000)])}
    aged = passed | {K_PARAMS: replace(genesis_of_cases().params, evidence_age=10)}
    # None of the others has an account, so no reward.
    unpaid = passed | {K_PARAMS: replace(genesis_of_cases().params, evidence_age=10, block_reward=0)}
    others = [Validator(bytes([255, n]) * 10, key_of("v1").public) for n in range(48)]
    crowd = [*members, *others]
    both = [tx("v1", rotate(of=V1)), tx("v2", rotate(of=V2, name="newer"))]
    out = double("v3")
    return [
        _one("a validator's key", "LC-KEY-3", tx("v2", rotate(of=V2))),
        _one("two validators' keys in a block", "LC-KEY-3", *both),
        _one("a validator's key after another one left", "LC-KEY-3", tx("alice", out), both[0]),
        _one("who leaves in this block rotates", "LC-KEY-3", tx("alice", out), tx("v3", rotate(of=V3))),
        _one("a member's key while a set changes", "LC-KEY-3", tx("alice", out), tx("bob", rotate(of=BOB))),
        _one("forty-eight sets that matter still", "LC-KEY-3", both[0], records=aged | sets(48, HEIGHT - 10)),
        _one(
            "forty-eight sets that are too old by blocks alone",
            "LC-KEY-3",
            both[0],
            records=aged | sets(48, HEIGHT - 11) | {K_CLOCK_MARKS: ClockMarks([ClockMark(0, clock() + NEXT - 99_999)])},
        ),
        _one("forty-seven", "LC-KEY-3", both[0], records=aged | sets(48, HEIGHT - 11)),
        _one("forty-eight sets, and a member's key", "LC-KEY-3", tx("bob", rotate(of=BOB)), records=aged | sets(48, HEIGHT - 10)),
        _one("a validator's share of the sets is used", "LC-KEY-2", both[0], records=aged | _turns(members, V1, 13, HEIGHT - 11)),
        _one("one of its turns is too old", "LC-KEY-2", both[0], records=aged | _turns(members, V1, 13, HEIGHT - 12)),
        _one(
            "a share that is used, a moment after a rotation: the moment is tested first",
            "LC-KEY-2",
            both[0],
            records=aged | _turns(members, V1, 13, HEIGHT - 11) | {keys.changes_key(V1): KeyChanges(1, clock() + NEXT - 1, 0)},
        ),
        _one(
            "one of more validators than sets, for the first time",
            "LC-KEY-2",
            tx("v1", rotate(of=V1)),
            records=unpaid | _turns(crowd, V1, 1, HEIGHT - 11),
        ),
        _one(
            "one of more validators than sets: each has one turn",
            "LC-KEY-2",
            tx("v1", rotate(of=V1)),
            records=unpaid | _turns(crowd, V1, 2, HEIGHT - 11),
        ),
        _one(
            "of seven, six turns: what is left over is nobody's",
            "LC-KEY-2",
            tx("v1", rotate(of=V1)),
            records=unpaid | _turns(crowd[:7], V1, 7, HEIGHT - 11),
        ),
        _one("another one's share is used", "LC-KEY-2", both[1], records=aged | _turns(members, V1, 13, HEIGHT - 11)),
        _one(
            "it left and came back with another key",
            "LC-KEY-2",
            both[0],
            records=aged | _turns(members, V1, 14, HEIGHT - 11, True),
        ),
        _one("sixty-four sets are kept of keys", "LC-KEY-3", both[0], records=aged | sets(64, HEIGHT - 30)),
        _one(
            "a double signing of before a rotation",
            "LC-KEY-3",
            tx("alice", double("v2", HEIGHT - 2)),
            records=_rotated(members),
        ),
        _one(
            "a double signing by the key of before",
            "LC-KEY-3",
            tx("alice", double("v2", HEIGHT - 1)),
            records=_rotated(members),
        ),
    ]


def _turns(members: list[Validator], who: bytes, count: int, first: int, out: bool = False) -> Records:
    """So many sets, a height each and then the last height's; between two of them the validator's key differs. `out`: in the
    second it is none."""
    sets = []
    for n in range(count):
        key = key_of(f"turn {n}").public if n + 1 < count else next(v.key for v in members if v.id == who)
        those = [Validator(v.id, key) if v.id == who else v for v in members]
        sets.append(Validators(min(first + n, HEIGHT - 1), [v for v in those if v.id != who] if out and n == 1 else those))
    return {K_HISTORY: History(sets), K_VALIDATORS: sets[-1]}


def _rotated(members: list[Validator]) -> Records:
    """v2 has had another key since the height before."""
    present = [Validator(v.id, key_of("new").public) if v.id == V2 else v for v in members]
    later = Validators(HEIGHT - 1, present)
    rotated = replace(account("v2"), key=key_of("new").public)
    return {K_HISTORY: History([Validators(1, members), later]), K_VALIDATORS: later, account_key(V2): rotated}


def _guardians() -> list[Maker]:
    now = clock() + NEXT
    three, most = sorted((V1, V2, V3)), keys.KeyParams().recovery_delay_max

    def named(name: str, ids: list[bytes], threshold: int, delay: int, records: Records | None = None) -> Maker:
        return _one(name, "LC-KEY-4", tx("alice", SetGuardians(ids, threshold, delay)), records=records)

    gone = {account_key(NOBODY): None}
    banned = {account_key(BOB): account("bob", status=BANNED, balance=0)}
    return [
        named("two of three guardians", three, 2, DELAY),
        named("one of one, for the longest delay", [BOB], 1, most),
        named("all of three", three, 3, DELAY),
        named("no guardians any more", [], 0, 0, guarded()),
        named("no guardians where there were none", [], 0, 0),
        named("others", [BOB], 1, DELAY, guarded()),
        named("others, with a longer delay than those in force", [BOB], 1, most, guarded()),
        named("the same once more", three, 2, DELAY, guarded()),
        named("one twice", [V1, V1], 1, DELAY),
        named("not in their order", three[::-1], 2, DELAY),
        named("oneself", [ALICE], 1, DELAY),
        named("nobody's account", [NOBODY], 1, DELAY, gone),
        named("a banned account", [BOB], 1, DELAY, banned),
        named("one who left", [BOB], 1, DELAY, member_record("bob", left=5)),
        named("none of three", three, 0, DELAY),
        named("four of three", three, 4, DELAY),
        named("one of none", [], 1, 0),
        named("a delay for none", [], 0, 1),
        named("a delay that is too short", three, 2, DELAY - 1),
        named("a delay that is too long", three, 2, most + 1),
        named("while a recovery is open", [BOB], 1, DELAY, guarded() | open_recovery((V1, "new"), until=now + 5)),
        named("those that are", three, 2, DELAY, changing(BOB, since=now + 5)),
        named("others than those that come", [V4], 1, DELAY, changing(BOB, since=now + 5)),
        named("others than those that came", [V4], 1, DELAY, changing(BOB, since=now)),
        named("those that came", [BOB], 1, DELAY, changing(BOB, since=now)),
        named("the first ones after nobody", [V4], 1, DELAY, changing(since=now)),
        named("nobody after nobody", [], 0, 0, changing(since=now)),
        named(
            "those that come, while a recovery keeps them waiting",
            [BOB],
            1,
            DELAY,
            changing(BOB, since=now) | open_recovery((V1, "new"), until=now + 5),
        ),
        named("nobody, and none of them: the accounts are tested first", [NOBODY], 0, 0, gone),
    ]


def _words() -> list[Maker]:
    now = clock() + NEXT
    first = guarded() | open_recovery((V1, "new"), until=now + 5)
    agreed = guarded() | open_recovery((V1, "new"), (V2, "new"), key="new", until=now + 5)
    banned = guarded() | {account_key(ALICE): account("alice", status=BANNED, balance=0)}
    barred = guarded() | {keys.changes_key(ALICE): KeyChanges(0, 0, now + 1)}
    free = guarded() | {keys.changes_key(ALICE): KeyChanges(0, 0, now)}
    late = guarded() | open_recovery((V1, "new"), (V2, "new"), key="new", until=now + 5) | barred
    hybrid = Recover(ALICE, bytes((6,)) + key_of("new").public[1:], bytes(64))
    open_first = open_recovery((V1, "new"), until=now + 5)
    bar = {keys.changes_key(ALICE): KeyChanges(0, 0, now + 1)}
    two, others = ((V1, "new"), (V2, "new")), ((V3, "newer"), (V4, "newer"))
    five = guarded(2, V1, V2, V3, V4, BOB) | open_recovery(*two, *others, key="new", until=now + 5)
    four = guarded(2, V1, V2, V3, V4) | open_recovery(*two, others[0], key="new", until=now + 5)
    split = ((V1, "new"), (V2, "new"), (V3, "newer"), (V4, "newer"), (BOB, "third"))
    three_keys = guarded(2, V1, V2, V3, V4, BOB) | open_recovery(*split, key="new", until=now + 5)
    all_of_four = guarded(4, V1, V2, V3, V4) | open_recovery(*two, until=now + 5, objected=True)
    against = guarded() | open_recovery((V1, "new"), until=now + 5, objected=True)
    against_two = guarded() | open_recovery(*two, until=now + 5, objected=True)
    against_three = guarded() | open_recovery(*two, (V3, "new"), key="new", until=now + 5, objected=True)

    def said(name: str, who: str, message: Recover, records: Records, rule: str = "LC-KEY-5") -> Maker:
        return _one(name, rule, tx(who, message), records=records)

    return [
        said("the first word", "v1", word(), guarded()),
        said("the word that is enough", "v2", word(), first, "LC-KEY-6"),
        said("one word is enough", "v1", word(), guarded(1), "LC-KEY-6"),
        said("a word for another key", "v2", word("newer"), first, "LC-KEY-6"),
        said("a third word", "v3", word(), agreed, "LC-KEY-6"),
        said("a third word for another key", "v3", word("newer"), agreed, "LC-KEY-6"),
        said("a word taken back from the agreed key", "v2", word("newer"), agreed, "LC-KEY-6"),
        said(
            "another key becomes the agreed one",
            "v2",
            word("newer"),
            guarded() | open_recovery((V1, "new"), (V2, "new"), (V3, "newer"), key="new", until=now + 5),
            "LC-KEY-6",
        ),
        said("more words for another key than for the agreed one", "bob", word("newer"), five, "LC-KEY-6"),
        said("as many words for another key", "v4", word("newer"), four, "LC-KEY-6"),
        said("two keys have enough words, and the agreed one has no longer", "v1", word("third"), three_keys, "LC-KEY-6"),
        said("three of four against an objection, where it takes all", "v3", word(), all_of_four, "LC-KEY-6"),
        said("two of three against an objection", "v2", word(), against, "LC-KEY-6"),
        said("three of three against an objection", "v3", word(), against_two, "LC-KEY-6"),
        said("a word taken back after an objection", "v3", word("newer"), against_three, "LC-KEY-6"),
        said("a word of who is coming", "bob", word(), changing(BOB, since=now + 5)),
        said("a word of who came", "bob", word(), changing(BOB, since=now)),
        said("a word of who went", "v1", word(), changing(BOB, since=now)),
        said("a word where nobody came", "v1", word(), changing(since=now)),
        said("a word of who comes, while a recovery is open", "bob", word(), changing(BOB, since=now) | open_first),
        said("a word soon after an objection, where others are coming", "v1", word(), changing(BOB, since=now + 5) | bar),
        said("a word soon after an objection, where others came", "bob", word(), changing(BOB, since=now) | bar),
        _one("two words in a block", "LC-KEY-6", tx("v1", word()), tx("v2", word()), records=guarded()),
        said("a word of no guardian", "bob", word(), guarded()),
        said("a word for who named nobody", "v1", word(), {}),
        said("the owner's own word", "alice", word(), guarded()),
        said("a word for a banned account", "v1", word(), banned),
        said("a word soon after an objection", "v1", word(), barred),
        said("a word when the delay is over", "v1", word(), free),
        said("a word for one that is open in spite of it", "v3", word(), late),
        said("a word for no key", "v1", hybrid, guarded()),
        said("a word for the key that the account has", "v1", word("alice"), guarded()),
        said("a word with a signature for another account", "v1", replace(word(of=BOB), account=ALICE), guarded()),
        said("the same word again", "v1", word(), first),
        said("the same word again with a bad signature: that is tested first", "v1", replace(word(), signature=bytes(64)), first),
        said("a bad key soon after an objection: that is tested first", "v1", hybrid, barred),
    ]


def _ends() -> list[Maker]:
    now = clock() + NEXT
    first = guarded() | open_recovery((V1, "new"))
    two = (V1, "new"), (V2, "new")
    agreed = guarded() | open_recovery(*two, key="new")
    three = guarded() | open_recovery(*two, (V3, "new"), key="new")
    running = guarded() | open_recovery(*two, key="new", until=now + 5)
    gone = {account_key(V2): account("v2", status=BANNED, balance=0)}
    all_agree = guarded() | open_recovery(*two, (V3, "new"), key="new", until=now + 5)
    against = guarded() | open_recovery((V1, "new"), until=now + 5, objected=True)
    of_v3 = guarded(2, V1, V2, of=V3) | open_recovery(*two, key="new", of=V3)
    of_v4 = guarded(2, V1, V2, of=V4) | open_recovery((V1, "newer"), (V2, "newer"), key="newer", of=V4)
    light: Records = {K_PARAMS: replace(genesis_of_cases().params, max_due_work=3)}
    late = guarded(2, V1, V2, of=V3) | open_recovery(*two, key="new", of=V3, until=now - 3)
    late |= guarded(2, V1, V2, of=V4) | open_recovery((V1, "newer"), (V2, "newer"), key="newer", of=V4, until=now - 3)
    stale = {**running, due_key(ALICE, now, keys.NUMBER, ALICE): Due(keys.NUMBER, ALICE)}

    def due(name: str, records: Records, *txs: bytes, rule: str = "LC-KEY-8") -> Maker:
        return _one(name, rule, *txs, records=records)

    return [
        due("an objection", running, tx("alice", ObjectRecovery()), rule="LC-KEY-7"),
        due(
            "an objection to words that are not enough",
            guarded() | open_recovery((V1, "new"), until=now + 5),
            tx("alice", ObjectRecovery()),
            rule="LC-KEY-7",
        ),
        due("an objection to what more than two thirds agreed on", all_agree, tx("alice", ObjectRecovery()), rule="LC-KEY-7"),
        due("a second objection", against, tx("alice", ObjectRecovery()), rule="LC-KEY-7"),
        due("an objection, and all of the others' words after it", running, tx("alice", ObjectRecovery()), tx("v3", word())),
        due("not enough words in time after an objection", guarded() | open_recovery(*two, objected=True), rule="LC-KEY-9"),
        due(
            "a banned guardian's word counts no more after an objection",
            guarded() | open_recovery(*two, (V3, "new"), key="new", objected=True) | gone,
        ),
        due("guardians that were coming do not come", changing(BOB, since=now - 5) | open_recovery(*two, key="new")),
        due("an objection to nothing", guarded(), tx("alice", ObjectRecovery()), rule="LC-KEY-7"),
        due("an objection when it is too late", agreed, tx("alice", ObjectRecovery())),
        due("the new key's objection when it is too late", agreed, tx("alice", ObjectRecovery(), key="new"), rule="LC-KEY-7"),
        due("an account gets the key", agreed),
        due("it acts with it at once", agreed, tx("alice", pay_to(BOB), key="new")),
        due("not enough words in time", first),
        due("a banned guardian's word counts no more", agreed | gone),
        due("a suspended guardian's word counts", agreed | {account_key(V2): account("v2", status=SUSPENDED)}),
        due("a word of a guardian that left counts", agreed | member_record("v2", left=5)),
        due("a banned guardian beside enough others", three | gone),
        due("an account that was banned", agreed | {account_key(ALICE): account("alice", status=BANNED, balance=0)}),
        due("a suspended account gets the key", agreed | {account_key(ALICE): account("alice", status=SUSPENDED, frozen=5)}),
        due("a key that is another's by now", agreed | {key_owner_key(key_of("new").public): KeyOwner(BOB, 3)}),
        due("a deadline of before", stale),
        due("a deadline of nothing", {due_key(ALICE, now, keys.NUMBER, ALICE): Due(keys.NUMBER, ALICE)}),
        due("a validator gets its key", of_v3),
        due("two validators in one block: one waits", of_v3 | of_v4),
        due("two validators in one block, late: one waits from now on", late),
        due("a recovery is as much work as it has words", of_v3 | of_v4 | light, rule="LC-BLK-31"),
        due("count goes on, and what was barred", agreed | {keys.changes_key(ALICE): KeyChanges(4, 5, 6)}),
    ]


def _parked() -> list[Maker]:
    now = clock() + NEXT
    running = guarded() | open_recovery((V1, "new"), until=now + 5)
    parked = running | {parked_key(keys.NUMBER, ALICE): Parked(3, "failed", [], [], [])}
    last = running | {parked_key(keys.NUMBER, ALICE): Parked(3, "failed", [], [], sorted((V2, V3)))}
    return [
        _one("a word for a parked recovery", "LC-BLK-20", tx("v2", word()), records=parked),
        _one("a parked recovery is given back", "LC-KEY-9", tx("v1", Release(keys.NUMBER, ALICE, True)), records=last),
    ]
