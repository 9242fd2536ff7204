"""Plays: blocks, one after the other, each with what the node's own executor makes of it.

A play begins with records that all plays of a file share, but for those that it changes. `Script` signs, makes blocks, and lets
time pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import (
    BlockInput,
    apply_block,
    beacon_commitment,
    beacon_secret,
    chain_record,
    commit,
    due_reveal,
    validators_of,
)
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.merkle import list_root
from learningchain.chain.types import Block, Header, SignedTx, TxBody, block_id, net_of, tx_digest, tx_id, validators_hash
from tests.vectors.kit import id_of, key_of
from tests.vectors.records import packed


@dataclass
class Script:
    start: ClassVar[Any]
    """(chain id, encoded records) that all plays of a file begin with."""
    name: str
    rule: str
    records: dict[bytes, Any] = field(default_factory=dict)
    after: Self | None = None
    """A play that it goes on from, with other records."""
    parent: bytes = b""
    header: Header | None = None
    """Of the last block."""
    sequences: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chain_id, base = type(self).start()
        self.chain_id = chain_id
        self.parent = chain_id
        if self.after is not None:
            self.parent, self.sequences = self.after.parent, dict(self.after.sequences)
            self.records = self.after.left() | self.records
        self.first = self.parent
        self.changed = {key: None if record is None else encode(record) for key, record in sorted(self.records.items())}
        merged = {key: raw for key, raw in {**base, **self.changed}.items() if raw is not None}
        self.state = State.load(list(merged.items()))
        self.blocks: list[dict[str, Any]] = []
        self.last = b""
        """The transaction that was made last."""

    def told(self) -> dict[str, Any]:
        changed = {key.hex(): None if raw is None else raw.hex() for key, raw in self.changed.items()}
        return {"name": self.name, "rule": self.rule, "with": changed, "parent": self.first.hex(), "blocks": self.blocks}

    def left(self) -> dict[bytes, Any]:
        """Records that are not what every play begins with."""
        base, now = type(self).start()[1], dict(self.state.items())
        return {key: self.state.get(key) for key in {**base, **now} if base.get(key) != now.get(key)}

    # blocks

    @property
    def clock(self) -> int:
        return chain_record(self.state).clock

    def tx(self, sender: str, *ops: Any) -> bytes:
        sequence = self.sequences.get(sender, 0)
        self.sequences[sender] = sequence + 1
        messages = [msgspec.Raw(encode(op)) for op in ops]
        height = chain_record(self.state).height + 1
        body = TxBody(net_of(self.chain_id), id_of(sender), 0, sequence, height + 5, messages)
        self.last = encode(SignedTx(body, key_of(sender).sign(tx_digest(self.chain_id, encode(body)))))
        return self.last

    def block(self, *txs: bytes, step: int = 100) -> list[int]:
        """The codes of its transactions. The proposer of the height makes it."""
        record, validators = chain_record(self.state), validators_of(self.state)
        height = record.height + 1
        proposer = validators[height % len(validators)].id
        secret = hashlib.sha256(b"vector beacon " + proposer).digest()
        reveal = due_reveal(self.state, proposer, secret)
        commitment = beacon_commitment(beacon_secret(secret, self.chain_id, height))
        given = BlockInput(height, record.time + step, proposer, reveal, commitment, [parse_tx(raw) for raw in txs])
        done = apply_block(self.state, given)
        roots = (list_root([tx_id(raw) for raw in txs]), done.receipt_root, done.state_root)
        sets = (validators_hash(validators), validators_hash(done.next_validators))
        header = Header(1, self.chain_id, height, 0, proposer, given.time, self.parent, *roots, *sets, reveal, commitment)
        commit(self.state, done)
        self.header, self.parent = header, block_id(header)
        codes = [int(receipt.code) for receipt in done.receipts[1:]]
        receipts = [encode(receipt).hex() for receipt in done.receipts]
        changes = {key.hex(): "" if raw is None else hashlib.sha256(raw).hexdigest()[:8] for key, raw in done.encoded}
        block = {"block": packed(encode(Block(header, list(txs)))), "codes": codes, "receipts": receipts, "changes": changes}
        self.blocks.append(block | {"state_root": done.state_root.hex()})
        return codes

    def do(self, sender: str, *ops: Any, step: int = 100) -> None:
        """One transaction in a block of its own, which has to be taken."""
        codes = self.block(self.tx(sender, *ops), step=step)
        if codes != [0]:
            raise AssertionError(f"{self.name}: {sender} was refused with {codes}")

    def refuse(self, code: int, sender: str, op: Any) -> None:
        self.refuse_all([(code, sender, op)])

    def refuse_all(self, rows: Iterable[tuple[int, str, Any]]) -> None:
        """In one block."""
        given = list(rows)
        codes = self.block(*(self.tx(sender, op) for _, sender, op in given))
        if codes != [code for code, _, _ in given]:
            raise AssertionError(f"{self.name}: {codes} instead of {[code for code, _, _ in given]}")

    def wait(self, ms: int) -> None:
        """One block after the other until so much of the chain clock has passed."""
        end = self.clock + ms
        while self.clock < end:
            self.block(step=min(60_000, end - self.clock))
