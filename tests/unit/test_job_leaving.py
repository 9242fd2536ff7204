"""What ended leaves: when, in which pages, with what still told, and never with credits (LC-JOB-44 to 46, LC-BLK-31)."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.contracts.job import CONTRACT, leaving, records
from learningchain.chain.contracts.job.messages import JobCode
from learningchain.chain.contracts.job.records import CaseState, ContractorRecord, Leaving
from learningchain.chain.crypto import ZERO_HASH
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import BANNED, WINNERS, Escrow, escrow_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.state_diff import changes_of, follow
from learningchain.chain.ledger.transition import BlockInput, apply_block, chain_record, validators_of
from learningchain.chain.types import Header, validators_hash
from learningchain.chain.verification.committee import SECOND_ROUND
from learningchain.client.contracts.job.http import views
from tests.unit.api_kit import FakeLedger
from tests.unit.job_kit import PARAMS, World, cid_of, who
from tests.unit.test_job_rows import LIE, YES, audit, world

KEEP = PARAMS.job_keep
CROWD = [f"c{n}" for n in range(300)]


def of(w: World, prefix: bytes, job: bytes) -> int:
    return sum(key.startswith(prefix + job) for key in w.store.records)


def paid_job(w: World) -> bytes:
    job = audit(w, {"a": 5_000, "b": 9_000})
    w.everybody(job, YES)
    assert w.state(job) == "PAID"
    return job


def empty_job_of_many(w: World) -> bytes:
    """An EMPTY job whose stakes are all back: nobody revealed."""
    job = w.post("boss")
    for n, name in enumerate(CROWD):
        assert w.claim(job, name, 10**6 + n) == 0
    w.deadline(job)
    w.deadline(job)
    assert w.state(job) == "EMPTY"
    while w.job(job).released < len(CROWD):
        w.block(1)
    return job


# --- when ------------------------------------------------------------------------------------------------------------------------


def test_a_job_stays_for_its_time_and_then_all_of_it_leaves() -> None:
    w = world()
    job = paid_job(w)
    ended = w.job(job).ended
    assert (w.job(job).deadline, w.unsettled_due()) == (ended + KEEP, None)
    w.until(ended + KEEP - 1)
    told = views.describe(w.store, job)
    assert told is not None and w.keys_of(job)
    w.until(ended + KEEP)
    assert w.keys_of(job) == [] and w.next_due() is None
    assert w.topics(job)[-1] == "job.left" and w.events[-1].data == [records.JobState.PAID, ended]
    assert views.describe(w.store, job) is None and views.newest(w.store, None, 10) == []
    assert views.describe(w.past, job) == told, "whoever archived it tells the same"
    assert w.store.get(records.contractor_key(who("boss"))) == ContractorRecord(1, 0, 0, 10_000, 0, 0, 0, [who("a")], 0)
    assert w.store.get(records.K_TOTALS) == records.Totals(1)


def test_no_message_is_about_a_job_that_left_and_its_number_is_not_given_again() -> None:
    w = world()
    job = paid_job(w)
    w.until(w.job(job).ended + KEEP)
    assert w.claim(job, "c", 1) == JobCode.NO_SUCH_JOB and "ended long ago" in w.refused
    assert w.reveal(job, "a") == JobCode.NO_SUCH_JOB
    other = w.post("boss")
    assert other != job and views.newest(w.store, None, 10) == [(1, other)]


def test_a_verdict_that_is_open_holds_a_job() -> None:
    w = world(job_keep=1)
    job = audit(w, {"a": 100, "b": 5_000}, on_cheat=1)
    w.everybody(job, LIE)
    w.everybody(job, YES)
    assert (w.state(job), w.job(job).cases[0].state) == ("PAID", CaseState.PENDING)
    w.until(w.clock + PARAMS.appeal)
    assert w.keys_of(job)
    w.close_case(who("a"), banned=True)
    assert w.job(job).deadline == w.clock + 1, "what changed in a block leaves in a later one"
    w.block(1)
    assert w.keys_of(job) == [] and w.job(job).cases[0].state == CaseState.BANNED


def test_a_case_whose_end_nobody_told_holds_a_job_for_the_longest_time_of_a_case() -> None:
    w = world(job_keep=1)
    job = audit(w, {"a": 100})
    w.everybody(job, LIE)
    ended = w.clock
    w.until(ended + 3 * PARAMS.appeal)
    assert w.keys_of(job)
    w.set_status(who("a"), BANNED)
    w.until(ended + 4 * PARAMS.appeal + 10)
    assert w.keys_of(job) == [] and w.job(job).cases[0].state == CaseState.BANNED


# --- in pages ---------------------------------------------------------------------------------------------------------------------


def test_many_claims_leave_in_pages_each_one_event_of_the_poster() -> None:
    w = World(["boss", *CROWD], [CROWD[0]])
    job = empty_job_of_many(w)
    w.until(w.job(job).ended + KEEP)
    assert of(w, b"jc/", job) == of(w, b"jm/", job) == 300 - leaving.PAGE
    assert w.store.get(records.leaving_key(job)) == Leaving(who("boss"), 172, 0, 0, False)
    assert views.describe(w.store, job) is None and w.claim(job, "c1", 1) == JobCode.NO_SUCH_JOB
    told = views.describe(w.past, job)
    assert told is not None and len(told["claims"]) == 300, "a job that is half gone is told whole"
    assert CONTRACT.due_work is not None and CONTRACT.due_work(w.store, job) == leaving.PAGE
    w.block(1)
    assert of(w, b"jc/", job) == 44 and CONTRACT.due_work(w.store, job) == 44
    w.block(1)
    assert w.keys_of(job) == [] and w.next_due() is None
    assert w.topics(job).count("job.left") == 1
    w.audit()


def test_rounds_leave_whole_and_their_seats_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two audits with a second round each: 30 seats and more, by pages of 20."""
    monkeypatch.setattr(leaving, "PAGE", 20)
    names = [f"m{i}" for i in range(30)]
    w = World(["boss", "a", "b", *names], names)
    job = audit(w, {"a": 4_000, "b": 5_000}, finalists=2, on_cheat=1)
    for _ in range(2):
        w.vote(job, dict.fromkeys(w.committee(job)))
        w.everybody(job, LIE)
        if w.state(job) == "REFUNDED":
            break
    rounds = of(w, b"jr/", job)
    seats = of(w, b"js/", job)
    assert rounds >= 2 and seats > 40
    for identity in list(w.membership.cases):
        w.close_case(identity, banned=False)
    w.until(w.job(job).ended + KEEP)
    left = [seats - of(w, b"js/", job)]
    assert 0 < left[0] < seats and of(w, b"jc/", job) == 0
    sizes = []
    while w.keys_of(job):
        sizes.append(CONTRACT.due_work(w.store, job) if CONTRACT.due_work else 0)
        before = of(w, b"js/", job) + of(w, b"jr/", job)
        w.block(1)
        assert sizes[-1] == before - of(w, b"js/", job) - of(w, b"jr/", job), "the work of a deadline is what it removes"
    assert w.next_due() is None and max(sizes) <= 20 + 73


