"""From READY to the beacon of the rows: keys, files, and what aggregators have of them. LC-FED-20 to 22.

READY --all ready--> TRAIN --all committed, or its time--> HAVE --all said, or its time--> ROWS --d blocks--> SCREEN
"""

from __future__ import annotations

from functools import reduce
from operator import and_, or_

from learningchain.chain.contracts.federation import cells, ends, formulas, pool, records
from learningchain.chain.contracts.federation.guards import attempt_in, live, require_cid, require_drawn, require_sponsor
from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    CommitUpdate,
    FederationCode,
    HaveUpdates,
    PaySplit,
    ReadyKey,
    ReferUpdate,
    ticket,
)
from learningchain.chain.contracts.federation.records import FederationState, UpdateFile, VoidReason
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.crypto import is_low_order
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host
from learningchain.chain.verification.scale import ceil_div


def ready_key(host: Host, sender: bytes, m: ReadyKey) -> None:
    """LC-FED-20"""
    federation, attempt = attempt_in(host, m.federation, m.attempt, FederationState.READY, "a key")
    require_drawn(attempt, sender)
    if federation.aggregator(sender).key:
        raise Reject(FederationCode.ALREADY_READY, "your key of this attempt stands")
    if is_low_order(m.key):
        raise Reject(FederationCode.BAD_BOXES, "an X25519 key with which every secret is zero")
    federation.change_aggregator(sender, key=m.key)
    federation.emit("fed.ready", m.attempt, sender)
    if all(federation.aggregator(who).key for who in attempt.seats):
        train(federation)


def train(federation: FederationContext) -> None:
    """With those that are ready: one alone would have no other to sum with."""
    if len(federation.attempt.seats) < least_aggregators(federation):
        ends.void(federation, VoidReason.NO_AGGREGATORS)
        return
    federation.change_attempt(ready=len(federation.attempt.seats))
    at, attempt = federation.enter(FederationState.TRAIN, federation.terms.round_ms), federation.attempt
    federation.emit("fed.train", federation.record.r, attempt.number, at, *attempt.seats)


def least_aggregators(federation: FederationContext) -> int:
    """A cell needs all three to the end."""
    return AGGREGATORS if federation.has_cells else pool.LEAST_AGGREGATORS


# --- files (LC-FED-21) -----------------------------------------------------------------------------------------------------------


def commit_update(host: Host, sender: bytes, m: CommitUpdate) -> None:
    found = live(host, m.federation)
    if found.record.state == FederationState.READY:
        raise Reject(FederationCode.KEYS_MISSING, "the aggregators of this attempt are not all ready yet")
    federation, attempt = attempt_in(host, m.federation, m.attempt, FederationState.TRAIN, "a file")
    member = federation.member(sender)
    if member is None or not member.index:
        raise Reject(FederationCode.NOT_A_MEMBER, "you are no member of this federation")
    index = member.index - 1
    if all(one.account != sender for one in federation.roster):
        if member.benched_until >= attempt.number:
            text = f"three of your updates in a row were turned away: you are out until start {member.benched_until}"
            raise Reject(FederationCode.BENCHED, text)
        raise Reject(FederationCode.OUT_OF_ATTEMPT, f"you were not in when attempt {attempt.number} started")
    committed = formulas.of_bitmap(attempt.committed)
    if committed >> index & 1:
        raise Reject(FederationCode.ALREADY_COMMITTED, "your file of this attempt stands")
    size = formulas.update_size(federation.terms)
    if m.size != size:
        raise Reject(FederationCode.BAD_FILE, f"a file of this federation has {size} bytes, not {m.size}")
    require_cid(m.cid, "a file")
    host.put(records.file_key(m.federation, attempt.files), UpdateFile(sender, index, m.cid))
    committed |= 1 << index
    federation.change_attempt(files=attempt.files + 1, committed=formulas.to_bitmap(committed, committed.bit_length()))
    federation.emit("fed.file", m.attempt, sender, m.cid)
    _end_training_early(federation)


def refer_update(host: Host, sender: bytes, m: ReferUpdate) -> None:
    federation, attempt = attempt_in(host, m.federation, m.attempt, FederationState.TRAIN, "a reference")
    require_sponsor(federation, sender, "gives a reference")
    if not federation.terms.reference:
        raise Reject(FederationCode.NO_REFERENCE, "this federation was opened without a reference")
    if attempt.reference:
        raise Reject(FederationCode.ALREADY_COMMITTED, "the reference of this attempt stands")
    require_cid(m.cid, "a reference")
    federation.change_attempt(reference=m.cid)
    federation.emit("fed.reference", m.attempt, m.cid)
    _end_training_early(federation)


