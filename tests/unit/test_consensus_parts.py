"""The parts of the consensus machine, each by itself: votes in their window, checks of blocks, early messages, resending.

Same four validators and situations as in the tests of the rules; the machine under test is validator 3.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from learningchain.chain.consensus import resend
from learningchain.chain.consensus.height import MAX_OPEN_CHECKS, BlockChecks, HeightState
from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.consensus.messages import (
    Broadcast,
    CertificateReceived,
    CheckBlock,
    Input,
    Persist,
    ReportEvidence,
    SendTo,
    Sign,
    StateReceived,
    VoteReceived,
)
from learningchain.chain.consensus.votes import KEEP_ROUNDS, HeightVoteSet, VoteSet, VoteStatus
from learningchain.chain.consensus.wal import MAX_OWN, Polka, SignIntent
from learningchain.chain.errors import Verdict
from learningchain.chain.types import NIL, NO_ROUND, PRECOMMIT, PREVOTE, Certificate, Vote
from tests.unit.consensus_kit import (
    HEIGHT,
    LOCKED_A_AT_0,
    ME,
    ROUND_1_AFTER_LOCK,
    T_PRECOMMIT,
    T_PREVOTE,
    T_PROPOSE,
    WAKE,
    block,
    certificate,
    drive,
    good,
    ident,
    machine,
    make_proposal,
    make_vote,
    precommit,
    precommits,
    prevote,
    prevotes,
    proposal,
    show,
    sign,
    start,
    state_of,
    timeout,
    validators,
)

A, B = block("A"), block("B")
NO_PROPOSAL: list[Input] = [WAKE, timeout(T_PROPOSE, 0)]


def at(*given: Input, me: int | None = ME) -> Consensus:
    consensus = machine(me)
    drive(consensus, [start(), *given], me)
    return consensus


def inside(consensus: Consensus) -> HeightState:
    assert consensus._state is not None
    return consensus._state


def shown(consensus: Consensus, *events: Input) -> list[str]:
    return [show(effect) for event in events for effect in consensus.handle(event)]


def vote(by: int, round_: int, block_id: bytes = NIL, kind: int = PREVOTE) -> Vote:
    return make_vote(kind, HEIGHT, round_, block_id, ident(by))


# --- votes ------------------------------------------------------------------------------------------------------------------------


def test_votes_of_past_rounds_count_as_far_as_the_window_and_a_proof_of_lock_reach() -> None:
    votes = HeightVoteSet(4)
    votes.enter_round(4)
    votes.add(vote(0, 2), 0)
    votes.add(vote(0, 4), 0)
    votes.keep(frozenset({2}))
    votes.enter_round(4 + KEEP_ROUNDS)
    assert votes.standing(vote(1, 4), 1) is VoteStatus.NEW, "the last round of the window"
    assert votes.standing(vote(1, 3), 1) is VoteStatus.OLD_ROUND
    assert votes.standing(vote(1, 2), 1) is VoteStatus.NEW, "named by a proof"
    assert votes.held(PREVOTE, 2, 0) is not None and votes.held(PREVOTE, 4, 0) is not None
    votes.enter_round(5 + KEEP_ROUNDS)
    assert votes.held(PREVOTE, 4, 0) is None and votes.held(PREVOTE, 2, 0) is not None
    votes.keep(frozenset())
    votes.enter_round(6 + KEEP_ROUNDS)
    assert votes.held(PREVOTE, 2, 0) is None and votes.size == 0


def test_a_vote_that_was_ahead_and_is_far_behind_after_a_jump_is_forgotten() -> None:
    votes = HeightVoteSet(4)
    votes.add(vote(0, 5), 0)
    votes.add(vote(1, 5 + 2 * KEEP_ROUNDS), 1)
    votes.enter_round(5 + 2 * KEEP_ROUNDS)
    assert votes.size == 1 and votes.held(PREVOTE, 5 + 2 * KEEP_ROUNDS, 1) is not None


def test_of_rounds_ahead_a_validator_s_highest_vote_of_each_type_is_kept() -> None:
    votes = HeightVoteSet(4)
    for round_ in (5, 3, 9, 7):
        standing = votes.standing(vote(0, round_, A), 0)
        assert standing is (VoteStatus.TOO_FAR if round_ in (3, 7) else VoteStatus.NEW)
        if standing is VoteStatus.NEW:
            votes.add(vote(0, round_, A), 0)
    assert votes.standing(vote(0, 9, A), 0) is VoteStatus.DUPLICATE
    assert votes.standing(vote(0, 9, B), 0) is VoteStatus.CONFLICT
    assert votes.standing(vote(0, 3, A, PRECOMMIT), 0) is VoteStatus.NEW
    assert votes.size == 1 and votes.held(PREVOTE, 9, 0) is not None and votes.held(PREVOTE, 5, 0) is None


def test_the_first_majority_of_a_round_and_the_first_decision_of_a_height_stay() -> None:
    """Another one takes more than a third of liars: it must not exchange what was acted on."""
    tally = VoteSet(3)
    for block_id in (A, B):
        for by in range(3):
            tally.add(by, vote(by, 0, block_id))
    assert tally.majority == A
    votes = HeightVoteSet(4)
    for round_, block_id in ((0, NIL), (1, A), (0, B)):
        for by in range(3):
            votes.add(vote(by, round_, block_id, PRECOMMIT), by)
    assert votes.committed == (1, A), "nil decides nothing"


# --- checks of blocks -------------------------------------------------------------------------------------------------------------


def test_a_fresh_answer_holds_for_its_round_and_a_good_one_makes_the_block_valid_for_all() -> None:
    checks = BlockChecks()
    checks.note_fresh(A, 0, True)
    assert (checks.freshness(A, 0), checks.freshness(A, 1), checks.validity(A)) == (True, None, True)
    checks.note_fresh(B, 0, False)
    assert (checks.freshness(B, 0), checks.freshness(B, 1), checks.validity(B)) == (False, None, None), "it was late, no more"


def test_an_invalid_block_is_not_fresh_in_any_round_until_a_certificate_says_otherwise() -> None:
    checks = BlockChecks()
    assert checks.ask(A, 0, False) and not checks.ask(A, 0, True), "one question at a time"
    checks.answer(A, False)
    assert (checks.validity(A), checks.freshness(A, 0), checks.freshness(A, 7)) == (False, False, False)
    checks.forget_refusal(A)
    assert checks.validity(A) is None and checks.ask(A, 3, False)


def test_of_open_questions_the_newest_and_those_that_matter_are_kept() -> None:
    checks = BlockChecks()
    names = [bytes([n]) * 32 for n in range(1, MAX_OPEN_CHECKS + 4)]
    for name in names:
        checks.ask(name, 0, False)
    checks.ask(A, 0, False)
    checks.answer(A, True)
    checks.prune({names[0]})
    assert len(checks._known) == MAX_OPEN_CHECKS + 1, "what was answered and is not wanted goes as well"
    kept = [name for name in names if not checks.ask(name, 0, False)]
    assert kept == [names[0], *names[-MAX_OPEN_CHECKS:]]


# --- rules on the edge ------------------------------------------------------------------------------------------------------------


def test_a_polka_that_comes_before_the_own_prevote_locks_after_it() -> None:
    """Line 36 asks for the step: a value that was noted too early would never be locked."""
    consensus = at(proposal(0, "A"), *prevotes([0, 1, 2], 0, "A"))
    assert state_of(consensus) == "PROPOSE@0 - -"
    drive(consensus, [good("A")], ME)
    assert state_of(consensus) == "PRECOMMIT@0 A@0 A@0"


def test_a_polka_without_its_proposal_is_looked_at_after_the_own_prevote_and_locks_then() -> None:
    consensus = at(WAKE)
    effects = drive(consensus, [*prevotes([0, 1, 2], 0, "A"), good("A")], ME)
    assert not [effect for effect in effects if isinstance(effect, CheckBlock)]
    assert state_of(consensus) == "PROPOSE@0 - -"
    drive(consensus, [timeout(T_PROPOSE, 0), good("A")], ME)
    assert state_of(consensus) == "PRECOMMIT@0 A@0 A@0"


def test_a_signature_that_comes_after_its_round_is_sent_and_counts_once() -> None:
    """The guard's disk was slow: the others may lack just this vote."""
    consensus = machine(ME)
    effects = drive(consensus, [start(), *NO_PROPOSAL], None)
    (asked,) = [effect.request for effect in effects if isinstance(effect, Sign)]
    drive(consensus, [*precommits([0, 1, 2], 0, None), timeout(T_PRECOMMIT, 0)], None)
    assert consensus.round == 1
    assert shown(consensus, sign(asked, ME)) == ["send prevote nil@0 of 3"]
    assert shown(consensus, sign(asked, ME)) == []


