"""Members that ask every node for full blocks as fast as they can, and connect anew when they got little: eight times each. Nothing
that they send is wrong, and each of them alone stays within what one peer may ask; together they would fill every uplink.

The bytes of answers are few while they run, so that small blocks reach the bound (LC-NODE-72). What honest nodes ask for is seen
by this world: of validators every question is answered at once, of a newcomer the blocks come until it has them all.
"""

from __future__ import annotations

from collections import Counter

from learningchain.chain.codec import encode
from learningchain.chain.errors import Malformed
from learningchain.chain.node import messages as m
from learningchain.chain.node.token_bucket import Rate
from learningchain.p2p.wire import NODE
from tests.sim.attacks.base import Byzantine
from tests.sim.checks import Violation
from tests.sim.machine import Machine
from tests.sim.profile import Profile
from tests.sim.world import World

MEMBERS, CONNECTIONS = 8, 8
AT_ONCE = 8
"""Questions to each node at each tick: more than the rate of one peer."""
ANSWERS, VALIDATORS, KIND = Rate(40_000, 40_000), Rate(20_000, 80_000), Rate(5_000, 5_000)
LARGEST = 100_000
"""No answer of these runs is larger, so no more is owed by each that is under way."""
_ANSWERS = {
    kind.__struct_config__.tag: kind for kind in (m.Txs, m.BlockTxs, m.FullBlock, m.Blocks, m.ExecutedBlocks, m.Headers, m.Buckets)
}


class Asker(Byzantine):
    name = "asker"
    limits = tuple(
        (f"learningchain.chain.node.answer_budget.{name}", rate)
        for name, rate in (("ANSWERS", ANSWERS), ("VALIDATORS", VALIDATORS), ("KIND", KIND))
    )

    def act(self) -> None:
        for victim in sorted(self.peers):
            machine = self.world.machines[victim]
            if machine.honest and machine.up:
                for question in self._questions(machine):
                    self.did("asked")
                    self.tell(victim, encode(question))
        if self._ticks % 4 == 0 and self.world.faults[f"attack: asker, n{self.index} connected anew"] < CONNECTIONS - 1:
            self.did(f"n{self.index} connected anew")
            self.world.disconnect(self)
            self.world.connect(self)

    def _questions(self, victim: Machine) -> list[m.Message]:
        """For what is there, and large: blocks that are being decided, all decided ones, all that waits."""
        node = victim.node
        found: list[m.Message] = [m.GetBlock(node.height + 1, key, []) for key in sorted(node._bodies.blocks._blocks)]
        found += [m.GetBlocks(1, m.MAX_SYNC_BLOCKS), m.GetExecutedBlocks(1, m.MAX_SYNC_BLOCKS)]
        if waiting := node.pool.oldest(m.MAX_BATCH):
            found.append(m.GetTxs(waiting))
        return (found * AT_ONCE)[:AT_ONCE]


class Asked(World):
    """The last observers ask. Counts what honest machines answer, and holds it against the bound."""

    def __init__(self, seed: int, profile: Profile) -> None:
        self.counts: Counter[str] = Counter()
        self.answered: Counter[int] = Counter()
        """Bytes of answers of each machine to who is no validator."""
        self.since: dict[int, int] = {}
        super().__init__(seed, profile, {})

    def _kind(self, index: int) -> type[Machine]:
        return Asker if index >= self.profile.machines - MEMBERS else Machine

    def _is_validator(self, index: int) -> bool:
        return index < self.profile.validators

    def send(self, source: int, target: int, payload: bytes, channel: int = NODE) -> None:
        if self.machines[source].honest and payload[1] in _ANSWERS:
            if not self._is_validator(target):
                self._tally(source, target, len(payload))
            elif payload[1] in (10, 11):
                self.counts["bodies for validators"] += 1
        if payload[1] == 1 and self._is_validator(target) and not self.healed:
            return  # no push arrives until the network is well: validators ask for the bodies of blocks
        super().send(source, target, payload, channel)

    def _tally(self, source: int, target: int, size: int) -> None:
        """A restart fills the bucket: there is none in these runs."""
        began = self.since.setdefault(source, self.now)
        self.answered[source] += size
        self.counts["for askers" if target >= self.profile.machines - MEMBERS else "for a newcomer"] += size
        most = ANSWERS.burst + 2 * KIND.burst + ANSWERS.per_s * (self.now - began) // 1_000 + 3 * LARGEST
        if self.answered[source] > most:
            raise Violation(
                f"n{source} answered with {self.answered[source]} bytes in {self.now - began} ms, at most {most} allowed"
            )

    def _deliver(self, source: int, target: int, payload: bytes, channel: int) -> None:
        """A validator that asks for what is there gets it."""
        asked = self._is_validator(source) and self._has(target, payload)
        before = self.counts["bodies for validators"]
        super()._deliver(source, target, payload, channel)
        if asked:
            self.counts["questions of validators"] += 1
            if self.counts["bodies for validators"] == before:
                raise Violation(f"n{target} did not answer the validator n{source}")

    def _has(self, index: int, payload: bytes) -> bool:
        machine = self.machines[index]
        if payload[1] != 9 or not machine.up or not machine.honest:
            return False
        try:
            question = m.decode_message(payload)
        except Malformed:
            return False
        held = machine.node._bodies.blocks.get(question.block_id) if isinstance(question, m.GetBlock) else None
        return held is not None and held.complete
