"""The market on the simulated graph: real workers, verifiers and outboxes, cheaters beside them, and everything that goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from learningchain.chain.contracts.job import ends, messages, records
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.roles.judging import CaseJudge
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.contracts.job.roles.worker import Worker
from learningchain.client.work.artifacts import Images, Models, Pins
from learningchain.client.work.database import Intent, WorkDatabase
from learningchain.client.work.events import Secret
from tests.reached import reached
from tests.sim.market.cheats.table import CHEATS
from tests.sim.market.loop import VirtualLoop
from tests.sim.market.plan import JobPlan, Judge, MarketProfile, Plan, judges_of
from tests.sim.market.run import Outcome, one
from tests.tiers import sampled

SEEDS = int(os.environ.get("LC_SIM_SEEDS", "100"))
SOON = (0, 2, 3, 4, 6)
"""A second or two each; others take twelve."""
BATCHES = [SOON, *(tuple(range(first, min(first + 5, SEEDS))) for first in range(0, SEEDS, 5))]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "seeds", sampled(BATCHES, len(BATCHES), "the seeds that take least run here"), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}"
)
def test_every_job_settles_rightly_whatever_goes_wrong(seeds: tuple[int, ...]) -> None:
    outcomes = [one(seed) for seed in seeds]
    assert not [str(o) for o in outcomes if o.fault]
    # Nobody should trust an empty simulation.
    acts, faults = _sums(outcomes)
    reached(acts["ended PAID"] > 0, "a job that is paid")
    reached(acts["honest ballot OK"] > 0, "an honest ballot")
    reached(seeds[0] > 0 or faults["crash"] > 0, "a crash")


def _sums(outcomes: list[Outcome]) -> tuple[Counter[str], Counter[str]]:
    acts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        acts.update(outcome.acts)
        faults.update(outcome.faults)
    return acts, faults


# --- a quiet network -----------------------------------------------------------------------------------------------------------

JOBS = (JobPlan(at=300, finalists=2, on_cheat=1), JobPlan(at=900, by=1, finalists=2))


def quiet(*cheats: str, validators: int = 1, observers: int = 3, jobs: tuple[JobPlan, ...] = JOBS) -> Plan:
    profile = MarketProfile(validators=validators, observers=observers, heal_at=1_000)
    return Plan(profile=profile, jobs=jobs, cheats=cheats, judge=judges_of(cheats), calm=True)


def test_an_honest_job_of_three_workers_pays_the_best_of_them() -> None:
    outcome = one(1, plan=quiet(validators=3, observers=1, jobs=(JobPlan(at=300, finalists=3),)))
    assert outcome.fault == ""
    assert outcome.acts["ended PAID"] == 1
    assert outcome.acts["honest ballot OK"] >= 3
    assert not [act for act in outcome.acts if act.startswith(("strike", "suspended", "banned"))]


@pytest.mark.parametrize(("hidden", "key"), [("good", 1), ("junk", 1), ("kept", 0)])
def test_hidden_data_decide_or_cost_the_contractor_its_deposit(hidden: str, key: int) -> None:
    outcome = one(2, plan=quiet(jobs=(JobPlan(at=300, finalists=2, hidden=hidden),)))
    assert outcome.fault == ""
    assert (outcome.acts["ended PAID"], outcome.acts["contractor: key -> 0"]) == (1, key)


CARTEL_LIES = ("cartel: false claim -> 0", "cartel: open vote -> 0")
LIED = ("its image lied", "verdict by a lying program", "ended PAID")
SHOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "abstainer": (("open abstention -> 0", "ended PAID"), ("strike honest", "strike dishonest vote.wrong", "fee to dishonest")),
    "colluding contractors": ((*LIED, "by a lying program: FALSE", "suspended honest"), ()),
    "copier": (("copied commitment -> 0", "reveal of a copy -> 319"), ("revealed a copy",)),
    "false loss": (("false claim -> 0", "verdict on a false claim: FALSE", "suspended dishonest"), ("a false claim: OK",)),
    "grinder": (("ground claim -> 0", "ended PAID"), ("strike honest",)),
    "last message": (("held the last reveal", "held the last vote", "ended PAID"), ("strike honest",)),
    "late": (("late claim -> 0", "late claim -> 310", "ended PAID"), ("late claim -> ?",)),
    "lazy": (("commit vote -> 0", "strike dishonest vote.leaves"), ("fee to dishonest",)),
    "liar at random": (LIED, ("suspended dishonest", "banned")),
    "liar by clock": ((*LIED, "by a lying program: FALSE", "suspended honest"), ("banned",)),
    "liar by machine": (LIED, ("banned",)),
    "liar exiting 75": ((*LIED, "by a lying program: REFUSED", "honest ballot BROKEN"), ("suspended", "banned")),
    "liar near": ((*LIED, "by a lying program: REFUSED", "honest ballot NEAR"), ("suspended", "banned")),
    "majority cartel": ((*CARTEL_LIES, "a false claim: OK"), ("suspended honest", "a true claim: FALSE")),
    "model withholder": (("claim REFUSED", "claim SILENT", "honest ballot NOMODEL", "ended PAID"), ("suspended",)),
    "partial runner": (("open vote -> 0", "strike dishonest vote.leaves"), ("fee to dishonest",)),
    "puppeteer": ((*LIED, "puppet's claim -> 0", "by a lying program: FALSE"), ("banned",)),
    "quorum cartel": ((*CARTEL_LIES, "a false claim: OK"), ()),
    "racer": (
        ("on its own job -> 311", "puppet's claim -> 0", "a false claim: FALSE"),
        ("on its own job -> 0", "a false claim: OK"),
    ),
    "shills": (("stakeless claim -> 0", "verdict on a false claim", "ended PAID"), ("strike honest", "a false claim: OK")),
    "small cartel": (
        (*CARTEL_LIES, "a false claim: FALSE", "strike dishonest vote.wrong"),
        ("a false claim: OK", "a true claim: FALSE", "strike honest"),
    ),
    "spammer": (("batch of jobs -> 0", "bait -> 0", "empty claim -> 0", "claim SILENT", "ended PAID"), ("strike honest",)),
    "teller": (("voted by what it heard", "true claim -> 0", "false claim -> 0"), ("a true claim: REFUSED",)),
    "third cartel": ((*CARTEL_LIES, "of a third or more"), ("suspended honest", "a true claim: FALSE")),
    "vote copier": (
        ("copied commitment -> 0", "copied ballots -> 328", "vote.silent"),
        ("opened a copied vote", "fee to dishonest"),
    ),
}
"""For each cheat, what must be seen of it in a few quiet runs, and what must not. Numbers are receipt codes (protocol_spec)."""
RUNS = {"model withholder": 4}


@pytest.mark.parametrize("name", sorted(CHEATS))
def test_a_cheat_really_acts_and_gets_nothing_that_the_rules_forbid(name: str) -> None:
    seen, unseen = SHOWN[name]
    seen = (f"{name}:", *seen)
    acts: Counter[str] = Counter()
    for seed in range(RUNS.get(name, 2)):
        outcome = one(seed, plan=quiet(name))
        assert not outcome.fault, str(outcome)
        acts += outcome.acts
        if not _missing(seen, acts):
            break
    reached(not _missing(seen, acts), f"{name}: {_missing(seen, acts)}")
    assert [act for act in acts if any(what in act for what in unseen)] == []


def _missing(seen: tuple[str, ...], acts: Counter[str]) -> list[str]:
    return [what for what in seen if not any(what in act for act in acts)]


# --- bans ----------------------------------------------------------------------------------------------------------------------

TWICE = tuple(JobPlan(at=300 + 20 * number, by=number % 2, finalists=2, on_cheat=1) for number in range(4))
LIES_TWICE = (8, 49)
"""Seeds in which its models are shown to both contractors in time: about one of twenty."""


def bans(judging: object | None) -> Counter[str]:
    """Of one who lies to two contractors, beside validators that do not claim."""
    plan = replace(quiet("false loss", validators=3, observers=1, jobs=TWICE), workers=1)
    with mock.patch.object(CaseJudge, "look", judging) if judging is not None else nullcontext():
        outcomes = [one(seed, plan=plan) for seed in LIES_TWICE]
    assert not [str(o) for o in outcomes if o.fault]
    return _sums(outcomes)[0]


def test_who_lies_to_two_contractors_is_banned_by_votes_and_nobody_by_silence() -> None:
    assert bans(None)["banned dishonest"] > 0
    silent = bans(_silent)
    assert silent["suspended dishonest"] > 0
    assert silent["banned dishonest"] == 0


@pytest.mark.parametrize(("judge", "banned"), [("corroborated", True), ("never", False)])
def test_contractors_of_two_roots_get_an_honest_member_banned_only_where_judges_follow_their_sandboxes(
    judge: Judge, banned: bool
) -> None:
    """The page's residual, and what closes it."""
    outcomes = [one(seed, plan=replace(quiet("colluding contractors"), judge=judge)) for seed in range(2)]
    assert not [str(o) for o in outcomes if o.fault]
    acts, _ = _sums(outcomes)
    assert acts["suspended honest"] > 0
    assert (acts["banned honest"] > 0) is banned


