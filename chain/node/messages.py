"""What nodes tell each other on the NODE channel. Spec: protocol_spec/node.md.

A proposal travels as its header and the short ids of its transactions (the first eight bytes of each id): everybody holds the
transactions already, and asks for the few that it lacks.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.consensus.messages import RoundState
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.snapshot import MAX_BUCKET, Offer, ValidatorSetChange
from learningchain.chain.ledger.state_diff import Receipts, StateDiff
from learningchain.chain.params import MAX_BLOCK_BYTES, MAX_BLOCK_TXS, MAX_PEER_MESSAGE, MAX_VALIDATORS
from learningchain.chain.types import AccountId, Certificate, Hash, Header, Height, Proposal, RawTx, Uint, Vote

SHORT = 8
MAX_BATCH = 512
"""Transactions in one message."""
MAX_SYNC_BLOCKS = 64
MAX_SYNC_BYTES = 2_000_000
"""A sync answer stops after the block that reaches this."""
MAX_SYNC_ANSWER = 4_200_000
"""Block bytes in one sync answer, unless it is one block: with 64 certificates of 128 validators they stay a peer message."""

MAX_VALIDATOR_CHANGES = 64
MAX_HEADERS = 512
"""In one answer: some 170,000 bytes."""
MAX_BUCKETS = 256
"""State buckets in one question."""
MAX_BUCKETS_BYTES = 1_000_000
"""An answer with state buckets stops after the one that reaches this."""

ShortId = Annotated[bytes, Meta(min_length=SHORT, max_length=SHORT)]
RawBlock = Annotated[bytes, Meta(max_length=MAX_BLOCK_BYTES + 65_536)]
BucketNumber = Uint
Index = Annotated[int, Meta(ge=0, lt=MAX_BLOCK_TXS)]


class Txs(Wire, frozen=True, tag=1):
    """LC-NODE-1: transactions, pushed by the node that first took them, or the answer to GetTxs."""

    txs: Annotated[list[RawTx], Meta(min_length=1, max_length=MAX_BATCH)]


class TxIds(Wire, frozen=True, tag=2):
    """LC-NODE-2: transactions that the sender holds and can be asked for."""

    ids: Annotated[list[ShortId], Meta(min_length=1, max_length=MAX_BATCH)]


class GetTxs(Wire, frozen=True, tag=3):
    """LC-NODE-3"""

    ids: Annotated[list[ShortId], Meta(min_length=1, max_length=MAX_BATCH)]


class CompactProposal(Wire, frozen=True, tag=4):
    """LC-NODE-4: a proposal with the header of its block and short ids of the transactions, in order."""

    proposal: Proposal
    header: Header
    ids: Annotated[list[ShortId], Meta(max_length=MAX_BLOCK_TXS)]


class VoteMessage(Wire, frozen=True, tag=5):
    """LC-NODE-5"""

    vote: Vote


class CertificateMessage(Wire, frozen=True, tag=6):
    """LC-NODE-6"""

    certificate: Certificate


class StateMessage(Wire, frozen=True, tag=7):
    """LC-NODE-7: the sender's round state; answered with what it lacks."""

    state: RoundState


class Status(Wire, frozen=True, tag=8):
    """LC-NODE-8: the sender's last decided height, and the first one whose block it keeps."""

    height: Height
    first: Height


class GetBlock(Wire, frozen=True, tag=9):
    """LC-NODE-9: the body of an undecided block: all of it, or only the transactions at `missing`."""

    height: Height
    block_id: Hash
    missing: Annotated[list[Index], Meta(max_length=MAX_BLOCK_TXS)]


class BlockTxs(Wire, frozen=True, tag=10):
    """LC-NODE-10: the transactions of a block at the asked places, in order."""

    block_id: Hash
    missing: Annotated[list[Index], Meta(max_length=MAX_BLOCK_TXS)]
    txs: Annotated[list[RawTx], Meta(max_length=MAX_BLOCK_TXS)]


class FullBlock(Wire, frozen=True, tag=11):
    """LC-NODE-11: header and all transactions."""

    block: RawBlock


class GetBlocks(Wire, frozen=True, tag=12):
    """LC-NODE-12: decided blocks from `start` on."""

    start: Height
    count: Annotated[int, Meta(ge=1, le=MAX_SYNC_BLOCKS)]


class SyncBlock(Wire, frozen=True):
    block: RawBlock
    certificate: Certificate


