"""What nodes tell each other about a federation, beside the ledger and the files (LC-FILE-44, 45). Pure.

    member -> aggregator   UpdateOffer    its file stands on the ledger, and this node serves it to you
    aggregator -> member   UpdateAnswer   what became of it, signed: a member that is left out can show who had its file
    seat -> sponsor, seat  KeyAsk         a seat that was drawn later asks for the key of the hidden file
    sponsor, seat -> seat  KeyGive        that key, in a box for the box key of the seat
    owner -> holder        ShareAsk       whoever lost its node asks for its share of a vault (LC-FILE-43)
    holder -> owner        ShareGive      that share, in a box

No message says what the ledger does not say better: a node that hears none of them fetches what the ledger names all the same. The
connection says who speaks; the ledger, who may ask what. All have a fixed size, and none makes a node do more than one look at the
ledger and one message back.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.crypto import verify
from learningchain.chain.host.terms import Small
from learningchain.chain.tags import Tag
from learningchain.chain.types import Hash, Uint
from learningchain.client.work.events import SendPeer
from learningchain.p2p.content.cid import CidBytes
from learningchain.p2p.wire import FED

MAX_FED_MESSAGE: Final = 512
"""Bytes of any message of the channel."""
_ANSWER = Tag("lc/fed-answer", "answers to updates")
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
KeyBox = Annotated[bytes, Meta(min_length=80, max_length=80)]
ShareBox = Annotated[bytes, Meta(min_length=81, max_length=81)]


class FileAnswer(IntEnum):
    """What an aggregator says of a file that was offered."""

    FETCHED = 1
    """It is here and opens: the aggregator has it (LC-FED-22)."""
    UNKNOWN = 2
    """The ledger names no such file of this sender in this attempt, or this node is none of its aggregators."""
    HASH = 3
    """What came is not what the name says, or nothing came."""
    SENDER = 4
    """The file is another member's."""
    HEADER = 5
    BOX = 6
    SIZE = 7
    LATE = 8
    """The time to have it is over."""


class UpdateOffer(Wire, frozen=True, tag=1):
    federation: Hash
    attempt: Uint
    cid: CidBytes


class UpdateAnswer(Wire, frozen=True, tag=2):
    """`answer`: a `FileAnswer`. `signature`: of the aggregator's account, over `answer_digest`."""

    federation: Hash
    attempt: Uint
    cid: CidBytes
    answer: Annotated[int, Meta(ge=1, le=len(FileAnswer))]
    signature: Signature


class KeyAsk(Wire, frozen=True, tag=3):
    federation: Hash


class KeyGive(Wire, frozen=True, tag=4):
    federation: Hash
    box: KeyBox


class ShareAsk(Wire, frozen=True, tag=5):
    """`r`: which vault of the asking member."""

    federation: Hash
    r: Uint


class ShareGive(Wire, frozen=True, tag=6):
    federation: Hash
    r: Uint
    share: Small
    """Its number, from 1 on."""
    box: ShareBox


FedMessage = UpdateOffer | UpdateAnswer | KeyAsk | KeyGive | ShareAsk | ShareGive


def encode_fed(message: FedMessage) -> bytes:
    return encode(message)


def tell(to: bytes, message: FedMessage) -> SendPeer:
    return SendPeer(FED, to, encode_fed(message))


def decode_fed(payload: bytes) -> FedMessage:
    """Raises `Malformed`: too long, of another shape, out of bounds, not canonical."""
    return decode(FedMessage, payload, MAX_FED_MESSAGE)  # type: ignore[arg-type]


def answer_digest(chain: bytes, member: bytes, offer: UpdateOffer, answer: int) -> bytes:
    """What an aggregator signs: the file, whose it is, and what became of it."""
    return _ANSWER.hash(chain, offer.federation, offer.attempt.to_bytes(8, "big"), member, offer.cid, bytes((answer,)))


def is_answer_of(public: bytes, chain: bytes, member: bytes, found: UpdateAnswer) -> bool:
    """Whether the holder of this key signed it."""
    offer = UpdateOffer(found.federation, found.attempt, found.cid)
    return verify(public, answer_digest(chain, member, offer, found.answer), found.signature)
