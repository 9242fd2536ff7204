"""What peers send: real signatures, verdicts with reasons, hostile input, bounds on memory whatever arrives."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.consensus.messages import (
    CertificateReceived,
    Opinion,
    ProposalReceived,
    StartHeight,
    StateReceived,
    Step,
    VoteReceived,
    WakeUp,
)
from learningchain.chain.consensus.votes import KEEP_ROUNDS
from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.errors import Verdict
from learningchain.chain.params import Params
from learningchain.chain.types import (
    NIL,
    PRECOMMIT,
    PREVOTE,
    Certificate,
    Proposal,
    Validator,
    Vote,
    VoteEvidence,
    proposal_digest,
    vote_digest,
    vote_is_signed,
)
from tests.unit.consensus_kit import HEIGHT, T_PRECOMMIT, block, drive, machine, prevote, proposal, start, timeout

CHAIN = b"\1" * 32
KEYS = sorted((SigningKey(bytes([i]) * 32) for i in range(1, 5)), key=lambda k: account_id(k.public))
SET = [Validator(account_id(k.public), k.public) for k in KEYS]
STRANGER = SigningKey(b"\x09" * 32)


def signed_vote(
    by: int, type_: int = PREVOTE, round_: int = 0, block_id: bytes = NIL, height: int = HEIGHT, chain: bytes = CHAIN
) -> Vote:
    signature = KEYS[by].sign(vote_digest(chain, type_, height, round_, block_id))
    return Vote(type_, height, round_, block_id, SET[by].id, signature)


def signed_proposal(by: int, round_: int = 0, pol: int = -1, block_id: bytes = block("A"), height: int = HEIGHT) -> Proposal:
    signature = KEYS[by].sign(proposal_digest(CHAIN, height, round_, pol, block_id))
    return Proposal(height, round_, pol, block_id, SET[by].id, signature)


def with_(message: Vote, **changes: object) -> Vote:
    fields = {f: getattr(message, f) for f in message.__struct_fields__} | changes
    return Vote(**fields)  # type: ignore[arg-type]


@pytest.fixture
def node() -> Consensus:
    consensus = Consensus(CHAIN, SET[3].id, Params())
    consensus.handle(StartHeight(HEIGHT - 1, SET))
    consensus.handle(StartHeight(HEIGHT, SET))
    return consensus


def test_before_the_first_height_everything_is_ignored() -> None:
    assert Consensus(CHAIN, None, Params()).classify(signed_vote(0)) == Opinion(Verdict.IGNORE, "not started")
    assert Consensus(CHAIN, None, Params()).handle(VoteReceived(signed_vote(0))) == []


VERDICTS: list[tuple[str, Vote | Proposal | Certificate, Verdict, str]] = [
    ("a good vote", signed_vote(0), Verdict.ACCEPT, ""),
    ("a good proposal", signed_proposal(0), Verdict.ACCEPT, ""),
    ("a proposal of the next round", signed_proposal(1, 1), Verdict.ACCEPT, ""),
    ("a vote far ahead", signed_vote(0, round_=900), Verdict.ACCEPT, ""),
    ("a vote of the next height", signed_vote(0, height=HEIGHT + 1), Verdict.ACCEPT, ""),
    ("a proposal of the next height", signed_proposal(1, height=HEIGHT + 1), Verdict.ACCEPT, ""),
    ("a proposal out of turn, of the next height", signed_proposal(0, height=HEIGHT + 1), Verdict.IGNORE, "future height"),
    ("old height", signed_vote(0, height=HEIGHT - 1), Verdict.IGNORE, "old height"),
    ("two heights ahead", signed_vote(0, height=HEIGHT + 2), Verdict.IGNORE, "future height"),
    ("a proposal far ahead", signed_proposal(2, 2), Verdict.IGNORE, "too-far round"),
    ("another network", signed_vote(0, chain=b"\2" * 32), Verdict.REJECT, "bad signature"),
    ("somebody else's name", with_(signed_vote(0), validator=SET[1].id), Verdict.REJECT, "bad signature"),
    ("another block under the signature", with_(signed_vote(0), block_id=block("A")), Verdict.REJECT, "bad signature"),
    ("a stranger", with_(signed_vote(0), validator=account_id(STRANGER.public)), Verdict.REJECT, "not a validator"),
    ("a proposal out of turn", signed_proposal(1, 0), Verdict.REJECT, "wrong proposer"),
    ("a proof of lock of its own round", signed_proposal(1, 1, 1), Verdict.REJECT, "malformed proposal"),
    ("a block id of odd length", signed_vote(0, block_id=b"\1" * 5), Verdict.REJECT, "malformed vote"),
    ("a bad signature of the next height", with_(signed_vote(0), height=HEIGHT + 1), Verdict.IGNORE, "future height"),
    ("a certificate of a later height", Certificate(HEIGHT + 1, 0, block("A"), [0], [b"\1" * 64]), Verdict.IGNORE, "future height"),
    ("a certificate with too few", Certificate(HEIGHT, 0, block("A"), [0], [b"\1" * 64]), Verdict.REJECT, "needs 3 signatures"),
    ("a certificate that is empty", Certificate(HEIGHT, 0, block("A"), [], []), Verdict.REJECT, "malformed certificate"),
    ("a forged certificate", Certificate(HEIGHT, 0, block("A"), [0, 1, 2], [b"\1" * 64] * 3), Verdict.REJECT, "did not sign"),
]


@pytest.mark.parametrize(("message", "verdict", "reason"), [v[1:] for v in VERDICTS], ids=[v[0] for v in VERDICTS])
def test_verdict(node: Consensus, message: Vote | Proposal | Certificate, verdict: Verdict, reason: str) -> None:
    opinion = node.classify(message)
    assert opinion.verdict is verdict
    assert reason in opinion.reason and bool(reason) == bool(opinion.reason)


@pytest.mark.parametrize(
    "message", [v[1] for v in VERDICTS if v[2] is not Verdict.ACCEPT], ids=[v[0] for v in VERDICTS if v[2] is not Verdict.ACCEPT]
)
def test_a_refused_message_changes_nothing(node: Consensus, message: Vote | Proposal | Certificate) -> None:
    before = node.round_state()
    event = {Vote: VoteReceived, Proposal: ProposalReceived, Certificate: CertificateReceived}[type(message)]
    assert node.handle(event(message)) == []
    assert node.round_state() == before and node.step is Step.WAIT and node.votes_held == 0


def test_nobody_is_refused_for_passing_on_what_was_good_with_the_last_set(node: Consensus) -> None:
    vote, out_of_turn = signed_vote(3, height=HEIGHT + 1), signed_proposal(1, height=HEIGHT + 1)
    assert node.classify(vote).verdict is node.classify(out_of_turn).verdict is Verdict.ACCEPT, "a height behind"
    node.handle(StartHeight(HEIGHT + 1, SET[:3]))
    for message in (vote, signed_proposal(1, height=HEIGHT + 1)):
        assert node.classify(message).verdict is Verdict.IGNORE
    node.handle(StartHeight(HEIGHT + 2, SET[:3]))
    assert node.classify(signed_vote(3, height=HEIGHT + 2)) == Opinion(Verdict.REJECT, "not a validator")


def test_a_node_that_just_started_does_not_know_what_others_knew() -> None:
    node = Consensus(CHAIN, SET[0].id, Params())
    node.handle(StartHeight(HEIGHT, SET[:3]))
    assert node.classify(signed_vote(3)) == Opinion(Verdict.IGNORE, "not a validator")


def test_what_was_seen_is_a_duplicate(node: Consensus) -> None:
    for message in (signed_vote(0), signed_proposal(0), signed_vote(1, round_=50)):
        node.handle(VoteReceived(message) if isinstance(message, Vote) else ProposalReceived(message))
        assert node.classify(message) == Opinion(Verdict.IGNORE, "duplicate")
    assert node.classify(signed_vote(1, round_=40)) == Opinion(Verdict.IGNORE, "too-far round")


def test_a_signature_is_verified_once() -> None:
    seen = []

    def verify(message: Vote | Proposal, validator: Validator) -> bool:
        seen.append(message)
        return isinstance(message, Proposal) or vote_is_signed(CHAIN, message, validator.key)

    consensus = Consensus(CHAIN, SET[3].id, Params(), verify=verify)
    consensus.handle(StartHeight(HEIGHT, SET))
    assert consensus.classify(signed_vote(0)).verdict is Verdict.ACCEPT
    consensus.handle(VoteReceived(signed_vote(0)))
    consensus.classify(signed_vote(0))
    assert len(seen) == 1


def test_real_votes_make_a_certificate_that_another_node_accepts(node: Consensus) -> None:
    for by in range(3):
        node.handle(VoteReceived(signed_vote(by, PRECOMMIT, 0, block("A"))))
    certificate = node.awaited
    assert certificate is not None
    other = Consensus(CHAIN, None, Params())
    other.handle(StartHeight(HEIGHT, SET))
    assert other.classify(certificate).verdict is Verdict.ACCEPT
    other.handle(CertificateReceived(certificate))
    assert other.awaited == certificate


def test_evidence_convinces_a_third_party(node: Consensus) -> None:
    node.handle(VoteReceived(signed_vote(0, block_id=block("A"))))
    (effect,) = node.handle(VoteReceived(signed_vote(0, block_id=block("B"))))
    evidence = effect.evidence  # type: ignore[union-attr]
    assert isinstance(evidence, VoteEvidence)
    assert evidence.a.block_id != evidence.b.block_id
    assert all(vote_is_signed(CHAIN, vote, SET[0].key) for vote in (evidence.a, evidence.b))


# --- floods -------------------------------------------------------------------------------------------------------------------


def test_a_flood_of_rounds_by_one_third_moves_nobody_and_stays_small() -> None:
    consensus = machine(3)
    drive(consensus, [start(), WakeUp(HEIGHT)], 3)
    for r in range(3_000):
        consensus.handle(prevote(0, r, f"junk {r}"))
    assert consensus.round == 0
    assert consensus.votes_held <= 2 + 2


def test_many_blocks_in_one_place_are_kept_once() -> None:
    consensus = machine(3)
    drive(consensus, [start(), WakeUp(HEIGHT)], 3)
    for i in range(1_000):
        consensus.handle(prevote(0, 0, f"junk {i}"))
    assert consensus.votes_held == 1


def test_a_very_long_height_forgets_its_old_rounds() -> None:
    consensus = machine(3)
    drive(consensus, [start(), WakeUp(HEIGHT)], 3)
    for r in range(500):
        drive(consensus, [proposal(r, f"block {r}"), *(prevote(i, r, None) for i in range(3)), timeout(T_PRECOMMIT, r)], 3)
        assert consensus.votes_held <= 2 * 4 * (KEEP_ROUNDS + 3)
        assert consensus._state is not None
        assert len(consensus._state.signed) <= 9 and len(consensus._state.proposals) <= 2
    assert consensus.round == 500


@settings(max_examples=40, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.sampled_from([1, 2, 4, 7]))
def test_any_sequence_of_messages_is_harmless(seed: int, n: int) -> None:
    """Well-formed and odd messages in any order: nothing is raised, memory stays bounded, at most one decision."""
    rng = random.Random(seed)
    consensus = machine(0)
    consensus.handle(start(n))
    decisions = 0
    for _ in range(300):
        by, round_ = rng.randrange(n + 1), rng.choice([0, 0, 1, 2, 3, 40, 2**31 - 1])
        name = rng.choice(["A", "B", None])
        height = rng.choice([HEIGHT] * 6 + [HEIGHT - 1, HEIGHT + 1, HEIGHT + 9])
        kind = rng.randrange(5)
        if kind < 2:
            vote = prevote(by, round_, name, height=height).vote
            event: object = VoteReceived(with_(vote, type=rng.choice([1, 2]), signature=rng.choice([vote.signature, b"\0" * 64])))
            event = VoteReceived(vote) if rng.random() < 0.7 else event
        elif kind == 2:
            event = proposal(round_, name or "C", rng.choice([-1, 0, 1]), n=n, height=height)
        elif kind == 3:
            event = StateReceived(machine_state(rng), b"p")
        else:
            event = CertificateReceived(Certificate(height, round_, block("A"), [rng.randrange(128)], [b"\0" * 64]))
        effects = consensus.handle(event)  # type: ignore[arg-type]
        decisions += sum(type(e).__name__ == "Decide" for e in effects)
        assert consensus.votes_held <= 4 * n * (KEEP_ROUNDS + 4)
    assert decisions <= 1


def machine_state(rng: random.Random) -> object:
    state = machine(None)
    state.handle(start())
    base = state.round_state()
    fields = {f: getattr(base, f) for f in base.__struct_fields__}
    fields |= {
        "round": rng.choice([0, 1, 2**31 - 1]),
        "prevotes": rng.randbytes(rng.randrange(17)),
        "height": HEIGHT + rng.randint(-1, 1),
    }
    return type(base)(**fields)
