"""Genesis: what a network starts with, its file, its chain id, its first state.

The chain id is the hash of the canonical genesis, so two networks that differ in anything have different ids. The file is JSON for
people: keys in hex, credits as decimal text, parameters by name.

A network that restarts after another one begins from that one's state: its genesis grants nothing and has a base
(`chain.ledger.base`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.contracts import BY_NUMBER, CONTRACTS
from learningchain.chain.crypto import account_id, is_public_key
from learningchain.chain.errors import Malformed
from learningchain.chain.host import (
    ACTIVE,
    K_CHAIN,
    K_CLOCK_MARKS,
    K_HISTORY,
    K_PARAMS,
    K_SUPPLY,
    K_VALIDATORS,
    Account,
    ChainRecord,
    ClockMark,
    ClockMarks,
    History,
    Supply,
    Validators,
    account_key,
    params_key,
)
from learningchain.chain.host import GenesisAccount as GenesisAccount
from learningchain.chain.host.parameters import MIN_BLOCK_BYTES as MIN_BLOCK_BYTES
from learningchain.chain.host.parameters import check_deadlines, check_ledger, min_block_work
from learningchain.chain.ledger.base import Base, base_from_json, base_to_json, check_base, put_base
from learningchain.chain.ledger.listings import MAX_RECORD
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.params import (
    LANES,
    MAX_INT,
    MAX_VALIDATORS,
    PROTOCOL_VERSION,
    ContractParams,
    Params,
)
from learningchain.chain.tags import Tag
from learningchain.chain.types import Uint, Validator, format_credits, parse_credits

_GENESIS, _BEACON = Tag("lc/genesis", "chain id"), Tag("lc/beacon", "first beacon")
MAX_GENESIS_BYTES = 16_000_000
"""A file of MAX_ACCOUNTS accounts has 11.4 million."""
MAX_ACCOUNTS = 65_536
"""As many as the state's tree has buckets, and as many verifiers as one draw looks through: see docs/adr/0012."""
KEY_DIGITS = 66
"""Of a key in the file: readers of hex let spaces pass, so its length is compared."""
MIN_BLOCK_WORK = min_block_work(CONTRACTS)
MAX_TIME = 2**48
"""Bound on the genesis time and on every span: sums of them stay far below MAX_INT."""
MAX_CONTRACTS, MAX_VALUES = 255, 64


def _fields(kind: type[Wire]) -> dict[str, msgspec.structs.FieldInfo]:
    return {f.name: f for f in msgspec.structs.fields(kind)}


CORE = _fields(Params)
OF_CONTRACTS = {c.number: {} if c.params is None else _fields(c.params) for c in CONTRACTS}
PARAMETERS = CORE | {name: f for fields in OF_CONTRACTS.values() for name, f in fields.items()}
"""Every parameter that a network can fix, by name: the ledger's, then those of each contract."""


def span_unit(f: msgspec.structs.FieldInfo) -> str:
    """`ms` or `blocks` for a parameter that is a length of time; empty for another."""
    return str((f.type.__metadata__[0].extra or {}).get("span", ""))


def unit_of(f: msgspec.structs.FieldInfo) -> str:
    """`ms`, `blocks` or `micro-credits`, what a parameter counts; empty for anything else."""
    return span_unit(f) or str((f.type.__metadata__[0].extra or {}).get("unit", ""))


class OtherRules(Malformed):
    """A genesis file that names what this program does not know: one of another version made its network."""


class Section(Wire, frozen=True):
    """A contract of the network, by number, and its parameters in their order."""

    number: Annotated[int, Meta(ge=1, le=MAX_CONTRACTS)]
    values: Annotated[list[Uint], Meta(max_length=MAX_VALUES)]


def make_params(**values: int) -> tuple[Params, list[Section]]:
    """The parameters of the ledger and of every contract, from those that are not the default. Raises `Malformed`."""
    unknown = set(values) - set(PARAMETERS)
    if unknown:
        raise Malformed(f"unknown parameters: {', '.join(sorted(unknown))}")
    core = Params(**{name: value for name, value in values.items() if name in CORE})
    sections = [Section(n, [values.get(name, f.default) for name, f in fields.items()]) for n, fields in OF_CONTRACTS.items()]
    return core, sections


def section_params(section: Section) -> ContractParams | None:
    """None for a contract without parameters. Raises `Malformed`."""
    kind = BY_NUMBER[section.number].params
    if kind is None and section.values:
        raise Malformed(f"contract {BY_NUMBER[section.number].name} has no parameters")
    return None if kind is None else decode(kind, encode(section.values), MAX_RECORD)


