"""Behaviour of the consensus machine beyond single rules: its own messages, odd sizes of the validator set, idle, evidence, hostile
input, checks that come late.
"""

from __future__ import annotations

import pytest

from learningchain.chain.codec import decode, encode
from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.consensus.messages import (
    Broadcast,
    CertificateReceived,
    ReportEvidence,
    RoundState,
    Sign,
    StartHeight,
    StateReceived,
    Step,
)
from learningchain.chain.consensus.resend import RESEND_OTHERS
from learningchain.chain.consensus.wal import Polka, SignIntent, decode_record
from learningchain.chain.errors import BrokenInvariant, Malformed
from learningchain.chain.params import Params
from learningchain.chain.types import VoteEvidence
from tests.unit.consensus_kit import (
    HEIGHT,
    LOCKED_A_AT_0,
    ME,
    NO_PROPOSAL_0,
    ROUND_1_AFTER_LOCK,
    T_PRECOMMIT,
    T_PROPOSE,
    T_RESEND,
    WAKE,
    bad,
    built,
    certificate,
    drive,
    good,
    machine,
    precommit,
    precommits,
    prevote,
    prevotes,
    proposal,
    show,
    start,
    state_of,
    timeout,
    validators,
)


def test_a_single_validator_decides_at_once() -> None:
    consensus = machine(0)
    shown = [show(e) for e in drive(consensus, [start(1), WAKE, built(0, "A")], 0)]
    assert shown[-1] == "decide A at 4 by [0]"
    assert not any(s.startswith(("time prevote", "time precommit")) for s in shown)


@pytest.mark.parametrize(("n", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (100, 67), (128, 86)])
def test_a_decision_needs_more_than_two_thirds(n: int, needed: int) -> None:
    """One vote fewer decides nothing; the last one does."""
    consensus = machine(None)
    drive(consensus, [start(n), proposal(0, "A", n=n), good("A"), *precommits(range(needed - 1), 0, "A")], None)
    assert consensus.step is not Step.DECIDED
    drive(consensus, [precommit(needed - 1, 0, "A")], None)
    assert consensus.step is Step.DECIDED


@pytest.mark.parametrize(("n", "needed"), [(2, 1), (3, 1), (4, 2), (5, 2), (6, 2), (7, 3), (10, 4), (128, 43)])
def test_a_round_is_skipped_to_when_more_than_the_faulty_are_there(n: int, needed: int) -> None:
    consensus = machine(None)
    drive(consensus, [start(n), WAKE, *prevotes(range(needed - 1), 2, None)], None)
    assert consensus.round == 0
    drive(consensus, [prevote(needed - 1, 2, None)], None)
    assert consensus.round == 2


def test_timeouts_grow_with_the_round_up_to_a_limit() -> None:
    consensus = machine(ME, Params(timeout_propose=100, timeout_vote=50, timeout_step=10, timeout_max=130))
    drive(consensus, [start(), WAKE], ME)
    shown = [show(consensus.handle(timeout(T_PRECOMMIT, r))[-1]) for r in range(5)]
    assert shown == ["time propose@1 110", "time propose@2 120", "time propose@3 130", "time propose@4 130", "time propose@5 130"]


def test_the_proposer_rotates_with_height_and_round() -> None:
    seen = []
    for height in range(4, 8):
        consensus = machine(ME)
        consensus.handle(StartHeight(height, validators(4)))
        seen.append([int.from_bytes(consensus.proposer(r), "big") for r in range(4)])
    assert seen == [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]


# --- evidence -----------------------------------------------------------------------------------------------------------------


def test_a_double_vote_is_reported_once_and_the_first_one_counts() -> None:
    consensus = machine(ME)
    drive(consensus, [start(), proposal(0, "A"), good("A"), prevote(0, 0, "B"), prevote(1, 0, "A")], ME)
    effects = consensus.handle(prevote(0, 0, "C"))
    assert [e.evidence for e in effects if isinstance(e, ReportEvidence)] == [
        VoteEvidence(prevote(0, 0, "B").vote, prevote(0, 0, "C").vote)
    ]
    assert consensus.handle(prevote(0, 0, "X")) == []
    assert consensus.handle(precommit(0, 0, "B")) == []
    assert consensus.handle(precommit(0, 0, "C")) == [], "one report per validator and height"
    assert consensus.step is Step.PREVOTE


