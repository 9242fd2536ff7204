"""Bounds that hold for every network, and the parameters that a network's genesis fixes.

Times are milliseconds, sizes bytes, credits micro-credits (1 credit = 10^6), losses 1e-9 units.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from chain.codec import Wire

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
Unsigned = Annotated[int, Meta(ge=0, le=MAX_INT)]
Span = Annotated[int, Meta(ge=1, le=MAX_INT, extra={"span": "ms"})]
"""A length of time in milliseconds. Genesis allows at most `MAX_TIME`, so that sums stay far below MAX_INT."""
Blocks = Annotated[int, Meta(ge=1, le=MAX_INT, extra={"span": "blocks"})]


class ContractParams(Wire, frozen=True, kw_only=True):
    """Base of what genesis fixes for one contract (`Contract.params`): integers, each with a default."""

    def check(self) -> None:
        """Raises `Malformed` naming parameters that do not go together."""


class Params(Wire, frozen=True, kw_only=True):
    """What genesis fixes for a network's ledger and consensus; each contract has its own.

    Times in milliseconds of the chain clock unless they say otherwise.
    """

    # blocks
    block_bytes: Positive = 2_000_000
    block_txs: Positive = 4_096
    block_work: Positive = 49_152
    """Work of one block, in transfers of a batch: more would take the validators longer than a round has."""
    quota: Positive = 2_048
    """Transactions of one account in one block."""
    max_due: Positive = 1_536
    """Deadline events handled in one block; the rest stay due. Not fewer than a block's messages can set."""
    max_due_work: Positive = 8_192
    """Work of the deadlines handled in one block: more would take the validators longer than a round has. Not below max_due."""
    block_reward: Unsigned = 0
    heartbeat: Span = 10_000
    """Wall-clock milliseconds after which an idle graph makes an empty block."""
    max_step: Span = 60_000
    """Most that the chain clock grows in one block: an outage expires nobody's window."""
    drift: Span = 2_000
    """A fresh proposal's time may differ this much from a validator's clock at its arrival."""
    timeout_propose: Span = 1_000
    timeout_vote: Span = 500
    timeout_step: Span = 250
    """Added to each timeout per round."""
    timeout_max: Span = 30_000
    evidence_age: Blocks = 10_000
    """Blocks for which a double signing can still be reported."""

    # bandwidth: bytes of transactions that an account may have in blocks (LC-TX-11)
    bandwidth_base: Positive = 64
    """Bytes in a second of the chain clock for every account."""
    bandwidth_per_credit: Positive = 16
    """Bytes in a second more for each whole credit that is free."""
    bandwidth_window: Span = 4_096_000
    """An account may save up what it earns in this time."""
