"""Receipt files for people and programs: checked here, offline, and said in words. Nothing of this asks a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from learningchain.chain.codec import decode
from learningchain.chain.crypto import address
from learningchain.chain.errors import Malformed
from learningchain.chain.host import BASE_REASONS, Account
from learningchain.chain.ledger.genesis import MAX_GENESIS_BYTES, Genesis, from_json
from learningchain.chain.ledger.listings import MAX_RECORD, type_of
from learningchain.chain.ledger.receipt_file import MAX_RECEIPT_FILE, Proven, check_receipt_file
from learningchain.chain.types import LogEvent, TransferEvent, block_id, format_credits, parse_checkpoint
from learningchain.client import contracts
from learningchain.client.schema.explain import TEXTS, explain
from learningchain.client.schema.render import code_name, render_event, render_op
from learningchain.client.sdk.files import beginning

Json = dict[str, Any]
MOST_EVENTS = 100
"""Events of one receipt that are told to people; a program gets all."""
_BURNED = ":banned"


@dataclass(frozen=True)
class CheckedReceipt:
    """What a receipt file proves: `lines` for people, `document` for programs, `proven` as it was checked."""

    proven: Proven
    lines: list[str]
    document: Json


def check_receipt(
    raw: bytes, genesis: Path | Genesis | None = None, *, trusted: str | None = None, keys: Sequence[bytes] = ()
) -> CheckedReceipt:
    """Check a receipt file against a genesis, or against the id (hex) of a block that is trusted; offline.

    LC-LIGHT-2 to LC-LIGHT-6. `keys` open what is encrypted in its records, such as private predictions. Raises `ValueError` that
    names what does not hold, or what of the two is missing.
    """
    if (genesis is None) == (trusted is None):
        raise ValueError("say what is trusted: a genesis, or the id of a block")
    trust: Genesis | bytes
    if trusted is not None:
        trust = _block_id(trusted)
    else:
        trust = genesis if isinstance(genesis, Genesis) else _read_genesis(genesis)
    proven = check_receipt_file(raw, trust)
    since = f"block {trusted}" if isinstance(trust, bytes) else f"the genesis of network {trust.name}"
    lines, documents = _contract_words(proven, keys)
    lines = [*_block_lines(proven, since), *_outcome_lines(proven), *_record_lines(proven, bool(documents)), *lines]
    return CheckedReceipt(proven, lines, _document(proven) | documents)


def read_receipt_file(path: Path) -> bytes:
    """Raises `OSError`, or `Malformed` where it is too long for one."""
    raw = beginning(path, MAX_RECEIPT_FILE + 1)
    if len(raw) > MAX_RECEIPT_FILE:
        raise Malformed(f"{path} has more than {MAX_RECEIPT_FILE} bytes: it is no receipt file")
    return raw


def _read_genesis(path: Path | None) -> Genesis:
    if path is None:
        raise ValueError("no genesis was named")
    return from_json(beginning(path, MAX_GENESIS_BYTES + 1))


def _block_id(text: str) -> bytes:
    """Of an id, or of HEIGHT-ID as learningchain status shows a block."""
    if len(text) > 64 and (found := parse_checkpoint(text)):
        return found.block_id
    if len(text) != 64:
        raise ValueError("the id of a block has 64 hex digits")
    return bytes.fromhex(text)


# --- in words ---------------------------------------------------------------------------------------------------------------------


@cache
def _reasons() -> dict[str, str]:
    return dict(BASE_REASONS) | {reason: rule for part in contracts.parts(TEXTS).values() for reason, rule in part.reasons.items()}


def reason_words(reason: str) -> str:
    """The rule behind a movement of credits."""
    rule = _reasons().get(reason.removesuffix(_BURNED), f"{reason}: a reason that this version has no words for")
    if reason.endswith(_BURNED):
        return f"{rule}; the account that it was for is banned, so it was burned (LC-CRD-6)"
    return rule


def event_line(event: TransferEvent | LogEvent) -> str:
    shown = render_event(event)
    if isinstance(event, LogEvent):
        data = ", ".join(f"{name} {value}" for name, value in shown["data"].items())
        return f"noted: {event.topic} of {shown['ref'] or '-'}" + (f" ({data})" if data else "")
    source, target = shown["source"] or "nobody (minted)", shown["target"] or "nobody (burned)"
    ref = f" [{shown['ref']}]" if shown["ref"] else ""
    return f"{shown['amount']} credits from {source} to {target}{ref}: {reason_words(event.reason)}"


def _block_lines(p: Proven, since: str) -> list[str]:
    time = datetime.fromtimestamp(p.header.time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    way = f", over {p.handovers} change{'' if p.handovers == 1 else 's'} of the validator set" if p.handovers else ""
    return [
        f"Block {p.header.height} of {time} is final: {p.signers} of its {p.validators} validators signed it, as they follow from "
        f"{since}{way}.",
        f"Chain {p.chain_id.hex()}, block {block_id(p.header).hex()}.",
    ]


def _outcome_lines(p: Proven) -> list[str]:
    if p.receipt is None:
        return []
    lines = [_what_happened(p)]
    lines += [f"  {event_line(event)}" for event in p.receipt.events[:MOST_EVENTS]]
    if len(p.receipt.events) > MOST_EVENTS:
        lines.append(f"  and {len(p.receipt.events) - MOST_EVENTS} more")
    return lines


def _what_happened(p: Proven) -> str:
    if p.tx is None:
        did = "it did this:" if p.receipt is not None and p.receipt.events else "it did nothing."
        return f"By itself (deadlines, rewards), before its transactions, {did}"
    code = 0 if p.receipt is None else p.receipt.code
    ops = ", ".join(render_op(op)["type"] for op in p.tx.ops)
    began = f"Transaction {p.tx.id.hex()} of {address(p.tx.body.sender)} ({ops}) stands in it"
    if code:
        why, _ = explain(code)
        return f"{began} and was refused: {code_name(code)} ({code}), {why}. It changed nothing."
    return f"{began} and was applied:"


def _contract_words(p: Proven, keys: Sequence[bytes]) -> tuple[list[str], Json]:
    """What the contracts' slices make of the records together. Raises ValueError for keys that open nothing."""
    records = {key: None if raw is None else decoded_record(key, raw) for key, raw in p.records}
    lines: list[str] = []
    documents: Json = {}
    for name, part in contracts.parts(TEXTS).items() if records or keys else ():
        told, found = part.proven(records, keys)
        lines += told
        if found:
            documents[name] = found
    return lines, documents


