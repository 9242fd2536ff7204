"""Proposals from their begin to their end: the votes, the quorum, and whose turn it is to change the set."""

from __future__ import annotations

from msgspec.structs import replace

from learningchain.chain.contracts.governance import actions
from learningchain.chain.contracts.governance.messages import MAX_OPEN, GovernanceCode, Propose, VoteProposal, Withdraw, kind_of
from learningchain.chain.contracts.governance.params import GovernanceParams
from learningchain.chain.contracts.governance.records import NUMBER, OpenCount, OpenProposal, count_key, proposal_id, proposal_key
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host
from learningchain.chain.types import format_span, quorum

WORK = 64
"""It sets a deadline, and the last word does what was proposed."""


def propose(host: Host, sender: bytes, m: Propose) -> None:
    """LC-GOV-2"""
    _need_validator(host, sender)
    count = host.get(count_key(sender), OpenCount)
    if count is not None and count.count >= MAX_OPEN:
        raise Reject(GovernanceCode.TOO_MANY_PROPOSALS, f"{MAX_OPEN} of your proposals are open: withdraw one, or wait for its end")
    longest = host.params_of(GovernanceParams).proposal_life
    if not host.clock < m.expires <= host.clock + longest:
        text = (
            f"a proposal expires after now, {host.clock} on the chain clock, and within {format_span(longest)}, not at {m.expires}"
        )
        raise Reject(GovernanceCode.BAD_EXPIRY, text)
    proposal = proposal_id(host.tx_id, host.op_index)
    actions.check(host, proposal, m.action)
    host.put(count_key(sender), OpenCount(count.count + 1 if count else 1))
    host.schedule(m.expires, NUMBER, proposal, sender)
    host.emit("proposal.made", proposal, sender, int(kind_of(m.action)), m.expires)
    _count(host, proposal, OpenProposal(sender, m.action, host.clock, m.expires, [sender], [], 0))


def vote(host: Host, sender: bytes, m: VoteProposal) -> None:
    """LC-GOV-3: a word said again counts only where it decides now: the set may have changed since."""
    _need_validator(host, sender)
    record = _open(host, m.proposal)
    if record.turn:
        raise Reject(GovernanceCode.DECIDED, "it is decided and waits for the next block")
    now = {v.id for v in host.validators()}
    words = {True: {*record.yes} & now, False: {*record.no} & now}
    again = sender in words[m.yes]
    words[m.yes].add(sender)
    words[not m.yes].discard(sender)
    if again and not (m.yes and len(words[True]) >= quorum(len(now))):
        raise Reject(GovernanceCode.SAME_VOTE, "this word is recorded already, and decides nothing")
    host.emit("proposal.voted", m.proposal, sender, "yes" if m.yes else "no")
    _count(host, m.proposal, replace(record, yes=sorted(words[True]), no=sorted(words[False])))


def withdraw(host: Host, sender: bytes, m: Withdraw) -> None:
    """LC-GOV-5"""
    record = _open(host, m.proposal)
    if sender != record.proposer:
        raise Reject(GovernanceCode.NOT_THE_PROPOSER, "only its proposer withdraws a proposal")
    if record.turn:
        raise Reject(GovernanceCode.DECIDED, "it is decided and waits for the next block")
    _end(host, m.proposal, record, "proposal.withdrawn")


def on_due(host: Host, proposal: bytes, at: int) -> None:
    """LC-GOV-4, 5: its turn to change the set has come, or its time is over."""
    record = host.get(proposal_key(proposal), OpenProposal)
    if record is None:
        return
    if record.turn == at:
        # Its votes are counted again: the set is another one than when they were given.
        now = {v.id for v in host.validators()}
        record = replace(record, yes=[i for i in record.yes if i in now], no=[i for i in record.no if i in now], turn=0)
        if len(record.yes) >= quorum(len(now)):
            _decide(host, proposal, record)
            return
        host.emit("proposal.reopened", proposal, len(record.yes), len(now))
        if host.clock < record.expires:
            host.schedule(record.expires, NUMBER, proposal, record.proposer)
            host.put(proposal_key(proposal), record)
            return
    if record.turn == 0:
        _end(host, proposal, record, "proposal.expired")


def give_back(host: Host, proposal: bytes) -> None:
    """LC-BLK-20: a proposal whose deadline failed ends without effect."""
    record = host.get(proposal_key(proposal), OpenProposal)
    if record is not None:
        _end(host, proposal, record, "proposal.expired")


# --- parts --------------------------------------------------------------------------------------------------------------------


def _need_validator(host: Host, sender: bytes) -> None:
    """LC-GOV-1: of the set that signs this block, suspended ones among them."""
    if all(v.id != sender for v in host.validators()):
        raise Reject(GovernanceCode.NOT_A_VALIDATOR, "only validators of the present set propose and vote")


def _open(host: Host, proposal: bytes) -> OpenProposal:
    record = host.get(proposal_key(proposal), OpenProposal)
    if record is None or (host.clock >= record.expires and not record.turn):
        raise Reject(GovernanceCode.NO_PROPOSAL, "there is no open proposal with this id")
    return record


def _count(host: Host, proposal: bytes, record: OpenProposal) -> None:
    """LC-GOV-4: words of validators of the present set alone are in the record. Decided by more than two thirds of all of them;
    rejected once so many said no that this cannot be reached."""
    n = len(host.validators())
    if len(record.yes) >= quorum(n):
        host.cancel(record.expires, NUMBER, proposal, record.proposer)
        _decide(host, proposal, record)
    elif n - len(record.no) < quorum(n):
        _end(host, proposal, record, "proposal.rejected")
    else:
        host.put(proposal_key(proposal), record)


def _decide(host: Host, proposal: bytes, record: OpenProposal) -> None:
    """No deadline of it is set. Where the set changed in this block already, it waits for the next one."""
    if actions.changes_the_set(record.action) and host.set_is_changed():
        turn = host.schedule_at_height(host.height + 1, NUMBER, proposal, record.proposer)
        host.put(proposal_key(proposal), replace(record, turn=turn))
        host.emit("proposal.waits", proposal, host.height + 1)
        return
    try:
        actions.check(host, proposal, record.action)
    except Reject as refused:
        _remove(host, proposal, record)
        host.emit("proposal.failed", proposal, refused.code)
        return
    _remove(host, proposal, record)
    host.emit("proposal.accepted", proposal, len(record.yes), len(record.no), len(host.validators()))
    actions.perform(host, proposal, record.action)


def _end(host: Host, proposal: bytes, record: OpenProposal, topic: str) -> None:
    """It ends without effect."""
    host.cancel(record.expires, NUMBER, proposal, record.proposer)
    _remove(host, proposal, record)
    now = {v.id for v in host.validators()}
    host.emit(topic, proposal, len(now & {*record.yes}), len(now & {*record.no}), len(now))


def _remove(host: Host, proposal: bytes, record: OpenProposal) -> None:
    host.delete(proposal_key(proposal))
    count = host.get(count_key(record.proposer), OpenCount)
    if count is not None and count.count > 1:
        host.put(count_key(record.proposer), OpenCount(count.count - 1))
    else:
        host.delete(count_key(record.proposer))
