"""A case of `executions.json`: a block on a state, and what the node's own executor makes of it.

The state is that of `start`, with the records that the case names; the block is an honest one of its turn, but for what it names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.errors import InvalidBlock, InvalidTx
from learningchain.chain.host import (
    ACTIVE,
    K_CHAIN,
    K_HISTORY,
    K_VALIDATORS,
    Account,
    History,
    Validators,
)
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.state_diff import changes_of
from learningchain.chain.ledger.transition import (
    BlockInput,
    apply_block,
    beacon_commitment,
    beacon_secret,
    chain_record,
    due_reveal,
    params_of,
    validators_of,
)
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.merkle import list_root
from learningchain.chain.node.candidates import execute
from learningchain.chain.params import Params
from learningchain.chain.types import (
    Block,
    Header,
    SignedTx,
    TxBody,
    Validator,
    net_of,
    tx_digest,
    tx_id,
    validators_hash,
)
from tests.vectors.kit import id_of, key_of
from tests.vectors.records import packed

NAMES = ("v1", "v2", "v3", "v4")
V1, V2, V3, V4, ALICE, BOB, NOBODY = (id_of(name) for name in (*NAMES, "alice", "bob", "nobody"))
WHO = {id_of(name): name for name in (*NAMES, "alice", "bob", "nobody")}
PARENT = hashlib.sha256(b"the block before").digest()
HEIGHT = 40
"""Of the cases' blocks."""
JOB = hashlib.sha256(b"a reference").digest()
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
Records = dict[bytes, Any]


def genesis_of_cases() -> Genesis:
    accounts = [GenesisAccount(key_of(n).public, 1_000_000_000, True, True) for n in NAMES]
    accounts += [GenesisAccount(key_of(n).public, 5_000_000, False, False) for n in ("alice", "bob")]
    return Genesis(1, "executions", 1_700_000_000_000, Params(block_reward=7), accounts, b"", b"")


@cache
def start() -> tuple[bytes, dict[bytes, bytes]]:
    """(chain id, encoded records) of a graph at the height before the cases' blocks: nobody has proposed yet."""
    genesis = genesis_of_cases()
    state, encoded = first_state(genesis)
    records = {key: raw for key, raw in encoded if raw is not None}
    record = chain_record(state)
    records[K_CHAIN] = encode(replace(record, height=HEIGHT - 1, time=record.time + 50_000, clock=record.clock + 50_000))
    return genesis.chain_id, records


def clock() -> int:
    """Of the state before the cases' blocks; their own is 1,000 more."""
    found: Any = State.load(list(start()[1].items())).get(K_CHAIN)
    return int(found.clock)


NEXT = 1_000
"""From the time before a case's block to its own, unless it says otherwise."""


def account(
    name: str, *, status: int = ACTIVE, balance: int = 5_000_000, frozen: int = 0, first: int = 0, arrival: int = 0
) -> Account:
    """`first`: the next sequence of lane 0."""
    return Account(key_of(name).public, status, balance, frozen, [first, 0, 0, 0], arrival)


def tx(sender: str, *ops: Any, sequence: int = 0, lane: int = 0, **changed: Any) -> bytes:
    """A signed transaction; `changed` are other values for its fields, `key` names who signs instead of the sender."""
    chain_id = start()[0]
    key = key_of(changed.pop("key", sender))
    messages = [msgspec.Raw(encode(op)) for op in ops]
    body = replace(TxBody(net_of(chain_id), id_of(sender), lane, sequence, HEIGHT + 10, messages), **changed)
    return encode(SignedTx(body, key.sign(tx_digest(chain_id, encode(body)))))


