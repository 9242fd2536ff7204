"""Genesis: what a network starts with, its file, its chain id, its first state.

The chain id is the hash of the canonical genesis, so two networks that differ in anything have different ids. The file is JSON for
people: keys in hex, credits as decimal text, parameters by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chain.bandwidth import MICRO, SECOND
from chain.codec import Wire, decode, encode
from chain.contracts import BY_NUMBER, CONTRACTS, MESSAGES
from chain.crypto import account_id, is_public_key
from chain.errors import Malformed
from chain.host import (
    ACTIVE,
    DUE_WORK,
    K_CHAIN,
    K_HISTORY,
    K_PARAMS,
    K_SUPPLY,
    K_VALIDATORS,
    Account,
    ChainRecord,
    History,
    Supply,
    Validators,
    account_key,
    params_key,
)
from chain.host import GenesisAccount as GenesisAccount
from chain.ledger.listings import MAX_RECORD
from chain.ledger.state import Overlay, State
from chain.params import (
    LANES,
    MAX_BLOCK_BYTES,
    MAX_BLOCK_TXS,
    MAX_INT,
    MAX_OPS,
    MAX_TX_BYTES,
    MAX_VALIDATORS,
    PROTOCOL_VERSION,
    ContractParams,
    Params,
)
from chain.tags import Tag
from chain.types import Uint, Validator, format_credits, parse_credits

_GENESIS, _BEACON = Tag("lc/genesis", "chain id"), Tag("lc/beacon", "first beacon")
MAX_GENESIS_BYTES = 16_000_000
"""A file of MAX_ACCOUNTS accounts has 11.4 million."""
MAX_ACCOUNTS = 65_536
"""As many as the state's tree has buckets, and as many verifiers as one draw looks through: see docs/adr/0012."""
KEY_DIGITS = 66
"""Of a key in the file: readers of hex let spaces pass, so its length is compared."""
MIN_BLOCK_BYTES = 2 * (MAX_TX_BYTES + 5)
"""Half of a block is kept for messages with a deadline: the largest transaction has to fit into the other half."""
MIN_BLOCK_WORK = 2 * MAX_OPS * max(spec.work for _, spec in MESSAGES.values())
"""Half of a block's work is kept for messages with a deadline: any transaction has to fit into the other half."""
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
    extra = f.type.__metadata__[0].extra
    return str(extra["span"]) if extra else ""


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
    accounts: Annotated[list[GenesisAccount], Meta(min_length=1, max_length=MAX_ACCOUNTS)]
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


def all_params(genesis: Genesis) -> dict[str, int]:
    """Every parameter of a network, by name."""
    found = {name: getattr(genesis.params, name) for name in CORE}
    for section in genesis.contracts:
        found |= zip(OF_CONTRACTS[section.number], section.values, strict=True)
    return found


