"""A snapshot: the whole state after a certified block, in pieces that each prove themselves. Pure.

    genesis' validators --change--> ... --change--> who signed block N --> state root --> subroot of a bucket --> its records

The header of block N names the root of the state. The *subroots* are the hashes of the state's buckets (`chain.buckets`): they
have that root or they are refused. A bucket is its records, and these have the hash of the bucket's subroot or they are refused.
So whoever sends a piece can lie about nothing, and pieces come from anybody, in any order, of any height at which the bucket was
the same.

A large bucket is cut where its tree forks, as often as it takes: its *subbuckets* have subroots of their own, and travel as
buckets do.

Who signed block N is shown by *validator set changes*: the certified headers that name another validator set for the next block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from learningchain.chain import buckets
from learningchain.chain.buckets import (
    BUCKETS,
    DEPTH,
    FORK,
    LEAF,
    MAX_KEY,
    SUBROOT_BYTES,
    above_of,
    build,
    halves,
    joined,
    number_of,
    records,
    subroot_of,
    update_top,
)
from learningchain.chain.codec import Wire, encode
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.listings import record_key, stored
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.chain.types import (
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

ENTRY = 8 + SUBROOT_BYTES
"""A number, and its subroot: 2 for a single record or 3, and the hash."""
MAX_DEPTH = 62
"""Bits of the path that a subbucket shares at most: the number that names it has one bit more."""
MAX_SUBBUCKETS = 8_192
"""Subbuckets of all buckets: two that were one hold more than a million bytes, so that is at least four gigabytes of large
buckets."""
MAX_SUBROOTS = (BUCKETS + MAX_SUBBUCKETS) * ENTRY
CUT = 1_000_000
"""Bytes of records from which on a bucket, or a subbucket, is cut in two."""
MAX_BUCKET = 4_200_000
"""Bytes of the records of one that travels: what is not cut has one record, of at most a million, or fewer bytes than `CUT`."""

_records: msgspec.msgpack.Decoder[list[bytes]] = msgspec.msgpack.Decoder(list[bytes])


class ValidatorSetChange(Wire, frozen=True):
    """LC-BLK-18: a final header that names another set for the next block, and that set."""

    header: Header
    certificate: Certificate
    validators: ValidatorSet


class Offer(Wire, frozen=True):
    """What a snapshot is of: the block that the state stands after, its certificate, and the subroots of the state's buckets."""

    header: Header
    certificate: Certificate
    subroots: Annotated[bytes, Meta(max_length=MAX_SUBROOTS)]


# --- who signed ---------------------------------------------------------------------------------------------------------------


class UnknownVersion(Malformed):
    """A block that the chain's own validators signed, of a version of the protocol that only a newer program knows (LC-NODE-68).

    Nothing is wrong with it, nor with whoever showed it.
    """

    def __init__(self, height: int, version: int) -> None:
        super().__init__(f"block {height} is of version {version} of the protocol, which this program does not know")
        self.height, self.version = height, version


def check_signed(chain_id: bytes, header: Header, certificate: Certificate, validators: list[Validator]) -> None:
    """LC-BLK-7: that the block is final under this set. Raises `Malformed`: `UnknownVersion` where it is, of a later version."""
    if header.version < 1 or header.chain_id != chain_id:
        raise Malformed("a header of another chain")
    if header.height != certificate.height or block_id(header) != certificate.block_id:
        raise Malformed("a certificate for another block")
    if header.validators_hash != validators_hash(validators):
        raise Malformed("a header that another validator set signs")
    if certificate.round < header.round or header.proposer != proposer_of(header, validators):
        raise Malformed("a header of another round or proposer than could be")
    check_certificate(chain_id, certificate, validators)
    if header.version > PROTOCOL_VERSION:
        raise UnknownVersion(header.height, header.version)


def follow_validator_change(chain_id: bytes, validator_change: ValidatorSetChange, validators: list[Validator]) -> list[Validator]:
    """LC-BLK-18: the set after a validator set change that `validators` signed. Raises `Malformed`."""
    check_signed(chain_id, validator_change.header, validator_change.certificate, validators)
    check_validators(validator_change.validators)
    if validator_change.header.next_validators_hash == validator_change.header.validators_hash:
        raise Malformed("a header that hands over to nobody else")
    if validator_change.header.next_validators_hash != validators_hash(validator_change.validators):
        raise Malformed("a validator set change to another set than the header names")
    return validator_change.validators


# --- buckets and subbuckets -------------------------------------------------------------------------------------------------------


def _depth(number: int) -> int:
    """How many bits the paths of a bucket or a subbucket share."""
    return DEPTH if number < BUCKETS else number.bit_length() - 1


def _span(number: int) -> tuple[int, int]:
    """The paths of a bucket or a subbucket, by their first `MAX_DEPTH` bits: from the first up to the second, exclusive."""
    depth = _depth(number)
    prefix = number if number < BUCKETS else number - (1 << depth)
    return prefix << MAX_DEPTH - depth, prefix + 1 << MAX_DEPTH - depth


def _begins(path: bytes) -> int:
    return int.from_bytes(path[:8], "big") >> 64 - MAX_DEPTH


def number_over(path: bytes, numbers: frozenset[int]) -> int | None:
    """Which of these buckets and subbuckets a path leads into."""
    number = number_of(path)
    if number in numbers:
        return number
    prefix = _begins(path)
    deeper = (1 << depth | prefix >> MAX_DEPTH - depth for depth in range(DEPTH + 1, MAX_DEPTH + 1))
    return next((one for one in deeper if one in numbers), None)


