"""A few hundred runs of the graph with everything that goes wrong, and the promise that a seed is a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from learningchain.chain.contracts.job.records import JobState as JobState
from tests.reached import reached
from tests.sim.attacks.table import NAMES
from tests.sim.profile import DEEP, PLAIN, SPEED, Mishap, Partition, Profile, draw
from tests.sim.run import Outcome, one
from tests.sim.shrink import kind, shrink
from tests.sim.signatures import REAL, REMEMBERED
from tests.tiers import sampled

SEEDS = int(os.environ.get("LC_SIM_SEEDS", "240"))
BATCH = 20
ROOT = Path(__file__).parents[2]
ALWAYS = ("lost", "doubled", "out of order", "killed", "power cut", "write lost", "clock skew")
"""What every batch of runs must have seen."""
STRIKES: dict[str, tuple[str, ...]] = {
    "failed sync": ("sync failed", "halted by a failing disk"),
    "full disk": ("halted by a full disk",),
    "failed database": ("halted by a failing disk",),
    "flipped log": ("refused to start", "started from nothing"),
    "flipped guard": ("refused to start", "new guard accepted"),
    "flipped database": ("refused to start", "started from nothing"),
    "misdirected write": ("write misdirected",),
    "lost guard": ("refused to start", "new guard accepted"),
    "lost folder": ("started from nothing", "new guard accepted"),
}
"""What follows from a mishap; the others have no name for it."""


@pytest.mark.parametrize("first", sampled(range(0, SEEDS, BATCH), 4, "every fourth batch runs here"))
def test_everybody_agrees_whatever_goes_wrong(first: int) -> None:
    outcomes = [one(seed) for seed in range(first, first + BATCH)]
    assert not [str(o) for o in outcomes if o.fault]
    # Nobody should trust an empty simulation.
    faults = sum((o.faults for o in outcomes), Counter[str]())
    reached(not (unseen := [name for name in ALWAYS if not faults[name]]), f"{unseen} in seeds from {first}")
    reached(sum(o.height for o in outcomes) >= 4 * BATCH, f"four heights a seed in seeds from {first}")
    reached(any(o.job == JobState.PAID for o in outcomes), f"a job that is paid in seeds from {first}")


def test_every_kind_of_fault_is_among_the_default_runs() -> None:
    profiles = [draw(seed, NAMES) for seed in range(240)]
    mishaps = Counter(m.kind for p in profiles for m in p.mishaps)
    assert not [name for name in (*PLAIN, *DEEP) if mishaps[name] < 3]
    attacks = Counter(name for p in profiles for name in p.attacks)
    assert set(attacks) == set(NAMES)
    assert sum(len(p.attacks) > 1 for p in profiles) >= 3
    assert sum(bool(p.twins) for p in profiles) >= 5
    for clogged in (False, True):
        assert sum(link.clogged is clogged for p in profiles for link in p.links) >= 20
    for one_way in (False, True):
        assert sum(part.one_way is one_way for p in profiles for part in p.partitions) >= 10
    assert max(p.loss for p in profiles) > 0.25
    assert max(p.double for p in profiles) > 0.4
    assert max(p.reorder for p in profiles) > 0.4
    jumps = [m.amount for p in profiles for m in p.mishaps if m.kind == "clock jump"]
    assert min(jumps) < 0 < max(jumps)
    assert all(p.fair for p in profiles)


@cache
def _struck(name: str) -> list[Outcome]:
    """One validator of four is struck, at several times."""
    amount = {"slow": 8, "clock jump": 3_600_000}.get(name, 400)
    return [
        one(
            seed, profile=Profile(heal_at=2_000, loss=0.1, transfers=15, job=False, mishaps=(Mishap(when, name, seed % 4, amount),))
        )
        for seed, when in enumerate(range(700, 1_700, 125))
    ]


@pytest.mark.parametrize("name", [*PLAIN, *DEEP])
def test_one_machine_may_suffer_anything(name: str) -> None:
    outcomes = _struck(name)
    assert not [str(o) for o in outcomes if o.fault]
    assert all(o.faults[name] == 1 for o in outcomes)
    faults = sum((o.faults for o in outcomes), Counter[str]())
    reached(not (unseen := [effect for effect in STRIKES.get(name, ()) if not faults[effect]]), f"{name}: {unseen}")


def test_a_clock_that_is_set_back_holds_nobody_up() -> None:
    """It was an hour ahead while its machine had much to catch up with: what it waits for then must not wait an hour."""
    for seed in range(4, 8):
        machine = seed % 4
        late = (Mishap(900, "clock jump", machine, 3_600_000),)
        cut = (Partition(1_000, 3_100 + seed * 6, frozenset({machine}), False),)
        profile = Profile(heal_at=3_500, loss=0.3, delay=30, transfers=60, eager=0.6, job=False, partitions=cut, mishaps=late)
        outcome = one(seed, profile=profile)
        assert not outcome.fault
        assert outcome.took < 12_000


def test_real_signatures_make_the_same_run_whoever_verifies_them() -> None:
    remembered, real = one(3, sign=REMEMBERED), one(3, sign=REAL)
    assert not real.fault
    assert remembered.digest == real.digest


@pytest.mark.parametrize("seed", [7, 13, 31])
def test_runs_with_real_signatures_end_as_well_as_those_with_simulated_ones(seed: int) -> None:
    assert one(seed, sign=REMEMBERED).fault == one(seed).fault == ""


def test_a_failing_profile_is_shrunk_to_what_the_failure_needs() -> None:
    broken = "quorum off by one"

    def runs(seed: int, profile: Profile) -> str:
        return one(seed, profile=profile, mutant=broken).fault

    start = draw(5, NAMES)
    seed, small = shrink(5, start, runs)
    assert kind(runs(seed, small)) == kind(runs(5, start)) != ""
    assert not (small.attacks or small.mishaps or small.crashes or small.partitions or small.links or small.loss)
    assert small.validators <= 3
    # What is told can be pasted into a test.
    assert eval(str(small), {"Profile": Profile}) == small


def _told(*words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "tests.sim", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_swarm_tells_its_faults_and_what_failed_with_the_last_events() -> None:
    code, good = _told("--seeds", "2..5", "--jobs", "2")
    assert code == 0
    assert "3 seeds in" in good
    assert " power cut" in good
    code, bad = _told("--seeds", "3..5", "--jobs", "2", "--mutant", "quorum off by one")
    assert code == 1
    assert "2 failed: 3 4" in bad
    assert "seed 3: FAILED: Violation" in bad
    assert "VoteMessage(" in bad


def test_ten_heights_of_nothing_but_transfers() -> None:
    outcome = one(1, profile=SPEED)
    assert (outcome.fault, outcome.height) == ("", 10)


def _digests(hash_seed: str, seeds: list[int]) -> list[str]:
    code = f"from tests.sim.run import one\nfor s in {seeds}: print(one(s).digest)"
    env = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_one_seed_is_one_run_whatever_the_hash_seed() -> None:
    seeds = [5, 21, 44, 50, 166]
    first, second = _digests("1", seeds), _digests("2", seeds)
    assert first == second
    assert len(set(first)) == len(seeds)


def test_another_seed_is_another_run() -> None:
    def brief(o: Outcome) -> tuple[str, str]:
        return o.fault, o.digest

    assert brief(one(8)) == brief(one(8)) != brief(one(9))
