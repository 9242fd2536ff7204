"""What a worker is willing to do: each refusal names the setting; the order, seeds and limits of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.messages import OnCheat, PostJob
from learningchain.chain.contracts.job.records import ClaimRecord, ContractorRecord, JobState
from learningchain.chain.contracts.membership import Case, Member, case_key, member_key
from learningchain.chain.contracts.membership.records import CaseRef
from learningchain.chain.crypto import address
from learningchain.chain.host import ACTIVE, Account, account_key
from learningchain.chain.host.terms import DataRef, DeviceAsk, Earlier, HiddenSet, Limits
from learningchain.chain.params import LANES
from learningchain.chain.verification.standing import Strike
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.roles import policy
from learningchain.client.contracts.job.roles.policy import JobOffer
from learningchain.client.contracts.job.settings import parse_hours
from learningchain.client.work import WorkConfig
from learningchain.sandbox.spec import MIB
from tests.unit.work_kit import LIMITS, posting, working

ME, BOSS = b"m" * 20, b"b" * 20
NOW = 1_000_000
LEFT = 100_000


CREDIT = 1_000_000


def past(ended: int = 3, paid: int = 0, refunded: int = 0, undecided: int = 0, unrepeatable: int = 0) -> ContractorRecord:
    """A contractor of whose jobs two are live; credits in whole ones."""
    return ContractorRecord(ended + 2, 2, 0, paid * CREDIT, refunded * CREDIT, undecided, unrepeatable, [], 0)


GPUS = ["nvidia.com/gpu=0 cuda 24000", "nvidia.com/gpu=1 cuda 8000", "amd.com/gpu=0 rocm 1000"]


def offer(
    state: int = JobState.OPEN, known: ContractorRecord | None = None, own: ClaimRecord | None = None, **terms: Any
) -> JobOffer:
    return JobOffer(b"j" * 32, BOSS, posting(NOW + terms.pop("left", LEFT), **terms), state, known or past(0), own)


def limits(**changes: int) -> Limits:
    known = {
        name: getattr(LIMITS, name) for name in ("cpus_milli", "mem_mb", "train_s", "eval_s", "model_cap", "tmp_mb", "threads")
    }
    return Limits(**(known | changes))


def claimed(count: int, loss: int) -> ClaimRecord:
    return ClaimRecord(ME, count, loss, 1, bytes(32), 0, bytes(32), 0, True, 0, b"", 0, 0, 0, [])


def explain(config: WorkConfig, given: JobOffer, attempts: int = 0) -> str | None:
    return policy.explain(config, given, clock=NOW, me=ME, attempts=attempts)


@pytest.mark.parametrize(
    ("config", "given", "attempts", "why"),
    [
        (WorkConfig(enabled=False), offer(), 0, "[work] enabled"),
        (working(), offer(state=JobState.REVEAL), 0, "no more claims"),
        (working(), offer(left=-1), 0, "no more claims"),
        (working(), offer(own=claimed(16, 5)), 0, "all 16 claims"),
        (working(denied_contractors=[address(BOSS)]), offer(), 0, "denied_contractors"),
        (working(allowed_contractors=[address(ME)]), offer(), 0, "allowed_contractors"),
        (working(), offer(known=past(paid=2, refunded=3)), 0, "took back 3 credits after models were shown and paid 2"),
        (working(), offer(known=past(4, paid=9, undecided=3, unrepeatable=1)), 0, "of the poster's 4 jobs 3 ended undecided"),
        (working(min_bounty="10.000001"), offer(), 0, "the bounty is 10, below 10.000001 ([work] min_bounty)"),
        (working(min_time_left_s=101), offer(), 0, "only 100 s are left"),
        (working(min_time_left_s=0), offer(left=1_000), 0, "only 1 s are left"),
        (working(max_image_mb=1), offer(image=posting(0).image.__class__(1, "x", b"", b"", MIB + 1)), 0, "image: 2 MiB, more"),
        (
            working(max_data_mb=1),
            offer(data=[DataRef(b"", MIB + 1, 1, "digits", 1)]),
            0,
            "data sets weigh 2 MiB, with 200,000 bytes for each file; more than 1 ([work] max",
        ),
        (
            working(),
            offer(devices=[DeviceAsk(1, 1, 0)]),
            0,
            "1 CUDA GPUs of at least 0 MiB, and this node offers no GPUs ([work] gp",
        ),
        (working(gpus=GPUS), offer(devices=[DeviceAsk(1, 3, 0)]), 0, "3 CUDA GPUs"),
        (working(gpus=GPUS), offer(devices=[DeviceAsk(1, 2, 9_000)]), 0, "2 CUDA GPUs of at least 9000 MiB"),
        (
            working(gpus=GPUS),
            offer(devices=[DeviceAsk(2, 1, 1_001)]),
            0,
            "1 ROCM GPUs of at least 1001 MiB, and this node offers 3",
        ),
        (working(max_model_mb=1), offer(earlier=[Earlier(b"", b"", MIB + 1, 0)]), 0, "the model to begin with: 2 MiB, more than 1"),
        (working(max_model_mb=1), offer(limits=limits(model_cap=MIB + 1)), 0, "max_model_mb"),
        (working(max_mem_mb=32), offer(), 0, "memory: 64 MiB, more than 32 ([work] max_mem_mb)"),
        (working(max_mem_mb=64), offer(limits=limits(tmp_mb=65)), 0, "max_mem_mb"),
        (working(max_hidden_mb=1), offer(hidden=[HiddenSet(b"", bytes(32), bytes(32), 2 * MIB)]), 0, "max_hidden_mb"),
        (working(max_eval_s=4), offer(), 0, "an evaluation may take 5 s, more than 4 ([work] max_eval_s)"),
        (
            working(max_cpus=1),
            offer(limits=limits(cpus_milli=1_500)),
            0,
            "a run may use 1.5 processors, more than 1 ([work] max_cpus)",
        ),
        (working(), offer(limits=limits(mem_mb=15)), 0, "less than a container needs"),
        (working(), offer(limits=limits(threads=1_025)), 0, "1025 threads"),
        (working(attempts=2), offer(), 2, "all 2 attempts"),
    ],
)
def test_what_is_refused_and_why(config: WorkConfig, given: JobOffer, attempts: int, why: str) -> None:
    reason = explain(config, given, attempts)
    assert reason is not None
    assert why in reason


def test_the_contractor_does_not_claim_on_its_own_job() -> None:
    assert policy.explain(working(), offer(), clock=NOW, me=BOSS) == "a poster may not claim on its own job"


@pytest.mark.parametrize(
    "known",
    [
        past(paid=3, refunded=3),
        past(2, refunded=9),  # too few to judge by
        past(9, paid=1, undecided=5, unrepeatable=3),
    ],
)
def test_a_contractor_is_trusted_with_some_failures(known: ContractorRecord) -> None:
    assert explain(working(), offer(known=known)) is None


def test_best_paying_first_then_the_one_that_ends_first() -> None:
    offers = [offer(bounty=5), offer(bounty=9, left=90_000), offer(bounty=9, left=80_000)]
    assert sorted(offers, key=lambda o: policy.best_paying(o.terms)) == [offers[2], offers[1], offers[0]]


def test_every_attempt_of_every_worker_has_another_seed_and_the_same_again_later() -> None:
    seeds = [policy.train_seed(me, job, n) for me in (ME, BOSS) for job in (b"j" * 32, b"k" * 32) for n in (1, 2)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert policy.train_seed(ME, b"j" * 32, 1) == seeds[0]


@pytest.mark.parametrize(
    ("left_ms", "train_s", "wall"), [(100_000, 20, 20.0), (100_000, 500, 93.0), (10_000, 500, 6.5), (1_400, 9, None)]
)
def test_a_training_leaves_time_to_evaluate_and_to_claim(left_ms: int, train_s: int, wall: float | None) -> None:
    terms = posting(NOW + left_ms, limits=limits(train_s=train_s))
    found = policy.train_seconds(terms, NOW)
    assert found == (wall if wall is None else pytest.approx(wall))


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("train_s", "open_h", "most", "left_alone"),
    [
        (7_200, 8, None, False),
        (172_800, 80, None, False),
        (172_801, 80, None, True),
        (200_000, 20, None, False),
        (7_200, 8, 3_600, True),
        (3_600, 8, 3_600, False),
    ],
)
def test_a_training_of_hours_is_taken_on_and_a_longer_one_than_the_owner_wants_is_left_alone(
    train_s: int, open_h: int, most: int | None, left_alone: bool
) -> None:
    """It is not begun and then killed at the owner's limit; time that the job does not leave does not count."""
    config = WorkConfig(enabled=True) if most is None else WorkConfig(enabled=True, max_run_s=most)
    given = offer(left=open_h * HOUR_MS, limits=limits(train_s=train_s), bounty=10**8)
    why = policy.explain(config, given, clock=NOW, me=ME)
    assert ("max_run_s" in (why or "")) == left_alone, why