class Blocks(Wire, frozen=True, tag=13):
    """LC-NODE-13: consecutive decided blocks with their certificates; empty when the sender has none of them."""

    blocks: Annotated[list[SyncBlock], Meta(max_length=MAX_SYNC_BLOCKS)]


class Links(Wire, frozen=True, tag=14):
    """LC-NODE-14: the validators that the sender is connected with."""

    validators: Annotated[list[AccountId], Meta(max_length=MAX_VALIDATORS)]


class GetExecutedBlocks(Wire, frozen=True, tag=32):
    """LC-NODE-32: decided blocks from `start` on, with what they did."""

    start: Height
    count: Annotated[int, Meta(ge=1, le=MAX_SYNC_BLOCKS)]


class ExecutedBlock(Wire, frozen=True):
    block: RawBlock
    certificate: Certificate
    receipts: Receipts
    changes: StateDiff


class ExecutedBlocks(Wire, frozen=True, tag=33):
    """LC-NODE-33: consecutive decided blocks with their certificates, receipts and changes."""

    blocks: Annotated[list[ExecutedBlock], Meta(max_length=MAX_SYNC_BLOCKS)]


class GetSnapshot(Wire, frozen=True, tag=34):
    """LC-NODE-34: the state after a recent block, to be taken bucket by bucket."""


class Snapshot(Wire, frozen=True, tag=35):
    """LC-NODE-35: what the sender's snapshot is of; nothing where it has none, and whether it makes one."""

    making: bool
    offers: Annotated[list[Offer], Meta(max_length=1)]


class GetValidatorChanges(Wire, frozen=True, tag=36):
    """LC-NODE-36: final headers from height `start` on that name another validator set for the next block."""

    start: Height


class ValidatorChanges(Wire, frozen=True, tag=37):
    """LC-NODE-37: the first of those that the sender has, ascending."""

    validator_changes: Annotated[list[ValidatorSetChange], Meta(max_length=MAX_VALIDATOR_CHANGES)]


class GetBuckets(Wire, frozen=True, tag=38):
    """LC-NODE-38: buckets of the receiver's snapshot of a height."""

    height: Height
    numbers: Annotated[list[BucketNumber], Meta(min_length=1, max_length=MAX_BUCKETS)]


class Buckets(Wire, frozen=True, tag=39):
    """LC-NODE-39: the first of the buckets asked for, each as its records; none where there is no snapshot of that height."""

    height: Height
    numbers: Annotated[list[BucketNumber], Meta(max_length=MAX_BUCKETS)]
    buckets: Annotated[list[Annotated[bytes, Meta(max_length=MAX_BUCKET)]], Meta(max_length=MAX_BUCKETS)]


class GetHeaders(Wire, frozen=True, tag=76):
    """LC-NODE-76: headers of decided blocks, from `height` downwards."""

    height: Height
    count: Annotated[int, Meta(ge=1, le=MAX_HEADERS)]


class Headers(Wire, frozen=True, tag=77):
    """LC-NODE-77: the first of those that the sender has, descending without a gap; empty when it lacks the first."""

    headers: Annotated[list[Header], Meta(max_length=MAX_HEADERS)]


Message = (
    Txs
    | TxIds
    | GetTxs
    | CompactProposal
    | VoteMessage
    | CertificateMessage
    | StateMessage
    | Status
    | GetBlock
    | BlockTxs
    | FullBlock
    | GetBlocks
    | Blocks
    | Links
    | GetExecutedBlocks
    | ExecutedBlocks
    | GetSnapshot
    | Snapshot
    | GetValidatorChanges
    | ValidatorChanges
    | GetBuckets
    | Buckets
    | GetHeaders
    | Headers
)
SnapshotQuestion = GetSnapshot | GetValidatorChanges | GetBuckets
SnapshotAnswer = Snapshot | ValidatorChanges | Buckets

_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def decode_message(payload: bytes) -> Message:
    """Raises `Malformed`. LC-NODE-29: what does not re-encode to itself is refused."""
    if len(payload) > MAX_PEER_MESSAGE:
        raise Malformed(f"{len(payload)} bytes, at most {MAX_PEER_MESSAGE} allowed")
    try:
        message = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Malformed(str(e)) from None
    if encode(message) != payload:
        raise Malformed("not the canonical encoding")
    return message


def decode_certificate(raw: bytes) -> Certificate:
    return decode(Certificate, raw, 65_536)


def decode_changes(raw: bytes) -> StateDiff:
    return decode(StateDiff, raw, 2 * MAX_PEER_MESSAGE)
