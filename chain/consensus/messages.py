"""What goes into the consensus machine and what comes out: inputs, effects, timeouts, the round state peers tell each other.

Everything here is a frozen record without behaviour. `machine.Consensus.handle(input)` returns a list of effects, and whoever
drives the machine runs them in that order. The rules of driving it:

* **Disk before wire.** `Persist` is synced to disk before the next effect of the list runs.
* `Sign` is answered with the input `MessageSigned` when the last-signed guard gives a signature, and with nothing when it keeps
  silence.
* `CheckBlock` and `BuildBlock` are answered with `BlockChecked` and `BlockBuilt` once the block's bytes are durable. While they
  are missing the driver fetches them by id. Per block the machine asks one question at a time, so an answer needs no number;
  checks of past heights may stay without an answer.
* `Schedule` comes back as `TimeoutFired` after `ms` milliseconds; timeouts of past heights and rounds may be dropped or delivered.
* `Decide` comes once per height. The driver applies the block, then sends `StartHeight` for the next height.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.consensus.wal import Record
from learningchain.chain.errors import Verdict
from learningchain.chain.params import MAX_VALIDATORS
from learningchain.chain.types import BlockId, Certificate, Evidence, Height, Proposal, Round, Validator, Vote

PROPOSAL = 0
"""Beside PREVOTE and PRECOMMIT: the third kind of thing that a validator signs."""


class Step(IntEnum):
    """Where in a round a node stands. WAIT: nothing to decide yet. DECIDED: waiting for the next height."""

    WAIT = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    DECIDED = 4


class TimeoutKind(IntEnum):
    PROPOSE = 0
    PREVOTE = 1
    PRECOMMIT = 2
    RESEND = 3
    """Not in the paper: its network loses nothing."""


class Timeout(msgspec.Struct, frozen=True):
    kind: TimeoutKind
    height: int
    round: int
    ms: int


class RoundState(Wire, frozen=True):
    """What a node holds of its current height, as told to its peers: they answer with what it lacks.

    `prevotes` and `precommits` are bitmaps (bit i of byte i//8) of the validators whose votes of `round` it has.
    """

    height: Height
    round: Round
    step: Annotated[int, Meta(ge=0, le=4)]
    locked_round: Annotated[int, Meta(ge=-1, le=2**31 - 1)]
    locked_id: BlockId
    valid_round: Annotated[int, Meta(ge=-1, le=2**31 - 1)]
    valid_id: BlockId
    own_votes: Annotated[list[Vote], Meta(max_length=4)]
    has_proposal: bool
    prevotes: Annotated[bytes, Meta(max_length=(MAX_VALIDATORS + 7) // 8)]
    precommits: Annotated[bytes, Meta(max_length=(MAX_VALIDATORS + 7) // 8)]


class Opinion(NamedTuple):
    """What the machine thinks of a peer's message; `reason` is empty for ACCEPT."""

    verdict: Verdict
    reason: str


# --- inputs -------------------------------------------------------------------------------------------------------------------


class StartHeight(msgspec.Struct, frozen=True):
    """Height to decide next and the validators who decide it, sorted by id. `reason` is for the trace only."""

    height: int
    validators: list[Validator]
    now_ms: int = 0
    reason: str = ""


class WakeUp(msgspec.Struct, frozen=True):
    """There is something to decide at this height: round 0 starts."""

    height: int


class ProposalReceived(msgspec.Struct, frozen=True):
    """`timely=False` refuses a fresh proposal's time at once; otherwise CheckBlock asks. `peer` is who to answer, if anybody."""

    proposal: Proposal
    timely: bool = True
    peer: bytes = b""


class VoteReceived(msgspec.Struct, frozen=True):
    vote: Vote
    peer: bytes = b""


class CertificateReceived(msgspec.Struct, frozen=True):
    cert: Certificate


class StateReceived(msgspec.Struct, frozen=True):
    """A peer's round state; answered with what the peer lacks. The driver limits how often a peer may ask."""

    state: RoundState
    peer: bytes


class TimeoutFired(msgspec.Struct, frozen=True):
    timeout: Timeout


class BlockBuilt(msgspec.Struct, frozen=True):
    height: int
    round: int
    block_id: bytes


class BlockChecked(msgspec.Struct, frozen=True):
    """Answer to the last CheckBlock for this block."""

    height: int
    block_id: bytes
    valid: bool


class MessageSigned(msgspec.Struct, frozen=True):
    """The node's own signed message comes home."""

    message: Vote | Proposal


Input = (
    StartHeight
    | WakeUp
    | ProposalReceived
    | VoteReceived
    | CertificateReceived
    | StateReceived
    | TimeoutFired
    | BlockBuilt
    | BlockChecked
    | MessageSigned
)


# --- effects ------------------------------------------------------------------------------------------------------------------


class SignVote(msgspec.Struct, frozen=True):
    type: int
    height: int
    round: int
    block_id: bytes


class SignProposal(msgspec.Struct, frozen=True):
    height: int
    round: int
    pol_round: int
    block_id: bytes


class Persist(msgspec.Struct, frozen=True):
    """Append `bytes(record)` to the write-ahead log and sync it."""

    record: Record


class Sign(msgspec.Struct, frozen=True):
    request: SignVote | SignProposal


class Broadcast(msgspec.Struct, frozen=True):
    msg: Proposal | Vote | Certificate | RoundState


class SendTo(msgspec.Struct, frozen=True):
    """To one peer that lacks this."""

    peer: bytes
    msg: Proposal | Vote | Certificate


class Schedule(msgspec.Struct, frozen=True):
    timeout: Timeout


class BuildBlock(msgspec.Struct, frozen=True):
    height: int
    round: int


class CheckBlock(msgspec.Struct, frozen=True):
    """Is this block valid? With `fresh` also: was its proposal in time, and is `round` its origin round?"""

    height: int
    round: int
    block_id: bytes
    fresh: bool


class Decide(msgspec.Struct, frozen=True):
    height: int
    block_id: bytes
    cert: Certificate


class ReportEvidence(msgspec.Struct, frozen=True):
    """Somebody signed two different things for one place; at most once per validator and height."""

    evidence: Evidence


Effect = Persist | Sign | Broadcast | SendTo | Schedule | BuildBlock | CheckBlock | Decide | ReportEvidence
