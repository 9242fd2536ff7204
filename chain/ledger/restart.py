"""What a restarted network begins from: the state after the last certified block, without what only the old chain could go on with.

A chain of which more than a third of the validators are gone for good decides nothing any more. Its people agree, outside of it, on
who validates from now on and on a name; everything else follows from the state that its last certified block names, in one way:

    state --(what is bound to the old chain's id ends: `Contract.bound`)--> nothing is sealed or signed for that id any more
          --(deadlines by height become deadlines by time)-----------------> no record waits for a height of the old chain
          --(the chain's own records stay behind: `NOT_CARRIED`)-----------> the records of the base, byte for byte

The state is carried whole but for that: accounts, members, standing, cases, keys and guardians, parameters, jobs that ended. Jobs
under way end, because claims and votes are sealed with the chain's id: on the new chain their owners could not open them, and would
lose their stakes for nothing. Every escrow goes back to whom it came from, by the rule that releases a parked job (LC-JOB-41).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import astuple

from learningchain.chain.codec import decode
from learningchain.chain.contracts import CONTRACTS, host_of
from learningchain.chain.crypto import ID_SIZE, address
from learningchain.chain.errors import Malformed
from learningchain.chain.host import (
    K_PROTOCOL,
    Account,
    Contract,
    Host,
    Protocol,
    account_key,
    parked_key,
    read_params,
    split_height_due,
)
from learningchain.chain.host.store import MAX_INDEXED
from learningchain.chain.ledger.base import NOT_CARRIED, Base
from learningchain.chain.ledger.genesis import MAX_GENESIS_BYTES, Genesis, RestartedGenesis, Section, check_genesis, to_json
from learningchain.chain.ledger.listings import MAX_RECORD, prefix_of, type_of
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.ledger.state_diff import Record
from learningchain.chain.ledger.transition import chain_record, params_of
from learningchain.chain.types import Event, Header, Validator, block_id

MAX_SHOWN = 120
"""Characters of a value in words."""


@dataclass(frozen=True)
class EndedReference:
    """A reference of a contract that the restart ends: a job, an invitation, a proposal."""

    contract: str
    ref: bytes


@dataclass(frozen=True)
class Carried:
    """The records of the base, ascending by key; what ended, in that order, and the events of that."""

    records: list[Record]
    ended: list[EndedReference]
    events: list[Event]


def carry(state: State) -> Carried:
    """LC-BLK-38: what the state leaves to a network that begins from it. The state itself stays as it is.

    Raises `BrokenInvariant` or `SupplyBroken` where a reference cannot be ended by its contract's own rule, `Malformed` where a
    genesis file could not hold it.
    """
    head, overlay = chain_record(state), Overlay(state)
    host = host_of(overlay, params_of(state), head, head.height, head.time, head.clock, head.beacon)
    ended = [EndedReference(contract.name, ref) for contract in CONTRACTS for ref in _end_bound(host, overlay, contract)]
    for key, record in list(overlay.scan(b"dh/", MAX_INDEXED)):
        overlay.delete(key)
        overlay.put(split_height_due(key)[1], record)
    protocol = overlay.get(K_PROTOCOL)
    if isinstance(protocol, Protocol):
        overlay.put(K_PROTOCOL, Protocol(protocol.version, []))
    _, encoded, _ = overlay.finish()
    items = _read(state)
    items.update(encoded)
    kept = [Record(key, raw) for key, raw in sorted(items.items()) if raw is not None and prefix_of(key) not in NOT_CARRIED]
    return Carried(kept, ended, host.events)


def _read(state: State) -> dict[bytes, bytes | None]:
    """All records. A state that is far too large for a file is told before it fills the memory; the file itself is measured."""
    items: dict[bytes, bytes | None] = {}
    size = 0
    for key, raw in state.items():
        items[key] = raw
        size += len(key) + len(raw)
        if size > MAX_GENESIS_BYTES:
            raise Malformed(f"the state does not fit into a genesis file, which has at most {MAX_GENESIS_BYTES} bytes")
    return items


def _end_bound(host: Host, overlay: Overlay, contract: Contract) -> list[bytes]:
    """A parked one ends as others do: what failed in it is over."""
    found = [key[len(prefix) :] for prefix in contract.bound for key, _ in overlay.scan(prefix, MAX_INDEXED)]
    for ref in found:
        overlay.begin()
        overlay.delete(parked_key(contract.number, ref))
        if contract.on_give_back is not None:
            contract.on_give_back(host.acting(contract), ref)
        overlay.audit()
        overlay.keep()
    return found


def restart(old: Genesis, state: State, header: Header, validators: Sequence[bytes], name: str) -> tuple[RestartedGenesis, Carried]:
    """LC-BLK-37, 38: the genesis of the network that goes on after the block of `header`, with these accounts as its validators.

    Of what people choose it holds nothing but them and the name: whoever has the old chain comes to the same bytes. Raises
    `Malformed` where no network can start so.
    """
    if state.root != header.state_root or old.chain_id != header.chain_id:
        raise Malformed(f"this is not the state after block {header.height}")
    carried = carry(state)
    head = chain_record(state)
    chosen = [_validator(state, identity) for identity in sorted(set(validators))]
    base = Base(header.chain_id, header.height, block_id(header), header.state_root, head.clock, chosen, carried.records)
    params = params_of(state)
    made = RestartedGenesis(old.version, name, head.time, params, [], old.ca_cert, old.ca_key, _sections(state, old), base=base)
    check_genesis(made)
    size = len(to_json(made))
    if size > MAX_GENESIS_BYTES:
        raise Malformed(f"the genesis file would have {size} bytes, at most {MAX_GENESIS_BYTES} are read")
    return made, carried


def _validator(state: State, identity: bytes) -> Validator:
    account = state.get(account_key(identity))
    if not isinstance(account, Account):
        raise Malformed(f"{address(identity)} is to validate, and has no account in the base")
    return Validator(identity, account.key)


def _sections(state: State, old: Genesis) -> list[Section]:
    """The parameters of the contracts that are in force."""
    kinds = {contract.number: contract.params for contract in CONTRACTS}
    found = []
    for section in old.contracts:
        kind = kinds[section.number]
        values = [] if kind is None else list(astuple(read_params(state, section.number, kind)))
        found.append(Section(section.number, values))
    return found


# --- comparing ----------------------------------------------------------------------------------------------------------------


def differences(made: RestartedGenesis, found: RestartedGenesis) -> list[str]:
    """What of `found` is not as in `made`, a line for each field and record."""
    lines = [
        f"{name} is {_short(getattr(found, name))}, here {_short(getattr(made, name))}"
        for name in Genesis.__struct_fields__
        if getattr(found, name) != getattr(made, name)
    ]
    lines += [
        f"{name} of the base is {_short(getattr(found.base, name))}, here {_short(getattr(made.base, name))}"
        for name in Base.__struct_fields__
        if name != "records" and getattr(found.base, name) != getattr(made.base, name)
    ]
    theirs, ours = ({one.key: one.value for one in g.base.records} for g in (found, made))
    for key in sorted(theirs.keys() | ours.keys()):
        lines += _record_differs(key, theirs.get(key), ours.get(key))
    return lines


def _record_differs(key: bytes, theirs: bytes | None, ours: bytes | None) -> list[str]:
    """`theirs` was checked, `ours` is of the own state: both can be read."""
    if theirs == ours:
        return []
    kind, prefix = type_of(key), prefix_of(key)
    rest = key[len(prefix) :]
    what = f"{kind.__name__} {address(rest) if len(rest) == ID_SIZE else rest.hex()}".rstrip()
    if theirs is None or ours is None:
        return [f"the record {what} is {'missing' if theirs is None else 'added'}"]
    a, b = decode(kind, theirs, MAX_RECORD), decode(kind, ours, MAX_RECORD)
    return [
        f"{name} of {what} is {_short(getattr(a, name))}, here {_short(getattr(b, name))}"
        for name in kind.__struct_fields__
        if getattr(a, name) != getattr(b, name)
    ]


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
