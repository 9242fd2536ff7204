"""Genesis: what a network starts with, its file, its chain id, its first state.

The chain id is the hash of the canonical genesis, so two networks that differ in anything have different ids. The file is JSON for
people: keys in hex, credits as decimal text, parameters by name.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chain.codec import Wire, encode
from chain.contracts import CONTRACTS, MESSAGES
from chain.crypto import account_id, is_public_key, tagged
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
)
from chain.host import GenesisAccount as GenesisAccount
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
    Params,
)
from chain.types import Uint, Validator, format_credits, parse_credits

MAX_GENESIS_BYTES = 8_000_000
MAX_ACCOUNTS = 65_536
KEY_DIGITS = 66
"""Of a key in the file: readers of hex let spaces pass, so its length is compared."""
MIN_BLOCK_BYTES = 2 * (MAX_TX_BYTES + 5)
"""Half of a block is kept for messages with a deadline: the largest transaction has to fit into the other half."""
MIN_BLOCK_WORK = 2 * MAX_OPS * max(spec.work for _, spec in MESSAGES.values())
"""Half of a block's work is kept for messages with a deadline: any transaction has to fit into the other half."""
MAX_TIME = 2**48
"""Bound on the genesis time and on every span: sums of them stay far below MAX_INT."""
_SPANS = [
    "max_step",
    "job_min_open",
    "job_max_open",
    "job_reveal",
    "job_key",
    "job_vote_base",
    "job_open_votes",
    "appeal",
    "strike_life",
    "heartbeat",
    "drift",
    "timeout_propose",
    "timeout_vote",
    "timeout_step",
    "timeout_max",
    "evidence_age",
]


class Genesis(Wire, frozen=True):
    """`ca_cert` and `ca_key` (PEM) make both sides of a connection send certificates; they protect nothing by themselves."""

    version: Uint
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    time: Uint
    params: Params
    accounts: Annotated[list[GenesisAccount], Meta(min_length=1, max_length=MAX_ACCOUNTS)]
    ca_cert: Annotated[bytes, Meta(max_length=8192)]
    ca_key: Annotated[bytes, Meta(max_length=8192)]

    @property
    def chain_id(self) -> bytes:
        return tagged(b"lc/genesis", encode(self))

    @property
    def validators(self) -> list[Validator]:
        """The first validator set, sorted by id."""
        return sorted((Validator(account_id(a.key), a.key) for a in self.accounts if a.validator), key=lambda v: v.id)


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
    if genesis.params.job_min_open > genesis.params.job_max_open:
        raise Malformed("job_min_open is above job_max_open")
    p = genesis.params
    if not MIN_BLOCK_BYTES <= p.block_bytes <= MAX_BLOCK_BYTES or p.block_txs > MAX_BLOCK_TXS:
        raise Malformed(f"a block has {MIN_BLOCK_BYTES} to {MAX_BLOCK_BYTES} bytes and at most {MAX_BLOCK_TXS} transactions")
    if p.block_work < MIN_BLOCK_WORK:
        raise Malformed(
            f"block_work is {p.block_work}, at least {MIN_BLOCK_WORK} is needed: any transaction has to fit into half a block"
        )
    for name, value in [("time", genesis.time), *((name, getattr(genesis.params, name)) for name in _SPANS)]:
        if value > MAX_TIME:
            raise Malformed(f"{name} is {value}, at most {MAX_TIME} allowed")


def first_state(genesis: Genesis) -> tuple[State, list[tuple[bytes, bytes | None]]]:
    """LC-BLK-9: the state before block 1, and its encoded records. Raises `Malformed`."""
    check_genesis(genesis)
    state = State()
    overlay = Overlay(state)
    chain_id = genesis.chain_id
    overlay.put(K_CHAIN, ChainRecord(chain_id, 0, genesis.time, genesis.time, tagged(b"lc/beacon", chain_id)))
    overlay.put(K_PARAMS, genesis.params)
    overlay.put(K_SUPPLY, Supply(sum(a.credits for a in genesis.accounts), 0))
    record = Validators(1, genesis.validators)
    overlay.put(K_VALIDATORS, record)
    overlay.put(K_HISTORY, History([record]))
    for a in genesis.accounts:
        identity = account_id(a.key)
        overlay.put(account_key(identity), Account(a.key, ACTIVE, a.credits, 0, [0] * LANES))
    for contract in CONTRACTS:
        if contract.genesis is not None:
            contract.genesis(overlay, genesis.accounts)
    changes, encoded, tree = overlay.finish()
    state.commit(changes, tree)
    return state, encoded


# --- the file -----------------------------------------------------------------------------------------------------------------


def to_json(genesis: Genesis) -> bytes:
    names = [f.name for f in msgspec.structs.fields(Params)]
    document = {
        "version": genesis.version,
        "name": genesis.name,
        "time": genesis.time,
        "params": {name: getattr(genesis.params, name) for name in names},
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
        unknown = set(document["params"]) - {f.name for f in msgspec.structs.fields(Params)}
        if unknown:
            raise Malformed(f"unknown parameters: {', '.join(sorted(unknown))}")
        _only(document, Genesis)
        accounts = [_account(a) for a in document["accounts"]]
        genesis = Genesis(
            document["version"],
            document["name"],
            document["time"],
            Params(**document["params"]),
            accounts,
            document["ca_cert"].encode(),
            document["ca_key"].encode(),
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