@dataclass
class Maker:
    """One case: what differs from the state of `start`, from a block at its turn, and from an honest header."""

    name: str
    rule: str
    txs: list[bytes] = field(default_factory=list)
    records: Records = field(default_factory=dict)
    step: int = NEXT
    proposer: bytes | None = None
    reveal: bytes | None = None
    header: dict[str, Any] = field(default_factory=dict)
    """Fields of the header that are given instead of those that are right."""
    round: int = 0
    skip: int = 0
    """Heights that the block leaves out."""
    seen: Records = field(default_factory=dict)
    """Records that the proposer believes in while it executes: its roots are right but for the rule that it breaks."""

    lenient: int = 0
    """The work that the proposer allows itself, where it breaks that bound."""

    def make(self) -> dict[str, Any]:
        chain_id, base = start()
        changed = {key: None if record is None else encode(record) for key, record in sorted(self.records.items())}
        merged = {key: raw for key, raw in {**base, **changed}.items() if raw is not None}
        state = State.load(list(merged.items()))
        block = self._block(state, chain_id)
        shown_ = {
            "name": self.name,
            "rule": self.rule,
            "with": {key.hex(): None if raw is None else raw.hex() for key, raw in changed.items()},
            "parent": PARENT.hex(),
            "block": packed(encode(block)),
        }
        try:
            done = execute(state, block, PARENT, None)
        except InvalidBlock as e:
            code = int(e.__cause__.code) if isinstance(e.__cause__, InvalidTx) else None
            return shown_ | {"refused": True, "code": code}
        return shown_ | {
            "receipts": [raw.hex() for raw in done.receipt_bytes],
            "codes": [int(r.code) for r in done.receipts[1:]],
            "changes": encode(changes_of(done.encoded)).hex(),
            "state_root": done.state_root.hex(),
        }

    def _params(self, state: State) -> Params:
        params = params_of(state)
        return replace(params, block_work=self.lenient) if self.lenient else params

    def _believed(self, state: State) -> State:
        if not self.seen:
            return state
        items = {**start()[1], **{key: encode(record) for key, record in {**self.records, **self.seen}.items()}}
        return State.load(list(items.items()))

    def _block(self, state: State, chain_id: bytes) -> Block:
        record, validators = chain_record(state), validators_of(state)
        height = record.height + 1 + self.skip
        turn = validators[(height + self.round) % len(validators)].id
        proposer = self.proposer or turn
        secret = beacon_key(proposer)
        reveal = due_reveal(state, proposer, secret) if self.reveal is None else self.reveal
        commitment = beacon_commitment(beacon_secret(secret, chain_id, height))
        header = Header(
            1,
            chain_id,
            height,
            self.round,
            proposer,
            record.time + self.step,
            PARENT,
            list_root([tx_id(raw) for raw in self.txs]),
            *(bytes(32), bytes(32)),
            *(validators_hash(validators), validators_hash(validators)),
            reveal,
            commitment,
        )
        try:
            given = BlockInput(header.height, header.time, proposer, reveal, commitment, [parse_tx(raw) for raw in self.txs])
            with patch("learningchain.chain.ledger.transition.params_of", self._params):
                done = apply_block(self._believed(state), given)
        except (InvalidBlock, InvalidTx):
            return Block(replace(header, **self.header), self.txs)
        header = replace(
            header,
            receipt_root=done.receipt_root,
            state_root=done.state_root,
            next_validators_hash=validators_hash(done.next_validators),
        )
        return Block(replace(header, **self.header), self.txs)


def beacon_key(identity: bytes) -> bytes:
    return hashlib.sha256(b"vector beacon " + identity).digest()


def turn(round_: int = 0) -> str:
    """Who proposes the cases' blocks."""
    validators = sorted((V1, V2, V3, V4))
    return WHO[validators[(HEIGHT + round_) % 4]]


def pay_to(target: bytes, amount: int = 1) -> Transfer:
    return Transfer(target, amount, b"")


def only(identity: bytes) -> Records:
    """The set is this one alone."""
    record = Validators(1, [Validator(identity, key_of(WHO[identity]).public)])
    return {K_VALIDATORS: record, K_HISTORY: History([record])}
