"""Who is connected with which validators, and so: whom a message still has to be sent to. Pure, bounded.

Everybody tells its peers the validators that it is connected with (LC-NODE-14). What a validator sends to another one itself,
nobody need pass on to it, and who is connected with no validator sees who leads to one. A wrong word costs only its speaker: what
it does not get passed on, it gets with the next resending or reminder.
"""

from __future__ import annotations

from learningchain.chain.codec import encode
from learningchain.chain.node.events import REQUESTS, TRANSACTIONS, Effect, Gossip, Scope, Send
from learningchain.chain.node.messages import Links, Message, Status

WAYS = 2
"""Peers that are used side by side to reach a validator to whom there is no shorter way."""
WAY_TICKS = 10
"""Ticks after which the next such peers are used: some may say what is not so."""
ALL_TURNS = 10
"""Turns in which the height is told to validators and the mesh, before one for everybody."""
NOBODY: frozenset[bytes] = frozenset()


class PeerTopology:
    def __init__(self, own: bytes) -> None:
        self._own = own
        self._peers: set[bytes] = set()
        self._of: dict[bytes, frozenset[bytes]] = {}
        """Of each connected peer that told them."""
        self._announced: list[bytes] = []
        self._turn = self._ticks = 0
        self._bridges = NOBODY
        """Peers outside the set that lead to validators to whom no connected validator leads."""
        self.validators = NOBODY
        """Of the height being decided."""

    @property
    def is_validator(self) -> bool:
        """Whether this node is one of the validators."""
        return self._own in self.validators

    # --- what is known ----------------------------------------------------------------------------------------------------------

    def up(self, peer: bytes) -> Links:
        """What to tell a new peer."""
        self._peers.add(peer)
        return self._now()

    def down(self, peer: bytes) -> None:
        self._peers.discard(peer)
        self._of.pop(peer, None)

    def heard(self, peer: bytes, message: Links) -> None:
        if peer in self._peers:
            self._of[peer] = frozenset(message.validators)

    def _now(self) -> Links:
        return Links(sorted(self._peers & self.validators))

    def changed(self) -> Links | None:
        """At every tick. What to tell everybody: None where it is what they were told before."""
        self._bridges = self._find_bridges()
        self._ticks += 1
        now = self._now()
        if now.validators == self._announced:
            return None
        self._announced = now.validators
        return now

    def _find_bridges(self) -> frozenset[bytes]:
        lost = self.validators - self._peers - {self._own}
        if not lost or not self.is_validator:
            return NOBODY
        lost = lost.difference(*(links for peer, links in self._of.items() if peer in self.validators))
        ways = sorted(peer for peer in self._of if peer not in self.validators)
        able = [[way for way in ways if validator in self._of[way]] for validator in sorted(lost)]
        begin = self._ticks // WAY_TICKS * WAYS
        return frozenset(found[(begin + i) % len(found)] for found in able if found for i in range(WAYS))

    # --- whom to send to --------------------------------------------------------------------------------------------------------

    def reached_by(self, origin: bytes) -> frozenset[bytes]:
        """The validators among the peers that get from `origin` itself what it sends to all."""
        return frozenset(peer for peer, links in self._of.items() if origin in links and peer in self.validators)

    def not_reached_by(self, origin: bytes) -> list[bytes]:
        """The other validators among the peers."""
        return sorted((self._peers & self.validators) - self.reached_by(origin) - {origin})

    def forwards_to_validators(self, peer: bytes) -> bool:
        """Whether `peer` sends what it pushes to the other validators itself. Then this validator does not."""
        return self.is_validator and (peer in self.validators or self.validators <= self._of.get(peer, NOBODY))

    def to_validators(self, payload: bytes, queue: int, known: frozenset[bytes] = NOBODY) -> list[Effect]:
        """A message of the consensus, for all but those who know it (LC-NODE-14)."""
        return [
            Gossip(payload, queue, Scope.CONSENSUS, known),
            *(Send(way, payload, queue) for way in sorted(self._bridges - known)),
        ]

    def news(self, status: Status, told: frozenset[bytes]) -> Gossip:
        """A height was decided: for those who only follow, but for who knows (LC-NODE-22)."""
        return Gossip(encode(status), REQUESTS, Scope.MESH, told)

    def heights(self, status: Status, turn: int) -> list[Effect]:
        """Every second, for those whose turn it is: who missed the news hears of it soon, from one of its peers."""
        payload = encode(status)
        if turn % ALL_TURNS == 0:
            return [Gossip(payload, REQUESTS, Scope.ALL)]
        mesh = Gossip(payload, REQUESTS, Scope.MESH)
        return (
            [mesh]
            if not self.is_validator and self._peers - self.validators
            else [Gossip(payload, REQUESTS, Scope.CONSENSUS), mesh]
        )

    def push(self, message: Message) -> list[Effect]:
        """Transactions, to where they should go (LC-NODE-17)."""
        to, payload = self._entries(), encode(message)
        if isinstance(to, Scope):
            return [Gossip(payload, TRANSACTIONS, to)]
        return [Send(peer, payload, TRANSACTIONS) for peer in to]

    def _entries(self) -> Scope | list[bytes]:
        """All validators, from one of them and from who is connected with all. Otherwise one connected validator, another one each
        time: it sends them to the others. Who is connected with none takes peers that are; if there are none, the mesh.
        """
        others = self.validators - {self._own}
        near = sorted(others & self._peers)
        if len(near) == len(others) or (near and self.is_validator):
            return Scope.CONSENSUS
        ways = near or sorted(peer for peer, links in self._of.items() if not links.isdisjoint(others))
        if not ways:
            return Scope.MESH
        self._turn = (self._turn + 1) % len(ways)
        return (ways[self._turn :] + ways[: self._turn])[: 1 if near else WAYS]
