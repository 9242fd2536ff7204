"""Workers whose claims hurt others, played for their price, which docs/verification.md tells among what is left open: one that
honest machines measure apart, and a crowd that fills a job."""

from __future__ import annotations

from collections import defaultdict

from learningchain.chain.contracts.job.messages import JobCode
from learningchain.chain.verification.scale import FloatKind
from learningchain.chain.verification.standing import CountedVote, add_vote, is_marked
from learningchain.chain.verification.votes import BallotCode, Judgement
from tests.unit.job_kit import PARAMS, World, ballot, replaced, sha, who
from tests.verification import committees, exact
from tests.verification.committees import CLAIMED, SHOWN
from tests.verification.contractors import LIFE

GRANT = 10**9


# --- a claim at the edge of the tolerance ----------------------------------------------------------------------------------------

VERIFIERS = [f"v{n}" for n in range(100)]
FRIENDS = {who(name) for name in VERIFIERS[:33]}
APART = {who(name) for name in VERIFIERS[-13:]}
"""A fifth of the 67 honest ones: their machines measure a unit too much."""


def false_claim_paid(marked: int) -> float:
    """Round one draws none of the marked."""
    first = exact.of_round(committees.false_claim(len(VERIFIERS) - marked, len(FRIENDS)), 1)
    second = exact.of_round(committees.false_claim(len(VERIFIERS), len(FRIENDS)), 2)
    return first[Judgement.OK] + first[Judgement.NONE] * second[Judgement.OK]


def paid(w: World, votes: dict[bytes, list[CountedVote]]) -> bool:
    """Of a job whose claim a fifth of the honest find NEAR. `votes` are kept, and marks set, by the product's rule."""
    w.membership.votes.clear()
    job = w.post("boss", bounty=10**6, float_kind=FloatKind.F32)
    w.open_to(job, {"worker": CLAIMED})
    while w.state(job) == "COMMIT":
        codes = {seat: BallotCode.NEAR if seat in APART else BallotCode.OK for seat in w.committee(job)}
        w.vote(job, {seat: [ballot(code, SHOWN[code])] for seat, code in codes.items()})
    for seat, bad in w.membership.votes:
        votes[seat] = add_vote(votes[seat], CountedVote(w.clock, bad))
    w.membership.marks = {seat for seat, kept in votes.items() if is_marked(kept, w.clock, LIFE)}
    return w.state(job) == "PAID"


def test_a_worker_at_the_edge_of_the_tolerance_has_honest_verifiers_marked() -> None:
    """They dissent, lose, and are drawn no more for this contractor: its false claims are paid more often."""
    marked = []
    for n in range(20):
        w = World(["boss", "worker", *VERIFIERS], VERIFIERS, PARAMS, GRANT)
        w.beacon = sha("campaign", n)
        votes: dict[bytes, list[CountedVote]] = defaultdict(list)
        assert all(paid(w, votes) for _ in range(5))
        assert w.membership.marks <= APART
        marked.append(len(w.membership.marks))
    assert (min(marked), sum(marked) // len(marked), max(marked)) == (2, 7, 12)
    shares = [round(100 * false_claim_paid(count), 3) for count in (0, 7, 12)]
    assert shares == [0.037, 0.061, 0.089], "in percent"


# --- a crowd ---------------------------------------------------------------------------------------------------------------------


def test_a_crowd_without_stakes_fills_a_job_for_as_many_strikes_as_there_are_finalists() -> None:
    crowd = [f"c{n}" for n in range(1_024)]
    w = World(["boss", "worker", *crowd, *VERIFIERS[:9]], VERIFIERS[:9], replaced(PARAMS, job_max_claimants=1_024), GRANT)
    job = w.post("boss", bounty=10**6, finalists=4)
    for name in crowd:
        assert w.claim(job, name, 5_000, stake=False) == 0
    assert w.claim(job, "worker", 1) == JobCode.JOB_FULL
    w.deadline(job)
    w.deadline(job)
    assert w.state(job) == "EMPTY"
    assert [reason for _, reason in w.membership.struck()] == ["claim.silent"] * 4
    assert all(w.free(name) == GRANT for name in crowd)
