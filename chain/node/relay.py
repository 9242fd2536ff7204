"""How transactions travel: towards the validators. Everybody else gets them in decided blocks.

They are pushed in full, at once, by the node that took them from a user, and by nodes through which they come in from outside the
validators. A validator announces what another one pushed to those that did not get it from there: with the node's tick, and only
what no block holds by then. An announced transaction is asked for only after GRACE. Pure and bounded. LC-NODE-17, 18.
"""

from __future__ import annotations

from collections.abc import Callable

from learningchain.chain.codec import encode
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.ledger.state import State
from learningchain.chain.node.events import TRANSACTIONS, Send
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.messages import MAX_BATCH, SHORT, GetTxs, TxIds, Txs

GRACE = 60
"""Milliseconds."""
_FAULTY = (TxCode.MALFORMED, TxCode.FOREIGN_NETWORK, TxCode.BAD_SIGNATURE)
MAX_ANNOUNCED = 16_384
MAX_OF_PEER = 4_096
"""Announcements of one peer that wait for their push: nobody takes the room of the others, nor do several together."""
MAX_ANSWER = 4
"""Messages of about BATCH_BYTES that answer one request; the rest has to be asked for again."""
BATCH_BYTES = 1_000_000


class Relay:
    def __init__(self) -> None:
        self._own: list[bytes] = []
        self._others: dict[bytes, list[bytes]] = {}
        """Ids of what validators pushed since the last announcement, by validator."""
        self._announced: dict[bytes, tuple[bytes, int]] = {}
        self._of_peer: dict[bytes, dict[bytes, None]] = {}
        """The announcements of each peer, the newest last."""
        self._old: frozenset[bytes] = frozenset()
        """Short ids of those that waited longest at the last reminder."""

    def took(self, tx: bytes, raw: bytes, source: bytes | None) -> None:
        """A transaction entered the mempool: from who sends it to the validators itself, or else (`source` None) to be pushed."""
        if source is None:
            self._own.append(raw)
        else:
            self._others.setdefault(source, []).append(tx)
        self._pop(tx[:SHORT])

    def take(
        self, txs: list[bytes], source: bytes | None, pool: Mempool, state: State, height: int
    ) -> tuple[InvalidTx | None, int]:
        """A peer's transactions enter the mempool; what it should not have sent ends its message and is returned. Besides, how many
        were refused."""
        refused = 0
        for raw in txs:
            try:
                tx = pool.add(state, raw, height, local=False)
            except InvalidTx as fault:
                refused += 1
                if fault.code in _FAULTY:
                    return fault, refused
                continue
            if tx is not None:
                self.took(tx.id, raw, source)
        return None, refused

    def _pop(self, short: bytes) -> None:
        gone = self._announced.pop(short, None)
        if gone is not None:
            peer, _ = gone
            del self._of_peer[peer][short]
            if not self._of_peer[peer]:
                del self._of_peer[peer]

    def heard(self, ids: list[bytes], peer: bytes, pool: Mempool, now: int) -> None:
        for short in ids:
            if short not in self._announced and pool.by_short(short) is None and not pool.left(short):
                if not self._make_room(len(self._of_peer.get(peer, ()))):
                    return
                self._announced[short] = (peer, now + GRACE)
                self._of_peer.setdefault(peer, {})[short] = None

    def _make_room(self, held: int) -> bool:
        """For one more of a peer that has so many: where all room is taken, who has most loses its newest one."""
        if held >= MAX_OF_PEER:
            return False
        if len(self._announced) >= MAX_ANNOUNCED:
            most = max(self._of_peer.values(), key=len)
            if len(most) <= held + 1:
                return False
            self._pop(next(reversed(most)))
        return True

    @property
    def waiting(self) -> int:
        """Announcements whose transaction is not here."""
        return len(self._announced)

    def answer(self, ids: list[bytes], peer: bytes, pool: Mempool) -> list[Send]:
        """What we hold of the ids that a peer asks for."""
        held = [tx.raw for tx in map(pool.by_short, dict.fromkeys(ids)) if tx is not None]
        return [Send(peer, encode(Txs(batch)), TRANSACTIONS) for batch in batches(held)[:MAX_ANSWER]]

    def flush(self) -> list[Txs]:
        """What to push now."""
        out = [Txs(batch) for batch in batches(self._own)]
        self._own = []
        return out

    def announce(self, pool: Mempool, not_reached: Callable[[bytes], list[bytes]]) -> list[Send]:
        """Short ids of what validators pushed and still waits for a block, for the peers that did not get them from there."""
        out = []
        for source, txs in self._others.items():
            peers = not_reached(source)
            ids = [tx[:SHORT] for tx in txs if tx in pool] if peers else []
            for i in range(0, len(ids), MAX_BATCH):
                message = encode(TxIds(ids[i : i + MAX_BATCH]))
                out += [Send(peer, message, TRANSACTIONS) for peer in peers]
        self._others = {}
        return out

    def late(self, pool: Mempool) -> list[bytes]:
        """Of those that wait longest what did so at the last call: under load all others are on their way."""
        oldest = pool.oldest(MAX_BATCH)
        late = [short for short in oldest if short in self._old]
        self._old = frozenset(oldest)
        return late

    def ask(self, pool: Mempool, now: int) -> list[Send]:
        """Requests for what was announced and did not come by itself; each is made once."""
        due: dict[bytes, list[bytes]] = {}
        for short, (peer, at) in list(self._announced.items()):
            if at <= now:
                self._pop(short)
                if pool.by_short(short) is None:
                    due.setdefault(peer, []).append(short)
        return [
            Send(peer, encode(GetTxs(ids[i : i + MAX_BATCH])), TRANSACTIONS)
            for peer, ids in due.items()
            for i in range(0, len(ids), MAX_BATCH)
        ]


def batches(raws: list[bytes]) -> list[list[bytes]]:
    """Cut into messages of at most MAX_BATCH transactions and about BATCH_BYTES."""
    out: list[list[bytes]] = []
    size = 0
    for raw in raws:
        if not out or len(out[-1]) >= MAX_BATCH or size + len(raw) > BATCH_BYTES:
            out.append([])
            size = 0
        out[-1].append(raw)
        size += len(raw)
    return out
