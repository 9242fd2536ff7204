"""Flood a machine with the messages of the channel CONTENT, as many as the link takes: questions for files that are here and that
are nowhere, wants of all their blocks, claims to have what is fetched and what is not, and to have it no more.

Nothing of that is refused, so it costs its sender nothing. `Hurls` sends blocks that nobody asked for besides, and pays.
"""

from __future__ import annotations

from learningchain.chain.codec import encode
from learningchain.p2p.content.cid import Cid, Codec
from learningchain.p2p.content.messages import MAX_WANTS, ContentBlock, DontHave, Has, HasBulk, Later, WantBlocks, WhoHas
from tests.sim.content import Graph, Peer

EVERY_S = 0.02
AT_ONCE = 50
"""2,500 messages in a second: what a connection may send."""
LASTS_S = 5.0


class Floods(Peer):
    name = "floods"
    kinds = 4

    def __init__(self, world: Graph, index: int) -> None:
        super().__init__(world, index)
        self.rng = world.rng

    def on_peer(self, peer: int, up: bool) -> None:
        if up:
            self.world.loop.call_later(EVERY_S, self._flood, peer)

    def on_message(self, peer: int, payload: bytes) -> None:
        """It reads what comes and forgets it."""
        self.world.counts[f"{self.name}: got bytes"] += len(payload)

    def _flood(self, peer: int) -> None:
        if frozenset((peer, self.index)) not in self.world.net.epoch or self.world.loop.now > LASTS_S:
            return
        for _ in range(AT_ONCE):
            message = self._message()
            if not self.send(peer, encode(message)):
                break
            self.world.counts[f"{self.name}: sent {type(message).__name__}"] += 1
        self.world.loop.call_later(EVERY_S, self._flood, peer)

    def _message(self) -> WhoHas | Has | HasBulk | DontHave | Later | WantBlocks | ContentBlock:
        r = self.rng
        root = r.choice([*sorted(self.world.blocks), Cid(Codec.RAW, r.randbytes(32))])
        cids = [cid.to_bytes() for cid in sorted(self.world.blocks.get(root, {root: b""}))]
        match r.randrange(self.kinds):
            case 0:
                return WhoHas(root.to_bytes())
            case 1:
                bulk = HasBulk(root.to_bytes(), r.randint(1, 65_535), r.randbytes(32))
                later = Later(root.to_bytes(), r.randint(1, 86_400))
                answers: list[Has | HasBulk | DontHave | Later] = [Has(root.to_bytes()), bulk, DontHave(root.to_bytes()), later]
                return r.choice(answers)
            case 2 | 3:
                return WantBlocks(root.to_bytes(), (cids * MAX_WANTS)[:MAX_WANTS])
        return ContentBlock(root.to_bytes(), r.choice(cids), r.randbytes(5_000))


class Hurls(Floods):
    name = "hurls"
    kinds = 5


FLOODERS: dict[str, type[Floods]] = {kind.name: kind for kind in (Floods, Hurls)}
