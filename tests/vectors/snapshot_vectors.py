"""Vectors of a snapshot: the state of genesis in buckets, and validator set changes from its validators to others."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

from msgspec.structs import replace

from learningchain.chain.buckets import BUCKETS, SUBROOT_BYTES, build, number_of, subroot_of
from learningchain.chain.codec import encode
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.snapshot import (
    ValidatorSetChange,
    decode_subroots,
    encode_bucket,
    encode_subroots,
    follow_validator_change,
    make_bucket,
    root_of,
    subbuckets,
    whole_subroots,
)
from learningchain.chain.types import Header, Validator, block_id, validators_hash
from tests.vectors.chain_vectors import BY_ID, Chain, certify


def snapshots() -> dict[str, Any]:
    made = Chain()
    header, _, _ = made.block([], round_=0, step=1_000)
    buckets = {number: bucket for number in range(BUCKETS) if (bucket := made.state.bucket(number))}
    return {
        "rule": "LC-BLK-19",
        "state_root": header.state_root.hex(),
        "heads": encode_subroots({number: subroot_of(bucket) for number, bucket in buckets.items()}).hex(),
        "pages": {str(number): encode_bucket(bucket).hex() for number, bucket in buckets.items()},
        "chain_id": made.chain_id.hex(),
        "validators": encode(made.genesis.validators).hex(),
        "handovers": [encode(change).hex() for change in changes_from(made, header)],
        "large": _large(),
        "cut": _cut(),
        "refused_heads": _refused_subroots(buckets, header.state_root),
        "refused_pages": _refused_buckets(),
        "refused_handovers": _refused_changes(made, header),
    }


def _crowd() -> dict[int, list[tuple[bytes, bytes]]]:
    """Buckets of several records: 40 of the 65,536 numbers hold records whose keys were looked for."""
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    for n in range(3_000):
        key = b"e/%d" % n
        found.setdefault(number_of(sha256(key)), []).append((key, b"\x91" + bytes([n % 128])))
    crowded = {number: held for number, held in found.items() if len(held) > 1}
    return {number: sorted(crowded[number], key=lambda r: sha256(r[0])) for number in sorted(crowded)[:6]}


def _flat(records: list[tuple[bytes, bytes]]) -> bytes:
    return encode([part for record in records for part in record])


@cache
def _large_buckets() -> dict[int, tuple[bytes, bytes]]:
    """Subroot and records by number."""
    found = {}
    for number, held in _crowd().items():
        bucket = build([(sha256(key), key, raw) for key, raw in held])
        found[number] = (bucket[:SUBROOT_BYTES], _flat(held))
    return found


def _large() -> dict[str, Any]:
    """A state whose buckets hold more than one record each."""
    buckets = _large_buckets()
    subroots = {number: subroot for number, (subroot, _) in buckets.items()}
    return {
        "rule": "LC-BLK-19",
        "state_root": root_of(subroots).hex(),
        "heads": encode_subroots(subroots).hex(),
        "pages": {str(number): raw.hex() for number, (_, raw) in buckets.items()},
    }


def _refused_subroots(buckets: dict[int, bytes], state_root: bytes) -> list[dict[str, Any]]:
    raw = encode_subroots({number: subroot_of(bucket) for number, bucket in buckets.items()})
    first, second, rest = raw[:41], raw[41:82], raw[82:]
    cases = {
        "a byte missing": raw[:-1],
        "a byte more": raw + b"\x00",
        "not ascending": second + first + rest,
        "a subroot twice": first + raw,
        "a subroot that begins with 1": first[:8] + b"\x01" + first[9:] + raw[41:],
        "a subroot that begins with 4": first[:8] + b"\x04" + first[9:] + raw[41:],
        "a bucket too few": raw[41:],
        "another hash": first[:9] + bytes(32) + raw[41:],
        "none": b"",
    }
    for case in cases.values():
        with suppress(Malformed):
            assert root_of(decode_subroots(case)) != state_root
    large = encode_subroots({number: subroot for number, (subroot, _) in _large_buckets().items()})
    large_root = root_of(decode_subroots(large))
    told = [(why, state_root, case) for why, case in cases.items()]
    told.append(("a subroot of several records that begins with 4", large_root, large[:8] + b"\x04" + large[9:]))
    shown = [{"rule": "LC-BLK-19", "why": why, "state_root": root.hex(), "heads": raw.hex()} for why, root, raw in told]
    return shown + _refused_cuts()


@cache
def _cut_buckets() -> dict[int, tuple[bytes, bytes]]:
    """Bucket 7 with eight records, cut where its list has more than 600 bytes, not a million: subroot and records by number."""
    items: list[tuple[bytes, bytes, bytes]] = []
    trial = 0
    while len(items) < 8:
        key = b"a/" + trial.to_bytes(20, "big")
        if number_of(sha256(key)) == 7:
            items.append((sha256(key), key, bytes([len(items)]) * 150))
        trial += 1
    return {number: (subroot, raw) for number, subroot, raw in subbuckets(7, build(sorted(items)), 600)}


def _cut() -> dict[str, Any]:
    subroots = {number: subroot for number, (subroot, _) in _cut_buckets().items()}
    return {
        "rule": "LC-BLK-30",
        "state_root": root_of(subroots).hex(),
        "heads": encode_subroots(subroots).hex(),
        "pages": {str(number): raw.hex() for number, (_, raw) in _cut_buckets().items()},
    }


def _refused_cuts() -> list[dict[str, Any]]:
    """Those with an overlap or a wrong number have the right root for who does not look at it."""
    subroots = {number: subroot for number, (subroot, _) in _cut_buckets().items()}
    root = root_of(subroots)
    raw = encode_subroots(subroots)
    single = b"\x02" + bytes(range(32))
    # A single record moves up as long as it is alone: however it is named, the root is its hash.
    alias = (BUCKETS + 7).to_bytes(8, "big") + single
    deep = (7 << 47 | 1 << 63).to_bytes(8, "big") + single
    first = (1 << 63).to_bytes(8, "big") + single
    cases = [
        ("a bucket before its subbuckets", root, encode_subroots(whole_subroots(subroots)) + raw),
        ("subbuckets not in the order of paths", root, raw[41:82] + raw[:41] + raw[82:]),
        ("a subbucket too few", root, raw[41:]),
        ("a bucket by the number of a subbucket", single[1:], alias),
        ("a subbucket whose paths share 63 bits", single[1:], deep),
        ("a subbucket whose paths share 63 bits, all of them 0", single[1:], first),
    ]
    for _, wanted, case in cases:
        with suppress(Malformed):
            assert root_of(decode_subroots(case)) != wanted
    return [{"rule": "LC-BLK-30", "why": why, "state_root": r.hex(), "heads": h.hex()} for why, r, h in cases]


def _refused_buckets() -> list[dict[str, Any]]:
    (number, held), *others = _crowd().items()
    subroot, raw = _large_buckets()[number]
    other_number, other = others[0]
    cases = {
        "a record too few": (number, subroot, _flat(held[:-1])),
        "no record": (number, subroot, _flat([])),
        "a record changed": (number, subroot, _flat([(held[0][0], b"\x91\x7f"), *held[1:]])),
        "not in the order of paths": (number, subroot, _flat(held[::-1])),
        "a record twice": (number, subroot, _flat([held[0], *held])),
        "a record of another bucket": (number, subroot, _flat(sorted([*held, other[0]], key=lambda r: sha256(r[0])))),
        "a key without its record": (number, subroot, _flat(held)[:1].replace(b"\x94", b"\x93") + _flat(held)[1:-3]),
        "another bucket": (number, subroot, _flat(other)),
        "under another number": (other_number, subroot, raw),
        "a text among its parts": (number, subroot, raw.replace(b"\xc4", b"\xd9", 1)),
        "a key too many": (number, subroot, encode([part for record in held for part in record] + [b"k"])),
        "a list whose length takes five bytes": (number, subroot, b"\xdd" + bytes([0, 0, 0, 2 * len(held)]) + raw[1:]),
        "a key whose length takes two bytes": (number, subroot, raw[:1] + b"\xc5\x00" + raw[2:]),
        "another subroot": (number, bytes([subroot[0]]) + bytes(32), raw),
        "the subroot of a single record": (number, b"\x02" + subroot[1:], raw),
    }
    for number_, subroot_, raw_ in cases.values():
        with suppress(Malformed):
            make_bucket(number_, subroot_, raw_)
            raise ValueError("a bucket that should be refused")
    told = {why: {"number": n, "head": h.hex(), "page": r.hex()} for why, (n, h, r) in cases.items()}
    (one, (one_subroot, one_raw)), (two, (_, two_raw)) = list(_cut_buckets().items())[:2]
    cuts = {
        "the next subbucket": (one, one_subroot, two_raw),
        "a subbucket under the next one's number": (two, one_subroot, one_raw),
    }
    shown = [{"rule": "LC-BLK-19", "why": why, **case} for why, case in told.items()]
    return shown + [
        {"rule": "LC-BLK-30", "why": why, "number": n, "head": h.hex(), "page": r.hex()} for why, (n, h, r) in cuts.items()
    ]


def _refused_changes(made: Chain, header: Header) -> list[dict[str, Any]]:
    """Each to be followed from the genesis set."""
    first, second = changes_from(made, header)
    before, after = made.genesis.validators, first.validators

    def signed(named: Header, following: list[Validator], signers: list[int] | None = None) -> ValidatorSetChange:
        certificate = certify(made.chain_id, named.height, 0, block_id(named), before, signers or [0, 1, 2])
        return ValidatorSetChange(named, certificate, following)

    shuffled = after[1:] + after[:1]
    same = replace(first.header, next_validators_hash=validators_hash(before))
    bad_key = [*after[:-1], Validator(after[-1].id, b"\x02" + (5).to_bytes(32, "big"))]
    cases = {
        "of a set that is not known yet": second,
        "to another set than the header names": ValidatorSetChange(first.header, first.certificate, before),
        "to the same set": signed(same, before),
        "to a set that is not sorted": signed(replace(first.header, next_validators_hash=validators_hash(shuffled)), shuffled),
        "to a set with a key that is no point": signed(
            replace(first.header, next_validators_hash=validators_hash(bad_key)), bad_key
        ),
        "signed by too few": signed(first.header, after, [0, 1]),
        "a certificate for another block": ValidatorSetChange(replace(first.header, time=1), first.certificate, after),
        "of another chain": signed(replace(first.header, chain_id=bytes(32)), after),
        "of another version": signed(replace(first.header, version=2), after),
    }
    for change in cases.values():
        with suppress(Malformed):
            follow_validator_change(made.chain_id, change, before)
            raise ValueError("a validator set change that should be refused")
    return [{"rule": "LC-BLK-18", "why": why, "handover": encode(case).hex()} for why, case in cases.items()]


def changes_from(made: Chain, header: Header) -> list[ValidatorSetChange]:
    first = made.genesis.validators
    everybody = sorted((Validator(identity, key.public) for identity, key in BY_ID.items()), key=lambda v: v.id)
    sets = [first, everybody, everybody[:2]]
    found = []
    for height, before, after in ((7, sets[0], sets[1]), (70, sets[1], sets[2])):
        named = replace(
            header,
            height=height,
            round=0,
            proposer=before[height % len(before)].id,
            validators_hash=validators_hash(before),
            next_validators_hash=validators_hash(after),
        )
        signers = list(range(2 * len(before) // 3 + 1))
        found.append(ValidatorSetChange(named, certify(made.chain_id, height, 0, block_id(named), before, signers), after))
    return found
