"""Ledger records as the API's JSON: transactions, receipts, events, headers, jobs, accounts.

Pure functions without access to a node; the daemon uses them for `Node.block`, `Node.tx` and `Node.history` too. Credits and losses
become decimal text, ids hex, identities `lc1…`, content ids base32 text. What contracts add later is rendered by the type of its
fields, so a new contract needs no line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from chain.codec import decode, encode
from chain.contracts import CONTRACTS
from chain.contracts.job import FloatKind, HiddenVote, ImageKind, OnCheat, Result, VoteCode, is_cid
from chain.contracts.job.records import Tenth
from chain.contracts.job.rules import Rule
from chain.contracts.job.views import cid_text
from chain.crypto import ID_SIZE, address
from chain.errors import Code, TxCode
from chain.host import K_SUPPLY, Parked, Reader, Supply
from chain.ledger.tx import ParsedTx, parse_tx
from chain.types import Certificate, Event, Header, Moved, Noted, Receipt, Validator, block_id, format_credits, format_loss

Json = dict[str, Any]

MAX_EVENT_BYTES = 65_536
_JOB_ID = 32
_ESCROWS = {b"B": "bounty", b"F": "fees", b"D": "deposit"}

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
    kind = _ESCROWS.get(party[_JOB_ID:])
    if kind is not None:
        return f"{kind}:{party[:_JOB_ID].hex()}"
    if len(party) == _JOB_ID + ID_SIZE:
        return f"stake:{party[:_JOB_ID].hex()}:{address(party[_JOB_ID:])}"
    return f"escrow:{party.hex()}"


def _bytes(value: bytes) -> str:
    """Identities and content ids are told by their form, everything else is hex."""
    if len(value) == ID_SIZE:
        return address(value)
    return cid_text(value) if is_cid(value) else value.hex()


def _plain(value: Any) -> Any:
    return _bytes(value) if isinstance(value, bytes) else value


def _memo(value: bytes) -> str:
    """A memo is its sender's text; bytes that are no printable text are shown as `hex:…`."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return "hex:" + value.hex()
    return text if text.isprintable() else "hex:" + value.hex()


def _name_in(kind: type[IntEnum]) -> Callable[[Any], Any]:
    """Show the member's name of an integer; numbers that have none (hostile messages do) stay numbers."""
    names = {int(member): member.name.lower().replace("_", "-") for member in kind}
    return lambda value: names.get(value, value)


def _upper_in(kind: type[IntEnum]) -> Callable[[Any], Any]:
    names = {int(member): member.name for member in kind}
    return lambda value: names.get(value, value)


def _hex(value: Any) -> Any:
    return value.hex()


_CONTRACTS = {contract.number: contract.name for contract in CONTRACTS}


def contract_number(name: str) -> int:
    """Raises ValueError."""
    for contract in CONTRACTS:
        if name == contract.name:
            return contract.number
    raise ValueError(f"no contract is called {name}: {', '.join(_CONTRACTS.values())}")


def contract_name(value: Any) -> Any:
    return _CONTRACTS.get(value, value)


# --- transactions -------------------------------------------------------------------------------------------------------------

_FIELDS: dict[str, Callable[[Any], Any]] = {
    "amount": format_credits,
    "expected": format_credits,
    "bounty": format_credits,
    "fee": format_credits,
    "loss": format_loss,
    "tol": format_loss,
    "floor": format_loss,
    "measured": format_loss,
    "probe": format_loss,
    "hidden_loss": format_loss,
    "memo": _memo,
    "float_kind": _name_in(FloatKind),
    "on_cheat": _name_in(OnCheat),
    "job": _hex,
}
_FIELDS_OF: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("Release", "contract"): contract_name,
    ("Image", "kind"): _name_in(ImageKind),
    ("Ballot", "code"): _upper_in(VoteCode),
    ("Ballot", "hidden"): _upper_in(HiddenVote),
}


def _field(owner: str, name: str, value: Any) -> Any:
    special = _FIELDS_OF.get((owner, name)) or (None if isinstance(value, list | msgspec.Struct) else _FIELDS.get(name))
    return special(value) if special else _value(value)


