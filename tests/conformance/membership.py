"""Members, their strikes, rests and marks, cases, and words on what is parked, after `membership.md`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.conformance import judging
from tests.conformance.checks import check, step
from tests.conformance.ledger import (
    ACTIVE,
    BANNED,
    SUSPENDED,
    State,
    cancel,
    count,
    parked,
    parked_key,
    schedule,
)
from tests.conformance.light import quorum

KEPT_REFS, KEPT_VERDICTS = 64, 64
LIFTED, LAPSED, IS_BANNED = "case.lifted", "case.lapsed", "banned"

PARTIES: dict[int, Callable[[State, bytes, bytes], bool]] = {}
"""LC-MEM-20, by contract: whether an account has a part in a reference."""
TOLD: dict[int, Callable[[State, bytes, bytes, bool], None]] = {}
"""LC-MEM-8, by contract: how a case ended."""
GIVE_BACK: dict[int, Callable[[State, bytes], None]] = {}
INVITATION_GIVEN_BACK: list[Callable[[State, bytes], None]] = []
ON_BAN: list[Callable[[State, bytes], None]] = []
"""LC-PRE-13: what becomes of the models of who is banned, and of those that it served."""
ALL_ARE_REVOKED: list[Callable[[State, bytes], None]] = []
"""LC-MEM-25: what becomes of the invitations of who is banned."""


class Member(NamedTuple):
    root: bytes
    verifier: bool
    verifier_since: int
    rests_until: int
    capacity: list[list[int]]
    capacity_since: int
    strikes: list[list[Any]]
    draws: list[list[Any]]
    inviter: bytes = b""
    since: int = 0
    left: int = 0
    box_key: bytes = b""
    box_since: int = 0


class Case(NamedTuple):
    number: int
    since: int
    until: int
    refs: list[list[Any]]
    confirm: list[bytes]
    lift: list[bytes]


# --- members: LC-MEM-1 to LC-MEM-3, LC-MEM-15 to LC-MEM-19 ----------------------------------------------------------------------


def member_of(s: State, identity: bytes) -> Member:
    found = s.get(b"m/" + identity)
    return Member(identity, False, 0, 0, [], 0, [], []) if found is None else Member(*found)


def set_member(s: State, identity: bytes, member: Member) -> None:
    s.put(b"m/" + identity, member)


def root_of(s: State, identity: bytes) -> bytes:
    """LC-MEM-15"""
    return member_of(s, identity).root


def is_banned(s: State, identity: bytes) -> bool:
    account = s.account(identity)
    return account is not None and account.status == BANNED


def strike(s: State, identity: bytes, owner: bytes, reason: str, ref: bytes) -> None:
    """LC-MEM-1"""
    _strike(s, identity, owner, root_of(s, owner), reason, ref)


def _strike(s: State, identity: bytes, owner: bytes, origin: bytes, reason: str, ref: bytes) -> None:
    if is_banned(s, identity):
        return
    member = member_of(s, identity)
    kept = judging.with_strike(member.strikes, origin, s.clock, s.member_params.standing_life)
    set_member(s, identity, member._replace(strikes=kept))
    s.noted("strike", identity, reason, ref, owner)


def stands(s: State, identity: bytes) -> bool:
    """LC-MEM-2"""
    return judging.live(member_of(s, identity).strikes, s.clock) < 3


def is_flagged(s: State, identity: bytes) -> bool:
    """LC-MEM-2"""
    member = member_of(s, identity)
    return member.verifier and s.clock >= member.rests_until and stands(s, identity) and not is_banned(s, identity)


def _flagged(s: State) -> list[tuple[bytes, Member]]:
    members = sorted(key for key in s.records if key.startswith(b"m/"))
    return [(key[2:], Member(*s.get(key))) for key in members if is_flagged(s, key[2:])]


def flagged(s: State, owner: bytes, needed: list[int]) -> list[int]:
    """LC-MEM-2: how many without the owner; how many of them declared a capacity that covers this."""
    found = [member for identity, member in _flagged(s) if identity != owner]
    return [len(found), sum(bool(m.capacity) and judging.covers(m.capacity[0], needed) for m in found)]


def able(s: State, needed: list[int], before: int) -> list[bytes]:
    """LC-MEM-2"""
    return [
        identity
        for identity, m in _flagged(s)
        if m.verifier_since < before and m.capacity and m.capacity_since < before and judging.covers(m.capacity[0], needed)
    ]


@check("LC-MEM-16", 210)
def who_declares_is_a_member(s: State, identity: bytes) -> bool:
    return s.get(b"m/" + identity) is not None


@check("LC-MEM-16", 211)
def a_capacity_has_a_known_architecture(arch: int) -> bool:
    return arch in (1, 2)


CAPACITY = ((10, 1_024_000), (6, 4_194_304), (1, 2**36), (1, 2**34), (1, 86_400))


@check("LC-MEM-16", 211)
def a_capacity_is_within_bounds(capacity: list[int]) -> bool:
    return all(low <= value <= high for value, (low, high) in zip(capacity[1:], CAPACITY, strict=True))


@check("LC-MEM-16", 212)
def a_capacity_is_another_one(member: Member, capacity: list[int]) -> bool:
    return member.capacity != [capacity]


def set_capacity(s: State, sender: bytes, capacity: list[int]) -> None:
    """LC-MEM-16"""
    who_declares_is_a_member(s, sender)
    a_capacity_has_a_known_architecture(capacity[0])
    a_capacity_is_within_bounds(capacity)
    member = member_of(s, sender)
    a_capacity_is_another_one(member, capacity)
    set_member(s, sender, member._replace(capacity=[capacity], capacity_since=s.clock))
    s.noted("capacity", sender, *capacity)


@check("LC-MEM-34", 210)
def who_trains_is_a_member(s: State, identity: bytes) -> bool:
    return s.get(b"m/" + identity) is not None


@check("LC-MEM-34", 211)
def a_training_is_on_a_known_architecture(arch: int) -> bool:
    return arch in (1, 2)


@check("LC-MEM-34", 211)
def a_training_is_one_that_a_job_may_ask_for(train_s: int) -> bool:
    return train_s <= 30 * 86_400


@check("LC-MEM-34", 212)
def a_training_is_another_one(known: list[int] | None, arch: int, train_s: int) -> bool:
    return train_s > 0 if known is None else known[:2] != [arch, train_s]


def set_training(s: State, sender: bytes, arch: int, train_s: int) -> None:
    """LC-MEM-34"""
    who_trains_is_a_member(s, sender)
    a_training_is_on_a_known_architecture(arch)
    a_training_is_one_that_a_job_may_ask_for(train_s)
    a_training_is_another_one(s.get(b"mw/" + sender), arch, train_s)
    s.put(b"mw/" + sender, [arch, train_s, s.clock])
    s.noted("training", sender, arch, train_s)


@step("LC-MEM-34")
def it_trains_for_nobody(s: State, identity: bytes) -> None:
    known = s.get(b"mw/" + identity)
    if known is not None and known[1] > 0:
        s.put(b"mw/" + identity, [known[0], 0, s.clock])


def record_draw(s: State, identity: bytes, owner: bytes, bad: bool, silent: bool) -> None:
    """LC-MEM-3, 18"""
    member = member_of(s, identity)
    if is_banned(s, identity) or s.clock < member.rests_until:
        return
    draws, rests = judging.with_draw(member.draws, [root_of(s, owner), bad, silent])
    until = s.clock + s.member_params.standing_life if rests else member.rests_until
    set_member(s, identity, member._replace(draws=draws, rests_until=until))
    if rests:
        s.noted("verifier.rests", identity, until)


def count_vote(s: State, identity: bytes, owner: bytes, bad: bool) -> None:
    """LC-MEM-17"""
    if is_banned(s, identity):
        return
    key = b"mv/" + root_of(s, owner) + identity
    known = s.get(key)
    votes = [*(known[0] if known else []), [s.clock, bad]][-judging.KEPT_VOTES :]
    while votes and not votes[0][1]:
        votes = votes[1:]
    if votes:
        s.put(key, [votes])
    else:
        s.drop(key)


def marked(s: State, identities: list[bytes], owner: bytes) -> list[bytes]:
    """LC-MEM-17: those of them that are."""
    found, life = [], s.member_params.standing_life
    for identity in identities:
        votes = s.get(b"mv/" + root_of(s, owner) + identity)
        if votes is not None and judging.is_marked(votes[0], s.clock, life):
            found.append(identity)
    return found


def keep_verdict(s: State, identity: bytes, owner: bytes, verdict: int) -> None:
    """LC-MEM-19"""
    if root_of(s, owner) == root_of(s, identity):
        return
    case, known = s.get(b"mc/" + identity), s.get(b"mj/" + identity) or [[], 0]
    number = case[0] if case is not None and verdict == judging.IS_FALSE else 0
    every = [*known[0], [root_of(s, owner), verdict, s.clock, number, False]]
    s.put(b"mj/" + identity, [every[-KEPT_VERDICTS:], known[1] + max(0, len(every) - KEPT_VERDICTS)])


# --- suspension: LC-MEM-4 to LC-MEM-8, LC-MEM-20 --------------------------------------------------------------------------------


def accuse(s: State, identity: bytes, owner: bytes, amount: int, ref: bytes, contract: int) -> bool:
    """LC-MEM-4: false where it counts as a ban."""
    account = s.account(identity)
    if account is None or account.status == BANNED:
        return False
    frozen = min(account.balance, amount)
    if frozen:
        s.moved("frozen", identity, identity, frozen, ref)
    held = account._replace(status=SUSPENDED, balance=account.balance - frozen, frozen=account.frozen + frozen)
    s.set_account(identity, held)
    found, appeal = s.get(b"mc/" + identity), s.member_params.appeal
    entry = [ref, contract, owner, root_of(s, owner)]
    until = s.clock + appeal
    if found is None:
        number = (s.get(b"mn/") or [0])[0] + 1
        s.put(b"mn/", [number])
        case = Case(number, s.clock, until, [entry], [], [])
    else:
        old = Case(*found)
        until = max(old.until, min(until, old.since + 4 * appeal))
        cancel(s, identity, old.until, 2, identity)
        case = old._replace(until=until, refs=_with(old.refs, entry))
    s.put(b"mc/" + identity, case)
    schedule(s, identity, until, 2, identity)
    s.noted("suspended" if found is None else "case.extended", identity, ref, owner, frozen, until, case.number)
    return True


def _with(refs: list[list[Any]], entry: list[Any]) -> list[list[Any]]:
    """LC-MEM-4: the last of an origin that another one before it has gives its place to a new origin."""
    every = [*refs, entry]
    if len(every) > KEPT_REFS:
        first = {ref[3]: at for at, ref in reversed([*enumerate(every)])}
        if first[entry[3]] < KEPT_REFS:
            return refs
        every.pop(max((at for at, ref in enumerate(refs) if first[ref[3]] < at), default=KEPT_REFS))
    return every


def barred_from(s: State, identity: bytes, owner: bytes) -> bool:
    """LC-JOB-21: suspended in a case with work of this owner's root."""
    found = s.get(b"mc/" + identity)
    return found is not None and any(entry[3] == root_of(s, owner) for entry in found[3])


