"""The records that packages exchange: transactions, blocks, votes, certificates, receipts; numbers as text.

Every hash and signature has its own domain tag. Sign-bytes bind the chain id, so nothing signed for one network means anything
on another.
"""

from __future__ import annotations

import re
from base64 import b32encode
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.crypto import is_public_key, sha256, verify
from learningchain.chain.errors import Malformed
from learningchain.chain.merkle import list_root
from learningchain.chain.params import LANES, MAX_BLOCK_BYTES, MAX_BLOCK_TXS, MAX_INT, MAX_OPS, MAX_TX_BYTES, MAX_VALIDATORS
from learningchain.chain.tags import Tag

_VOTE, _PROPOSAL = Tag("lc/vote", "votes' sign-bytes"), Tag("lc/proposal", "proposals' sign-bytes")
_BLOCK, _VALIDATORS = Tag("lc/block", "block ids"), Tag("lc/validators", "validator set hashes")
AccountId = Annotated[bytes, Meta(min_length=20, max_length=20)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
PublicKey = Annotated[bytes, Meta(min_length=33, max_length=33)]
Uint = Annotated[int, Meta(ge=0, le=MAX_INT)]
Height = Annotated[int, Meta(ge=0, le=2**48)]
Round = Annotated[int, Meta(ge=0, le=2**31 - 1)]
BlockId = Annotated[bytes, Meta(max_length=32)]
"""32 bytes, or empty for nil."""
NIL = b""
NO_ROUND = -1
"""A proposal's `pol_round` when it is fresh."""

# --- transactions -------------------------------------------------------------------------------------------------------------


class TxBody(Wire, frozen=True):
    """LC-TX-1: what a sender signs. `ops` are messages, applied all or none; `valid_until` is the last height it may stand in."""

    net: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    sender: AccountId
    lane: Annotated[int, Meta(ge=0, lt=LANES)]
    sequence: Uint
    valid_until: Height
    ops: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_OPS)]


class SignedTx(Wire, frozen=True):
    body: TxBody
    signature: Signature


_TX, _TX_ID = Tag("lc/tx", "transactions' sign-bytes").domain, Tag("lc/txid", "transactions' ids").domain
_SIGNATURE_TAIL = 66
"""MessagePack of the signature that ends a SignedTx: two bytes of head, 64 of signature."""


@lru_cache(maxsize=16)
def net_of(chain_id: bytes) -> int:
    """LC-TX-3: the network number that every transaction carries: tells a foreign transaction from a forged one."""
    return int.from_bytes(chain_id[:4], "big")


def tx_digest(chain_id: bytes, body: bytes) -> bytes:
    """LC-ID-7"""
    return sha256(_TX + chain_id + body)


def tx_id(raw: bytes) -> bytes:
    """LC-TX-2: id of a signed transaction: the hash of all its bytes."""
    return sha256(_TX_ID + raw)


def body_bytes(raw: bytes) -> bytes:
    """The signed part inside the bytes of a decoded `SignedTx`."""
    return raw[1:-_SIGNATURE_TAIL]


# --- validators, votes, certificates ------------------------------------------------------------------------------------------


class Validator(Wire, frozen=True):
    id: AccountId
    key: PublicKey


ValidatorSet = Annotated[list[Validator], Meta(min_length=1, max_length=MAX_VALIDATORS)]
"""Sorted by id, each id once."""


def validators_hash(validators: list[Validator]) -> bytes:
    """LC-BLK-5"""
    return _VALIDATORS.hash(encode(validators))


def quorum(n: int) -> int:
    """LC-CON-3: more than two thirds of n."""
    return 2 * n // 3 + 1


PREVOTE, PRECOMMIT = 1, 2


class Vote(Wire, frozen=True):
    """LC-CON-1: a prevote or precommit. Carries no time, so equal votes have equal sign-bytes."""

    type: Annotated[int, Meta(ge=PREVOTE, le=PRECOMMIT)]
    height: Height
    round: Round
    block_id: BlockId
    validator: AccountId
    signature: Signature


class Proposal(Wire, frozen=True):
    """A proposer's signed word that `block_id` is its proposal; `pol_round` is -1 or the round of its proof of lock."""

    height: Height
    round: Round
    pol_round: Annotated[int, Meta(ge=NO_ROUND, le=2**31 - 1)]
    block_id: Hash
    proposer: AccountId
    signature: Signature


def vote_digest(chain_id: bytes, type_: int, height: int, round_: int, block_id: bytes) -> bytes:
    return _VOTE.hash(chain_id, encode([type_, height, round_, block_id]))