def test_each_record_carries_all_that_was_signed_since_the_one_before() -> None:
    """Two late answers of the guard stand in the next record: else a restart would not know the first one of them."""
    consensus = machine(ME)
    effects = drive(consensus, [start(), *NO_PROPOSAL, *prevotes([0, 1, 2], 0, None)], None)
    asked = [effect.request for effect in effects if isinstance(effect, Sign)]
    assert len(asked) == 2
    for request in asked:
        consensus.handle(sign(request, ME))
    (record,) = [
        effect.record
        for event in (*precommits([0, 1, 2], 0, None), timeout(T_PRECOMMIT, 0), timeout(T_PROPOSE, 1))
        for effect in consensus.handle(event)
        if isinstance(effect, Persist)
    ]
    assert [v.type for v in record.votes] == [PREVOTE, PRECOMMIT] and len(record.votes) <= MAX_OWN
    assert inside(consensus).unlogged == []


def test_what_a_round_forgets_matters_no_more() -> None:
    """A proposal of the round before names no block for which a second vote of a liar counts."""
    consensus = at(*NO_PROPOSAL, proposal(0, "A"))
    assert inside(consensus).wanted() == {A}
    drive(consensus, [*precommits([0, 1, 2], 0, None), timeout(T_PRECOMMIT, 0)], ME)
    assert (consensus.round, inside(consensus).wanted(), inside(consensus).proposals) == (1, set(), {})


