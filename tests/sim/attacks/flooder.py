"""Floods its peers with every message there is: heights and rounds that are far away, ids of nothing, answers that nobody wants,
and far more questions than anybody can use. All rightly signed, none refused. Whatever it sends, what its victims keep, read and
send stays bounded, and they penalize nobody."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.ledger.state_diff import StateDiff
from learningchain.chain.node import messages as m
from learningchain.chain.node import service
from learningchain.chain.node.node import Node
from learningchain.chain.node.topology import PeerTopology
from learningchain.chain.params import MAX_VALIDATORS
from learningchain.chain.types import PRECOMMIT, PREVOTE, Header, Proposal
from tests.sim.attacks.base import Byzantine
from tests.sim.checks import Violation

AT_ONCE = 5
MOST = 500
"""Messages of one flooder in a run: what comes after them is more of the same."""
QUESTIONS = 30
"""At once, to one victim after the other."""
MOST_QUESTIONS = 3_000
SENDABLE = {kind.__struct_config__.tag: kind.__name__ for kind in m.Message.__args__}  # type: ignore[attr-defined]
FAR = (2, 3, 5, 17, 1_000, 2**31 - 10_000)


def kept(node: Node, machines: int) -> list[tuple[str, int, int]]:
    """What a node keeps of its peers' words: (name, how much, at most)."""
    state = node.consensus._state
    links: PeerTopology = node._links
    found = [
        ("links", len(links._of), machines),
        ("heights", len(node.sync._heights), machines),
        ("backed off", len(node.sync._backed_off), machines),
        ("messages of the next height", len(node.consensus._validator._next), 3 * machines),
        ("announcements", node._relay.waiting, 16_384),
        ("questions", sum(map(node.service.open, node._peers)), service.MAX_OPEN * machines),
        ("rates", len(node.service._tokens), 4 * machines),
    ]
    if state is not None:
        book = state.votes
        found += [
            ("votes ahead", sum(len(votes) for votes in book._ahead.values()), 2 * machines),
            ("rounds with votes", len(book._rounds), 16 + 2 + 4),
            ("proposals", len(state.proposals), 2),
            ("open checks", len(state.checks._known), 64 + 8),
        ]
    return found


class Flooder(Byzantine):
    name = "flooder"

    def act(self) -> None:
        if self.world.faults[f"attack: {self.name}, flooded"] < MOST:
            for _ in range(AT_ONCE):
                self.did("flooded")
                self.tell_all(self._useless())
        if self.world.faults[f"attack: {self.name}, asked"] < MOST_QUESTIONS and self.peers:
            victim = sorted(self.peers)[self._ticks % len(self.peers)]
            for _ in range(QUESTIONS):
                self.did("asked")
                self.tell(victim, self._question())
        for victim in self.world.honest:
            for what, size, most in kept(victim.node, len(self.world.machines)) if victim.up else ():
                if size > most:
                    raise Violation(f"n{victim.index} keeps {size} {what}, at most {most} allowed")

    def _useless(self) -> bytes:
        r, height, round_ = self.whim, self.node.height + 1, self.node.consensus.round
        match r.randrange(12):
            case 0 | 1:
                block = r.choice([b"", r.randbytes(32)])
                return self.own_vote(r.choice([PREVOTE, PRECOMMIT]), height, round_ + r.choice(FAR), block)
            case 2:
                return self.own_vote(PREVOTE, height + r.choice([1, 1, 2, 2**40]), r.choice([0, 1, *FAR]), r.randbytes(32))
            case 3:
                return self._proposal(height + r.choice([0, 0, 1, 7]), round_ + r.choice([1, *FAR]))
            case 4:
                return encode(m.TxIds([r.randbytes(8) for _ in range(m.MAX_BATCH)]))
            case 5:
                return encode(m.GetTxs([r.randbytes(8) for _ in range(m.MAX_BATCH)]))
            case 6:
                return encode(m.GetBlock(height, r.randbytes(32), list(range(500))))
            case 7:
                return encode(m.StateMessage(self.node.consensus.round_state()))
            case 8:
                return encode(m.Status(r.choice([0, self.node.height]), 1))
            case 9:
                return encode(m.BlockTxs(r.randbytes(32), [0, 1], [r.randbytes(100), r.randbytes(100)]))
            case 10:
                return encode(self._answer())
        return encode(m.Links([r.randbytes(20) for _ in range(MAX_VALIDATORS)]))

    def tell(self, peer: int, payload: bytes) -> None:
        self.did(f"sent {SENDABLE[payload[1]]}")
        super().tell(peer, payload)

    def _waiting(self) -> list[bytes]:
        return self.node.pool.oldest(m.MAX_BATCH)

    def _answer(self) -> m.Message:
        """Well formed, and nobody asked for it."""
        r, last = self.whim, self.node._last
        known = [m.SyncBlock(block, m.decode_certificate(raw)) for block, raw in last]
        answers: list[m.Message] = [
            m.Blocks(known),
            m.ExecutedBlocks([m.ExecutedBlock(item.block, item.certificate, [], StateDiff([], [])) for item in known]),
            m.Snapshot(r.random() < 0.5, []),
            m.ValidatorChanges([]),
            m.Buckets(self.node.height, [7], [r.randbytes(50)]),
            *(m.FullBlock(item.block) for item in known),
            *(m.CertificateMessage(item.certificate) for item in known),
            *(m.Txs([tx.raw]) for tx in map(self.node.pool.by_short, self._waiting()) if tx is not None),
        ]
        return r.choice(answers)

    def _question(self) -> bytes:
        """Each has a good answer, often a large one."""
        r, height = self.whim, self.node.height
        blocks = sorted(self.node._bodies.blocks._blocks)
        questions: list[m.Message] = [
            m.GetBlocks(1, m.MAX_SYNC_BLOCKS),
            m.GetBlocks(max(1, height), 1),
            m.GetExecutedBlocks(1, m.MAX_SYNC_BLOCKS),
            m.GetSnapshot(),
            m.GetValidatorChanges(1),
            m.GetHeaders(max(1, height), m.MAX_HEADERS),
            m.GetBuckets(max(1, height), list(range(m.MAX_BUCKETS))),
            m.GetTxs(self._waiting() or [r.randbytes(8)]),
            *(m.GetBlock(height + 1, key, []) for key in blocks),
        ]
        return encode(r.choice(questions))

    def _proposal(self, height: int, round_: int) -> bytes:
        """Rightly signed, of a block that does not exist, in a round that may not be its turn."""
        mine = next(self._blocks(), None)
        if mine is None:
            return self.own_vote(PRECOMMIT, height, round_, b"")
        header = replace(mine, height=height, round=round_, time=mine.time + self.whim.randrange(1_000))
        return self.own_proposal(Proposal(height, round_, -1, bytes(32), self.id, bytes(64)), header, [])

    def _blocks(self) -> Iterator[Header]:
        return (c.header for c in self.node._bodies.blocks._blocks.values())