def test_a_second_vote_counts_for_a_proposed_block_only() -> None:
    """A proof of lock may rest on it: who saw the other vote first could not be convinced."""
    consensus = machine(ME)
    drive(consensus, [start(), *NO_PROPOSAL_0, prevote(0, 0, "B"), prevote(1, 0, "A"), prevote(2, 0, "A")], ME)
    drive(consensus, [*precommits([0, 1, 2], 0, None), timeout(T_PRECOMMIT, 0), proposal(1, "A", 0)], ME)
    assert [show(e) for e in consensus.handle(prevote(0, 0, "A"))] == ["accuse VoteEvidence", "check A@1"]


def test_votes_of_a_far_round_are_compared_too() -> None:
    consensus = machine(ME)
    drive(consensus, [start(), prevote(0, 70, "A")], ME)
    assert [show(e) for e in consensus.handle(prevote(0, 70, "B"))] == ["accuse VoteEvidence"]


def test_they_are_compared_as_well_once_their_round_has_come_nearer() -> None:
    """What was kept of a round ahead counts from the round before it on, as what comes then does."""
    consensus = machine(ME)
    drive(consensus, [start(), prevote(0, 2, "A"), precommit(0, 2, "A")], ME)
    drive(consensus, [*NO_PROPOSAL_0, *precommits([0, 1, 2], 0, None), timeout(T_PRECOMMIT, 0)], ME)
    assert consensus.round == 1
    assert consensus.classify(precommit(0, 2, "A").vote).reason == "duplicate"
    assert [show(e) for e in consensus.handle(prevote(0, 2, "B"))] == ["accuse VoteEvidence"]


def test_a_double_proposal_is_reported_and_the_first_one_counts() -> None:
    consensus = machine(ME)
    drive(consensus, [start(), proposal(0, "A")], ME)
    assert [show(e) for e in consensus.handle(proposal(0, "B"))] == ["accuse ProposalEvidence"]
    assert consensus.handle(proposal(0, "C")) == []
    assert [show(e) for e in consensus.handle(good("A"))][-1] == "sign prevote A@0"


# --- checks of blocks ---------------------------------------------------------------------------------------------------------


def test_an_untimely_proposal_is_refused_without_a_check() -> None:
    consensus = machine(ME)
    event = proposal(0, "A")
    effects = drive(consensus, [start(), WAKE, type(event)(event.proposal, timely=False)], ME)
    assert "sign prevote nil@0" in [show(e) for e in effects]
    assert not any(show(e).startswith("check") for e in effects)


def test_answers_nobody_asked_for_change_nothing() -> None:
    consensus = machine(ME)
    drive(consensus, [start(), WAKE, bad("A"), good("B"), bad("B"), proposal(0, "A")], ME)
    assert [show(e) for e in consensus.handle(good("A"))][-1] == "sign prevote A@0"


def test_a_certified_block_found_invalid_is_visible_to_the_node() -> None:
    """The node sees `awaited` and halts; the machine decides nothing."""
    consensus = machine(ME)
    drive(consensus, [start(), proposal(0, "A"), bad("A"), *NO_PROPOSAL_0, *prevotes([0, 1, 2], 0, "A"), bad("A")], ME)
    effects = consensus.handle(CertificateReceived(certificate([0, 1, 2], 0, "A")))
    assert [show(e) for e in effects] == ["check A@0"], "asked again, so that the node notices"
    assert consensus.awaited is not None
    consensus.handle(bad("A"))
    assert consensus.step is not Step.DECIDED


# --- sending again ------------------------------------------------------------------------------------------------------------


def sent(consensus: Consensus) -> list[str]:
    return [show(e) for e in consensus.handle(timeout(T_RESEND, 0))]