def judges_of(s: State, accused: bytes) -> set[bytes]:
    """LC-MEM-20"""
    return {identity for identity, _ in s.validators if identity != accused and not is_banned(s, identity)}


@check("LC-BLK-20", 6)
def the_case_is_not_parked(s: State, identity: bytes) -> bool:
    return parked(s, 2, identity) is None


@check("LC-MEM-6", 200)
def the_sender_is_a_judge(judges: set[bytes], sender: bytes) -> bool:
    return sender in judges


@check("LC-MEM-6", 201)
def the_account_has_a_case(s: State, identity: bytes) -> bool:
    return s.get(b"mc/" + identity) is not None


@check("LC-MEM-6", 209)
def who_confirms_is_not_suspended(s: State, sender: bytes, confirm: bool) -> bool:
    account = s.account(sender)
    return not confirm or account is None or account.status != SUSPENDED


@check("LC-MEM-6", 209)
def who_confirms_has_no_part_in_it(s: State, case: Case, sender: bytes, confirm: bool) -> bool:
    return not confirm or not any(c in PARTIES and PARTIES[c](s, ref, sender) for ref, c, _, _ in case.refs)


@check("LC-MEM-6", 202)
def this_word_is_not_recorded_yet(case: Case, sender: bytes, confirm: bool) -> bool:
    return sender not in (case.confirm if confirm else case.lift)


