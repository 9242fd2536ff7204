"""Federations of few values with secrecy `sum`: cells of owners, each summed whole or not at all. LC-FED-55 to 60.

    DRAW    form      the first time the cells are drawn, of all that are in, later one of who waits; nobody is ever added to one
    TRAIN   trained   who sent no file has missed, and its cell pauses; where all pause: VOID TOO_FEW
    HAVE    decide    a file that one of three aggregators lacks: its owner has missed, and its cell pauses; all: VOID SPLIT
    SCREEN, SUM       SealParts by all three, then PinSealed by all three, then the Screen, and the sum, as two of them say

An attempt needs three aggregators to its end: who is silent, or sealed another part of a mask than the one that knows it too, ends
it, and is drawn no more while three others are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import chain
from operator import and_, or_
from typing import TypeVar

from msgspec.structs import replace

from learningchain.chain.contracts.federation import cell_formulas, ends, formulas, measuring, pool, records
from learningchain.chain.contracts.federation.guards import attempt_in, live, require_active, require_cid, require_drawn
from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    MOST_CELLS,
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
    ticket,
)
from learningchain.chain.contracts.federation.records import (
    AcceptedSets,
    AttemptRecord,
    AttemptRoster,
    Cell,
    CellMember,
    CellServer,
    FederationServer,
    FederationState,
    MemberState,
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


# --- the cells (LC-FED-56 to 58) --------------------------------------------------------------------------------------------------


def is_in_cell(federation: FederationContext, index: int) -> bool:
    """By one more than the index."""
    return bool(index) and any(_has(cell, index - 1) for cell in federation.cells.cells)


def _has(cell: Cell, index: int) -> bool:
    return bool(formulas.of_bitmap(cell.members) >> index & 1)


def members_of(cell: Cell) -> list[int]:
    """Indexes."""
    return formulas.indexes_of(formulas.of_bitmap(cell.members))


def cell_of(number: int, indexes: Iterable[int]) -> Cell:
    bits = reduce(or_, (1 << index for index in indexes), 0)
    return Cell(number, formulas.to_bitmap(bits, bits.bit_length()))


def active(federation: FederationContext) -> list[RosterEntry]:
    """Banned ones are not among them."""
    host = federation.host
    vetted = host.service(VERIFIERS).is_available
    return [RosterEntry(who, one.index - 1, vetted(who)) for who, one in federation.active() if not host.is_banned(who)]


def _is_enough(federation: FederationContext, members: Sequence[RosterEntry], least: int) -> bool:
    return len(members) >= least and len(counted(federation, members)) >= federation.terms.min_sum


def counted(federation: FederationContext, members: Sequence[RosterEntry]) -> list[RosterEntry]:
    return [one for one in members if one.vetted or not federation.terms.vetted]


def manned(federation: FederationContext) -> list[tuple[Cell, list[RosterEntry]]]:
    """All cells, with their members."""
    members = active(federation)
    return [(cell, [one for one in members if _has(cell, one.index)]) for cell in federation.cells.cells]


def left_of(federation: FederationContext) -> list[tuple[Cell, list[RosterEntry]]]:
    """Those that may be in an attempt."""
    return [(cell, left) for cell, left in manned(federation) if _is_enough(federation, left, cell_formulas.LEAST_IN_CELL)]


def outside(federation: FederationContext) -> list[RosterEntry]:
    """Who waits, or is of a cell that rests."""
    inside = {one.index for _, members in left_of(federation) for one in members}
    return [one for one in active(federation) if one.index not in inside]


def _newcomers(federation: FederationContext) -> list[RosterEntry]:
    """Those outside, where they are enough for a new cell, and there is room for one."""
    waiting, room = outside(federation), len(left_of(federation)) < MOST_CELLS
    return waiting if room and _is_enough(federation, waiting, cell_formulas.usual_size(federation.terms)) else []


def require_cell(federation: FederationContext) -> None:
    """LC-FED-56: 514, 516."""
    terms = federation.terms
    flagged = f", {terms.min_sum} with the flag" if terms.vetted else ""
    if federation.cells.numbered:
        if not left_of(federation) and not _newcomers(federation):
            new = cell_formulas.usual_size(terms)
            text = f"no cell has {terms.min_sum} members left{flagged}, and a new one takes {new} others{flagged}"
            raise Reject(FederationCode.TOO_FEW_MEMBERS, text)
    elif not _is_enough(federation, members := active(federation), terms.min_members):
        raise Reject(FederationCode.TOO_FEW_MEMBERS, f"{len(members)} members are in, {terms.min_members} are needed{flagged}")
    if len(aggregators(federation)) < AGGREGATORS:
        raise Reject(FederationCode.NO_AGGREGATORS, "fewer than three verifiers may aggregate, and a cell needs three")


def form(federation: FederationContext) -> bool:
    """At the end of DRAW: the cells, where none was ever drawn, or a new one of those who wait; and who of them all is in this
    attempt; False where nobody is."""
    if not federation.cells.numbered:
        members = active(federation)
        if not _is_enough(federation, members, cell_formulas.LEAST_IN_CELL):
            return False
        _deal(federation, members, many=0)
    for who, one in federation.members():
        if federation.host.is_banned(who):
            leave_cell(federation, who, one.index)
    if newcomers := _newcomers(federation):
        together = [one for one in newcomers if is_in_cell(federation, one.index + 1)]
        _end_resting(federation)
        _deal(federation, newcomers, many=1, together=together)
    left = left_of(federation)
    inside = [cell_of(cell.number, (one.index for one in members)) for cell, members in left]
    federation.change_cells(inside=inside)
    roster = sorted(chain.from_iterable(members for _, members in left), key=lambda one: one.account)
    federation.host.put(records.roster_key(federation.id), AttemptRoster(roster))
    return bool(left)


def _end_resting(federation: FederationContext) -> None:
    """A cell of which too few count would rest for as long as they do; with others its members are in one that is summed."""
    left = [cell for cell, _ in left_of(federation)]
    over = [cell.number for cell in federation.cells.cells if cell not in left]
    federation.change_cells(cells=left)
    for number in over:
        federation.emit("fed.cell.over", number)


def _deal(federation: FederationContext, members: Sequence[RosterEntry], many: int, together: Sequence[RosterEntry] = ()) -> None:
    """By the tickets of this draw, those that count first, so that each cell has enough of them; each gets the next in turn.
    `many` cells; 0: as many as they give. `together`, of cells that rest, are before others, but for those that count and are
    needed: who waits in a crowd may not choose by it which of them are summed without whom."""
    r, attempt, now = federation.record.r, federation.attempt, federation.cells
    first = counted(federation, members)

    def place(one: RosterEntry) -> tuple[bool, bool, bytes]:
        return one not in first, one not in together, ticket(attempt.beacon, federation.id, r, attempt.number, one.account)

    order = sorted(members, key=place)
    needed = order[: federation.terms.min_sum]
    order.sort(key=lambda one: one not in needed and one not in together)
    places = cell_formulas.dealt(len(members), many or cell_formulas.cells_of(federation.terms, len(members), len(first)))
    dealt = {now.numbered + n: [order[place] for place in cell] for n, cell in enumerate(places, 1)}
    new = [cell_of(number, (one.index for one in cell)) for number, cell in dealt.items()]
    rows = {one.index: one for one in now.members}
    for one in chain.from_iterable(dealt.values()):
        rows[one.index] = CellMember(one.index, 0, rows[one.index].gained if one.index in rows else 0)
    members_ = [rows[index] for index in sorted(rows)]
    federation.change_cells(numbered=now.numbered + len(new), cells=[*now.cells, *new], members=members_)
    for number, cell in dealt.items():
        federation.emit("fed.cell", number, *sorted(one.account for one in cell))


def leave_cell(federation: FederationContext, account: bytes, index: int) -> None:
    """For ever: its place stays empty, and with fewer left than a sum needs the cell is over. `index`: one more than the index."""
    if not is_in_cell(federation, index):
        return
    cells = federation.cells.cells
    cell = next(one for one in cells if _has(one, index - 1))
    left = [one for one in members_of(cell) if one != index - 1]
    over = len(left) < federation.terms.min_sum
    smaller = [] if over else [cell_of(cell.number, left)]
    after = [kept for one in cells for kept in (smaller if one.number == cell.number else [one])]
    federation.change_cells(cells=after)
    federation.emit("fed.gone.cell", account)
    if over:
        federation.emit("fed.cell.over", cell.number)


def _miss(federation: FederationContext, account: bytes, index: int, why: int) -> None:
    """LC-FED-58: the latest of its attempts is a miss; the third of sixteen costs it its place."""
    known = federation.cells.members
    row = next(one.attempts for one in known if one.index == index) | 1
    federation.change_cells(members=[replace(one, attempts=row) if one.index == index else one for one in known])
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
    lacked = federation.cells.lacked[-max(1, len(found) // 3) :]
    others = [one for one in found if one not in lacked and not federation.is_excluded(one)]
    if len(others) >= AGGREGATORS:
        found = others
    others = [one for one in found if not federation.has_joined(one)]
    needed = max(AGGREGATORS, pool.least(federation.host, federation.sponsor, federation.terms))
    return others if len(others) >= needed else found


def _lack(federation: FederationContext, account: bytes) -> None:
    known = [one for one in federation.cells.lacked if one != account]
    federation.change_cells(lacked=[*known, account][-records.MOST_LACKED :])


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
    committed, rows = formulas.of_bitmap(attempt.committed), federation.cells.members
    inside = {one.index for one in roster}
    after = [replace(one, attempts=cell_formulas.after_attempt(one.attempts, False)) for one in rows]
    federation.change_cells(members=[new if new.index in inside else old for new, old in zip(after, rows, strict=True)])
    for one in roster:
        if not committed >> one.index & 1:
            _miss(federation, one.account, one.index, ABSENT)
    if not _whole(federation, committed):
        ends.void(federation, VoidReason.TOO_FEW)
        return
    at = federation.enter(FederationState.HAVE, federation.params.fed_base)
    federation.emit("fed.collect", attempt.number, at, attempt.files)


def _whole(federation: FederationContext, indexes: int) -> list[Cell]:
    """The cells of the attempt of which all are among these."""
    return [cell for cell in federation.cells.inside if not formulas.of_bitmap(cell.members) & ~indexes]


def _complete(federation: FederationContext, attempt: AttemptRecord) -> list[Cell]:
    """LC-FED-59: the cells of which all files count."""
    shared = formulas.of_bitmap(attempt.shared)
    return _whole(federation, sum(1 << file.index for place, file in enumerate(federation.files()) if shared >> place & 1))


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
    with_reference = all(federation.aggregator(who).have_reference for who in said)
    bits = formulas.to_bitmap(shared, attempt.files)
    federation.change_attempt(deciding=attempt.seats, shared=bits, with_reference=with_reference)
    if not _complete(federation, federation.attempt):
        ends.void(federation, VoidReason.SPLIT)
        return
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
    if fault := _screen_fault(federation, attempt, m):
        raise Reject(FederationCode.BAD_SCREEN, fault)
    federation.change_aggregator(sender, screen=[m])
    federation.emit("fed.said", m.attempt, PartStage.ROWS, sender)
    if all(federation.aggregator(who).screen for who in attempt.seats):
        screened(federation)


def _screen_fault(federation: FederationContext, attempt: AttemptRecord, m: ScreenUpdates) -> str:
    """Which files are proved the aggregators say; all else follows (LC-FILE-58)."""
    if m.points or m.norm:
        return "a cell has neither points nor norms"
    if len(m.codes) != attempt.files:
        return f"{attempt.files} files have a code each"
    files, shared = list(federation.files()), formulas.of_bitmap(attempt.shared)
    unproved = sum(1 << file.index for file, code in zip(files, m.codes, strict=True) if code == FileCode.UNPROVED)
    used = _summing(_complete(federation, attempt), unproved)
    for place, (file, code) in enumerate(zip(files, m.codes, strict=True)):
        if not shared >> place & 1:
            allowed = [FileCode.AWAY]
        else:
            allowed = [FileCode.UNPROVED, FileCode.USED if used >> file.index & 1 else FileCode.IDLE]
        if code not in allowed:
            text = " or ".join(one.name for one in allowed)
            return f"the file of {file.account.hex()} is {text}: a cell sums where all of its files count and are proved"
    return ""


def _summing(complete: Iterable[Cell], unproved: int) -> int:
    """Indexes of the members of cells without an UNPROVED one."""
    found = (formulas.of_bitmap(cell.members) for cell in complete)
    return reduce(or_, (bits for bits in found if not bits & unproved), 0)


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
    accepted = sum(1 << file.index for file, code in zip(files, said.codes, strict=True) if code == FileCode.USED)
    federation.change_attempt(codes=said.codes, accepted=formulas.to_bitmap(accepted, accepted.bit_length()))
    for file, code in zip(files, said.codes, strict=True):
        federation.emit("fed.code", r, attempt.number, file.account, code, 0, int(code == FileCode.USED))
    for file, code in zip(files, said.codes, strict=True):
        if code == FileCode.UNPROVED:
            _miss(federation, file.account, file.index, UNPROVED)
    if not accepted:
        ends.pay_fees(federation, side)
        ends.void(federation, VoidReason.SPLIT)
        return
    _keep_sets(federation, accepted)
    at = federation.enter(FederationState.SUM, formulas.sum_window(federation.params, federation.terms))
    federation.emit("fed.screened", r, attempt.number, formulas.of_bitmap(attempt.shared).bit_count(), accepted.bit_count(), 0, at)


def _keep_sets(federation: FederationContext, accepted: int) -> None:
    """LC-FED-59: whoever sums another set with a common member on this base adds more noise."""
    base, now = federation.record.base, federation.record
    known = federation.accepted_on(base)
    named = formulas.of_bitmap(now.named) | accepted
    federation.change(named=formulas.to_bitmap(named, named.bit_length()))
    found = [formulas.of_bitmap(cell.members) for cell in _whole(federation, accepted)]
    new = [one for one in found if one not in known]
    if new:
        sets = [formulas.to_bitmap(one, one.bit_length()) for one in [*known, *new]]
        federation.host.put(records.sets_key(federation.id, base), AcceptedSets(base, sets))
        federation.change(kept=now.kept + len(new))


# --- sums (LC-FED-60) -------------------------------------------------------------------------------------------------------------


def sum_cells(host: Host, sender: bytes, m: SumCells) -> None:
    require_kind(live(host, m.federation), cells=True)
    federation, attempt = attempt_in(host, m.federation, m.attempt, FederationState.SUM, "a sum")
    require_drawn(attempt, sender)
    seat = federation.cell_seat(sender)
    if seat.sum:
        raise Reject(FederationCode.ALREADY_SUMMED, "your sum of this attempt stands")
    _require_all_pinned(federation, attempt, PartStage.SUMS)
    _check_sum(federation, attempt, m)
    federation.change_cell_seat(sender, sum=[m])
    federation.emit("fed.said", m.attempt, PartStage.SUMS, sender)
    if all(federation.cell_seat(who).sum for who in attempt.seats):
        summed(federation)


def _check_sum(federation: FederationContext, attempt: AttemptRecord, m: SumCells) -> None:
    """Each direction at four lengths, of a reference two where there is one; or nothing."""
    cells = len(_whole(federation, formulas.of_bitmap(attempt.accepted)))
    allowed = [len(STEPS) * cell_formulas.directions(cells, one) for one in sorted({False, attempt.with_reference})]
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
    accepted = formulas.of_bitmap(attempt.accepted)
    summing = _whole(federation, accepted)
    for file in federation.files():
        member = federation.member(file.account)
        if member is not None and accepted >> file.index & 1:
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
    federation.change_cells(inside=summing, models=said.models, found=[], chosen=0)
    federation.change(model=b"", last=attempt.accepted, pair=[])
    federation.emit("fed.cells.summed", now.r, attempt.number, said.sums, len(summing), *by)
    federation.drop_attempt()
    measuring.begin(federation)
