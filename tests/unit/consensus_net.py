"""A small network of consensus machines in virtual time, in one process, replayable from its seed.

Each node has the driver's duties in their smallest form: a log, a last-signed guard, block checks, timers. The network loses,
doubles, delays and parts; nodes crash between any two effects and come back from log and guard; some validators are Byzantine.
After `heal_at` everything arrives. Safety is checked at every decision and every signature.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.consensus.messages import (
    BlockBuilt,
    BlockChecked,
    Broadcast,
    BuildBlock,
    CertificateReceived,
    CheckBlock,
    Decide,
    Effect,
    Input,
    MessageSigned,
    Persist,
    ProposalReceived,
    ReportEvidence,
    RoundState,
    Schedule,
    SendTo,
    Sign,
    SignProposal,
    SignVote,
    StartHeight,
    StateReceived,
    TimeoutFired,
    VoteReceived,
    WakeUp,
)
from learningchain.chain.params import Params
from learningchain.chain.types import NIL, PRECOMMIT, PREVOTE, Certificate, Proposal, Vote
from tests.unit.consensus_kit import ident, machine, make_proposal, make_vote, sign, validators

Message = Proposal | Vote | Certificate | RoundState
PARAMS = Params(timeout_propose=300, timeout_vote=150, timeout_step=60, timeout_max=3_000)


@dataclass(frozen=True)
class Profile:
    """What goes wrong in a run."""

    n: int = 4
    byzantine: tuple[str, ...] = ()
    """Roles of the last validators: silent; equivocator (tells halves of the peers different things); liar (its blocks are
    invalid); amnesiac (forgets its locks); turncoat (votes for every proposal it sees, before some of the peers)."""
    loss: float = 0.0
    double: float = 0.0
    max_delay: int = 30
    partition: tuple[int, ...] = ()
    """Nodes cut off from the rest between 500 ms and healing."""
    crash: float = 0.0
    """Chance of a crash at each effect before healing."""
    untimely: float = 0.0
    """Chance that a node finds a fresh proposal late."""
    hush: bool = False
    """The network hides from nodes what a node says after it decided their height: so agreement hangs on the locks alone."""
    heal_at: int = 6_000


@dataclass
class Node:
    index: int
    machine: Consensus
    log: list[bytes] = field(default_factory=list)
    guard: dict[tuple[int, int, int], MessageSigned] = field(default_factory=dict)
    decided: dict[int, bytes] = field(default_factory=dict)
    certificates: dict[int, Certificate] = field(default_factory=dict)
    life: int = 0
    """Timers and checks of an earlier life are void."""
    height: int = 1
    down: bool = False


class Net:
    def __init__(self, profile: Profile, seed: int, sabotage: Callable[[Consensus], None] | None = None) -> None:
        self.p = profile
        self.rng = random.Random(seed)
        self.now = 0
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0
        self.trace = hashlib.sha256()
        self.sabotage = sabotage
        self.evidence: list[object] = []
        self.invalid: set[bytes] = set()
        self.chosen: dict[int, bytes] = {}
        self.crashes = 0
        self.most_votes = 0
        honest = profile.n - len(profile.byzantine)
        self.nodes = [Node(i, self.new_machine(i)) for i in range(profile.n)]
        self.role = {honest + k: role for k, role in enumerate(profile.byzantine)}
        for node in self.nodes:
            self.begin(node)

    @property
    def honest(self) -> list[Node]:
        return [node for node in self.nodes if node.index not in self.role]

    def new_machine(self, index: int) -> Consensus:
        made = machine(index, PARAMS)
        if self.sabotage is not None:
            self.sabotage(made)
        return made

    # --- time -----------------------------------------------------------------------------------------------------------------

    def later(self, delay: int, action: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.queue, (self.now + delay, self.count, action))

    def run(self, until: int, height: int) -> None:
        """Until every honest node decided `height`, or the time is over."""
        while self.queue and self.now < until and not all(height in node.decided for node in self.honest):
            self.now, _, action = heapq.heappop(self.queue)
            action()

    # --- nodes ----------------------------------------------------------------------------------------------------------------

    def begin(self, node: Node) -> None:
        self.feed(node, StartHeight(node.height, validators(self.p.n), self.now, "test"))
        life, height = node.life, node.height
        self.later(self.rng.randint(0, 40), lambda: self.feed(node, WakeUp(height)) if node.life == life else None)

    def feed(self, node: Node, event: Input) -> None:
        if node.down:
            return
        self.trace.update(f"{self.now} {node.index} {event}".encode())
        state = node.machine._state
        if self.role.get(node.index) == "amnesiac" and state is not None:
            state.locked_round, state.locked_id = -1, NIL
        self.run_effects(node, node.machine.handle(event))
        self.most_votes = max(self.most_votes, node.machine.votes_held)

    def run_effects(self, node: Node, effects: list[Effect]) -> None:
        life = node.life
        for effect in effects:
            if self.now < self.p.heal_at and node.index not in self.role and self.rng.random() < self.p.crash:
                self.crash(node)
            if node.life != life:
                return
            self.run_effect(node, effect)

    def run_effect(self, node: Node, effect: Effect) -> None:
        life = node.life

        def answer(delay: int, event: Input) -> None:
            self.later(delay, lambda: self.feed(node, event) if node.life == life else None)

        match effect:
            case Persist(record):
                node.log.append(bytes(record))
            case Sign(request):
                signed = self.sign(node, request)
                if signed is not None:
                    self.feed(node, signed)
            case Broadcast(message):
                self.broadcast(node, message)
            case SendTo(peer, message):
                self.send(node, int.from_bytes(peer, "big"), message)
            case Schedule(timeout):
                answer(timeout.ms, TimeoutFired(timeout))
            case BuildBlock(height, round_):
                made = hashlib.sha256(f"{height} {round_} {node.index} {node.life}".encode()).digest()
                if self.role.get(node.index) == "liar":
                    self.invalid.add(made)
                answer(self.rng.randint(0, 5), BlockBuilt(height, round_, made))
            case CheckBlock(height, _, block_id, fresh):
                late = fresh and self.now < self.p.heal_at and self.rng.random() < self.p.untimely
                answer(self.rng.randint(0, 20), BlockChecked(height, block_id, block_id not in self.invalid and not late))
            case Decide(height, block_id, cert):
                self.decide(node, height, block_id, cert)
            case ReportEvidence(evidence):
                self.evidence.append(evidence)

    def sign(self, node: Node, request: SignVote | SignProposal) -> MessageSigned | None:
        """A machine with its log intact must never even ask for two different signatures in one place."""
        kind = request.type if isinstance(request, SignVote) else 0
        place = (request.height, request.round, kind)
        signed = sign(request, node.index)
        before = node.guard.setdefault(place, signed)
        assert before == signed, f"node {node.index} asked for a second signature at {place}"
        newest = max(node.guard)
        return signed if place >= newest else None

    def decide(self, node: Node, height: int, block_id: bytes, cert: Certificate) -> None:
        assert height not in node.decided, "one decision a height"
        if node.index not in self.role:
            assert self.chosen.setdefault(height, block_id) == block_id, f"disagreement at height {height}"
            assert block_id not in self.invalid and block_id != NIL, "an invalid block was decided"
        node.decided[height] = block_id
        node.certificates[height] = cert
        node.log.clear()
        node.height = height + 1
        life = node.life
        self.later(self.rng.randint(1, 10), lambda: self.begin(node) if node.life == life else None)

    def crash(self, node: Node) -> None:
        self.crashes += 1
        node.life += 1
        node.down = True
        life = node.life

        def restart() -> None:
            node.machine, node.down = self.new_machine(node.index), False
            self.begin(node)
            self.run_effects(node, node.machine.replay(list(node.log)))

        self.later(self.rng.randint(1, 400), lambda: restart() if node.life == life else None)

    # --- the network ----------------------------------------------------------------------------------------------------------

    def broadcast(self, node: Node, message: Message) -> None:
        role = self.role.get(node.index)
        if role == "silent" or (role == "turncoat" and isinstance(message, Vote)):
            return
        for to in range(self.p.n):
            if to != node.index:
                self.send(node, to, self.twist(message, to) if role == "equivocator" else message)

    def vote_for_all(self, node: Node, seen: Proposal) -> None:
        for type_ in (PREVOTE, PRECOMMIT):
            vote = make_vote(type_, seen.height, seen.round, seen.block_id, ident(node.index))
            for to in range(self.p.n):
                if to != node.index and self.rng.random() < 0.6:
                    self.send(node, to, vote)

    def twist(self, message: Message, to: int) -> Message:
        """Half of the peers get another story."""
        if to % 2 == 0 or not isinstance(message, Vote | Proposal):
            return message
        other = hashlib.sha256(b"other" + message.block_id).digest()
        author = message.validator if isinstance(message, Vote) else message.proposer
        if int.from_bytes(author, "big") not in self.role:
            return message
        if isinstance(message, Proposal):
            return make_proposal(message.height, message.round, message.pol_round, other, message.proposer)
        return make_vote(message.type, message.height, message.round, other if message.block_id == NIL else NIL, message.validator)

    def send(self, node: Node, to: int, message: Message) -> None:
        healed = self.now >= self.p.heal_at
        if not healed:
            apart = self.now > 500 and (node.index in self.p.partition) != (to in self.p.partition)
            hushed = self.p.hush and node.height > self.nodes[to].height
            if apart or hushed or self.rng.random() < self.p.loss:
                return
        for _ in range(2 if not healed and self.rng.random() < self.p.double else 1):
            self.later(
                self.rng.randint(1, 10 if healed else self.p.max_delay), lambda: self.deliver(self.nodes[to], node.index, message)
            )

    def deliver(self, node: Node, sender: int, message: Message) -> None:
        peer = ident(sender)
        match message:
            case Vote():
                self.feed(node, VoteReceived(message, peer))
            case Proposal():
                self.feed(node, ProposalReceived(message, True, peer))
                if self.role.get(node.index) == "turncoat":
                    self.vote_for_all(node, message)
            case Certificate():
                self.feed(node, CertificateReceived(message))
            case RoundState():
                self.feed(node, StateReceived(message, peer))
                behind = node.certificates.get(message.height)
                if behind is not None and not node.down:  # what block sync does
                    self.send(node, sender, behind)
