"""What the content tests share: files with known bytes, a second importer, a driver for the exchange machine in virtual time."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Iterator
from pathlib import Path

from learningchain.chain.codec import encode
from learningchain.p2p.content.cid import Cid, Codec, cid_of, from_bytes, names
from learningchain.p2p.content.dag import CHUNK, Assembly, Builder
from learningchain.p2p.content.events import (
    BlockStored,
    CloseDownload,
    Complete,
    Completed,
    DownloadFailed,
    DownloadFinished,
    DownloadOpened,
    DownloadProgress,
    EndMove,
    Fetch,
    Input,
    MessageReceived,
    Open,
    OpenMove,
    PeerConnected,
    PeerDisconnected,
    PenalizePeer,
    SendMessage,
    Served,
    StoreLeaf,
    StoreNode,
    TakeLeaves,
    TimerTick,
)
from learningchain.p2p.content.exchange import Exchange
from learningchain.p2p.content.messages import (
    ContentBlock,
    DontHave,
    Has,
    HasBulk,
    Later,
    Message,
    WantBlocks,
    WhoHas,
    decode_message,
)
from learningchain.p2p.content.serving import Serve
from learningchain.p2p.content.store import ContentStore


def pieces(size: int) -> Iterator[bytes]:
    """Chunk i is SHA-256 of i (8 bytes, big-endian), repeated: every chunk differs, any language can make it."""
    index = 0
    while size > 0:
        yield (hashlib.sha256(index.to_bytes(8, "big")).digest() * 8192)[:size]
        size, index = size - CHUNK, index + 1


def pattern(size: int) -> bytes:
    return b"".join(pieces(size))


def root_of(data: bytes) -> tuple[Cid, dict[Cid, bytes]]:
    """The root and every block of a file."""
    blocks: dict[Cid, bytes] = {}
    builder = Builder(blocks.__setitem__)
    for at in range(0, len(data), CHUNK):
        builder.feed(data[at : at + CHUNK])
    root = builder.finish()
    for at in range(0, max(len(data), 1), CHUNK):
        leaf = data[at : at + CHUNK]
        blocks[cid_of(Codec.RAW, leaf)] = leaf
    return root, blocks


def kill(store: ContentStore) -> None:
    """What the kernel does at the end of a process, and nothing more."""
    try:
        os.close(store._owner)
    except OSError:
        return
    store._index._db.close()


def flip(path: Path, at: int) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(mode)


# --- a second importer, written from the dag-pb and UnixFS specifications, level by level ---------------------------------------


def _varint(n: int) -> bytes:
    head, low = divmod(n, 128)
    return bytes([low]) if not head else bytes([low | 128]) + _varint(head)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def reference_root(data: bytes, chunk: int = CHUNK, width: int = 174) -> bytes:
    """The binary CID of a file's root."""

    def name(codec: int, block: bytes) -> bytes:
        return bytes([1, codec, 18, 32]) + hashlib.sha256(block).digest()

    parts = [data[i : i + chunk] for i in range(0, len(data), chunk)] or [b""]
    level = [(name(0x55, part), len(part), len(part)) for part in parts]  # name, bytes of file, bytes of all blocks
    while len(level) > 1:
        above = []
        for i in range(0, len(level), width):
            group = level[i : i + width]
            unixfs = _field(1, 2) + _field(3, sum(g[1] for g in group)) + b"".join(_field(4, g[1]) for g in group)
            links = b"".join(_field(2, _field(1, g[0]) + _field(2, b"") + _field(3, g[2])) for g in group)
            block = links + _field(1, unixfs)
            above.append((name(0x70, block), sum(g[1] for g in group), len(block) + sum(g[2] for g in group)))
        level = above
    return level[0][0]


# --- the machine in virtual time --------------------------------------------------------------------------------------------------


