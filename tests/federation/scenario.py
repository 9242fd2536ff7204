"""What a scenario is made of: plain data that the model and a driver of real handlers read alike.

Credits are micro-credits, losses and targets 10^-9, times milliseconds of the chain clock, sizes bytes. Ids are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND = 1_000
DAY = 24 * 3_600 * SECOND
MAX_LOSS = 10**18
MAX_BOUNTY = 10**15
N_MAX = 128
"""Indexes of one federation, ever."""

SUM, OPENED = "sum", "open"
"""Secrecy."""
MEAN, KRUM, TRIMMED, MEDIAN = "mean", "krum", "trimmed", "median"
EQUAL, SAMPLES, ALIGNED, HALF = "equal", "samples", "aligned", "half"
USED, AWAY, LARGE, EMPTY, WRONG, STALE, COPY, OUTLIER = "USED", "AWAY", "LARGE", "EMPTY", "WRONG", "STALE", "COPY", "OUTLIER"
CODES = (USED, AWAY, LARGE, EMPTY, WRONG, STALE, COPY, OUTLIER)
"""Of a file, by the aggregators."""
UNPROVED, RESTS = "UNPROVED", "IDLE"
"""Of a file of one that has a cell, besides USED and AWAY: IDLE is proved, and its cell does not sum."""
STEPS = (2_000, 1_000, 500, 250)
"""Of a direction's four candidates, in thousandths of the radius."""
OK, INVALID, NOMODEL, BADKEY, ABSTAIN = "OK", "INVALID", "NOMODEL", "BADKEY", "ABSTAIN"
MEASURES = (OK, INVALID, NOMODEL, BADKEY, ABSTAIN)
"""Of a model, by the panel."""
ROWS_STAGE, SUMS_STAGE = 1, 2
"""Of PinParts."""


@dataclass(frozen=True, slots=True)
class Params:
    """Of genesis. `month` is how long strikes and rests last."""

    v0: int = 120 * SECOND
    w_h: int = 30 * SECOND
    w_c: int = 60 * SECOND
    pending: int = 7 * DAY
    keep: int = 30 * DAY
    month: int = 30 * DAY
    t_min: int = 60 * SECOND
    longest: int = 180 * DAY
    rate: int = 10
    live: int = 16
    """Federations of one root that have not ended."""
    dropped: int = 64
    """Records of an ended federation that leave the state in one deadline."""
    indexes: int = 128
    """Given in one federation before those go over that nothing names; a random graph has fewer, or none would ever go over."""
    cells: int = 10
    """That live in one federation; a random graph has fewer, or no member would wait for that."""
    in_cell: int = 16
    """Members of a cell, the same."""
    max_due: int = 1_536


@dataclass(frozen=True, slots=True)
class Member:
    """An account of genesis; with `inviter` one that was invited by an earlier member, otherwise a root."""

    id: bytes
    balance: int
    inviter: bytes | None = None
    flag: bool = False
    box: bool = True
    able: bool = True
    """Whether its declared capacity covers what a federation takes."""


@dataclass(frozen=True, slots=True)
class Terms:
    bounty: int
    fee: int
    target: int
    rounds: int
    ends: int
    """Of the chain clock."""
    pace_ms: int = DAY
    round_ms: int = 600 * SECOND
    dims: int = 1_024
    size: int = 4 * 1_024 + 200
    float_kind: int = 2
    tol: int = 0
    min_members: int = 3
    max_members: int = 8
    min_sum: int = 3
    vetted: bool = True
    secrecy: str = SUM
    rule: str = MEAN
    split: str = EQUAL
    reference: bool = False
    clip: int = 10**9
    patience: int = 3
    admit_open: bool = False
    outside: bool = False
    hidden: bool = False
    dp_milli: int = 0
    eval_s: int = 10
    cpus_milli: int = 1_000
    params: int = 0
    """Bytes of the program's parameters."""

    @property
    def cells(self) -> bool:
        """Whether owners sit in cells: rows would open updates of so few values."""
        return self.dims < 1_024 and self.secrecy == SUM


@dataclass(frozen=True, slots=True)
class Measure:
    """What a seat of the panel says of a model."""

    code: str
    loss: int = 0
    holds: bool = True
    """Whether the leaves that it opens are those that it committed to."""


@dataclass(frozen=True, slots=True)
class Lists:
    """What a seat of the panel says of the candidates of all directions."""

    code: str
    found: tuple[tuple[int, int | None], ...] = ()
    """Of each direction the step that loses least, and the loss; 0 and None is INVALID."""
    holds: bool = True


# --- messages -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenFederation:
    federation: bytes
    terms: Terms


@dataclass(frozen=True, slots=True)
class JoinFederation:
    federation: bytes
    digest: bytes
    n: int = 0


