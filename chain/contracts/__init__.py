"""The contracts: a folder (or file) each, found by itself; adding one touches no other file.

They lie here, or in another distribution that names its contract under the entry point group `learningchain.contracts`: what the
operator of this machine installed, and nothing that comes over the network. All nodes of a network have the same contracts.

`CONTRACTS` is every contract in the order of its number; `MESSAGES` maps a message type to its contract's entry. Contracts
never import each other: they share only `chain.host`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.crypto import address
from learningchain.chain.errors import Code, Malformed, Reject
from learningchain.chain.host import ChainRecord, Contract, Host, InvalidContract, KVStore, MessageSpec, Registry
from learningchain.chain.params import Params

GROUP = "learningchain.contracts"


def _discover() -> Iterator[Contract]:
    for info in pkgutil.iter_modules(__path__):
        yield _contract(f"{__name__}.{info.name}", importlib.import_module(f"{__name__}.{info.name}"))
    for point in entry_points(group=GROUP):
        yield _contract(f"{point.name} ({point.value})", point.load())


def _contract(name: str, module: Any) -> Contract:
    found = getattr(module, "CONTRACT", None)
    if not isinstance(found, Contract):
        raise InvalidContract(f"{name} has no CONTRACT")
    return found


REGISTRY = Registry(_discover())
CONTRACTS: tuple[Contract, ...] = REGISTRY.contracts
MESSAGES: dict[type, tuple[Contract, MessageSpec]] = REGISTRY.messages
BY_NUMBER: dict[int, Contract] = REGISTRY.by_number
STATE_TYPES: dict[bytes, type] = REGISTRY.state
STATE_PREFIXES: dict[type, tuple[bytes, ...]] = REGISTRY.prefixes
LISTED = REGISTRY.listed
ARCHIVED: tuple[bytes, ...] = REGISTRY.archived
NUMBERED: tuple[bytes, ...] = tuple(c.archive.numbers for c in CONTRACTS if c.archive is not None)
"""Those of them that go on with a number, and say what reference it has."""
ANY_MESSAGE: Any = REGISTRY.any_message

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


def host_of(
    store: KVStore,
    params: Params,
    parent: ChainRecord,
    height: int,
    time: int,
    clock: int,
    beacon: bytes,
    *,
    contracts: Mapping[int, Contract] | None = None,
) -> Host:
    """The host of a block, after the one that `parent` is of, for the ledger itself: `perform` and deadlines act for contracts.

    `contracts` are those of this program unless others are named.
    """
    return Host(
        store=store,
        contracts=BY_NUMBER if contracts is None else contracts,
        params=params,
        chain_id=parent.chain_id,
        height=height,
        time=time,
        clock=clock,
        beacon=beacon,
        parent_beacon=parent.beacon,
    )


def perform(host: Host, sender: bytes, message: Any) -> None:
    """Run a message. Raises `Reject`: LEFT where it is for members and the sender is none any more (LC-MEM-27), PARKED where it
    is about a reference that is parked (LC-BLK-20)."""
    contract, spec = MESSAGES[type(message)]
    if spec.members and any(c.gone is not None and c.gone(host.store, sender) for c in host.contracts.values()):
        raise Reject(Code.LEFT, f"{address(sender)} is no member of this network any more")
    if spec.subject is not None:
        parked = host.parked(contract.number, spec.subject(message))
        if parked is not None:
            text = f"parked since block {parked.height}: a program failed there; the validators release it"
            raise Reject(Code.PARKED, text)
    spec.handler(host.acting(contract), sender, message)