@pytest.mark.parametrize(("round_", "told"), [(0, []), (1, ["to peer certificate A@0 by [0, 1, 2]"])])
def test_a_peer_that_votes_in_a_later_round_of_what_is_decided_gets_its_certificate(round_: int, told: list[str]) -> None:
    """One that votes in the round that decided has the votes on their way."""
    consensus = at(proposal(0, "A"), good("A"), CertificateReceived(certificate([0, 1, 2], 0, "A")))
    drive(consensus, [start(height=HEIGHT + 1)], ME)
    assert shown(consensus, VoteReceived(vote(1, round_, NIL, PRECOMMIT), b"peer")) == told
    assert shown(consensus, VoteReceived(vote(1, round_, NIL, PRECOMMIT))) == [], "nobody to tell"


# --- what is thought of a message -------------------------------------------------------------------------------------------------


def verdict(consensus: Consensus, message: object) -> tuple[Verdict, str]:
    return consensus.classify(message)  # type: ignore[arg-type, return-value]


def test_a_liar_s_later_votes_are_looked_at_only_where_a_block_matters() -> None:
    consensus = at(proposal(0, "A"), prevote(1, 0, "B"), prevote(1, 0, "C"))
    assert inside(consensus).accused == {1}
    assert verdict(consensus, vote(1, 0, block("D")))[1] == "already reported for double signing"
    assert verdict(consensus, vote(1, 0, A))[0] is Verdict.ACCEPT, "somebody's proof of lock may rest on it"