def decoded_record(key: bytes, raw: bytes) -> Any:
    """A record of the state; the bytes where this version does not know it."""
    try:
        return decode(type_of(key), raw, MAX_RECORD)
    except (Malformed, KeyError, ValueError):
        return raw


def _record_lines(p: Proven, told: bool) -> list[str]:
    """`told`: a contract says what they mean, so they are only counted."""
    if told:
        return [f"After it the state holds {len(p.records)} records, which say:"]
    return [f"After it the state holds {_record_text(key, raw)}." for key, raw in p.records]


def _record_text(key: bytes, raw: bytes | None) -> str:
    account = address(key[2:]) if key.startswith(b"a/") and len(key) == 22 else None
    if raw is None:
        return f"no account {account}" if account else f"nothing under key {key.hex()}"
    record = decoded_record(key, raw)
    if isinstance(record, bytes):
        return f"under key {key.hex()} the record {raw.hex()}"
    if account and isinstance(record, Account):
        return f"{format_credits(record.balance)} free and {format_credits(record.frozen)} frozen credits of account {account}"
    return f"under key {key.hex()} the record {record}"


# --- for programs -----------------------------------------------------------------------------------------------------------------


def _document(p: Proven) -> Json:
    found: Json = {
        "chain_id": p.chain_id.hex(),
        "height": p.header.height,
        "block_id": block_id(p.header).hex(),
        "time": p.header.time,
        "signers": p.signers,
        "validators": p.validators,
        "handovers": p.handovers,
    }
    if p.receipt is not None:
        found |= {
            "tx": None if p.tx is None else p.tx.id.hex(),
            "sender": None if p.tx is None else address(p.tx.body.sender),
            "ops": [] if p.tx is None else [render_op(op) for op in p.tx.ops],
            "code": int(p.receipt.code),
            "code_name": code_name(p.receipt.code),
            "events": [render_event(event) for event in p.receipt.events],
        }
    if p.records:
        found["records"] = [{"key": key.hex(), "record": None if raw is None else raw.hex()} for key, raw in p.records]
    return found
