"""The formulas of the job contract as plain functions on integers and bytes: nothing here reads or changes a ledger.

Losses and tolerances are 1e-9 units, credits micro-credits, times milliseconds, sizes bytes. Spec: protocol_spec/job.md.
Anybody may import this: clients compute the same numbers before they send a message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

from chain.crypto import sha256
from chain.tags import Tag
from chain.types import quorum
from chain.verification.scale import ceil_div, lower_median

# --- constants of the contract (LC-JOB-1) --------------------------------------------------------------------------------------

_PROBE = Tag("lc/probe", "probes")
COMMITTEE = 13
"""C: seats in round one. At one third colluders, 13 pass a false claim in 0.9 % of cases: hence round two."""
COMMITTEE_2 = 64
"""Seats in round two."""
MAX_FINALISTS = 8
"""Most finalists (K) that a contractor may ask for: bounds the audits, so also the latest end."""
DEFAULT_FINALISTS = 3
MAX_CLAIMS = 16
"""Claims of one claimant on one job."""
MAX_LOSS = 10**18
"""Largest loss: nine digits before the point, in 1e-9 units."""
MIN_POOL = 3
"""Below this many verifiers other finalists join the pool: a graph with one node down still decides."""
STRIKE_LIMIT = 3
"""Live strikes at which an identity may not post, claim or be drawn."""
PULL_BYTES_PER_MS = 1_000
"""1 MB/s: the slowest transfer of a model that a verifier's window allows for."""
PROBE_BITS = 31


class OnCheat(IntEnum):
    REFUND = 0
    NEXT_BEST = 1


class VoteCode(IntEnum):
    """What a verifier found. OK, NEAR and FALSE carry a measured loss and a probe; the others none."""

    OK = 1
    NEAR = 2
    FALSE = 3
    INVALID = 4
    NOMODEL = 5
    ABSTAIN = 6


MEASURED = (VoteCode.OK, VoteCode.NEAR, VoteCode.FALSE)
NEGATIVE = (VoteCode.NEAR, VoteCode.FALSE, VoteCode.INVALID, VoteCode.NOMODEL)


class HiddenVote(IntEnum):
    """The hidden column of a ballot."""

    NONE = 0
    VALUE = 1
    BADKEY = 2


class Result(IntEnum):
    """What became of a claim. The first four are verdicts: a claim that has one was judged."""

    NONE = 0
    OK = 1
    FALSE = 2
    REFUSED = 3
    UNDECIDED = 4
    DROPPED = 5
    """A finalist that was suspended or banned when an audit started."""
    SILENT = 6
    """It had to reveal and did not."""


JUDGED = (Result.OK, Result.FALSE, Result.REFUSED, Result.UNDECIDED)


class Rule(IntEnum):
    """Which line of the verdict held."""

    QUORUM_OK = 1
    QUORUM_FALSE = 2
    QUORUM_NEGATIVE = 3
    SECOND_ROUND = 4
    NO_VOTES = 5
    MAJORITY = 6


# --- numbers -------------------------------------------------------------------------------------------------------------------


def fees_locked(fee: int, finalists: int) -> int:
    """F = u*C*K."""
    return fee * COMMITTEE * finalists


def vote_window(vote_base: int, eval_s: int, model_cap: int, batch: int) -> int:
    """W_V in milliseconds: two evaluations and one transfer at 1 MB/s for each model of the batch (LC-JOB-4)."""
    return vote_base + 2 * eval_s * 1_000 * batch + ceil_div(model_cap * batch, PULL_BYTES_PER_MS)


# --- the committee -------------------------------------------------------------------------------------------------------------


def ticket(beacon: bytes, job: bytes, audit: int, round_: int, identity: bytes) -> bytes:
    """Lowest tickets sit: SHA-256(beacon || job || j || r || id), j and r one byte each (LC-JOB-6)."""
    return sha256(beacon + job + bytes((audit, round_)) + identity)


def draw(pool: Sequence[bytes], spare: Sequence[bytes], seats: int, order: Callable[[bytes], bytes]) -> tuple[list[bytes], int]:
    """The committee in draw order, and |P|. `spare` (other finalists) join a pool below three by draw order (LC-JOB-6)."""
    drawn = sorted(pool, key=order)
    if len(drawn) < MIN_POOL:
        drawn = sorted(drawn + sorted(spare, key=order)[: MIN_POOL - len(drawn)], key=order)
    return drawn[:seats], len(drawn)