def judge_case(s: State, sender: bytes, identity: bytes, confirm: bool) -> None:
    """LC-MEM-6"""
    the_case_is_not_parked(s, identity)
    judges = judges_of(s, identity)
    the_sender_is_a_judge(judges, sender)
    the_account_has_a_case(s, identity)
    case = Case(*s.get(b"mc/" + identity))
    who_confirms_is_not_suspended(s, sender, confirm)
    who_confirms_has_no_part_in_it(s, case, sender, confirm)
    this_word_is_not_recorded_yet(case, sender, confirm)
    words = {True: set(case.confirm), False: set(case.lift)}
    words[confirm].add(sender)
    words[not confirm].discard(sender)
    case = case._replace(confirm=sorted(words[True]), lift=sorted(words[False]))
    s.put(b"mc/" + identity, case)
    s.noted("case.judged", identity, sender, "confirm" if confirm else "lift")
    if not confirm and 2 * len(judges & words[False]) > len(judges):
        cancel(s, identity, case.until, 2, identity)
        end(s, identity, case, LIFTED)


def corroborated(s: State, identity: bytes) -> bool:
    """LC-MEM-5"""
    life = s.member_params.standing_life
    recent = [v for v in (s.get(b"mj/" + identity) or [[], 0])[0] if v[2] > s.clock - life]
    false = {origin for origin, verdict, _, _, lifted in recent if verdict == judging.IS_FALSE and not lifted}
    return len(false) >= 2 and all(v[0] in false for v in recent if v[1] == judging.IS_OK)


