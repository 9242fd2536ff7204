"""Proposals and votes of the validators, parameters and upgrades."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.governance import (
    AddValidator,
    Admit,
    Ban,
    GovernanceParams,
    LiftBan,
    OpenCount,
    OpenProposal,
    ParamValue,
    Propose,
    Remove,
    RemoveValidator,
    SetParameters,
    SetVerifier,
    Upgrade,
    VoteProposal,
    Withdraw,
    count_key,
    proposal_key,
)
from learningchain.chain.contracts.job import JobParams
from learningchain.chain.contracts.membership import (
    BanRecord,
    Release,
    ban_key,
    member_in,
    member_key,
)
from learningchain.chain.host import (
    BANNED,
    K_HISTORY,
    K_NEXT_VALIDATORS,
    K_PARAMS,
    K_PENDING_PARAMS,
    K_PROTOCOL,
    K_VALIDATORS,
    SUSPENDED,
    BurnedSince,
    Due,
    History,
    NextProtocol,
    ParamHistory,
    ParamValues,
    Parked,
    PendingParams,
    Protocol,
    Validators,
    account_key,
    burned_since_key,
    due_key,
    param_history_key,
    params_key,
    parked_key,
    past_params_key,
)
from learningchain.chain.host.parameters import values_of
from learningchain.chain.ledger.state import State
from learningchain.chain.types import (
    Validator,
)
from tests.vectors.executed import (
    ALICE,
    BOB,
    HEIGHT,
    NAMES,
    NEXT,
    NOBODY,
    V1,
    V2,
    V3,
    V4,
    Maker,
    Records,
    account,
    clock,
    genesis_of_cases,
    pay_to,
    tx,
)
from tests.vectors.executed_members import suspended
from tests.vectors.kit import id_of, key_of


def cases() -> list[Maker]:
    """LC-GOV-1 to LC-GOV-10, LC-BLK-35, 36, at the edges of the quorum: four validators, three decide."""
    now = clock() + NEXT
    add, drop = AddValidator(ALICE), RemoveValidator(V4)
    proposal = hashlib.sha256(b"a proposal").digest()
    params = genesis_of_cases().params
    last = now + GovernanceParams().proposal_life

    def offer(
        name: str, rule: str, action: Any, *, who: str = "v1", expires: int = now + 9_000, records: Records | None = None
    ) -> Maker:
        return Maker(name, rule, [tx(who, Propose(action, expires))], dict(records or {}))

    def standing(
        action: Any, yes: list[bytes], no: list[bytes], *, expires: int = now + 9_000, turn: int = 0, at: int = 0
    ) -> Records:
        """An open proposal of v1, with its deadline."""
        record = OpenProposal(V1, action, now - 9_000, expires, sorted(yes), sorted(no), turn)
        due = due_key(V1, at or expires, 6, proposal)
        return {proposal_key(proposal): record, count_key(V1): OpenCount(1), due: Due(6, proposal)}

    def word(name: str, rule: str, who: str, records: Records, *, yes: bool = True, more: list[bytes] | None = None) -> Maker:
        return Maker(name, rule, [*(more or []), tx(who, VoteProposal(proposal, yes))], records)

    def take_back(name: str, rule: str, who: str, records: Records) -> Maker:
        return Maker(name, rule, [tx(who, Withdraw(proposal))], records)

    def setting(contract: int, **named: int) -> SetParameters:
        return SetParameters(contract, [ParamValue(one, named[one]) for one in sorted(named)])

    def decided(action: Any) -> Maker:
        return word(f"decided: {type(action).__name__}", "LC-GOV-4", "v3", standing(action, [V1, V2], []))

    quorum_less_one = standing(add, [V1, V2], [])
    banned_bob = {account_key(BOB): account("bob", status=BANNED, balance=0), ban_key(BOB): BanRecord(5_000_000)}
    burned_since = banned_bob | {burned_since_key(BOB): BurnedSince(77)}
    gone_member = replace(member_in(State(), ALICE), left=now - 5)
    five = sorted([Validator(id_of(n), key_of(n).public) for n in (*NAMES, "bob")], key=lambda v: v.id)
    changed = {K_HISTORY: History([Validators(1, five), Validators(HEIGHT + 1, five)])}
    gone = standing(add, [V1, V2, BOB], [])
    alone = {K_VALIDATORS: Validators(1, [Validator(V1, key_of("v1").public)])}
    many = [Validator(bytes([n]) * 20, key_of("v1").public) for n in range(124)]
    own = [Validator(id_of(name), key_of(name).public) for name in NAMES]
    full: Records = {
        K_VALIDATORS: Validators(1, sorted([*own, *many], key=lambda v: v.id)),
        K_PARAMS: replace(params, block_reward=0),
    }
    second = {K_PROTOCOL: Protocol(2, [])}
    following = {K_PROTOCOL: Protocol(1, [NextProtocol(2, HEIGHT + 9)])}
    lately = {K_PROTOCOL: Protocol(1, [NextProtocol(2, HEIGHT + 1)])}
    pending = {K_PENDING_PARAMS: PendingParams([ParamValues(3, [*values_of(replace(JobParams(), job_max_open=86_400_000))])])}
    past = {param_history_key(3): ParamHistory(list(range(1, 257)))} | {
        past_params_key(3, end): ParamValues(3, values_of(JobParams())) for end in (1, 2)
    }
    away = {account_key(ALICE): account("alice", status=SUSPENDED)}
    unordered = SetParameters(0, [ParamValue("quota", 100), ParamValue("heartbeat", 5_000)])
    twice = SetParameters(0, [ParamValue("quota", 100), ParamValue("quota", 101)])
    open_job = replace(JobParams(), job_min_open=86_000_000)
    fixed_and_low, fixed_and_none = setting(0, bandwidth_window=1, drift=1), setting(0, bandwidth_window=1, job_reveal=1)
    as_it_is = setting(3, job_max_open=JobParams().job_max_open)
    coming_bob = changed | {K_NEXT_VALIDATORS: Validators(HEIGHT + 1, five)}
    banned_v4 = {account_key(V4): account("v4", status=BANNED, balance=0)}
    return [
        offer("a proposal", "LC-GOV-2", add),
        offer("a proposal of who is no validator", "LC-GOV-1", add, who="alice"),
        offer("a proposal of a suspended validator", "LC-GOV-1", add, records={account_key(V1): account("v1", status=SUSPENDED)}),
        offer("a ninth open proposal", "LC-GOV-2", add, records={count_key(V1): OpenCount(8)}),
        offer("an eighth open proposal", "LC-GOV-2", add, records={count_key(V1): OpenCount(7)}),
        offer("a proposal that expires now", "LC-GOV-2", add, expires=now),
        offer("a proposal that expires as late as may be", "LC-GOV-2", add, expires=last),
        offer("a proposal that expires too late", "LC-GOV-2", add, expires=last + 1),
        offer(
            "a ninth that expires now: the number is tested first",
            "LC-GOV-2",
            add,
            expires=now,
            records={count_key(V1): OpenCount(8)},
        ),
        offer("what cannot be done, expiring now: that is tested first", "LC-GOV-2", AddValidator(V2), expires=now),
        offer("a ninth by who is no validator: the validator is tested first", "LC-GOV-2", add, who="bob", expires=now),
        Maker("two proposals of one transaction", "LC-GOV-2", [tx("v1", *[Propose(add, now + 9)] * 2)]),
        offer("the only validator decides at once", "LC-GOV-4", add, records=alone),
        word("a third word of four decides", "LC-GOV-4", "v3", quorum_less_one),
        word("a second word of four does not", "LC-GOV-4", "v2", standing(add, [V1], [])),
        word("a word of who is no validator", "LC-GOV-1", "alice", quorum_less_one),
        word(
            "a suspended validator decides", "LC-GOV-1", "v3", quorum_less_one | {account_key(V3): account("v3", status=SUSPENDED)}
        ),
        Maker("a word on no proposal", "LC-GOV-3", [tx("v1", VoteProposal(proposal, True))]),
        word("a word on a proposal whose time is over", "LC-GOV-3", "v3", standing(add, [V1], [], expires=now, at=now + 7)),
        word("a word said again", "LC-GOV-3", "v1", quorum_less_one),
        word("a no said again", "LC-GOV-3", "v3", standing(add, [V1], [V3]), yes=False),
        word("a no said again where the yes are a quorum", "LC-GOV-3", "v4", standing(add, [V1, V2, V3], [V4]), yes=False),
        word("a word said again that decides with one of who left", "LC-GOV-3", "v1", standing(add, [V1, V2, BOB], [])),
        word("a word said again that decides now", "LC-GOV-3", "v1", standing(add, [V1, V2, V3], [])),
        word("a mind changed to yes", "LC-GOV-3", "v2", standing(add, [V1], [V2])),
        word("a mind changed to no", "LC-GOV-3", "v2", standing(add, [V1, V2], []), yes=False),
        word("words of who left the set count for nothing", "LC-GOV-3", "v2", standing(add, [V1, BOB, ALICE], [NOBODY])),
        word("a word that a left one's no does not hold back", "LC-GOV-3", "v3", standing(add, [V1, V2], [BOB, ALICE])),
        word("no of two of four rejects", "LC-GOV-4", "v3", standing(add, [V1], [V2]), yes=False),
        word("no of one of four does not", "LC-GOV-4", "v3", standing(add, [V1], []), yes=False),
        word(
            "a word where the proposal is parked",
            "LC-BLK-20",
            "v3",
            quorum_less_one | {parked_key(6, proposal): Parked(3, "failed", [], [], [])},
        ),
        word(
            "a word of who is no validator, on one that is parked: the parking is tested first",
            "LC-BLK-20",
            "alice",
            quorum_less_one | {parked_key(6, proposal): Parked(3, "failed", [], [], [])},
        ),
        word("a second change of the set waits", "LC-GOV-4", "v3", quorum_less_one | changed),
        word("a removal from a set that changed waits", "LC-GOV-4", "v3", standing(drop, [V1, V2], []) | changed),
        word(
            "what does not change the set does not wait", "LC-GOV-4", "v3", standing(Upgrade(2, HEIGHT + 9), [V1, V2], []) | changed
        ),
        Maker(
            "what is decided and waits, when its time is over",
            "LC-GOV-3",
            [tx("v4", VoteProposal(proposal, False)), tx("v1", Withdraw(proposal))],
            standing(add, [V1, V2, V3], [], turn=now - 1, at=now + 7, expires=now),
        ),
        take_back(
            "what is decided, withdrawn by another: the proposer is tested first",
            "LC-GOV-5",
            "v2",
            standing(add, [V1, V2, V3], [], turn=now - 1, at=now + 7),
        ),
        Maker(
            "a word on what is decided and waits",
            "LC-GOV-3",
            [tx("v4", VoteProposal(proposal, False)), tx("v1", Withdraw(proposal))],
            standing(add, [V1, V2, V3], [], turn=now - 1, at=now + 7),
        ),
        Maker("its turn comes", "LC-GOV-4", records=standing(add, [V1, V2, V3], [], turn=now - 1, at=now - 1)),
        Maker(
            "its turn comes and the quorum is gone",
            "LC-GOV-4",
            records=standing(add, gone[proposal_key(proposal)].yes, [BOB], turn=now - 1, at=now - 1),
        ),
        Maker(
            "its turn comes, the quorum is gone and its time is over",
            "LC-GOV-4",
            records=standing(add, [V1, V2], [], turn=now - 1, at=now - 1, expires=now),
        ),
        Maker(
            "its turn comes and the set changed again",
            "LC-GOV-4",
            records=standing(add, [V1, V2, V3], [], turn=now - 1, at=now - 1) | changed,
        ),
        Maker("its time is over", "LC-GOV-5", records=standing(add, [V1, V2], [V3, BOB], expires=now)),
        Maker("a deadline of no proposal", "LC-GOV-5", records={due_key(V1, now, 6, proposal): Due(6, proposal)}),
        Maker("a deadline of what waits for its turn", "LC-GOV-5", records=standing(add, [V1, V2, V3], [], turn=now + 7, at=now)),
        take_back("withdrawn", "LC-GOV-5", "v1", quorum_less_one),
        take_back("one of two withdrawn", "LC-GOV-5", "v1", quorum_less_one | {count_key(V1): OpenCount(2)}),
        take_back("withdrawn by another", "LC-GOV-5", "v2", quorum_less_one),
        take_back("withdrawn when its time is over", "LC-GOV-5", "v1", standing(add, [V1], [], expires=now, at=now + 7)),
        Maker("withdrawn where none is", "LC-GOV-5", [tx("v1", Withdraw(proposal))]),
        take_back(
            "withdrawn where it is parked",
            "LC-BLK-20",
            "v1",
            quorum_less_one | {parked_key(6, proposal): Parked(3, "failed", [], [], [])},
        ),
        Maker(
            "a parked proposal is given back",
            "LC-GOV-5",
            [tx("v1", Release(6, proposal, True))],
            quorum_less_one | {parked_key(6, proposal): Parked(3, "failed", [], [], sorted([V2, V3]))},
        ),
        word("what cannot be done any more fails", "LC-GOV-4", "v3", standing(AddValidator(V4), [V1, V2], [])),
        offer("adding a validator once more", "LC-GOV-6", AddValidator(V2)),
        offer("adding nobody", "LC-GOV-6", AddValidator(NOBODY), records={account_key(NOBODY): None}),
        offer("adding a suspended account", "LC-GOV-6", add, records=away),
        offer("adding to a full set", "LC-GOV-6", add, records=full),
        offer("adding a suspended account to a full set: the account is tested first", "LC-GOV-6", add, records=full | away),
        offer("adding who joins the set with the next block", "LC-GOV-6", AddValidator(BOB), records=coming_bob),
        offer("removing who is no validator", "LC-GOV-7", RemoveValidator(ALICE)),
        offer("removing the last one", "LC-GOV-7", RemoveValidator(V1), records=alone),
        offer("adding who left", "LC-GOV-6", add, records={member_key(ALICE): gone_member}),
        offer("admitting", "LC-GOV-10", Admit(key_of("nobody").public), records={account_key(NOBODY): None}),
        offer("admitting who is there", "LC-GOV-10", Admit(key_of("bob").public)),
        offer("removing a validator from the network", "LC-GOV-10", Remove(V4)),
        offer("a flag that stands", "LC-GOV-10", SetVerifier(V4, True)),
        offer("banning a validator", "LC-GOV-10", Ban(V4)),
        offer("banning a validator that is banned: the set is tested first", "LC-GOV-10", Ban(V4), records=banned_v4),
        offer("banning who joins the set with the next block", "LC-GOV-10", Ban(BOB), records=coming_bob),
        offer("removing who joins the set with the next block from the network", "LC-GOV-10", Remove(BOB), records=coming_bob),
        offer("banning who is banned", "LC-GOV-10", Ban(BOB), records=banned_bob),
        offer("banning who left", "LC-GOV-10", Ban(ALICE), records={member_key(ALICE): gone_member}),
        offer("banning who is no member", "LC-GOV-10", Ban(NOBODY)),
        offer("lifting the ban of nobody", "LC-GOV-10", LiftBan(BOB)),
        decided(Admit(key_of("nobody").public)),
        decided(Remove(BOB)),
        decided(SetVerifier(BOB, True)),
        decided(SetVerifier(V2, False)),
        decided(Ban(BOB)),
        word("a ban ends a case", "LC-GOV-10", "v3", standing(Ban(ALICE), [V1, V2], []) | suspended(until=now + 9_000)),
        word("a ban is lifted", "LC-GOV-10", "v3", standing(LiftBan(BOB), [V1, V2], []) | banned_bob),
        word("what was burned since comes back as well", "LC-MEM-31", "v3", standing(LiftBan(BOB), [V1, V2], []) | burned_since),
        Maker("what a banned account gets adds up", "LC-CRD-6", [tx("alice", pay_to(BOB))], burned_since),
        decided(drop),
        decided(setting(0, quota=100, heartbeat=5_000)),
        decided(setting(3, job_reveal=5_000)),
        decided(setting(6, proposal_life=3_600_000)),
        decided(Upgrade(2, HEIGHT + 9)),
        word("an upgrade that begins with the next block", "LC-BLK-36", "v3", standing(Upgrade(2, HEIGHT + 1), [V1, V2], [])),
        Maker("a version begins with the next block", "LC-BLK-36", records=lately),
        Maker("a block of the second version", "LC-BLK-36", records=second, header={"version": 2}),
        Maker("a block of the first version after the second began", "LC-BLK-36", records=second, header={"version": 1}),
        word("an upgrade is taken back", "LC-GOV-9", "v3", standing(Upgrade(1, HEIGHT + 9), [V1, V2], []) | following),
        word("an upgrade is put off", "LC-GOV-9", "v3", standing(Upgrade(2, HEIGHT + 90), [V1, V2], []) | following),
        offer("the present version where nothing follows", "LC-GOV-9", Upgrade(1, HEIGHT + 9)),
        Maker(
            "an earlier version", "LC-GOV-9", [tx("v1", Propose(Upgrade(1, HEIGHT + 9), now + 9))], second, header={"version": 2}
        ),
        offer("the present version at this height: the version is tested first", "LC-GOV-9", Upgrade(1, HEIGHT)),
        offer("an upgrade at this height", "LC-GOV-9", Upgrade(2, HEIGHT)),
        offer("an upgrade that is too far ahead", "LC-GOV-9", Upgrade(2, HEIGHT + 10_000_001)),
        offer("an upgrade as far ahead as may be", "LC-GOV-9", Upgrade(2, HEIGHT + 10_000_000)),
        offer("names that descend", "LC-GOV-8", unordered),
        offer("a name twice", "LC-GOV-8", twice),
        offer("a parameter that is none", "LC-GOV-8", setting(0, job_reveal=5_000)),
        offer("a contract without parameters", "LC-GOV-8", setting(1, quota=100)),
        offer("a contract that is none", "LC-GOV-8", setting(99, quota=100)),
        offer("a parameter that never changes", "LC-GOV-8", setting(0, bandwidth_window=4_096_001)),
        offer("one that never changes, and one out of its bounds: the first is tested first", "LC-GOV-8", fixed_and_low),
        offer("one that never changes, and one that is none: the second is tested first", "LC-GOV-8", fixed_and_none),
        offer("a value below its bounds", "LC-GOV-8", setting(0, drift=249)),
        offer("a value above its bounds", "LC-GOV-8", setting(0, drift=60_001)),
        offer("values at their bounds", "LC-GOV-8", setting(0, drift=60_000, heartbeat=1_000)),
        offer("values that do not go together", "LC-GOV-8", setting(0, max_due=1_535)),
        offer("a block of a little more work than the deadlines allow", "LC-GOV-8", setting(0, block_work=49_153)),
        offer("values that wait already", "LC-GOV-8", setting(3, job_max_open=86_400_000), records=pending),
        offer("values as they are, where others wait", "LC-GOV-8", as_it_is, records=pending),
        offer("deadlines that are more work than is done", "LC-GOV-8", setting(0, max_due_work=1_535)),
        offer(
            "values of jobs that do not go together", "LC-GOV-8", setting(3, job_max_open=60_000), records={params_key(3): open_job}
        ),
        offer("values as they are", "LC-GOV-8", setting(0, quota=params.quota)),
        word(
            "parameters that wait are what a change is tested against",
            "LC-BLK-35",
            "v3",
            standing(setting(3, job_min_open=86_400_000), [V1, V2], []) | pending,
        ),
        word("what waited is taken back: it changed all the same", "LC-BLK-35", "v3", standing(as_it_is, [V1, V2], []) | pending),
        word(
            "the oldest of 256 changes is forgotten", "LC-BLK-35", "v3", standing(setting(3, job_reveal=5_000), [V1, V2], []) | past
        ),
        Maker("a change begins after its block", "LC-BLK-35", records=pending),
    ]