class Genesis(Wire, frozen=True):
    """`ca_cert` and `ca_key` (PEM) make both sides of a connection send certificates; they protect nothing by themselves."""

    version: Uint
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    time: Uint
    params: Params
    accounts: Annotated[list[GenesisAccount], Meta(max_length=MAX_ACCOUNTS)]
    ca_cert: Annotated[bytes, Meta(max_length=8192)]
    ca_key: Annotated[bytes, Meta(max_length=8192)]
    contracts: Annotated[list[Section], Meta(max_length=MAX_CONTRACTS)] = msgspec.field(default_factory=lambda: make_params()[1])
    """Those of the network, ascending: all its nodes have the same ones."""

    @property
    def chain_id(self) -> bytes:
        return _GENESIS.hash(encode(self))

    @property
    def validators(self) -> list[Validator]:
        """The first validator set, sorted by id."""
        return sorted((Validator(account_id(a.key), a.key) for a in self.accounts if a.validator), key=lambda v: v.id)


class RestartedGenesis(Genesis, frozen=True, kw_only=True):
    """LC-BLK-37: of a network that begins from the state of another one, whose accounts are those of that state."""

    base: Base

    @property
    def validators(self) -> list[Validator]:
        return self.base.validators


def all_params(genesis: Genesis) -> dict[str, int]:
    """Every parameter of a network, by name."""
    found = {name: getattr(genesis.params, name) for name in CORE}
    for section in genesis.contracts:
        found |= zip(OF_CONTRACTS[section.number], section.values, strict=True)
    return found


def check_genesis(genesis: Genesis) -> None:
    """LC-BLK-9, 37. Raises `Malformed` naming what a network cannot start with."""
    keys = [a.key for a in genesis.accounts]
    if genesis.version != PROTOCOL_VERSION:
        raise OtherRules(f"genesis of protocol version {genesis.version}, this program speaks {PROTOCOL_VERSION}")
    if any(not is_public_key(k) for k in keys):
        raise Malformed("an account's key is not a compressed secp256k1 public key")
    if len(set(keys)) != len(keys):
        raise Malformed("a key stands twice among the accounts")
    if isinstance(genesis, RestartedGenesis) and genesis.accounts:
        raise Malformed("a genesis with a base lists no accounts: they are in its records")
    if not 1 <= len(genesis.validators) <= MAX_VALIDATORS:
        raise Malformed(f"a network has 1 to {MAX_VALIDATORS} validators")
    if sum(a.credits for a in genesis.accounts) > MAX_INT:
        raise Malformed("the grants exceed the largest supply")
    if [s.number for s in genesis.contracts] != [*OF_CONTRACTS]:
        theirs = ", ".join(str(s.number) for s in genesis.contracts)
        raise OtherRules(f"the network has the contracts {theirs}, this program {', '.join(map(str, OF_CONTRACTS))}")
    check_ledger(genesis.params, CONTRACTS)
    if genesis.time > MAX_TIME:
        raise Malformed(f"time is {genesis.time}, at most {MAX_TIME} allowed")
    _check_spans(genesis.params, CORE)
    for section in genesis.contracts:
        params = section_params(section)
        if params is not None:
            _check_spans(params, OF_CONTRACTS[section.number])
            params.check()
    if isinstance(genesis, RestartedGenesis):
        check_base(genesis.base, genesis.time, _param_records(genesis))


def _param_records(genesis: Genesis) -> dict[bytes, Wire]:
    """The parameters by the keys that they have in the state."""
    found: dict[bytes, Wire] = {K_PARAMS: genesis.params}
    for section in genesis.contracts:
        params = section_params(section)
        if params is not None:
            found[params_key(section.number)] = params
    return found


def _check_spans(params: Wire, fields: dict[str, msgspec.structs.FieldInfo]) -> None:
    for name, f in fields.items():
        if span_unit(f) and getattr(params, name) > MAX_TIME:
            raise Malformed(f"{name} is {getattr(params, name)}, at most {MAX_TIME} allowed")


def first_state(genesis: Genesis) -> tuple[State, list[tuple[bytes, bytes | None]]]:
    """LC-BLK-9, 39: the state before block 1, and its encoded records. Raises `Malformed`."""
    check_genesis(genesis)
    state = State()
    overlay = Overlay(state)
    if isinstance(genesis, RestartedGenesis):
        put_base(overlay, genesis.base)
        clock = genesis.base.clock
    else:
        _put_grants(overlay, genesis)
        clock = genesis.time
    chain_id = genesis.chain_id
    overlay.put(K_CHAIN, ChainRecord(chain_id, 0, genesis.time, clock, _BEACON.hash(chain_id)))
    record = Validators(1, genesis.validators)
    overlay.put(K_VALIDATORS, record)
    overlay.put(K_HISTORY, History([record]))
    overlay.put(K_CLOCK_MARKS, ClockMarks([ClockMark(0, clock)]))
    changes, encoded, tree = overlay.finish()
    state.commit(changes, tree)
    return state, encoded


