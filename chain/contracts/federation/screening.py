"""What the deciding aggregators say: parts of masks, screens, sums. LC-FED-23 to 33, 40.

SCREEN --agreed--> SUM --agreed--> MEASURE
   |                 |
   +------ VOID -----+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from learningchain.chain.contracts.federation import cells, ends, formulas, measuring, records
from learningchain.chain.contracts.federation.guards import attempt_in, live, require_cid, require_deciding
from learningchain.chain.contracts.federation.messages import (
    CQ,
    MAX_POINTS,
    FederationCode,
    FileCode,
    PartStage,
    PaySplit,
    PinParts,
    ScreenUpdates,
    SumUpdates,
    ticket,
)
from learningchain.chain.contracts.federation.records import (
    AcceptedSets,
    AggregatorSeat,
    AttemptRecord,
    FederationState,
    RoundRecord,
    VoidReason,
)
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host

T = TypeVar("T")
STAGES = {PartStage.ROWS: FederationState.SCREEN, PartStage.SUMS: FederationState.SUM}
CODES = frozenset(FileCode) - {FileCode.UNPROVED, FileCode.IDLE}
UNJUDGED = (FileCode.AWAY, FileCode.COPY, FileCode.STALE, FileCode.EMPTY)
"""LC-FED-29: files that say nothing of who is wrong."""
ENDS_ROW, LEAVES_ROW = (FileCode.USED, FileCode.COPY, FileCode.STALE), (FileCode.AWAY, FileCode.EMPTY)
"""LC-FED-28"""


# --- parts (LC-FED-23, 24) -------------------------------------------------------------------------------------------------------


def pin_parts(host: Host, sender: bytes, m: PinParts) -> None:
    cells.require_kind(live(host, m.federation), cells=False)
    state = STAGES[PartStage(m.stage)] if m.stage in frozenset(PartStage) else FederationState.SUM
    federation, attempt = attempt_in(host, m.federation, m.attempt, state, "parts")
    require_deciding(attempt, sender)
    if m.stage not in frozenset(PartStage):
        raise Reject(FederationCode.BAD_SCREEN, f"stage {m.stage} is none: 1 are rows, 2 are sums")
    seat = federation.aggregator(sender)
    if _parts(seat, m.stage):
        raise Reject(FederationCode.ALREADY_SAID, "your parts of this stage are pinned")
    known = formulas.masks(_place(attempt, sender))
    if [part.mask for part in m.parts] != known:
        raise Reject(FederationCode.BAD_SCREEN, f"at your place the masks {known} are known, in this order")
    if m.stage == PartStage.ROWS:
        federation.change_aggregator(sender, rows=m.parts)
    else:
        federation.change_aggregator(sender, sums=m.parts)
    federation.emit("fed.pinned", m.attempt, m.stage, sender)
    other = _conflicting(federation, attempt, sender, m.stage)
    if other is not None:
        _two_digests(federation, attempt, (sender, other), m.stage)


def _parts(seat: AggregatorSeat, stage: int) -> dict[int, bytes]:
    """Digests by mask."""
    return {part.mask: part.digest for part in (seat.rows if stage == PartStage.ROWS else seat.sums)}


def _place(attempt: AttemptRecord, account: bytes) -> int:
    """1 to 3 (LC-FED-20)."""
    return attempt.seats.index(account) + 1


def _conflicting(federation: FederationContext, attempt: AttemptRecord, sender: bytes, stage: int) -> bytes | None:
    """Who pinned another digest of a mask that the sender pinned, too."""
    own = _parts(federation.aggregator(sender), stage)
    for other in attempt.deciding:
        theirs = _parts(federation.aggregator(other), stage)
        if any(theirs[mask] != own[mask] for mask in own.keys() & theirs.keys()):
            return other
    return None


def _two_digests(federation: FederationContext, attempt: AttemptRecord, both: tuple[bytes, bytes], stage: int) -> None:
    """Of one mask: both fail, as nobody else can tell who lied, and meet no more while others are there."""
    federation.emit("fed.disputed", attempt.number, stage, *both)
    for account in both:
        ends.differs(federation, account)
    ends.exclude(federation, both)
    if stage == PartStage.SUMS:
        ends.pay_fees(federation, [one for one in attempt.deciding if one not in both])
    ends.void(federation, VoidReason.DISPUTE)


def _is_supplied(federation: FederationContext, attempt: AttemptRecord, account: bytes, stage: int) -> bool:
    """Whether the mask that it does not know was pinned by another."""
    lacking = _place(attempt, account)
    others = (one for one in attempt.deciding if one != account)
    return any(lacking in _parts(federation.aggregator(one), stage) for one in others)


def _require_parts(federation: FederationContext, attempt: AttemptRecord, sender: bytes, stage: int) -> None:
    if not _parts(federation.aggregator(sender), stage):
        raise Reject(FederationCode.PARTS_MISSING, "pin your own parts of this stage first")
    if not _is_supplied(federation, attempt, sender, stage):
        text = f"nobody pinned its part of mask {_place(attempt, sender)} yet, which you do not know"
        raise Reject(FederationCode.PARTS_MISSING, text)


# --- screens (LC-FED-25, 26) -----------------------------------------------------------------------------------------------------


def screen_updates(host: Host, sender: bytes, m: ScreenUpdates) -> None:
    federation, attempt = attempt_in(host, m.federation, m.attempt, FederationState.SCREEN, "a screen")
    require_deciding(attempt, sender)
    if federation.aggregator(sender).screen:
        raise Reject(FederationCode.ALREADY_SCREENED, "your screen of this attempt stands")
    if federation.has_cells:
        cells.screen_updates(federation, attempt, sender, m)
        return
    _require_parts(federation, attempt, sender, PartStage.ROWS)
    if fault := _screen_fault(federation, attempt, m):
        raise Reject(FederationCode.BAD_SCREEN, fault)
    federation.change_aggregator(sender, screen=[m])
    federation.emit("fed.said", m.attempt, PartStage.ROWS, sender)
    if all(federation.aggregator(who).screen for who in attempt.deciding):
        screened(federation)


def _screen_fault(federation: FederationContext, attempt: AttemptRecord, m: ScreenUpdates) -> str:
    """A code for every file, AWAY for those outside the shared ones and only for them, points for those that are used."""
    if len(m.codes) != attempt.files or not CODES.issuperset(m.codes):
        return f"{attempt.files} files have a code each, 1 to {len(CODES)}"
    shared = formulas.of_bitmap(attempt.shared)
    if any((code == FileCode.AWAY) == bool(shared >> i & 1) for i, code in enumerate(m.codes)):
        return "AWAY is the code of exactly those files that not all of the deciding have"
    if not 1 <= m.norm <= 2 * CQ:
        return f"the norm is {m.norm}, it may be 1 to {2 * CQ}"
    if federation.terms.split != PaySplit.ALIGNED:
        return "points are given where the split is aligned, and only there" if m.points else ""
    if len(m.points) != attempt.files or max(m.points) > MAX_POINTS:
        return f"{attempt.files} files have 0 to {MAX_POINTS} points each"
    unused = any(points and code != FileCode.USED for points, code in zip(m.points, m.codes, strict=True))
    return "only files that are used have points" if unused else ""


# --- agreement (LC-FED-27) -------------------------------------------------------------------------------------------------------


def _votes(federation: FederationContext, of: Callable[[AggregatorSeat], T | None]) -> list[tuple[bytes, T | None]]:
    return [(who, of(federation.aggregator(who))) for who in federation.attempt.deciding]


def _agreed(votes: Sequence[tuple[bytes, T | None]]) -> list[bytes]:
    """Who said what most say, at least two; with three that differ, nobody."""
    best: list[bytes] = []
    for _, vote in votes:
        same = [who for who, other in votes if vote is not None and other == vote]
        if len(same) > len(best):
            best = same
    return best if len(best) >= 2 else []


def _faults(federation: FederationContext, votes: Sequence[tuple[bytes, T | None]], side: list[bytes], stage: int) -> list[bytes]:
    """Who was silent, though it could speak, and who differs, has failed; those that said something without fault."""
    attempt, clean = federation.attempt, []
    several = len({vote for _, vote in votes if vote is not None}) > 1
    for who, vote in votes:
        if vote is None:
            silent = not _parts(federation.aggregator(who), stage)
            if silent or _is_supplied(federation, attempt, who, stage):
                ends.silence(federation, who)
        elif who not in side and several:
            ends.differs(federation, who)
        else:
            clean.append(who)
    return clean


def _screen_vote(seat: AggregatorSeat) -> tuple[bytes, bytes, int, bytes] | None:
    return next(((one.codes, one.points, one.norm, one.digest) for one in seat.screen), None)


def screened(federation: FederationContext) -> None:
    if federation.has_cells:
        cells.screened(federation)
        return
    votes = _votes(federation, _screen_vote)
    side = _agreed(votes)
    _faults(federation, votes, side, PartStage.ROWS)
    if not side:
        ends.void(federation, VoidReason.DISPUTE)
        return
    said = federation.aggregator(side[0]).screen[0]
    federation.change_attempt(deciding=side, norm=said.norm, codes=said.codes, points=said.points)
    accepted = _accept(federation)
    _tell_codes(federation, accepted)
    _bench(federation)
    if not accepted:
        ends.pay_fees(federation, side)
        ends.void(federation, VoidReason.SPLIT)
        return
    federation.change_attempt(accepted=formulas.to_bitmap(accepted, accepted.bit_length()))
    _keep_set(federation, accepted)
    attempt = federation.attempt
    at = federation.enter(FederationState.SUM, formulas.sum_window(federation.params, federation.terms))
    used = said.codes.count(FileCode.USED)
    emitted = (federation.record.r, attempt.number, used, accepted.bit_count(), said.norm, at)
    federation.emit("fed.screened", *emitted)


def _accept(federation: FederationContext) -> int:
    """LC-FED-29, 30: who is summed, as a bitmap of indexes; 0 where too few are left."""
    attempt, terms, record = federation.attempt, federation.terms, federation.record
    files = list(federation.files())
    used = sum(1 << file.index for file, code in zip(files, attempt.codes, strict=True) if code == FileCode.USED)
    judged = sum(code not in UNJUDGED for code in attempt.codes)
    if not attempt.with_reference and 2 * used.bit_count() < judged:
        return 0
    counted = sum(1 << one.index for one in federation.roster if one.vetted or not terms.vetted)
    accounts = {file.index: file.account for file in files}

    def order(index: int) -> bytes:
        return ticket(attempt.rows, federation.id, record.r, attempt.number, accounts[index])

    return formulas.fitted(used, federation.accepted_on(record.base), terms.min_sum, counted, order)


def _tell_codes(federation: FederationContext, accepted: int) -> None:
    """Each member is told which rule its file met."""
    attempt, r = federation.attempt, federation.record.r
    points = attempt.points or bytes(attempt.files)
    for file, code, given in zip(federation.files(), attempt.codes, points, strict=True):
        federation.emit("fed.code", r, attempt.number, file.account, code, given, accepted >> file.index & 1)


def _bench(federation: FederationContext) -> None:
    """LC-FED-28: three in a row that a member is turned away for what it sent: five starts without it."""
    starts = federation.record.starts
    for file, code in zip(federation.files(), federation.attempt.codes, strict=True):
        member = federation.member(file.account)
        if member is None or code in LEAVES_ROW:
            continue
        if code in ENDS_ROW:
            if member.bad:
                federation.change_member(file.account, bad=0)
        elif member.bad + 1 == formulas.BENCH_AFTER:
            until = starts + formulas.BENCH_STARTS
            federation.change_member(file.account, bad=0, benched_until=until)
            federation.emit("fed.benched", file.account, until)
        else:
            federation.change_member(file.account, bad=member.bad + 1)


def _keep_set(federation: FederationContext, accepted: int) -> None:
    """LC-FED-30: what is added from now on fits to it."""
    base = federation.record.base
    earlier = federation.accepted_on(base)
    sets = formulas.chain_with(earlier, accepted)
    kept = [formulas.to_bitmap(one, one.bit_length()) for one in sets]
    federation.host.put(records.sets_key(federation.id, base), AcceptedSets(base, kept))
    now = federation.record
    named = formulas.of_bitmap(now.named) | accepted
    federation.change(kept=now.kept + len(sets) - len(earlier), named=formulas.to_bitmap(named, named.bit_length()))


# --- sums (LC-FED-31 to 33) ------------------------------------------------------------------------------------------------------


def sum_updates(host: Host, sender: bytes, m: SumUpdates) -> None:
    cells.require_kind(live(host, m.federation), cells=False)
    federation, attempt = attempt_in(host, m.federation, m.attempt, FederationState.SUM, "a sum")
    require_deciding(attempt, sender)
    if federation.aggregator(sender).sum:
        raise Reject(FederationCode.ALREADY_SUMMED, "your sum of this attempt stands")
    _require_parts(federation, attempt, sender, PartStage.SUMS)
    if m.model or m.delta:
        require_cid(m.model, "a model")
        require_cid(m.delta, "what it adds to the base")
    federation.change_aggregator(sender, sum=[m])
    federation.emit("fed.said", m.attempt, PartStage.SUMS, sender)
    if all(federation.aggregator(who).sum for who in attempt.deciding):
        summed(federation)


def _sum_vote(seat: AggregatorSeat) -> tuple[bytes, bytes] | None:
    return next(((one.model, one.delta) for one in seat.sum), None)


def summed(federation: FederationContext) -> None:
    if federation.has_cells:
        cells.summed(federation)
        return
    votes = _votes(federation, _sum_vote)
    side = _agreed(votes)
    clean = _faults(federation, votes, side, PartStage.SUMS)
    ends.pay_fees(federation, clean)
    if not side:
        ends.void(federation, VoidReason.DISPUTE)
        return
    said = federation.aggregator(side[0]).sum[0]
    if not said.model:
        ends.void(federation, VoidReason.NOT_FINITE)
        return
    _record(federation, side, said)


def _record(federation: FederationContext, by: list[bytes], said: SumUpdates) -> None:
    """The round's sum stands, once; members have their points."""
    attempt, now = federation.attempt, federation.record
    _give_points(federation, attempt)
    clip = formulas.next_clip(now.clip, attempt.norm)
    summed_round = RoundRecord(
        attempt=attempt.number,
        base=now.base,
        model=said.model,
        delta=said.delta,
        clip=now.clip,
        by=by,
        accepted=attempt.accepted,
        invalid=False,
        loss=0,
        pot=0,
        outcome=0,
        settled=0,
    )
    host = federation.host
    host.put(records.round_key(federation.id, now.r), summed_round)
    if now.r > formulas.KEPT_ROUNDS:
        host.delete(records.round_key(federation.id, now.r - formulas.KEPT_ROUNDS))
    federation.change(clip=clip, model=said.model, last=attempt.accepted, pair=by if len(by) == 2 else [])
    federation.emit("fed.summed", now.r, attempt.number, said.model, said.delta, clip, *by)
    federation.drop_attempt()
    measuring.begin(federation)


def _give_points(federation: FederationContext, attempt: AttemptRecord) -> None:
    """LC-FED-40"""
    accepted = formulas.of_bitmap(attempt.accepted)
    found = sorted((file.index, place, file.account) for place, file in enumerate(federation.files()) if accepted >> file.index & 1)
    split = federation.terms.split
    if split == PaySplit.ALIGNED:
        new = [attempt.points[place] for _, place, _ in found]
    elif split == PaySplit.SAMPLES:
        new = formulas.sample_points([_examples(federation, account) for _, _, account in found])
    else:
        new = [1] * len(found)
    for (_, _, account), points in zip(found, new, strict=True):
        member = federation.member(account)
        if member is not None and points:
            federation.put_member(account, replace(member, points=member.points + points))


def _examples(federation: FederationContext, account: bytes) -> int:
    member = federation.member(account)
    return member.n if member is not None else 0