@dataclass(frozen=True, slots=True)
class AdmitMember:
    federation: bytes
    member: bytes


@dataclass(frozen=True, slots=True)
class RemoveMember:
    federation: bytes
    member: bytes


@dataclass(frozen=True, slots=True)
class LeaveFederation:
    federation: bytes


@dataclass(frozen=True, slots=True)
class NewData:
    federation: bytes
    digest: bytes
    n: int = 0


@dataclass(frozen=True, slots=True)
class StartRound:
    federation: bytes
    r: int


@dataclass(frozen=True, slots=True)
class SealKey:
    federation: bytes
    boxes: int


@dataclass(frozen=True, slots=True)
class ReadyKey:
    federation: bytes
    attempt: int
    low_order: bool = False


@dataclass(frozen=True, slots=True)
class CommitUpdate:
    federation: bytes
    attempt: int
    cid: bytes
    size: int


@dataclass(frozen=True, slots=True)
class ReferUpdate:
    federation: bytes
    attempt: int
    cid: bytes


@dataclass(frozen=True, slots=True)
class HaveUpdates:
    federation: bytes
    attempt: int
    bits: int
    """Bit i for the file that was committed as the i-th."""
    reference: bool = False


@dataclass(frozen=True, slots=True)
class PinParts:
    federation: bytes
    attempt: int
    stage: int
    parts: tuple[tuple[int, bytes], ...]
    """Number of a mask and digest, of the masks that the sender knows."""


@dataclass(frozen=True, slots=True)
class ScreenUpdates:
    federation: bytes
    attempt: int
    codes: tuple[str, ...]
    """Of every file, in the order of the commitments."""
    points: tuple[int, ...]
    """The same, 0 to 16; empty unless the split is aligned."""
    norm: int
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class SumUpdates:
    federation: bytes
    attempt: int
    cid: bytes
    """Of the model; empty where a value is not finite."""


@dataclass(frozen=True, slots=True)
class CommitMeasure:
    federation: bytes
    r: int
    again: int
    measure: Measure | Lists


@dataclass(frozen=True, slots=True)
class OpenMeasure:
    federation: bytes
    r: int
    again: int
    measure: Measure


@dataclass(frozen=True, slots=True)
class CloseFederation:
    federation: bytes


@dataclass(frozen=True, slots=True)
class ServeFederation:
    on: bool


@dataclass(frozen=True, slots=True)
class VaultModel:
    federation: bytes
    cid: bytes


# --- of federations with cells ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServeCells:
    on: bool


@dataclass(frozen=True, slots=True)
class SealParts:
    """What PinSealed will say; nobody sees more of it than that it was sealed."""

    federation: bytes
    attempt: int
    stage: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PinSealed:
    federation: bytes
    attempt: int
    stage: int
    parts: tuple[tuple[int, bytes], ...]
    """Number of a share and digest; share 0 is the masked numbers."""


@dataclass(frozen=True, slots=True)
class SumCells:
    federation: bytes
    attempt: int
    sums: bytes
    models: tuple[bytes, ...]
    """The candidates, four of each direction; empty where one is not finite. Where all are, nothing is said of the sums either."""


@dataclass(frozen=True, slots=True)
class OpenSteps:
    federation: bytes
    r: int
    again: int
    measure: Lists


# --- what other contracts tell --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetFlag:
    account: bytes
    on: bool


@dataclass(frozen=True, slots=True)
class SetBox:
    account: bytes
    on: bool


@dataclass(frozen=True, slots=True)
class Suspend:
    account: bytes
    on: bool


@dataclass(frozen=True, slots=True)
class Ban:
    account: bytes


@dataclass(frozen=True, slots=True)
class Strike:
    account: bytes
    origin: bytes


@dataclass(frozen=True, slots=True)
class SetValidators:
    count: int


Message = (
    OpenFederation
    | JoinFederation
    | AdmitMember
    | RemoveMember
    | LeaveFederation
    | NewData
    | StartRound
    | SealKey
    | ReadyKey
    | CommitUpdate
    | ReferUpdate
    | HaveUpdates
    | PinParts
    | ScreenUpdates
    | SumUpdates
    | CommitMeasure
    | OpenMeasure
    | CloseFederation
    | ServeFederation
    | VaultModel
    | ServeCells
    | SealParts
    | PinSealed
    | SumCells
    | OpenSteps
    | SetFlag
    | SetBox
    | Suspend
    | Ban
    | Strike
    | SetValidators
)


@dataclass(frozen=True, slots=True)
class Entry:
    sender: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class Block:
    clock: int
    beacon: bytes
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    params: Params
    members: tuple[Member, ...]
    validators: int
    blocks: tuple[Block, ...]