def check_genesis(genesis: Genesis) -> None:
    """LC-BLK-9. Raises `Malformed` naming what a network cannot start with."""
    keys = [a.key for a in genesis.accounts]
    if genesis.version != PROTOCOL_VERSION:
        raise Malformed(f"genesis of protocol version {genesis.version}, this program speaks {PROTOCOL_VERSION}")
    if any(not is_public_key(k) for k in keys):
        raise Malformed("an account's key is not a compressed secp256k1 public key")
    if len(set(keys)) != len(keys):
        raise Malformed("a key stands twice among the accounts")
    if not 1 <= sum(a.validator for a in genesis.accounts) <= MAX_VALIDATORS:
        raise Malformed(f"a network has 1 to {MAX_VALIDATORS} validators")
    if sum(a.credits for a in genesis.accounts) > MAX_INT:
        raise Malformed("the grants exceed the largest supply")
    if [s.number for s in genesis.contracts] != [*OF_CONTRACTS]:
        theirs = ", ".join(str(s.number) for s in genesis.contracts)
        raise Malformed(f"the network has the contracts {theirs}, this program {', '.join(map(str, OF_CONTRACTS))}")
    p = genesis.params
    if not MIN_BLOCK_BYTES <= p.block_bytes <= MAX_BLOCK_BYTES or p.block_txs > MAX_BLOCK_TXS:
        raise Malformed(f"a block has {MIN_BLOCK_BYTES} to {MAX_BLOCK_BYTES} bytes and at most {MAX_BLOCK_TXS} transactions")
    if p.block_work < MIN_BLOCK_WORK:
        raise Malformed(
            f"block_work is {p.block_work}, at least {MIN_BLOCK_WORK} is needed: any transaction has to fit into half a block"
        )
    if p.bandwidth_base * p.bandwidth_window * MICRO < MAX_TX_BYTES * SECOND:
        least = -(-MAX_TX_BYTES * SECOND // (p.bandwidth_window * MICRO))
        raise Malformed(
            f"bandwidth_base is {p.bandwidth_base}, at least {least} is needed: a window must earn anybody the largest transaction"
        )
    if genesis.time > MAX_TIME:
        raise Malformed(f"time is {genesis.time}, at most {MAX_TIME} allowed")
    _check_spans(p, CORE)
    for section in genesis.contracts:
        params = section_params(section)
        if params is not None:
            _check_spans(params, OF_CONTRACTS[section.number])
            params.check()


def _check_spans(params: Wire, fields: dict[str, msgspec.structs.FieldInfo]) -> None:
    for name, f in fields.items():
        if span_unit(f) and getattr(params, name) > MAX_TIME:
            raise Malformed(f"{name} is {getattr(params, name)}, at most {MAX_TIME} allowed")


def first_state(genesis: Genesis) -> tuple[State, list[tuple[bytes, bytes | None]]]:
    """LC-BLK-9: the state before block 1, and its encoded records. Raises `Malformed`."""
    check_genesis(genesis)
    state = State()
    overlay = Overlay(state)
    chain_id = genesis.chain_id
    overlay.put(K_CHAIN, ChainRecord(chain_id, 0, genesis.time, genesis.time, _BEACON.hash(chain_id)))
    overlay.put(K_PARAMS, genesis.params)
    for section in genesis.contracts:
        params = section_params(section)
        if params is not None:
            overlay.put(params_key(section.number), params)
    overlay.put(K_SUPPLY, Supply(sum(a.credits for a in genesis.accounts), 0))
    record = Validators(1, genesis.validators)
    overlay.put(K_VALIDATORS, record)
    overlay.put(K_HISTORY, History([record]))
    for a in genesis.accounts:
        identity = account_id(a.key)
        overlay.put(account_key(identity), Account(a.key, ACTIVE, a.credits, 0, [0] * LANES, 0))
    for contract in CONTRACTS:
        if contract.genesis is not None:
            contract.genesis(overlay, genesis.accounts)
    changes, encoded, tree = overlay.finish()
    state.commit(changes, tree)
    return state, encoded


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
        raise Malformed(f"unknown parameters of {of}: {', '.join(sorted(unknown))}")


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
    """LC-BLK-16. Raises `Malformed` naming the field that is wrong."""
    if len(raw) > MAX_GENESIS_BYTES:
        raise Malformed(f"a genesis file has at most {MAX_GENESIS_BYTES} bytes")
    try:
        document: dict[str, Any] = json.loads(raw.decode(), object_pairs_hook=_object)
        _only(document, Genesis)
        _only_params("the ledger", document["params"], CORE)
        accounts = [_account(a) for a in document["accounts"]]
        genesis = Genesis(
            document["version"],
            document["name"],
            document["time"],
            Params(**document["params"]),
            accounts,
            document["ca_cert"].encode(),
            document["ca_key"].encode(),
            _sections(document.get("contracts", {})),
        )
        checked = msgspec.msgpack.decode(encode(genesis), type=Genesis)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as e:
        raise Malformed(f"not a genesis file: {type(e).__name__} {e}") from None
    check_genesis(checked)
    if checked.params.max_due * DUE_WORK < checked.params.block_work:
        least = -(-checked.params.block_work // DUE_WORK)
        raise Malformed(
            f"max_due is {checked.params.max_due}: a block of this work can set {least} deadlines, and they would pile up"
        )
    if checked.params.max_due_work < checked.params.max_due:
        most = checked.params.max_due
        raise Malformed(
            f"max_due_work is {checked.params.max_due_work}: the {most} deadlines of max_due are of work {most} at least"
        )
    return checked
