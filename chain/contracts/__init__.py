"""The contracts: one file (or folder) each, found by name; adding one touches no other file.

`CONTRACTS` is every contract in the order of its number; `MESSAGES` maps a message type to its contract's entry. Contracts
never import each other: they share only `chain.host`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from chain.codec import encode
from chain.errors import Code, Malformed, Reject
from chain.host import BASE_STATE, Contract, Host, MessageSpec


def _discover() -> tuple[Contract, ...]:
    found = []
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        contract = getattr(module, "CONTRACT", None)
        if isinstance(contract, Contract):
            found.append(contract)
    return tuple(sorted(found, key=lambda c: c.number))


CONTRACTS: tuple[Contract, ...] = _discover()
MESSAGES: dict[type, tuple[Contract, MessageSpec]] = {
    kind: (contract, spec) for contract in CONTRACTS for kind, spec in contract.messages.items()
}
BY_NUMBER: dict[int, Contract] = {contract.number: contract for contract in CONTRACTS}
STATE_TYPES: dict[bytes, type] = BASE_STATE | {p: t for contract in CONTRACTS for p, t in contract.state.items()}
STATE_PREFIXES: dict[type, tuple[bytes, ...]] = {
    t: tuple(p for p, u in STATE_TYPES.items() if u is t) for t in STATE_TYPES.values()
}
"""The prefixes under which records of a type are kept."""
ANY_MESSAGE: Any = reduce(or_, MESSAGES)
"""The type of every message: what a decoder takes."""

_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ANY_MESSAGE)


def decode_message(raw: bytes) -> Any:
    """One contract message from canonical bytes. Raises `Malformed`: unknown tag, wrong shape, out of bounds, not canonical."""
    try:
        message = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Malformed(str(e)) from None
    if encode(message) != raw:
        raise Malformed("not the canonical encoding")
    return message


def perform(host: Host, sender: bytes, message: Any) -> None:
    """Run a message. Raises `Reject`, PARKED where it is about a reference that is parked (LC-BLK-20)."""
    contract, spec = MESSAGES[type(message)]
    if spec.subject is not None:
        parked = host.parked(contract.number, spec.subject(message))
        if parked is not None:
            text = f"parked since block {parked.height}: a program failed there; the validators release it"
            raise Reject(Code.PARKED, text)
    spec.handler(host, sender, message)


def state_type(key: bytes) -> type:
    """The record type behind a state key: keys are `<prefix>/<rest>`."""
    return STATE_TYPES[key[: key.index(b"/") + 1]]