def test_a_proposer_is_accused_once_and_its_other_proposals_are_not_looked_at() -> None:
    consensus = at(proposal(0, "A"))
    assert [type(effect) for effect in consensus.handle(proposal(0, "B"))] == [ReportEvidence]
    assert verdict(consensus, make_proposal(HEIGHT, 0, NO_ROUND, block("C"), ident(0))) == (
        Verdict.IGNORE,
        "already reported for double signing",
    )
    assert consensus.handle(proposal(0, "C")) == []


@pytest.mark.parametrize("block_id", [NIL, A[:31], A + b"x"])
def test_a_certificate_names_one_block(block_id: bytes) -> None:
    """A quorum that precommitted nil decided nothing."""
    votes = [vote(by, 0, block_id, PRECOMMIT) for by in range(3)]
    cert = Certificate(HEIGHT, 0, block_id, [0, 1, 2], [v.signature for v in votes])
    consensus = at(WAKE)
    assert verdict(consensus, cert) == (Verdict.REJECT, "malformed certificate")
    assert consensus.handle(CertificateReceived(cert)) == []


def early(by: int = 1) -> VoteReceived:
    return prevote(by, 0, None, height=HEIGHT + 1)


@pytest.mark.parametrize("changed", [False, True])
def test_an_early_message_counts_if_its_signer_s_key_is_the_same_then(changed: bool) -> None:
    consensus = at(WAKE)
    assert verdict(consensus, early().vote)[0] is Verdict.ACCEPT
    consensus.handle(early())
    members = validators(4)
    if changed:
        members[1] = replace(members[1], key=b"\3" + b"k" * 32)
    drive(consensus, [replace(start(height=HEIGHT + 1), validators=members)], ME)
    assert (inside(consensus).votes.held(PREVOTE, 0, 1) is None) is changed


@pytest.mark.parametrize(("next_", "expected"), [(HEIGHT + 1, Verdict.REJECT), (HEIGHT + 2, Verdict.IGNORE)])
def test_who_skipped_a_height_does_not_know_what_set_others_knew(next_: int, expected: Verdict) -> None:
    """LC-CON-13: whoever passed an outsider's message on may have seen the set between."""
    consensus = at(WAKE)
    drive(consensus, [start(height=next_)], ME)
    assert verdict(consensus, make_vote(PREVOTE, next_, 0, NIL, ident(9)))[0] is expected


# --- what is sent again -----------------------------------------------------------------------------------------------------------


def far_round(consensus: Consensus) -> None:
    """Round 3 behind a lock of round 0."""
    for round_ in (1, 2):
        more = [timeout(T_PROPOSE, round_), *prevotes([0, 1, 2], round_, None)]
        drive(consensus, [*more, *precommits([0, 1, 2], round_, None), timeout(T_PRECOMMIT, round_)], ME)
    assert state_of(consensus).endswith("@3 A@0 A@0")


def test_the_own_vote_in_an_old_proof_of_lock_is_sent_again_with_the_others() -> None:
    """It is no longer among what was signed lately, and without it the proof has no quorum."""
    consensus = at(*ROUND_1_AFTER_LOCK)
    far_round(consensus)
    messages, _ = resend.again(inside(consensus), 0)
    proof = [m for m in messages if isinstance(m, Vote) and (m.type, m.round, m.block_id) == (PREVOTE, 0, A)]
    assert sorted(int.from_bytes(v.validator, "big") for v in proof) == [0, 1, ME]


def test_no_vote_is_sent_twice_in_one_go() -> None:
    consensus = at(*LOCKED_A_AT_0)
    messages, _ = resend.again(inside(consensus), 0)
    votes = [m for m in messages if isinstance(m, Vote)]
    assert len(votes) == len(set(votes)) == 4, "three prevotes and the own precommit"


def asked(consensus: Consensus, **changes: object) -> list[str]:
    """What a peer is told that stands where this node does, but for the changes."""
    state = replace(consensus.round_state(), **changes)  # type: ignore[arg-type]
    return [show(effect) for effect in consensus.handle(StateReceived(state, b"p")) if isinstance(effect, SendTo)]


