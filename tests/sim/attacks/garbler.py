"""Sends broken bytes among the good ones: too long, cut, with something behind, in another encoding, flipped, invented; and
messages of the right form that mean nothing."""

from __future__ import annotations

from functools import cache

from learningchain.chain.codec import encode
from learningchain.chain.node import messages as m
from learningchain.chain.params import MAX_PEER_MESSAGE
from learningchain.chain.types import Certificate
from tests.sim.attacks.base import Byzantine

REFUSED = ("oversized", "too many", "truncated", "trailing", "another encoding")
"""Whoever gets one of these must refuse it and say why, whatever the message is."""


@cache
def oversized() -> bytes:
    """One of the size is enough for all."""
    return b"\x93\x0b\xc6" + bytes(MAX_PEER_MESSAGE)


class Garbler(Byzantine):
    name = "garbler"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        r = self.whim
        if r.random() < 0.75:
            return [payload]
        kind = r.choice([*REFUSED[1:], "flipped", "junk", "nonsense", "nonsense"])
        if kind == "junk" and r.random() < 0.03:
            kind = "oversized"
        self.did(kind)
        return [payload, self._spoilt(kind, payload)]

    def _spoilt(self, kind: str, payload: bytes) -> bytes:
        r = self.whim
        at = r.randrange(len(payload))
        match kind:
            case "oversized":
                return oversized()
            case "too many":
                return encode([2, [r.randbytes(8)] * (m.MAX_BATCH + 1)])
            case "truncated":
                return payload[:at]
            case "trailing":
                return payload + r.randbytes(r.randint(1, 9))
            case "another encoding":  # the same message, its array with a longer head
                return b"\xdc\x00" + bytes((payload[0] & 15,)) + payload[1:]
            case "flipped":
                return payload[:at] + bytes((payload[at] ^ 1 << r.randrange(8),)) + payload[at + 1 :]
            case "junk":
                return r.randbytes(r.randint(0, 90))
        return self._nonsense()

    def _nonsense(self) -> bytes:
        r = self.whim
        height = r.choice([0, self.node.height, self.node.height + 1, self.node.height + 2, 2**48])
        kinds: list[m.Message] = [
            m.GetBlock(height, r.randbytes(32), [5, 5, 5]),
            m.BlockTxs(r.randbytes(32), [0], [b"x"]),
            m.FullBlock(r.randbytes(60)),
            m.GetBlocks(height, 64),
            m.Blocks([m.SyncBlock(r.randbytes(40), Certificate(height, 0, r.randbytes(32), [0], [r.randbytes(64)]))]),
            m.CertificateMessage(Certificate(height, 0, r.randbytes(32), [0, 1, 2], [r.randbytes(64)] * 3)),
            m.TxIds([r.randbytes(8) for _ in range(m.MAX_BATCH)]),
            m.Txs([r.randbytes(30)]),
            m.Links([r.randbytes(20) for _ in range(5)]),
        ]
        return encode(r.choice(kinds))
