"""Deadlines that are due: of a height, of crowds, of what is parked; and the work that a block may be."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.records import Job
from learningchain.chain.contracts.membership import (
    JudgeCase,
    Release,
)
from learningchain.chain.host import (
    K_PARAMS,
    Due,
    HeldDue,
    Parked,
    due_key,
    height_due_key,
    parked_key,
)
from tests.vectors.executed import (
    ALICE,
    BOB,
    HEIGHT,
    JOB,
    NEXT,
    V1,
    V2,
    V3,
    V4,
    WHO,
    Maker,
    Records,
    clock,
    genesis_of_cases,
    pay_to,
    tx,
)
from tests.vectors.executed_members import suspended
from tests.vectors.kit import id_of


def _crowd(spread: dict[str, int], *, at: int) -> Records:
    """So many deadlines of each account, each at its own time: those of one account all before those of the next.

    No contract has them, so each is parked with an event: who runs and in which order stands in the receipt.
    """
    found: Records = {}
    for place, (name, count) in enumerate(spread.items()):
        for n in range(count):
            ref = id_of(f"{name} {n}")
            found[due_key(id_of(name), at - 900 + 100 * place + n, 9, ref)] = Due(9, ref)
    return found


def _job(state: int, deadline: int, **changed: Any) -> Job:
    fresh = Job(state, deadline, 0, 0, 0, b"", [], [], 0, b"", 0, 0, [], 0, 0, [], [], 0, 0, 0, 0, 0, 0)
    return replace(fresh, **changed)


def _heavy(held: list[HeldDue], count: int, *, at: int, state: int = 1, claimants: int = 9) -> Records:
    """Deadlines of jobs of Alice with so many claimants each; all are parked, so that each joins its record."""
    found: Records = {}
    for n in range(count):
        ref = hashlib.sha256(b"a heavy job %d" % n).digest()
        found[due_key(ALICE, at - 2_000 + n, 3, ref)] = Due(3, ref)
        found[parked_key(3, ref)] = Parked(30, "failed", held, [], [])
        found[b"jb/" + ref] = _job(state, at - 2_000 + n, claimants=claimants)
    return found


def _heights() -> list[Maker]:
    """LC-BLK-33: deadlines that wait for a height; no contract has them, so each is parked with an event when it comes."""
    at, params = clock() + NEXT, genesis_of_cases().params

    def waiting(name: str, height: int, time: int, n: int = 0) -> Records:
        ref = id_of(f"{name} {n}")
        return {height_due_key(height, id_of(name), time, 9, ref): Due(9, ref)}

    crowd: Records = {}
    for n in range(5):
        crowd |= waiting("alice", HEIGHT + 1, at - 9 + n, n)
    few = {K_PARAMS: replace(params, max_due=2, max_due_work=2)}
    known: Records = {due_key(BOB, at - 5, 9, JOB): Due(9, JOB)}
    return [
        Maker("a deadline of the next height", "LC-BLK-33", records=waiting("alice", HEIGHT + 1, at - 9)),
        Maker("a deadline of the height after the next", "LC-BLK-33", records=waiting("alice", HEIGHT + 2, at - 9)),
        Maker("a deadline of a height that is past", "LC-BLK-33", records=waiting("alice", HEIGHT - 1, at - 9)),
        Maker("beside a deadline of a time", "LC-BLK-33", records=waiting("alice", HEIGHT + 1, at - 9) | known),
        Maker("more than two blocks run", "LC-BLK-33", records=few | crowd),
    ]


def _fences() -> list[Maker]:
    at, later = clock() + NEXT, clock() + 10**6
    params = genesis_of_cases().params
    held = [HeldDue(ALICE, at)]
    case = suspended(until=later)

    def parked(*, retry: list[bytes] | None = None, give_back: list[bytes] | None = None, contract: int = 2) -> Records:
        record = Parked(30, "failed", held, sorted(retry or []), sorted(give_back or []))
        return {parked_key(contract, ALICE): record}

    def say(name: str, who: str, op: Any, records: Records, rule: str = "LC-MEM-13") -> Maker:
        return Maker(name, rule, [tx(who, op)], records)

    retry, back = Release(2, ALICE, False), Release(2, ALICE, True)
    last, first = (WHO[identity] for identity in sorted((V1, V2, V3, V4), reverse=True)[::3])
    words, backs = ([tx(name, op) for name in (last, first)] for op in (retry, back))
    many = [HeldDue(ALICE, at - 1_000 + n) for n in range(64)]
    full = {parked_key(2, ALICE): Parked(30, "failed", many, [], [])}
    few = {K_PARAMS: replace(params, max_due=16)}
    light = {K_PARAMS: replace(params, max_due=16, max_due_work=30)}
    two = [tx("alice", pay_to(BOB)), tx("bob", pay_to(ALICE))]
    three = [*two, tx("v1", retry)]
    stopped = [tx("alice", Transfer(BOB, 0, b""), pay_to(BOB), pay_to(BOB)), tx("bob", pay_to(ALICE))]

    def working(name: str, txs: list[bytes], most: int) -> Maker:
        return Maker(name, "LC-BLK-25", txs, {K_PARAMS: replace(params, block_work=most)}, lenient=10_000)

    return [
        Maker("a deadline of a contract that has none", "LC-BLK-20", records={due_key(BOB, at, 1, JOB): Due(1, JOB)}),
        Maker("a deadline of no contract", "LC-BLK-20", records={due_key(BOB, at, 9, JOB): Due(9, JOB)}),
        Maker("a deadline of a parked case", "LC-BLK-20", records=suspended(until=at) | parked()),
        Maker("another deadline of a parked case", "LC-BLK-20", records=parked() | {due_key(BOB, at - 1, 2, ALICE): Due(2, ALICE)}),
        Maker(
            "the first 64 deadlines of what is parked are kept",
            "LC-BLK-20",
            records=full | {due_key(BOB, at - 999, 2, ALICE): Due(2, ALICE)},
        ),
        say("a word on a case that is parked", "v1", JudgeCase(ALICE, True), case | parked(), "LC-BLK-20"),
        say(
            "a word of who is no validator, on a parked case: the parking is tested first",
            "bob",
            JudgeCase(ALICE, True),
            case | parked(),
            "LC-BLK-20",
        ),
        say(
            "a word on a case of which another contract's namesake is parked",
            "v1",
            JudgeCase(ALICE, True),
            case | parked(contract=1),
            "LC-BLK-20",
        ),
        say("a first word for running again", "v1", retry, parked()),
        say("a first word for giving back", "v1", back, case | parked()),
        say("who is no validator releases nothing", "bob", retry, parked()),
        say("no validator, and nothing parked: the sender is tested first", "bob", retry, {}),
        say("nothing is parked", "v1", retry, {}),
        say("the reference of another contract is parked", "v1", retry, parked(contract=1)),
        say("a contract that has nothing to give back", "v1", Release(1, ALICE, True), parked(contract=1)),
        say("a contract that nobody knows", "v1", Release(9, ALICE, True), parked(contract=9)),
        say("the same word of a release again", "v1", retry, parked(retry=[V1])),
        say("the same word for giving back again", "v1", back, parked(give_back=[V1])),
        say("a mind changed for giving back", "v1", back, parked(retry=[V1, V2])),
        say("a mind changed for running again", "v1", retry, parked(give_back=[V1, V2])),
        say("words of who is a validator no more are dropped", "v1", retry, parked(retry=[BOB, V2], give_back=[BOB, V3])),
        Maker("words on what is parked are kept in the order of ids", "LC-MEM-13", words, parked()),
        Maker("words for giving back are kept in the order of ids", "LC-MEM-13", backs, case | parked()),
        say("a quorum lets it run again", "v1", retry, parked(retry=[V2, V3])),
        say("a quorum gives the case back", "v1", back, case | parked(give_back=[V2, V3])),
        say("a quorum gives back a case that is gone", "v1", back, parked(give_back=[V2, V3])),
        Maker(
            "one account has its share of a block's deadlines", "LC-BLK-14", records=few | _crowd({"alice": 15, "bob": 3}, at=at)
        ),
        Maker("what others leave is used", "LC-BLK-14", records=few | _crowd({"alice": 30}, at=at)),
        Maker("rounds of many accounts", "LC-BLK-14", records=few | _crowd({"alice": 7, "bob": 6, "v1": 5, "v2": 4}, at=at)),
        Maker("a round that is cut", "LC-BLK-14", records=few | _crowd({"v2": 9, "bob": 7, "alice": 7}, at=at)),
        Maker(
            "a share is one deadline at least",
            "LC-BLK-14",
            records={K_PARAMS: replace(params, max_due=3)} | _crowd({"alice": 5, "bob": 1, "v1": 1}, at=at),
        ),
        Maker("a deadline that reaches the work of a block is its last", "LC-BLK-31", records=light | _heavy(held, 5, at=at)),
        Maker(
            "heavy deadlines are their account's share alone",
            "LC-BLK-31",
            records=light | _heavy(held, 5, at=at) | _crowd({"bob": 9, "v1": 2}, at=at),
        ),
        Maker(
            "a draw is as much work as the seats of a second round, and a sixteenth of the flags",
            "LC-BLK-31",
            records={K_PARAMS: replace(params, max_due=16, max_due_work=2 * (1 + 64 + 1))} | _heavy(held, 4, at=at, state=4),
        ),
        Maker(
            "verdicts are as much work as the first stakes that an end gives back, besides their seats",
            "LC-BLK-31",
            records={K_PARAMS: replace(params, max_due=16, max_due_work=2 * (1 + 128))}
            | _heavy(held, 4, at=at, state=6, claimants=200),
        ),
        Maker(
            "a case is as much work as it has references",
            "LC-BLK-31",
            records={K_PARAMS: replace(params, max_due_work=3)} | suspended(until=at) | _crowd({"bob": 3}, at=at),
        ),
        working("as much work as may be", two, 2),
        working("more work than may be", two, 1),
        working("a release is more work", three, 130),
        working("a release is too much work", three, 129),
        working("messages behind a refused one are no work", stopped, 2),
        working("a refused message is work", stopped, 1),
    ]


def cases() -> list[Maker]:
    return [*_heights(), *_fences()]