def test_a_peer_gets_what_it_lacks_and_nothing_else() -> None:
    consensus = at(*LOCKED_A_AT_0)
    prevotes_of = [f"to p prevote A@0 of {by}" for by in (0, 1, 3)]
    assert asked(consensus) == []
    assert asked(consensus, has_proposal=False) == ["to p proposal A@0 pol -1"]
    assert asked(consensus, prevotes=b"\x01") == prevotes_of[1:]
    assert asked(consensus, prevotes=b"") == prevotes_of
    assert asked(consensus, precommits=b"\x00") == ["to p precommit A@0 of 3"]
    assert asked(consensus, valid_round=NO_ROUND, valid_id=NIL) == prevotes_of, "the proof of the valid value"
    assert asked(consensus, round=1, prevotes=b"") == [], "it is ahead"
    assert asked(consensus, height=HEIGHT + 1, prevotes=b"") == []


def test_a_peer_whose_valid_value_is_of_an_earlier_round_gets_the_later_proof() -> None:
    """LC-CON-11: one that is locked since then is freed by it; whose proof is as late needs none."""
    consensus = at(*ROUND_1_AFTER_LOCK)
    drive(consensus, [proposal(1, "A", 0), *prevotes([0, 1], 1, "A")], ME)
    assert state_of(consensus) == "PRECOMMIT@1 A@1 A@1"
    proof = [f"to p prevote A@1 of {by}" for by in (0, 1, 3)]
    assert asked(consensus, valid_round=NO_ROUND, valid_id=NIL) == proof
    assert asked(consensus, valid_round=0, locked_round=0) == proof
    assert asked(consensus, valid_round=1) == []


def test_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "MAX_ANSWER", 2)
    consensus = at(*LOCKED_A_AT_0)
    assert len(asked(consensus, has_proposal=False, prevotes=b"")) == 2


# --- after a crash ----------------------------------------------------------------------------------------------------------------


def records(*given: Input) -> list[SignIntent | Polka]:
    consensus = machine(ME)
    return [effect.record for effect in drive(consensus, [start(), *given], ME) if isinstance(effect, Persist)]


def after(log: list[SignIntent | Polka]) -> tuple[Consensus, list[object]]:
    consensus = machine(ME)
    consensus.handle(start())
    return consensus, list(consensus.replay(log))


def test_records_of_other_heights_change_nothing() -> None:
    log = records(*LOCKED_A_AT_0)
    others = [replace(record, height=height, round=5) for record in log for height in (HEIGHT - 1, HEIGHT + 1)]
    alone, effects = after(log)
    among, same = after([*others, *log, *others])
    assert state_of(among) == state_of(alone) == "PRECOMMIT@0 A@0 A@0"
    assert same == effects


def test_a_restart_in_a_later_round_stands_there_with_its_old_lock_and_proof() -> None:
    log = records(*ROUND_1_AFTER_LOCK, timeout(T_PROPOSE, 1))
    consensus, effects = after(log)
    assert state_of(consensus) == "PREVOTE@1 A@0 A@0"
    assert [v.validator for v in resend.proof(inside(consensus))] == [ident(0), ident(1), ident(ME)]
    asked_again = [show(effect) for effect in effects if isinstance(effect, Sign)]  # type: ignore[arg-type]
    assert asked_again == ["sign prevote nil@1"], "the one that is in the guard alone"
    again = {m for e in effects if isinstance(e, Broadcast) for m in [e.msg] if isinstance(m, Vote)}
    assert vote(ME, 0, A) in again and vote(ME, 0, A, PRECOMMIT) in again


def test_a_restart_asks_for_the_precommit_that_its_lock_announced() -> None:
    consensus, effects = after(records(*LOCKED_A_AT_0))
    assert [show(effect) for effect in effects if isinstance(effect, Sign)] == ["sign precommit A@0"]  # type: ignore[arg-type]
    assert shown(consensus, timeout(T_PREVOTE, 0), precommit(0, 0, "A")) == []
