"""Bounds that hold for every network, and the parameters that a network's genesis fixes.

Times are milliseconds, sizes bytes, credits micro-credits (1 credit = 10^6), losses 1e-9 units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from learningchain.chain.codec import Wire

# --- bounds on everything -----------------------------------------------------------------------------------------------------

PROTOCOL_VERSION = 1
MAX_INT = 2**63 - 1
"""Largest integer in any message or state value (SQLite's limit)."""
MAX_TX_BYTES = 65_536
MAX_OPS = 100
"""Messages under one signature."""
MAX_BLOCK_BYTES = 4_000_000
MAX_BLOCK_TXS = 8_192
MAX_VALIDATORS = 128
LANES = 4
"""Independent sequences per account: a stuck transfer must not hold up a reveal or a vote."""
MAX_VALID_FOR = 100_000
"""A transaction's valid_until lies at most this many blocks ahead."""
MAX_PEER_MESSAGE = 4_500_000
CREDIT = 1_000_000

Positive = Annotated[int, Meta(ge=1, le=MAX_INT)]
Span = Annotated[int, Meta(ge=1, le=MAX_INT, extra={"span": "ms"})]
"""A length of time in milliseconds. Genesis allows at most `MAX_TIME`, so that sums stay far below MAX_INT."""
MicroCredits = Annotated[int, Meta(ge=0, le=MAX_INT, extra={"unit": "micro-credits"})]
SomeMicroCredits = Annotated[int, Meta(ge=1, le=MAX_INT, extra={"unit": "micro-credits"})]
Blocks = Annotated[int, Meta(ge=1, le=MAX_INT, extra={"span": "blocks"})]

KEPT = "kept"
"""Among a span's metadata: nodes that drop old blocks keep those that are not older than that."""


@dataclass(frozen=True)
class Votable:
    """A parameter that the validators may change by vote, within these bounds (LC-GOV-8): within them the chain goes on deciding.

    Genesis may fix other values, for laboratories; a parameter without this is as genesis fixed it for good.
    """

    low: int
    high: int


def votable(f: msgspec.structs.FieldInfo) -> Votable | None:
    """The bounds of a parameter's changes; None where it is fixed."""
    return next((found for found in f.type.__metadata__ if isinstance(found, Votable)), None)


class ContractParams(Wire, frozen=True, kw_only=True):
    """Base of the parameters of one contract (`Contract.params`): integers, each with a default."""

    def check(self) -> None:
        """Raises `Malformed` naming parameters that do not go together."""


class Params(Wire, frozen=True, kw_only=True):
    """The parameters of a network's ledger and consensus; each contract has its own.

    Times in milliseconds of the chain clock unless they say otherwise.
    """

    # blocks
    block_bytes: Annotated[Positive, Votable(2 * (MAX_TX_BYTES + 5), MAX_BLOCK_BYTES)] = 2_000_000
    block_txs: Annotated[Positive, Votable(16, MAX_BLOCK_TXS)] = 4_096
    block_work: Annotated[Positive, Votable(25_600, 196_608)] = 49_152
    """Work of one block, in transfers of a batch: more would take the validators longer than a round has."""
    quota: Annotated[Positive, Votable(16, MAX_BLOCK_TXS)] = 2_048
    """Transactions of one account in one block."""
    max_due: Annotated[Positive, Votable(800, 8_192)] = 1_536
    """Deadline events handled in one block; the rest stay due. Not fewer than a block's messages can set."""
    max_due_work: Annotated[Positive, Votable(800, 65_536)] = 8_192
    """Work of the deadlines handled in one block: more would take the validators longer than a round has. Not below max_due."""
    block_reward: Annotated[MicroCredits, Votable(0, 1_000 * CREDIT)] = 0
    heartbeat: Annotated[Span, Votable(1_000, 600_000)] = 10_000
    """Wall-clock milliseconds after which an idle graph makes an empty block."""
    max_step: Annotated[Span, Votable(1_000, 600_000)] = 60_000
    """Most that the chain clock grows in one block: an outage expires nobody's window."""
    drift: Annotated[Span, Votable(250, 60_000)] = 2_000
    """A fresh proposal's time may differ this much from a validator's clock at its arrival."""
    timeout_propose: Annotated[Span, Votable(100, 60_000)] = 1_000
    timeout_vote: Annotated[Span, Votable(50, 60_000)] = 500
    timeout_step: Annotated[Span, Votable(200, 60_000)] = 250
    """Added to each timeout per round. The bounds of a vote: a block of the most work is executed within a round, and soon."""
    timeout_max: Annotated[Span, Votable(15_000, 600_000)] = 30_000
    evidence_age: Annotated[Blocks, Votable(100, 1_000_000)] = 10_000
    """Blocks for which a double signing can still be reported, and for as long as an idle graph takes for them."""

    # bandwidth: bytes of transactions that an account may have in blocks (LC-TX-11)
    bandwidth_base: Annotated[Positive, Votable(16, 1_048_576)] = 64
    """Bytes in a second of the chain clock for every account."""
    bandwidth_per_credit: Annotated[Positive, Votable(1, 1_048_576)] = 16
    """Bytes in a second more for each whole credit that is free."""
    bandwidth_window: Span = 4_096_000
    """An account may save up what it earns in this time. It never changes: what each account has left counts from it. A shorter one
    would keep who spent its bytes from a reveal for as long as the difference; a longer one would give everybody the difference
    at once. How much may be sent is for the two above it to say."""