def test_everything_that_a_peer_may_need_is_sent_again() -> None:
    consensus = machine(ME)
    drive(consensus, [start(), *ROUND_1_AFTER_LOCK, proposal(1, "B"), prevote(0, 1, "B")], ME)
    shown = sent(consensus)
    assert shown[0] == "send state @1 2"
    assert shown[-1] == "time resend@1 1000"
    assert set(shown[1:-1]) == {
        "send prevote A@0 of 3",
        "send precommit A@0 of 3",
        "send prevote nil@1 of 3",
        "send prevote A@0 of 0",  # the proof of lock
        "send prevote A@0 of 1",
        "send precommit nil@0 of 0",  # why round 1 began
        "send precommit nil@0 of 1",
        "send prevote B@1 of 0",
    }
    assert len(shown) == len(set(shown))


def test_a_proposal_is_sent_again_by_its_proposer_and_by_others_to_who_has_none() -> None:
    """It is large: with many validators most of what is sent again would be copies of it."""
    proposer, other = machine(0), machine(ME)
    drive(proposer, [start(), WAKE, built(0, "A")], 0)
    drive(other, [start(), proposal(0, "A")], ME)
    assert "send proposal A@0 pol -1" in sent(proposer)
    assert "send proposal A@0 pol -1" not in sent(other)
    lacking = machine(1)
    drive(lacking, [start(), WAKE], 1)
    answer = other.handle(StateReceived(lacking.round_state(), b"peer"))
    assert any("proposal A@0 pol -1" in show(e) for e in answer)


def test_what_is_sent_again_is_bounded_and_takes_turns() -> None:
    consensus = machine(0)
    drive(consensus, [start(128, height=128), *(prevote(i, 0, None, height=128) for i in range(1, 100))], 0)
    seen: set[str] = set()
    for _ in range(4):
        effects = consensus.handle(timeout(T_RESEND, 0, 128))
        assert len(effects) <= RESEND_OTHERS + 8
        seen |= {show(e) for e in effects if isinstance(e, Broadcast) and not isinstance(e.msg, RoundState)}
    assert len(seen) == 99


def test_an_observer_only_tells_its_state() -> None:
    consensus = machine(None)
    drive(consensus, [start(), proposal(0, "A"), *prevotes([0, 1], 0, "A")], None)
    assert sent(consensus) == ["send state @0 1", "time resend@0 1000"]


def test_nothing_is_sent_again_once_decided() -> None:
    consensus = machine(ME)
    drive(consensus, [start(), *LOCKED_A_AT_0, *precommits([0, 1], 0, "A")], ME)
    assert sent(consensus) == []


def answers(consensus: Consensus, state: RoundState) -> list[str]:
    assert decode(RoundState, encode(state), 10_000) == state, "a round state travels"
    return [show(e) for e in consensus.handle(StateReceived(state, b"peer"))]


def test_a_peer_a_round_behind_gets_what_ended_that_round() -> None:
    ahead, behind = machine(ME), machine(2)
    drive(ahead, [start(), *ROUND_1_AFTER_LOCK], ME)
    drive(behind, [start(), WAKE, precommit(0, 0, None)], 2)
    assert answers(ahead, behind.round_state()) == ["to peer precommit nil@0 of 1", "to peer precommit A@0 of 3"]


# --- heights ------------------------------------------------------------------------------------------------------------------


def test_messages_of_the_next_height_are_kept_for_it() -> None:
    consensus = machine(ME)
    drive(consensus, [start(), *LOCKED_A_AT_0, *precommits([0, 1], 0, "A")], ME)
    after = HEIGHT + 1
    assert (
        drive(consensus, [proposal(0, "B", height=after), prevote(1, 0, "B", height=after), prevote(2, 0, "B", height=after)], ME)
        == []
    )
    assert [show(e) for e in consensus.handle(start(height=after))] == [
        "time propose@0 1000",
        "time resend@0 1000",
        "check B@0 fresh",
    ]
    assert bytes(consensus.round_state().prevotes) == bytes([0b0110])


def test_what_was_kept_is_dropped_when_its_author_is_no_validator_any_more() -> None:
    consensus = machine(ME)
    drive(consensus, [start(), prevote(2, 0, "B", height=HEIGHT + 1)], ME)
    fewer = [v for i, v in enumerate(validators(4)) if i != 2]
    assert consensus.handle(StartHeight(HEIGHT + 1, fewer)) == []