def probe_of(beacon: bytes, job: bytes, audit: int, round_: int) -> int:
    """The 31 bits that choose a round's probe examples: drawn from the beacon at the audit's start (LC-JOB-7)."""
    drawn = _PROBE.hash(beacon, job, bytes((audit, round_)))
    return int.from_bytes(drawn[:4], "big") & ((1 << PROBE_BITS) - 1)


# --- votes and verdicts --------------------------------------------------------------------------------------------------------


def vote_code(claimed: int, measured: int, tol: int, limit: int) -> VoteCode:
    """OK up to claim+tol, FALSE above claim+bound, NEAR between (LC-JOB-8)."""
    if measured <= claimed + tol:
        return VoteCode.OK
    return VoteCode.FALSE if measured > claimed + limit else VoteCode.NEAR


class Tally(NamedTuple):
    """The opened votes of one round on one candidate; `seats` is c."""

    seats: int
    ok: int
    negative: int
    agree: int


def tally(seats: int, votes: Sequence[tuple[int, int]], tol: int) -> Tally:
    """Count opened (code, measured) pairs. `agree`: FALSE votes within 2*tol of their lower median (LC-JOB-9)."""
    measured = [value for code, value in votes if code == VoteCode.FALSE]
    agree = 0
    if measured:
        middle = lower_median(measured)
        agree = sum(abs(value - middle) <= 2 * tol for value in measured)
    ok = sum(code == VoteCode.OK for code, _ in votes)
    return Tally(seats, ok, sum(code in NEGATIVE for code, _ in votes), agree)


def verdict(t: Tally, round_: int, pool: int) -> tuple[Result, Rule]:
    """The first line that holds (LC-JOB-9), with Q(c) as LC-JOB-3 has it. `Result.NONE` with `SECOND_ROUND`: no verdict yet."""
    needed = quorum(t.seats)
    if t.seats >= 1 and t.ok >= needed:
        return Result.OK, Rule.QUORUM_OK
    if t.agree >= max(2, needed):
        return Result.FALSE, Rule.QUORUM_FALSE
    if t.seats >= 1 and t.negative >= needed:
        return Result.REFUSED, Rule.QUORUM_NEGATIVE
    if round_ == 1 and t.seats < pool:
        return Result.NONE, Rule.SECOND_ROUND
    if t.ok + t.negative == 0:
        return Result.UNDECIDED, Rule.NO_VOTES
    return (Result.OK if t.ok >= t.negative else Result.REFUSED), Rule.MAJORITY


def winning_codes(result: int) -> tuple[VoteCode, ...]:
    """The side that a verdict pays (LC-JOB-11)."""
    if result == Result.OK:
        return (VoteCode.OK,)
    return NEGATIVE if result in (Result.FALSE, Result.REFUSED) else ()


def probes_good(votes: Sequence[tuple[int, int]], tol: int) -> list[bool]:
    """For the (code, probe) pairs of one side and round: is the probe within 2*tol of that side's lower median?

    Codes without a measurement carry no probe and are good.
    """
    probes = [probe for code, probe in votes if code in MEASURED]
    if not probes:
        return [True] * len(votes)
    middle = lower_median(probes)
    return [code not in MEASURED or abs(probe - middle) <= 2 * tol for code, probe in votes]


def fee_each(fee: int, units: int) -> int:
    """min(u, (u*C)//units): a candidate never costs more than u*C (LC-JOB-11)."""
    return min(fee, fee * COMMITTEE // units) if units else 0


def is_wrong(code: int, result: int, rule: int) -> bool:
    """A vote that costs a strike: OK against FALSE, FALSE or INVALID against OK, where a quorum decided (LC-JOB-12)."""
    if rule == Rule.QUORUM_FALSE:
        return code == VoteCode.OK
    return rule == Rule.QUORUM_OK and result == Result.OK and code in (VoteCode.FALSE, VoteCode.INVALID)


def is_weak(code: int, result: int) -> bool:
    """NEAR, NOMODEL or ABSTAIN on the losing side: no fee and no strike, but too many turn the flag off (LC-JOB-12)."""
    winners = winning_codes(result)
    return bool(winners) and code not in winners and code in (VoteCode.NEAR, VoteCode.NOMODEL, VoteCode.ABSTAIN)


def latest_end(
    expiry: int, reveal: int, key: int, open_votes: int, *, finalists: int, vote_base: int, eval_s: int, model_cap: int
) -> int:
    """T0 + W_R + W_K + 2K*(W_V+W_O), with W_V for one model: a batch of K takes at most K times that (LC-JOB-14)."""
    per_round = vote_window(vote_base, eval_s, model_cap, 1) + open_votes
    return expiry + reveal + key + 2 * finalists * per_round