def close_case(s: State, identity: bytes, at: int) -> None:
    """LC-MEM-7"""
    found = s.get(b"mc/" + identity)
    if found is None or Case(*found).until != at:
        return
    case, judges = Case(*found), judges_of(s, identity)
    said = judges & set(case.confirm)
    who_counts = {judge for judge in judges if judge in said or may_confirm(s, case, judge)}
    confirms, counted = len(said), len(who_counts)
    enough = 3 * confirms > 2 * counted
    if corroborated(s, identity) and 2 * confirms > counted and 3 * confirms > len(judges):
        enough = True
    end(s, identity, case, IS_BANNED if enough and 2 * counted >= len(judges) else LAPSED)


def may_confirm(s: State, case: Case, judge: bytes) -> bool:
    """LC-MEM-20"""
    account = s.account(judge)
    part = any(c in PARTIES and PARTIES[c](s, ref, judge) for ref, c, _, _ in case.refs)
    return not part and (account is None or account.status != SUSPENDED)


def end(s: State, identity: bytes, case: Case, outcome: str) -> None:
    """LC-MEM-8"""
    judges, first = judges_of(s, identity), case.refs[0][0]
    confirms, lifts = len(judges & set(case.confirm)), len(judges & set(case.lift))
    s.drop(b"mc/" + identity)
    account = s.account(identity)
    assert account is not None
    if outcome == IS_BANNED:
        end_account(s, identity, first)
    else:
        if account.frozen:
            s.moved("returned", identity, identity, account.frozen, first)
        s.set_account(identity, account._replace(status=ACTIVE, balance=account.balance + account.frozen, frozen=0))
    if outcome == LIFTED:
        its_verdicts_become_lifted(s, identity, case.number)
    if outcome == LAPSED and lifts <= confirms:
        a_lapse_strikes_once_for_each_origin(s, identity, case)
    s.noted(outcome, identity, first, case.number, confirms, lifts, len(judges))
    for ref, contract, _, _ in case.refs:
        if contract in TOLD and parked(s, contract, ref) is None:
            TOLD[contract](s, ref, identity, outcome == IS_BANNED)


