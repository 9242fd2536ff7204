"""What a scenario is made of: plain data that the model and a driver of real handlers read alike.

Credits are micro-credits, scores 10^-9, times milliseconds of the chain clock, sizes bytes. Ids are bytes: an account's, a
model's, a request's, a policy's.
"""

from __future__ import annotations

from dataclasses import dataclass

CLASS, NUMBER = 1, 2
"""Kinds of a model."""

OK, BAD_INPUT, NO_DATA, BAD_KEY, FAULT, OVERRUN, ABSTAIN = (
    "OK",
    "BAD_INPUT",
    "NO_DATA",
    "BAD_KEY",
    "FAULT",
    "OVERRUN",
    "ABSTAIN",
)
CODES = (OK, BAD_INPUT, NO_DATA, BAD_KEY, FAULT, OVERRUN, ABSTAIN)

MAX_SCORE = 10**18
MAX_CHECK = 2**63 - 1
MAX_TIP = 10**15
SECOND = 1_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Params:
    """Of genesis. `month` is how long strikes and rests last."""

    sub: int = 20_000
    epoch: int = HOUR
    epoch_sub: int = 100_000_000
    stake: int = 1_000_000
    deposit: int = 1_000_000
    fee: int = 10_000
    a0: int = 3 * SECOND
    w_o: int = 2 * SECOND
    w_k: int = 5 * SECOND
    w_p: int = 600 * SECOND
    keep: int = 30 * DAY
    v0: int = 120 * SECOND
    w_o3: int = 60 * SECOND
    month: int = 30 * DAY
    servers: int = 256
    waiting: int = 1_024
    waiting_own: int = 64
    models: int = 256
    row: int = 5
    max_due: int = 1_536


@dataclass(frozen=True, slots=True)
class Member:
    """An account of genesis; with `inviter` one that was invited by an earlier member, otherwise a root."""

    id: bytes
    balance: int
    inviter: bytes | None = None
    flag: bool = False
    box: bool = False
    """Whether it has a box key."""
    able: bool = False
    """Whether its declared capacity covers what the models take."""


@dataclass(frozen=True, slots=True)
class ModelTerms:
    name: str
    kind: int = NUMBER
    classes: int = 0
    tol: int = 1_000
    p: int = 0
    w: int = 1
    slots: int = 4
    max_rows: int = 256
    input_cap: int = 1_000_000
    row_ms: int = 10
    start_s: int = 1
    size: int = 1_000_000
    shares: tuple[tuple[bytes, int], ...] = ()
    """Who shares the royalty, with weights."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one seat. OK carries scores, check and, of a CLASS model, classes; the check of BAD_INPUT is the number, from 1, of a row
    that does not fit, or 0. The other codes carry nothing."""

    code: str
    scores: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    check: int = 0


@dataclass(frozen=True, slots=True)
class RegisterModel:
    model: bytes
    """The id that it gets."""
    terms: ModelTerms
    previous: bytes | None = None
    source: bytes | None = None
    """A paid job whose winner becomes the model."""


@dataclass(frozen=True, slots=True)
class SetPrice:
    model: bytes
    expected: tuple[int, int]
    """p and w as last set."""
    price: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RetireModel:
    model: bytes


@dataclass(frozen=True, slots=True)
class Serve:
    model: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Unserve:
    model: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """The message Request."""

    request: bytes
    """The id that it gets."""
    model: bytes
    cid: bytes
    size: int
    rows: int
    n: int
    m: int
    tip: int
    max_charge: int
    wait: int
    private: bool = False
    policy: bytes | None = None
    inline: bool | None = None
    """Whether inline bytes have the hash of the CID; None: there are none."""

    @property
    def carried(self) -> int:
        """Bytes of the input that lie on the ledger."""
        return 0 if self.inline is None else self.size


@dataclass(frozen=True, slots=True)
class AddTip:
    request: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Cancel:
    request: bytes


@dataclass(frozen=True, slots=True)
class GiveKeys:
    request: bytes
    r: int
    boxes: int
    """How many boxes, one for each seat of the round."""


@dataclass(frozen=True, slots=True)
class CommitAnswer:
    request: bytes
    r: int
    answer: Answer
    """What the commitment binds. The ledger sees a hash."""


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    request: bytes
    r: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Appeal:
    request: bytes
    rows: tuple[int, ...]
    """Rows that must be answered again, at most eight."""


@dataclass(frozen=True, slots=True)
class RegisterPolicy:
    policy: bytes
    """The id that it gets."""
    model: bytes
    below: bool
    threshold: int
    rates: tuple[tuple[int, int], ...]
    """From which value on which rate, in millionths."""
    least: int = 3
    most: int = 0
    """How many requests of one root in the time that results are kept; 0: any number."""


# --- what other contracts tell; its sender does not matter --------------------------------------------------------------------


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
    """A strike of another contract."""

    account: bytes
    origin: bytes


@dataclass(frozen=True, slots=True)
class SetValidators:
    count: int


Message = (
    RegisterModel
    | SetPrice
    | RetireModel
    | Serve
    | Unserve
    | Ask
    | AddTip
    | Cancel
    | GiveKeys
    | CommitAnswer
    | OpenAnswer
    | Appeal
    | RegisterPolicy
    | SetFlag
    | SetBox
    | Suspend
    | Ban
    | Strike
    | SetValidators
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it stands in a block, and who sent it."""

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
    paid: tuple[tuple[bytes, bytes], ...]
    """Paid jobs, and who posted them."""
    blocks: tuple[Block, ...]
