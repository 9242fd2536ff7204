"""A node whose guard is older than the chain (a restored backup, a lost folder) never contradicts what its key signed since."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.crypto import sha256
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.node import candidates, double_sign_check
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.double_sign_check import ABSTAIN_MARGIN, FALLBACK_MS, STABLE_TICKS, DoubleSignCheck, Place
from learningchain.chain.node.node import Node
from learningchain.chain.node.sync import Sync
from learningchain.chain.types import NIL, PRECOMMIT, PREVOTE, Certificate, block_id, decode_block
from tests.unit.node_kit import (
    PARAMS,
    T0,
    Net,
    fresh,
    genesis,
    ident,
    of_kind,
    propose,
    receive,
    state_of,
    transfer,
    vote,
)

NEVER: Place = (0, 0, 0)


def requests(effects: list[e.Effect]) -> list[e.SignRequest]:
    return of_kind(effects, e.SignRequest)


class Graph(Net):
    """`silent` nodes are off. A guard that abstains is obeyed, as by the driver."""

    def __post_init__(self) -> None:
        self.floor = 0
        self.off: set[int] = set()
        super().__post_init__()

    def run_effect(self, index: int, effect: e.Effect) -> None:
        if index in self.off:
            return
        if isinstance(effect, e.Abstain):
            self.floor = effect.until
        if index == 0 and isinstance(effect, e.SignRequest) and effect.request.height <= self.floor:
            return
        super().run_effect(index, effect)

    def restore(self, signed: Place | None = NEVER) -> Node:
        """Node 0 comes back with the data of the beginning."""
        node = self.nodes[0] = Node(ident(0), sha256(b"b0"), state_of(self.genesis), self.genesis.chain_id, signed=signed)
        self.effects[0], self.logs[0], self.commits[0] = [], [], {}
        self.queue = [entry for entry in self.queue if entry[2] != 0]
        self.run_effects(0, node.start(self.now, []))
        for other in range(1, len(self.nodes)):
            self.later(0, 0, e.PeerUp(ident(other)))
            self.later(other, 0, e.PeerUp(ident(0)))
        return node

    def signed(self) -> set[tuple[int, int, int, bytes]]:
        """What left node 0 with its signature, as (height, round, kind, block)."""
        found = set()
        for effect in self.effects[0]:
            if isinstance(effect, e.SignRequest) and effect.request.height > self.floor:
                r = effect.request
                found.add((r.height, r.round, r.type if isinstance(r, SignVote) else 0, r.block_id))
        return found


@pytest.fixture
def grown() -> Graph:
    """Five heights of a graph whose first validator took part in all of them."""
    graph = Graph()
    for n in range(5):
        graph.submit(1, transfer(1, n))
        graph.reach(n + 1)
    return graph


def test_a_restored_validator_signs_nothing_that_it_may_have_signed_before(grown: Graph) -> None:
    before = grown.signed()
    restored = grown.restore()
    for n in range(5, 12):
        grown.submit(1, transfer(1, n))
        grown.reach(n + 1)
    assert restored.height == 12
    after = grown.signed()
    places = {entry[:3] for entry in before}
    assert not [entry for entry in after if entry[:3] in places]
    abstained = of_kind(grown.effects[0], e.Abstain)
    assert len(abstained) == 1
    assert abstained[0].until >= 5 + ABSTAIN_MARGIN
    assert after, "and then it takes part again"
    assert min(after)[0] > abstained[0].until


def test_a_guard_that_knows_everything_costs_no_height(grown: Graph) -> None:
    grown.restore(signed=(5, 0, PRECOMMIT))
    grown.submit(1, transfer(1, 5))
    grown.reach(6)
    assert not of_kind(grown.effects[0], e.Abstain)
    grown.submit(1, transfer(1, 6))
    grown.reach(7)
    assert {entry[0] for entry in grown.signed()} >= {7}


def test_nothing_is_signed_before_a_quorum_was_heard(grown: Graph) -> None:
    grown.lost = lambda source, target, message: target == 0 and source != 1
    restored = grown.restore()
    grown.run(FALLBACK_MS - 500)
    assert not grown.signed()
    assert restored.height == 5, "it catches up all the same"
    grown.run(60_000)
    assert not grown.signed(), "one peer's word is never enough for a guard that is known to be old"
    assert restored.unheard == (2, 1)
    grown.lost = lambda source, target, message: False
    grown.later(0, 0, e.PeerDown(ident(2)))
    grown.later(0, 0, e.PeerUp(ident(2)))
    grown.later(2, 0, e.PeerDown(ident(0)))
    grown.later(2, 0, e.PeerUp(ident(0)))
    grown.run(2_000)
    (abstained,) = of_kind(grown.effects[0], e.Abstain)
    assert abstained.until >= 5 + ABSTAIN_MARGIN
    assert restored.unheard is None


def test_all_of_a_graph_that_was_switched_off_go_on_at_once() -> None:
    graph = Graph()
    for index in range(4):
        fresh = Node(ident(index), sha256(b"b%d" % index), state_of(graph.genesis), graph.genesis.chain_id, signed=NEVER)
        graph.nodes[index] = fresh
        graph.run_effects(index, fresh.start(graph.now, []))
    graph.submit(1, transfer(1, 0))
    graph.run(FALLBACK_MS - 1, lambda: min(node.height for node in graph.nodes) >= 1)
    assert min(node.height for node in graph.nodes) == 1


# --- the rules one by one -------------------------------------------------------------------------------------------------------


def machine(signed: Place = NEVER) -> DoubleSignCheck:
    return DoubleSignCheck(ident(0), signed)


def ticks(a: DoubleSignCheck, count: int, *, now: int = 0, height: int = 5, told: int = 5, n: int = 4) -> list[e.Effect]:
    sync = Sync()
    sync.peer(ident(1), told)
    validators = validators_of(state_of(genesis(n, PARAMS)))
    out: list[e.Effect] = []
    for _ in range(count):
        out += a.tick(now, height, sync, validators, fresh().consensus.round_state)
    return [effect for effect in out if not isinstance(effect, e.Gossip)]


def test_own_votes_that_come_back_tell() -> None:
    a = machine((5, 1, PREVOTE))
    a.saw(vote(0, PREVOTE, 5, 1, NIL))
    a.saw(vote(1, PREVOTE, 9, 0, NIL))
    for peer in (1, 2, 3):
        a.heard(ident(peer))
    assert ticks(a, STABLE_TICKS + 1) == []
    assert not a.on_probation
    b = machine((5, 1, PREVOTE))
    b.saw(vote(0, PRECOMMIT, 5, 1, NIL))
    for peer in (1, 2, 3):
        b.heard(ident(peer))
    assert ticks(b, STABLE_TICKS + 1) == [e.Abstain(5 + ABSTAIN_MARGIN)]


def test_what_the_others_decided_meanwhile_is_left_out_as_well() -> None:
    """LC-NODE-31: 2 above the highest height told, not above what is here: a graph that runs is further than this node."""
    a = machine(double_sign_check.UNKNOWN)
    for peer in (1, 2, 3):
        a.heard(ident(peer))
    assert ticks(a, 1, height=5, told=5) == []
    assert ticks(a, STABLE_TICKS, height=5, told=9) == [e.Abstain(9 + ABSTAIN_MARGIN)]


def test_a_height_that_proves_false_is_not_waited_for() -> None:
    a = machine()
    for peer in (1, 2, 3):
        a.heard(ident(peer))
    assert ticks(a, 50, told=2**40) == []
    ticks(a, STABLE_TICKS + 1, told=5)
    assert not a.on_probation


@pytest.mark.parametrize("signed", [NEVER, double_sign_check.UNKNOWN])
def test_a_member_s_false_height_neither_silences_a_validator_nor_makes_it_abstain_for_ever(signed: Place) -> None:
    """It answers questions for blocks as well as anybody, so that its word holds; and it may say so at the last moment."""
    for first in range(STABLE_TICKS + 2):
        a, sync = machine(signed), Sync()
        for peer in (1, 2, 3):
            a.heard(ident(peer))
            sync.peer(ident(peer), 5)
        out: list[e.Effect] = []
        for tick in range(STABLE_TICKS + 1):
            a.heard(ident(4))
            sync.peer(ident(4), 2**40 if tick >= first else 5)
            out += a.tick(100 * tick, 5, sync, validators_of(state_of(genesis(4, PARAMS))), fresh().consensus.round_state)
        assert not a.on_probation
        assert of_kind(out, e.Abstain) == ([e.Abstain(5 + ABSTAIN_MARGIN)] if signed == double_sign_check.UNKNOWN else [])


def test_the_operators_word_that_a_guard_was_lost_needs_no_proof() -> None:
    """What was signed last may stand in no certificate, and its few receivers may be gone."""
    a = machine(double_sign_check.UNKNOWN)
    for peer in (1, 2, 3):
        a.heard(ident(peer))
    assert ticks(a, STABLE_TICKS + 1) == [e.Abstain(5 + ABSTAIN_MARGIN)]


def test_who_left_was_not_heard() -> None:
    a = machine()
    a.heard(ident(1))
    a.heard(ident(2))
    a.heard(ident(2), here=False)
    ticks(a, 50)
    assert a.on_probation


def test_what_waits_is_bounded_and_let_go_in_its_order() -> None:
    a = machine((9, 0, PRECOMMIT))
    asked = [SignVote(PREVOTE, height, 0, NIL) for height in range(3, 20)]
    for request in asked:
        assert a.sign(request) == []
    for peer in (1, 2, 3):
        a.heard(ident(peer))
    kept = [e.SignRequest(request) for request in asked[-double_sign_check.MAX_HELD :]]
    assert ticks(a, STABLE_TICKS + 1) == kept
    assert a.sign(asked[0]) == [e.SignRequest(asked[0])]


def test_a_certificate_of_others_proves_nothing(grown: Graph) -> None:
    validators = validators_of(grown.nodes[1].state)
    header = next(d.header for d in of_kind(grown.effects[1], e.Decided) if d.header.proposer != ident(0))
    others = [i for i, v in enumerate(validators) if v.id != ident(0)]
    a = machine()
    a.decided(header, Certificate(header.height, 0, b"", others, []), validators)
    for peer in (1, 2, 3):
        a.heard(ident(peer))
    assert ticks(a, STABLE_TICKS + 1) == []


# --- what of it reaches the node ------------------------------------------------------------------------------------------------


def on_probation(index: int = 0, heard: tuple[int, ...] = (1, 2, 3)) -> Node:
    """A started validator whose guard knows nothing, connected to the others, of whom some told their height."""
    g = genesis()
    node = Node(ident(index), sha256(b"b%d" % index), state_of(g), g.chain_id, signed=NEVER)
    node.start(T0, [])
    others = [i for i in range(4) if i != index]
    for peer in others:
        node.handle(e.PeerUp(ident(peer)), T0)
    for nth, peer in enumerate(others, 1):
        if nth in heard:
            receive(node, peer, m.Status(0, 1))
    return node


def settle(node: Node, count: int = STABLE_TICKS + 1) -> list[int]:
    """The heights up to which it abstains, once all that it waits for is here."""
    effects = [effect for tick in range(count) for effect in node.handle(e.Fired(e.Tick()), T0 + tick)]
    return [effect.until for effect in of_kind(effects, e.Abstain)]


def own_proposal(index: int) -> m.CompactProposal:
    made, _ = candidates.build(state_of(genesis()), ident(index), sha256(b"b%d" % index), 0, genesis().chain_id, T0 + 5, [])
    return m.CompactProposal(propose(index, 1, 0, block_id(made.header)), made.header, [])


FIRST = next(i for i in range(4) if ident(i) == fresh().consensus.proposer(0))
"""Whose turn round 0 of height 1 is."""
OWN: dict[str, m.Message] = {
    "a prevote": m.VoteMessage(vote(FIRST, PREVOTE, 1, 0, NIL)),
    "a precommit": m.VoteMessage(vote(FIRST, PRECOMMIT, 1, 0, NIL)),
    "a proposal": own_proposal(FIRST),
}


@pytest.mark.parametrize("name", OWN)
def test_a_node_that_hears_what_it_signed_itself_abstains(name: str) -> None:
    """LC-NODE-31: its guard knows nothing of it, so there may be more that the guard does not know."""
    node = on_probation(FIRST)
    receive(node, (FIRST + 1) % 4, OWN[name])
    assert settle(node) == [ABSTAIN_MARGIN]
    assert not node._double_sign_check.on_probation


def test_a_node_that_hears_nothing_of_its_own_signs() -> None:
    node = on_probation(FIRST)
    receive(node, (FIRST + 1) % 4, m.VoteMessage(vote((FIRST + 1) % 4, PREVOTE, 1, 0, NIL)))
    assert settle(node) == []
    assert not node._double_sign_check.on_probation


def test_nor_is_a_forgery_under_its_name_a_sign() -> None:
    node = on_probation(FIRST)
    forged = replace(vote((FIRST + 1) % 4, PREVOTE, 1, 0, NIL), validator=ident(FIRST))
    receive(node, (FIRST + 1) % 4, m.VoteMessage(forged))
    assert settle(node) == []


def test_a_peer_that_has_gone_no_longer_counts_as_heard() -> None:
    """Else two peers, one after the other, could pass for the quorum that bounds what was forgotten."""
    left = on_probation(heard=(1, 2))
    left.handle(e.PeerDown(ident(2)), T0)
    settle(left, 50)
    assert left._double_sign_check.on_probation
    stayed = on_probation(heard=(1, 2))
    settle(stayed)
    assert not stayed._double_sign_check.on_probation


def test_a_decided_block_of_its_own_is_a_sign_whoever_signed_it(grown: Graph) -> None:
    """Its proposer's vote is often not among the first three that make the certificate."""
    validators = validators_of(grown.nodes[1].state)
    header = next(d.header for d in of_kind(grown.effects[1], e.Decided) if d.header.proposer == ident(0))
    others = [i for i, v in enumerate(validators) if v.id != ident(0)]
    a = machine()
    a.decided(header, Certificate(header.height, 0, b"", others, []), validators)
    for peer in (1, 2, 3):
        a.heard(ident(peer))
    assert ticks(a, STABLE_TICKS + 1) == [e.Abstain(5 + ABSTAIN_MARGIN)]