def end_account(s: State, identity: bytes, ref: bytes) -> None:
    """LC-MEM-8"""
    for revoked in ALL_ARE_REVOKED:
        revoked(s, identity)
    account = s.account(identity)
    assert account is not None
    lost = account.balance + account.frozen
    s.put(b"mb/" + identity, [lost])
    if lost:
        count(s, 0, lost)
        s.moved("ban", identity, b"", lost, ref)
    s.set_account(identity, account._replace(status=BANNED, balance=0, frozen=0))
    member = member_of(s, identity)._replace(verifier=False)
    set_member(s, identity, member)
    it_trains_for_nobody(s, identity)
    if member.inviter:
        the_inviter_is_struck(s, member.inviter, identity, ref)
    for told in ON_BAN:
        told(s, identity)


@step("LC-MEM-8")
def the_inviter_is_struck(s: State, inviter: bytes, identity: bytes, ref: bytes) -> None:
    _strike(s, inviter, identity, identity, "invitee.banned", ref)


@step("LC-MEM-8")
def its_verdicts_become_lifted(s: State, identity: bytes, number: int) -> None:
    known = s.get(b"mj/" + identity)
    if known is not None:
        last = [[*verdict[:4], verdict[4] or verdict[3] == number] for verdict in known[0]]
        s.put(b"mj/" + identity, [last, known[1]])


@step("LC-MEM-8")
def a_lapse_strikes_once_for_each_origin(s: State, identity: bytes, case: Case) -> None:
    struck = set()
    for ref, _, owner, origin in case.refs:
        if origin not in struck:
            struck.add(origin)
            strike(s, identity, owner, "lapsed", ref)


def reinstate(s: State, identity: bytes) -> None:
    """LC-MEM-14"""
    if len(identity) == 32:
        INVITATION_GIVEN_BACK[0](s, identity)
        return
    found = s.get(b"mc/" + identity)
    if found is not None:
        case = Case(*found)
        cancel(s, identity, case.until, 2, identity)
        end(s, identity, case, LIFTED)


GIVE_BACK[2] = reinstate

# --- words on what is parked: LC-MEM-13 -----------------------------------------------------------------------------------------


@check("LC-MEM-13", 200)
def who_releases_is_a_validator(s: State, sender: bytes) -> bool:
    return any(identity == sender for identity, _ in s.validators)


@check("LC-MEM-13", 207)
def the_reference_is_parked(s: State, contract: int, ref: bytes) -> bool:
    return parked(s, contract, ref) is not None


@check("LC-MEM-13", 208)
def the_contract_has_something_to_give_back(contract: int, give_back: bool) -> bool:
    return not give_back or contract in GIVE_BACK


@check("LC-MEM-13", 202)
def this_word_of_a_release_is_not_recorded_yet(words: list[bytes], sender: bytes) -> bool:
    return sender not in words


class Disappeared(Exception):
    """What was looked for a moment ago: a check that would have refused was taken out."""


def release(s: State, sender: bytes, contract: int, ref: bytes, give_back: bool) -> None:
    """LC-MEM-13"""
    who_releases_is_a_validator(s, sender)
    the_reference_is_parked(s, contract, ref)
    the_contract_has_something_to_give_back(contract, give_back)
    found = parked(s, contract, ref)
    if found is None:
        raise Disappeared(contract, ref)
    this_word_of_a_release_is_not_recorded_yet(found.give_back if give_back else found.retry, sender)
    ids = {v[0] for v in s.validators}
    words = {True: set(found.give_back) & ids, False: set(found.retry) & ids}
    words[give_back].add(sender)
    words[not give_back].discard(sender)
    word = "give back" if give_back else "retry"
    s.noted("release.voted", ref, contract, sender, word)
    if len(words[give_back]) < quorum(len(ids)):
        s.put(parked_key(contract, ref), found._replace(retry=sorted(words[False]), give_back=sorted(words[True])))
        return
    s.drop(parked_key(contract, ref))
    s.noted("released", ref, contract, word)
    if give_back:
        GIVE_BACK[contract](s, ref)
        return
    for account, time in found.held:
        schedule(s, account, time, contract, ref)
