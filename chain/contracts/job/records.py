"""State records, their keys and the escrows of the job contract. Spec: protocol_spec/job.md.

State: `j/` live jobs (until they end), `jb/` jobs, `jp/` their postings, `jn/` jobs by number, `jt/` how many there
are, `jc/` claims by their index within a job, `jm/` the index of a claimant, `jr/` rounds of audits, `js/` seats in
them, `ja/` the record of a contractor. A claim therefore rewrites one small record, however many claimants a job has.

`jl/` is a job that is leaving: its claims, rounds and seats are removed in pages. What stays for good is `ja/` and `jt/`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.job.messages import MAX_FINALISTS, Ballots, Loss, PostJob
from learningchain.chain.host import EscrowShape, Reader
from learningchain.chain.host.queues import Queue
from learningchain.chain.host.terms import Cid, Small
from learningchain.chain.losses import PLACES
from learningchain.chain.types import AccountId, Hash, Uint
from learningchain.chain.verification.committee import SECOND_ROUND

NUMBER = 3
WINNERS_KEPT = 64

Index = Annotated[int, Meta(ge=0, le=2**32 - 1)]
"""A claimant's number within its job."""
Indices = Annotated[list[Index], Meta(max_length=MAX_FINALISTS)]

# --- state ---------------------------------------------------------------------------------------------------------------------


class JobState(IntEnum):
    """DRAW lasts d blocks: what asks for a committee cannot choose it."""

    OPEN = 1
    REVEAL = 2
    KEY = 3
    DRAW = 4
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


class Result(IntEnum):
    """What became of a claim. The first four are verdicts (`votes.Judgement` has the same numbers): a claim that has one was
    judged."""

    NONE = 0
    OK = 1
    FALSE = 2
    REFUSED = 3
    UNDECIDED = 4
    DROPPED = 5
    """A finalist that was banned before it was judged."""
    SILENT = 6
    """It had to reveal and did not."""


JUDGED = (Result.OK, Result.FALSE, Result.REFUSED, Result.UNDECIDED)


class Line(IntEnum):
    """Which line of the verdict held (LC-JOB-9)."""

    QUORUM_OK = 1
    QUORUM_FALSE = 2
    QUORUM_NEGATIVE = 3
    SECOND_ROUND = 4
    TOO_FEW = 5
    MAJORITY = 6


class CaseState(IntEnum):
    PENDING = 0
    DISMISSED = 1
    BANNED = 2


class JobCase(Wire, frozen=True):
    """A FALSE verdict of this job, until the membership contract closes its case."""

    account: AccountId
    state: Small


class Posting(Wire, frozen=True):
    """What was posted, by whom and when (chain clock). `expiry` in the terms may be put off while there is no claim."""

    poster: AccountId
    number: Uint
    posted: Uint
    terms: PostJob


class Job(Wire, frozen=True):
    """Where a job stands. `deadline` (chain clock) ends the state, 0 when none does; lists hold claim indices.

    In DRAW `deadline` is the clock of the block that entered it, and `draw_height` the block that draws.
    """

    state: Small
    deadline: Uint
    draw_height: Uint
    claimants: Index
    revealed: Index
    closing: Annotated[bytes, Meta(max_length=32)]
    """Beacon of the block that closed the claims; empty before."""
    must: Indices
    finalists: Indices
    """In rank order, which is fixed when the reveals are over."""
    hidden: Small
    key: Annotated[bytes, Meta(max_length=32)]
    audit: Small
    """j, from 0."""
    round: Small
    """r: 1 or 2; 0 before the first audit."""
    again: Indices
    """The candidates that line 4 sent into round two."""
    committed: Index
    opened: Index
    """Seats all of whose columns are open."""
    cases: Annotated[list[JobCase], Meta(max_length=MAX_FINALISTS)]
    winner: Annotated[list[Index], Meta(max_length=1)]
    fees_paid: Uint
    fees_burned: Uint
    """For votes on candidates that stayed undecided."""
    burned: Uint
    """Of stakes, by verdicts."""
    bond_burned: Uint
    released: Index
    """Claims before this index have had their stake released."""
    ended: Uint


def new_job(terms: PostJob) -> Job:
    """As a posting leaves it."""
    return Job(
        state=JobState.OPEN,
        deadline=terms.expiry,
        draw_height=0,
        claimants=0,
        revealed=0,
        closing=b"",
        must=[],
        finalists=[],
        hidden=Hidden.ON if terms.hidden else Hidden.NONE,
        key=b"",
        audit=0,
        round=0,
        again=[],
        committed=0,
        opened=0,
        cases=[],
        winner=[],
        fees_paid=0,
        fees_burned=0,
        burned=0,
        bond_burned=0,
        released=0,
        ended=0,
    )