def test_a_claim_must_improve_by_twice_the_tolerance_on_the_own_claim_only() -> None:
    terms: PostJob = posting(NOW + LEFT, tol=0, on_cheat=int(OnCheat.REFUND))
    tol = 10 + 1  # f64 at a loss of 1,000,000 units
    assert policy.improves(terms, None, 10**18)
    assert policy.improves(terms, claimed(1, 1_000_000), 1_000_000 - 2 * tol)
    assert not policy.improves(terms, claimed(1, 1_000_000), 1_000_000 - 2 * tol + 1)
    assert not policy.improves(terms, claimed(16, 1_000_000), 0)
    begun = posting(NOW + LEFT, tol=0, earlier=[Earlier(bytes(32), b"", 1, 1_000_000)])
    assert policy.improves(begun, None, 1_000_000 - 2 * tol) and not policy.improves(begun, None, 1_000_000 - 2 * tol + 1)
    assert policy.improves(begun, claimed(1, 900_000), 900_000 - 2 * tol)
    told = "trainings begin with a model of loss 0.001000000, and its own came to 0.001000000: a claim is at most 0.000999978"
    assert policy.no_better(begun, 1_000_000) == told


# --- bounds ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "must", "shown"),
    [
        (5_000, True, True),
        (5_000, False, True),
        (5_200, True, True),  # NEAR: silence would cost as much
        (5_200, False, False),
        (90_000, True, False),  # FALSE: up to the bounty
        (90_000, False, False),
        (None, True, True),
        (None, False, False),
    ],
)
def test_a_claim_is_shown_where_silence_costs_more(second: int | None, must: bool, shown: bool) -> None:
    terms = posting(NOW + LEFT, tol=0, float_kind=1)
    assert messages.ballot_code(terms, 5_000, 5_200) == BallotCode.NEAR
    why = policy.keeps_silent(terms, 5_000, second, must=must)
    assert (why is None) is shown
    assert why is None or ("the stake burns" in why) is must


