"""Peers that serve files badly. They hold every block of every file and say so to whoever asks; each does one thing wrong."""

from __future__ import annotations

from contextlib import suppress

from learningchain.chain.codec import encode
from learningchain.chain.errors import Malformed
from learningchain.p2p.content.cid import Cid, from_bytes
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.messages import MAX_WANTS, ContentBlock, DontHave, Has, HasBulk, WantBlocks, WhoHas, decode_message
from tests.sim.content import Graph, Peer


class Liar(Peer):
    """An honest server of its blocks, to begin with."""

    name = ""

    def __init__(self, world: Graph, index: int) -> None:
        super().__init__(world, index)
        self.rng = world.rng

    def did(self, what: str = "lied") -> None:
        self.world.counts[f"attack: {self.name}, {what}"] += 1

    def on_message(self, peer: int, payload: bytes) -> None:
        try:
            message = decode_message(payload)
        except Malformed:  # another liar's
            return
        match message:
            case WhoHas(raw) if from_bytes(raw) in self.world.blocks:
                self.send(peer, encode(Has(raw)))
            case WantBlocks(raw, cids):
                root = from_bytes(raw)
                for cid in cids:
                    self.serve(peer, root, from_bytes(cid), self.world.blocks[root].get(from_bytes(cid), b""))

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.block(peer, root, cid, data)

    def block(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.send(peer, encode(ContentBlock(root.to_bytes(), cid.to_bytes(), data)))


class Flips(Liar):
    """Another byte in each block."""

    name = "flips"

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.did()
        at = self.rng.randrange(len(data)) if data else 0
        self.block(peer, root, cid, data[:at] + bytes(((data[at] if data else 0) ^ 1,)) + data[at + 1 :])


class Truncates(Liar):
    name = "truncates"

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.did()
        self.block(peer, root, cid, data[: self.rng.randrange(len(data))] if data else b"x")


class Turns(Liar):
    """Good until it is trusted, then bad."""

    name = "turns"
    served = 0

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.served += 1
        if self.served % 4 == 3:
            self.did()
            data = bytes(CHUNK)
        self.block(peer, root, cid, data)


class Swaps(Liar):
    """Good blocks of the file, others than were asked for."""

    name = "swaps"

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.did()
        other = self.rng.choice(sorted(self.world.blocks[root]))
        self.block(peer, root, other, self.world.blocks[root][other])


class Repeats(Liar):
    """Everything three times, and at times a block out of the blue."""

    name = "repeats"

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.did()
        for _ in range(3):
            self.block(peer, root, cid, data)


class Mute(Liar):
    """Has everything and never sends it."""

    name = "mute"

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.did()


class Boasts(Liar):
    """Says that it has what it has not, again and again."""

    name = "boasts"

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.did()
        self.send(peer, encode(DontHave(root.to_bytes())))
        self.send(peer, encode(Has(root.to_bytes())))


class Moves(Liar):
    """Offers data connections that bring other bytes, or none, or are none; by messages it is honest."""

    name = "moves"

    def on_message(self, peer: int, payload: bytes) -> None:
        with suppress(Malformed):
            message = decode_message(payload)
            if isinstance(message, WhoHas) and from_bytes(message.root) in self.world.blocks:
                self.send(peer, encode(HasBulk(message.root, 1, self.rng.randbytes(32))))
                return
        super().on_message(peer, payload)

    def read_leaf(self, peer: int, ticket: bytes, at: int, size: int) -> bytes | None:
        self.did()
        return self.rng.choice([self.rng.randbytes(size), b"", None])


class Dawdles(Liar):
    """Answers when nobody waits any more."""

    name = "dawdles"

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        self.did()
        self.world.loop.call_later(self.rng.uniform(4, 15), self.block, peer, root, cid, data)


class Babbles(Liar):
    """Frames that are none, among good ones."""

    name = "babbles"

    def serve(self, peer: int, root: Cid, cid: Cid, data: bytes) -> None:
        r = self.rng
        good = encode(ContentBlock(root.to_bytes(), cid.to_bytes(), data))
        junk = (
            r.randbytes(r.randint(0, 60)),
            good[:-1],
            good + b"\0",
            encode([5, root.to_bytes(), cid.to_bytes(), bytes(CHUNK + 1)]),
        )
        self.did()
        self.send(peer, r.choice(junk))
        self.send(peer, good)


class Grabs(Liar):
    """Wants everything of everybody, without end, also what does not exist; serves well."""

    name = "grabs"

    def on_peer(self, peer: int, up: bool) -> None:
        if up:
            self.world.loop.call_later(0.1, self._grab, peer)

    def _grab(self, peer: int) -> None:
        if frozenset((peer, self.index)) not in self.world.net.epoch:
            return
        for root in sorted(self.world.blocks):
            cids = [cid.to_bytes() for cid in sorted(self.world.blocks[root])]
            wants = [*(cids * MAX_WANTS)[: MAX_WANTS - 1], Cid(root.codec, self.rng.randbytes(32)).to_bytes()]
            self.did()
            self.send(peer, encode(WantBlocks(root.to_bytes(), wants)))
            self.send(peer, encode(WhoHas(Cid(root.codec, self.rng.randbytes(32)).to_bytes())))
        self.world.loop.call_later(self.rng.uniform(0.5, 3), self._grab, peer)


LIARS: dict[str, type[Liar]] = {
    kind.name: kind for kind in (Babbles, Boasts, Dawdles, Flips, Grabs, Moves, Mute, Repeats, Swaps, Truncates, Turns)
}
NAMES = tuple(sorted(LIARS))
