"""Floods its peers with heights and rounds that are far away, with ids of nothing and with questions: all rightly signed, all
useless. Whatever it sends, what its victims keep stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from chain.codec import encode
from chain.node import messages as m
from chain.node.links import LinkBook
from chain.node.node import Node
from chain.params import MAX_VALIDATORS
from chain.types import PRECOMMIT, PREVOTE, Header, Proposal
from tests.sim.attacks.base import Byzantine
from tests.sim.checks import Violation

AT_ONCE = 5
MOST = 500
"""Messages of one flooder in a run: what comes after them is more of the same."""
FAR = (2, 3, 5, 17, 1_000, 2**31 - 10_000)


def kept(node: Node, machines: int) -> list[tuple[str, int, int]]:
    """What a node keeps of its peers' words: (name, how much, at most)."""
    state = node.consensus._state
    links: LinkBook = node._links
    found = [
        ("links", len(links._of), machines),
        ("heights", len(node.sync._heights), machines),
        ("shunned", len(node.sync._shunned), machines),
        ("messages of the next height", len(node.consensus._gate._next), 3 * machines),
        ("announcements", node._relay.waiting, 16_384),
    ]
    if state is not None:
        book = state.book
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
        for victim in self.world.honest:
            for what, size, most in kept(victim.node, len(self.world.machines)) if victim.up else ():
                if size > most:
                    raise Violation(f"n{victim.index} keeps {size} {what}, at most {most} allowed")

    def _useless(self) -> bytes:
        r, height, round_ = self.whim, self.node.height + 1, self.node.consensus.round
        match r.randrange(8):
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
        return encode(m.Links([r.randbytes(20) for _ in range(MAX_VALIDATORS)]))

    def _proposal(self, height: int, round_: int) -> bytes:
        """Rightly signed, of a block that does not exist, in a round that may not be its turn."""
        mine = next(self._blocks(), None)
        if mine is None:
            return self.own_vote(PRECOMMIT, height, round_, b"")
        header = replace(mine, height=height, round=round_, time=mine.time + self.whim.randrange(1_000))
        return self.own_proposal(Proposal(height, round_, -1, bytes(32), self.id, bytes(64)), header, [])

    def _blocks(self) -> Iterator[Header]:
        return (c.header for c in self.node._bodies.blocks._blocks.values())