@pytest.mark.parametrize(("reveal_ms", "margin"), [(8_000, 2_000), (40_000, 10_000), (400_000, 10_000)])
def test_a_second_evaluation_starts_as_late_as_leaves_time_to_reveal(reveal_ms: int, margin: int) -> None:
    assert policy.reveal_margin(reveal_ms) == margin
    for eval_s in (1, 300):
        terms = posting(NOW + LEFT, limits=limits(eval_s=eval_s))
        left = reveal_ms - margin - 1_000 * eval_s - policy.RETRY_GRACE_MS
        assert policy.second_at(terms, reveal_ms) == terms.expiry + min(0, left)


@pytest.mark.parametrize(("short", "wanted", "stakes"), [(1, True, False), (0, True, True), (0, False, False)])
def test_a_stake_is_locked_where_it_is_wanted_and_free(short: int, wanted: bool, stakes: bool) -> None:
    terms = posting(NOW + LEFT)
    account = Account(bytes(33), ACTIVE, messages.full_stake(terms) - short, 10**12, [0] * LANES, 0)
    reader: Any = SimpleNamespace(get={account_key(ME): account}.get)
    assert policy.wants_stake(working(stake=wanted), reader, terms, ME) is stakes
    nobody: Any = SimpleNamespace(get={}.get)
    assert not policy.wants_stake(working(stake=True), nobody, terms, ME)


@pytest.mark.parametrize(
    ("window", "margin", "late"),
    [(60_000, 10_000, 5_000), (20_000, 5_000, 2_500), (8_000, 2_000, 1_500), (3_000, 1_500, 1_500), (1_500, 750, 750)],
)
def test_a_reveal_leaves_early_enough_for_a_clock_that_is_looked_at_once_a_second(window: int, margin: int, late: int) -> None:
    """Silence would cost the stake and a strike, also in a window of seconds."""
    assert (policy.reveal_margin(window), policy.late_margin(window)) == (margin, late)


def test_a_case_bars_from_the_jobs_of_everybody_with_the_root_of_its_contractors() -> None:
    """Whoever a contractor invited is the same contractor here."""
    root, other = b"r" * 20, b"o" * 20
    case = Case(1, 0, 9, [CaseRef(b"j" * 32, 3, other, root)], [], [])
    invited = Member(root, False, 0, 0, [], 0, [], [])
    known: dict[bytes, Any] = {case_key(ME): case, member_key(BOSS): invited}
    reader: Any = SimpleNamespace(get=known.get)
    reason = policy.barred(reader, ME, BOSS)
    assert reason is not None and "suspended in a case" in reason
    assert explain(working(), replace(offer(), barred=reason)) == reason, "and no attempt is begun"
    known[member_key(BOSS)] = msgspec.structs.replace(invited, root=BOSS)
    assert policy.barred(reader, ME, BOSS) is None


def test_strikes_bar_while_they_live_and_no_longer() -> None:
    strikes = [Strike(bytes([n]) * 20, NOW) for n in range(3)]
    member = Member(ME, False, 0, 0, [], 0, strikes, [])
    account = Account(bytes(33), ACTIVE, 0, 0, [0] * LANES, 0)
    reader: Any = SimpleNamespace(get={account_key(ME): account, member_key(ME): member}.get)
    reason = policy.unfit(reader, ME, NOW - 1)
    assert reason is not None and "live strikes of 3 posters" in reason
    assert policy.unfit(reader, ME, NOW) is None


