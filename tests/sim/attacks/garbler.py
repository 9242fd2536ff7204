"""Sends broken bytes among the good ones: cut, flipped, invented, and messages of the right form that mean nothing."""

from __future__ import annotations

from chain.codec import encode
from chain.node import messages as m
from chain.types import Certificate
from tests.sim.attacks.base import Byzantine


class Garbler(Byzantine):
    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        r = self.whim
        if r.random() < 0.7:
            return [payload]
        at = r.randrange(len(payload))
        flipped = payload[:at] + bytes((payload[at] ^ 1 << r.randrange(8),)) + payload[at + 1 :]
        junk = [r.randbytes(r.randint(0, 90)), payload[:at], flipped, payload + b"\0", self._nonsense()]
        return [payload, r.choice(junk)]

    def _nonsense(self) -> bytes:
        r = self.whim
        height = r.choice([0, self.node.height, self.node.height + 1, self.node.height + 2, 2**48])
        kinds: list[m.Message] = [
            m.GetBlock(height, r.randbytes(32), [5, 5, 5]),
            m.BlockTxs(r.randbytes(32), [0], [b"x"]),
            m.GetBlocks(height, 64),
            m.Blocks([m.SyncBlock(r.randbytes(40), Certificate(height, 0, r.randbytes(32), [0], [r.randbytes(64)]))]),
            m.CertificateMessage(Certificate(height, 0, r.randbytes(32), [0, 1, 2], [r.randbytes(64)] * 3)),
            m.TxIds([r.randbytes(8) for _ in range(m.MAX_BATCH)]),
            m.Txs([r.randbytes(30)]),
        ]
        return encode(r.choice(kinds))
