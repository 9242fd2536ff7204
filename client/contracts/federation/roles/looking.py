"""What the ledger says of one federation, as the machines read it. Plain functions over the committed state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.duties import FederationDuty, duties
from learningchain.chain.contracts.federation.indexes import JoinedFederations, federations_of
from learningchain.chain.contracts.federation.messages import MOST_CELLS, FederationTerms, PartStage, Secrecy
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.contracts.federation.records import (
    NEW_AGGREGATOR,
    AcceptedSets,
    AggregatorSeat,
    AttemptRecord,
    AttemptRoster,
    CellRecord,
    FederationMember,
    FederationPosting,
    FederationRecord,
    FederationState,
    RosterEntry,
    RoundRecord,
    UpdateFile,
)
from learningchain.chain.crypto import sha256
from learningchain.chain.host import Indexed, Reader, read_params
from learningchain.client.contracts.federation.arithmetic.places import DELTAS, AttemptPlace
from learningchain.p2p.content.cid import Cid, Codec, from_bytes
from learningchain.p2p.content.dag import CHUNK

if TYPE_CHECKING:
    from learningchain.client.work.events import Chain

SUMS_HEAD = 82 + 2 * MOST_CELLS
"""Bytes of the file of the sums of all cells beside its numbers: kind, place, counts, and whether there is a reference."""
ATTEMPTING = (
    FederationState.DRAW,
    FederationState.READY,
    FederationState.TRAIN,
    FederationState.HAVE,
    FederationState.ROWS,
    FederationState.SCREEN,
    FederationState.SUM,
)
"""An attempt runs, unless r = 0."""


def part_cid(digest: bytes, size: int) -> bytes:
    """LC-FILE-22: the name of a part whose digest and size are known."""
    return Cid(Codec.RAW if size <= CHUNK else Codec.DAG_PB, digest).to_bytes()


def digest_of(cid: bytes) -> bytes:
    return from_bytes(cid).digest


def owed(given: Chain, account: bytes) -> dict[bytes, set[FederationDuty]]:
    """By federation: what is owed now."""
    found: dict[bytes, set[FederationDuty]] = {}
    for one in duties(indexed(given), account):
        found.setdefault(one.federation, set()).add(one.duty)
    return found


def indexed(given: Chain) -> Indexed:
    """The state of a node has its indexes."""
    return cast(Indexed, given.reader)


@dataclass(frozen=True)
class FederationLook:
    """One federation in one state of the ledger."""

    reader: Reader
    id: bytes
    posting: FederationPosting
    now: FederationRecord
    attempt: AttemptRecord | None

    @property
    def terms(self) -> FederationTerms:
        return self.posting.terms

    @property
    def state(self) -> FederationState:
        return FederationState(self.now.state)

    @property
    def secret(self) -> bool:
        return self.terms.secrecy == Secrecy.SUM

    @property
    def has_cells(self) -> bool:
        return formulas.has_cells(self.terms)

    @cached_property
    def params(self) -> FederationParams:
        """Those in force: what a node plans by. The ledger judges by those of the opening."""
        return read_params(self.reader, records.NUMBER, FederationParams)

    @cached_property
    def roster(self) -> list[RosterEntry]:
        found = self.reader.get(records.roster_key(self.id))
        return found.members if isinstance(found, AttemptRoster) else []

    @cached_property
    def files(self) -> list[UpdateFile]:
        """In the order of the commitments."""
        count = self.attempt.files if self.attempt is not None else 0
        return [cast(UpdateFile, self.reader.get(records.file_key(self.id, place))) for place in range(count)]

    def holder_of(self, model: bytes) -> bytes:
        """Who has a global model first of all: the sponsor the initial one, the aggregators of the attempt what they made."""
        made = self.attempt.deciding if self.attempt is not None else []
        return self.posting.sponsor if model == self.terms.model or not made else made[0]

    @property
    def seats(self) -> list[bytes]:
        return self.attempt.seats if self.attempt is not None else []

    def seat(self, account: bytes) -> AggregatorSeat:
        found = self.reader.get(records.aggregator_key(self.id, account))
        return found if isinstance(found, AggregatorSeat) else NEW_AGGREGATOR

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Of the aggregators, by their places."""
        return tuple(self.seat(account).key for account in self.seats)

    def has_committed(self, account: bytes) -> bool:
        return any(file.account == account for file in self.files)

    def place(self, chain: bytes) -> AttemptPlace:
        return AttemptPlace(chain, self.id, self.now.r, self.now.starts)

    @cached_property
    def judged(self) -> list[int]:
        """Places of the files that all of the deciding have."""
        shared = formulas.of_bitmap(self.attempt.shared) if self.attempt is not None else 0
        return [place for place in range(len(self.files)) if shared >> place & 1]

    @cached_property
    def accepted(self) -> list[int]:
        """Places of the files that are summed."""
        indexes = formulas.of_bitmap(self.attempt.accepted) if self.attempt is not None else 0
        return [place for place, file in enumerate(self.files) if indexes >> file.index & 1]

    @cached_property
    def cells(self) -> list[records.Cell]:
        """Those of the attempt, by their numbers; without cells none."""
        found = self.reader.get(records.cell_key(self.id))
        return list(found.inside) if isinstance(found, CellRecord) else []

    @cached_property
    def summing(self) -> list[tuple[records.Cell, list[int]]]:
        """The cells that are summed, each with the places of its files."""
        accepted = formulas.of_bitmap(self.attempt.accepted) if self.attempt is not None else 0
        cells = [(cell, formulas.of_bitmap(cell.members)) for cell in self.cells]
        files = list(enumerate(self.files))
        return [(cell, [n for n, file in files if bits >> file.index & 1]) for cell, bits in cells if not bits & ~accepted]

    def pinned(self, account: bytes, stage: PartStage) -> dict[int, bytes]:
        """Digests by mask."""
        seat = self.seat(account)
        return {part.mask: part.digest for part in (seat.rows if stage == PartStage.ROWS else seat.sums)}

    def supplied(self, mask: int, stage: PartStage, but: bytes) -> bytes | None:
        """The digest of a mask that another of the deciding pinned."""
        deciding = self.attempt.deciding if self.attempt is not None else []
        found = (self.pinned(account, stage).get(mask) for account in deciding if account != but)
        return next((digest for digest in found if digest is not None), None)

    @cached_property
    def deltas(self) -> list[bytes]:
        """CIDs of what the last recorded sums added, the latest first."""
        found = (self.reader.get(records.round_key(self.id, r)) for r in range(self.now.r - 1, max(0, self.now.r - 1 - DELTAS), -1))
        return [one.delta for one in found if isinstance(one, RoundRecord)]