def test_what_the_settings_just_allow_is_taken() -> None:
    config = working(
        max_image_mb=1,
        max_model_mb=1,
        max_mem_mb=64,
        max_hidden_mb=1,
        max_data_mb=1,
        max_eval_s=5,
        max_cpus=1,
        min_bounty="10",
        min_time_left_s=100,
        attempts=3,
    )
    asked = limits(model_cap=MIB, tmp_mb=64, cpus_milli=1_000, threads=1_024, eval_s=5)
    given = offer(
        limits=asked,
        image=posting(0).image.__class__(1, "x", b"", b"", MIB),
        hidden=[HiddenSet(b"", bytes(32), bytes(32), MIB)],
        data=[DataRef(b"", MIB - 200_000, 1, "digits", 1)],
        own=claimed(15, 5),
    )
    assert explain(config, given, attempts=2) is None
    assert "3 attempts" in (explain(config, given, attempts=3) or "")
    assert explain(config, offer(limits=limits(mem_mb=16))) is None


@pytest.mark.parametrize(
    ("ask", "free", "given"),
    [
        ([], GPUS, ()),
        ([DeviceAsk(1, 1, 0)], GPUS, ("nvidia.com/gpu=1",)),
        ([DeviceAsk(1, 1, 8_001)], GPUS, ("nvidia.com/gpu=0",)),
        ([DeviceAsk(1, 2, 8_000)], GPUS, ("nvidia.com/gpu=0", "nvidia.com/gpu=1")),
        ([DeviceAsk(1, 1, 0)], GPUS[:1], ("nvidia.com/gpu=0",)),
        ([DeviceAsk(1, 1, 8_001)], GPUS[1:], None),
        ([DeviceAsk(2, 1, 1_000)], GPUS, ("amd.com/gpu=0",)),
        ([DeviceAsk(2, 1, 0)], [], None),
    ],
)
def test_a_training_gets_the_smallest_free_gpus_that_fit(ask: list[DeviceAsk], free: list[str], given: Any) -> None:
    names = {one.split()[0] for one in free}
    assert policy.devices_for(working(gpus=GPUS), posting(9, devices=ask), names) == given


HERE_AND_THERE = [
    "a.com/gpu=0 cuda 9",
    *(f"slurm/gpu.{name} cuda {mib}" for name, mib in (("b=0", 9), ("b=1", 9), ("x=0", 8), ("x=1", 8))),
]


@pytest.mark.parametrize(
    ("count", "data", "given"),
    [
        (1, [], ("a.com/gpu=0",)),
        (2, [], ("slurm/gpu.x=0", "slurm/gpu.x=1")),
        (3, [], None),
        (2, [DataRef(b"", MIB, 1, "digits", 1)], None),
    ],
)
def test_a_trainings_gpus_are_all_here_or_all_of_one_kind_of_a_cluster(count: int, data: Any, given: Any) -> None:
    terms = posting(9, devices=[DeviceAsk(1, count, 0)], data=data)
    names = {one.split()[0] for one in HERE_AND_THERE}
    assert policy.devices_for(working(gpus=HERE_AND_THERE), terms, names) == given


@pytest.mark.parametrize(
    ("hours", "at", "rests"),
    [
        ("", "12:00", False),
        ("22:00-07:00", "21:59", True),
        ("22:00-07:00", "22:00", False),
        ("22:00-07:00", "06:59", False),
        ("22:00-07:00", "07:00", True),
        ("12:00-13:00, 18:00-24:00", "12:30", False),
        ("12:00-13:00, 18:00-24:00", "17:00", True),
        ("12:00-13:00, 18:00-24:00", "23:59", False),
    ],
)
def test_trainings_start_within_the_hours_of_the_machines_own_day(hours: str, at: str, rests: bool) -> None:
    now = datetime.fromisoformat(f"2026-03-05T{at}").timestamp() * 1_000
    assert (policy.resting(working(hours=hours), int(now), nobody) is not None) == rests
    assert policy.resting(working(hours=hours, paused=True), int(now), nobody) is not None


def nobody(minutes: int) -> str:
    return ""


def test_trainings_wait_while_somebody_uses_the_machine_where_its_owner_wants_that() -> None:
    used = lambda minutes: "somebody used this machine 3 minutes ago" if minutes > 3 else ""  # noqa: E731
    assert policy.resting(working(), 0, used) is None and policy.resting(working(idle_min=2), 0, used) is None
    assert "3 minutes ago: trainings wait" in str(policy.resting(working(idle_min=15), 0, used))


@pytest.mark.parametrize("text", ["22-7", "25:00-07:00", "22:00-24:30", "22:00", "night"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time of day such as"):
        parse_hours(text)
