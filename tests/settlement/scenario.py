"""What a scenario is made of: plain data that the model and a driver of the real handlers read alike.

Credits are micro-credits, losses 10^-9, times milliseconds of the chain clock, sizes bytes. Ids are bytes: an account's, a job's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

F64, F32 = 1, 2
"""Float kinds."""

MAX_LOSS = 10**18
MAX_SUM = 2**63 - 1
MAX_EXAMPLES = 2**20

OK, NEAR, FALSE, INVALID, BROKEN, NOMODEL, ABSTAIN = "OK", "NEAR", "FALSE", "INVALID", "BROKEN", "NOMODEL", "ABSTAIN"
MEASURED = (OK, NEAR, FALSE)
NEGATIVE = (NEAR, INVALID, NOMODEL, BROKEN, FALSE)
REFUSED, UNDECIDED = "REFUSED", "UNDECIDED"
"""Verdicts besides OK and FALSE."""

BADKEY = "BADKEY"
"""Value of a ballot's hidden column."""

DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Params:
    """Of genesis. `month` is the 30 days that strikes, marks, rests and corroboration look back."""

    b_min: int = 1_000_000
    rate: int = 10
    appeal: int = DAY // 2
    w_r: int = 60_000
    w_k: int = 60_000
    v0: int = 120_000
    w_o: int = 60_000
    t_min: int = 10_000
    t_max: int = 30 * DAY
    month: int = 30 * DAY
    max_claimants: int = 1_024
    max_due: int = 1_536


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job takes of a machine, and what a verifier declares that it has. eval_s in seconds."""

    arch: str = "amd64"
    cpus_milli: int = 1_000
    mem_mb: int = 512
    image: int = 1_000_000
    model_cap: int = 1_000_000
    eval_s: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    """An account of genesis; with `inviter` one that was invited by an earlier member, otherwise a root."""

    id: bytes
    balance: int
    inviter: bytes | None = None
    validator: bool = False
    flag: bool = False
    capacity: Limits | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    bounty: int
    fee: int
    expiry: int
    finalists: int = 4
    kind: int = F32
    tol: int = 0
    floor: int = 0
    refund_on_cheat: bool = False
    hidden: bool = False
    limits: Limits = field(default_factory=Limits)
    trained: int = 0
    """Bytes of the data sets that only trainings read."""
    evaluated: int = 0
    """What those weigh that evaluations read, too: bytes, and 200,000 for a file."""

    devices: tuple[int, int, int] | None = None
    """Kind, count and memory of what trainings are given, which no rule of settlement reads."""
    earlier: int | None = None
    """The loss of the model that trainings begin with, where there is one."""

    @property
    def needed(self) -> Limits:
        return replace(self.limits, image=self.limits.image + self.evaluated)


@dataclass(frozen=True, slots=True)
class Column:
    """One evaluation: a loss for every example. Root and leaf hashes are the driver's affair."""

    leaves: tuple[int, ...]
    sum: int

    @property
    def n(self) -> int:
        return len(self.leaves)

    @property
    def measured(self) -> int:
        return -(-self.sum // len(self.leaves))


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote on one candidate. `hidden` is a column, BADKEY or nothing."""

    code: str
    public: Column | None = None
    hidden: Column | str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    terms: Terms
    job: bytes
    """The id that the job gets."""


@dataclass(frozen=True, slots=True)
class Claim:
    job: bytes
    loss: int
    model: int
    """Stands for the model: what the commitment hides, and what a reveal must name to open it."""
    stake: bool = True
    """Whether the claimant wants to lock the stake (a first claim only)."""


@dataclass(frozen=True, slots=True)
class Reveal:
    job: bytes
    model: int


@dataclass(frozen=True, slots=True)
class RevealKey:
    job: bytes
    right: bool = True
    """Whether the key has the posted hash."""


@dataclass(frozen=True, slots=True)
class CommitVote:
    job: bytes
    j: int
    r: int
    ballots: tuple[Ballot, ...]
    """What the commitment binds, one for each candidate of the seat in the batch's order. The ledger sees a hash."""


@dataclass(frozen=True, slots=True)
class OpenVote:
    """Opens one column of one candidate. The first one of a seat carries the ballots; without measured columns it names none."""

    job: bytes
    j: int
    r: int
    ballots: tuple[Ballot, ...] | None = None
    candidate: int | None = None
    """Index among the seat's candidates."""
    hidden: bool = False
    holds: bool = True
    """Whether the multiproof and the leaves are the committed ones."""


@dataclass(frozen=True, slots=True)
class JudgeCase:
    account: bytes
    confirm: bool


@dataclass(frozen=True, slots=True)
class SetCapacity:
    capacity: Limits


@dataclass(frozen=True, slots=True)
class SetVerifier:
    """The validators' vote on somebody's flag, as already passed; its sender does not matter."""

    account: bytes
    flag: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    to: bytes
    amount: int


Message = Post | Claim | Reveal | RevealKey | CommitVote | OpenVote | JudgeCase | SetCapacity | SetVerifier | Transfer


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it stands in a block: who sent it, the id of its transaction, its place in that."""

    sender: bytes
    tx: bytes
    op: int
    message: Message


@dataclass(frozen=True, slots=True)
class Block:
    clock: int
    beacon: bytes
    """The beacon after this block."""
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    params: Params
    members: tuple[Member, ...]
    blocks: tuple[Block, ...]
