"""Records of the write-ahead log: what a validator must remember of an undecided height to go on after a crash.

A record is written before the signature that it announces is asked for. So a machine rebuilt from the log asks for exactly the
same signatures again, and the last-signed guard, which keeps the last one, answers with the same bytes. Each record carries the
own messages signed since the record before: all but the last own message are in the log, the last one is in the guard. That is
one synced write per signature. Votes of others are not logged but for the prevotes that prove a lock: peers resend the rest.

Records of a height may be dropped once its block and certificate are stored.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.params import MAX_VALIDATORS
from learningchain.chain.types import BlockId, Hash, Height, Proposal, Round, Vote

MAX_RECORD_BYTES = 65_536
MAX_OWN = 16
"""Own messages in one record; between two records a node signs at most one, late answers of the guard apart."""


class SignIntent(Wire, frozen=True, tag=1):
    """The node is about to sign: `kind` 0 a proposal, 1 a prevote, 2 a precommit that locks nothing."""

    height: Height
    round: Round
    kind: Annotated[int, Meta(ge=0, le=2)]
    pol_round: Annotated[int, Meta(ge=-1, le=2**31 - 1)]
    block_id: BlockId
    votes: Annotated[list[Vote], Meta(max_length=MAX_OWN)]
    proposals: Annotated[list[Proposal], Meta(max_length=MAX_OWN)]

    def __bytes__(self) -> bytes:
        return encode(self)


class Polka(Wire, frozen=True, tag=2):
    """More than two thirds prevoted `block_id`: it is the valid value; with `locks` also locked, its precommit about to be signed.

    `prevotes` prove it: without them nobody could be convinced of the re-proposal after a common power cut.
    """

    height: Height
    round: Round
    block_id: Hash
    locks: bool
    prevotes: Annotated[list[Vote], Meta(max_length=MAX_VALIDATORS)]
    votes: Annotated[list[Vote], Meta(max_length=MAX_OWN)]
    proposals: Annotated[list[Proposal], Meta(max_length=MAX_OWN)]

    def __bytes__(self) -> bytes:
        return encode(self)


Record = SignIntent | Polka


def decode_record(raw: bytes) -> Record:
    """Raises `Malformed`: the log is damaged."""
    return decode(SignIntent | Polka, raw, MAX_RECORD_BYTES)  # type: ignore[arg-type]