# --- never with credits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("escrow", [records.bounty_escrow, records.fee_escrow, records.bond_escrow, records.deposit_escrow])
def test_a_job_with_credits_does_not_leave_and_gives_back(escrow: Any) -> None:
    w = world()
    job = paid_job(w)
    w.until(w.job(job).ended + KEEP - 1)
    w.store.put(escrow_key(escrow(job)), Escrow(7))
    w.clock += 1
    host = w.host()
    w.store.begin()
    with pytest.raises(BrokenInvariant, match="with 7 in the escrow"):
        CONTRACT.on_due(host.acting(CONTRACT), job, w.clock)  # type: ignore[misc]
    w.store.drop()
    assert w.keys_of(job)
    before = w.free("boss")
    host = w.host()
    CONTRACT.on_give_back(host.acting(CONTRACT), job)  # type: ignore[misc]
    assert (w.free("boss"), w.escrowed(job)) == (before + 7, 0)


def test_a_stake_stops_its_page_and_goes_to_its_claimant_when_given_back() -> None:
    w = World(["boss", *CROWD], [CROWD[0]])
    job = empty_job_of_many(w)
    w.until(w.job(job).ended + KEEP)
    stake = escrow_key(records.stake_escrow(job, who("c3")))
    w.store.put(stake, Escrow(5))
    w.clock, at = w.clock + 1, w.clock + 1
    while of(w, b"jc/", job) > 44:
        CONTRACT.on_due(w.host().acting(CONTRACT), job, at)  # type: ignore[misc]
    w.store.begin()
    with pytest.raises(BrokenInvariant, match="with 5 in the escrow"):
        CONTRACT.on_due(w.host().acting(CONTRACT), job, at)  # type: ignore[misc]
    w.store.drop()
    assert of(w, b"jc/", job) == 44
    before = w.free("c3")
    CONTRACT.on_give_back(w.host().acting(CONTRACT), job)  # type: ignore[misc]
    assert w.free("c3") == before and w.store.get(records.leaving_key(job)).given_back
    CONTRACT.on_due(w.host().acting(CONTRACT), job, at)  # type: ignore[misc]
    assert w.free("c3") == before + 5 and w.escrowed(job) == 0
    assert not [key for key in w.keys_of(job) if not key.startswith(b"d/")]