def test_blocks_that_a_restored_node_fetches_are_looked_at(grown: Graph) -> None:
    """Those that it proposed, with certificates that it did not sign: nobody sends its old votes again."""
    own = [d.height for d in of_kind(grown.effects[1], e.Decided) if d.header.proposer == ident(0)]
    assert own and max(own) < 5, "the graph goes on without it"
    for held in grown.commits:
        for height, commit in list(held.items()):
            held[height] = replace_certificate(commit, grown)
    grown.lost = lambda source, target, message: target == 0 and isinstance(message, m.VoteMessage | m.CompactProposal)
    grown.restore()
    grown.run(FALLBACK_MS - 500)
    (abstained,) = of_kind(grown.effects[0], e.Abstain)
    assert abstained.until >= 5


def replace_certificate(commit: e.Commit, graph: Graph) -> e.Commit:
    """The same block, decided by the votes of all but node 0."""
    header = decode_block(commit.block).header
    validators = validators_of(state_of(graph.genesis))
    signers = [i for i, v in enumerate(validators) if v.id != ident(0)]
    key = block_id(header)
    index_of = {v.id: next(n for n in range(4) if ident(n) == v.id) for v in validators}
    votes = [vote(index_of[validators[i].id], PRECOMMIT, header.height, header.round, key) for i in signers]
    certificate = Certificate(header.height, header.round, key, signers, [v.signature for v in votes])
    return replace(commit, certificate=encode(certificate))