class ClaimRecord(Wire, frozen=True):
    """A claimant's standing claim.

    `height`, `tx` and `op` are of its last improvement: with `Job.closing` they give its place in the order of claims. `model` is
    empty until it is revealed; `hidden_loss` is set where it was judged OK and the hidden losses agree.
    """

    claimant: AccountId
    count: Small
    loss: Loss
    height: Uint
    tx: Hash
    op: Small
    commitment: Hash
    claimed: Uint
    full: bool
    """It locked the full stake."""
    stake: Uint
    model: Cid
    size: Uint
    result: Small
    line: Small
    hidden_loss: Annotated[list[Loss], Meta(max_length=1)]


class AuditRound(Wire, frozen=True):
    """One round of one audit: the beacon of its draw, its candidates, |P| and c for each, and everybody who sits.

    `probe` is the beacon of the block that ended the commits, from which the probe is drawn; empty before.
    """

    beacon: Hash
    probe: Annotated[bytes, Meta(max_length=32)]
    started: Uint
    deadline: Uint
    hidden: bool
    batch: Indices
    pools: Indices
    seats: Indices
    voters: Annotated[list[AccountId], Meta(max_length=SECOND_ROUND + MAX_FINALISTS)]


class ShownColumn(Wire, frozen=True):
    """The 16 losses that an opening showed, in the order of the probe: of a candidate of the seat, public or hidden."""

    candidate: Small
    hidden: bool
    losses: Annotated[list[Loss], Meta(min_length=PLACES, max_length=PLACES)]


class Seat(Wire, frozen=True):
    """A verifier's seat: the candidates it votes on, in the batch's order.

    `ballots` come with the first opening; the seat counts once `shown` has every column that they measured (`complete`).
    """

    candidates: Indices
    commitment: Annotated[bytes, Meta(max_length=32)]
    ballots: Ballots
    shown: Annotated[list[ShownColumn], Meta(max_length=2 * MAX_FINALISTS)]
    complete: bool
    struck: Annotated[str, Meta(max_length=32)]
    """What it was struck for, empty for nothing."""
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
    """How a contractor's jobs ended, and what it has standing: public, used by policies.

    `paid` and `refunded` are micro-credits: of bounties paid, and of those that went back after a model had been revealed.
    `undecided` counts jobs with a candidate that nobody could decide, `unrepeatable` verdicts for which more than a third of the
    votes were off. `winners` are the last different ones, oldest first; `older_winners` counts those before.
    """

    posted: Uint
    live: Uint
    live_bytes: Uint
    paid: Uint
    refunded: Uint
    undecided: Uint
    unrepeatable: Uint
    winners: Annotated[list[AccountId], Meta(max_length=WINNERS_KEPT)]
    older_winners: Uint


NO_JOBS = ContractorRecord(0, 0, 0, 0, 0, 0, 0, [], 0)
"""Of an account that posted nothing."""

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


def is_party(reader: Reader, job: bytes, account: bytes) -> bool:
    """Whether it posted the job or claimed on it. Nobody is a party of a job that left the state."""
    return poster_of(reader, job) == account or reader.get(claimant_key(job, account)) is not None


def claimants(reader: Reader, job: bytes, start: int, count: int) -> list[bytes]:
    """A page of the accounts that claimed on a job."""
    record = reader.get(job_key(job))
    end = min(start + count, record.claimants) if isinstance(record, Job) else 0
    found = (reader.get(claim_key(job, index)) for index in range(start, end))
    return [claim.claimant for claim in found if isinstance(claim, ClaimRecord)]


ESCROWS = (
    EscrowShape("bounty", b"B", owner=poster_of),
    EscrowShape("fees", b"F", owner=poster_of),
    EscrowShape("bond", b"G", owner=poster_of),
    EscrowShape("deposit", b"D", owner=poster_of),
    EscrowShape("stake", account=True),
)


def bounty_escrow(job: bytes) -> bytes:
    return job + b"B"


def fee_escrow(job: bytes) -> bytes:
    return job + b"F"


def bond_escrow(job: bytes) -> bytes:
    return job + b"G"


def deposit_escrow(job: bytes) -> bytes:
    return job + b"D"


def stake_escrow(job: bytes, claimant: bytes) -> bytes:
    return job + claimant
