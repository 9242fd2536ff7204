"""The nodes on their connections, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import account_id
from learningchain.chain.ledger import transition
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import BlockInput, Executed
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node import candidates, decided
from learningchain.chain.node import events as e
from learningchain.chain.node.batches import DecodedBlock
from learningchain.chain.node.checks import are_signed
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.node import Node
from learningchain.chain.params import Params
from learningchain.chain.types import Proposal, TxBody, Vote, net_of, proposal_digest, vote_digest
from learningchain.p2p.gossip import GossipTargets
from tests.sim.growth.count import KINDS, Counts
from tests.sim.growth.overlay import Overlay, key_of

MESH = 8
T0 = 1_700_000_000_000
PAYERS = 64
GRANT = 10**9


class Ledger:
    """The one ledger that all nodes share: a state for each height, each block executed once."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self._states = [first_state(genesis)[0]]
        self._made: list[Executed] = []
        self._tried: dict[object, Executed] = {}
        self._checked: dict[bytes, Executed | None] = {}
        self.stored: dict[int, tuple[bytes, bytes]] = {}

    def at(self, height: int) -> State:
        while len(self._states) <= height:
            state = first_state(self.genesis)[0]
            for executed in self._made[: len(self._states)]:
                state.commit(executed.changes, executed.tree)
            self._states.append(state)
        return self._states[height]

    @contextmanager
    def shared(self) -> Iterator[None]:
        apply, check = candidates.apply_block, decided.check

        def once(state: State, block: BlockInput, *, building: bool = False, more: Any = None) -> Executed:
            if building:
                return apply(state, block, building=True, more=more)
            key = (block.height, block.time, block.proposer, tuple(tx.id for tx in block.txs))
            if key not in self._tried:
                self._tried[key] = apply(state, block)
            return self._tried[key]

        def checked(state: State, parent: bytes, item: DecodedBlock, pool: Mempool) -> Executed | None:
            if transition.chain_record(state).height + 1 != item.certificate.height:
                return check(state, parent, item, pool)
            key = item.certificate.block_id
            if key not in self._checked:
                self._checked[key] = check(state, parent, item, pool)
            return self._checked[key]

        def committed(state: State, executed: Executed) -> None:
            if len(self._made) == transition.chain_record(state).height:
                self._made.append(executed)

        with (
            mock.patch("learningchain.chain.node.candidates.apply_block", once),
            mock.patch("learningchain.chain.node.decided.check", checked),
            mock.patch("learningchain.chain.ledger.transition.commit", committed),
        ):
            yield


class SharedNode(Node):
    """Looks at the shared state of its height."""

    ledger: Ledger

    @property
    def state(self) -> State:  # type: ignore[override]
        return self.ledger.at(self.height) if "height" in self.__dict__ else self.ledger.at(0)

    @state.setter
    def state(self, state: State) -> None:
        pass