def test_a_height_is_never_started_twice() -> None:
    consensus = machine(ME)
    consensus.handle(start())
    with pytest.raises(BrokenInvariant, match="a lock would be forgotten"):
        consensus.handle(start())


def test_validators_must_be_sorted_and_unique() -> None:
    v = validators(3)
    for wrong in ([], [v[1], v[0]], [v[0], v[0]]):
        with pytest.raises(BrokenInvariant, match="sorted by id"):
            machine(ME).handle(StartHeight(1, wrong))


# --- the log ------------------------------------------------------------------------------------------------------------------


def reborn(records: list[bytes]) -> tuple[Consensus, list[str]]:
    consensus = machine(ME)
    consensus.handle(start())
    return consensus, [show(e) for e in consensus.replay(records)]


def log_of(inputs: list[object], *, guard: bool = True) -> list[bytes]:
    effects = drive(machine(ME), [start(), *inputs], ME, guard=guard)  # type: ignore[list-item]
    return [bytes(e.record) for e in effects if type(e).__name__ == "Persist"]  # type: ignore[union-attr]


def test_a_lock_and_its_proof_survive_a_crash() -> None:
    consensus, effects = reborn(log_of(LOCKED_A_AT_0))
    assert state_of(consensus) == "PRECOMMIT@0 A@0 A@0"
    assert effects[0] == "sign precommit A@0", "the guard answers with the same bytes"
    assert {"send prevote A@0 of 0", "send prevote A@0 of 1", "send prevote A@0 of 3"} <= set(effects)
    drive(consensus, [*precommits([0, 1], 0, None), timeout(T_PRECOMMIT, 0)], ME)
    assert [show(e) for e in consensus.handle(proposal(1, "B"))] == ["log prevote nil@1", "sign prevote nil@1"]


def test_a_node_that_came_back_never_asks_for_anything_else_in_the_same_place() -> None:
    consensus, effects = reborn(log_of([proposal(0, "A"), good("A")]))
    assert effects[0] == "sign prevote A@0"
    effects2 = drive(consensus, [proposal(0, "B"), good("B"), timeout(T_PROPOSE, 0)], ME)
    assert not any(isinstance(e, Sign) for e in effects2)


def test_a_proposer_that_came_back_proposes_the_same_block() -> None:
    consensus = machine(0)
    records = [
        bytes(e.record) for e in drive(consensus, [start(), WAKE, built(0, "A")], 0, guard=False) if type(e).__name__ == "Persist"
    ]  # type: ignore[union-attr]
    again = machine(0)
    again.handle(start())
    assert [show(e) for e in again.replay(records)] == [
        "sign proposal A@0 pol -1",
        "time propose@0 1000",
        "send state @0 1",
        "time resend@0 1000",
    ]
    assert again.handle(built(0, "B")) == []


def test_a_damaged_record_is_refused() -> None:
    with pytest.raises(Malformed):
        reborn([bytes(SignIntent(HEIGHT, 0, 1, -1, b"", [], []))[:-1]])


def test_records_survive_encoding_at_full_size() -> None:
    votes = [prevote(i, 0, "A").vote for i in range(128)]
    record = Polka(HEIGHT, 0, votes[0].block_id, True, votes, votes[:16], [])
    assert decode_record(bytes(record)) == record


def test_a_reproposal_takes_its_proof_along() -> None:
    """Whoever missed the polka could not follow the proposer otherwise."""
    consensus = machine(ME)
    before = [*ROUND_1_AFTER_LOCK, *precommits([0, 1, 2], 1, None), timeout(T_PRECOMMIT, 1), *precommits([0, 1, 2], 2, None)]
    drive(consensus, [start(), *before], ME)
    shown = [show(e) for e in drive(consensus, [timeout(T_PRECOMMIT, 2)], ME)]
    sent = shown.index("send proposal A@3 pol 0")
    assert shown[sent + 1 : sent + 4] == ["send prevote A@0 of 0", "send prevote A@0 of 1", "send prevote A@0 of 3"]
