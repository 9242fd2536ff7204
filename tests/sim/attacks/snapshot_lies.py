"""What a liar makes of a snapshot: (what it is, the messages that go out instead)."""

from __future__ import annotations

import random

import msgspec
from msgspec.structs import replace

from learningchain.chain.buckets import BUCKETS
from learningchain.chain.codec import encode
from learningchain.chain.ledger.snapshot import ENTRY, Offer, ValidatorSetChange
from learningchain.chain.node import messages as m
from learningchain.chain.types import block_id

Lie = tuple[str, list[m.Message]]


def offer(told: Offer, whim: random.Random) -> Lie:
    kind = whim.choice(
        [
            *("none", "making", "no answer", "too few signatures", "another state", "a page too few", "cut off", "another head"),
            *("a page and its half", "halves that are not there", "cut where nothing is"),
        ]
    )
    match kind:
        case "none":
            return kind, [m.Snapshot(False, [])]
        case "making":
            return kind, [m.Snapshot(True, [])]
        case "no answer":
            return kind, []
        case "too few signatures":
            c = told.certificate
            return kind, [said(replace(told, certificate=replace(c, signers=c.signers[:1], signatures=c.signatures[:1])))]
        case "another state":
            header = replace(told.header, state_root=whim.randbytes(32))
            return kind, [said(replace(told, header=header, certificate=replace(told.certificate, block_id=block_id(header))))]
        case "a page too few":
            return kind, [said(replace(told, subroots=told.subroots[:-ENTRY]))]
        case "cut off":
            return kind, [said(replace(told, subroots=told.subroots[:-1]))]
        case "a page and its half":
            first = told.subroots[:ENTRY]
            return kind, [said(replace(told, subroots=first + _half(first, 0) + told.subroots[ENTRY:]))]
        case "halves that are not there":
            first = told.subroots[:ENTRY]
            return kind, [said(replace(told, subroots=_half(first, 0) + _half(first, 1) + told.subroots[ENTRY:]))]
        case "cut where nothing is":
            # A single record stands for the bucket that it is alone in: this has the right root, and buckets that nobody else has.
            first = told.subroots[:ENTRY]
            return kind, [said(replace(told, subroots=_half(first, whim.randrange(2)) + told.subroots[ENTRY:]))]
    at = whim.randrange(len(told.subroots))
    return kind, [said(replace(told, subroots=told.subroots[:at] + bytes([told.subroots[at] ^ 1]) + told.subroots[at + 1 :]))]


def _half(entry: bytes, which: int) -> bytes:
    """The subroot of a bucket or subbucket as that of one of its halves."""
    number = int.from_bytes(entry[:8], "big")
    return (2 * (number if number >= BUCKETS else BUCKETS + number) + which).to_bytes(8, "big") + entry[8:]


def said(told: Offer) -> m.Snapshot:
    return m.Snapshot(False, [told])


def changes(told: list[ValidatorSetChange], whim: random.Random) -> Lie:
    kind = whim.choice(["none", "another set", "too few signatures"]) if told else "none"
    if kind == "none":
        return kind, [m.ValidatorChanges([])]
    first, rest = told[0], told[1:]
    if kind == "another set":
        return kind, [m.ValidatorChanges([replace(first, validators=first.validators[:1]), *rest])]
    c = first.certificate
    return kind, [
        m.ValidatorChanges([replace(first, certificate=replace(c, signers=c.signers[:1], signatures=c.signatures[:1])), *rest])
    ]


def buckets(message: m.Buckets, whim: random.Random) -> Lie:
    """Nothing, junk, and records that are almost right."""
    told = message.buckets
    kind = whim.choice(["none", "no answer", "junk", "too many", "richer", "a record too few", "another page"]) if told else "none"
    first = msgspec.msgpack.decode(told[0], type=list[bytes]) if told else []
    match kind:
        case "none":
            return kind, [m.Buckets(message.height, [], [])]
        case "no answer":
            return kind, []
        case "junk":
            wrong = [whim.randbytes(40), *told[1:]]
        case "too many":
            wrong = [*told[: m.MAX_BUCKETS - 1], told[0]]
        case "richer":
            wrong = [encode([*first[:-1], first[-1] + b"\x01"]), *told[1:]]
        case "a record too few":
            wrong = [encode(first[:-2]), *told[1:]]
        case _:
            wrong = [told[-1], *told[1:]] if len(told) > 1 else [encode([b"a/" + bytes(20), b""])]
    return kind, [replace(message, buckets=wrong)]
