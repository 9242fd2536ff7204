"""The simulated network: who is connected with whom, and what becomes of a message.

Every pair of linked machines has a connection that keeps the order of its messages. Until the graph is healed the profile's faults
happen to them: loss, doubles, messages out of order, partitions, links that work in one direction only, links that hold everything
back and deliver it all at once. An identity has one connection to each peer: where two machines use one key, the newer connection
replaces the older, and the machine that lost it tries again after a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from learningchain.chain.node import events as e
from tests.sim.profile import Link

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World


class Network:
    def __init__(self, world: World) -> None:
        self.world = world
        p = world.profile
        self._pairs = self._draw_pairs()
        self._slow = {(a, b): ms for a, b, ms in p.slow}
        self._bad: dict[tuple[int, int], list[Link]] = {}
        for link in p.links:
            self._bad.setdefault((link.source, link.target), []).append(link)
        self.on_the_way: Counter[tuple[int, int]] = Counter()
        """Bytes of answers that left a machine and did not arrive: what waits in a real one's queue, or behind it."""
        self._last: dict[tuple[int, int], int] = {}
        """When the last message of a connection arrives: the next one comes no sooner."""

    def _draw_pairs(self) -> set[tuple[int, int]]:
        n = self.world.profile.machines
        pairs = {(a, b) for a in range(n) for b in range(n) if a != b}
        if self.world.profile.sparse:
            ring = {(i, (i + 1) % n) for i in range(n)} | {(i, (i + n // 2) % n) for i in range(n)}
            pairs = {pair for a, b in ring for pair in ((a, b), (b, a)) if a != b}
        # A second machine with a key knows whom the first one knows.
        origin = {n + i: first for i, first in enumerate(self.world.profile.twins)}
        for second, first in origin.items():
            known = [b for a, b in sorted(pairs) if a == first]
            pairs |= {pair for b in known for pair in ((second, b), (b, second))}
        return pairs

    # --- connections ------------------------------------------------------------------------------------------------------------

    def linked(self, machine: Machine) -> Iterable[Machine]:
        return (m for m in self.world.machines if (machine.index, m.index) in self._pairs)

    def connect(self, machine: Machine) -> None:
        for other in self.linked(machine):
            self._join(machine, other)

    def _join(self, machine: Machine, other: Machine) -> None:
        if not (machine.up and other.up) or other.index in machine.peers:
            return
        for a, b in ((machine, other), (other, machine)):
            rival = a.route.get(b.id)
            if rival is not None:
                self._replace(a, self.world.machines[rival])
        if not (machine.up and other.up):
            return
        for a, b in ((machine, other), (other, machine)):
            a.peers.add(b.index)
            a.route[b.id] = b.index
            self._tell_soon(a, b)

    def _replace(self, machine: Machine, loser: Machine) -> None:
        """`loser` loses its connection to `machine`, to a newer one of the same identity."""
        self.world.faults["connection of a shared key replaced"] += 1
        for a, b in ((machine, loser), (loser, machine)):
            self._forget(a, b)
            self._tell(a, b)
        loser.after(self.world.rng.randint(300, 1_500), partial(self._join, loser, machine))

    def disconnect(self, machine: Machine) -> None:
        for other in self.linked(machine):
            if machine.index in other.peers:
                self._forget(other, machine)
                self._tell_soon(other, machine)
        machine.peers.clear()
        machine.route.clear()

    @staticmethod
    def _forget(machine: Machine, peer: Machine) -> None:
        machine.peers.discard(peer.index)
        machine.route.pop(peer.id, None)

    def _tell_soon(self, machine: Machine, peer: Machine) -> None:
        self.world.later(self.world.rng.randint(1, 20), partial(self._tell, machine, peer))

    @staticmethod
    def _tell(machine: Machine, peer: Machine) -> None:
        """Whether a peer is connected."""
        up = peer.index in machine.peers
        if peer.id in machine.route and not up:
            return  # its other machine has the connection
        machine.feed(e.PeerUp(peer.id) if up else e.PeerDown(peer.id))
        if machine.up:
            for actor in machine.actors:
                actor.on_peer(peer.index, up)

    # --- messages ---------------------------------------------------------------------------------------------------------------

    def carry(self, source: int, target: int, arrived: Callable[[], None], size: int) -> None:
        """What the network makes of a message from one connected machine to another; `size` counts as being on the way."""
        w = self.world
        if target not in w.machines[source].peers:
            return
        pair = (source, target)
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self.on_the_way[pair] -= size

        def arrive() -> None:
            leave()
            arrived()

        self.on_the_way[pair] += size
        delay = 1 + int(w.rng.random() * 2) + (self._slow.get(pair, 0) if self._slow else 0)
        if w.healed:
            self._in_order(pair, delay, arrive)
        elif w.profile.partitions and self._is_cut(source, target):
            leave()
        elif self._bad and (held := self._held_until(pair)) is not None:
            if held < 0:
                leave()
            else:
                w.later(held, arrive)
        elif not self._unreliable(pair, delay, arrive):
            leave()

    def _in_order(self, pair: tuple[int, int], delay: int, arrive: Callable[[], None]) -> None:
        now = self.world.now
        at = max(now + delay, self._last.get(pair, 0))
        self._last[pair] = at
        self.world.later(at - now, arrive)

    def _unreliable(self, pair: tuple[int, int], delay: int, arrive: Callable[[], None]) -> bool:
        """Whether it arrives."""
        w, p = self.world, self.world.profile
        rng, faults = w.rng, w.faults
        delay += int(rng.random() * p.delay)
        if p.loss and rng.random() < p.loss:
            faults["lost"] += 1
            return False
        if p.double and rng.random() < p.double:
            faults["doubled"] += 1
            w.later(delay + int(rng.random() * p.stray), arrive)
        if p.reorder and rng.random() < p.reorder:
            faults["out of order"] += 1
            w.later(delay + int(rng.random() * p.stray), arrive)
        else:
            self._in_order(pair, delay, arrive)
        return True

    def _is_cut(self, source: int, target: int) -> bool:
        w = self.world
        for part in w.profile.partitions:
            if part.blocks(source, target, w.now):
                w.faults["cut by a one-way partition" if part.one_way else "cut by a partition"] += 1
                return True
        return False

    def _held_until(self, pair: tuple[int, int]) -> int | None:
        """The link takes everything and delivers it after so many milliseconds, or takes nothing (-1). None: it is well."""
        w = self.world
        for link in self._bad.get(pair, ()):
            if link.start <= w.now < link.end:
                if link.clogged:
                    w.faults["held by a clogged link"] += 1
                    return link.end - w.now
                w.faults["lost by a one-way link"] += 1
                return -1
        return None
