"""Members without a machine of their own: contractors and cheaters, who speak through other people's nodes.

An outsider looks at the most advanced node's state every tick and says something. `Desk` signs what it says, one sequence after the
other in each lane, and offers it again through a random node until it is in the chain or its time is over.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts import decode_message
from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.records import Job, Posting
from learningchain.chain.contracts.membership.messages import SetCapacity
from learningchain.chain.contracts.membership.records import Member, member_key
from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.errors import InvalidTx
from learningchain.chain.host import BANNED, Account, account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.types import TxBody, cid_text, net_of, tx_id
from tests.sim.market.clients import CAPACITY
from tests.sim.market.content import cid_of

if TYPE_CHECKING:
    from tests.sim.market.graph import MarketWorld

AGAIN_MS = 700
VALID = 60
"""Blocks for which a transaction is signed."""


@dataclass
class Offer:
    raw: bytes
    ops: list[Any]
    label: str
    until: int
    again: int = 0


class Outsider:
    """`number` tells several of a kind apart."""

    verifier = False
    """Whether genesis gives it the verifier flag."""
    honest = False
    listens = False
    """Whether it reads what others say in their transactions."""

    def __init__(self, world: MarketWorld, name: str, number: int) -> None:
        self.world, self.name, self.number = world, name, number
        self.rng = random.Random(f"{world.seed} outsider {name} {number}")
        self.key = SigningKey(sha256(b"outsider " + name.encode() + b"%d" % number))
        self.id = account_id(self.key.public)
        self.gateway = self.rng.randrange(world.plan.profile.machines)
        self.held: dict[str, bytes] = {}

    @staticmethod
    def members(machines: int) -> int:
        """How many accounts of this kind a run with so many machines gets."""
        return 1

    def tick(self, state: State, clock: int) -> None:
        """One look at the chain."""

    def serve(self, asking: int, name: str) -> bytes | None:
        """What it sends to a machine that asks for a file."""
        return self.held.get(name)

    # --- for those who do something -----------------------------------------------------------------------------------------------

    def say(self, state: State, op: Any, label: str, lane: int = 0) -> bool:
        """False while something else of this lane is under way."""
        return self.world.desk.say(self, state, [op], label, lane)

    def declare(self, state: State) -> None:
        """What its machine takes: who declares nothing is not drawn."""
        member = state.get(member_key(self.id))
        if isinstance(member, Member) and not member.capacity:
            self.say(state, SetCapacity(CAPACITY), "capacity", lane=2)

    def count(self, what: str) -> None:
        self.world.acts[f"{self.name}: {what}"] += 1

    def keep(self, data: bytes) -> bytes:
        """Make a file known under its name, and hold it."""
        cid = self.world.web.made(data)
        self.held[cid_text(cid)] = data
        return cid

    def random_bytes(self) -> bytes:
        return self.rng.randbytes(32)

    @staticmethod
    def live(state: State) -> list[tuple[bytes, Posting, Job]]:
        found = []
        for key in state.keys(b"j/"):
            posting, job = state.get(records.posting_key(key[2:])), state.get(records.job_key(key[2:]))
            if isinstance(posting, Posting) and isinstance(job, Job):
                found.append((key[2:], posting, job))
        return found


class Desk:
    def __init__(self, world: MarketWorld) -> None:
        self.world = world
        self.rng = random.Random(f"{world.seed} desk")
        self.offers: dict[tuple[bytes, int, int], Offer] = {}
        """By identity, lane and sequence."""
        self._keys: dict[bytes, SigningKey] = {}

    def say(self, who: Outsider, state: State, ops: Sequence[Any], label: str, lane: int, *, queue: int = 1) -> bool:
        """Sign and offer. False where `queue` messages of this lane are under way already."""
        waiting = [sequence for identity, at, sequence in self.offers if (identity, at) == (who.id, lane)]
        if len(waiting) >= queue:
            return False
        sequence = max([self._sequence(state, who.id, lane), *(known + 1 for known in waiting)])
        self._keys[who.id] = who.key
        ops = [decode_message(encode(op)) for op in ops]
        self._sign(state, who.id, lane, sequence, ops, f"{who.name}: {label}")
        return True

    def _sign(self, state: State, identity: bytes, lane: int, sequence: int, ops: list[Any], label: str) -> None:
        until = chain_record(state).height + VALID
        body = TxBody(net_of(self.world.chain_id), identity, lane, sequence, until, [msgspec.Raw(encode(op)) for op in ops])
        raw = sign_tx(self._keys[identity], self.world.chain_id, body)
        self.offers[identity, lane, sequence] = Offer(raw, ops, label, until)

    @staticmethod
    def _sequence(state: State, identity: bytes, lane: int) -> int:
        account: Any = state.get(account_key(identity))
        return account.sequences[lane] if isinstance(account, Account) else 0

    def tick(self, state: State) -> None:
        height = chain_record(state).height
        up = [m for m in self.world.machines if m.up and m.honest]
        for key in sorted(self.offers):
            offer, (identity, lane, sequence) = self.offers[key], key
            account: Any = state.get(account_key(identity))
            if account.sequences[lane] > sequence:
                del self.offers[key]
                self.world.acts[f"{offer.label} -> {self.world.codes.get(tx_id(offer.raw), '?')}"] += 1
            elif account.status == BANNED:
                del self.offers[key]  # nothing of it is taken
                self.world.acts[f"{offer.label} -> shut out"] += 1
            elif offer.until <= height:
                self._sign(state, identity, lane, sequence, offer.ops, offer.label)
            elif offer.again <= self.world.now and up:
                offer.again = self.world.now + self.rng.randint(AGAIN_MS // 2, AGAIN_MS)
                machine = self.rng.choice(up)
                self.world.note(machine.index, "submit", tx_id(offer.raw))
                try:
                    machine.submit(offer.raw)
                except InvalidTx as fault:
                    self.world.note(machine.index, f"refused {fault.code.name}", b"")


__all__ = ["Desk", "Outsider", "cid_of"]
