"""Every message of the job contract: its effect, and each of its guards violated alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chain.contracts.job import messages, records
from chain.contracts.job.messages import JobCode, PostJob
from chain.contracts.job.records import ClaimRecord
from chain.contracts.job.rules import VoteCode
from chain.errors import Code, Malformed
from chain.host import BANNED, SUSPENDED, terms
from tests.unit.job_kit import (
    GRANT,
    KEY,
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
GOOD = [ballot(VoteCode.OK, 5_000, 4_000)]


def world(**changes: Any) -> World:
    return World(MEMBERS, VERIFIERS, params=replaced(PARAMS, **changes))


def strikes(w: World, name: str, count: int) -> None:
    w.membership.strikes += [(who(name), "test", w.clock + 10**9)] * count


def claim_record(w: World, job: bytes, name: str) -> ClaimRecord:
    found = w.store.get(records.claim_key(job, w.store.get(records.claimant_key(job, who(name))).index))
    assert isinstance(found, ClaimRecord)
    return found


# --- Post ----------------------------------------------------------------------------------------------------------------------


def test_post_escrows_bounty_fees_and_opens_the_job() -> None:
    w = world()
    job = w.post("boss", bounty=10_000, fee=10, finalists=3)
    assert w.state(job) == "OPEN"
    assert w.free("boss") == GRANT - 10_000 - 10 * 13 * 3
    assert w.moves(job) == [("bounty.locked", 10_000), ("fees.locked", 390)]
    assert w.topics(job) == ["job.posted"]
    assert w.next_due() == START + 100_000


def test_post_with_hidden_data_escrows_a_deposit_as_large_as_the_bounty() -> None:
    w = world()
    job = w.post("boss", bounty=10_000, fee=10, finalists=3, hidden=hidden_set())
    assert w.escrowed(job) == 10_000 + 390 + 10_000
    assert ("deposit.locked", 10_000) in w.moves(job)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expiry": START - 1}, JobCode.BAD_EXPIRY),
        ({"expiry": START + 9_999}, JobCode.BAD_EXPIRY),
        ({"expiry": START + PARAMS.job_max_open + 1}, JobCode.BAD_EXPIRY),
        ({"bounty": GRANT}, Code.INSUFFICIENT_CREDITS),
        ({"bounty": GRANT - 389}, Code.INSUFFICIENT_CREDITS),
        ({"bounty": GRANT // 2, "hidden": hidden_set()}, Code.INSUFFICIENT_CREDITS),
        ({"bounty": 2**63 - 1, "fee": 2**63 - 1, "finalists": 8}, Code.INSUFFICIENT_CREDITS),
        ({"bounty": 0}, JobCode.BAD_TERMS),
        ({"fee": 0}, JobCode.BAD_TERMS),
        ({"finalists": 0}, JobCode.BAD_TERMS),
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
        {"bounty": GRANT - 390},
        {"image_kind": 2, "image_reference": "", "image_cid": cid_of("image"), "image_image_id": b"x" * 32},
        {"image_reference": "localhost:5000/team/digits:v1@sha256:" + "0f" * 32, "image_image_id": b"x" * 32},
        {"params": "x" * 8_192},
        {"floor": -(10**18), "tol": 10**18, "float_kind": 2, "on_cheat": 1, "finalists": 8},
        {"finalists": 1, "tmp_mb": 0},
        *[{name: low} for name, (low, _) in terms.LIMITS.items()],
        *[{name: high} for name, (_, high) in terms.LIMITS.items()],
    ],
)
def test_post_accepts_the_edges(changes: dict[str, Any]) -> None:
    w = world()
    assert w.send(who("boss"), posting(**dict(changes))) == 0, w.refused


def test_post_needs_an_active_identity_with_less_than_three_strikes() -> None:
    w = world()
    strikes(w, "boss", 2)
    assert w.send(who("boss"), posting()) == 0
    strikes(w, "boss", 1)
    assert w.send(who("boss"), posting()) == JobCode.TOO_MANY_STRIKES
    w.set_status(who("a"), SUSPENDED)
    assert w.send(who("a"), posting()) == JobCode.NOT_ACTIVE
    w.set_status(who("b"), BANNED)
    assert w.send(who("b"), posting()) == JobCode.NOT_ACTIVE
    assert w.send(who("nobody"), posting()) == JobCode.NOT_ACTIVE


# --- Claim ---------------------------------------------------------------------------------------------------------------------


def test_first_claim_locks_a_tenth_of_the_bounty_and_later_ones_nothing() -> None:
    w = world()
    job = w.post("boss", bounty=10_009)
    assert w.claim(job, "a", 5_000) == 0
    assert w.free("a") == GRANT - 1_000
    assert w.claim(job, "a", 4_000) == 0
    assert w.free("a") == GRANT - 1_000
    assert [m for m in w.moves(job) if m[0] == "stake.locked"] == [("stake.locked", 1_000)]


def test_stake_is_what_is_free_where_that_is_less() -> None:
    w = World(MEMBERS, VERIFIERS, grant=500)
    job = w.post("boss", bounty=100, fee=1)
    w2 = World([*MEMBERS, "poor"], VERIFIERS)
    job2 = w2.post("boss", bounty=GRANT // 2, fee=1)
    assert w.claim(job, "a", 1) == 0
    assert w.free("a") == 490
    assert w2.post("poor", bounty=GRANT - 39 - 30_000, fee=1)
    assert w2.claim(job2, "poor", 1) == 0
    assert w2.free("poor") == 0
    assert claim_record(w2, job2, "poor").stake == 30_000


def test_a_claim_replaces_the_own_one_and_takes_a_new_chain_position() -> None:
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
    assert first.position < claim_record(w, job, "b").position < second.position
    assert w.job(job).claimants == 2


def test_a_claim_need_not_beat_what_others_announced() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 1) == 0
    assert w.claim(job, "b", 9_999) == 0


def test_own_improvement_must_exceed_twice_the_tolerance() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    # tol(5000) is base(5000) = 10 + 1
    assert w.claim(job, "a", 5_000 - 21) == JobCode.NOT_BETTER
    assert w.claim(job, "a", 5_000 - 22) == 0
    assert w.claim(job, "a", 5_000) == JobCode.NOT_BETTER


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


def test_no_claim_from_the_poster_the_struck_the_suspended_and_strangers() -> None:
    w = world()
    job = w.post("boss")
    strikes(w, "a", 3)
    w.set_status(who("b"), SUSPENDED)
    assert w.claim(job, "boss", 1) == JobCode.OWN_JOB
    assert w.claim(job, "a", 1) == JobCode.TOO_MANY_STRIKES
    assert w.claim(job, "b", 1) == JobCode.NOT_ACTIVE
    assert w.claim(job, "stranger", 1) == JobCode.NOT_ACTIVE
    assert w.claim(sha("no job"), "c", 1) == JobCode.NO_SUCH_JOB
    assert w.job(job).claimants == 0


def test_a_full_job_takes_no_new_claimant_but_better_claims() -> None:
    w = world(job_max_claimants=2)
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    assert w.claim(job, "b", 5_000) == 0
    assert w.claim(job, "c", 1) == JobCode.JOB_FULL
    assert w.claim(job, "a", 1_000) == 0


def test_a_claim_costs_the_same_however_many_claimants_there_are() -> None:
    names = [f"m{i}" for i in range(1_024)]
    w = World(["boss", *names, "late"], [], params=replaced(PARAMS, job_max_claimants=1_025))
    w.store.measure = True
    job = w.post("boss")
    sizes = []
    for name in [*names, "late"]:
        w.store.bytes_written = 0
        assert w.claim(job, name, 500) == 0
        sizes.append(w.store.bytes_written)
    assert sizes[-1] <= sizes[0] + 16
    assert sizes[0] < 1_000


# --- Reveal --------------------------------------------------------------------------------------------------------------------


def revealing(**changes: Any) -> tuple[World, bytes]:
    """a (5,000 then 4,000), b (4,500), c (9,000) have claimed; K is 1, so only a must reveal."""
    w = world()
    job = w.post("boss", finalists=1, **changes)
    for name, loss in (("a", 5_000), ("b", 4_500), ("c", 9_000), ("a", 4_000)):
        assert w.claim(job, name, loss) == 0
    w.deadline(job)
    assert w.state(job) == "REVEAL"
    return w, job


def test_any_claimant_may_reveal_and_the_model_is_recorded() -> None:
    w, job = revealing()
    assert w.reveal(job, "a", claim=2) == 0
    assert w.reveal(job, "c") == 0
    record = claim_record(w, job, "c")
    assert (record.model, record.size) == (cid_of("c"), 1_000)


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


def test_reveal_only_once_only_in_its_window_only_by_the_active() -> None:
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
    assert w.reveal(job, "b") == JobCode.NOT_ACTIVE
    w.clock = w.job(job).deadline
    assert w.reveal(job, "c") == JobCode.TOO_LATE
    w.block(0)
    assert w.reveal(job, "c") == JobCode.TOO_LATE


def test_three_strikes_do_not_stop_a_duty_in_progress() -> None:
    w, job = revealing()
    strikes(w, "a", 3)
    assert w.reveal(job, "a", claim=2) == 0


# --- Key -----------------------------------------------------------------------------------------------------------------------


def awaiting_key() -> tuple[World, bytes]:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    w.open_to(job, {"a": 5_000, "b": 4_000})
    assert w.state(job) == "KEY"
    return w, job


def test_the_key_starts_the_audit_of_all_finalists() -> None:
    w, job = awaiting_key()
    assert w.send(who("boss"), key_message(job)) == 0
    assert w.state(job) == "COMMIT"
    assert w.job(job).key == KEY
    record = w.store.get(records.round_key(job, 0, 1))
    assert (record.batch, record.hidden) == (w.job(job).finalists, True)


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
        (*vote[:5], [ballot(VoteCode.OK, 5_001, 4_000)], vote[6]),
        (*vote[:6], sha("x")),
    ]
    assert len({messages.vote_commitment(*args) for args in [vote, *others]}) == 8


def test_one_transaction_with_two_postings_makes_two_jobs() -> None:
    assert messages.job_id_of(sha("tx"), 0) != messages.job_id_of(sha("tx"), 1)


def test_codes_tags_and_prefixes_stay_in_the_contracts_ranges() -> None:
    from chain.contracts.job import CONTRACT

    assert all(300 <= code <= 399 for code in JobCode)
    assert sorted(kind.__struct_config__.tag for kind in CONTRACT.messages) == list(range(96, 102))
    assert all(prefix.startswith(b"j") and prefix.endswith(b"/") for prefix in CONTRACT.state)
    assert len(set(CONTRACT.state.values())) == len(CONTRACT.state)
    assert not CONTRACT.messages[PostJob].urgent
    assert all(spec.urgent for kind, spec in CONTRACT.messages.items() if kind is not PostJob)


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