class World:
    """One fetching machine, scripted peers, a disk in memory, a clock that jumps from event to event."""

    def __init__(self, *, moves: bool = False) -> None:
        self.now = 0
        self.machine = Exchange(lambda peer, root: False, moves=moves)
        self.ordered: list[OpenMove | TakeLeaves | EndMove] = []
        self.peers: dict[bytes, ScriptedPeer] = {}
        self.disk: dict[Cid, bytes] = {}
        self.files: dict[Cid, bytearray] = {}
        self.written = 0
        self.penalized: list[bytes] = []
        self.progress: list[DownloadProgress] = []
        self.ended: dict[Cid, DownloadFinished | DownloadFailed] = {}
        self.released: list[Cid] = []
        self.busiest = 0
        self._due: list[tuple[int, int, Input]] = []
        self._count = 0

    def at(self, when: int, given: Input) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, given))

    def connect(self, peer: ScriptedPeer) -> None:
        self.peers[peer.name] = peer
        self.feed(PeerConnected(peer.name))

    def disconnect(self, name: bytes) -> None:
        del self.peers[name]
        self.feed(PeerDisconnected(name))

    def fetch(self, root: Cid, max_size: int = 10**9, deadline: int = 600_000) -> None:
        self.feed(Fetch(root, max_size, self.now + deadline))

    def feed(self, given: Input) -> None:
        for effect in self.machine.handle(self.now, given):
            self._run(effect)

    def run(self, root: Cid, until: int = 1_000_000) -> DownloadFinished | DownloadFailed:
        """Events and ticks until `root` ended."""
        while root not in self.ended:
            self.step()
            assert self.now < until, "the session never ends"
        return self.ended[root]

    def step(self) -> None:
        tick = self.now + 250
        if self._due and self._due[0][0] <= tick:
            when, _, given = heapq.heappop(self._due)
            self.now = max(self.now, when)
            if not isinstance(given, MessageReceived) or given.peer in self.peers:
                self.feed(given)
        else:
            self.now = tick
            self.feed(TimerTick())

    def _run(self, effect: object) -> None:
        match effect:
            case SendMessage():
                peer = self.peers.get(effect.peer)
                if peer is not None:
                    peer.on(self, decode_message(effect.payload))
            case Open():
                tree = Assembly(effect.root, 10**9)
                good: list[tuple[Cid, bytes]] = []
                todo = list(tree.wanted)
                while todo:
                    cid = todo.pop(0)
                    if cid in self.disk:
                        good.append((cid, self.disk[cid]))
                        todo += [c for c in tree.add_node(cid, self.disk[cid]) if not c.raw]
                held = frozenset(leaf for leaf in tree.leaves if leaf in self.disk)
                self.at(self.now + 1, DownloadOpened(effect.root, False, tuple(good), held))
            case StoreNode():
                assert names(effect.cid, effect.block)
                self.disk[effect.cid] = effect.block
                self.at(self.now + 1, BlockStored(effect.root, effect.cid))
            case StoreLeaf():
                assert names(effect.cid, effect.data)
                self.disk[effect.cid] = effect.data
                self.written += 1
                if effect.root not in self.files:
                    self.files[effect.root] = bytearray(effect.size)
                file = self.files[effect.root]
                for offset in effect.offsets:
                    file[offset : offset + len(effect.data)] = effect.data
                self.at(self.now + 1, BlockStored(effect.root, effect.cid))
            case Complete():
                self.at(self.now + 1, Completed(effect.root))
            case CloseDownload():
                self.released.append(effect.root)
            case DownloadProgress():
                self.progress.append(effect)
            case DownloadFinished() | DownloadFailed():
                self.ended[effect.root] = effect
            case PenalizePeer():
                self.penalized.append(effect.peer)
            case Serve():
                self.at(self.now + 1, Served(effect.peer))
            case OpenMove() | TakeLeaves() | EndMove():
                self.ordered.append(effect)


class ScriptedPeer:
    """A peer that holds blocks and answers after `delay` ms each, one after the other; `lies` sends other bytes, `mute` nothing."""

    def __init__(self, name: bytes, blocks: dict[Cid, bytes], *, delay: int = 5, lies: bool = False, mute: bool = False) -> None:
        self.name, self.blocks, self.delay, self.lies, self.mute = name, blocks, delay, lies, mute
        self.port = 0
        """Of its data connections."""
        self.later_s = 0
        """With this it answers every question: it sends no more for so long."""
        self.asked: list[Cid] = []
        self.waiting = 0
        self.most_waiting = 0
        self._free_at = 0

    def on(self, world: World, message: Message) -> None:
        root = from_bytes(message.root)
        match message:
            case WhoHas() | WantBlocks() if self.later_s:
                self._answer(world, Later(message.root, self.later_s))
            case WhoHas():
                if root in self.blocks:
                    self._answer(world, HasBulk(message.root, self.port, bytes(32)) if self.port else Has(message.root))
            case WantBlocks():
                for raw in message.blocks:
                    self._serve(world, message.root, from_bytes(raw))

    def _serve(self, world: World, root: bytes, cid: Cid) -> None:
        self.asked.append(cid)
        if self.mute:
            return
        if cid not in self.blocks:
            self._answer(world, DontHave(root))
            return
        data = self.blocks[cid]
        if self.lies:
            data = bytes([data[0] ^ 1]) + data[1:]
        self._answer(world, ContentBlock(root, cid.to_bytes(), data))

    def _answer(self, world: World, message: Message) -> None:
        self._free_at = max(self._free_at, world.now) + self.delay
        world.at(self._free_at, MessageReceived(self.name, encode(message)))
