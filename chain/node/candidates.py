"""Undecided blocks of the current height: put together from compact proposals, built, checked, kept until the height is decided.

A candidate's transactions come from the mempool where they are known and from peers otherwise. Whether a block is right does not
depend on who sent it: its bytes hash to its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from learningchain.chain.codec import encode
from learningchain.chain.errors import InvalidBlock, InvalidTx
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import (
    BeaconKey,
    BlockInput,
    Executed,
    More,
    apply_block,
    beacon_commitment,
    beacon_secret,
    chain_record,
    due_reveal,
    params_of,
    validators_of,
    version_of,
)
from learningchain.chain.ledger.tx import ParsedTx, parse_tx
from learningchain.chain.merkle import list_root
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.messages import SHORT
from learningchain.chain.params import Params
from learningchain.chain.types import Block, Header, block_id, proposer_of, tx_id, validators_hash

MAX_DELAY_ROUNDS = 6
MAX_CANDIDATES = 16
"""Blocks kept per height; honest proposers need one per round, and old rounds' unlocked blocks go first."""


@dataclass
class Candidate:
    """A block on its way. `slots` are its transactions, None where one is missing."""

    header: Header
    slots: list[bytes | None]
    arrived: int
    source: bytes | None
    executed: Executed | None = None
    fault: str = ""
    logged: bool = False
    complete: bool = False
    """The slots are the header's transactions: their root was compared."""
    asked: int = 0
    """How often peers were asked for what is missing."""
    asked_of: set[bytes] = field(default_factory=set)
    stated: list[bytes] = field(default_factory=list)
    """The short ids of its proposal."""
    raw: bytes = b""
    """The encoding of a complete block, once somebody needed it: log, database and peers get the same bytes."""
    _ids: list[bytes] = field(default_factory=list)

    @property
    def missing(self) -> list[int]:
        return [i for i, raw in enumerate(self.slots) if raw is None]

    @property
    def ids(self) -> list[bytes]:
        """Ids of a complete block's transactions: hashed once for the root, the proposal and the check."""
        if not self._ids:
            self._ids = [tx_id(raw) for raw in self.slots if raw is not None]
        return self._ids

    @property
    def short(self) -> list[bytes]:
        """Short ids of a complete block."""
        return [key[:SHORT] for key in self.ids]

    def block(self) -> Block:
        return Block(self.header, [raw for raw in self.slots if raw is not None])

    def fill(self, places: list[int], txs: list[bytes]) -> bool:
        """Put transactions into empty places; whether the block is complete now."""
        if len(places) != len(txs) or any(i >= len(self.slots) for i in places):
            return False
        for i, raw in zip(places, txs, strict=True):
            if self.slots[i] is None:
                self.slots[i] = raw
        return self.verify_header()

    def look(self, pool: Mempool) -> bool:
        """Fill what the mempool has by now; whether the block is complete."""
        for i in self.missing if len(self.stated) == len(self.slots) else ():
            tx = pool.by_short(self.stated[i])
            self.slots[i] = tx.raw if tx else None
        return self.verify_header()

    def verify_header(self) -> bool:
        """Complete when every slot is filled and the root is the header's. Otherwise everything has to come again: two
        transactions may share a short id, and the list of ids may be wrong."""
        if None not in self.slots:
            self.complete = list_root(self.ids) == self.header.tx_root
            if not self.complete:
                self.slots, self._ids, self.stated = [None] * len(self.slots), [], []
        return self.complete


