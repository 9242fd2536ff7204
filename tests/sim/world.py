"""A graph of real nodes in virtual time, in one process. One seed is one run: every event goes into one digest.

Until `heal_at` the profile's faults happen; afterwards the network and the machines are well, and the run goes on until everybody
agrees on a chain that holds everything the clients wanted. The checkers look after every step.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from chain.crypto import SigningKey, account_id, sha256
from chain.errors import Malformed
from chain.ledger.genesis import Genesis, GenesisAccount, first_state
from chain.ledger.state import State
from chain.node import events as e
from chain.node.messages import decode_message
from chain.node.node import Node
from p2p.wire import NODE
from tests.sim.checks import EPOCH, Checks, Violation
from tests.sim.machine import Machine, beacon_key
from tests.sim.market import Market
from tests.sim.profile import PARAMS, Profile

PATIENCE = 40_000
"""Milliseconds after healing in which everything must be settled."""
GRANT = 1_000_000_000
TRACE = 4_000


@cache
def _key(index: int) -> SigningKey:
    return SigningKey(sha256(b"machine %d" % index))


@cache
def _genesis(validators: int) -> Genesis:
    accounts = [GenesisAccount(_key(i).public, GRANT, i < validators, True) for i in range(validators + 1)]
    return Genesis(1, "sim", EPOCH, PARAMS, accounts, b"", b"")


class World:
    patience = PATIENCE

    def __init__(self, seed: int, profile: Profile, attacks: Mapping[str, type[Machine]]) -> None:
        self.seed = seed
        self.profile = profile
        self._attacks = attacks
        self.rng = random.Random(seed * 7 + 3)
        self.now = 0
        self.steps = 0
        self.faults: Counter[str] = Counter()
        self.trace: deque[tuple[int, int, str, bytes]] = deque(maxlen=TRACE)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._digest = hashlib.sha256()
        genesis = self.genesis()
        self.params, self.chain_id = genesis.params, genesis.chain_id
        self.genesis_state, self.genesis_items = first_state(genesis)
        self.ids = [account_id(_key(i).public) for i in range(self.profile.machines)]
        self.index_of = {identity: i for i, identity in enumerate(self.ids)}
        self.checks = Checks(self)
        self.machines = [self._machine(i) for i in range(self.profile.machines)]
        self.market = self.clients()
        self._links = self._draw_links()
        self._slow = {(a, b): ms for a, b, ms in self.profile.slow}

    def genesis(self) -> Genesis:
        return _genesis(self.profile.validators)

    def clients(self) -> Market:
        return Market(self)

    def _machine(self, index: int) -> Machine:
        """The last validators are the attackers."""
        p = self.profile
        turn = index - p.validators + len(p.attacks)
        kind = self._attacks[p.attacks[turn]] if 0 <= turn < len(p.attacks) else Machine
        return kind(self, index, _key(index))

    def _draw_links(self) -> set[tuple[int, int]]:
        n = self.profile.machines
        if not self.profile.sparse:
            return {(a, b) for a in range(n) for b in range(n) if a != b}
        pairs = {(i, (i + 1) % n) for i in range(n)} | {(i, (i + n // 2) % n) for i in range(n)}
        return {pair for a, b in pairs for pair in ((a, b), (b, a)) if a != b}

    def new_node(self, machine: Machine, state: State, head: bytes) -> Node:
        return Node(machine.id, beacon_key(machine.index), state, head)

    # --- time -----------------------------------------------------------------------------------------------------------------

    @property
    def healed(self) -> bool:
        return self.now >= self.profile.heal_at

    def later(self, delay: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, action))

    def run(self) -> None:
        """Raises `Violation` where something that must hold does not."""
        late = {machine: when for when, machine in self.profile.joins}
        for machine in self.machines:
            self.later(late.get(machine.index, self.rng.randint(0, 30)), machine.boot)
        for when, index in self.profile.crashes:
            self.later(when, lambda index=index: self._doom(index))  # type: ignore[misc]
        for part in self.profile.partitions:
            self.faults["partition"] += 1
            self.later(part.start, lambda part=part: self.note(-1, f"partition {sorted(part.cut)} {part.one_way}", b""))  # type: ignore[misc]
        self.later(self.profile.heal_at, self._heal)
        self.later(20, self.market.tick)
        self._loop()

    def _loop(self) -> None:
        limit = self.profile.heal_at + self.patience
        queue = self._queue
        while not self._over():
            if not queue or self.now > limit:
                raise Violation(f"no progress after healing: {self.market.unfinished() or self.heights()}")
            for _ in range(32):
                if not queue:
                    break
                self.now, _, action = heapq.heappop(queue)
                self.steps += 1
                action()
        self.checks.final()

    def _over(self) -> bool:
        """Everything the clients wanted is decided, and everybody has it."""
        if not self.healed or self.market.unfinished():
            return False
        return all(m.up for m in self.honest) and len(set(self.heights())) == 1

    def heights(self) -> list[int]:
        return [m.node.height if m.up else -1 for m in self.honest]

    @property
    def honest(self) -> list[Machine]:
        return [m for m in self.machines if m.honest]

    def _doom(self, index: int) -> None:
        for machine in self.machines if index < 0 else [self.machines[index]]:
            if index < 0:
                machine.crash()
            else:
                machine.doom()

    def _heal(self) -> None:
        self.note(-1, "healed", b"")
        for machine in self.machines:
            machine.fuse, machine.disk.cut_at = None, None
            if not machine.up:
                machine.boot()

    def skew(self, index: int) -> int:
        return self.profile.skew[index] if self.profile.skew else 0

    # --- the network ----------------------------------------------------------------------------------------------------------

    def linked(self, machine: Machine) -> Iterable[Machine]:
        return (m for m in self.machines if (machine.index, m.index) in self._links)

    def connect(self, machine: Machine) -> None:
        for other in self.linked(machine):
            if other.up and machine.up:
                for a, b in ((machine, other), (other, machine)):
                    a.peers.add(b.index)
                    self.later(self.rng.randint(1, 20), partial(self._tell, a, b))

    def disconnect(self, machine: Machine) -> None:
        for other in self.linked(machine):
            if machine.index in other.peers:
                other.peers.discard(machine.index)
                self.later(self.rng.randint(1, 20), partial(self._tell, other, machine))
        machine.peers.clear()

    def _tell(self, machine: Machine, peer: Machine) -> None:
        """Whether a peer is connected."""
        up = peer.index in machine.peers
        machine.feed(e.PeerUp(peer.id) if up else e.PeerDown(peer.id))
        if machine.up:
            for actor in machine.actors:
                actor.on_peer(peer.index, up)

    def send(self, source: int, target: int, payload: bytes, channel: int = NODE) -> None:
        self.carry(source, target, lambda: self._deliver(source, target, payload, channel))

    def carry(self, source: int, target: int, arrive: Callable[[], None]) -> None:
        """What the network makes of a message from one connected machine to another."""
        p, rng = self.profile, self.rng
        if target not in self.machines[source].peers:
            return
        copies = 1
        delay = 2
        if not self.healed:
            if any(part.blocks(source, target, self.now) for part in p.partitions):
                return
            if p.loss and rng.random() < p.loss:
                self.faults["lost"] += 1
                return
            if p.double and rng.random() < p.double:
                self.faults["doubled"] += 1
                copies = 2
            delay = p.delay
        slow = self._slow.get((source, target), 0)
        for _ in range(copies):
            self.later(1 + int(rng.random() * delay) + slow, arrive)

    def _deliver(self, source: int, target: int, payload: bytes, channel: int) -> None:
        machine = self.machines[target]
        if not machine.up or source not in machine.peers:
            return
        if channel == NODE:
            self.note(target, "from", payload, source)
            machine.feed(e.Received(self.ids[source], payload))
            return
        self.note(target, f"channel {channel} from n{source}", payload)
        for actor in machine.actors:
            actor.on_payload(channel, source, payload)

    # --- the trace ------------------------------------------------------------------------------------------------------------

    def note(self, index: int, what: str, detail: bytes, source: int = -1) -> None:
        self._digest.update(b"%d %d %d " % (self.now, index, source) + what.encode() + detail)
        self.trace.append((self.now, index, what if source < 0 else f"from {source}", detail))

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def tail(self, count: int) -> list[str]:
        """The end of the trace, for people."""
        return [f"{now:6} ms  {_name(i)}  {what}  {_shown(what, detail)}" for now, i, what, detail in list(self.trace)[-count:]]


def _name(index: int) -> str:
    return f"n{index}" if index >= 0 else "--"


def _shown(what: str, detail: bytes) -> str:
    if not what.startswith("from"):
        return detail.decode() if what == "penalize" else detail.hex()[:12]
    try:
        text = repr(decode_message(detail))
    except Malformed as fault:
        text = f"malformed: {fault}"
    return text if len(text) < 300 else text[:300] + " …"
