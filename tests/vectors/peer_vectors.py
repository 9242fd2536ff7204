"""Vectors of what peers do: frames of a connection, the binding of a TLS key, turns, timeouts and times of proposals."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.consensus.machine import timeout_ms
from learningchain.chain.consensus.messages import TimeoutKind
from learningchain.chain.errors import Malformed
from learningchain.chain.node.candidates import Candidate, is_timely
from learningchain.chain.params import Params
from learningchain.chain.types import Header, Validator, proposer_of
from learningchain.p2p import tls, wire
from tests.vectors.base_vectors import CHAIN, H
from tests.vectors.kit import id_of, key_of
from tests.vectors.records import packed

PIECE = wire.PIECE_BYTES


# --- frames -------------------------------------------------------------------------------------------------------------------


def _part(lane: int, piece: bytes, *, last: bool = False) -> bytes:
    return bytes((254, lane | (0x80 if last else 0))) + piece


def _batch(*messages: bytes) -> bytes:
    return b"\xff" + b"".join(len(m).to_bytes(4, "big") + m for m in messages)


def _many(total: int, channel: int, lane: int) -> list[bytes]:
    """A message of so many bytes of payload, in the largest parts."""
    whole = bytes((channel,)) + bytes(total)
    pieces = [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]
    return [_part(lane, piece, last=at == len(pieces) - 1) for at, piece in enumerate(pieces)]


def _frames() -> list[tuple[str, str, list[bytes]]]:
    """(rule, what it shows, frames of one connection in their order)"""
    half, piece = b"\x00" + b"a" * (PIECE // 2 - 1), b"b" * PIECE
    vote, ping = b"\x00\x01", b"\x01" + encode(wire.Ping(7))
    return [
        ("LC-P2P-11", "a message", [vote]),
        ("LC-P2P-11", "a message without payload", [b"\x02"]),
        ("LC-P2P-11", "no byte", [b""]),
        ("LC-P2P-12", "a channel that does not exist", [b"\x04\x00"]),
        ("LC-P2P-12", "as much of PEERS as may be", [b"\x01" + bytes(32_768)]),
        ("LC-P2P-12", "a byte too much of PEERS", [b"\x01" + bytes(32_769)]),
        ("LC-P2P-12", "as much of FED as may be", [b"\x03" + bytes(512)]),
        ("LC-P2P-12", "a byte too much of FED", [b"\x03" + bytes(513)]),
        ("LC-P2P-12", "as much of CONTENT as may be, in parts", _many(2_200_000, 2, 4)),
        ("LC-P2P-12", "a byte too much of CONTENT, in parts", _many(2_200_001, 2, 4)),
        ("LC-P2P-12", "as much of NODE as may be, in parts", _many(4_500_000, 0, 1)),
        ("LC-P2P-12", "a byte too much of NODE, in parts", _many(4_500_001, 0, 1)),
        ("LC-P2P-13", "two parts", [_part(1, half), _part(1, piece, last=True)]),
        ("LC-P2P-13", "one part that is the last", [_part(1, b"\x00x", last=True)]),
        ("LC-P2P-13", "parts of two lanes, and a message between them",
         [_part(1, half), _part(2, b"\x00" + b"c" * PIECE), vote, _part(1, b"1", last=True), _part(2, b"2", last=True)]),
        ("LC-P2P-13", "two messages of one lane, one after the other",
         [_part(0, half), _part(0, b"1", last=True), _part(0, half), _part(0, b"2", last=True)]),
        ("LC-P2P-13", "a lane that does not exist", [_part(5, half)]),
        ("LC-P2P-13", "a part without a piece", [_part(1, b"")]),
        ("LC-P2P-13", "a last part without a piece", [_part(1, half), _part(1, b"", last=True)]),
        ("LC-P2P-13", "a part that is too short and not the last", [_part(1, half[:-1]), _part(1, b"1", last=True)]),
        ("LC-P2P-13", "parts for a channel that does not exist", [_part(1, b"\x04" + half), _part(1, b"1", last=True)]),
        ("LC-P2P-14", "a batch of two", [_batch(vote, ping)]),
        ("LC-P2P-14", "as many messages as may be", [_batch(*[vote] * 1_024)]),
        ("LC-P2P-14", "a message too many", [_batch(*[vote] * 1_025)]),
        ("LC-P2P-14", "an empty batch", [_batch()]),
        ("LC-P2P-14", "an empty message", [_batch(vote, b"")]),
        ("LC-P2P-14", "a length behind the end", [_batch(vote)[:-1]]),
        ("LC-P2P-14", "a length cut off", [_batch(vote) + b"\x00\x00"]),
        ("LC-P2P-14", "a batch in a batch", [_batch(_batch(vote))]),
        ("LC-P2P-14", "a part in a batch", [_batch(_part(1, vote, last=True))]),
    ]  # fmt: skip


def frames() -> dict[str, Any]:
    cases = []
    for rule, why, sent in _frames():
        case: dict[str, Any] = {"rule": rule, "why": why, "frames": [packed(frame) for frame in sent]}
        reader, found = wire.Reassembler(), list[tuple[int, bytes]]()
        try:
            for frame in sent:
                found += reader.feed(frame)
            case["messages"] = [[channel, packed(payload)] for channel, payload in found]
        except Malformed:
            case["refused"] = True
        cases.append(case)
    return {"cases": cases, "binding": _binding()}


def _binding() -> dict[str, Any]:
    """LC-P2P-3, 4. The key info stands for the DER of a TLS key: only its bytes are signed."""
    key = key_of("a")
    info = hashlib.sha256(b"vector key info").digest() * 2
    digest = tls.binding_digest(CHAIN, info)
    bound = tls.Binding(id_of("a"), key.public, key.sign(digest))
    shown = {"chain_id": CHAIN.hex(), "key_info": info.hex(), "digest": digest.hex(), "value": encode(bound).hex()}
    return {"rule": "LC-P2P-4"} | shown


# --- rounds -------------------------------------------------------------------------------------------------------------------


def rounds() -> dict[str, Any]:
    return {"turns": _turns(), "timeouts": _timeouts(), "times": _times()}


def _header(height: int, round_: int, time: int) -> Header:
    return Header(1, CHAIN, height, round_, bytes(20), time, *H[:8])


def _turns() -> list[dict[str, Any]]:
    found = []
    for count, height, round_ in ((1, 5, 3), (4, 1, 0), (4, 1, 2), (4, 1, 3), (4, 2, 3), (7, 100, 12), (128, 2**48, 2**31 - 1)):
        members = [Validator(bytes(19) + bytes((n,)), bytes(33)) for n in range(count)]
        index = proposer_of(_header(height, round_, 0), members)[-1]
        found.append({"rule": "LC-CON-4", "validators": count, "height": height, "round": round_, "index": index})
    return found


def _timeouts() -> list[dict[str, Any]]:
    params = Params()
    small = replace(params, timeout_propose=40, timeout_vote=30, timeout_step=7, timeout_max=100)
    kinds = {"propose": TimeoutKind.PROPOSE, "vote": TimeoutKind.PREVOTE, "resend": TimeoutKind.RESEND}
    return [
        {
            "rule": "LC-CON-9" if name == "resend" else "LC-CON-6",
            "kind": name,
            "round": round_,
            "params": {n: getattr(p, n) for n in ("timeout_propose", "timeout_vote", "timeout_step", "timeout_max")},
            "ms": timeout_ms(p, kind, round_),
        }
        for p in (params, small)
        for name, kind in kinds.items()
        for round_ in (0, 1, 9, 10, 11, 200)
    ]


def _times() -> list[dict[str, Any]]:
    """LC-CON-16: at the earliest and latest time of each round, and a millisecond beyond."""
    params, arrival = replace(Params(), drift=500, timeout_propose=300), 10**12
    found = []
    for round_ in (0, 1, 5, 6, 7, 50):
        delay = 300 * 2 ** min(round_, 6)
        for time in (arrival - 500 - delay - 1, arrival - 500 - delay, arrival, arrival + 500, arrival + 501):
            found.append(_time(params, round_, round_, arrival, time))
    return [*found, _time(params, 3, 2, arrival, arrival), _time(params, 2, 3, arrival, arrival)]


def _time(params: Params, round_: int, origin: int, arrival: int, time: int) -> dict[str, Any]:
    candidate = Candidate(_header(5, origin, time), [], arrival, None)
    given = {"drift": params.drift, "timeout_propose": params.timeout_propose, "round": round_, "header_round": origin}
    in_time = is_timely(candidate, round_, params)
    return {"rule": "LC-CON-16"} | given | {"arrival": arrival, "time": time, "in_time": in_time}
