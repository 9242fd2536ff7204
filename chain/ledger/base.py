"""The base of a restarted network: the last certified block of another one, and what it carries of its state (LC-BLK-37 to 40).

    old chain: ... block N, its state root --carry (`chain.ledger.restart`)--> records --+
    the people: who validates, the name ---------------------------------------------------+--> genesis --> chain id, block 1

This module knows what a base is, and what none may hold. Whether it is what the old chain leads to is for who has that chain.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.crypto import address
from learningchain.chain.errors import Malformed
from learningchain.chain.host import (
    BANNED,
    K_CHAIN,
    K_CLOCK_MARKS,
    K_HISTORY,
    K_NEXT_VALIDATORS,
    K_PENDING_PARAMS,
    K_PROTOCOL,
    K_SUPPLY,
    K_VALIDATORS,
    Account,
    Protocol,
    Supply,
    account_key,
)
from learningchain.chain.ledger.listings import MAX_RECORD, prefix_of, type_of
from learningchain.chain.ledger.state import Overlay, State, holding
from learningchain.chain.ledger.state_diff import Record
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import Hash, Uint, ValidatorSet, check_validators

MAX_RECORDS = 262_144
"""More than a file of the largest size can hold."""
OF_THE_CHAIN = (K_CHAIN, K_VALIDATORS, K_NEXT_VALIDATORS, K_HISTORY, K_PENDING_PARAMS, K_CLOCK_MARKS, b"gb/", b"dh/")
"""What every chain has of its own: its head, its sets, when its heights were, beacon secrets that its id is part of, and deadlines
by its heights."""
NOT_CARRIED = frozenset(OF_THE_CHAIN).union(*((*c.bound, *c.forgotten) for c in CONTRACTS))


class Base(Wire, frozen=True):
    """Block `height` of chain `chain_id`, the state root that it names, its chain clock; who signs from now on; what is carried."""

    chain_id: Hash
    height: Annotated[int, Meta(ge=1, le=MAX_INT)]
    block_id: Hash
    state_root: Hash
    clock: Uint
    validators: ValidatorSet
    records: Annotated[list[Record], Meta(max_length=MAX_RECORDS)]


def check_base(base: Base, time: int, params: dict[bytes, Wire]) -> None:
    """LC-BLK-37. `time` is that of the genesis, `params` its parameters by their keys in the state. Raises `Malformed`."""
    check_validators(base.validators)
    if base.clock > time:
        raise Malformed(f"the chain clock of the base is {base.clock}, above its time {time}")
    records = Overlay(State())
    _read(records, base.records)
    if any(records.get(key) != value for key, value in params.items()):
        raise Malformed("the parameters are not those of the base's records")
    protocol = records.get(K_PROTOCOL)
    if isinstance(protocol, Protocol) and protocol.following:
        raise Malformed("the base carries an upgrade that was decided for a height of another chain")
    _check_supply(records, base.records)
    for validator in base.validators:
        _check_validator(records, validator.id, validator.key)


def _read(records: Overlay, listed: list[Record]) -> None:
    before = b""
    for one in listed:
        if one.key <= before:
            raise Malformed("the records of the base do not ascend by key, each once")
        if prefix_of(one.key) in NOT_CARRIED:
            raise Malformed(f"the record {one.key.hex()} of the base belongs to the chain that ended")
        try:
            records.put(one.key, decode(type_of(one.key), one.value, MAX_RECORD))
        except Malformed as e:
            raise Malformed(f"the record {one.key.hex()} of the base: {e}") from None
        before = one.key


def _check_supply(records: Overlay, listed: list[Record]) -> None:
    supply = records.get(K_SUPPLY)
    held = sum(holding(records.get(one.key)) for one in listed)
    if not isinstance(supply, Supply) or held != supply.minted - supply.burned:
        raise Malformed(f"the records of the base hold {held} micro-credits, and that is not what their supply says")


def _check_validator(records: Overlay, identity: bytes, key: bytes) -> None:
    account, who = records.get(account_key(identity)), address(identity)
    if not isinstance(account, Account):
        raise Malformed(f"{who} is to validate, and has no account in the base")
    if account.key != key:
        raise Malformed(f"{who} is to validate by another key than its account has in the base")
    if account.status == BANNED or any(c.gone is not None and c.gone(records, identity) for c in CONTRACTS):
        raise Malformed(f"{who} is to validate, and is banned or no member any more")


def put_base(overlay: Overlay, base: Base) -> None:
    """LC-BLK-39: what is carried, as it stands. The base was checked."""
    for one in base.records:
        overlay.put(one.key, decode(type_of(one.key), one.value, MAX_RECORD))


# --- in the file --------------------------------------------------------------------------------------------------------------


def base_to_json(base: Base) -> dict[str, Any]:
    """LC-BLK-40: one line for each record, so that two files can be laid side by side."""
    return {
        "chain_id": base.chain_id.hex(),
        "height": base.height,
        "block_id": base.block_id.hex(),
        "state_root": base.state_root.hex(),
        "clock": base.clock,
        "validators": {v.id.hex(): v.key.hex() for v in base.validators},
        "records": {one.key.hex(): one.value.hex() for one in base.records},
    }


def base_from_json(found: dict[str, Any]) -> Base:
    """Raises `Malformed`, and what missing and wrong fields raise."""
    unknown = set(found) - {f.name for f in msgspec.structs.fields(Base)}
    if unknown:
        raise Malformed(f"unknown fields of the genesis file's base: {', '.join(sorted(unknown))}")
    document = [
        _bytes(found["chain_id"]),
        found["height"],
        _bytes(found["block_id"]),
        _bytes(found["state_root"]),
        found["clock"],
        [[_bytes(identity), _bytes(key)] for identity, key in found["validators"].items()],
        [[_bytes(key), _bytes(value)] for key, value in found["records"].items()],
    ]
    return msgspec.msgpack.decode(encode(document), type=Base)


def _bytes(text: str) -> bytes:
    """Of hex in small letters, without spaces: one text for the same bytes."""
    raw = bytes.fromhex(text)
    if raw.hex() != text:
        raise Malformed("the base of a genesis file is written in hex of small letters, without spaces")
    return raw
