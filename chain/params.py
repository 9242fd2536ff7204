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


class Params(Wire, frozen=True, kw_only=True):
    """What genesis fixes for a network. Times in milliseconds of the chain clock unless they say otherwise."""

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
    heartbeat: Positive = 10_000
    """Wall-clock milliseconds after which an idle graph makes an empty block."""
    max_step: Positive = 60_000
    """Most that the chain clock grows in one block: an outage expires nobody's window."""
    drift: Positive = 2_000
    """A fresh proposal's time may differ this much from a validator's clock at its arrival."""
    timeout_propose: Positive = 1_000
    timeout_vote: Positive = 500
    timeout_step: Positive = 250
    """Added to each timeout per round."""
    timeout_max: Positive = 30_000
    evidence_age: Positive = 10_000
    """Blocks for which a double signing can still be reported."""

    # jobs (job-contract, W_* and the rest)
    job_min_open: Positive = 10_000
    """T_MIN: shortest time from posting to expiry."""
    job_max_open: Positive = 30 * 24 * 3_600_000
    job_reveal: Positive = 60_000
    """W_R"""
    job_key: Positive = 60_000
    """W_K"""
    job_vote_base: Positive = 120_000
    """V0: the part of the committee's window that does not depend on the job."""
    job_open_votes: Positive = 60_000
    """W_O"""
    appeal: Positive = 3_600_000
    """APPEAL: how long a suspended identity's credits stay frozen before the verdict is final."""
    strike_life: Positive = 30 * 24 * 3_600_000
    job_max_claimants: Positive = 1_024
    job_max_live: Positive = 1_024
    """Live jobs of one contractor."""
    job_max_live_bytes: Positive = 4_194_304
    """Bytes of one contractor's live postings together."""
