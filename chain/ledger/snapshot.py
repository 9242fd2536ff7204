"""A snapshot: the whole state after a certified block, in parts that each prove themselves. Pure.

    genesis' validators --handover--> ... --handover--> who signed block N --> state root --> head of a page --> its records

The header of block N names the root of the state. The *heads* are the hashes of the state's pages (`chain.pages`): they have that
root or they are refused. A page is its records, and these have the hash of the page's head or they are refused. So whoever tells a
part can lie about nothing, and parts come from anybody, in any order, of any height at which the page was the same.

A large page is cut where its tree forks, as often as it takes: its *subpages* have heads of their own, and travel as pages do.

Who signed block N is shown by *handovers*: the certified headers that name another validator set for the next block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from chain import pages
from chain.codec import Wire, encode
from chain.crypto import sha256
from chain.errors import Malformed
from chain.ledger.listings import record_key, stored
from chain.pages import (
    DEPTH,
    FORK,
    HEAD_BYTES,
    LEAF,
    MAX_KEY,
    PAGES,
    above_of,
    build,
    halves,
    head_of,
    joined,
    number_of,
    records,
    update_top,
)
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

ENTRY = 8 + HEAD_BYTES
"""A number, and its head: 2 for a single record or 3, and the hash."""
MAX_DEPTH = 62
"""Bits of the path that a subpage shares at most: the number that names it has one bit more."""
MAX_SUBPAGES = 8_192
"""Subpages of all pages: two that were one hold more than a million bytes, so that is at least four gigabytes of large pages."""
MAX_HEADS = (PAGES + MAX_SUBPAGES) * ENTRY
CUT = 1_000_000
"""Bytes of records from which on a page, or a subpage, is cut in two."""
MAX_PAGE = 4_200_000
"""Bytes of the records of one that travels: what is not cut has one record, of at most a million, or fewer bytes than `CUT`."""

_records: msgspec.msgpack.Decoder[list[bytes]] = msgspec.msgpack.Decoder(list[bytes])


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


# --- pages and subpages -------------------------------------------------------------------------------------------------------


def _depth(number: int) -> int:
    """How many bits the paths of a page or a subpage share."""
    return DEPTH if number < PAGES else number.bit_length() - 1


def _span(number: int) -> tuple[int, int]:
    """The paths of a page or a subpage, by their first `MAX_DEPTH` bits: from the first up to the second, exclusive."""
    depth = _depth(number)
    prefix = number if number < PAGES else number - (1 << depth)
    return prefix << MAX_DEPTH - depth, prefix + 1 << MAX_DEPTH - depth


def _begins(path: bytes) -> int:
    return int.from_bytes(path[:8], "big") >> 64 - MAX_DEPTH


def number_over(path: bytes, numbers: frozenset[int]) -> int | None:
    """Which of these pages and subpages a path leads into."""
    number = number_of(path)
    if number in numbers:
        return number
    prefix = _begins(path)
    deeper = (1 << depth | prefix >> MAX_DEPTH - depth for depth in range(DEPTH + 1, MAX_DEPTH + 1))
    return next((one for one in deeper if one in numbers), None)


def subpages(number: int, page: bytes, cut: int = CUT) -> Iterator[tuple[int, bytes, bytes]]:
    """LC-BLK-19, 30: what of a page travels: number, head and records of the page, or of its subpages in the order of their paths.

    Raises `Malformed` where the bytes are no page.
    """
    raw = encode_page(page)
    if len(raw) <= cut or page[0] == LEAF or _depth(number) == MAX_DEPTH:
        yield number, head_of(page), raw
        return
    node = 2 * (number if number >= PAGES else PAGES + number)
    for half, one in zip(halves(page), (node, node + 1), strict=True):
        if half:
            yield from subpages(one, half, cut)


def _fold(found: dict[int, bytes], above: Callable[[bytes, bytes], bytes]) -> dict[int, bytes]:
    """Whole pages, ascending: what belongs to subpages is put together, the deepest first."""
    whole = {number: one for number, one in found.items() if number < PAGES}
    levels: dict[int, dict[int, bytes]] = {}
    for number, one in found.items():
        if number >= PAGES:
            levels.setdefault(_depth(number), {})[number] = one
    for depth in range(max(levels, default=DEPTH), DEPTH, -1):
        level = levels.pop(depth, {})
        for up in sorted({number >> 1 for number in level}):
            made = above(level.get(2 * up, b""), level.get(2 * up + 1, b""))
            if depth == DEPTH + 1:
                whole[up - PAGES] = made
            else:
                levels.setdefault(depth - 1, {})[up] = made
    return dict(sorted(whole.items()))


def whole_heads(heads: dict[int, bytes]) -> dict[int, bytes]:
    """The heads of the pages alone, ascending."""
    return _fold(heads, above_of) if any(number >= PAGES for number in heads) else heads


def whole_pages(found: dict[int, bytes]) -> dict[int, bytes]:
    """The pages whose subpages these are."""
    return _fold(found, joined)


# --- heads --------------------------------------------------------------------------------------------------------------------


def encode_heads(heads: dict[int, bytes]) -> bytes:
    """From the first bytes of each page or subpage that is not empty."""
    return b"".join([number.to_bytes(8, "big") + heads[number] for number in sorted(heads, key=_span)])


def decode_heads(raw: bytes) -> dict[int, bytes]:
    """LC-BLK-19, 30: head by number, in the order of paths. Raises `Malformed`."""
    if len(raw) % ENTRY:
        raise Malformed("the heads are cut off")
    found: dict[int, bytes] = {}
    free = deeper = 0
    for at in range(0, len(raw), ENTRY):
        number = int.from_bytes(raw[at : at + 8], "big")
        if number >> MAX_DEPTH + 1 or PAGES <= number < 2 * PAGES:
            raise Malformed("no page has such a number")
        start, end = _span(number)
        if start < free or raw[at + 8] not in (LEAF, FORK):
            raise Malformed("the heads are not ascending, overlap, or are no heads")
        found[number] = raw[at + 8 : at + ENTRY]
        free, deeper = end, deeper + (number >= PAGES)
    if deeper > MAX_SUBPAGES:
        raise Malformed(f"{deeper} subpages, at most {MAX_SUBPAGES} are taken")
    return found


def root_of(heads: dict[int, bytes]) -> bytes:
    """LC-MRK-4: the root of a state whose pages and subpages have these heads."""
    return pages.root_of(update_top(pages.no_nodes(), whole_heads(heads))[1])


# --- records ------------------------------------------------------------------------------------------------------------------


def encode_page(page: bytes) -> bytes:
    """Its records: key, value, key, value, in the order of their paths. Raises `Malformed` where the bytes are no page."""
    return encode([part for record in records(page) for part in record])


def make_page(number: int, head: bytes, raw: bytes) -> tuple[bytes, list[bytes]]:
    """LC-BLK-19: the page or subpage that such records make, and the keys in it that listings show, as they are stored.

    Raises `Malformed` where it is not the one with this head.
    """
    try:
        flat = _records.decode(raw)
    except msgspec.DecodeError as e:
        raise Malformed(f"a page of the state: {e}") from None
    if encode(flat) != raw:
        raise Malformed("a page of the state in another encoding than its one")
    items = [(sha256(key), key, value) for key, value in zip(flat[::2], flat[1::2], strict=False)]
    if len(flat) % 2 or not items or any(len(key) > MAX_KEY for _, key, _ in items):
        raise Malformed("a page of the state holds keys and values")
    start, end = _span(number)
    if any(a[0] >= b[0] for a, b in pairwise(items)) or not start <= _begins(items[0][0]) <= _begins(items[-1][0]) < end:
        raise Malformed("records of another page, or not in order")
    page = build(items, _depth(number))
    if head_of(page) != head:
        raise Malformed("a page of the state with other records than its head says")
    return page, _shown(items)


def _shown(items: list[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    try:
        return [listed for _, key, raw in items for listed, stands in stored(key, raw) if stands]
    except Malformed as e:
        raise Malformed(f"a record of a page of the state cannot be read: {e}") from None


def path_of_listed(key: bytes) -> bytes:
    """The path of the record of which a listing shows this key."""
    return sha256(record_key(key))
