"""Keys that change in a run: honest machines rotate, name guardians, and are brought back by them; and some try what is refused.

A machine has all the keys that its account ever had or was about to get, and signs with the one that its own ledger names. Which
seeds have changes, and when, is drawn apart from everything else: the other seeds are as they were.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.keys import (
    ObjectRecovery,
    Recover,
    Recovery,
    RotateKey,
    SetGuardians,
    guardians_of,
    new_key_digest,
    recovery_key,
)
from learningchain.chain.crypto import SigningKey, sha256
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record

if TYPE_CHECKING:
    from tests.sim.market.clients import Market

KEYS = 3
"""Their lane: that of attackers, whose machines change nothing."""
MOST = 6
DELAY = 400
SHARE = 0.35
"""Of the seeds."""


class Rotations:
    def __init__(self, market: Market) -> None:
        self._market, self._world = market, market.world
        self._rng = random.Random(self._world.seed * 17 + 11)
        self._left = MOST if self._rng.random() < SHARE and not self._world.profile.twins else 0
        self._rings: dict[int, dict[bytes, SigningKey]] = {}
        self._made = 0

    def force(self) -> None:
        """In this run keys change again and again, whatever was drawn."""
        self._left = 6 * MOST

    def key_of(self, machine: int, public: bytes) -> SigningKey:
        """The machine's key with this public one; the first, where it never had that."""
        first: SigningKey = self._world.machines[machine].key
        return self._rings.get(machine, {}).get(public, first)

    def present(self, state: State, machine: int) -> SigningKey:
        account: Any = state.get(account_key(self._world.ids[machine]))
        return self.key_of(machine, account.key if isinstance(account, Account) else b"")

    def tick(self, state: State) -> None:
        if not self._left or self._world.now < 300 or self._rng.random() > 0.2:
            return
        honest = [i for i in range(len(self._world.ids)) if self._world.machines[i].honest]
        machine = self._rng.choice(honest)
        if self._market.is_busy(machine, KEYS):
            return
        self._left -= 1
        kind = self._rng.choice((self._rotate, self._rotate, self._guard, self._recover, self._recover, self._object, self._forge))
        kind(state, machine, [i for i in honest if i != machine])

    def _new(self, machine: int) -> SigningKey:
        self._made += 1
        key = SigningKey(sha256(b"rotated %d %d" % (self._world.seed, self._made)))
        self._rings.setdefault(machine, {})[key.public] = key
        return key

    def _proof(self, key: SigningKey, machine: int) -> bytes:
        return key.sign(new_key_digest(self._world.chain_id, self._world.ids[machine], key.public))

    # --- what owners and guardians do -------------------------------------------------------------------------------------------

    def _rotate(self, state: State, machine: int, others: list[int]) -> None:
        self._world.faults["key rotated"] += 1
        old, key = self.present(state, machine), self._new(machine)
        self._market.send(state, machine, KEYS, RotateKey(key.public, self._proof(key, machine)))
        # A thief has the old key: what it signs is nothing once the block is there.
        stolen = Transfer(self._world.ids[others[0]], 1, b"stolen") if others else ObjectRecovery()
        self._market.forge(state, machine, KEYS, stolen, old, after=self._rng.randint(100, 900))

    def _guard(self, state: State, machine: int, others: list[int]) -> None:
        several = self._rng.sample(others, min(len(others), self._rng.choice((0, 1, 3, 3, 3, 4)))) if others else []
        guardians = sorted(self._world.ids[i] for i in several)
        threshold = self._rng.randint(1, max(1, len(guardians) - 1)) if guardians else 0
        self._market.send(state, machine, KEYS, SetGuardians(guardians, threshold, DELAY if guardians else 0))
        self._left += 1  # one without a recovery after it shows little

    def _recover(self, state: State, machine: int, others: list[int]) -> None:
        """Of whoever has guardians; a word more on a recovery that is open."""
        for victim in range(len(self._world.ids)):
            of = guardians_of(state, self._world.ids[victim], chain_record(state).clock)
            if of is not None and self._world.machines[victim].honest:
                self._speak(state, victim, of.guardians)
                return
        self._guard(state, machine, others)

    def _speak(self, state: State, victim: int, guardians: list[bytes]) -> None:
        self._world.faults["word for a recovery"] += 1
        known = state.get(recovery_key(self._world.ids[victim]))
        wanted = known.words[0].key if isinstance(known, Recovery) and self._rng.random() < 0.75 else self._new(victim).public
        key = self.key_of(victim, wanted)
        message = Recover(self._world.ids[victim], key.public, self._proof(key, victim))
        for guardian in self._rng.sample(guardians, min(len(guardians), self._rng.choice((1, 2, 2, 3)))):
            speaker = self._world.index_of[guardian]
            if not self._market.is_busy(speaker, KEYS):
                self._market.send(state, speaker, KEYS, message)

    def _object(self, state: State, machine: int, others: list[int]) -> None:
        """Where a recovery is open whoever has the key speaks against it, as a thief would: or names other guardians."""
        for victim in [i for i in (machine, *others) if state.get(recovery_key(self._world.ids[i])) is not None]:
            if not self._market.is_busy(victim, KEYS):
                if self._rng.random() < 0.5:
                    self._guard(state, victim, [i for i in (machine, *others) if i != victim])
                else:
                    self._market.send(state, victim, KEYS, ObjectRecovery())
                return
        self._market.send(state, machine, KEYS, ObjectRecovery())

    def _forge(self, state: State, machine: int, others: list[int]) -> None:
        """A key whose owner did not agree, somebody else's key, a word of who is no guardian."""
        key = self._new(machine)
        guarded = [i for i, identity in enumerate(self._world.ids) if self._is_closed_to(state, identity, machine)]
        victim = self._rng.choice(guarded) if guarded else machine
        self._rings.setdefault(victim, {})[key.public] = key  # by then it may be a guardian: then the victim gets this key
        other = self._world.machines[others[0]].key if others else key
        wrong: Any = self._rng.choice(
            (
                RotateKey(key.public, other.sign(new_key_digest(self._world.chain_id, self._world.ids[machine], key.public))),
                RotateKey(other.public, self._proof(other, machine)),
                Recover(self._world.ids[victim], key.public, self._proof(key, victim)),
            )
        )
        self._market.send(state, machine, KEYS, wrong)

    def _is_closed_to(self, state: State, identity: bytes, machine: int) -> bool:
        """Whether it has guardians, and this machine is none of them."""
        of = guardians_of(state, identity, chain_record(state).clock)
        return of is not None and self._world.ids[machine] not in of.guardians
