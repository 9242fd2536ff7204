"""A snapshot: the whole state after a certified block, in parts that each prove themselves. Pure.

    genesis' validators --handover--> ... --handover--> who signed block N --> state root --> head of a page --> its records

The header of block N names the root of the state. The *heads* are the hashes of the state's pages (`chain.pages`): they have that
root or they are refused. A page is its records, and these have the hash of the page's head or they are refused. So whoever tells a
part can lie about nothing, and parts come from anybody, in any order, of any height at which the page was the same.

Who signed block N is shown by *handovers*: the certified headers that name another validator set for the next block.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from chain import pages
from chain.codec import Wire, encode
from chain.contracts.membership import Member
from chain.crypto import sha256
from chain.errors import Malformed
from chain.ledger.state import MAX_RECORD, SCANNED, VERIFIERS, listed
from chain.pages import FORK, HEAD_BYTES, LEAF, MAX_KEY, PAGES, build, number_of, records, update_top
from chain.params import PROTOCOL_VERSION
from chain.types import (
    Certificate,
    Header,
    Validator,
    ValidatorSet,
    block_id,
    check_certificate,
    check_validators,
    proposer_of,
    validators_hash,
)

ENTRY = 2 + HEAD_BYTES
"""A page's number, and its head: 2 for a single record or 3, and the hash."""
MAX_HEADS = PAGES * ENTRY
MAX_PAGE = 4_200_000
"""Bytes of a page's records. A state with a larger page has no snapshot: its pages have to be peer messages."""

_records: msgspec.msgpack.Decoder[list[bytes]] = msgspec.msgpack.Decoder(list[bytes])
_member: msgspec.msgpack.Decoder[Member] = msgspec.msgpack.Decoder(Member)


class Handover(Wire, frozen=True):
    """LC-BLK-18: a final header that names another set for the next block, and that set."""

    header: Header
    certificate: Certificate
    validators: ValidatorSet


class Offer(Wire, frozen=True):
    """What a snapshot is of: the block that the state stands after, its certificate, and the heads of the state's pages."""

    header: Header
    certificate: Certificate
    heads: Annotated[bytes, Meta(max_length=MAX_HEADS)]


# --- who signed ---------------------------------------------------------------------------------------------------------------


def check_signed(chain_id: bytes, header: Header, certificate: Certificate, validators: list[Validator]) -> None:
    """LC-BLK-7: that the block is final under this set. Raises `Malformed`."""
    if header.version != PROTOCOL_VERSION or header.chain_id != chain_id:
        raise Malformed("a header of another chain")
    if header.height != certificate.height or block_id(header) != certificate.block_id:
        raise Malformed("a certificate for another block")
    if header.validators_hash != validators_hash(validators):
        raise Malformed("a header that another validator set signs")
    if certificate.round < header.round or header.proposer != proposer_of(header, validators):
        raise Malformed("a header of another round or proposer than could be")
    check_certificate(chain_id, certificate, validators)


def follow_handover(chain_id: bytes, handover: Handover, validators: list[Validator]) -> list[Validator]:
    """LC-BLK-18: the set after a handover that `validators` signed. Raises `Malformed`."""
    check_signed(chain_id, handover.header, handover.certificate, validators)
    check_validators(handover.validators)
    if handover.header.next_validators_hash == handover.header.validators_hash:
        raise Malformed("a header that hands over to nobody else")
    if handover.header.next_validators_hash != validators_hash(handover.validators):
        raise Malformed("a handover to another set than the header names")
    return handover.validators


# --- heads --------------------------------------------------------------------------------------------------------------------


def encode_heads(heads: dict[int, bytes]) -> bytes:
    """From the first bytes of each page that is not empty, ascending."""
    return b"".join([number.to_bytes(2, "big") + head for number, head in heads.items()])


def decode_heads(raw: bytes) -> dict[int, bytes]:
    """LC-BLK-19: head by number, ascending. Raises `Malformed`."""
    if len(raw) % ENTRY:
        raise Malformed("the heads are cut off")
    found: dict[int, bytes] = {}
    last = -1
    for at in range(0, len(raw), ENTRY):
        number = raw[at] << 8 | raw[at + 1]
        if number <= last or raw[at + 2] not in (LEAF, FORK):
            raise Malformed("the heads are not ascending, or not heads")
        found[number] = raw[at + 2 : at + ENTRY]
        last = number
    return found


def root_of(heads: dict[int, bytes]) -> bytes:
    """LC-MRK-4: the root of a state whose pages have these heads."""
    return pages.root_of(update_top(pages.no_nodes(), heads)[1])


# --- pages --------------------------------------------------------------------------------------------------------------------


def encode_page(page: bytes) -> bytes:
    """Its records: key, value, key, value, in the order of their paths. Raises `Malformed` where the bytes are no page."""
    return encode([part for record in records(page) for part in record])


def make_page(number: int, head: bytes, raw: bytes) -> tuple[bytes, list[bytes]]:
    """LC-BLK-19: the page that such records make, and the keys in it that listings show, as they are stored.

    Raises `Malformed` where it is not the page with this head.
    """
    try:
        flat = _records.decode(raw)
    except msgspec.DecodeError as e:
        raise Malformed(f"a page of the state: {e}") from None
    items = [(sha256(key), key, value) for key, value in zip(flat[::2], flat[1::2], strict=False)]
    if len(flat) % 2 or not items or any(len(key) > MAX_KEY for _, key, _ in items):
        raise Malformed("a page of the state holds keys and values")
    if any(a[0] >= b[0] for a, b in pairwise(items)) or any(number_of(i[0]) != number for i in items):
        raise Malformed("records of another page, or not in order")
    page = build(items)
    if page[:HEAD_BYTES] != head:
        raise Malformed("a page of the state with other records than its head says")
    return page, _shown(items)


def _shown(items: list[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    found = []
    for _, key, raw in items:
        if key.startswith(SCANNED):
            found.append(key)
            if key.startswith(b"m/") and listed(_decoded(key, raw)):
                found.append(VERIFIERS + key[2:])
    return found


def page_of_listed(key: bytes) -> int:
    """The number of the page with the record of which a listing shows this key."""
    return number_of(sha256(b"m/" + key[len(VERIFIERS) :] if key.startswith(VERIFIERS) else key))


def _decoded(key: bytes, raw: bytes) -> Member:
    if len(raw) > MAX_RECORD:
        raise Malformed(f"the record under the state key {key.hex()} is too large")
    try:
        return _member.decode(raw)
    except msgspec.DecodeError as e:
        raise Malformed(f"the record under the state key {key.hex()} cannot be read: {e}") from None
