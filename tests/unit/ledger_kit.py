"""A chain of blocks for the ledger's tests: names for identities, signed transactions, blocks applied and committed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import IntEnum
from functools import reduce
from operator import or_
from typing import Any

import msgspec
import pytest

from learningchain.chain import contracts
from learningchain.chain.codec import encode
from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.host import Account, Contract, Host, MessageSpec, Power, account_key, split_due
from learningchain.chain.ledger.due import PREFIX as DUE
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.ledger.transition import (
    BlockInput,
    Executed,
    More,
    apply_block,
    beacon_commitment,
    beacon_secret,
    chain_record,
    commit,
    due_reveal,
    validators_of,
)
from learningchain.chain.ledger.tx import ParsedTx, parse_tx, sign_tx, signed_with
from learningchain.chain.types import Receipt, TxBody, net_of
from tests.network import NetworkParams
from tests.network import genesis as network_genesis

VALIDATORS = ("v1", "v2", "v3", "v4")
GRANT = 1_000_000


def key_of(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(b"ledger " + name.encode()).digest())


def id_of(name: str) -> bytes:
    return account_id(key_of(name).public)


def genesis_of(*members: str, validators: tuple[str, ...] = VALIDATORS, grant: int = GRANT, **params: int) -> Genesis:
    accounts = [GenesisAccount(key_of(n).public, grant, n in validators, n in validators) for n in (*validators, *members)]
    return network_genesis("ledger", 1_000_000, NetworkParams(**params), accounts)


class Chain:
    """Blocks one second apart, each by the next validator; sequences are counted here, per name and lane."""

    def __init__(self, genesis: Genesis | None = None) -> None:
        self.genesis = genesis or genesis_of("alice", "bob")
        self.state: State = first_state(self.genesis)[0]
        self.chain_id = self.genesis.chain_id
        self.sequences: dict[tuple[str, int], int] = {}
        self.last: Executed | None = None

    # reading

    @property
    def height(self) -> int:
        return chain_record(self.state).height

    @property
    def clock(self) -> int:
        return chain_record(self.state).clock

    @property
    def beacon(self) -> bytes:
        return chain_record(self.state).beacon

    def deadlines(self) -> list[tuple[bytes, int, int, bytes]]:
        """(account, time, contract, ref) of all that are set for a time, whosever they are."""
        return sorted(split_due(key) for key, _ in self.state.items() if key.startswith(DUE))

    def put(self, key: bytes, record: Any) -> None:
        """The state holds this from here on, whatever the rules would make of it."""
        overlay = Overlay(self.state)
        overlay.put(key, record)
        changes, _, tree = overlay.finish()
        self.state.commit(changes, tree)

    def account(self, name: str) -> Account:
        found = self.state.get(account_key(id_of(name)))
        assert isinstance(found, Account)
        return found

    # writing

    def tx(self, name: str, *ops: Any, lane: int = 0, signer: str | None = None, **changed: Any) -> ParsedTx:
        """The next transaction of a name; `changed` are fields of the body."""
        if "sequence" not in changed:
            changed["sequence"] = self.sequences.get((name, lane), 0)
            self.sequences[name, lane] = changed["sequence"] + 1
        fields: dict[str, Any] = {
            "net": net_of(self.chain_id),
            "sender": id_of(name),
            "lane": lane,
            "valid_until": self.height + 10,
        } | changed
        body = TxBody(ops=[msgspec.Raw(encode(op)) for op in ops], **fields)
        return parse_tx(sign_tx(key_of(signer or name), self.chain_id, body))

    def input(self, *txs: ParsedTx, step: int = 1_000, proposer: bytes | None = None, **changed: Any) -> BlockInput:
        record = chain_record(self.state)
        height = record.height + 1
        validators = validators_of(self.state)
        who = proposer or validators[height % len(validators)].id
        secret = hashlib.sha256(b"beacon" + who).digest()
        fields: dict[str, Any] = {
            "height": height,
            "time": record.time + step,
            "proposer": who,
            "reveal": due_reveal(self.state, who, secret),
            "commitment": beacon_commitment(beacon_secret(secret, self.chain_id, height)),
            "txs": list(txs),
        }
        return BlockInput(**(fields | changed))

    def try_(self, *txs: ParsedTx, building: bool = False, more: More | None = None, **changed: Any) -> Executed:
        return apply_block(self.state, self.input(*txs, **changed), building=building, more=more)

    def block(self, *txs: ParsedTx, building: bool = False, **changed: Any) -> list[Receipt]:
        """Apply and commit; the receipts, the block's own first."""
        self.last = self.try_(*txs, building=building, **changed)
        commit(self.state, self.last)
        return self.last.receipts

    def codes(self, *txs: ParsedTx, **changed: Any) -> list[int]:
        return [r.code for r in self.block(*txs, **changed)[1:]]


# --- a contract for tests -----------------------------------------------------------------------------------------------------


class Act(msgspec.Struct, frozen=True, array_like=True, tag=900, forbid_unknown_fields=True):
    """Run the function named `what` of the test's contract."""

    what: str


class Nothing(IntEnum):
    """No codes of its own."""


Handler = Callable[[Host, bytes, Act], None]
NUMBER = 28


def own_contract(
    monkeypatch: pytest.MonkeyPatch,
    acts: dict[str, Handler],
    on_due: Callable[[Host, bytes, int], None] | None = None,
    powers: frozenset[Power] = frozenset(Power),
) -> None:
    """A contract of the test's own, known to the ledger while the test runs."""

    def run(host: Host, sender: bytes, m: Act) -> None:
        acts[m.what](host, sender, m)

    made = Contract("test", NUMBER, {Act: MessageSpec(run)}, Nothing, {}, on_due, powers=powers)
    monkeypatch.setitem(contracts.MESSAGES, Act, (made, made.messages[Act]))
    monkeypatch.setitem(contracts.BY_NUMBER, NUMBER, made)
    monkeypatch.setattr("learningchain.chain.ledger.tx._SIGNED", signed_with(reduce(or_, contracts.MESSAGES)))
