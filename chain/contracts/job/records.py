"""State records, their keys and the escrows of the job contract. Spec: protocol_spec/job.md.

State: `j/` live jobs (until they end), `jb/` jobs, `jp/` their postings (immutable), `jn/` jobs by number, `jt/` how many there
are, `jc/` claims by their index within a job, `jm/` the index of a claimant, `jr/` rounds of audits (immutable), `js/` seats in
them, `ja/` the record of a contractor. A claim therefore rewrites one small record, however many claimants a job has.

`jl/` is a job that is leaving: its claims, rounds and seats are removed in pages. What stays for good is `ja/` and `jt/`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from chain.codec import Wire
from chain.contracts.job import rules
from chain.contracts.job.messages import Ballots, Loss, PostJob
from chain.host import EscrowShape, Reader
from chain.host.queues import Queue
from chain.host.terms import Cid, Small
from chain.types import AccountId, Hash, Uint

NUMBER = 3

Index = Annotated[int, Meta(ge=0, le=2**32 - 1)]
"""A claimant's number within its job."""
Indices = Annotated[list[Index], Meta(max_length=rules.MAX_FINALISTS)]

# --- state ---------------------------------------------------------------------------------------------------------------------


class JobState(IntEnum):
    """AUDIT is passed through within one block: it draws the committee and becomes COMMIT, or an end."""

    OPEN = 1
    REVEAL = 2
    KEY = 3
    AUDIT = 4
    COMMIT = 5
    COUNT = 6
    PAID = 7
    REFUNDED = 8
    EMPTY = 9


ENDED = (JobState.PAID, JobState.REFUNDED, JobState.EMPTY)


class Hidden(IntEnum):
    NONE = 0
    ON = 1
    OFF = 2
    """Turned off: no key, or a key that opens junk. The deposit is burned."""


class Holdback(IntEnum):
    """What becomes of the holdback, the last tenth of a refunded bounty."""

    NONE = 0
    HELD = 1
    RETURNED = 2
    BURNED = 3


class CaseState(IntEnum):
    PENDING = 0
    DISMISSED = 1
    BANNED = 2


class JobCase(Wire, frozen=True):
    """A FALSE verdict of this job, until the membership contract closes it."""

    account: AccountId
    state: Small


class Posting(Wire, frozen=True):
    """What was posted, by whom and when (chain clock). Never changes."""

    poster: AccountId
    number: Uint
    posted: Uint
    terms: PostJob


class Job(Wire, frozen=True):
    """Where a job stands. `deadline` (chain clock) ends the state, 0 when none does; lists hold claim indices."""

    state: Small
    deadline: Uint
    claimants: Index
    must: Indices
    finalists: Indices
    """In rank order."""
    hidden: Small
    key: Annotated[bytes, Meta(max_length=32)]
    audit: Small
    """j, from 0."""
    round: Small
    """r: 1 or 2; 0 before the first audit."""
    committed: Index
    opened: Index
    cases: Annotated[list[JobCase], Meta(max_length=rules.MAX_FINALISTS)]
    winner: Annotated[list[Index], Meta(max_length=1)]
    fees_paid: Uint
    holdback: Small
    released: Index
    """Claims before this index have had their stake released."""
    ended: Uint


class ClaimRecord(Wire, frozen=True):
    """A claimant's standing claim. `model` is empty until it is revealed; `hidden_loss` is set when judged OK."""

    claimant: AccountId
    count: Small
    loss: Loss
    position: Annotated[bytes, Meta(max_length=64)]
    commitment: Hash
    claimed: Uint
    stake: Uint
    model: Cid
    size: Uint
    result: Small
    rule: Small
    hidden_loss: Annotated[list[Loss], Meta(max_length=1)]


class AuditRound(Wire, frozen=True):
    """One round of one audit: the beacon fixed at its start, its candidates, |P| and c for each, and everybody who sits."""

    beacon: Hash
    started: Uint
    deadline: Uint
    hidden: bool
    batch: Indices
    pools: Indices
    seats: Indices
    voters: Annotated[list[AccountId], Meta(max_length=rules.COMMITTEE_2 + rules.MAX_FINALISTS)]


