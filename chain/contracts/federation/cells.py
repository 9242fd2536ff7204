"""Federations of few values with secrecy `sum`: a cell of owners that is summed whole or not at all. LC-FED-55 to 60.

    DRAW    form      the first time the cell is drawn, of all that are in; nobody is ever added to it
    TRAIN   trained   who sent no file has missed; one that is missing: VOID TOO_FEW
    HAVE    decide    a file that one of three aggregators lacks: VOID SPLIT, and its owner has missed
    SCREEN, SUM       SealParts by all three, then PinSealed by all three, then the Screen, and the sum, as two of them say

An attempt needs three aggregators to its end: who is silent, or sealed another part of a mask than the one that knows it too, ends
it, and is drawn no more while three others are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import and_
from typing import TypeVar

from msgspec.structs import replace

from learningchain.chain.contracts.federation import cell_formulas, ends, formulas, measuring, pool, records
from learningchain.chain.contracts.federation.guards import attempt_in, live, require_active, require_cid, require_drawn
from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    STEPS,
    FederationCode,
    FileCode,
    PartStage,
    PinSealed,
    ScreenUpdates,
    SealParts,
    ServeCells,
    SumCells,
    parts_seal,
)
from learningchain.chain.contracts.federation.records import (
    AcceptedSets,
    AttemptRecord,
    AttemptRoster,
    CellServer,
    FederationServer,
    FederationState,
    MemberState,
    MissedAttempts,
    RosterEntry,
    RoundRecord,
    VoidReason,
)
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.errors import Reject
from learningchain.chain.host import VERIFIERS, Host

T = TypeVar("T")
ABSENT, LACKED, UNPROVED = 1, 2, 3
"""Why an attempt is missed."""
STAGES = {PartStage.ROWS: FederationState.SCREEN, PartStage.SUMS: FederationState.SUM}
MASKED = 0
"""The share that is the masked numbers themselves: all three have it."""


# --- the cell (LC-FED-56 to 58) ---------------------------------------------------------------------------------------------------


def is_in_cell(federation: FederationContext, index: int) -> bool:
    """By one more than the index."""
    return bool(index) and bool(formulas.of_bitmap(federation.cell.cell) >> (index - 1) & 1)


def _members(federation: FederationContext) -> list[RosterEntry]:
    """Who is left of the cell, or could be in it before it is drawn."""
    host, now = federation.host, federation.cell
    vetted, left = host.service(VERIFIERS).is_available, formulas.of_bitmap(now.cell)
    active = [(who, one.index - 1) for who, one in federation.active() if not host.is_banned(who)]
    return [RosterEntry(who, index, vetted(who)) for who, index in active if not now.stands or left >> index & 1]


def _is_enough(federation: FederationContext, members: Sequence[RosterEntry], least: int) -> bool:
    terms = federation.terms
    return len(members) >= least and sum(one.vetted or not terms.vetted for one in members) >= terms.min_sum


def require_cell(federation: FederationContext) -> None:
    """LC-FED-56: 514, 516."""
    terms, stands, members = federation.terms, federation.cell.stands, _members(federation)
    least = cell_formulas.LEAST_IN_CELL if stands else terms.min_members
    if not _is_enough(federation, members, least):
        text = f"{len(members)} members {'are left of the cell' if stands else 'are in'}, {least} are needed"
        counted = f", and {terms.min_sum} with the flag" if terms.vetted else ""
        raise Reject(FederationCode.TOO_FEW_MEMBERS, text + counted)
    if len(aggregators(federation)) < AGGREGATORS:
        raise Reject(FederationCode.NO_AGGREGATORS, "fewer than three verifiers may aggregate, and a cell needs three")


def form(federation: FederationContext) -> bool:
    """At the end of DRAW: the cell, where it does not stand, and who of it is in this attempt; False where too few are."""
    members, now = _members(federation), federation.cell
    if not now.stands:
        if not _is_enough(federation, members, cell_formulas.LEAST_IN_CELL):
            return False
        bits = sum(1 << one.index for one in members)
        missed = [MissedAttempts(one.index, 0) for one in sorted(members, key=lambda one: one.index)]
        federation.change_cell(stands=True, cell=formulas.to_bitmap(bits, bits.bit_length()), missed=missed)
        federation.emit("fed.cell", 1, *(one.account for one in members))
    for who, one in federation.members():
        if federation.host.is_banned(who):
            leave_cell(federation, who, one.index)
    federation.host.put(records.roster_key(federation.id), AttemptRoster(members))
    return _is_enough(federation, members, cell_formulas.LEAST_IN_CELL)


def leave_cell(federation: FederationContext, account: bytes, index: int) -> None:
    """For ever: its place stays empty. `index`: one more than the index."""
    if not is_in_cell(federation, index):
        return
    left = formulas.of_bitmap(federation.cell.cell) & ~(1 << (index - 1))
    federation.change_cell(cell=formulas.to_bitmap(left, left.bit_length()))
    federation.emit("fed.gone.cell", account)


def _miss(federation: FederationContext, account: bytes, index: int, why: int) -> None:
    """LC-FED-58: the latest of its attempts is a miss; the third of sixteen costs it its place."""
    known = federation.cell.missed
    row = next(one.attempts for one in known if one.index == index) | 1
    federation.change_cell(missed=[replace(one, attempts=row) if one.index == index else one for one in known])
    federation.emit("fed.missed", federation.attempt.number, account, why)
    member = federation.member(account)
    if cell_formulas.is_gone(row) and member is not None and is_in_cell(federation, index + 1):
        federation.put_member(account, replace(member, state=MemberState.GONE))
        leave_cell(federation, account, index + 1)


# --- who may aggregate (LC-FED-57) ------------------------------------------------------------------------------------------------


def serve_cells(host: Host, sender: bytes, m: ServeCells) -> None:
    """LC-FED-57"""
    if m.on:
        require_active(host, sender, "serve federations with cells")
        if host.get(records.serving_key(sender), FederationServer) is None:
            raise Reject(FederationCode.WRONG_STATE, "you do not serve federations: say that first (ServeFederation)")
        host.put(records.cell_serving_key(sender), CellServer(host.clock))
    else:
        host.delete(records.cell_serving_key(sender))
    host.emit("fed.serving.cells", sender, int(m.on))


def aggregators(federation: FederationContext) -> list[bytes]:
    """Without those that failed in an attempt, and the last that alone lacked what two others had, while three remain; then without
    members, while as many remain as have to be able."""
    found = list(pool.able(federation))
    lacked = federation.cell.lacked[-max(1, len(found) // 3) :]
    others = [one for one in found if one not in lacked and not federation.is_excluded(one)]
    if len(others) >= AGGREGATORS:
        found = others
    others = [one for one in found if not federation.has_joined(one)]
    needed = max(AGGREGATORS, pool.least(federation.host, federation.sponsor, federation.terms))
    return others if len(others) >= needed else found


def _lack(federation: FederationContext, account: bytes) -> None:
    known = [one for one in federation.cell.lacked if one != account]
    federation.change_cell(lacked=[*known, account][-records.MOST_LACKED :])


def _fails(federation: FederationContext, silent: Iterable[bytes] = (), differs: Iterable[bytes] = ()) -> None:
    for account in silent:
        ends.silence(federation, account)
        ends.exclude(federation, [account])
    for account in differs:
        ends.differs(federation, account)
        ends.exclude(federation, [account])


# --- TRAIN, HAVE (LC-FED-58, 59) --------------------------------------------------------------------------------------------------


def trained(federation: FederationContext) -> None:
    attempt, roster = federation.attempt, federation.roster
    committed, rows = formulas.of_bitmap(attempt.committed), federation.cell.missed
    inside = {one.index for one in roster}
    after = [replace(one, attempts=cell_formulas.after_attempt(one.attempts, False)) for one in rows]
    federation.change_cell(missed=[new if new.index in inside else old for new, old in zip(after, rows, strict=True)])
    absent = [one for one in roster if not committed >> one.index & 1]
    for one in absent:
        _miss(federation, one.account, one.index, ABSENT)
    if absent:
        ends.void(federation, VoidReason.TOO_FEW)
        return
    at = federation.enter(FederationState.HAVE, federation.params.fed_base)
    federation.emit("fed.collect", attempt.number, at, attempt.files)


def decide(federation: FederationContext) -> None:
    """A file counts when all three have it. Who says that it lacks most of them says nothing of any."""
    attempt, files = federation.attempt, list(federation.files())
    said = [who for who in attempt.seats if federation.aggregator(who).said_have]
    have = [formulas.of_bitmap(federation.aggregator(who).have) for who in said]
    believed = [bits for bits in have if 2 * (len(files) - bits.bit_count()) <= len(files)]
    for place, file in enumerate(files):
        if any(not bits >> place & 1 for bits in believed):
            _miss(federation, file.account, file.index, LACKED)
    silent = [who for who in attempt.seats if who not in said]
    if silent:
        _fails(federation, silent)
        ends.void(federation, VoidReason.DISPUTE)
        return
    _note_lacks(federation, said, have)
    shared = reduce(and_, have)
    if shared.bit_count() < len(files) or not _is_enough(federation, federation.roster, cell_formulas.LEAST_IN_CELL):
        ends.void(federation, VoidReason.SPLIT)
        return
    with_reference = all(federation.aggregator(who).have_reference for who in said)
    bits = formulas.to_bitmap(shared, attempt.files)
    federation.change_attempt(deciding=attempt.seats, shared=bits, with_reference=with_reference)
    height = federation.enter_draw(FederationState.ROWS)
    federation.emit("fed.rows", attempt.number, height, shared.bit_count(), *attempt.seats)


def _note_lacks(federation: FederationContext, said: Sequence[bytes], have: Sequence[int]) -> None:
    """Who alone lacked a file, or the reference, that the two others had."""
    reference = [federation.aggregator(who).have_reference for who in said]
    for place, who in enumerate(said):
        others = reduce(and_, (bits for other, bits in enumerate(have) if other != place))
        if others & ~have[place] or (reference.count(True) == AGGREGATORS - 1 and not reference[place]):
            _lack(federation, who)


# --- seals and parts (LC-FED-60) --------------------------------------------------------------------------------------------------


def _staged(host: Host, m: SealParts | PinSealed, sender: bytes) -> tuple[FederationContext, AttemptRecord]:
    require_kind(live(host, m.federation), cells=True)
    known = m.stage in frozenset(PartStage)
    state = STAGES[PartStage(m.stage)] if known else FederationState.SUM
    federation, attempt = attempt_in(host, m.federation, m.attempt, state, "parts")
    require_drawn(attempt, sender)
    if not known:
        raise Reject(FederationCode.BAD_SCREEN, f"stage {m.stage} is none: 1 are rows, 2 are sums")
    return federation, attempt


def require_kind(federation: FederationContext, cells: bool) -> None:
    """LC-FED-55: some messages are of federations with cells, others of those without."""
    if formulas.has_cells(federation.terms) != cells:
        text = "has cells, and takes other messages here" if not cells else "has no cells"
        raise Reject(FederationCode.WRONG_STATE, f"the federation {text} (LC-FED-55)")


def _parts(federation: FederationContext, account: bytes, stage: int) -> dict[int, bytes]:
    """Digests by share."""
    seat = federation.aggregator(account)
    return {part.mask: part.digest for part in (seat.rows if stage == PartStage.ROWS else seat.sums)}


def seal_parts(host: Host, sender: bytes, m: SealParts) -> None:
    federation, attempt = _staged(host, m, sender)
    seat = federation.cell_seat(sender)
    if len(seat.seals) >= m.stage:
        raise Reject(FederationCode.ALREADY_SAID, "your parts of this stage are sealed")
    federation.change_cell_seat(sender, seals=[*seat.seals, m.seal])
    federation.emit("fed.sealed.parts", attempt.number, m.stage, sender)


def pin_sealed(host: Host, sender: bytes, m: PinSealed) -> None:
    federation, attempt = _staged(host, m, sender)
    if _parts(federation, sender, m.stage):
        raise Reject(FederationCode.ALREADY_SAID, "your parts of this stage are pinned")
    if any(len(federation.cell_seat(who).seals) < m.stage for who in attempt.seats):
        raise Reject(FederationCode.PARTS_MISSING, "not all three have sealed their parts of this stage")
    known = formulas.masks(attempt.seats.index(sender) + 1)
    if m.stage == PartStage.ROWS:
        known = [MASKED, *known]
    if [part.mask for part in m.parts] != known:
        raise Reject(FederationCode.BAD_SCREEN, f"at your place the shares {known} are known, in this order")
    digests, now = [part.digest for part in m.parts], federation.record
    if federation.cell_seat(sender).seals[m.stage - 1] != parts_seal(
        host.chain_id, m.federation, now.r, m.attempt, sender, m.stage, digests, m.salt
    ):
        raise Reject(FederationCode.BAD_SCREEN, "parts and salt do not open what you sealed")
    federation.change_aggregator(sender, **{"rows" if m.stage == PartStage.ROWS else "sums": m.parts})
    federation.emit("fed.pinned", m.attempt, m.stage, sender)
    liars = _conflicting(federation, attempt, sender, m.stage)
    if liars:
        _dispute(federation, attempt, liars, m.stage)


def _conflicting(federation: FederationContext, attempt: AttemptRecord, sender: bytes, stage: int) -> list[bytes]:
    """Of a mask with two digests both that pinned it; of share 0, when all three have, who differs from two, or all."""
    parts = {who: _parts(federation, who, stage) for who in attempt.seats}
    for other in attempt.seats:
        shared = (parts[sender].keys() & parts[other].keys()) - {MASKED}
        if any(parts[sender][mask] != parts[other][mask] for mask in shared):
            return [sender, other]
    if stage == PartStage.ROWS and all(parts.values()):
        said = [one[MASKED] for one in parts.values()]
        most = max(said, key=said.count)
        return [who for who in attempt.seats if parts[who][MASKED] != most or said.count(most) == 1]
    return []


def _dispute(federation: FederationContext, attempt: AttemptRecord, liars: Sequence[bytes], stage: int) -> None:
    federation.emit("fed.disputed", attempt.number, stage, *liars)
    _fails(federation, differs=liars)
    if stage == PartStage.SUMS:
        ends.pay_fees(federation, [one for one in _agreed_screen(federation) if one not in liars])
    ends.void(federation, VoidReason.DISPUTE)


def _require_all_pinned(federation: FederationContext, attempt: AttemptRecord, stage: int) -> None:
    if not all(_parts(federation, who, stage) for who in attempt.seats):
        raise Reject(FederationCode.PARTS_MISSING, "not all three have pinned their parts of this stage")


# --- what they say (LC-FED-60) ----------------------------------------------------------------------------------------------------


def screen_updates(federation: FederationContext, attempt: AttemptRecord, sender: bytes, m: ScreenUpdates) -> None:
    """Of a message that may come now."""
    _require_all_pinned(federation, attempt, PartStage.ROWS)
    if fault := _screen_fault(attempt, m):
        raise Reject(FederationCode.BAD_SCREEN, fault)
    federation.change_aggregator(sender, screen=[m])
    federation.emit("fed.said", m.attempt, PartStage.ROWS, sender)
    if all(federation.aggregator(who).screen for who in attempt.seats):
        screened(federation)


def _screen_fault(attempt: AttemptRecord, m: ScreenUpdates) -> str:
    """All files count here: they are USED, or some are UNPROVED and the others IDLE."""
    others = FileCode.IDLE if FileCode.UNPROVED in m.codes else FileCode.USED
    if len(m.codes) != attempt.files or any(code not in (FileCode.UNPROVED, others) for code in m.codes):
        return f"{attempt.files} files have a code each: all USED, or UNPROVED and beside it IDLE"
    return "a cell has neither points nor norms" if m.points or m.norm else ""


def _votes(federation: FederationContext, of: Callable[[bytes], T | None]) -> list[tuple[bytes, T | None]]:
    return [(who, of(who)) for who in federation.attempt.seats]


def _side(votes: Sequence[tuple[bytes, T | None]]) -> list[bytes]:
    """Two or three that say the same."""
    said = [vote for _, vote in votes if vote is not None]
    most = max(said, key=said.count, default=None)
    return [who for who, vote in votes if vote is not None and vote == most] if said.count(most) >= 2 else []  # type: ignore[arg-type]


def _judged(federation: FederationContext, votes: Sequence[tuple[bytes, T | None]], stage: int) -> list[bytes]:
    """Who agrees, or nobody: a silent one ends the attempt, and fails; so does who says something else than another."""
    attempt, side = federation.attempt, _side(votes)
    pinned = all(_parts(federation, who, stage) for who in attempt.seats)
    sealed = all(len(federation.cell_seat(who).seals) >= stage for who in attempt.seats)
    silent = [
        who
        for who, vote in votes
        if (
            vote is None
            if pinned
            else not _parts(federation, who, stage)
            if sealed
            else len(federation.cell_seat(who).seals) < stage
        )
    ]
    several = len({vote for _, vote in votes if vote is not None}) > 1
    _fails(federation, silent, [who for who, vote in votes if vote is not None and who not in side and several])
    return [] if silent else side


def _screen_vote(federation: FederationContext) -> Callable[[bytes], tuple[bytes, bytes] | None]:
    return lambda who: next(((one.codes, one.digest) for one in federation.aggregator(who).screen), None)


def _agreed_screen(federation: FederationContext) -> list[bytes]:
    return _side(_votes(federation, _screen_vote(federation)))


def screened(federation: FederationContext) -> None:
    side = _judged(federation, _votes(federation, _screen_vote(federation)), PartStage.ROWS)
    if not side:
        ends.void(federation, VoidReason.DISPUTE)
        return
    said, attempt, r = federation.aggregator(side[0]).screen[0], federation.attempt, federation.record.r
    files = list(federation.files())
    sums = FileCode.UNPROVED not in said.codes
    accepted = sum(1 << file.index for file in files) if sums else 0
    federation.change_attempt(codes=said.codes, accepted=formulas.to_bitmap(accepted, accepted.bit_length()))
    for file, code in zip(files, said.codes, strict=True):
        federation.emit("fed.code", r, attempt.number, file.account, code, 0, int(sums))
    for file, code in zip(files, said.codes, strict=True):
        if code == FileCode.UNPROVED:
            _miss(federation, file.account, file.index, UNPROVED)
    if not sums:
        ends.pay_fees(federation, side)
        ends.void(federation, VoidReason.SPLIT)
        return
    _keep_set(federation, accepted)
    at = federation.enter(FederationState.SUM, formulas.sum_window(federation.params, federation.terms))
    federation.emit("fed.screened", r, attempt.number, len(files), len(files), 0, at)


def _keep_set(federation: FederationContext, accepted: int) -> None:
    """LC-FED-59: whoever sums another set with a common member on this base adds more noise."""
    base, now = federation.record.base, federation.record
    known = federation.accepted_on(base)
    named = formulas.of_bitmap(now.named) | accepted
    federation.change(named=formulas.to_bitmap(named, named.bit_length()))
    if accepted not in known:
        sets = [formulas.to_bitmap(one, one.bit_length()) for one in [*known, accepted]]
        federation.host.put(records.sets_key(federation.id, base), AcceptedSets(base, sets))
        federation.change(kept=now.kept + 1)


# --- sums (LC-FED-60) -------------------------------------------------------------------------------------------------------------


def sum_cells(host: Host, sender: bytes, m: SumCells) -> None:
    require_kind(live(host, m.federation), cells=True)
    federation, attempt = attempt_in(host, m.federation, m.attempt, FederationState.SUM, "a sum")
    require_drawn(attempt, sender)
    seat = federation.cell_seat(sender)
    if seat.sum:
        raise Reject(FederationCode.ALREADY_SUMMED, "your sum of this attempt stands")
    _require_all_pinned(federation, attempt, PartStage.SUMS)
    _check_sum(attempt, m)
    federation.change_cell_seat(sender, sum=[m])
    federation.emit("fed.said", m.attempt, PartStage.SUMS, sender)
    if all(federation.cell_seat(who).sum for who in attempt.seats):
        summed(federation)


def _check_sum(attempt: AttemptRecord, m: SumCells) -> None:
    """Of one cell: the whole, and with a reference that and what lies between, at four lengths each; or nothing."""
    allowed = (len(STEPS), 3 * len(STEPS)) if attempt.with_reference else (len(STEPS),)
    if not m.sums and not m.models:
        return
    require_cid(m.sums, "the file of the sums")
    if len(m.models) not in allowed or not any(m.models):
        text = f"there are {' or '.join(map(str, allowed))} candidates, at least one of them with a name"
        raise Reject(FederationCode.BAD_FILE, text)
    for model in filter(None, m.models):
        require_cid(model, "a candidate")


def summed(federation: FederationContext) -> None:
    votes = _votes(federation, lambda who: next(((one.sums, tuple(one.models)) for one in federation.cell_seat(who).sum), None))
    screened_by, said = _agreed_screen(federation), {who for who, vote in votes if vote is not None}
    agreed = _side(votes)
    side = _judged(federation, votes, PartStage.SUMS)
    several = len({vote for _, vote in votes if vote is not None}) > 1
    ends.pay_fees(federation, [who for who in screened_by if who in said and (who in agreed or not several)])
    if not side:
        ends.void(federation, VoidReason.DISPUTE)
        return
    found = federation.cell_seat(side[0]).sum[0]
    if not found.models:
        ends.void(federation, VoidReason.NOT_FINITE)
        return
    _record(federation, side, found)


def _record(federation: FederationContext, by: list[bytes], said: SumCells) -> None:
    """The round's sum stands, once; each member has a point (LC-FED-62). Which model it is the panel says."""
    attempt, now, host = federation.attempt, federation.record, federation.host
    for file in federation.files():
        member = federation.member(file.account)
        if member is not None:
            federation.put_member(file.account, replace(member, points=member.points + 1))
    summed_round = RoundRecord(
        attempt=attempt.number,
        base=now.base,
        model=b"",
        delta=said.sums,
        clip=now.clip,
        by=by,
        accepted=attempt.accepted,
        invalid=False,
        loss=0,
        pot=0,
        outcome=0,
        settled=0,
    )
    host.put(records.round_key(federation.id, now.r), summed_round)
    if now.r > formulas.KEPT_ROUNDS:
        host.delete(records.round_key(federation.id, now.r - formulas.KEPT_ROUNDS))
    federation.change_cell(models=said.models, step=0)
    federation.change(model=b"", last=attempt.accepted, pair=[])
    federation.emit("fed.cells.summed", now.r, attempt.number, said.sums, 1, *by)
    federation.drop_attempt()
    measuring.begin(federation)
