"""Ledger records as the API's JSON: transactions, receipts, events, headers.

Pure functions without access to a node; the daemon uses them for `Node.block`, `Node.tx` and `Node.history` too. Credits and losses
become decimal text, ids hex, identities `lc1…`, content ids base32 text. What belongs to a contract is shown as its descriptor says
or else by its type, so a new contract needs no line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cache
from typing import Any

import msgspec

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts import CONTRACTS, MESSAGES, REGISTRY
from learningchain.chain.crypto import ID_SIZE, address
from learningchain.chain.errors import Code, Malformed, TxCode
from learningchain.chain.host import BASE_EVENTS, K_SUPPLY, Contract, Data, Datum, Form, OneOf, Parked, Reader, Supply
from learningchain.chain.ledger.tx import ParsedTx, parse_tx
from learningchain.chain.node.history import concerned
from learningchain.chain.types import (
    Certificate,
    Event,
    Header,
    LogEvent,
    Receipt,
    TransferEvent,
    Validator,
    block_id,
    format_credits,
    format_loss,
)
from learningchain.p2p.content import cid

Json = dict[str, Any]

MAX_EVENT_BYTES = 65_536
_REF = 32
"""Bytes of what an escrow belongs to: its reference begins with them."""

_ENUMS: tuple[type[IntEnum], ...] = (Code, TxCode, *(contract.codes for contract in CONTRACTS))
_CODES: dict[int, str] = {int(code): code.name for codes in _ENUMS for code in codes}


def code_name(code: int) -> str:
    """The name of a receipt or refusal code; `CODE_<n>` for one that this version does not know."""
    return _CODES.get(int(code), f"CODE_{int(code)}")


# --- values -------------------------------------------------------------------------------------------------------------------


def render_party(party: bytes) -> str | None:
    """Source or target of a movement: an account, an escrow (`bounty:<job>`, `stake:<job>:lc1…`), or None for mint and burn."""
    if not party:
        return None
    if len(party) == ID_SIZE:
        return address(party)
    shape = REGISTRY.escrow(party)
    if shape is not None:
        account = f":{address(party[_REF : _REF + ID_SIZE])}" if shape.account else ""
        return f"{shape.name}:{party[:_REF].hex()}{account}"
    return f"escrow:{party.hex()}"


def _bytes(value: bytes) -> str:
    """Identities and content ids are told by their form, everything else is hex."""
    if len(value) == ID_SIZE:
        return address(value)
    try:
        return str(cid.from_bytes(value)) if len(value) == cid.CID_BYTES else value.hex()
    except Malformed:
        return value.hex()


def _plain(value: Any) -> Any:
    return _bytes(value) if isinstance(value, bytes) else value


def _memo(value: bytes) -> str:
    """A memo is its sender's text; bytes that are no printable text are shown as `hex:…`."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return "hex:" + value.hex()
    return text if text.isprintable() else "hex:" + value.hex()


_CONTRACTS = {contract.number: contract.name for contract in CONTRACTS}


def contract_number(name: str) -> int:
    """Raises ValueError."""
    for contract in CONTRACTS:
        if name == contract.name:
            return contract.number
    raise ValueError(f"no contract is called {name}: {', '.join(_CONTRACTS.values())}")


def contract_name(value: Any) -> Any:
    return _CONTRACTS.get(value, value)


_FORMS: dict[Form, Callable[[Any], Any]] = {
    Form.CREDITS: format_credits,
    Form.LOSS: format_loss,
    Form.CONTRACT: contract_name,
    Form.ID: _bytes,
    Form.HASH: bytes.hex,
    Form.MEMO: _memo,
}


def in_form(form: Form | OneOf, value: Any) -> Any:
    """A value as its form says. Integers that have no name (hostile messages hold some) stay integers."""
    if isinstance(form, OneOf):
        return _names(form).get(value, value)
    return _FORMS[form](value) if form in _FORMS else value


@cache
def _names(form: OneOf) -> dict[int, str]:
    return {int(one): one.name if form.upper else one.name.lower().replace("_", "-") for one in form.kind}


# --- transactions -------------------------------------------------------------------------------------------------------------


def _shown(contract: Contract, owner: str, name: str, value: Any) -> Any:
    """A field of a message, or of a record inside one, in the form that its contract declares."""
    form = contract.forms.get(f"{owner}.{name}")
    if form is None and not isinstance(value, list | msgspec.Struct):
        form = contract.forms.get(name)
    return _value(contract, value) if form is None else in_form(form, value)


