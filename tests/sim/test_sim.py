"""A few hundred runs of the graph with everything that goes wrong, and the promise that a seed is a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chain.contracts.job.records import State as JobState
from tests.sim.run import Outcome, one

SEEDS = int(os.environ.get("LC_SIM_SEEDS", "240"))
BATCH = 20
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_everybody_agrees_whatever_goes_wrong(first: int) -> None:
    outcomes = [one(seed) for seed in range(first, first + BATCH)]
    assert not [str(o) for o in outcomes if o.fault]
    # Nobody should trust an empty simulation.
    assert sum(o.faults["crash"] for o in outcomes) > 0
    assert sum(o.height for o in outcomes) >= 4 * BATCH
    assert any(o.job == JobState.PAID for o in outcomes)


def test_some_runs_with_every_signature_checked_everywhere() -> None:
    with_memory, without = one(3), one(3, real=True)
    assert not without.fault
    assert with_memory.digest == without.digest


def _digests(hash_seed: str, seeds: list[int]) -> list[str]:
    code = f"from tests.sim.run import one\nfor s in {seeds}: print(one(s).digest)"
    env = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_one_seed_is_one_run_whatever_the_hash_seed() -> None:
    seeds = [5, 21, 44]
    first, second = _digests("1", seeds), _digests("2", seeds)
    assert first == second
    assert len(set(first)) == len(seeds)


def test_another_seed_is_another_run() -> None:
    def brief(o: Outcome) -> tuple[str, str]:
        return o.fault, o.digest

    assert brief(one(8)) == brief(one(8)) != brief(one(9))