def look(reader: Reader, federation: bytes) -> FederationLook | None:
    """None where it is not in the state."""
    now, posting = reader.get(records.federation_key(federation)), reader.get(records.posting_key(federation))
    if not isinstance(now, FederationRecord) or not isinstance(posting, FederationPosting):
        return None
    attempt = reader.get(records.attempt_key(federation))
    return FederationLook(reader, federation, posting, now, attempt if isinstance(attempt, AttemptRecord) else None)


def candidates_of(at: FederationLook | None) -> list[bytes]:
    """Those of the last sum of a cell."""
    found = at.reader.get(records.cell_key(at.id)) if at is not None else None
    return [cid for cid in found.models if cid] if isinstance(found, CellRecord) else []


def proposed_in(at: FederationLook) -> tuple[bytes, ...]:
    """The candidates that the panel measures now, empty where one is not finite; nothing where it measures a model."""
    found = at.reader.get(records.cell_key(at.id))
    return tuple(found.models) if at.now.r and at.has_cells and isinstance(found, CellRecord) else ()


def delta_size(terms: FederationTerms) -> int:
    """Most bytes of what stands as a round's delta: with cells the file of their sums (LC-FILE-60)."""
    return SUMS_HEAD + 4 * (MOST_CELLS + 1) * terms.dims if formulas.has_cells(terms) else 4 * terms.dims


def reference_size(terms: FederationTerms) -> int:
    """LC-FILE-11, 21, 61: bytes of the sponsor's file."""
    return formulas.UPDATE_HEAD + 4 * terms.dims


def was_summed(reader: Reader, federation: bytes, account: bytes, base: bytes) -> bool:
    """Whether a set that was accepted on this base has the account, by the ledger."""
    member, found = reader.get(records.member_key(federation, account)), reader.get(records.sets_key(federation, base))
    if not isinstance(member, FederationMember) or not member.index:
        return False
    if not isinstance(found, AcceptedSets) or found.base != base:
        return False
    return any(formulas.of_bitmap(one) >> (member.index - 1) & 1 for one in found.sets)


def summed_in(at: FederationLook, account: bytes) -> bytes | None:
    """Return another federation whose sums on the present base have the account, as far as the state still has it: so much is known
    to a node that lost its books."""
    others = (one for one in federations_of(cast(Indexed, at.reader), JoinedFederations, account) if one != at.id)
    return next((one for one in others if was_summed(at.reader, one, account, at.now.base)), None)


def alike_in(at: FederationLook, account: bytes) -> bytes | None:
    """Return another federation of this account on a model of as many values, where sums are all that is read here: one of the two
    sponsors may have begun from nearly the other's model, which LC-FILE-8 does not know again."""
    if not at.secret or at.has_cells:
        return None
    others = (look(at.reader, one) for one in federations_of(cast(Indexed, at.reader), JoinedFederations, account) if one != at.id)
    return next((one.id for one in others if one is not None and one.terms.dims == at.terms.dims), None)


def trained_alike(federation: bytes) -> str:
    """Say of an account what its owner risks that trains in this other federation, too."""
    return (
        f"this account is in federation {federation.hex()[:12]}, whose model has as many values: where a sponsor begins from "
        "nearly the same model, the difference of two sums shows what only one of them has, and nothing holds this node back. Join "
        "with other data, or where noise is added"
    )


def sent_before(federation: bytes) -> str:
    """Say of a node why nothing more is sent on a base on which it sent an update in this other federation."""
    return (
        f"sent an update on this very model in federation {federation.hex()[:12]}: the difference of two sums on one model shows "
        "what only one of them has, so nothing leaves it here until the model is another one (LC-FILE-8). From one that differs a "
        "little the same could be computed"
    )


def local_seed(place: AttemptPlace) -> int:
    """LC-FILE-47: the seed of `local`, the same for all of an attempt, so that equal data give equal updates."""
    return int.from_bytes(sha256(place.within)[:8], "big")