# --- the simulation itself -----------------------------------------------------------------------------------------------------


def test_a_run_with_every_signature_checked_everywhere_is_as_good() -> None:
    assert one(5, real=True).fault == ""


def _digests(hash_seed: str, seeds: list[int]) -> list[str]:
    code = f"from tests.sim.market.run import one\nfor s in {seeds}: print(one(s).digest)"
    env = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_one_seed_is_one_run_whatever_the_hash_seed() -> None:
    (first,), (second,) = _digests("1", [3]), _digests("2", [3])
    assert first == second


def test_timers_are_never_early_and_a_dead_loop_does_nothing() -> None:
    now, queue, done = [8_123], [], []  # type: ignore[var-annotated]
    loop = VirtualLoop(lambda: now[0], lambda ms, act: queue.append((now[0] + ms, act)), lambda: 0, lambda *_: None)
    for when in (8.123, 8.123 + 1e-15, 8.1230000001, 8.5):
        loop.call_at(when, lambda when=when: done.append((when, loop.time())))
    for at, act in sorted(queue, key=lambda entry: entry[0])[:3]:
        now[0] = at
        act()
    assert [when <= at < when + 0.0011 for when, at in done] == [True] * 3
    loop.kill()
    queue[-1][1]()
    loop.call_soon(done.append, None)
    assert len(done) == 3


