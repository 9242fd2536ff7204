"""What peers say to each other about content. Numbers and bounds are part of the protocol (LC-CONTENT-8, LC-CONTENT-9). Pure.

One block per frame: a leaf has a quarter of a mebibyte already, and small frames let a link interleave more urgent traffic.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire, decode
from learningchain.p2p.content.cid import CidBytes
from learningchain.p2p.content.dag import CHUNK

MAX_FRAME = 2**20
MAX_WANTS = 32
TICKET_BYTES = 32


class WhoHas(Wire, frozen=True, tag=1):
    """Do you hold all of `root`, and may I have it?"""

    root: CidBytes


class Has(Wire, frozen=True, tag=2):
    """Yes. The other answer is silence: it gives nothing away about what is held for others."""

    root: CidBytes


class HasBulk(Wire, frozen=True, tag=6):
    """Yes, and its leaves may be had by a data connection to this port with this ticket (LC-CONTENT-16)."""

    root: CidBytes
    port: Annotated[int, Meta(ge=1, le=65_535)]
    ticket: Annotated[bytes, Meta(min_length=TICKET_BYTES, max_length=TICKET_BYTES)]


class DontHave(Wire, frozen=True, tag=3):
    """The answer to a want that cannot be served (any more)."""

    root: CidBytes


class Later(Wire, frozen=True, tag=7):
    """Yes, but you had all that I send one peer in a day (LC-CONTENT-21): ask again after so many seconds."""

    root: CidBytes
    after_s: Annotated[int, Meta(ge=1, le=86_400)]


class WantBlocks(Wire, frozen=True, tag=4):
    root: CidBytes
    blocks: Annotated[list[CidBytes], Meta(min_length=1, max_length=MAX_WANTS)]


class ContentBlock(Wire, frozen=True, tag=5):
    root: CidBytes
    cid: CidBytes
    data: Annotated[bytes, Meta(max_length=CHUNK)]


Message = WhoHas | Has | HasBulk | DontHave | Later | WantBlocks | ContentBlock


def decode_message(payload: bytes) -> Message:
    """Raises `Malformed`."""
    return decode(Message, payload, MAX_FRAME)  # type: ignore[arg-type]