class Seat(Wire, frozen=True):
    """A verifier's seat: the candidates it votes on, in the batch's order."""

    candidates: Indices
    commitment: Annotated[bytes, Meta(max_length=32)]
    ballots: Ballots
    struck: bool
    fee: Uint


class Live(Wire, frozen=True):
    """A job that has not ended: what lists need to choose by."""

    number: Uint
    expiry: Uint


class Numbered(Wire, frozen=True):
    job: Hash


class Leaving(Wire, frozen=True):
    """A job whose posting is gone already.

    Claims below `claimants` are still there, and rounds of votes up to `round` of `audit`. `given_back`: the validators ended it,
    so a stake that is left goes back instead of stopping it.
    """

    poster: AccountId
    claimants: Index
    audit: Small
    round: Small
    given_back: bool


class Totals(Wire, frozen=True):
    posted: Uint


class ClaimantIndex(Wire, frozen=True):
    index: Index


class ContractorRecord(Wire, frozen=True):
    """How a contractor's jobs ended, and the bytes of the postings that have not. `refunded` ones showed a model to verifiers and
    paid nobody."""

    posted: Uint
    paid: Uint
    refunded: Uint
    empty: Uint
    live_bytes: Uint

    @property
    def live(self) -> int:
        """Jobs that have not ended."""
        return self.posted - self.paid - self.refunded - self.empty


K_TOTALS = b"jt/"
NUMBERS = Queue(b"jn/", Numbered)
"""Every job of the state in the order of posting; `Totals` counts all that ever were."""
STATE: dict[bytes, type] = {
    b"j/": Live,
    b"ja/": ContractorRecord,
    b"jb/": Job,
    b"jc/": ClaimRecord,
    b"jl/": Leaving,
    b"jm/": ClaimantIndex,
    NUMBERS.prefix: Numbered,
    b"jp/": Posting,
    b"jr/": AuditRound,
    b"js/": Seat,
    K_TOTALS: Totals,
}


def live_key(job: bytes) -> bytes:
    return b"j/" + job


def job_key(job: bytes) -> bytes:
    return b"jb/" + job


def posting_key(job: bytes) -> bytes:
    return b"jp/" + job


def leaving_key(job: bytes) -> bytes:
    return b"jl/" + job


def claim_key(job: bytes, index: int) -> bytes:
    return b"jc/" + job + index.to_bytes(4, "big")


def claimant_key(job: bytes, claimant: bytes) -> bytes:
    return b"jm/" + job + claimant


def round_key(job: bytes, audit: int, round_: int) -> bytes:
    return b"jr/" + job + bytes((audit, round_))


def seat_key(job: bytes, audit: int, round_: int, voter: bytes) -> bytes:
    return b"js/" + job + bytes((audit, round_)) + voter


def contractor_key(poster: bytes) -> bytes:
    return b"ja/" + poster


def poster_of(reader: Reader, job: bytes) -> bytes | None:
    posting = reader.get(posting_key(job))
    return posting.poster if isinstance(posting, Posting) else None


def claimants(reader: Reader, job: bytes, start: int, count: int) -> list[bytes]:
    """A page of the accounts that claimed on a job."""
    record = reader.get(job_key(job))
    end = min(start + count, record.claimants) if isinstance(record, Job) else 0
    found = (reader.get(claim_key(job, index)) for index in range(start, end))
    return [claim.claimant for claim in found if isinstance(claim, ClaimRecord)]


ESCROWS = (
    EscrowShape("bounty", b"B", owner=poster_of),
    EscrowShape("fees", b"F", owner=poster_of),
    EscrowShape("deposit", b"D", owner=poster_of),
    EscrowShape("stake", account=True),
)


def bounty_escrow(job: bytes) -> bytes:
    return job + b"B"


def fee_escrow(job: bytes) -> bytes:
    return job + b"F"


def deposit_escrow(job: bytes) -> bytes:
    return job + b"D"


def stake_escrow(job: bytes, claimant: bytes) -> bytes:
    return job + claimant