# --- broken workers ------------------------------------------------------------------------------------------------------------


async def _nothing(*_: object) -> None:
    return None


def _silent(*_: object) -> list[object]:
    return []


def _forgetful(self: WorkDatabase, secret: Secret, intent: Intent, now: int) -> Secret:
    """Takes the newest ballots of a seat instead of those that are stored."""
    self.put(replace(intent, key=f"{intent.key}:{secret.blob.hex()[:64]}"), now)
    return secret


def _misdirected(work: Any, claimant: bytes) -> None:
    escrow = records.stake_escrow(work.id, claimant)
    work.host.pay(escrow, work.posting.poster, work.host.escrowed(escrow), "stake", work.id)


def _unburned(work: Any) -> None:
    """The contractor's bond comes back whole."""


BROKEN: dict[str, tuple[object, str, object, str]] = {
    "votes are not opened": (Verifier, "_open", _silent, ""),
    "claims are not revealed": (Worker, "_reveal", _silent, ""),
    "models are not served": (Worker, "_publish", _silent, ""),
    "models are kept": (Models, "drop", _nothing, ""),
    "pins are kept": (Pins, "release", _nothing, ""),
    "images are kept": (Images, "release", _nothing, ""),
    "ended jobs are not forgotten": (Worker, "_finish", lambda *_: [], ""),
    "ballots are not kept": (WorkDatabase, "put_with", _forgetful, ""),
    "the claimed loss is believed": (messages, "ballot_code", lambda *_: BallotCode.OK, "false loss"),
    "the stake is paid to the poster": (ends, "release_stake", _misdirected, ""),
    "a verdict costs the contractor nothing": (ends, "_settle_bond", _unburned, "false loss"),
}
"""What is replaced by what, and beside which cheat it shows."""


@pytest.mark.full("it asks whether the checkers would notice; the checkers themselves run")
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_market_is_caught(name: str) -> None:
    where, what, by, cheat = BROKEN[name]
    plan = quiet(*([cheat] if cheat else []), jobs=(JobPlan(at=300, finalists=2),))
    with mock.patch.object(where, what, by):
        assert any(one(seed, plan=plan).fault for seed in range(1, 4))