# --- what a node archives --------------------------------------------------------------------------------------------------------


def test_a_block_that_is_taken_over_is_archived_as_one_that_is_executed() -> None:
    chain = FakeLedger()
    job = chain.judged_job(YES)
    parent, validators = chain_record(chain.state), validators_of(chain.state)
    other = State.load(chain.state.items())
    proposer = validators[(parent.height + 1) % len(validators)].id
    time = parent.time + KEEP
    made = apply_block(chain.state, BlockInput(parent.height + 1, time, proposer, ZERO_HASH, ZERO_HASH, []))
    assert {key[:3] for key, _ in made.archived} == {b"jb/", b"jc/", b"jm/", b"jn/", b"jp/", b"jr/", b"js/"}
    assert all(chain.state.raw(key) == raw for key, raw in made.archived)
    roots = (ZERO_HASH, made.receipt_root, made.state_root, ZERO_HASH, validators_hash(made.next_validators))
    header = Header(1, chain.chain_id, parent.height + 1, 0, proposer, time, ZERO_HASH, *roots, ZERO_HASH, ZERO_HASH)
    followed = follow(other, header, 0, made.receipt_bytes, changes_of(made.encoded))
    assert followed.archived == made.archived and job in {key[3:] for key, _ in followed.archived}


def test_a_case_whose_end_is_found_now_puts_the_job_off_to_a_later_block() -> None:
    """LC-JOB-44: whoever archives a block's jobs reads them as the block before left them."""
    w = world(job_keep=1)
    job = audit(w, {"a": 100})
    w.everybody(job, LIE)
    w.until(w.job(job).deadline)
    assert w.job(job).deadline == w.clock + 4 * PARAMS.appeal + 1, "the longest case is over by then"
    w.set_status(who("a"), BANNED)
    w.until(w.job(job).deadline)
    assert w.job(job).cases[0].state == CaseState.BANNED and w.job(job).deadline == w.clock + 1
    w.block(1)
    assert w.keys_of(job) == []


def test_the_work_of_a_deadline_covers_the_seats_that_it_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-BLK-31: a draw may seat a whole second round, and verdicts look at both rounds of an audit."""
    due_work = CONTRACT.due_work
    assert due_work is not None
    w = world()
    monkeypatch.setattr(w.store, "flagged", lambda: 17, raising=False)
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == w.claim(job, "b", 9_000) == 0
    w.until(w.job(job).deadline)
    assert (w.state(job), due_work(w.store, job)) == ("REVEAL", 2)
    assert w.reveal(job, "a") == w.reveal(job, "b") == 0
    while w.state(job) == "REVEAL":
        w.block(1)
    assert (w.state(job), due_work(w.store, job)) == ("DRAW", SECOND_ROUND + 2), "and a ticket for each flag, sixteen at once"
    w.draw(job)
    first = w.committee(job)
    assert (w.state(job), due_work(w.store, job)) == ("COMMIT", len(first) + 2), "the seats, and the stakes that go back"
    w.vote(job, {first[0]: None, first[1]: [LIE]} | {voter: [YES] for voter in first[2:]})
    assert (w.state(job), w.job(job).round) == ("COMMIT", 2)
    assert due_work(w.store, job) == len(first) + len(w.committee(job)) + 2


def test_others_learn_who_won_a_job_once_it_is_paid() -> None:
    w = world()
    job = audit(w, {"a": 5_000, "b": 9_000})
    winners = CONTRACT.services[WINNERS](w.host())
    assert winners.of(job) is None and winners.of(bytes(32)) is None
    w.everybody(job, YES)
    won = winners.of(job)
    assert won is not None
    assert (won.poster, won.winner, won.model, won.size) == (who("boss"), who("a"), cid_of("a"), 1_000)


def test_the_accounts_of_a_job_are_listed_in_pages() -> None:
    w = World(["boss", *CROWD], [CROWD[0]])
    job = w.post("boss")
    for n, name in enumerate(CROWD[:5]):
        assert w.claim(job, name, 10**6 + n) == 0
    pages = [records.claimants(w.store, job, start, 2) for start in (0, 2, 4, 6)]
    assert pages == [[who(n) for n in CROWD[:2]], [who(n) for n in CROWD[2:4]], [who(CROWD[4])], []]
    assert records.claimants(w.store, bytes(32), 0, 2) == []