class Candidates:
    """The blocks of one height, and what came early of the next one."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, Candidate] = {}
        self._height = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: bytes) -> Candidate | None:
        return self._blocks.get(key)

    def clear(self, height: int) -> None:
        """Forget the blocks up to `height`; those of the next one may have come early."""
        self._height = height
        self._blocks = {k: c for k, c in self._blocks.items() if c.header.height > height}

    def put(self, key: bytes, candidate: Candidate, keep: frozenset[bytes]) -> None:
        """Keep a block. Room is made by the early ones first, then by the oldest that is not in `keep`."""
        if len(self._blocks) >= MAX_CANDIDATES:
            free = [k for k in self._blocks if k not in keep] or list(self._blocks)
            early = [k for k in free if self._blocks[k].header.height > self._height + 1]
            del self._blocks[(early or free)[0]]
        self._blocks[key] = candidate

    def open(self, header: Header, short: list[bytes], pool: Mempool, now: int, source: bytes, keep: frozenset[bytes]) -> Candidate:
        """A candidate from a compact proposal, with what the mempool has."""
        found = [pool.by_short(s) for s in short]
        candidate = Candidate(header, [tx.raw if tx else None for tx in found], now, source, stated=short)
        if None not in found:
            candidate._ids = [tx.id for tx in found if tx is not None]
        candidate.verify_header()
        self.put(block_id(header), candidate, keep)
        return candidate


# --- checking -----------------------------------------------------------------------------------------------------------------


def parse_all(raws: list[bytes], ids: list[bytes], pool: Mempool | None) -> list[ParsedTx]:
    """Parsed once per node: what the mempool holds is taken from there, with its signature checked."""
    if pool is None:
        return [parse_tx(raw, key) for key, raw in zip(ids, raws, strict=True)]
    return [pool.get(key) or parse_tx(raw, key) for key, raw in zip(ids, raws, strict=True)]


def check_header(state: State, header: Header, parent_id: bytes) -> None:
    """LC-BLK-11: what a header must say after this state, roots apart. Raises `InvalidBlock`."""
    if header.parent != parent_id:
        raise InvalidBlock("the block has another parent")
    parent, validators = chain_record(state), validators_of(state)
    expected = validators_hash(validators)
    wrong = (
        ("version", header.version != version_of(state)),
        ("chain id", header.chain_id != parent.chain_id),
        ("height", header.height != parent.height + 1),
        ("validator set", header.validators_hash != expected),
    )
    for name, is_wrong in wrong:
        if is_wrong:
            raise InvalidBlock(f"the header's {name} is not the one of this chain")
    if header.proposer != proposer_of(header, validators):
        raise InvalidBlock("its proposer had no turn in its round")


def is_timely(candidate: Candidate, round_: int, params: Params) -> bool:
    """A fresh proposal's time lies around its arrival here; later rounds leave more room for slow links."""
    header = candidate.header
    delay = params.timeout_propose * 2 ** min(round_, MAX_DELAY_ROUNDS)
    return header.round == round_ and candidate.arrived - params.drift - delay <= header.time <= candidate.arrived + params.drift


def execute(state: State, block: Block, parent: bytes, pool: Mempool | None) -> Executed:
    """Check a block against the state before it, everything but whether its time was right. Raises `InvalidBlock`."""
    ids = [tx_id(raw) for raw in block.txs]
    if list_root(ids) != block.header.tx_root:
        raise InvalidBlock("the transactions are not those of the header")
    return execute_verified(state, block, ids, parent, pool)


def execute_verified(
    state: State, block: Block, ids: list[bytes], parent: bytes, pool: Mempool | None, parsed: list[ParsedTx] | None = None
) -> Executed:
    """`execute` for a block whose transactions, with these ids, are known to be those of its header; `parsed` where they are."""
    header = block.header
    check_header(state, header, parent)
    params = params_of(state)
    if len(block.txs) > params.block_txs or sum(map(len, block.txs)) > params.block_bytes:
        raise InvalidBlock("the block is larger than this network allows")
    try:
        txs = parsed or parse_all(block.txs, ids, pool)
    except InvalidTx as e:
        raise InvalidBlock(e.text) from e
    given = BlockInput(header.height, header.time, header.proposer, header.reveal, header.commitment, txs)
    executed = apply_block(state, given)
    roots = (
        ("receipt root", header.receipt_root, executed.receipt_root),
        ("state root", header.state_root, executed.state_root),
        ("next validator set", header.next_validators_hash, validators_hash(executed.next_validators)),
    )
    for name, stated, found in roots:
        if stated != found:
            raise InvalidBlock(f"the header's {name} is {stated.hex()}, executing gives {found.hex()}")
    return executed


# --- building -----------------------------------------------------------------------------------------------------------------


def build(
    state: State,
    own_id: bytes,
    beacon_key: BeaconKey,
    round_: int,
    parent: bytes,
    now: int,
    txs: list[ParsedTx],
    more: More | None = None,
    old_beacon_keys: Sequence[BeaconKey] = (),
) -> tuple[Candidate, Executed]:
    """A new block on top of the state; what cannot stand in it is in `executed.skipped`. `more`: LC-NODE-60."""
    record = chain_record(state)
    height, time = record.height + 1, max(now, record.time + 1)
    reveal = due_reveal(state, own_id, beacon_key, *old_beacon_keys)
    commitment = beacon_commitment(beacon_secret(beacon_key, record.chain_id, height))
    executed = apply_block(state, BlockInput(height, time, own_id, reveal, commitment, txs), building=True, more=more)
    ids = [tx.id for tx in executed.txs]
    header = Header(
        version_of(state),
        record.chain_id,
        height,
        round_,
        own_id,
        time,
        parent,
        list_root(ids),
        executed.receipt_root,
        executed.state_root,
        validators_hash(validators_of(state)),
        validators_hash(executed.next_validators),
        reveal,
        commitment,
    )
    candidate = Candidate(header, [tx.raw for tx in executed.txs], now, None, executed, complete=True, _ids=ids)
    return candidate, executed


def encoded(candidate: Candidate) -> bytes:
    """Of a complete block."""
    candidate.raw = candidate.raw or encode(candidate.block())
    return candidate.raw
