"""How transactions travel: pushed in full once, by the node that took them from a user, to its mesh; announced by everybody else.

An announced transaction is asked for only after GRACE, for its push is usually on the way. Pure and bounded.
"""

from __future__ import annotations

from chain.codec import encode
from chain.node.events import TRANSACTIONS, Gossip, Scope, Send
from chain.node.mempool import Mempool
from chain.node.messages import MAX_BATCH, SHORT, GetTxs, TxIds, Txs

GRACE = 60
"""Milliseconds."""
MAX_ANNOUNCED = 16_384
BATCH_BYTES = 1_000_000


class Relay:
    def __init__(self) -> None:
        self._own: list[bytes] = []
        self._others: dict[bytes, list[bytes]] = {}
        self._announced: dict[bytes, tuple[bytes, int]] = {}

    def took(self, tx: bytes, raw: bytes, source: bytes | None) -> None:
        """A transaction entered the mempool, from a user (`source` None) or a peer."""
        if source is None:
            self._own.append(raw)
        else:
            self._others.setdefault(source, []).append(tx[:SHORT])
        self._announced.pop(tx[:SHORT], None)

    def heard(self, ids: list[bytes], peer: bytes, pool: Mempool, now: int) -> None:
        for short in ids:
            if len(self._announced) < MAX_ANNOUNCED and pool.by_short(short) is None:
                self._announced.setdefault(short, (peer, now + GRACE))

    def forget(self, tx: bytes) -> None:
        self._announced.pop(tx[:SHORT], None)

    def flush(self) -> list[Gossip]:
        """What to send now: full transactions of our own users, short ids of the others'."""
        out = [Gossip(encode(Txs(batch)), TRANSACTIONS, Scope.PUSH) for batch in batches(self._own)]
        for source, ids in self._others.items():
            for i in range(0, len(ids), MAX_BATCH):
                out.append(Gossip(encode(TxIds(ids[i : i + MAX_BATCH])), TRANSACTIONS, Scope.PUSH, source))
        self._own, self._others = [], {}
        return out

    def ask(self, pool: Mempool, now: int) -> list[Send]:
        """Requests for what was announced and did not come by itself; each is made once."""
        due: dict[bytes, list[bytes]] = {}
        for short, (peer, at) in list(self._announced.items()):
            if at <= now:
                del self._announced[short]
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