def _end_training_early(federation: FederationContext) -> None:
    """Where all of the roster that are not banned have committed, and the reference is there where there is one."""
    attempt = federation.attempt
    if federation.terms.reference and not attempt.reference:
        return
    committed = formulas.of_bitmap(attempt.committed)
    missing = (one.account for one in federation.roster if not committed >> one.index & 1)
    if all(federation.host.is_banned(who) for who in missing):
        trained(federation)


def trained(federation: FederationContext) -> None:
    if federation.has_cells:
        cells.trained(federation)
        return
    attempt = federation.attempt
    if attempt.files < federation.terms.min_members:
        ends.void(federation, VoidReason.TOO_FEW)
        return
    at = federation.enter(FederationState.HAVE, federation.params.fed_base)
    federation.emit("fed.collect", attempt.number, at, attempt.files)


# --- who has what (LC-FED-22) ----------------------------------------------------------------------------------------------------


def have_updates(host: Host, sender: bytes, m: HaveUpdates) -> None:
    federation, attempt = attempt_in(host, m.federation, m.attempt, FederationState.HAVE, "a bitmap")
    require_drawn(attempt, sender)
    if federation.aggregator(sender).said_have:
        raise Reject(FederationCode.ALREADY_SAID, "you said what you have")
    files = formulas.of_bitmap(m.files)
    if len(m.files) != ceil_div(attempt.files, 8) or files.bit_length() > attempt.files:
        raise Reject(FederationCode.BAD_SCREEN, f"{attempt.files} files are committed: a bit for each, and no other")
    if m.reference and not attempt.reference:
        raise Reject(FederationCode.BAD_SCREEN, "there is no reference to have in this attempt")
    federation.change_aggregator(sender, said_have=True, have=m.files, have_reference=m.reference)
    federation.emit("fed.have", m.attempt, sender, files.bit_count())
    if all(federation.aggregator(who).said_have for who in attempt.seats):
        decide(federation)


def decide(federation: FederationContext) -> None:
    """Whose bitmaps count: all that said theirs, else pairs by ticket; the files that they share are a lot of what they have.
    First those that all have the reference: whoever denies it leaves itself out, and neither the reference nor the attempt."""
    if federation.has_cells:
        cells.decide(federation)
        return
    attempt, r = federation.attempt, federation.record.r
    said = []
    for who in attempt.seats:
        if federation.aggregator(who).said_have:
            said.append(who)
        else:
            ends.silence(federation, who)
    said.sort(key=lambda who: ticket(attempt.beacon, federation.id, r, attempt.number, who))
    sets = [said] if len(said) >= 2 else []
    if len(said) == AGGREGATORS:
        sets += [[said[0], said[1]], [said[0], said[2]], [said[1], said[2]]]
    counted = _counted(federation, said)
    found = [(some, shared) for some in sets if (shared := _shared(federation, some, counted))]
    if not found:
        ends.void(federation, VoidReason.NO_SET)
        return
    informed = [one for one in found if all(federation.aggregator(who).have_reference for who in one[0])]
    some, shared = (informed or found)[0]
    with_reference = bool(informed)
    deciding = [who for who in attempt.seats if who in some]
    bits = formulas.to_bitmap(shared, attempt.files)
    federation.change_attempt(deciding=deciding, shared=bits, with_reference=with_reference)
    if federation.terms.split == PaySplit.ALIGNED and not with_reference:
        ends.void(federation, VoidReason.NO_REFERENCE)
        return
    height = federation.enter_draw(FederationState.ROWS)
    federation.emit("fed.rows", attempt.number, height, shared.bit_count(), *deciding)


def _have(federation: FederationContext, some: list[bytes]) -> list[int]:
    return [formulas.of_bitmap(federation.aggregator(who).have) for who in some]


def _counted(federation: FederationContext, said: list[bytes]) -> int:
    """The files whose absence counts: of three that spoke those that two have, else all. Whoever serves its file to one of three
    leaves out itself alone; of two nobody can say whether one denies."""
    have = _have(federation, said)
    if len(have) < AGGREGATORS:
        return reduce(or_, have, 0)
    one, two, three = have
    return one & two | one & three | two & three


def _shared(federation: FederationContext, some: list[bytes], counted: int) -> int:
    """The files that all of them have; 0 where those are none, or fewer than three quarters of the counted ones that any has."""
    have = _have(federation, some)
    both, either = reduce(and_, have), reduce(or_, have) & counted
    return both if 4 * both.bit_count() >= 3 * either.bit_count() else 0


def rows_drawn(federation: FederationContext) -> None:
    """The beacon of this block makes the rows: no update could be fitted to them."""
    attempt, host = federation.attempt, federation.host
    federation.change_attempt(rows=host.beacon)
    window = formulas.screen_window(federation.params, federation.terms, attempt.files)
    at = federation.enter(FederationState.SCREEN, window)
    federation.emit("fed.screen", attempt.number, at)
