"""A graph of real nodes in virtual time, in one process. One seed is one run: every event goes into one digest.

Until `heal_at` the profile's faults happen; afterwards the network and the machines are well, and the run goes on until everybody
agrees on a chain that holds everything the clients wanted. The checkers look after every step.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache, partial
from unittest import mock

from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state
from learningchain.chain.ledger.state import State
from learningchain.chain.node import events as e
from learningchain.chain.node.messages import Blocks, Buckets, ExecutedBlocks, Headers, Snapshot, Status, ValidatorChanges
from learningchain.chain.node.node import Node
from learningchain.p2p.wire import NODE
from tests.network import genesis as network_genesis
from tests.sim import faults
from tests.sim.checks import EPOCH, Checks, Violation
from tests.sim.machine import Machine, beacon_key
from tests.sim.market import Market
from tests.sim.network import Network
from tests.sim.profile import PARAMS, Partition, Profile
from tests.sim.trace import Trace

PATIENCE = 20_000
"""Milliseconds after healing in which everything must be settled."""
ROUNDS_MS = 20_000
"""What two rounds of a federation may take besides: ten seconds each, where its aggregators are silent."""
GRANT = 1_000_000_000
SNAPSHOT_AFTER = 4
"""Heights behind, from which on some machines take a snapshot."""
ANSWERS = {
    bytes((kind.__struct_config__.tag,)) for kind in (Status, Blocks, ExecutedBlocks, Headers, Snapshot, ValidatorChanges, Buckets)
}
"""First bytes of what travels on the lane of requests and may be large."""
STRIDE = 32
"""Events between two looks at whether the run is over."""


@cache
def _key(index: int) -> SigningKey:
    return SigningKey(sha256(b"machine %d" % index))


def _brought(index: int, count: int) -> list[SigningKey]:
    """Keys of members that the machine at `index` brings."""
    return [_key(1_000 * (index + 1) + i) for i in range(count)]


@cache
def _genesis(validators: int, observers: int, brought: tuple[tuple[int, tuple[int, ...]], ...]) -> Genesis:
    """`brought`: machines, and what the members that each brings hold."""
    accounts = [GenesisAccount(_key(i).public, GRANT, i < validators, True) for i in range(validators + observers)]
    for index, grants in brought:
        keys = _brought(index, len(grants))
        accounts += [GenesisAccount(key.public, grant, False, False) for key, grant in zip(keys, grants, strict=True)]
    return network_genesis("sim", EPOCH, PARAMS, accounts)


class World:
    patience = PATIENCE
    voted_out: frozenset[bytes] = frozenset()
    """Whom the validators may take out of the set although it did nothing wrong."""

    def __init__(self, seed: int, profile: Profile, attacks: Mapping[str, type[Machine]]) -> None:
        self.seed = seed
        self.profile = profile
        self._attacks = attacks
        self.rng = random.Random(seed * 7 + 3)
        self.now = 0
        self.steps = 0
        self.healed = False
        self.faults: Counter[str] = Counter()
        self.trace = Trace()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        genesis = self.genesis()
        self.params, self.chain_id = genesis.params, genesis.chain_id
        self.genesis_state, self.genesis_items = self.first_state(genesis)
        self.ids = [account_id(_key(i).public) for i in range(self.profile.machines)]
        self.index_of = {identity: i for i, identity in enumerate(self.ids)}
        self.checks = Checks(self)
        self.network = Network(self)
        self.machines = [self._machine(i) for i in range(self.profile.machines)]
        self.machines += [self._second(i, first) for i, first in enumerate(self.profile.twins, self.profile.machines)]
        self.market = self.clients()

    def genesis(self) -> Genesis:
        brought = ((index, self._kind(index).brings) for index in range(self.profile.machines))
        return _genesis(self.profile.validators, self.profile.observers, tuple((i, grants) for i, grants in brought if grants))

    def first_state(self, genesis: Genesis) -> tuple[State, list[tuple[bytes, bytes | None]]]:
        return first_state(genesis)

    def brought(self, index: int) -> list[SigningKey]:
        return _brought(index, len(self._kind(index).brings)) if index < self.profile.machines else []

    def clients(self) -> Market:
        return Market(self)

    def _kind(self, index: int) -> type[Machine]:
        """The last validators are the attackers."""
        p = self.profile
        turn = index - p.validators + len(p.attacks)
        return self._attacks[p.attacks[turn]] if 0 <= turn < len(p.attacks) else Machine

    def _machine(self, index: int) -> Machine:
        return self._kind(index)(self, index, _key(index))

    def _second(self, index: int, first: int) -> Machine:
        """A second machine with the key of `first`: each does nothing wrong by itself, both together are Byzantine."""
        self.faults["key shared by two machines"] += 1
        machine = Machine(self, index, _key(first))
        machine.honest = self.machines[first].honest = False
        return machine

    def new_node(self, machine: Machine, state: State, head: bytes) -> Node:
        """Every second machine catches up by certificates and roots, the others execute every block; every third takes
        snapshots, and so does one that begins where nobody keeps the first block."""
        key, base = beacon_key(self.index_of[machine.id]), machine.store.base
        return Node(
            machine.id,
            key,
            state,
            head,
            signed=machine.guard.signed,
            trusting=2 if machine.index % 2 == 0 and machine.store.first_block == 1 else 0,
            first_block=machine.store.first_block,
            snapshot_if_pruned=not machine.actors and (machine.index % 3 == 2 or machine.store.height == 0),
            snapshot_after=SNAPSHOT_AFTER if machine.index % 3 == 2 and not machine.actors else 0,
            base=base.certificate if base else None,
        )

    # --- time -----------------------------------------------------------------------------------------------------------------

    def later(self, delay: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, action))

    def run(self) -> None:
        """Raises `Violation` where something that must hold does not."""
        with ExitStack() as stack:
            for where, limit in dict.fromkeys(limit for machine in self.machines for limit in machine.limits):
                stack.enter_context(mock.patch(where, limit))
            self._run()

    def _run(self) -> None:
        late = {machine: when for when, machine in self.profile.joins}
        for machine in self.machines:
            self.later(late.get(machine.index, self.rng.randint(0, 30)), machine.boot)
        for when, index in self.profile.crashes:
            self.later(when, partial(self._doom, index))
        for part in self.profile.partitions:
            self.faults["one-way partition" if part.one_way else "partition"] += 1
            self.later(part.start, partial(self._note_partition, part))
        for link in self.profile.links:
            self.faults["clogged link" if link.clogged else "one-way link"] += 1
        self.faults["clock skew"] += sum(ms != 0 for ms in self.profile.skew)
        faults.schedule(self)
        self.later(self.profile.heal_at, self._heal)
        self.later(20, self.market.tick)
        self._loop()

    def _loop(self) -> None:
        limit = self.profile.heal_at + self.patience + (ROUNDS_MS if self.profile.federations else 0)
        queue = self._queue
        pop = heapq.heappop
        while not self._over():
            if not queue or self.now > limit:
                raise Violation(f"no progress after healing: {self.market.unfinished() or self.heights()}")
            for _ in range(STRIDE):
                if not queue:
                    break
                self.now, _, action = pop(queue)
                self.steps += 1
                action()
        self.checks.final()

    def _over(self) -> bool:
        """Everything the clients wanted is decided, and everybody has it."""
        if not self.healed:
            return False
        wanted = self.profile.heights
        if not wanted and self.market.unfinished():
            return False
        heights = self.heights()
        return min(heights) >= wanted if wanted else len(set(heights)) == 1 and heights[0] >= 0

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

    def _note_partition(self, part: Partition) -> None:
        self.note(-1, f"partition {sorted(part.cut)} {'one way' if part.one_way else 'both ways'} until {part.end}", b"")

    def _heal(self) -> None:
        self.healed = True
        self.note(-1, "healed", b"")
        for machine in self.machines:
            faults.heal(machine)
            machine.boot()

    def skew(self, index: int) -> int:
        return self.profile.skew[index] if index < len(self.profile.skew) else 0

    def close(self) -> None:
        """Take everything apart, so that its memory goes at once."""
        self._queue.clear()
        for machine in self.machines:
            machine.__dict__.clear()
        self.machines.clear()

    # --- the network ----------------------------------------------------------------------------------------------------------

    def connect(self, machine: Machine) -> None:
        self.network.connect(machine)

    def disconnect(self, machine: Machine) -> None:
        self.network.disconnect(machine)

    def carry(self, source: int, target: int, arrive: Callable[[], None]) -> None:
        """What the network makes of a message from one connected machine to another that is on no queue of a node."""
        self.network.carry(source, target, arrive, 0)

    def send(self, source: int, target: int, payload: bytes, channel: int = NODE) -> None:
        size = len(payload) if channel == NODE and payload[1:2] in ANSWERS else 0
        self.network.carry(source, target, lambda: self._deliver(source, target, payload, channel), size)

    def _deliver(self, source: int, target: int, payload: bytes, channel: int) -> None:
        machine = self.machines[target]
        if not machine.up or source not in machine.peers:
            return
        if channel == NODE:
            self.note(target, "from", payload, source)
            machine.feed(e.Received(self.machines[source].id, payload))
            return
        self.note(target, f"channel {channel} from n{source}", payload)
        for actor in machine.actors:
            actor.on_payload(channel, source, payload)

    # --- the trace ------------------------------------------------------------------------------------------------------------

    def note(self, index: int, what: str, detail: bytes, source: int = -1) -> None:
        self.trace.note(self.now, index, what, detail, source)

    @property
    def digest(self) -> str:
        return self.trace.digest

    def tail(self, count: int) -> list[str]:
        """The end of the trace, for people."""
        return self.trace.tail(count)
