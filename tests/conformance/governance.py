"""Proposals, votes, and what they decide, after `protocol_spec/governance.md`, LC-BLK-35 and LC-BLK-36."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from tests.conformance import admission, genesis
from tests.conformance import membership as members
from tests.conformance import records as r
from tests.conformance.checks import Refused, check, step
from tests.conformance.keys import tagged
from tests.conformance.ledger import State, cancel, parked, schedule, schedule_at_height
from tests.conformance.light import quorum

GOVERNANCE = 6
ADMIT, GO, FLAG, BAN, LIFT, ADD, REMOVE, SET, UPGRADE = range(1, 10)
_CHAPTER = Path(__file__).parents[2] / "protocol_spec" / "constants.md"
_ROWS = re.findall(r"^\| ([a-z_]+) \| [0-9,]+ \| (?:([0-9,]+) to ([0-9,]+)|never) \|", _CHAPTER.read_text("utf-8"), re.MULTILINE)
BOUNDS = {name: (int(low.replace(",", "")), int(high.replace(",", ""))) for name, low, high in _ROWS if low}
"""Between which values the validators may change a parameter."""


class Proposal(NamedTuple):
    proposer: bytes
    action: list[Any]
    since: int
    expires: int
    yes: list[bytes]
    no: list[bytes]
    turn: int


def _present(s: State) -> list[bytes]:
    return [identity for identity, _ in s.validators]


def _proposal(s: State, ref: bytes) -> Proposal | None:
    found = s.get(b"op/" + ref)
    return None if found is None else Proposal(*found)


# --- Propose: LC-GOV-2 ----------------------------------------------------------------------------------------------------------


@check("LC-GOV-2", 600)
def who_proposes_is_a_validator(s: State, sender: bytes) -> bool:
    return sender in _present(s)


@check("LC-GOV-2", 602)
def it_has_fewer_than_eight_open(s: State, sender: bytes) -> bool:
    return (s.get(b"oc/" + sender) or [0])[0] < 8


@check("LC-GOV-2", 603)
def it_expires_after_now(s: State, expires: int) -> bool:
    return expires > s.clock


@check("LC-GOV-2", 603)
def it_expires_within_its_life(s: State, expires: int) -> bool:
    return expires <= s.clock + int(s.get(b"gp6/")[0])


def propose(s: State, sender: bytes, action: list[Any], expires: int) -> None:
    who_proposes_is_a_validator(s, sender)
    it_has_fewer_than_eight_open(s, sender)
    it_expires_after_now(s, expires)
    it_expires_within_its_life(s, expires)
    ref = tagged("lc/open-proposal", s.tx, bytes([s.op]))
    can_be_done(s, ref, action)
    s.put(b"oc/" + sender, [(s.get(b"oc/" + sender) or [0])[0] + 1])
    schedule(s, sender, expires, GOVERNANCE, ref)
    s.noted("proposal.made", ref, sender, action[0], expires)
    _count(s, ref, Proposal(sender, action, s.clock, expires, [sender], [], 0))


# --- VoteProposal, Withdraw: LC-GOV-3, 5 ----------------------------------------------------------------------------------------


@check("LC-BLK-20", 6)
def the_proposal_is_not_parked(s: State, ref: bytes) -> bool:
    return parked(s, GOVERNANCE, ref) is None


@check("LC-GOV-3", 600)
def who_votes_is_a_validator(s: State, sender: bytes) -> bool:
    return sender in _present(s)


@check("LC-GOV-3", 601)
def the_proposal_is_there(found: Proposal | None) -> bool:
    return found is not None


@check("LC-GOV-3", 601)
def the_proposal_s_time_is_not_over(s: State, found: Proposal) -> bool:
    return s.clock < found.expires or found.turn != 0


@check("LC-GOV-3", 606)
def the_proposal_is_not_decided(found: Proposal) -> bool:
    return found.turn == 0


@check("LC-GOV-3", 604)
def the_word_is_new_or_decides(s: State, found: Proposal, sender: bytes, yes: bool) -> bool:
    now = set(_present(s))
    decides = yes and len(now & set(found.yes)) >= quorum(len(now))
    return decides or sender not in (found.yes if yes else found.no)


@step("LC-GOV-3")
def words_of_who_left_are_dropped(s: State, words: dict[bool, set[bytes]]) -> None:
    for said in words.values():
        said &= set(_present(s))


def vote(s: State, sender: bytes, ref: bytes, yes: bool) -> None:
    the_proposal_is_not_parked(s, ref)
    who_votes_is_a_validator(s, sender)
    found = _proposal(s, ref)
    the_proposal_is_there(found)
    if found is None:
        raise Refused("no proposal to go on with")
    the_proposal_s_time_is_not_over(s, found)
    the_proposal_is_not_decided(found)
    the_word_is_new_or_decides(s, found, sender, yes)
    words = {True: set(found.yes), False: set(found.no)}
    words_of_who_left_are_dropped(s, words)
    words[yes].add(sender)
    words[not yes].discard(sender)
    s.noted("proposal.voted", ref, sender, "yes" if yes else "no")
    _count(s, ref, found._replace(yes=sorted(words[True]), no=sorted(words[False])))


@check("LC-GOV-5", 605)
def who_withdraws_proposed_it(found: Proposal, sender: bytes) -> bool:
    return found.proposer == sender


@check("LC-GOV-5", 606)
def what_is_withdrawn_is_not_decided(found: Proposal) -> bool:
    return found.turn == 0


def withdraw(s: State, sender: bytes, ref: bytes) -> None:
    the_proposal_is_not_parked(s, ref)
    found = _proposal(s, ref)
    the_proposal_is_there(found)
    if found is None:
        raise Refused("no proposal to go on with")
    the_proposal_s_time_is_not_over(s, found)
    who_withdraws_proposed_it(found, sender)
    what_is_withdrawn_is_not_decided(found)
    _end(s, ref, found, "proposal.withdrawn")


# --- counting: LC-GOV-4 ---------------------------------------------------------------------------------------------------------


def _count(s: State, ref: bytes, found: Proposal) -> None:
    n = len(_present(s))
    if len(found.yes) >= quorum(n):
        cancel(s, found.proposer, found.expires, GOVERNANCE, ref)
        _decide(s, ref, found)
    elif n - len(found.no) < quorum(n):
        _end(s, ref, found, "proposal.rejected")
    else:
        s.put(b"op/" + ref, found)


def _decide(s: State, ref: bytes, found: Proposal) -> None:
    if found.action[0] in (ADD, REMOVE) and s.get(b"gh/")[0][-1][0] > s.height:
        schedule_at_height(s, s.height + 1, found.proposer, GOVERNANCE, ref)
        s.put(b"op/" + ref, found._replace(turn=s.clock))
        s.noted("proposal.waits", ref, s.height + 1)
        return
    _remove(s, ref, found)
    try:
        can_be_done(s, ref, found.action)
    except Refused as refused:
        s.noted("proposal.failed", ref, refused.code)
        return
    s.noted("proposal.accepted", ref, len(found.yes), len(found.no), len(_present(s)))
    _do(s, ref, found.action)


def on_due(s: State, ref: bytes, at: int) -> None:
    """LC-GOV-4, 5"""
    found = _proposal(s, ref)
    if found is None:
        return
    if found.turn == at:
        words = {True: set(found.yes), False: set(found.no)}
        words_of_who_left_are_dropped(s, words)
        found = found._replace(yes=sorted(words[True]), no=sorted(words[False]), turn=0)
        if len(found.yes) >= quorum(len(s.validators)):
            _decide(s, ref, found)
            return
        s.noted("proposal.reopened", ref, len(found.yes), len(s.validators))
        if s.clock < found.expires:
            schedule(s, found.proposer, found.expires, GOVERNANCE, ref)
            s.put(b"op/" + ref, found)
            return
    if not found.turn:
        _end(s, ref, found, "proposal.expired")


def give_back(s: State, ref: bytes) -> None:
    found = _proposal(s, ref)
    if found is not None:
        _end(s, ref, found, "proposal.expired")


members.GIVE_BACK[GOVERNANCE] = give_back


def _end(s: State, ref: bytes, found: Proposal, topic: str) -> None:
    cancel(s, found.proposer, found.expires, GOVERNANCE, ref)
    _remove(s, ref, found)
    now = set(_present(s))
    s.noted(topic, ref, len(now & set(found.yes)), len(now & set(found.no)), len(now))


def _remove(s: State, ref: bytes, found: Proposal) -> None:
    s.drop(b"op/" + ref)
    left = (s.get(b"oc/" + found.proposer) or [1])[0] - 1
    if left > 0:
        s.put(b"oc/" + found.proposer, [left])
    else:
        s.drop(b"oc/" + found.proposer)


# --- actions: LC-GOV-6 to LC-GOV-9 ----------------------------------------------------------------------------------------------


@check("LC-GOV-6", 607)
def who_is_added_is_no_validator(s: State, account: bytes) -> bool:
    return account not in _present(s)


@check("LC-GOV-6", 610)
def who_is_added_is_active(s: State, account: bytes) -> bool:
    found = s.account(account)
    return found is not None and found.status == 0


@check("LC-GOV-6", 610)
def who_is_added_is_a_member(s: State, account: bytes) -> bool:
    return admission.is_member(s, account)


@check("LC-GOV-6", 609)
def the_set_has_room(s: State) -> bool:
    return len(_present(s)) < 128


@check("LC-GOV-7", 607)
def who_is_removed_is_a_validator(s: State, account: bytes) -> bool:
    return account in _present(s)


@check("LC-GOV-7", 608)
def who_is_removed_is_not_the_last(s: State) -> bool:
    return len(_present(s)) > 1


@check("LC-GOV-8", 611)
def names_ascend(names: list[str]) -> bool:
    return names == sorted(set(names))


@check("LC-GOV-8", 611)
def the_contract_has_these_parameters(known: list[str], names: list[str]) -> bool:
    return all(name in known for name in names)


@check("LC-GOV-8", 612)
def the_parameters_may_change(names: list[str]) -> bool:
    return all(name in BOUNDS for name in names)


@check("LC-GOV-8", 613)
def the_values_are_within_their_bounds(values: dict[str, int]) -> bool:
    return all(BOUNDS[name][0] <= value <= BOUNDS[name][1] for name, value in values.items() if name in BOUNDS)


@check("LC-GOV-8", 614)
def the_values_go_together(contract: int, values: dict[str, int]) -> bool:
    try:
        genesis.go_together(contract, values)
    except Refused:
        return False
    return True


@check("LC-GOV-8", 607)
def a_value_differs(before: list[int], after: list[int]) -> bool:
    return before != after


@check("LC-GOV-9", 615)
def the_version_does_not_go_back(now: int, version: int) -> bool:
    return version >= now


@check("LC-GOV-9", 607)
def another_version_is_taken_back(now: int, version: int, following: list[Any]) -> bool:
    return version != now or bool(following)


@check("LC-GOV-9", 615)
def the_upgrade_is_ahead(s: State, height: int) -> bool:
    return s.height < height <= s.height + 10_000_000


def _names(contract: int) -> list[str]:
    kind = r.PARAMS if contract == 0 else r.OF_CONTRACTS.get(contract, ("", None))[1]
    return [] if kind is None else [name for name, _ in kind.fields]


def _key(contract: int) -> bytes:
    return b"gp%d/" % contract if contract else b"gp/"


def coming(s: State, contract: int) -> list[int]:
    """LC-GOV-8: what will hold after this block."""
    pending = dict((s.get(b"gq/") or [[]])[0])
    found: list[int] = pending.get(contract) or s.get(_key(contract))
    return found


def _after(s: State, contract: int, values: list[list[Any]]) -> list[int]:
    wanted = dict(values)
    return [wanted.get(name, old) for name, old in zip(_names(contract), coming(s, contract), strict=True)]


@check("LC-GOV-10", 616)
def who_is_banned_is_no_validator(s: State, account: bytes) -> bool:
    following = s.get(b"gn/") or s.get(b"gv/")
    return account not in _present(s) and account not in [identity for identity, _ in following[1]]


def of_membership(s: State, ref: bytes, action: list[Any]) -> None:
    """LC-GOV-10"""
    tag, *fields = action
    if tag == ADMIT:
        admission.admit(s, fields[0], b"")
    elif tag == GO:
        admission.remove(s, fields[0])
    elif tag == FLAG:
        admission.set_verifier(s, *fields)
    elif tag == BAN:
        admission.ban(s, fields[0], ref)
    else:
        admission.lift_ban(s, fields[0], admission.burned(s, fields[0]), ref)


def can_be_done(s: State, ref: bytes, action: list[Any]) -> None:
    tag, *fields = action
    if tag <= LIFT:
        if tag == BAN:
            who_is_banned_is_no_validator(s, fields[0])
        before, told = dict(s.records), list(s.events)
        try:
            of_membership(s, ref, action)
        finally:
            s.records, s.events = before, told
        return
    if tag == ADD:
        who_is_added_is_no_validator(s, fields[0])
        who_is_added_is_active(s, fields[0])
        who_is_added_is_a_member(s, fields[0])
        the_set_has_room(s)
    elif tag == REMOVE:
        who_is_removed_is_a_validator(s, fields[0])
        who_is_removed_is_not_the_last(s)
    elif tag == SET:
        _can_be_set(s, *fields)
    else:
        version, following = s.get(b"gu/") or [1, []]
        the_version_does_not_go_back(version, fields[0])
        another_version_is_taken_back(version, fields[0], following)
        the_upgrade_is_ahead(s, fields[1])


def _can_be_set(s: State, contract: int, values: list[list[Any]]) -> None:
    names = [name for name, _ in values]
    names_ascend(names)
    the_contract_has_these_parameters(_names(contract), names)
    the_parameters_may_change(names)
    the_values_are_within_their_bounds(dict(values))
    after = _after(s, contract, values)
    the_values_go_together(contract, dict(zip(_names(contract), after, strict=True)))
    a_value_differs(coming(s, contract), after)


def _do(s: State, ref: bytes, action: list[Any]) -> None:
    tag, *fields = action
    if tag <= LIFT:
        of_membership(s, ref, action)
    elif tag == ADD:
        account = s.account(fields[0])
        _set_changes(s, sorted([*s.validators, [fields[0], account.key if account else b""]]))
        s.noted("validator.added", fields[0])
    elif tag == REMOVE:
        _set_changes(s, [v for v in s.validators if v[0] != fields[0]])
        s.noted("validator.removed", fields[0])
    elif tag == SET:
        contract, values = fields
        before, after = coming(s, contract), _after(s, contract, values)
        for name, old, new in zip(_names(contract), before, after, strict=True):
            if old != new:
                s.noted("parameter.changed", b"", contract, name, old, new)
        others = [one for one in (s.get(b"gq/") or [[]])[0] if one[0] != contract]
        s.put(b"gq/", [sorted([*others, [contract, after]])])
    else:
        version = (s.get(b"gu/") or [1])[0]
        s.put(b"gu/", [version, [fields] if fields[0] != version else []])
        s.noted("upgrade.set", b"", *fields)


def _set_changes(s: State, following: list[list[bytes]]) -> None:
    record = [s.height + 1, following]
    s.put(b"gn/", record)
    s.put(b"gh/", [[*s.get(b"gh/")[0], record][-64:]])


# --- at the end of a block: LC-BLK-35, 36 ---------------------------------------------------------------------------------------


@step("LC-BLK-35")
def pending_parameters_hold(s: State) -> None:
    for contract, values in (s.get(b"gq/") or [[]])[0]:
        if contract:
            number = bytes([contract])
            ends = [*(s.get(b"gw/" + number) or [[]])[0], s.clock]
            if len(ends) > 256:
                s.drop(b"gx/" + number + ends.pop(0).to_bytes(8, "big"))
            s.put(b"gw/" + number, [ends])
            s.put(b"gx/" + number + s.clock.to_bytes(8, "big"), [contract, s.get(_key(contract))])
        s.put(_key(contract), values)
    s.drop(b"gq/")


@step("LC-BLK-36")
def a_version_begins(s: State) -> None:
    known = s.get(b"gu/")
    if known is not None and known[1] and known[1][0][1] == s.height + 1:
        s.put(b"gu/", [known[1][0][0], []])
