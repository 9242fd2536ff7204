"""Every record that is hashed, signed, stored or sent: its fields in the notation of the spec, and wrong values for each of them.

The chapter `records.md` is made from this, and so are the refused encodings of the vectors: one for each bound and type of a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import RoundState
from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.contracts.governance import Action
from learningchain.chain.contracts.keys import ComingGuardians, GuardianWord
from learningchain.chain.contracts.membership import CaseRef
from learningchain.chain.host import BASE_STATE, HeldDue
from learningchain.chain.ledger import base, genesis, receipt_file, snapshot, state, state_diff
from learningchain.chain.losses import LossNode, Measurement, Opening
from learningchain.chain.merkle import ListProof, StateProof
from learningchain.chain.node import messages as node
from learningchain.chain.params import MAX_BLOCK_BYTES, MAX_PEER_MESSAGE, MAX_TX_BYTES
from learningchain.chain.types import (
    Block,
    Certificate,
    Header,
    LogEvent,
    Proposal,
    ProposalEvidence,
    Receipt,
    SignedTx,
    TransferEvent,
    TxBody,
    Validator,
    Vote,
    VoteEvidence,
)
from learningchain.p2p import tls, wire
from learningchain.p2p.content import messages as content

INT = (-(2**63), 2**64 - 1)
"""What an encoding can hold: an integer without bounds."""
_INTEGERS = {(0, 2**63 - 1): "uint", (0, 2**48): "height", (0, 2**31 - 1): "round", INT: "integer"}
_BYTES = {(20, 20): "id", (32, 32): "hash", (33, 33): "key", (64, 64): "signature"}

LEDGER: tuple[type, ...] = (
    *(
        TxBody,
        SignedTx,
        Validator,
        Vote,
        Proposal,
        VoteEvidence,
        ProposalEvidence,
        Certificate,
        Header,
        Block,
        TransferEvent,
        LogEvent,
    ),
    *(
        Receipt,
        ListProof,
        StateProof,
        genesis.GenesisAccount,
        genesis.Section,
        genesis.Genesis,
        base.Base,
        genesis.RestartedGenesis,
        snapshot.ValidatorSetChange,
        state_diff.Record,
        state_diff.StateDiff,
    ),
)
CHAPTERS: dict[str, tuple[type, ...]] = {
    "Blocks, transactions, consensus": (*LEDGER, RoundState),
    "State": (
        *dict.fromkeys(
            [
                *BASE_STATE.values(),
                *(c.params for c in CONTRACTS if c.params),
                *(k for c in CONTRACTS for k in c.state.values()),
                CaseRef,
                HeldDue,
                GuardianWord,
                ComingGuardians,
            ]
        ),
    ),
    "Receipts": (
        receipt_file.PathStep,
        receipt_file.TrustedBlock,
        receipt_file.ProvenReceipt,
        receipt_file.ProvenRecord,
        receipt_file.ReceiptFile,
    ),
    "Losses of an evaluation": (Measurement, LossNode, Opening),
    "What a proposal asks for": tuple(Action.__args__),  # type: ignore[attr-defined]
    "Messages of contracts": tuple(kind for c in CONTRACTS for kind in c.messages),
    "Peers: channel NODE": (*(node.SyncBlock, node.ExecutedBlock, snapshot.Offer), *node.Message.__args__),  # type: ignore[attr-defined]
    "Peers: channel PEERS": (wire.PeerAddresses, *wire.PeersMessage.__args__, tls.Binding),  # type: ignore[attr-defined]
    "Peers: channel CONTENT": tuple(content.Message.__args__),  # type: ignore[attr-defined]
}
"""In the order of the chapter. What stands inside a record of a contract and has no name of its own is written out."""
LIMITS: dict[str, int] = {
    "SignedTx": MAX_TX_BYTES,
    "Header": 4_096,
    "Certificate": 65_536,
    "Block": MAX_BLOCK_BYTES + 65_536,
    "Receipt": state_diff.MAX_RECEIPT,
    "StateDiff": 2 * MAX_PEER_MESSAGE,
    "ValidatorSetChange": MAX_PEER_MESSAGE,
    "ReceiptFile": receipt_file.MAX_RECEIPT_FILE,
    "Binding": tls.MAX_BINDING,
    "any record of the state": state.MAX_RECORD,
    "any message of the channel NODE": MAX_PEER_MESSAGE,
    "any message of the channel PEERS": wire.CHANNEL_LIMITS[1],
    "any message of the channel CONTENT": content.MAX_FRAME,
}
"""LC-ENC-9: bytes that a decoder takes."""


def kinds() -> dict[str, type]:
    """Every record by the name that the spec has for it: a file's block is not the chain's."""
    return {name_of(kind): kind for group in CHAPTERS.values() for kind in group}


def name_of(kind: type) -> str:
    return "ContentBlock" if kind is content.ContentBlock else kind.__name__


_NAMED = {kind for group in CHAPTERS.values() for kind in group}


def fields_of(kind: type) -> list[tuple[str, inspect.Type]]:
    info: Any = inspect.type_info(kind)
    return [(field.name, field.type) for field in info.fields]


def tag_of(kind: type) -> int | None:
    tag: Any = kind.__struct_config__.tag  # type: ignore[attr-defined]
    return None if tag is None else int(tag)


def bounds(of: Any) -> tuple[int, int | None]:
    """Lowest and highest value or length; None where there is no highest length."""
    if isinstance(of, inspect.IntType):
        low = of.ge if of.ge is not None else of.gt + 1 if of.gt is not None else INT[0]
        high = of.le if of.le is not None else of.lt - 1 if of.lt is not None else INT[1]
        return int(low), int(high)
    return of.min_length or 0, of.max_length


def _span(low: int, high: int | None, none: str = "") -> str:
    if high is None:
        return none if low == 0 else f"{_number(low)}.."
    return _number(low) if low == high else f"{_number(low)}..{_number(high)}"


def _number(value: int) -> str:
    known = {10**18: "10^18", 2**63: "2^63", 2**63 - 1: "2^63-1", 2**31 - 1: "2^31-1", 2**32 - 1: "2^32-1"}
    text = known.get(abs(value), str(abs(value)))
    return text if value >= 0 else f"-({text})" if value == 1 - 2**63 else f"-{text}"


def notation(of: Any) -> str:
    """A type as LC-ENC-6 and LC-ENC-10 write it."""
    match of:
        case inspect.BoolType():
            return "bool"
        case inspect.IntType():
            return _INTEGERS.get(bounds(of), _span(*bounds(of)))  # type: ignore[call-overload, no-any-return]
        case inspect.BytesType():
            return _BYTES.get(bounds(of), f"bytes {_span(*bounds(of))}".strip())  # type: ignore[call-overload, no-any-return]
        case inspect.StrType():
            return f"text {_span(*bounds(of))}".strip()
        case inspect.ListType():
            span = _span(*bounds(of))
            return f"[{notation(of.item_type)}; {span}]" if span else f"[{notation(of.item_type)}]"
        case inspect.StructType():
            if of.cls in _NAMED:
                return name_of(of.cls)
            return "{" + ", ".join(f"{f.name} {notation(f.type)}" for f in of.fields) + "}"
        case inspect.UnionType():
            return " or ".join(notation(t) for t in of.types)
        case inspect.RawType():
            return "message"
        case inspect.AnyType():
            return "scalar"
        case inspect.EnumType():
            return " or ".join(str(one.value) for one in of.cls)
        case inspect.Metadata():
            return notation(of.type)
    raise TypeError(f"no notation for {of}")


# --- wrong values ---------------------------------------------------------------------------------------------------------------

LONG = 5_000_000
"""Bytes: what is longer is not made wrong, for no file should hold it."""


def wrong(of: Any, good: Any) -> Iterator[tuple[str, Any]]:
    """(what is wrong, value) for a plain value of this type: each bound passed by one, another type."""
    match of:
        case inspect.Metadata():
            yield from wrong(of.type, good)
        case inspect.BoolType():
            yield "an integer", int(good)
        case inspect.IntType():
            low, high = bounds(of)
            yield from (("one below its least", low - 1) for _ in range(low > INT[0]))
            yield from (("one above its most", high + 1) for _ in range(high is not None and high < INT[1]))
            yield "a text", "1"
            yield "a boolean", True
        case inspect.BytesType():
            yield from _lengths(of, b"\x00", "a byte")
            yield "a text", "0" * len(good)
        case inspect.StrType():
            yield from _lengths(of, "a", "a character")
            yield "bytes", good.encode()
        case inspect.ListType():
            yield from _wrong_list(of, good)
        case inspect.StructType() if of.cls not in _NAMED:
            offset = int(of.tag is not None)
            yield "a field more", [*good, 0]
            yield "a field less", good[:-1]
            for at, field in enumerate(of.fields):
                for why, value in wrong(field.type, good[at + offset]):
                    yield f"{field.name}: {why}", _put(good, at + offset, value)
        case inspect.AnyType():
            yield "a list", []
        case inspect.RawType():
            yield "an unknown tag", [1_000]
        case _:
            yield "an integer", 0


def _lengths(of: Any, unit: Any, name: str) -> Iterator[tuple[str, Any]]:
    low, high = bounds(of)
    if low:
        yield f"{name} too few", unit * (low - 1)
    if high is not None and high < LONG:
        yield f"{name} too many", unit * (high + 1)


def _wrong_list(of: Any, good: list[Any]) -> Iterator[tuple[str, Any]]:
    low, high = bounds(of)
    item = min(good, key=lambda i: len(encode(i))) if good else _any_value(of.item_type)
    if low:
        yield "an item too few", [item] * (low - 1)
    if high is not None and item is not None and (high + 1) * len(encode(item)) < 4_000_000:
        yield "an item too many", [item] * (high + 1)
    yield "an integer", 0
    if item is not None:
        for why, value in wrong(of.item_type, item):
            yield f"item: {why}", [value, *good[1:]]


def _any_value(of: Any) -> Any:
    """A short plain value of a type, None where only a sample can tell."""
    match of:
        case inspect.Metadata():
            return _any_value(of.type)
        case inspect.IntType():
            return max(0, bounds(of)[0])
        case inspect.BoolType():
            return False
        case inspect.BytesType():
            return bytes(bounds(of)[0])
        case inspect.StrType():
            return "a" * bounds(of)[0]
        case inspect.AnyType():
            return 0
        case inspect.StructType():
            values = [_any_value(f.type) for f in of.fields]
            return None if None in values or of.tag is not None else values
        case inspect.ListType():
            item = _any_value(of.item_type)
            return None if item is None else [item] * bounds(of)[0]
    return None


def _put(values: list[Any], at: int, value: Any) -> list[Any]:
    return [*values[:at], value, *values[at + 1 :]]


def wrong_fields(record: Any) -> Iterator[tuple[str, list[Any]]]:
    """(field and what is wrong, plain record) for each field of a record that is good."""
    kind = type(record)
    good: list[Any] = msgspec.msgpack.decode(encode(record))
    offset = int(tag_of(kind) is not None)
    yield "a field more", [*good, 0]
    if good:
        yield "a field less", good[:-1]
    if offset:
        yield "another tag", _put(good, 0, 127)
    for at, (name, of) in enumerate(fields_of(kind)):
        for why, value in wrong(of, good[at + offset]):
            yield f"{name}: {why}", _put(good, at + offset, value)


# --- long values ----------------------------------------------------------------------------------------------------------------


_RUN = re.compile(rb"(.)\1{1023,}", re.DOTALL)


def packed(raw: bytes) -> Any:
    """Bytes for a file: hex, or a list of [hex, how often] where a byte, or a longer piece, repeats over much of it."""
    if len(raw) < 2_048:
        return raw.hex()
    parts, at = [], 0
    for run in _RUN.finditer(raw):
        parts += [[raw[at : run.start()].hex(), 1], [run[1].hex(), len(run[0])]]
        at = run.end()
    parts.append([raw[at:].hex(), 1])
    if len(parts) == 1:
        parts = _by_period(raw)
    return [part for part in parts if part[0]] if len(parts) > 1 else raw.hex()


def _by_period(raw: bytes) -> list[list[Any]]:
    """The repetition that the middle of the bytes belongs to."""
    middle = len(raw) // 2
    probe = min(4_096, len(raw) // 8)
    size = raw.find(raw[middle : middle + probe], middle + 1) - middle
    if not 0 < size < middle:
        return [[raw.hex(), 1]]
    piece, start, end = raw[middle : middle + size], middle, middle
    while start >= size and raw[start - size : start] == piece:
        start -= size
    while raw[end : end + size] == piece:
        end += size
    return [[raw[:start].hex(), 1], [piece.hex(), (end - start) // size], [raw[end:].hex(), 1]]


def unpacked(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value)
    return b"".join(bytes.fromhex(piece) * times for piece, times in value)
