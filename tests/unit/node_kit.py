"""Nodes side by side without disks: messages arrive after a millisecond unless the test takes them away."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import job_id_of, needed_capacity
from learningchain.chain.contracts.membership import SetCapacity
from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.state_diff import changes_of
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node import decided
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.checks import are_signed, hash_blocks
from learningchain.chain.node.node import Node
from learningchain.chain.params import Params
from learningchain.chain.types import Checkpoint, Proposal, TxBody, Vote, decode_block, net_of, proposal_digest, vote_digest
from tests.unit.job_kit import posting

T0 = 1_700_000_000_000
PARAMS = Params(timeout_propose=300, timeout_vote=150, timeout_step=60, timeout_max=2_000, heartbeat=60_000, drift=400)
T = TypeVar("T")


@cache
def key_of(index: int) -> SigningKey:
    return SigningKey(sha256(b"node %d" % index))


def ident(index: int) -> bytes:
    return account_id(key_of(index).public)


@cache
def genesis(validators: int = 4, params: Params = PARAMS, members: int = 6, poor: int = 0) -> Genesis:
    """`poor`: so many more have no credits."""
    accounts = [GenesisAccount(key_of(i).public, 10**12, i < validators, True) for i in range(members)]
    accounts += [GenesisAccount(key_of(i).public, 0, False, False) for i in range(members, members + poor)]
    return Genesis(1, "test", T0, params, accounts, b"", b"")


CHAIN = genesis().chain_id


def state_of(g: Genesis) -> State:
    return first_state(g)[0]


def transfer(sender: int, sequence: int, *, lane: int = 0, until: int = 500, chain: bytes = CHAIN, amount: int = 5) -> bytes:
    op = msgspec.Raw(encode(Transfer(ident(sender + 1), amount, b"")))
    return signed(sender, sequence, op, lane=lane, until=until, chain=chain)


def signed(sender: int, sequence: int, op: msgspec.Raw, *, lane: int = 0, until: int = 500, chain: bytes = CHAIN) -> bytes:
    return sign_tx(key_of(sender), chain, TxBody(net_of(chain), ident(sender), lane, sequence, until, [op]))


def vote(index: int, type_: int, height: int, round_: int, block: bytes) -> Vote:
    signature = key_of(index).sign(vote_digest(CHAIN, type_, height, round_, block))
    return Vote(type_, height, round_, block, ident(index), signature)


def propose(index: int, height: int, round_: int, block: bytes, pol_round: int = -1) -> Proposal:
    signature = key_of(index).sign(proposal_digest(CHAIN, height, round_, pol_round, block))
    return Proposal(height, round_, pol_round, block, ident(index), signature)


def of_kind(effects: list[e.Effect], kind: type[T]) -> list[T]:
    return [f for f in effects if isinstance(f, kind)]


def sent(effects: list[e.Effect], kind: type[T]) -> list[T]:
    """Messages of one kind that go out, to one peer or to many."""
    raw = [f.payload for f in effects if isinstance(f, e.Send | e.Gossip)]
    return [message for message in map(m.decode_message, raw) if isinstance(message, kind)]


def fresh(
    index: int = 0,
    *,
    validators: int = 4,
    params: Params = PARAMS,
    peers: tuple[int, ...] = (1, 2, 3),
    trusting: int = 0,
    snapshot_after: int = 0,
    checkpoint: Checkpoint | None = None,
) -> Node:
    """A started node with connected peers."""
    g = genesis(validators, params)
    node = Node(
        ident(index),
        sha256(b"b%d" % index),
        state_of(g),
        g.chain_id,
        trusting=trusting,
        snapshot_after=snapshot_after,
        checkpoint=checkpoint,
    )
    node.start(T0, [])
    for peer in peers:
        node.handle(e.PeerUp(ident(peer)), T0)
    return node


def receive(node: Node, peer: int, message: m.Message | bytes, now: int = T0) -> list[e.Effect]:
    return node.handle(e.Received(ident(peer), message if isinstance(message, bytes) else encode(message)), now)


Filter = Callable[[int, int, m.Message], bool]


@dataclass
class Net:
    """`lost(source, target, message)` takes a message away."""

    validators: int = 4
    observers: int = 1
    params: Params = PARAMS
    lost: Filter = lambda source, target, message: False
    nodes: list[Node] = field(default_factory=list)
    logs: list[list[bytes]] = field(default_factory=list)
    """Everything logged since the last TruncateLog."""
    effects: list[list[e.Effect]] = field(default_factory=list)
    commits: list[dict[int, e.Commit]] = field(default_factory=list)
    now: int = T0
    poor: int = 0

    def __post_init__(self) -> None:
        self.queue: list[tuple[int, int, int, e.Input]] = []
        self.count = 0
        self.genesis = genesis(self.validators, self.params, poor=self.poor)
        for index in range(self.validators + self.observers):
            self.nodes.append(Node(ident(index), sha256(b"b%d" % index), state_of(self.genesis), self.genesis.chain_id))
            self.logs.append([])
            self.effects.append([])
            self.commits.append({})
        for index, node in enumerate(self.nodes):
            self.run_effects(index, node.start(self.now, []))
        for index in range(len(self.nodes)):
            for other in range(len(self.nodes)):
                if other != index:
                    self.later(index, 0, e.PeerUp(ident(other)))

    def later(self, index: int, delay: int, event: e.Input) -> None:
        self.count += 1
        heapq.heappush(self.queue, (self.now + delay, self.count, index, event))

    def submit(self, index: int, raw: bytes) -> bytes:
        return self.nodes[index].submit(raw, self.now)

    def post_job(self, open_ms: int) -> bytes:
        """A job of member 0 that closes so long after this; three others can judge it. Four seconds later it stands everywhere."""
        clock = chain_record(self.nodes[0].state).clock
        terms = posting(bounty=10**6, fee=1_000, expiry=clock + open_ms)
        declared = msgspec.Raw(encode(SetCapacity(needed_capacity(terms))))
        for member in (1, 2, 3):
            self.submit(0, signed(member, 0, declared))
        self.run(2_000)
        job = job_id_of(self.submit(0, signed(0, 0, msgspec.Raw(encode(terms)))), 0)
        self.run(2_000)
        return job

    def run(self, ms: int, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + ms
        for index, node in enumerate(self.nodes):
            self.run_effects(index, node.flush(self.now))
        while self.queue and self.queue[0][0] <= end and not until():
            self.now, _, index, event = heapq.heappop(self.queue)
            self.run_effects(index, self.nodes[index].handle(event, self.now))
            self.run_effects(index, self.nodes[index].flush(self.now))
        if not until():
            self.now = end

    def reach(self, height: int) -> None:
        self.run(60_000, lambda: all(node.height >= height for node in self.nodes))
        assert [node.height for node in self.nodes] == [height] * len(self.nodes)

    def run_effects(self, index: int, effects: list[e.Effect]) -> None:
        self.effects[index] += effects
        for effect in effects:
            self.run_effect(index, effect)

    def run_effect(self, index: int, effect: e.Effect) -> None:
        match effect:
            case e.Log(record, _):
                self.logs[index].append(record)
            case e.TruncateLog():
                self.logs[index].clear()
            case e.Commit():
                self.commits[index][effect.height] = effect
            case e.SignRequest(r) if index < self.validators:
                self.later(index, 0, e.SignedMessage(self.signature(index, r)))
            case e.Send(peer, payload, _):
                self.send(index, next(i for i in range(len(self.nodes)) if ident(i) == peer), payload)
            case e.Gossip(payload, _, _, exclude):
                for target in range(len(self.nodes)):
                    if target != index and ident(target) not in exclude:
                        self.send(index, target, payload)
            case e.SetTimer(timer, ms):
                self.later(index, ms, e.Fired(timer))
            case e.CheckSignatures(ticket, checks):
                self.later(index, 1, e.SignaturesChecked(ticket, checks, are_signed(self.genesis.chain_id, checks)))
            case e.HashBlocks(ticket, blocks):
                self.later(index, 1, e.BlocksHashed(ticket, hash_blocks(blocks)))
            case e.ReadBlocks(peer, start, count, _, outcomes):
                held = [self.commits[index][h] for h in range(start, start + count) if h in self.commits[index]]
                if outcomes:
                    told = [(c.block, c.certificate, c.receipts, encode(changes_of(c.state))) for c in held]
                    self.later(index, 0, e.Answered(peer, encode(decided.executed_blocks(told))))
                else:
                    self.later(index, 0, e.Answered(peer, encode(decided.answer([(c.block, c.certificate) for c in held]))))

            case e.ReadHeaders(peer, height, count):
                held = [self.commits[index][h] for h in range(height, max(0, height - count), -1) if h in self.commits[index]]
                below = [(c.height, encode(decode_block(c.block).header)) for c in held]
                self.later(index, 0, e.Answered(peer, encode(decided.headers(height, below))))

    def signature(self, index: int, r: Any) -> Vote | Proposal:
        chain = self.genesis.chain_id
        if isinstance(r, SignVote):
            digest = vote_digest(chain, r.type, r.height, r.round, r.block_id)
            return Vote(r.type, r.height, r.round, r.block_id, ident(index), key_of(index).sign(digest))
        digest = proposal_digest(chain, r.height, r.round, r.pol_round, r.block_id)
        return Proposal(r.height, r.round, r.pol_round, r.block_id, ident(index), key_of(index).sign(digest))

    def send(self, source: int, target: int, payload: bytes) -> None:
        if not self.lost(source, target, m.decode_message(payload)):
            self.later(target, 1, e.Received(ident(source), payload))

    def balance(self, index: int, of: int) -> int:
        account = self.nodes[index].state.get(account_key(ident(of)))
        assert isinstance(account, Account)
        return account.balance