class Graph:
    """`delays` in milliseconds: each connection has one, drawn once."""

    def __init__(self, overlay: Overlay, counts: Counts, *, seed: int, delays: tuple[int, int] = (10, 40)) -> None:
        self.rng = random.Random(seed)
        self.counts = counts
        self.now = 0
        self._queue: list[tuple[int, int, int, Any]] = []
        self._count = 0
        places = overlay.places
        self.validators = len(overlay.validators)
        self.ids = [p.id for p in places]
        self.index = {identity: i for i, identity in enumerate(self.ids)}
        accounts = [GenesisAccount(key_of(i).public, GRANT, i < self.validators, True) for i in range(len(places))]
        self.payers = [key_of(10**6 + i) for i in range(PAYERS)]
        accounts += [GenesisAccount(k.public, GRANT, False, False) for k in self.payers]
        self.ledger = Ledger(Genesis(1, "growth", T0, Params(), accounts, b"", b""))
        self.chain_id = self.ledger.genesis.chain_id
        self.delay = {(a, b): self.rng.randint(*delays) for a, p in enumerate(places) for b in p.peers if a < b}
        self.meshes = [GossipTargets(MESH, random.Random(i)) for i in range(len(places))]
        self.decided_at: dict[int, list[int]] = {}
        """When each node had a height, from the first one on."""
        kind = type("OneLedger", (SharedNode,), {"ledger": self.ledger})
        self.nodes: list[Node] = [kind(i, b"beacon" + i, self.ledger.at(0), self.chain_id) for i in self.ids]
        self._flushing = [False] * len(places)
        self._sequences = [0] * PAYERS
        self._peers = [[self.ids[peer] for peer in sorted(place.peers)] for place in places]
        for mesh, peers in zip(self.meshes, self._peers, strict=True):
            mesh.set_validators(overlay.validators)
            for peer in peers:
                mesh.peer(peer, True)

    # --- time -----------------------------------------------------------------------------------------------------------------

    def _later(self, delay: int, index: int, event: Any) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, index, event))

    def start(self) -> None:
        """Everybody at once, ticking at different times; all connections are up."""
        for index, node in enumerate(self.nodes):
            self._run(index, node.start(T0, []))
        for index in range(len(self.nodes)):
            for peer in self._peers[index]:
                self._feed(index, e.PeerUp(peer))

    def run(self, ms: int) -> None:
        end = self.now + ms
        while self._queue and self._queue[0][0] <= end:
            self.now, _, index, event = heapq.heappop(self._queue)
            if event is None:
                self._flushing[index] = False
                self._run(index, self.nodes[index].flush(T0 + self.now))
            else:
                self._feed(index, event)
        self.now = end

    def _feed(self, index: int, event: e.Input) -> None:
        self._run(index, self.nodes[index].handle(event, T0 + self.now))
        if not self._flushing[index]:
            self._flushing[index] = True
            self._later(1, index, None)

    def transfer(self, index: int, payer: int) -> None:
        """Somebody sends through this node."""
        key, body = self.payers[payer], encode(Transfer(self.ids[index], 1, b""))
        number, self._sequences[payer] = self._sequences[payer], self._sequences[payer] + 1
        tx = TxBody(net_of(self.chain_id), account_id(key.public), 0, number, 10_000, [msgspec.Raw(body)])
        self.nodes[index].submit(sign_tx(key, self.chain_id, tx), T0 + self.now)
        self._later(1, index, None)

    # --- effects --------------------------------------------------------------------------------------------------------------

    def _run(self, index: int, effects: list[e.Effect]) -> None:
        for effect in effects:
            match effect:
                case e.Gossip(payload, _, scope, exclude):
                    for peer in self._targets(index, scope, exclude):
                        self._send(index, self.index[peer], payload)
                case e.Send(peer, payload, _):
                    self._send(index, self.index[peer], payload)
                case e.SetTimer(timer, ms):
                    first = self.now == 0 and isinstance(timer, e.Tick)
                    self._later(self.rng.randint(1, ms) if first else ms, index, e.Fired(timer))
                case e.SignRequest(request):
                    self._later(0, index, e.SignedMessage(self._signed(index, request)))
                case e.Commit():
                    self.ledger.stored[effect.height] = (effect.block, effect.certificate)
                case e.Decided():
                    self.decided_at.setdefault(effect.height, []).append(self.now)
                case e.CheckSignatures(ticket, checks):
                    self._later(1, index, e.SignaturesChecked(ticket, checks, are_signed(self.chain_id, checks)))
                case e.ReadBlocks(peer, start, count):
                    found = [self.ledger.stored[h] for h in range(start, start + count)]
                    self._later(1, index, e.Answered(peer, encode(decided.answer(found))))
                case e.Penalize(peer, reason):
                    raise RuntimeError(f"an honest peer was blamed: {reason}")

    def _targets(self, index: int, scope: e.Scope, exclude: frozenset[bytes]) -> list[bytes]:
        """As the driver does."""
        if scope is e.Scope.CONSENSUS:
            return self.meshes[index].consensus_targets(exclude)
        if scope is e.Scope.MESH:
            return self.meshes[index].mesh_targets(exclude)
        return [peer for peer in self._peers[index] if peer not in exclude]

    def _send(self, source: int, target: int, payload: bytes) -> None:
        pair = (source, target) if source < target else (target, source)
        self.counts.note(source, target, KINDS[payload[1]], len(payload) + 1)
        self._later(self.delay[pair], target, e.Received(self.ids[source], payload))

    def _signed(self, index: int, r: Any) -> Vote | Proposal:
        sign, own = key_of(index).sign, self.ids[index]
        if isinstance(r, SignVote):
            digest = vote_digest(self.chain_id, r.type, r.height, r.round, r.block_id)
            return Vote(r.type, r.height, r.round, r.block_id, own, sign(digest))
        digest = proposal_digest(self.chain_id, r.height, r.round, r.pol_round, r.block_id)
        return Proposal(r.height, r.round, r.pol_round, r.block_id, own, sign(digest))