def _value(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        owner = type(value).__name__
        return {name: _field(owner, name, getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [_value(item) for item in value]
    return _plain(value)


def render_op(op: Any) -> Json:
    """A contract message: its type's name and its fields by name."""
    shown: Json = _value(op)
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

Spec = tuple[tuple[str, Callable[[Any], Any]], ...]
"""Names and forms of a topic's data; a name that ends in `*` takes all that is left."""
_ID = ("account", _plain)
_DEADLINE = ("deadline", _plain)
_AUDIT: Spec = (("audit", _plain), ("round", _plain))
_TOPICS: dict[str, Spec] = {
    "job.posted": (("poster", _plain), ("bounty", format_credits), ("fee", format_credits), ("expiry", _plain)),
    "claim": (("claimant", _plain), ("loss", format_loss), ("claim", _plain)),
    "reveal.open": (_DEADLINE, ("must*", _plain)),
    "reveal": (("claimant", _plain), ("loss", format_loss), ("model", _plain), ("size", _plain)),
    "silent": (("claimant", _plain),),
    "key.open": (_DEADLINE,),
    "key": (("key", _hex),),
    "key.missing": (),
    "key.bad": (),
    "audit": (*_AUDIT, _DEADLINE, ("models*", _plain)),
    "dropped": (("claimant", _plain),),
    "commit": (*_AUDIT, ("voter", _plain)),
    "count": (*_AUDIT, _DEADLINE),
    "second.round": (("audit", _plain), ("candidates*", _plain)),
    "vote": (
        *_AUDIT,
        ("voter", _plain),
        ("candidate", _plain),
        ("vote", _upper_in(VoteCode)),
        ("measured", format_loss),
    ),
    "verdict": (
        *_AUDIT,
        ("claimant", _plain),
        ("result", _upper_in(Result)),
        ("rule", _upper_in(Rule)),
        ("opened", _plain),
    ),
    "paid": (("winner", _plain), ("bounty", format_credits), ("model", _plain), ("loss", format_loss)),
    "refunded": (("poster", _plain), ("amount", format_credits)),
    "empty": (("poster", _plain),),
    "tenth": (("amount", format_credits), ("state", _name_in(Tenth))),
    "approve": (("spender", _plain), ("amount", format_credits)),
    "strike": (("reason", _plain), ("job", _hex)),
    "suspended": (("job", _hex), ("until", _plain)),
    "case.corroborated": (("job", _hex),),
    "case.judged": (("validator", _plain), ("judgement", _plain)),
    "verifier.off": (),
    "banned": (("job", _hex),),
    "reinstated": (("job", _hex),),
    "double.signing": (("height", _plain),),
    "validator.ejected": (("height", _plain),),
    "parked": (("contract", contract_name), ("fault", _plain)),
    "release.voted": (("contract", contract_name), ("validator", _plain), ("word", _plain)),
    "released": (("contract", contract_name), ("word", _plain)),
}


def _named(spec: Spec, data: Sequence[Any]) -> Json:
    shown: Json = {}
    for position, (name, form) in enumerate(spec):
        if name.endswith("*"):
            shown[name[:-1]] = [_shaped(form, item) for item in data[position:]]
        elif position < len(data):
            shown[name] = _shaped(form, data[position])
    return shown


def _shaped(form: Callable[[Any], Any], value: Any) -> Any:
    """A value in its form, or plain where a later rule put something else there: reading must never fail."""
    try:
        return form(value)
    except (TypeError, AttributeError):
        return _plain(value)


def render_event(event: Event) -> Json:
    """`moved`: credits went from source to target. `noted`: `topic` happened to `ref`; `data` are its values by name."""
    if isinstance(event, Moved):
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


def _reference(event: Moved) -> str:
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

    `event` may be the encoded event that the block store keeps. Raises `Malformed` when those bytes are none.
    """
    e: Event = decode(Event, event, MAX_EVENT_BYTES) if isinstance(event, bytes) else event  # type: ignore[arg-type]
    common = {"cursor": cursor, "height": height, "time": time, "tx": tx.hex() if tx else None}
    if isinstance(e, Noted):
        return common | {"reason": e.topic, "amount": None, "ref": _bytes(e.ref), "other": None}
    if e.source == e.target:
        # Suspension and its end: free credits freeze, or thaw.
        sign, other = ("+" if e.reason == "returned" else "-"), None
    elif e.source == account:
        sign, other = "-", render_party(e.target)
    else:
        sign, other = "+", render_party(e.source)
    amount = sign + format_credits(e.amount)
    return common | {"reason": e.reason, "amount": amount, "ref": _reference(e), "other": other}


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


# --- accounts and supply ------------------------------------------------------------------------------------------------------


def render_standing(standing: Json, *, key: bytes, locked: int) -> Json:
    """`membership.standing` with credits as text; `locked` is what lies in escrows of live jobs."""
    return standing | {
        "key": key.hex(),
        "balance": format_credits(standing["balance"]),
        "frozen": format_credits(standing["frozen"]),
        "locked": format_credits(locked),
    }


def render_supply(reader: Reader) -> Json:
    record = reader.get(K_SUPPLY)
    supply = record if isinstance(record, Supply) else Supply(0, 0)
    return {
        "minted": format_credits(supply.minted),
        "burned": format_credits(supply.burned),
        "supply": format_credits(supply.minted - supply.burned),
    }


# --- jobs ---------------------------------------------------------------------------------------------------------------------

_JOB_CREDITS = frozenset(
    (
        *("bounty", "fee", "fees", "fees_locked", "deposit", "stake", "stakes"),
        *("bounty_paid", "bounty_returned", "last_tenth_amount", "fees_paid", "fees_returned"),
        *("deposit_burned", "deposit_returned"),
    )
)
_JOB_LOSSES = frozenset(("loss", "tolerance", "bound", "next_at_most", "hidden_loss", "measured", "probe_loss", "tol", "floor"))


def render_job(view: Json) -> Json:
    """A view of the job contract (`views.describe`, `views.summarise`) with credits and losses as decimal text."""
    return {name: _job_value(name, value) for name, value in view.items()}


def _job_value(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return render_job(value)
    if isinstance(value, list):
        return [_job_value(name, item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        if name in _JOB_CREDITS:
            return format_credits(value)
        if name in _JOB_LOSSES:
            return format_loss(value)
    return value
