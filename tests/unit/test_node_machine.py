"""The node as a whole: proposals and votes from peers, what they cost their senders, time, and when a height begins."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import CheckBlock, SignVote, Timeout, TimeoutKind
from learningchain.chain.contracts import MESSAGES, membership
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.records import job_key
from learningchain.chain.crypto import ZERO_HASH, sha256
from learningchain.chain.errors import BrokenInvariant, InvalidTx, TxCode
from learningchain.chain.host import Host
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import commit
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.node import candidates
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.candidates import MAX_CANDIDATES, Candidate
from learningchain.chain.node.node import Node
from learningchain.chain.node.recovery import BLOCK
from learningchain.chain.node.service import BODIES
from learningchain.chain.types import NIL, PRECOMMIT, PREVOTE, Certificate, Header, block_id
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
    sent,
    state_of,
    transfer,
    vote,
)

ORDER = [next(i for i in range(4) if ident(i) == v.id) for v in genesis().validators]


def proposer_of(node: Node, round_: int = 0) -> int:
    return next(i for i in range(4) if ident(i) == node.consensus.proposer(round_))


def victim() -> tuple[Node, int]:
    """A validator that has no turn in round 0, and the proposer."""
    probe = fresh(0)
    proposer = proposer_of(probe)
    own = (proposer + 1) % 4
    return fresh(own, peers=tuple(i for i in range(5) if i != own)), proposer


def block_of(proposer: int, *raws: bytes, now: int = T0 + 5) -> Candidate:
    state, txs = state_of(genesis()), [parse_tx(raw) for raw in raws]
    return candidates.build(state, ident(proposer), sha256(b"b%d" % proposer), 0, genesis().chain_id, now, txs)[0]


def compact(proposer: int, candidate: Candidate, header: Header | None = None, round_: int = 0) -> m.CompactProposal:
    header = header or candidate.header
    return m.CompactProposal(propose(proposer, 1, round_, block_id(header)), header, candidate.short)


def prevoted(effects: list[e.Effect]) -> list[bytes]:
    requests = [s.request for s in of_kind(effects, e.SignRequest)]
    return [r.block_id for r in requests if isinstance(r, SignVote) and r.type == PREVOTE]


# --- proposals -------------------------------------------------------------------------------------------------------


def test_a_good_proposal_is_relayed_logged_and_voted_for() -> None:
    node, proposer = victim()
    good = block_of(proposer)
    effects = receive(node, proposer, compact(proposer, good), T0 + 6)
    key = block_id(good.header)
    assert prevoted(effects) == [key]
    assert [g.exclude for g in of_kind(effects, e.Gossip) if isinstance(m.decode_message(g.payload), m.CompactProposal)] == [
        {ident(proposer)}
    ]
    kinds = [(f.record[:1], f.sync) if isinstance(f, e.Log) else type(f) for f in effects]
    body, intent, sign = kinds.index((b"B", False)), kinds.index((b"C", True)), kinds.index(e.SignRequest)
    assert body < intent < sign, "disk before wire"


@pytest.mark.parametrize(
    "field", ["parent", "tx_root", "receipt_root", "state_root", "validators_hash", "next_validators_hash", "reveal", "chain_id"]
)
def test_a_proposal_with_a_wrong_header_gets_a_nil_vote(field: str) -> None:
    node, proposer = victim()
    good = block_of(proposer)
    wrong = replace(good.header, **{field: bytes(31) + b"\1"})
    effects = receive(node, proposer, compact(proposer, good, wrong), T0 + 6)
    effects += receive(node, proposer, m.FullBlock(candidates.encoded(replace_header(good, wrong))), T0 + 7)
    effects += node.handle(e.Fired(Timeout(TimeoutKind.PROPOSE, 1, 0, 300)), T0 + 400)
    assert prevoted(effects) == [NIL]
    assert not node.faults, "a peer's mistake is none of ours"


def test_a_block_under_another_validator_s_name_gets_a_nil_vote() -> None:
    """Right in everything else: its roots are those of a block of that validator. It would put a beacon commitment of the
    attacker's choice under the other's name, whose next block could not reveal its secret."""
    node, proposer = victim()
    for other in range(4):
        if ident(other) not in (ident(proposer), node.own_id):
            made = block_of(other)
            effects = receive(node, proposer, compact(proposer, made), T0 + 6)
            effects += node.handle(e.Fired(Timeout(TimeoutKind.PROPOSE, 1, 0, 300)), T0 + 400)
            assert prevoted(effects) == [NIL]
            assert "no turn" in node._bodies.blocks.get(block_id(made.header)).fault  # type: ignore[union-attr]
            break
    assert not node.faults, "a peer's mistake is none of ours"


def alone(commitment_of: bytes) -> tuple[Node, State]:
    """The only validator, after a block whose commitment is one of that beacon key."""
    g = genesis(1)
    state = state_of(g)
    own = next(i for i in range(6) if ident(i) == g.validators[0].id)
    made, executed = candidates.build(state, ident(own), commitment_of, 0, g.chain_id, T0 + 5, [])
    commit(state, executed)
    node = Node(ident(own), sha256(b"own"), state, block_id(made.header))
    node.start(T0 + 10, [])
    return node, state


@pytest.mark.parametrize(("known", "revealed"), [(b"own", True), (b"not its own", False)])
def test_a_validator_whose_commitment_is_not_its_own_proposes_without_a_secret(known: bytes, revealed: bool) -> None:
    node, _ = alone(sha256(known))
    effects = node.handle(e.Fired(e.Tick()), T0 + 10 + PARAMS.heartbeat)
    assert [s.request.height for s in of_kind(effects, e.SignRequest)] == [2]
    (built,) = node._bodies.blocks._blocks.values()
    assert (built.header.reveal != ZERO_HASH) is revealed
    assert not node.faults


def replace_header(candidate: Candidate, header: Header) -> Candidate:
    return Candidate(header, candidate.slots, candidate.arrived, None, complete=True)


@pytest.mark.parametrize("change", [{"height": 2}, {"version": 9}, {"proposer": ident(9)}, {"round": 1}])
def test_a_header_out_of_its_place_is_never_voted_for(change: dict[str, object]) -> None:
    node, proposer = victim()
    good = block_of(proposer)
    effects = receive(node, proposer, compact(proposer, good, replace(good.header, **change)), T0 + 6)
    assert block_id(replace(good.header, **change)) not in prevoted(effects)


@pytest.mark.parametrize(
    ("ahead", "voted"),
    [(0, True), (PARAMS.drift, True), (PARAMS.drift + 1, False), (-PARAMS.drift - PARAMS.timeout_propose - 1, False)],
)
def test_a_fresh_block_s_time_lies_around_its_arrival(ahead: int, voted: bool) -> None:
    node, proposer = victim()
    arrival = T0 + 50_000
    made = block_of(proposer, now=arrival + ahead)
    effects = receive(node, proposer, compact(proposer, made), arrival)
    assert prevoted(effects) == [block_id(made.header) if voted else NIL]


def test_a_proposal_whose_header_is_another_block_s_costs_its_sender() -> None:
    node, proposer = victim()
    good = block_of(proposer)
    message = m.CompactProposal(propose(proposer, 1, 0, sha256(b"other")), good.header, [])
    assert [p.peer for p in of_kind(receive(node, 4, message), e.Penalize)] == [ident(4)]
    assert len(node._bodies.blocks) == 0


def test_a_proposal_out_of_turn_or_with_a_bad_signature_costs_its_sender() -> None:
    node, proposer = victim()
    good = block_of(proposer)
    other = next(i for i in range(4) if i not in (proposer, (proposer + 1) % 4))
    assert of_kind(receive(node, other, compact(other, good)), e.Penalize) != []
    forged = compact(proposer, good)
    forged = m.CompactProposal(replace(forged.proposal, signature=bytes(64)), forged.header, forged.ids)
    assert of_kind(receive(node, other, forged), e.Penalize) != []
    assert sent(receive(node, other, forged), m.CompactProposal) == [], "nothing refused is passed on"


@pytest.mark.parametrize(("height", "round_"), [(1, 4), (1, 40), (3, 0), (2**40, 0)])
def test_a_proposal_that_is_ignored_takes_no_room_and_is_asked_about_by_nobody(height: int, round_: int) -> None:
    """Nobody signs it: whoever sends a thousand of them must not push out the blocks that are voted on."""
    node, proposer = victim()
    good = block_of(proposer)
    header = replace(good.header, height=height, round=round_)
    unsigned = replace(propose(proposer, height, round_, block_id(header)), signature=bytes(64))
    effects = receive(node, 4, m.CompactProposal(unsigned, header, [bytes(8)] * 3), T0 + 6)
    effects += node.handle(e.Fired(e.Tick()), T0 + 106)
    assert len(node._bodies.blocks) == 0
    assert not sent(effects, m.GetBlock) and not of_kind(effects, e.Penalize)
    assert not [effect for effect in of_kind(effects, e.SetTimer) if isinstance(effect.timer, e.Late)]


def test_a_body_is_not_sent_more_often_than_allowed() -> None:
    """LC-NODE-51: a question of a hundred bytes for a block of two megabytes."""
    node, proposer = victim()
    good = block_of(proposer)
    receive(node, proposer, compact(proposer, good), T0 + 6)
    question = m.GetBlock(1, block_id(good.header), [])
    full = m.FullBlock(candidates.encoded(good))
    answers = [x for _ in range(500) for x in sent(receive(node, 4, question, T0 + 7), m.FullBlock)]
    assert answers == [full] * BODIES.rate.burst
    assert sent(receive(node, 3, question, T0 + 7), m.FullBlock) == [full], "another one is answered all the same"
    node.service.queued = lambda peer, lane: BODIES.max_queued
    assert not sent(receive(node, 2, question, T0 + 7), m.FullBlock)


def test_the_body_is_fetched_when_transactions_are_missing() -> None:
    node, proposer = victim()
    good = block_of(proposer, transfer(0, 0), transfer(1, 0))
    key = block_id(good.header)
    effects = receive(node, proposer, compact(proposer, good), T0 + 6)
    assert prevoted(effects) == []
    assert e.SetTimer(e.Late(key), e.LATE_MS) in effects, "they may be on the way"
    effects = node.handle(e.Fired(e.Late(key)), T0 + 6 + e.LATE_MS)
    (request,) = of_kind(effects, e.Send)
    assert (request.peer, m.decode_message(request.payload)) == (ident(proposer), m.GetBlock(1, key, []))
    raws = good.block().txs
    effects = receive(node, proposer, m.BlockTxs(key, [0, 1], raws), T0 + 8)
    if not prevoted(effects):
        effects = receive(node, proposer, m.FullBlock(candidates.encoded(good)), T0 + 9)
    assert prevoted(effects) == [key]


def test_transactions_that_come_behind_their_proposal_complete_it() -> None:
    node, proposer = victim()
    first, second = transfer(0, 0), transfer(1, 0)
    good = block_of(proposer, first, second)
    key = block_id(good.header)
    receive(node, proposer, compact(proposer, good), T0 + 6)
    assert prevoted(receive(node, proposer, m.Txs([second]), T0 + 7)) == []
    assert prevoted(receive(node, 4, m.Txs([first]), T0 + 8)) == [key]
    assert of_kind(node.handle(e.Fired(e.Late(key)), T0 + 26), e.Send) == []
    assert of_kind(node.handle(e.Fired(e.Late(sha256(b"of a height before"))), T0 + 27), e.Send) == []


def test_a_body_that_does_not_come_is_asked_for_at_every_tick_of_another_peer() -> None:
    node, proposer = victim()
    good = block_of(proposer, transfer(0, 0))
    receive(node, proposer, compact(proposer, good), T0 + 6)
    asked = []
    for n in range(4):
        effects = node.handle(e.Fired(e.Tick()), T0 + 100 * n + 100)
        asked += [f.peer for f in of_kind(effects, e.Send) if isinstance(m.decode_message(f.payload), m.GetBlock)]
    assert len(set(asked)) >= 3


def test_a_wrong_list_of_ids_from_a_peer_makes_no_nil_vote() -> None:
    """The list is not signed. It once made a node find a good block invalid, and halt when the others decided it."""
    node, proposer = victim()
    good = block_of(proposer, transfer(0, 0))
    poisoned = compact(proposer, good)
    poisoned = m.CompactProposal(poisoned.proposal, poisoned.header, [])
    effects = receive(node, 4, poisoned, T0 + 6)
    assert prevoted(effects) == []
    effects = receive(node, proposer, m.FullBlock(candidates.encoded(good)), T0 + 7)
    assert prevoted(effects) == [block_id(good.header)]


# --- votes, certificates, bytes --------------------------------------------------------------------------------------------------


def test_ignored_messages_cost_nothing_refused_ones_do() -> None:
    node, proposer = victim()
    other = next(i for i in range(4) if i != proposer and ident(i) != node.own_id)
    good = vote(other, PREVOTE, 1, 0, NIL)
    assert sent(receive(node, other, m.VoteMessage(good)), m.VoteMessage) == [m.VoteMessage(good)], "accepted: passed on"
    for dull in (good, vote(other, PREVOTE, 0, 0, NIL), vote(other, PREVOTE, 9, 0, NIL)):
        effects = receive(node, 4, m.VoteMessage(dull))
        assert of_kind(effects, e.Penalize) == []
        assert sent(effects, m.VoteMessage) == []
    for bad in (replace(good, round=1), vote(4, PREVOTE, 1, 0, NIL), vote(other, PREVOTE, 1, 0, b"short")):
        assert [p.peer for p in of_kind(receive(node, 4, m.VoteMessage(bad)), e.Penalize)] == [ident(4)]


def test_a_forged_certificate_costs_its_sender_and_decides_nothing() -> None:
    node, proposer = victim()
    key = block_id(block_of(proposer).header)
    for signers in ([0, 1, 2], [0], [2, 1, 0]):
        forged = Certificate(1, 0, key, signers, [bytes(64)] * len(signers))
        assert of_kind(receive(node, 4, m.CertificateMessage(forged)), e.Penalize) != []
    assert node.consensus.awaited is None


def certificate(candidate: Candidate) -> Certificate:
    key = block_id(candidate.header)
    votes = [vote(i, PRECOMMIT, 1, 0, key) for i in ORDER]
    return Certificate(1, 0, key, [0, 1, 2], [v.signature for v in votes[:3]])


def test_a_certificate_decides_once_its_block_is_here() -> None:
    node, proposer = victim()
    good = block_of(proposer, transfer(0, 0))
    receive(node, 4, m.CertificateMessage(certificate(good)))
    assert node.height == 0
    effects = receive(node, 4, m.FullBlock(candidates.encoded(good)), T0 + 9)
    assert node.height == 1
    (commit,) = of_kind(effects, e.Commit)
    assert not commit.durable
    records = [f for f in effects if isinstance(f, e.Log)]
    assert [f.record[:1] for f in records][-2:] == [b"B", b"D"], "the block and its certificate stand in the log before the commit"
    assert effects.index(records[-1]) < effects.index(commit)


@pytest.mark.parametrize("transactions", [0, 2])
def test_a_proposal_that_its_votes_overtook_decides_at_once(transactions: int) -> None:
    """Proposals wait behind transactions and votes do not. The node once had block and votes, and waited for the next round."""
    node, proposer = victim()
    raws = [transfer(i, 0) for i in range(transactions)]
    good = block_of(proposer, *raws)
    others = [i for i in range(4) if ident(i) != node.own_id]
    receive(node, 4, m.Txs(raws), T0 + 6)
    for kind in (PREVOTE, PRECOMMIT):
        for i in others:
            receive(node, i, m.VoteMessage(vote(i, kind, 1, 0, block_id(good.header))), T0 + 7)
    assert node.height == 0
    receive(node, proposer, compact(proposer, good), T0 + 8)
    assert node.height == 1


def test_a_block_that_comes_late_but_is_decided_is_taken() -> None:
    """It was asked for as a fresh proposal; while its body was on the way the others decided it. Once that stopped the node."""
    node, proposer = victim()
    good = block_of(proposer, transfer(0, 0), now=T0 + 10_000)
    receive(node, proposer, compact(proposer, good), T0 + 6)
    receive(node, 4, m.CertificateMessage(certificate(good)), T0 + 7)
    receive(node, proposer, m.FullBlock(candidates.encoded(good)), T0 + 8)
    assert node.height == 1


def test_a_decided_block_that_is_invalid_here_stops_the_node() -> None:
    node, proposer = victim()
    bad = block_of(proposer)
    bad = replace_header(bad, replace(bad.header, state_root=bytes(32)))
    receive(node, 4, m.CertificateMessage(certificate(bad)))
    with pytest.raises(BrokenInvariant):
        receive(node, 4, m.FullBlock(candidates.encoded(bad)))


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\x91\x63", encode(m.Status(1, 1)) + b"\0", b"\x92\x08\xcd\x00\x01", bytes(5_000_000)]
)
def test_bytes_that_are_no_message_cost_their_sender(raw: bytes) -> None:
    assert len(of_kind(receive(fresh(), 1, raw), e.Penalize)) == 1


# --- when a height begins ----------------------------------------------------------------------------------------------


def test_an_idle_graph_makes_no_blocks_until_the_heartbeat() -> None:
    net = Net()
    net.run(PARAMS.heartbeat - 1_000)
    assert {node.height for node in net.nodes} == {0}
    net.run(3_000)
    assert {node.height for node in net.nodes} == {1}


def test_a_deadline_starts_a_height_when_it_is_due() -> None:
    net = Net()
    job = net.post_job(open_ms=20_000)
    height = net.nodes[3].height
    assert net.nodes[3].state.get(job_key(job)) is not None
    net.run(15_000)
    assert {node.height for node in net.nodes} == {height}
    net.run(3_000)
    assert {node.height for node in net.nodes} == {height + 1}


def test_while_a_deadline_waits_for_a_height_blocks_are_made_without_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-CON-7, LC-BLK-33: the graph does not wait for its heartbeat."""
    spec = MESSAGES[Transfer][1]

    def wait(host: Host, sender: bytes, op: Transfer) -> None:
        host.schedule_at_height(host.height + 3, membership.NUMBER, bytes(20), sender)

    monkeypatch.setitem(MESSAGES, Transfer, (MESSAGES[Transfer][0], dataclasses.replace(spec, handler=wait)))
    net = Net()
    net.submit(0, transfer(0, 0))
    net.reach(1)
    net.run(PARAMS.heartbeat // 2)
    assert {node.height for node in net.nodes} == {4}
    net.run(PARAMS.heartbeat // 4)
    assert {node.height for node in net.nodes} == {4}


def test_a_user_is_told_at_once_why_not() -> None:
    node = fresh()
    with pytest.raises(InvalidTx) as caught:
        node.submit(b"junk", T0)
    assert caught.value.code is TxCode.MALFORMED
    assert node.submit(transfer(0, 0), T0) == node.submit(transfer(0, 0), T0)


def test_a_block_that_breaks_our_own_rules_is_not_proposed_and_the_node_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(validators=1, observers=0)

    def broken(*_: object) -> object:
        raise BrokenInvariant("a deadline that fails")

    monkeypatch.setattr(candidates, "build", broken)
    net.submit(0, transfer(0, 0, chain=net.genesis.chain_id))
    net.run(500)
    assert "a deadline that fails" in net.nodes[0].faults[0]
    monkeypatch.undo()
    net.reach(1)


# --- bounds ------------------------------------------------------------------------------------------------------------


def test_a_flood_of_proposals_leaves_a_bounded_number_of_blocks_and_the_evidence() -> None:
    node, proposer = victim()
    evidence = []
    for n in range(60):
        made = block_of(proposer, now=T0 + 5 + n)
        evidence += of_kind(receive(node, proposer, compact(proposer, made), T0 + 6), e.Evidenced)
    assert len(node._bodies.blocks) <= MAX_CANDIDATES
    assert len(evidence) == 1


def test_proposals_that_name_blocks_nobody_has_are_bounded() -> None:
    node, _ = victim()
    for n in range(200):
        node._run_all([CheckBlock(1, n, sha256(b"%d" % n), False)])
    assert len(node._bodies.wanted) <= 64


# --- what peers' words are worth ------------------------------------------------------------------------------------------------


def test_a_block_is_logged_once_however_often_it_is_checked_and_when_it_is_decided() -> None:
    net = Net()
    for n in range(4):
        net.submit(0, transfer(0, n))
        net.reach(n + 1)
    for effects in net.effects:
        bodies = [log.record for log in of_kind(effects, e.Log) if log.record[:1] == BLOCK]
        assert len(bodies) == len(set(bodies)) >= 4
