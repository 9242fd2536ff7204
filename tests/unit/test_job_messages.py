"""Every message of the job contract: its effect, and each of its guards violated alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from learningchain.chain.contracts.job import messages, records
from learningchain.chain.contracts.job.messages import CancelJob, ExtendJob, JobCode, PostJob
from learningchain.chain.contracts.job.records import ClaimRecord, ContractorRecord
from learningchain.chain.errors import Code, Malformed
from learningchain.chain.host import ACTIVE, SUSPENDED, terms
from learningchain.chain.verification.votes import BallotCode
from tests.unit.job_kit import (
    FEE,
    GRANT,
    PARAMS,
    START,
    World,
    ballot,
    cid_of,
    hidden_set,
    key_message,
    posting,
    replaced,
    sha,
    who,
)

MEMBERS = ["boss", "a", "b", "c", "v1", "v2", "v3", "v4"]
VERIFIERS = ["v1", "v2", "v3", "v4"]
DIGITS = terms.DataRef(b"\x01\x55\x12\x20" + bytes(32), 1, 1, "digits", 1)
ODD_SETS: list[dict[str, Any]] = [
    *({"name": ""}, {"name": "a.b"}, {"name": "Digits"}, {"cid": b"\x01"}, {"size": 0}, {"size": 2**40 + 1}),
    *({"files": 0}, {"files": 10_001}, {"use": 0}, {"use": 4}),
]
ODD_DEVICES = [(0, 1, 0), (3, 1, 0), (1, 0, 0), (1, 9, 0), (1, 1, 2**20 + 1)]
EARLIER = terms.Earlier(bytes(32), b"\x01\x55\x12\x20" + bytes(32), 1, 5_000)
ODD_EARLIER: list[dict[str, Any]] = [
    {"cid": b"\x01"},
    {"size": 0},
    {"size": 2**34 + 1},
    {"loss": -(10**18) - 1},
    {"loss": 10**18 + 1},
]
GOOD = [ballot(BallotCode.OK, 5_000)]
FEES, BOND = FEE * 71 * 3, 3 * 1_000
"""What `posting` locks beside its bounty."""


def world(**changes: Any) -> World:
    return World(MEMBERS, VERIFIERS, params=replaced(PARAMS, **changes))


def strikes(w: World, name: str, count: int) -> None:
    """For work of so many contractors."""
    w.membership.strikes += [(who(name), "test", who(("contractor", i))) for i in range(count)]


def claim_record(w: World, job: bytes, name: str) -> ClaimRecord:
    found = w.store.get(records.claim_key(job, w.store.get(records.claimant_key(job, who(name))).index))
    assert isinstance(found, ClaimRecord)
    return found


# --- Post ----------------------------------------------------------------------------------------------------------------------


def test_post_escrows_bounty_fees_and_bond_and_opens_the_job() -> None:
    w = world()
    job = w.post("boss", bounty=10_000, finalists=3)
    assert w.state(job) == "OPEN"
    assert w.free("boss") == GRANT - 10_000 - FEES - BOND
    assert w.moves(job) == [("bounty.locked", 10_000), ("fees.locked", FEES), ("bond.locked", BOND)]
    assert w.topics(job) == ["job.posted"]
    assert w.next_due() == START + 100_000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expiry": START - 1}, JobCode.BAD_EXPIRY),
        ({"expiry": START + 9_999}, JobCode.BAD_EXPIRY),
        ({"expiry": START + PARAMS.job_max_open + 1}, JobCode.BAD_EXPIRY),
        ({"bounty": GRANT}, Code.INSUFFICIENT_CREDITS),
        ({"bounty": 10_000_000 - FEES}, Code.INSUFFICIENT_CREDITS),
        ({"bounty": GRANT // 2, "hidden": hidden_set()}, Code.INSUFFICIENT_CREDITS),
        ({"bounty": 2**63 - 1, "fee": 2**63 - 1, "finalists": 8}, Code.INSUFFICIENT_CREDITS),
        ({"bounty": 9}, JobCode.LOW_BOUNTY),
        ({"fee": 0, "cpus_milli": 10, "eval_s": 1}, JobCode.LOW_FEE),
        ({"fee": FEE - 1}, JobCode.LOW_FEE),
        ({"fee": 309, "hidden": hidden_set()}, JobCode.LOW_FEE),
        ({"fee": 61, "cpus_milli": 101, "eval_s": 1}, JobCode.LOW_FEE),
        ({"fee": 70, "cpus_milli": 10, "eval_s": 1, "model_cap": 10**8 + 1}, JobCode.LOW_FEE),
        ({"arch": 0}, JobCode.BAD_TERMS),
        ({"arch": 3}, JobCode.BAD_TERMS),
        ({"finalists": 1}, JobCode.BAD_TERMS),
        ({"finalists": 9}, JobCode.BAD_TERMS),
        ({"float_kind": 0}, JobCode.BAD_TERMS),
        ({"float_kind": 3}, JobCode.BAD_TERMS),
        ({"on_cheat": 2}, JobCode.BAD_TERMS),
        ({"tol": 10**18 + 1}, JobCode.BAD_TERMS),
        ({"floor": 10**18 + 1}, JobCode.BAD_TERMS),
        ({"floor": -(10**18) - 1}, JobCode.BAD_TERMS),
        ({"params": "x" * 8_193}, JobCode.BAD_PARAMS),
        ({"params": "é" * 4_097}, JobCode.BAD_PARAMS),
        ({"hidden": [replaced(hidden_set()[0], cid=b"junk")]}, JobCode.BAD_HIDDEN),
        ({"hidden": [replaced(hidden_set()[0], size=0)]}, JobCode.BAD_HIDDEN),
        *[({"data": [replaced(DIGITS, **wrong)]}, JobCode.BAD_DATA) for wrong in ODD_SETS],
        ({"data": [DIGITS, DIGITS]}, JobCode.BAD_DATA),
        ({"data": [replaced(DIGITS, name=name, size=2**39 + 1) for name in "ab"]}, JobCode.BAD_DATA),
        *[({"devices": [terms.DeviceAsk(*wrong)]}, JobCode.BAD_DEVICES) for wrong in ODD_DEVICES],
        *[({"earlier": [replaced(EARLIER, **wrong)]}, JobCode.BAD_EARLIER) for wrong in ODD_EARLIER],
        ({"image_reference": "digits:latest"}, JobCode.BAD_IMAGE),
        ({"image_reference": "digits@sha256:" + "AB" * 32}, JobCode.BAD_IMAGE),
        ({"image_reference": "Digits@sha256:" + "ab" * 32}, JobCode.BAD_IMAGE),
        ({"image_reference": "digits@sha256:" + "ab" * 32 + "\n"}, JobCode.BAD_IMAGE),
        ({"image_cid": cid_of("image")}, JobCode.BAD_IMAGE),
        ({"image_image_id": b"x" * 31}, JobCode.BAD_IMAGE),
        ({"image_size": 0}, JobCode.BAD_IMAGE),
        ({"image_kind": 3}, JobCode.BAD_IMAGE),
        ({"image_kind": 2}, JobCode.BAD_IMAGE),
        ({"image_kind": 2, "image_reference": "", "image_cid": cid_of("image")}, JobCode.BAD_IMAGE),
        ({"image_kind": 2, "image_reference": "", "image_cid": b"\x01\x55", "image_image_id": b"x" * 32}, JobCode.BAD_IMAGE),
        *[({name: low - 1}, JobCode.IMPOSSIBLE_LIMIT) for name, (low, _) in terms.LIMITS.items() if low],
        *[({name: high + 1}, JobCode.IMPOSSIBLE_LIMIT) for name, (_, high) in terms.LIMITS.items()],
    ],
)
def test_post_refuses(changes: dict[str, Any], code: int) -> None:
    w = world()
    assert w.send(who("boss"), posting(**dict(changes))) == code
    assert w.refused
    assert w.free("boss") == GRANT
    assert w.next_due() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"expiry": START + 10_000},
        {"expiry": START + PARAMS.job_max_open},
        {"bounty": 10},
        {"fee": 62, "cpus_milli": 101, "eval_s": 1},
        {"fee": 71, "cpus_milli": 10, "eval_s": 1, "model_cap": 10**8 + 1},
        {"fee": 310, "hidden": hidden_set()},
        {"bounty": (GRANT - FEES) // 13 * 10, "finalists": 3},
        {"image_kind": 2, "image_reference": "", "image_cid": cid_of("image"), "image_image_id": b"x" * 32},
        {"image_reference": "localhost:5000/team/digits:v1@sha256:" + "0f" * 32, "image_image_id": b"x" * 32},
        {"params": "x" * 8_192},
        {"floor": -(10**18), "tol": 10**18, "float_kind": 2, "on_cheat": 1, "finalists": 8},
        {"finalists": 2, "tmp_mb": 0, "arch": 2},
        *[{name: low} for name, (low, _) in terms.LIMITS.items()],
        *[{name: high} for name, (_, high) in terms.LIMITS.items()],
    ],
)
def test_post_accepts_the_edges(changes: dict[str, Any]) -> None:
    w = World(MEMBERS, VERIFIERS, grant=10**15 if {"cpus_milli", "eval_s"} & set(changes) else GRANT)
    assert w.send(who("boss"), posting(**dict(changes))) == 0, w.refused


def test_post_needs_an_active_identity_with_strikes_from_less_than_three_contractors() -> None:
    w = world()
    strikes(w, "boss", 2)
    assert w.send(who("boss"), posting()) == 0
    strikes(w, "boss", 3)
    assert w.send(who("boss"), posting()) == JobCode.NO_STANDING
    w.set_status(who("a"), SUSPENDED)
    assert w.send(who("a"), posting()) == JobCode.SUSPENDED


@pytest.mark.parametrize(
    ("flagged", "able", "code"),
    [
        (0, 0, JobCode.FEW_VERIFIERS),
        (1, 0, JobCode.FEW_VERIFIERS),
        (1, 1, 0),
        (2, 1, JobCode.FEW_VERIFIERS),
        (2, 2, 0),
        (9, 2, JobCode.FEW_VERIFIERS),
        (9, 3, 0),
        (10, 3, JobCode.FEW_VERIFIERS),
        (10, 4, 0),
    ],
)
def test_a_job_that_few_can_judge_is_not_accepted(flagged: int, able: int, code: int) -> None:
    """LC-JOB-52: a third of those with the flag, and three where there are so many; the contractor itself does not count."""
    names = [f"m{i}" for i in range(flagged)]
    w = World(["boss", *names], [*names, "boss"])
    w.membership.weak = {who(name) for name in names[able:]}
    assert w.send(who("boss"), posting()) == code
    if code:
        assert f"of {flagged} verifiers {able} have declared" in w.refused


# --- before the first claim ----------------------------------------------------------------------------------------------------


def test_a_job_that_nobody_claimed_on_is_cancelled_and_everything_returns() -> None:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    w.set_status(who("boss"), SUSPENDED)
    assert w.send(who("boss"), CancelJob(job)) == 0
    assert (w.state(job), w.free("boss"), w.escrowed(job), w.unsettled_due()) == ("EMPTY", GRANT, 0, None)
    assert w.topics(job)[1:] == ["cancelled", "empty", "bond"]
    assert w.store.get(records.contractor_key(who("boss"))) == ContractorRecord(1, 0, 0, 0, 0, 0, 0, [], 0)


def test_a_job_is_extended_as_if_it_were_posted_now() -> None:
    w = world()
    job = w.post("boss")
    w.until(START + 50_000)
    later = START + 50_000 + PARAMS.job_max_open
    assert w.send(who("boss"), ExtendJob(job, later)) == 0
    assert (w.job(job).deadline, w.next_due()) == (later, later)
    assert w.store.get(records.posting_key(job)).terms.expiry == later
    assert w.store.get(records.live_key(job)).expiry == later
    w.until(START + 100_000)
    assert w.claim(job, "a", 5_000) == 0
    w.until(later)
    assert w.state(job) == "REVEAL"


def test_what_a_posting_counts_follows_the_size_of_its_expiry() -> None:
    """Eight bytes instead of four: what is given back at the end is what was counted."""
    w = world()
    w.block(2 * 10**9)
    job = w.post("boss")
    counted = w.store.get(records.contractor_key(who("boss"))).live_bytes
    assert w.clock + 100_000 < 2**32 < w.clock + PARAMS.job_max_open
    assert w.send(who("boss"), ExtendJob(job, 2**32)) == 0
    assert w.store.get(records.contractor_key(who("boss"))).live_bytes == counted + 4
    assert w.send(who("boss"), CancelJob(job)) == 0
    assert w.store.get(records.contractor_key(who("boss"))).live_bytes == 0


@pytest.mark.parametrize("message", [CancelJob, lambda job: ExtendJob(job, START + 200_000)])
def test_only_the_contractor_before_the_expiry_and_without_a_claim(message: Callable[[bytes], Any]) -> None:
    w = world()
    job, other = w.post("boss"), w.post("boss")
    assert w.send(who("a"), message(job)) == JobCode.NOT_POSTER
    assert w.send(who("boss"), message(sha("no job"))) == JobCode.NO_SUCH_JOB
    assert w.claim(job, "a", 5_000) == 0
    assert w.send(who("boss"), message(job)) == JobCode.HAS_CLAIMS
    w.clock = START + 100_000
    assert w.send(who("boss"), message(other)) == JobCode.TOO_LATE
    w.block(0)
    assert w.send(who("boss"), message(other)) == JobCode.TOO_LATE


@pytest.mark.parametrize("away", [100_000, 100_001 - 1, PARAMS.job_max_open + 1])
def test_a_new_expiry_is_later_and_within_bounds(away: int) -> None:
    w = world()
    job = w.post("boss")
    assert w.send(who("boss"), ExtendJob(job, START + away)) == JobCode.BAD_EXPIRY
    w.until(START + 95_000)
    assert w.send(who("boss"), ExtendJob(job, START + 100_001)) == JobCode.BAD_EXPIRY
    w.set_status(who("boss"), SUSPENDED)
    assert w.send(who("boss"), ExtendJob(job, START + 200_000)) == JobCode.SUSPENDED
    w.set_status(who("boss"), ACTIVE)
    strikes(w, "boss", 3)
    assert w.send(who("boss"), ExtendJob(job, START + 200_000)) == JobCode.NO_STANDING


# --- Claim ---------------------------------------------------------------------------------------------------------------------


def test_the_stake_is_full_or_nothing() -> None:
    w = World([*MEMBERS, "poor"], VERIFIERS)
    job = w.post("boss", bounty=10_000)
    assert w.post("poor", bounty=(GRANT - FEES) // 13 * 10) and w.free("poor") < 1_000
    assert w.claim(job, "poor", 1) == 0
    assert (claim_record(w, job, "poor").stake, claim_record(w, job, "poor").full) == (0, False)
    assert w.claim(job, "a", 1, stake=False) == 0
    assert (w.free("a"), claim_record(w, job, "a").full) == (GRANT, False)
    # what a later claim says of it is not read
    assert w.claim(job, "a", -100 if w.store.get(records.posting_key(job)).terms.floor < 0 else 0) == JobCode.NOT_BETTER
    assert w.claim(job, "b", 5_000) == 0
    assert (claim_record(w, job, "b").stake, claim_record(w, job, "b").full) == (1_000, True)


def test_a_claim_replaces_the_own_one_and_takes_a_new_place() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    first = claim_record(w, job, "a")
    w.block(1)
    assert w.claim(job, "b", 5_000) == 0
    w.block(1)
    assert w.claim(job, "a", 4_900) == 0
    second = claim_record(w, job, "a")
    assert (second.count, second.loss) == (2, 4_900)
    assert first.height < claim_record(w, job, "b").height < second.height
    assert first.tx != second.tx
    assert w.job(job).claimants == 2


def test_own_improvement_must_exceed_twice_the_tolerance() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    # tol(5000) is base(5000) = 10 + 1
    assert w.claim(job, "a", 5_000 - 21) == JobCode.NOT_BETTER
    assert w.claim(job, "a", 5_000 - 22) == 0
    assert w.claim(job, "a", 5_000) == JobCode.NOT_BETTER


def test_a_claim_must_be_better_than_the_model_that_trainings_begin_with() -> None:
    w = world()
    job = w.post("boss", earlier=[EARLIER])
    assert w.claim(job, "a", 5_000) == JobCode.NOT_BETTER
    assert w.claim(job, "a", 5_000 - 21) == JobCode.NOT_BETTER
    assert w.claim(job, "a", 5_000 - 22) == 0
    assert w.claim(job, "b", 4_000) == 0


def test_claims_end_at_the_expiry_even_while_the_deadline_waits_its_turn() -> None:
    w = world()
    job = w.post("boss")
    w.until(START + 99_999)
    assert w.claim(job, "a", 1) == 0
    w.clock = START + 100_000
    assert w.state(job) == "OPEN"
    assert w.claim(job, "b", 1) == JobCode.TOO_LATE
    w.block(0)
    assert w.claim(job, "b", 1) == JobCode.TOO_LATE


@pytest.mark.parametrize(
    ("floor", "loss", "code"),
    [(10, 9, JobCode.BAD_LOSS), (10, 10, 0), (-(10**18), -(10**18), 0), (0, 10**18, 0), (0, 10**18 + 1, JobCode.BAD_LOSS)],
)
def test_a_claimed_loss_lies_between_the_floor_and_the_limit(floor: int, loss: int, code: int) -> None:
    w = world()
    job = w.post("boss", floor=floor)
    assert w.claim(job, "a", loss) == code


def test_sixteen_claims_per_claimant() -> None:
    w = world()
    job = w.post("boss")
    for i in range(16):
        assert w.claim(job, "a", 100_000 - 1_000 * i) == 0
    assert w.claim(job, "a", 0) == JobCode.TOO_MANY_CLAIMS


def test_no_claim_from_the_poster_nor_from_the_struck() -> None:
    w = world()
    job = w.post("boss")
    strikes(w, "a", 3)
    assert w.claim(job, "boss", 1) == JobCode.OWN_JOB
    assert w.claim(job, "a", 1) == JobCode.NO_STANDING
    assert w.claim(sha("no job"), "c", 1) == JobCode.NO_SUCH_JOB
    assert w.job(job).claimants == 0


def test_a_suspended_account_claims_on_jobs_of_contractors_that_are_not_in_its_case() -> None:
    w = world()
    w.membership.roots = {who("b"): who("boss")}
    mine, of_same_root, of_another = w.post("boss"), w.post("b"), w.post("c")
    w.membership.cases[who("a")] = [(3, sha("job"), who("boss"))]
    w.set_status(who("a"), SUSPENDED)
    assert w.claim(mine, "a", 1) == JobCode.SUSPENDED
    assert w.claim(of_same_root, "a", 1) == JobCode.SUSPENDED
    assert w.claim(of_another, "a", 1) == 0


def test_a_full_job_takes_no_new_claimant_but_better_claims() -> None:
    w = world(job_max_claimants=2)
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    assert w.claim(job, "b", 5_000) == 0
    assert w.claim(job, "c", 1) == JobCode.JOB_FULL
    assert w.claim(job, "a", 1_000) == 0


def test_a_claim_costs_the_same_however_many_claimants_there_are() -> None:
    names = [f"m{i}" for i in range(1_024)]
    w = World(["boss", *names, "late"], ["late"], params=replaced(PARAMS, job_max_claimants=1_025))
    w.store.measure = True
    job = w.post("boss")
    sizes = []
    for name in [*names, "late"]:
        w.store.bytes_written = 0
        assert w.claim(job, name, 500) == 0
        sizes.append(w.store.bytes_written)
    assert sizes[-1] <= sizes[0] + 16
    assert sizes[0] < 1_100


# --- Reveal --------------------------------------------------------------------------------------------------------------------


def revealing(**changes: Any) -> tuple[World, bytes]:
    """a (5,000 then 4,000), b (4,500), c (9,000) have claimed; K is 2, so only a and b must reveal."""
    w = world()
    job = w.post("boss", finalists=2, **changes)
    for name, loss in (("a", 5_000), ("b", 4_500), ("c", 9_000), ("a", 4_000)):
        assert w.claim(job, name, loss) == 0
    w.deadline(job)
    assert w.state(job) == "REVEAL"
    return w, job


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("v1", {}, JobCode.NO_CLAIM),
        ("boss", {}, JobCode.NO_CLAIM),
        ("a", {"claim": 1}, JobCode.CLAIM_REPLACED),
        ("a", {"claim": 3}, JobCode.CLAIM_REPLACED),
        ("b", {"salt": sha("other")}, JobCode.REVEAL_MISMATCH),
        ("b", {"model": "a"}, JobCode.REVEAL_MISMATCH),
        ("b", {"size": 0}, JobCode.BAD_MODEL),
        ("b", {"size": 1_000_001}, JobCode.BAD_MODEL),
    ],
)
def test_reveal_refuses(name: str, changes: dict[str, Any], code: int) -> None:
    w, job = revealing()
    assert w.reveal(job, name, **changes) == code


@pytest.mark.parametrize("model", [b"", b"\x01\x55\x12\x20", b"\x01\x71\x12\x20" + b"x" * 32, b"\x12\x20" + b"x" * 32, b"x" * 64])
def test_reveal_refuses_what_is_no_cid_of_the_store(model: bytes) -> None:
    w, job = revealing()
    message = messages.Reveal(job, 1, model, 10, sha("salt"))
    assert w.send(who("b"), message) == JobCode.BAD_MODEL


def test_reveal_only_once_and_only_in_its_window() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    assert w.claim(job, "b", 5_000) == 0
    assert w.claim(job, "c", 5_000) == 0
    assert w.reveal(job, "a") == JobCode.WRONG_STATE
    w.deadline(job)
    assert w.reveal(job, "a") == 0
    assert w.reveal(job, "a") == JobCode.ALREADY_REVEALED
    w.set_status(who("b"), SUSPENDED)
    assert w.reveal(job, "b") == 0, "suspension takes no duty away"
    w.clock = w.job(job).deadline
    assert w.reveal(job, "c") == JobCode.TOO_LATE
    w.block(0)
    assert w.reveal(job, "c") == JobCode.TOO_LATE


# --- Key -----------------------------------------------------------------------------------------------------------------------


def awaiting_key() -> tuple[World, bytes]:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    w.open_to(job, {"a": 5_000, "b": 4_000})
    assert w.state(job) == "KEY"
    return w, job


def test_the_key_refuses_others_wrong_keys_and_late_ones() -> None:
    w, job = awaiting_key()
    assert w.send(who("a"), key_message(job)) == JobCode.NOT_POSTER
    assert w.send(who("boss"), key_message(job, sha("wrong"))) == JobCode.WRONG_KEY
    w.clock = w.job(job).deadline
    assert w.send(who("boss"), key_message(job)) == JobCode.TOO_LATE
    w.block(0)
    assert w.send(who("boss"), key_message(job)) == JobCode.TOO_LATE


def test_no_key_before_its_state_and_none_for_a_public_job() -> None:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    public = w.post("boss")
    assert w.send(who("boss"), key_message(job)) == JobCode.WRONG_STATE
    assert w.send(who("boss"), key_message(public)) == JobCode.WRONG_STATE
    w.open_to(public, {"a": 5_000})
    assert w.send(who("boss"), key_message(public)) == JobCode.TOO_LATE


# --- bounds on the wire --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        lambda p: replaced(p, params="x" * 20_000),
        lambda p: replaced(p, hidden=hidden_set() * 2),
        lambda p: replaced(p, devices=[terms.DeviceAsk(1, 1, 0)] * 2),
        lambda p: replaced(p, data=[replaced(DIGITS, name=f"s{n}") for n in range(9)]),
        lambda p: replaced(p, earlier=[EARLIER] * 2),
        lambda p: replaced(p, bounty=-1),
        lambda p: replaced(p, bounty=2**63),
        lambda p: replaced(p, floor=-(2**63) - 1),
        lambda p: replaced(p, image=replaced(p.image, cid=b"x" * 65)),
        lambda p: replaced(p, image=replaced(p.image, reference="x" * 513)),
    ],
)
def test_oversized_messages_are_malformed(bad: Callable[[PostJob], PostJob]) -> None:
    w = world()
    with pytest.raises((Malformed, OverflowError)):
        w.send(who("boss"), bad(posting()))


def test_commitments_bind_everything_they_should() -> None:
    base = (sha("chain"), sha("job"), who("a"), sha("model"), sha("salt"))
    changed = [(*base[:i], sha("x")[: len(base[i])], *base[i + 1 :]) for i in range(5)]
    assert len({messages.claim_commitment(*args) for args in [base, *changed]}) == 6
    vote = (sha("chain"), sha("job"), 0, 1, who("a"), GOOD, sha("salt"))
    others: list[tuple[Any, ...]] = [
        (sha("x"), *vote[1:]),
        (vote[0], sha("x"), *vote[2:]),
        (*vote[:2], 1, *vote[3:]),
        (*vote[:3], 2, *vote[4:]),
        (*vote[:4], who("b"), *vote[5:]),
        (*vote[:5], [ballot(BallotCode.OK, 5_001)], vote[6]),
        (*vote[:6], sha("x")),
    ]
    assert len({messages.vote_commitment(*args) for args in [vote, *others]}) == 8


# --- what one contractor has standing -------------------------------------------------------------------------------------------


def test_a_contractor_has_a_bound_of_live_jobs() -> None:
    """LC-JOB-43: an ended job makes room; another account has its own."""
    w = world(job_max_live=2)
    first, _ = w.post("boss"), w.post("boss", expiry=START + 900_000)
    more = posting(expiry=START + 900_000)
    assert w.send(who("boss"), more) == JobCode.TOO_MANY_LIVE and "2 of your jobs are live" in w.refused
    assert w.send(who("a"), more) == 0
    w.deadline(first)
    assert w.state(first) == "EMPTY"
    assert w.send(who("boss"), more) == 0
    assert w.send(who("boss"), more) == JobCode.TOO_MANY_LIVE


def test_a_contractor_has_a_bound_of_bytes_of_live_postings() -> None:
    """LC-JOB-43: counted to the byte, and given back to the byte."""
    small, large = posting(expiry=START + 900_000, params="x"), posting(params="x" * 5_000)
    both = messages.size_of(small) + messages.size_of(large)
    w = world(job_max_live_bytes=both)
    first = w.post("boss", params="x" * 5_000)
    assert w.send(who("boss"), posting(expiry=START + 900_000, params="xx")) == JobCode.TOO_MANY_LIVE
    assert f"would have {both + 1} bytes, {both} are allowed" in w.refused
    assert w.send(who("boss"), small) == 0
    w.deadline(first)
    record = w.store.get(records.contractor_key(who("boss")))
    assert (record.live, record.live_bytes) == (1, messages.size_of(small))
