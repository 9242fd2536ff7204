"""Transactions that wait for a block. Pure and bounded.

Within one lane of one account transactions stand in the order of their sequences; `_ready` holds those whose turn can come, in
the order of arrival; the others wait for a predecessor. A transaction's signature is checked once, on entry.

LC-NODE-15 says what is taken, LC-NODE-16 in which order, LC-NODE-19 what leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from chain.contracts.base import account_key
from chain.errors import InvalidTx, TxCode
from chain.ledger.state import State
from chain.ledger.tx import ParsedTx, check_sender, find_sender, parse_tx
from chain.node.messages import SHORT
from chain.params import LANES, MAX_VALID_FOR, Params
from chain.types import tx_id

MAX_TXS = 50_000
MAX_BYTES = 64_000_000
MAX_PER_LANE = 8_192
MAX_GONE = 16_384
"""Ids kept of transactions that left, in a block or without one: a peer's late copy is dropped unread."""

Lane = tuple[bytes, int]


class Mempool:
    def __init__(self, chain_id: bytes, params: Params) -> None:
        self._chain_id, self._params = chain_id, params
        self._all: dict[bytes, ParsedTx] = {}
        self._short: dict[bytes, ParsedTx] = {}
        self._lanes: dict[Lane, dict[int, ParsedTx]] = {}
        self._ready: dict[bytes, ParsedTx] = {}
        self._urgent: dict[bytes, ParsedTx] = {}
        """The urgent ones among `_ready`: found without looking through a full pool."""
        self._bytes = 0
        self._gone: dict[bytes, None] = {}
        self._own: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, tx: object) -> bool:
        return tx in self._all

    @property
    def size(self) -> int:
        """Bytes of all waiting transactions."""
        return self._bytes

    @property
    def own(self) -> int:
        """How many of those that wait came from this node's own users."""
        return len(self._own)

    @property
    def waiting(self) -> bool:
        """Whether something could go into a block now."""
        return bool(self._ready)

    def get(self, tx: bytes) -> ParsedTx | None:
        return self._all.get(tx)

    def by_short(self, short: bytes) -> ParsedTx | None:
        return self._short.get(short)

    def next_sequence(self, state: State, sender: bytes, lane: int) -> int:
        """The first sequence that is neither used nor taken by a waiting transaction."""
        taken, sequence = self._lanes.get((sender, lane), {}), _expected(state, sender, lane)
        while sequence in taken:
            sequence += 1
        return sequence

    def oldest(self, count: int) -> list[bytes]:
        """Short ids of those that wait longest."""
        return [tx[:SHORT] for tx in islice(self._all, count)]

    def add(self, state: State, raw: bytes, height: int, *, local: bool) -> ParsedTx | None:
        """Take a transaction for a block at `height` or later; None when it is known.

        Raises `InvalidTx` saying why not. One that left without a block is taken again only from a `local` submitter.
        """
        if len(self._all) >= MAX_TXS or self._bytes + len(raw) > MAX_BYTES:
            raise InvalidTx(TxCode.MEMPOOL_FULL, "too many transactions wait here; try again later")
        key = tx_id(raw)
        if key in self._all or (not local and key in self._gone):
            return None
        tx = parse_tx(raw, key)
        self._insert(tx, self._check(state, tx, height))
        self._gone.pop(key, None)
        if local:
            self._own.add(key)
        return tx

    def _check(self, state: State, tx: ParsedTx, height: int) -> int:
        """The next sequence of its lane. The signature comes last: a node that lags gets much whose sequence is used by now."""
        account = find_sender(state, self._chain_id, tx)
        body = tx.body
        if not height <= body.valid_until <= height + MAX_VALID_FOR:
            late = body.valid_until < height
            code = TxCode.EXPIRED if late else TxCode.TOO_FAR_AHEAD
            raise InvalidTx(code, f"valid_until is {body.valid_until}, the next block is {height}, at most {MAX_VALID_FOR} ahead")
        expected = account.sequences[body.lane]
        if body.sequence < expected:
            raise InvalidTx(TxCode.SEQUENCE_USED, f"sequence {body.sequence} of lane {body.lane} was used, next is {expected}")
        if body.sequence >= expected + MAX_PER_LANE:
            raise InvalidTx(TxCode.SEQUENCE_GAP, f"sequence {body.sequence} of lane {body.lane} is far ahead of {expected}")
        if body.sequence in self._lanes.get((body.sender, body.lane), ()):
            raise InvalidTx(TxCode.SEQUENCE_USED, f"another transaction with sequence {body.sequence} waits already")
        check_sender(self._chain_id, tx, account)
        return expected

    def _insert(self, tx: ParsedTx, expected: int) -> None:
        body, sequence = tx.body, tx.body.sequence
        lane = self._lanes.setdefault((body.sender, body.lane), {})
        self._all[tx.id] = tx
        self._short[tx.id[:SHORT]] = tx
        self._bytes += len(tx.raw)
        lane[sequence] = tx
        if sequence == expected or ((previous := lane.get(sequence - 1)) is not None and previous.id in self._ready):
            self._promote(lane, sequence)

    def _promote(self, lane: dict[int, ParsedTx], sequence: int) -> None:
        while (tx := lane.get(sequence)) is not None:
            self._ready[tx.id] = tx
            if tx.urgent:
                self._urgent[tx.id] = tx
            sequence += 1

    def _demote(self, tx: bytes) -> bool:
        self._urgent.pop(tx, None)
        return self._ready.pop(tx, None) is not None

    def select(self, state: State, size: int) -> list[ParsedTx]:
        """For a block of `size` bytes.

        At most half of these, of the number and of the work goes to transactions without a deadline; urgent ones may take all.
        """
        room, count, most = size, self._params.block_txs, self._params.block_work
        taken: dict[Lane, int] = {}
        used: dict[bytes, int] = {}
        urgent = self._take(state, self._urgent.values(), (room, count, most), taken, used)
        room -= sum(len(t.raw) for t in urgent)
        work = most - sum(t.work for t in urgent)
        rest = (t for t in self._ready.values() if not t.urgent)
        limits = (min(room, size // 2), min(count - len(urgent), max(1, count // 2)), min(work, most // 2))
        return urgent + self._take(state, rest, limits, taken, used)

    def _take(
        self, state: State, txs: Iterable[ParsedTx], limits: tuple[int, int, int], taken: dict[Lane, int], used: dict[bytes, int]
    ) -> list[ParsedTx]:
        """`limits` are bytes, number and work; the first transaction may be more work than all."""
        room, count, work = limits
        chosen: list[ParsedTx] = []
        for tx in txs:
            if len(chosen) >= count or len(tx.raw) + 5 > room or (chosen and tx.work > work):
                break
            body = tx.body
            lane = (body.sender, body.lane)
            expected = taken.get(lane)
            if expected is None:
                expected = _expected(state, body.sender, body.lane)
            if body.sequence != expected or used.get(body.sender, 0) >= self._params.quota:
                continue
            taken[lane] = expected + 1
            used[body.sender] = used.get(body.sender, 0) + 1
            room -= len(tx.raw) + 5
            work -= tx.work
            chosen.append(tx)
        return chosen

    def remove(self, tx: bytes) -> None:
        """Forget one that cannot stand in a block; its successors wait again."""
        gone = self._drop(tx)
        if gone is not None:
            self._note_gone([tx])
            lane = self._lanes.get((gone.body.sender, gone.body.lane), {})
            sequence = gone.body.sequence + 1
            while (follower := lane.get(sequence)) is not None and self._demote(follower.id):
                sequence += 1

    def _drop(self, tx: bytes) -> ParsedTx | None:
        gone = self._all.pop(tx, None)
        if gone is None:
            return None
        self._demote(tx)
        self._own.discard(tx)
        if self._short.get(tx[:SHORT]) is gone:
            del self._short[tx[:SHORT]]
        self._bytes -= len(gone.raw)
        key = (gone.body.sender, gone.body.lane)
        lane = self._lanes[key]
        del lane[gone.body.sequence]
        if not lane:
            del self._lanes[key]
        return gone

    def decided(
        self, state: State, txs: list[ParsedTx], height: int, accounts: Iterable[bytes] = ()
    ) -> list[tuple[bytes, InvalidTx]]:
        """A block was decided: its transactions leave, and so does what can no longer stand in any block.

        `accounts` may have used sequences in it by transactions that are not among `txs`. Returns the others that were dropped,
        with the reason.
        """
        lanes: dict[Lane, None] = {(account, lane): None for account in accounts for lane in range(LANES)}
        for tx in txs:
            lanes[(tx.body.sender, tx.body.lane)] = None
            self._drop(tx.id)
        self._note_gone([tx.id for tx in txs])
        dropped = [d for key in lanes for d in self._refresh(state, key)]
        # Expiry is looked at now and then: an expired one is never selected into a block that would be valid.
        if height % 16 == 0:
            for tx in [t for t in self._all.values() if t.body.valid_until <= height]:
                dropped.append((tx.id, InvalidTx(TxCode.EXPIRED, f"valid until block {tx.body.valid_until}, now at {height}")))
                self.remove(tx.id)
        self._note_gone([key for key, _ in dropped])
        return dropped

    def _note_gone(self, txs: list[bytes]) -> None:
        self._gone.update(dict.fromkeys(txs))
        for key in list(islice(self._gone, max(0, len(self._gone) - MAX_GONE))):
            del self._gone[key]

    def _refresh(self, state: State, key: Lane) -> list[tuple[bytes, InvalidTx]]:
        lane = self._lanes.get(key)
        if not lane:
            return []
        expected = _expected(state, *key)
        stale = [tx for sequence, tx in lane.items() if sequence < expected]
        for tx in stale:
            self._drop(tx.id)
        if key in self._lanes and expected in lane and lane[expected].id not in self._ready:
            self._promote(lane, expected)
        return [(tx.id, InvalidTx(TxCode.SEQUENCE_USED, "another transaction used this sequence")) for tx in stale]


def _expected(state: State, sender: bytes, lane: int) -> int:
    account: Any = state.get(account_key(sender))
    return account.sequences[lane] if account else 0
