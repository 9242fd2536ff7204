"""Targets: a whole node and a whole content exchange that get messages one after the other, each behind its length.

The first byte of a message chooses the peer (its low bits) and whether time passes before it (its top bit).
"""

from __future__ import annotations

from typing import Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignProposal, SignVote
from learningchain.chain.ledger.state_diff import changes_of
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.types import PRECOMMIT, PREVOTE, block_id
from learningchain.p2p.content import messages as content
from learningchain.p2p.content.events import MessageReceived, PenalizePeer
from learningchain.p2p.content.events import SendMessage as ContentSend
from learningchain.p2p.content.events import TimerTick as ContentTick
from tests.fuzz.of_chain import join, split
from tests.fuzz.targets import Target, check
from tests.unit import node_kit as kit
from tests.unit.content_kit import ScriptedPeer, World, root_of

MAX_SENT = 8_000_000
"""Bytes that a dozen messages may call forth."""


class _Driven:
    """A node whose timers fire when the input says so, and whose signatures are given at once."""

    def __init__(self) -> None:
        self.node, self.now, self.sent = kit.fresh(trusting=1), kit.T0, 0
        self.timers: list[Any] = [e.Tick()]

    def feed(self, event: e.Input) -> None:
        self.run(self.node.handle(event, self.now))

    def run(self, effects: list[e.Effect]) -> None:
        for effect in effects:
            match effect:
                case e.SetTimer(timer):
                    self.timers.append(timer)
                case e.SignRequest(SignVote() as r):
                    self.feed(e.SignedMessage(kit.vote(0, r.type, r.height, r.round, r.block_id)))
                case e.SignRequest(SignProposal() as r):
                    self.feed(e.SignedMessage(kit.propose(0, r.height, r.round, r.block_id, r.pol_round)))
                case e.Send() | e.Gossip():
                    self.sent += len(effect.payload)

    def time_passes(self) -> None:
        self.now += 400
        due, self.timers = self.timers, []
        for timer in due:
            self.feed(e.Fired(timer))


def node_inbox(data: bytes) -> None:
    driven = _Driven()
    for piece in split(data)[:12]:
        choice = piece[0] if piece else 0
        if choice & 0x80:
            driven.time_passes()
        driven.feed(e.Received(kit.ident(1 + choice % 3), piece[1:]))
        driven.run(driven.node.flush(driven.now))
    check(not driven.node.faults, f"a fault of its own: {list(driven.node.faults)[:1]}")
    check(driven.sent <= MAX_SENT, f"{driven.sent} bytes in answer")


_ROOT, _BLOCKS = root_of(b"x" * 300_000)


def content_inbox(data: bytes) -> None:
    """Three peers talk to an exchange that fetches one file."""
    world, sent = World(), 0
    names = [bytes([i]) * 20 for i in range(3)]
    for name in names:
        world.connect(ScriptedPeer(name, {}, mute=True))
    world.fetch(_ROOT)
    for piece in split(data)[:12]:
        world.step()
        if piece[:1] and piece[0] & 0x80:
            world.now += 1_000
            world.feed(ContentTick())
        for effect in world.machine.handle(world.now, MessageReceived(names[(piece[0] if piece else 0) % 3], piece[1:])):
            check(not isinstance(effect, PenalizePeer) or effect.peer in names, "nobody's fault")
            sent += len(effect.payload) if isinstance(effect, ContentSend) else 0
            world._run(effect)
    check(sent <= 100_000, f"{sent} bytes in answer")


# --- examples -------------------------------------------------------------------------------------------------------------------


def node_conversations() -> list[bytes]:
    tx, other = kit.transfer(1, 0), kit.transfer(2, 0)
    nobody = b"\5" * 32
    votes = [m.VoteMessage(kit.vote(i, type_, 1, 0, nobody)) for type_ in (PREVOTE, PRECOMMIT) for i in (1, 2, 3)]
    talk: list[list[Any]] = [
        [m.Txs([tx, other]), m.TxIds([bytes(8)]), m.GetTxs([bytes(8)])],
        [*votes],
        [m.Status(5, 1), m.GetBlocks(1, 64), m.Blocks([]), m.Status(2**40, 1)],
        [m.GetBlock(1, nobody, []), m.BlockTxs(nobody, [0], [tx]), m.Links([kit.ident(1), kit.ident(2)])],
        _proposed(),
        _decided(),
        _told(),
    ]
    return [join([bytes([0x80 | i]) + encode(message) for i, message in enumerate(part)]) for part in talk]


def _proposed() -> list[Any]:
    """What the proposer of height 1 says of a block, as far as can be said without executing it."""
    from tests.fuzz.examples import first_header

    header = msgspec.structs.replace(first_header(), chain_id=kit.CHAIN, height=1, round=0, proposer=kit.ident(1), time=kit.T0 + 50)
    key = block_id(header)
    said = [m.CompactProposal(kit.propose(i, 1, 0, key), header, []) for i in range(4)]
    body = m.FullBlock(encode([header, []]))
    return [*said, body, *(m.VoteMessage(kit.vote(i, PREVOTE, 1, 0, key)) for i in range(4))]


def _decided() -> list[Any]:
    """Two blocks that four other nodes decided, as an answer to who is behind."""
    blocks = [m.SyncBlock(c.block, m.decode_certificate(c.certificate)) for c in _two_heights()]
    return [m.Status(2, 1), m.Blocks(blocks), m.CertificateMessage(blocks[0].certificate), m.FullBlock(blocks[0].block)]


def _told() -> list[Any]:
    """The same with what they did."""
    certified = [(c, m.decode_certificate(c.certificate)) for c in _two_heights()]
    told = [m.ExecutedBlock(c.block, certificate, c.receipts, changes_of(c.state)) for c, certificate in certified]
    return [m.GetExecutedBlocks(1, 2), m.Status(2, 1), m.ExecutedBlocks(told)]


def _two_heights() -> list[e.Commit]:
    net = kit.Net(observers=0)
    net.submit(1, kit.transfer(1, 0))
    net.reach(1)
    net.submit(2, kit.transfer(2, 0))
    net.reach(2)
    assert net.genesis.chain_id == kit.CHAIN
    return [net.commits[1][height] for height in (1, 2)]


def content_conversations() -> list[bytes]:
    root = _ROOT.to_bytes()
    blocks = [content.ContentBlock(root, cid.to_bytes(), block) for cid, block in _BLOCKS.items() if len(block) < 60_000]
    talk: list[list[Any]] = [
        [content.Has(root), *blocks, content.DontHave(root), content.Later(root, 60)],
        [content.WhoHas(root), content.WantBlocks(root, [cid.to_bytes() for cid in _BLOCKS])],
    ]
    return [join([bytes([0x80 | i]) + encode(message) for i, message in enumerate(part)]) for part in talk]


EXAMPLES = {"node-inbox": node_conversations, "content-inbox": content_conversations}
TARGETS = {
    "node-inbox": Target(node_inbox, (), 8_192),
    "content-inbox": Target(content_inbox, (), 65_535),
}