def subbuckets(number: int, bucket: bytes, cut: int = CUT) -> Iterator[tuple[int, bytes, bytes]]:
    """LC-BLK-19, 30: what of a bucket travels: number, subroot and records of the bucket, or of its subbuckets in the order of
    their paths.

    Raises `Malformed` where the bytes are no bucket.
    """
    raw = encode_bucket(bucket)
    if len(raw) <= cut or bucket[0] == LEAF or _depth(number) == MAX_DEPTH:
        yield number, subroot_of(bucket), raw
        return
    node = 2 * (number if number >= BUCKETS else BUCKETS + number)
    for half, one in zip(halves(bucket), (node, node + 1), strict=True):
        if half:
            yield from subbuckets(one, half, cut)


def _fold(found: dict[int, bytes], above: Callable[[bytes, bytes], bytes]) -> dict[int, bytes]:
    """Whole buckets, ascending: what belongs to subbuckets is put together, the deepest first."""
    whole = {number: one for number, one in found.items() if number < BUCKETS}
    levels: dict[int, dict[int, bytes]] = {}
    for number, one in found.items():
        if number >= BUCKETS:
            levels.setdefault(_depth(number), {})[number] = one
    for depth in range(max(levels, default=DEPTH), DEPTH, -1):
        level = levels.pop(depth, {})
        for up in sorted({number >> 1 for number in level}):
            made = above(level.get(2 * up, b""), level.get(2 * up + 1, b""))
            if depth == DEPTH + 1:
                whole[up - BUCKETS] = made
            else:
                levels.setdefault(depth - 1, {})[up] = made
    return dict(sorted(whole.items()))


def whole_subroots(subroots: dict[int, bytes]) -> dict[int, bytes]:
    """The subroots of the buckets alone, ascending."""
    return _fold(subroots, above_of) if any(number >= BUCKETS for number in subroots) else subroots


def whole_buckets(found: dict[int, bytes]) -> dict[int, bytes]:
    """The buckets whose subbuckets these are."""
    return _fold(found, joined)


# --- subroots --------------------------------------------------------------------------------------------------------------------


def encode_subroots(subroots: dict[int, bytes]) -> bytes:
    """From the first bytes of each bucket or subbucket that is not empty."""
    return b"".join([number.to_bytes(8, "big") + subroots[number] for number in sorted(subroots, key=_span)])


def decode_subroots(raw: bytes) -> dict[int, bytes]:
    """LC-BLK-19, 30: subroot by number, in the order of paths. Raises `Malformed`."""
    if len(raw) % ENTRY:
        raise Malformed("the subroots are cut off")
    found: dict[int, bytes] = {}
    free = deeper = 0
    for at in range(0, len(raw), ENTRY):
        number = int.from_bytes(raw[at : at + 8], "big")
        if number >> MAX_DEPTH + 1 or BUCKETS <= number < 2 * BUCKETS:
            raise Malformed("no bucket has such a number")
        start, end = _span(number)
        if start < free or raw[at + 8] not in (LEAF, FORK):
            raise Malformed("the subroots are not ascending, overlap, or are no subroots")
        found[number] = raw[at + 8 : at + ENTRY]
        free, deeper = end, deeper + (number >= BUCKETS)
    if deeper > MAX_SUBBUCKETS:
        raise Malformed(f"{deeper} subbuckets, at most {MAX_SUBBUCKETS} are taken")
    return found


def root_of(subroots: dict[int, bytes]) -> bytes:
    """LC-MRK-4: the root of a state whose buckets and subbuckets have these subroots."""
    return buckets.root_of(update_top(buckets.no_nodes(), whole_subroots(subroots))[1])


# --- records ------------------------------------------------------------------------------------------------------------------


def encode_bucket(bucket: bytes) -> bytes:
    """Its records: key, value, key, value, in the order of their paths. Raises `Malformed` where the bytes are no bucket."""
    return encode([part for record in records(bucket) for part in record])


def make_bucket(number: int, subroot: bytes, raw: bytes) -> tuple[bytes, list[bytes]]:
    """LC-BLK-19: the bucket or subbucket that such records make, and the keys in it that listings show, as they are stored.

    Raises `Malformed` where it is not the one with this subroot.
    """
    try:
        flat = _records.decode(raw)
    except msgspec.DecodeError as e:
        raise Malformed(f"a bucket of the state: {e}") from None
    if encode(flat) != raw:
        raise Malformed("a bucket of the state in another encoding than its one")
    items = [(sha256(key), key, value) for key, value in zip(flat[::2], flat[1::2], strict=False)]
    if len(flat) % 2 or not items or any(len(key) > MAX_KEY for _, key, _ in items):
        raise Malformed("a bucket of the state holds keys and values")
    start, end = _span(number)
    if any(a[0] >= b[0] for a, b in pairwise(items)) or not start <= _begins(items[0][0]) <= _begins(items[-1][0]) < end:
        raise Malformed("records of another bucket, or not in order")
    bucket = build(items, _depth(number))
    if subroot_of(bucket) != subroot:
        raise Malformed("a bucket of the state with other records than its subroot says")
    return bucket, _shown(items)


def _shown(items: list[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    try:
        return [listed for _, key, raw in items for listed, stands in stored(key, raw) if stands]
    except Malformed as e:
        raise Malformed(f"a record of a bucket of the state cannot be read: {e}") from None


def path_of_listed(key: bytes) -> bytes:
    """The path of the record of which a listing shows this key."""
    return sha256(record_key(key))
