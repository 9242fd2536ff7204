"""What the state says of federations, in the words of the executable model (`tests.federation.play`): to be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import MeasureCode
from learningchain.chain.contracts.federation.records import EndReason, FederationState, MemberState
from tests.federation.play import CellsView, FederationView, Indexes


def view_of(
    one: bytes,
    get: Callable[[bytes], Any],
    below: Callable[[bytes], list[tuple[bytes, Any]]],
    word: Callable[[bytes], bytes] = lambda cid: cid,
) -> FederationView:
    """`get` reads a record by its key, `below` lists those of a prefix by the rest of their keys, `word` is the model's name of a
    content."""
    now, attempt = get(records.federation_key(one)), get(records.attempt_key(one))
    members = sorted(below(records.MEMBERS_OF + one))
    seats = [(who, get(records.aggregator_key(one, who))) for who in attempt.seats] if attempt is not None else []
    files = [get(records.file_key(one, place)) for place in range(attempt.files)] if attempt is not None else []
    return FederationView(
        FederationState(now.state).name,
        now.deadline,
        now.r,
        now.starts,
        word(now.base),
        now.best,
        word(now.best_model),
        now.paid,
        now.streak,
        now.clip,
        tuple((who, MemberState(m.state).name, m.index - 1 if m.index else None, m.benched_until) for who, m in members),
        tuple((who, m.points) for who, m in members if m.points),
        tuple(
            (s.account, bool(s.commitment), MeasureCode(s.opened[0].code).name if s.opened else "", bool(s.box)) for s in now.panel
        ),
        tuple((who, bool(s.key), int.from_bytes(s.have, "little") if s.said_have else None) for who, s in seats),
        tuple(file.account for file in files),
        tuple(sorted(who for who, _ in below(records.EXCLUDED + one))),
        EndReason(now.end).name if now.end else "",
        None if (cells := get(records.cell_key(one))) is None else cells_of(one, now.base, cells, seats, get, word),
    )


def cells_of(
    one: bytes, base: bytes, now: Any, seats: Any, get: Callable[[bytes], Any], word: Callable[[bytes], bytes]
) -> CellsView:
    roster, sets = get(records.roster_key(one)), get(records.sets_key(one, base))
    said = [(who, seat, get(records.cell_seat_key(one, who))) for who, seat in seats]
    return CellsView(
        now.numbered,
        indexes(now.cells),
        tuple((member.index, member.attempts, member.gained) for member in now.members),
        tuple(now.lacked),
        indexes(now.inside),
        tuple(word(cid) for cid in now.models),
        tuple((found.step, found.loss[0] if found.loss else None) for found in now.found),
        now.chosen,
        tuple((who, len(own.seals) if own else 0, bool(seat.screen), bool(own and own.sum)) for who, seat, own in said),
        tuple((entry.account, entry.vetted) for entry in roster.members) if roster is not None else (),
        tuple(places(some) for some in sets.sets) if sets is not None else (),
    )


def places(bitmap: bytes) -> tuple[int, ...]:
    bits = int.from_bytes(bitmap, "little")
    return tuple(i for i in range(bits.bit_length()) if bits >> i & 1)


def indexes(cells: Any) -> Indexes:
    return tuple((cell.number, places(cell.members)) for cell in cells)


def as_told(one: FederationView) -> FederationView:
    """Who has no points is not told of; of what ended some records have left."""
    if one.state == FederationState.END.name:
        return replace(one, members=(), points=(), excluded=(), cells=one.cells and replace(one.cells, sets=()))
    return replace(one, points=tuple((who, points) for who, points in one.points if points))