def proposal_digest(chain_id: bytes, height: int, round_: int, pol_round: int, block_id: bytes) -> bytes:
    return _PROPOSAL.hash(chain_id, encode([height, round_, pol_round, block_id]))


def vote_is_signed(chain_id: bytes, vote: Vote, key: bytes) -> bool:
    return verify(key, vote_digest(chain_id, vote.type, vote.height, vote.round, vote.block_id), vote.signature)


def proposal_is_signed(chain_id: bytes, p: Proposal, key: bytes) -> bool:
    return verify(key, proposal_digest(chain_id, p.height, p.round, p.pol_round, p.block_id), p.signature)


class VoteEvidence(Wire, frozen=True, tag=1):
    """Two different votes of one validator for one type, height and round."""

    a: Vote
    b: Vote


class ProposalEvidence(Wire, frozen=True, tag=2):
    """Two different proposals of one proposer for one height and round."""

    a: Proposal
    b: Proposal


Evidence = VoteEvidence | ProposalEvidence


def signer_of(evidence: Evidence) -> bytes:
    """Who is said to have signed twice."""
    return evidence.a.validator if isinstance(evidence.a, Vote) else evidence.a.proposer


class Certificate(Wire, frozen=True):
    """LC-BLK-6: more than two thirds of a height's validators precommitted `block_id`: it is final.

    `signers` are strictly ascending indices into the height's validator set, `signatures` stand in the same order.
    """

    height: Height
    round: Round
    block_id: Hash
    signers: Annotated[list[Annotated[int, Meta(ge=0, lt=MAX_VALIDATORS)]], Meta(min_length=1, max_length=MAX_VALIDATORS)]
    signatures: Annotated[list[Signature], Meta(min_length=1, max_length=MAX_VALIDATORS)]


def check_certificate(chain_id: bytes, cert: Certificate, validators: list[Validator]) -> None:
    """LC-BLK-6. Raises `Malformed` naming what does not hold."""
    if len(cert.signers) != len(cert.signatures):
        raise Malformed("a certificate has one signature per signer")
    if any(a >= b for a, b in zip(cert.signers, cert.signers[1:], strict=False)) or cert.signers[-1] >= len(validators):
        raise Malformed("a certificate's signers are ascending indices into the validator set")
    if len(cert.signers) < quorum(len(validators)):
        raise Malformed(f"a certificate needs {quorum(len(validators))} signatures, this one has {len(cert.signers)}")
    digest = vote_digest(chain_id, PRECOMMIT, cert.height, cert.round, cert.block_id)
    for index, signature in zip(cert.signers, cert.signatures, strict=True):
        if not verify(validators[index].key, digest, signature):
            raise Malformed(f"validator {index} did not sign this certificate")


# --- blocks -------------------------------------------------------------------------------------------------------------------


class Header(Wire, frozen=True):
    """LC-BLK-1. `round` is the origin round: re-proposals keep the header as it is. `state_root` is the state after this block."""

    version: Uint
    chain_id: Hash
    height: Height
    round: Round
    proposer: AccountId
    time: Uint
    parent: Hash
    tx_root: Hash
    receipt_root: Hash
    state_root: Hash
    validators_hash: Hash
    next_validators_hash: Hash
    reveal: Hash
    commitment: Hash


def proposer_of(header: Header, validators: list[Validator]) -> bytes:
    """LC-CON-4: whose turn the header's height and origin round are, in the set of that height."""
    return validators[(header.height + header.round) % len(validators)].id


def check_validators(validators: list[Validator]) -> None:
    """LC-BLK-5: for a set that somebody tells. Raises `Malformed`."""
    if any(a.id >= b.id for a, b in pairwise(validators)):
        raise Malformed("a validator set is sorted by id, each id once")
    if not all(is_public_key(v.key) for v in validators):
        raise Malformed("a validator's key is not a compressed secp256k1 public key")


RawTx = Annotated[bytes, Meta(max_length=MAX_TX_BYTES)]


class Block(Wire, frozen=True):
    header: Header
    txs: Annotated[list[RawTx], Meta(max_length=MAX_BLOCK_TXS)]


def block_id(header: Header) -> bytes:
    """LC-BLK-2"""
    return _BLOCK.hash(encode(header))


def tx_root(txs: list[bytes]) -> bytes:
    """LC-BLK-3"""
    return list_root([tx_id(raw) for raw in txs])


def decode_block(raw: bytes) -> Block:
    return decode(Block, raw, MAX_BLOCK_BYTES + 65_536)


class Checkpoint(NamedTuple):
    """A block that a node's owner trusts: whoever has another one at this height has another history. `HEIGHT-ID` as text."""

    height: int
    block_id: bytes

    def __str__(self) -> str:
        return f"{self.height}-{self.block_id.hex()}"