def _put_grants(overlay: Overlay, genesis: Genesis) -> None:
    for key, params in _param_records(genesis).items():
        overlay.put(key, params)
    overlay.put(K_SUPPLY, Supply(sum(a.credits for a in genesis.accounts), 0))
    for a in genesis.accounts:
        identity = account_id(a.key)
        overlay.put(account_key(identity), Account(a.key, ACTIVE, a.credits, 0, [0] * LANES, 0))
    for contract in CONTRACTS:
        if contract.genesis is not None:
            contract.genesis(overlay, genesis.accounts)


# --- the file -----------------------------------------------------------------------------------------------------------------


def to_json(genesis: Genesis) -> bytes:
    document = {
        "version": genesis.version,
        "name": genesis.name,
        "time": genesis.time,
        "params": {name: getattr(genesis.params, name) for name in CORE},
        "contracts": {
            BY_NUMBER[s.number].name: dict(zip(OF_CONTRACTS[s.number], s.values, strict=True)) for s in genesis.contracts
        },
        "accounts": [
            {"key": a.key.hex(), "credits": format_credits(a.credits), "validator": a.validator, "verifier": a.verifier}
            for a in genesis.accounts
        ],
        "ca_cert": genesis.ca_cert.decode(),
        "ca_key": genesis.ca_key.decode(),
    }
    if isinstance(genesis, RestartedGenesis):
        document["base"] = base_to_json(genesis.base)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of a name that stands twice readers take the first or the last: they would come to two chain ids."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a name stands twice in an object of the genesis file")
    return found


def _only(found: dict[str, Any], kind: type[Wire]) -> None:
    unknown = set(found) - {f.name for f in msgspec.structs.fields(kind)}
    if unknown:
        raise Malformed(f"unknown fields of the genesis file: {', '.join(sorted(unknown))}")


def _only_params(of: str, found: dict[str, Any], known: Iterable[str]) -> None:
    unknown = set(found) - set(known)
    if unknown:
        raise OtherRules(f"parameters of {of} that this version does not know: {', '.join(sorted(unknown))}")


def _sections(found: dict[str, dict[str, Any]]) -> list[Section]:
    """A contract that the file leaves out has its defaults, as a parameter has that a section leaves out."""
    names = {c.name for c in CONTRACTS}
    if set(found) - names:
        unknown = ", ".join(sorted(set(found) - names))
        raise Malformed(f"the network has contracts that this program does not know: {unknown}. Install them, on every node")
    for c in CONTRACTS:
        _only_params(f"contract {c.name}", found.get(c.name, {}), OF_CONTRACTS[c.number])
    return make_params(**{name: value for section in found.values() for name, value in section.items()})[1]


def _account(found: dict[str, Any]) -> GenesisAccount:
    _only(found, GenesisAccount)
    if len(found["key"]) != KEY_DIGITS:
        raise Malformed(f"a key of the genesis file has {KEY_DIGITS} characters of hex")
    return GenesisAccount(bytes.fromhex(found["key"]), parse_credits(found["credits"]), found["validator"], found["verifier"])


def from_json(raw: bytes) -> Genesis:
    """LC-BLK-16, 40. Raises `Malformed` naming the field that is wrong."""
    if len(raw) > MAX_GENESIS_BYTES:
        raise Malformed(f"a genesis file has at most {MAX_GENESIS_BYTES} bytes")
    try:
        document: dict[str, Any] = json.loads(raw.decode(), object_pairs_hook=_object)
        kind = RestartedGenesis if "base" in document else Genesis
        _only(document, kind)
        _only_params("the ledger", document["params"], CORE)
        accounts = [_account(a) for a in document["accounts"]]
        genesis = kind(
            document["version"],
            document["name"],
            document["time"],
            Params(**document["params"]),
            accounts,
            document["ca_cert"].encode(),
            document["ca_key"].encode(),
            _sections(document.get("contracts", {})),
            **({"base": base_from_json(document["base"])} if kind is RestartedGenesis else {}),
        )
        checked = msgspec.msgpack.decode(encode(genesis), type=kind)
    except OtherRules:
        raise
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as e:
        raise Malformed(f"not a genesis file: {type(e).__name__} {e}") from None
    check_genesis(checked)
    check_deadlines(checked.params)
    return checked