def _value(contract: Contract, value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        owner = type(value).__name__
        return {name: _shown(contract, owner, name, getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [_value(contract, item) for item in value]
    return _plain(value)


def render_op(op: Any) -> Json:
    """A contract message: its type's name and its fields by name."""
    shown: Json = _value(MESSAGES[type(op)][0], op)
    return {"type": type(op).__name__} | shown


def render_tx(raw: bytes | ParsedTx, *, height: int, index: int, receipt: Receipt) -> Json:
    """A transaction that stands in the block at `height`, with its receipt. Raises `InvalidTx` when the bytes are none."""
    tx = raw if isinstance(raw, ParsedTx) else parse_tx(raw)
    body = tx.body
    return {
        "tx": tx.id.hex(),
        "raw": tx.raw.hex(),
        "height": height,
        "index": index,
        "sender": address(body.sender),
        "lane": body.lane,
        "sequence": body.sequence,
        "valid_until": body.valid_until,
        "ops": [render_op(op) for op in tx.ops],
        "code": int(receipt.code),
        "code_name": code_name(receipt.code),
        "events": [render_event(event) for event in receipt.events],
    }


# --- events -------------------------------------------------------------------------------------------------------------------

_TOPICS: dict[str, Data] = BASE_EVENTS | {topic: data for contract in CONTRACTS for topic, data in contract.events.items()}


def _named(declared: Data, data: Sequence[Any]) -> Json:
    shown: Json = {}
    for position, datum in enumerate(declared):
        if datum.many:
            shown[datum.name] = [_in_declared_form(datum, item) for item in data[position:]]
        elif position < len(data):
            shown[datum.name] = _in_declared_form(datum, data[position])
    return shown


def _in_declared_form(datum: Datum, value: Any) -> Any:
    """A value in its form, or plain where a later rule put something else there: reading must never fail."""
    return in_form(datum.form, value) if datum.holds(value) else _plain(value)


def render_event(event: Event) -> Json:
    """`moved`: credits went from source to target. `noted`: `topic` happened to `ref`; `data` are its values by name."""
    if isinstance(event, TransferEvent):
        return {
            "type": "moved",
            "reason": event.reason,
            "source": render_party(event.source),
            "target": render_party(event.target),
            "amount": format_credits(event.amount),
            "ref": _reference(event),
        }
    spec = _TOPICS.get(event.topic)
    data = {"values": [_plain(v) for v in event.data]} if spec is None else _named(spec, event.data)
    return {"type": "noted", "topic": event.topic, "ref": _bytes(event.ref), "data": data}


def _reference(event: TransferEvent) -> str:
    return _memo(event.ref) if event.reason == "transfer" else _bytes(event.ref)


def render_parked(contract: int, ref: bytes, record: Parked) -> Json:
    """A parked reference: what failed there and when, and which validators would let it run again or give back what it holds."""
    return {
        "contract": contract_name(contract),
        "ref": _bytes(ref),
        "height": record.height,
        "fault": record.reason,
        "retry": [address(v) for v in record.retry],
        "give_back": [address(v) for v in record.give_back],
    }


# --- history ------------------------------------------------------------------------------------------------------------------


def render_history(account: bytes, *, cursor: int, height: int, time: int, event: bytes | Event, tx: bytes | None = None) -> Json:
    """One event of an account: `amount` is the change of its free credits with a sign, None where none moved.

    `event` may be the encoded event that the block store keeps. Raises `Malformed` when those bytes are none, ValueError where it
    does not concern the account.
    """
    e: Event = decode(Event, event, MAX_EVENT_BYTES) if isinstance(event, bytes) else event  # type: ignore[arg-type]
    common = {"cursor": cursor, "height": height, "time": time, "tx": tx.hex() if tx else None}
    if account not in concerned(e):
        raise ValueError(f"an event that tells of others than {address(account)}: nothing came to it, and nothing went")
    if isinstance(e, LogEvent):
        return common | {"reason": e.topic, "amount": None, "ref": _bytes(e.ref), "other": None}
    if e.source == e.target:
        # Suspension and its end: free credits are frozen, or free again.
        sign, other = ("+" if e.reason == "returned" else "-"), None
    elif e.source == account:
        sign, other = "-", render_party(e.target)
    else:
        sign, other = "+", render_party(e.source)
    amount = sign + format_credits(e.amount)
    return common | {"reason": e.reason, "amount": amount, "ref": _reference(e), "other": other}


def render_noted(event: LogEvent, *, cursor: int, height: int, time: int, tx: bytes) -> Json:
    """What happened to a subject, with the block's number and time; `tx` is zero where the block itself did it."""
    shown = render_event(event)
    at = {"cursor": cursor, "height": height, "time": time, "tx": tx.hex() if any(tx) else None}
    return at | {"topic": shown["topic"], "data": shown["data"]}


# --- blocks -------------------------------------------------------------------------------------------------------------------


def render_header(header: Header) -> Json:
    return {
        "height": header.height,
        "block_id": block_id(header).hex(),
        "version": header.version,
        "chain_id": header.chain_id.hex(),
        "round": header.round,
        "proposer": address(header.proposer),
        "time": header.time,
        "parent": header.parent.hex(),
        "tx_root": header.tx_root.hex(),
        "receipt_root": header.receipt_root.hex(),
        "state_root": header.state_root.hex(),
        "validators_hash": header.validators_hash.hex(),
        "next_validators_hash": header.next_validators_hash.hex(),
        "reveal": header.reveal.hex(),
        "commitment": header.commitment.hex(),
    }


def render_block(
    header: Header,
    tx_ids: Sequence[bytes],
    certificate: Certificate | None,
    validators: Sequence[Validator] | None = None,
) -> Json:
    """A decided block. With the height's validator set, `signers` are identities; without, indices into that set as text."""
    signed = None
    if certificate is not None:
        known = list(validators or ())
        signers = [address(known[i].id) if i < len(known) else str(i) for i in certificate.signers]
        signed = {"round": certificate.round, "signers": signers, "bytes": encode(certificate).hex()}
    return render_header(header) | {"txs": [tx.hex() for tx in tx_ids], "header": encode(header).hex(), "certificate": signed}


# --- supply -------------------------------------------------------------------------------------------------------------------


def render_supply(reader: Reader) -> Json:
    record = reader.get(K_SUPPLY)
    supply = record if isinstance(record, Supply) else Supply(0, 0)
    return {
        "minted": format_credits(supply.minted),
        "burned": format_credits(supply.burned),
        "supply": format_credits(supply.minted - supply.burned),
    }


OWN_DATA_PHASE = "local"
"""Of runs that read the owner's own data."""


def render_run(run: Json) -> Json:
    """A run as every token may see it: what a program says of the owner's own data, in its output, its progress and its losses, is
    the owner's alone."""
    return run if run.get("phase") != OWN_DATA_PHASE else run | {"progress": [], "loss": None, "log": ""}