_CHECKPOINT = re.compile(r"([1-9][0-9]{0,14})-([0-9a-f]{64})", re.ASCII)


def parse_checkpoint(text: str) -> Checkpoint | None:
    """A checkpoint from its text; None for an empty text. Raises ValueError."""
    if not text:
        return None
    found = _CHECKPOINT.fullmatch(text)
    if found is None:
        raise ValueError("it is a height and the id of its block, such as 354-7ff5..., 64 hex digits behind the line")
    return Checkpoint(int(found[1]), bytes.fromhex(found[2]))


# --- receipts -----------------------------------------------------------------------------------------------------------------


class TransferEvent(Wire, frozen=True, tag=1):
    """Credits moved. An empty `source` is a mint, an empty `target` a burn; `ref` names the job or transfer it belongs to.

    Sources and targets are account ids (20 bytes) or escrow references (longer).
    """

    reason: Annotated[str, Meta(max_length=32)]
    source: Annotated[bytes, Meta(max_length=64)]
    target: Annotated[bytes, Meta(max_length=64)]
    amount: Uint
    ref: Annotated[bytes, Meta(max_length=64)]


EVENT_DATA = (int, str, bytes)


class LogEvent(Wire, frozen=True, tag=2):
    """Something happened to `ref` (a job, an account): `topic` says what, `data` are its numbers, ids and texts."""

    topic: Annotated[str, Meta(max_length=32)]
    ref: Annotated[bytes, Meta(max_length=64)]
    data: Annotated[list[Any], Meta(max_length=32)]
    """int, bool, str or bytes: a union that msgspec cannot decode, so the record checks it itself."""

    def __post_init__(self) -> None:
        for value in self.data:
            if not isinstance(value, EVENT_DATA):
                raise ValueError("an event's data are integers, texts and bytes")


Event = TransferEvent | LogEvent


class Receipt(Wire, frozen=True):
    """LC-BLK-4: what became of a transaction (`code` 0: applied). The block's own events have the zero id and come first."""

    tx: Hash
    code: Uint
    events: list[Event]


# --- numbers as text ----------------------------------------------------------------------------------------------------------

LOSS_UNIT = 10**9
_LOSS = re.compile(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,18})?", re.ASCII)


def parse_loss(text: str) -> int:
    """LC-ENC-7: a loss as units of 1e-9, rounded towards plus infinity. Raises ValueError unless it is a plain decimal.

    At most 9 digits before and 18 behind the point; no exponent, no plus sign, no NaN.
    """
    if len(text) > 40 or not _LOSS.fullmatch(text):
        raise ValueError("a loss is a plain decimal such as 0.123456789 (at most 9 digits before and 18 behind the point)")
    whole, _, fraction = text.lstrip("-").partition(".")
    scaled = int(whole + fraction.ljust(18, "0"))
    if text.startswith("-"):
        scaled = -scaled
    return -(-scaled // 10**9)


def format_loss(loss: int) -> str:
    """The decimal text of a loss in 1e-9 units, nine digits behind the point."""
    sign, loss = ("-", -loss) if loss < 0 else ("", loss)
    return f"{sign}{loss // LOSS_UNIT}.{loss % LOSS_UNIT:09d}"


_CREDITS = re.compile(r"(0|[1-9][0-9]{0,12})(\.[0-9]{1,6})?", re.ASCII)


def parse_credits(text: str) -> int:
    """LC-ENC-8: micro-credits from a decimal number of credits with at most six digits behind the point. Raises ValueError."""
    if not _CREDITS.fullmatch(text):
        raise ValueError("credits are a decimal number such as 12 or 0.5 (at most six digits behind the point)")
    whole, _, fraction = text.partition(".")
    value = int(whole + fraction.ljust(6, "0"))
    if value > MAX_INT:
        raise ValueError("more credits than can exist")
    return value


def format_credits(amount: int) -> str:
    """Credits as decimal text without needless zeros."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, fraction = divmod(amount, 10**6)
    return f"{sign}{whole}" + (f".{fraction:06d}".rstrip("0") if fraction else "")


def cid_text(cid: bytes) -> str:
    """The base32 text of a binary CID, empty for none (LC-CONTENT-1)."""
    return "b" + b32encode(cid).decode("ascii").rstrip("=").lower() if cid else ""


def format_span(milliseconds: int) -> str:
    """A length of time for people, in the two largest units that it has: 30 d, 1 d 2 h, 1.5 s, 250 ms."""
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.10g} s"
    rest, parts = milliseconds // 1_000, list[str]()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if rest >= size:
            parts.append(f"{rest // size} {unit}")
            rest %= size
    return " ".join(parts[:2])
