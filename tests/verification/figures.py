"""Every figure of docs/verification.md as a cell with a name, a number of jobs, and a function that plays them.

A cell's random numbers come from the seed of the run and its own name, so it says the same in whatever order cells are played.
`Results` is what stands in results/figures.json.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from typing import NamedTuple, NotRequired, TypedDict
from zlib import crc32

import numpy as np

from learningchain.chain.verification.scale import FloatKind, ceil_div
from learningchain.chain.verification.votes import BallotCode, Judgement

from . import beacons, committees, contractors, damage, dissent, exact, helpers, judges, lazy, noise

POOLS = (3, 4, 5, 7, 10, 20, 50, 100, 300)
SHARES = (10, 20, 25, 30, 33, 40, 50)
"""Colluders, percent; 33 stands for a third."""
VALIDATORS = (4, 10, 22, 100)
DRAWS = {
    "held": {},
    "withheld": {"withhold": True},
    "timed out": {"withhold": True, "time_out": True},
    "adjacent": {"withhold": True, "adjacent": True},
    "both": {"withhold": True, "time_out": True, "adjacent": True},
}
EVALUATIONS = ("LogisticRegression", "MLPClassifier", "RandomForestClassifier", "KNeighborsClassifier", "GaussianNB", "large")
FRAMED = ((7, 7), (16, 7), (30, 10), (64, 10), (100, 10), (100, 22), (300, 22))
"""Verifiers, and validators among them."""
CHUNK = 1_000_000
"""Jobs that are played at once."""


class Task(NamedTuple):
    """`weight`: how many times the jobs of a run it plays."""

    key: str
    function: str
    arguments: tuple[object, ...]
    weight: float = 1.0


class Results(TypedDict):
    version: str
    apart: NotRequired[dict[str, str]]
    """Cells that were played apart from the others: what their names begin with, and the version they are of."""
    seed: int
    jobs: int
    """Of a cell with a weight of 1."""
    cells: dict[str, dict[str, float]]


def colluders(pool: int, share: int) -> int:
    return round(pool * (1 / 3 if share == 33 else share / 100))


def posting_accepted(flagged: int, able: int) -> bool:
    """LC-JOB: the capacity of so many verifiers covers the limits of a job that is accepted."""
    return able >= max(ceil_div(flagged, 3), min(3, flagged))


# --- what a cell plays ------------------------------------------------------------------------------------------------------------


def _cell(cell: committees.Cell, jobs: int, rng: np.random.Generator) -> dict[str, float]:
    found: dict[Judgement, int] = dict.fromkeys(Judgement, 0)
    for begin in range(0, jobs, CHUNK):
        for judgement, count in committees.play(cell, min(CHUNK, jobs - begin), rng).items():
            found[judgement] += count
    sums = exact.of_job(cell)
    numbers: dict[str, float] = {"tries": jobs}
    numbers |= {judgement.name: found[judgement] for judgement in sums}
    return numbers | {f"exact {judgement.name}": float(f"{share:.6g}") for judgement, share in sums.items()}


def false_claim(pool: int, many: int, silent: float, honest: str, jobs: int, seed: int) -> dict[str, float]:
    return _cell(committees.false_claim(pool, many, silent, BallotCode[honest]), jobs, np.random.default_rng(seed))


def accusation(pool: int, many: int, silent: float, aim: str, jobs: int, seed: int) -> dict[str, float]:
    wishes = committees.SUSPENDED if aim == "suspended" else committees.NOT_PAID
    return _cell(committees.accusation(pool, many, silent, wishes), jobs, np.random.default_rng(seed))


def abstention(pool: int, many: int, jobs: int, seed: int) -> dict[str, float]:
    return _cell(committees.Cell(pool, many, abstaining=0.9), jobs, np.random.default_rng(seed))


def incapable(pool: int, many: int, jobs: int, seed: int) -> dict[str, float]:
    """Nine tenths of the honest have not declared what the job takes: nobody posts it, or they are not drawn."""
    able = many + (pool - many) - round(0.9 * (pool - many))
    if not posting_accepted(pool, able):
        return {"tries": jobs, "OK": 0, "refused": 1}
    return _cell(committees.Cell(able, many), jobs, np.random.default_rng(seed))


def small_pool(neutral: int, silent: float, claim: str, symmetric: bool, jobs: int, seed: int) -> dict[str, float]:
    make = helpers.false_claim if claim == "false" else helpers.true_claim
    found = helpers.play(make(neutral, silent, symmetric=symmetric), jobs, np.random.default_rng(seed))
    numbers: dict[str, float] = {judgement.name: found[judgement] for judgement in Judgement if judgement}
    return numbers | {"tries": jobs}


def chosen(pool: int, validators: int, way: str, jobs: int, seed: int) -> dict[str, float]:
    """Committees whose draw is chosen as the way says, for a false claim of a third of the verifiers."""
    draw = beacons.Draw(committees.false_claim(pool, colluders(pool, 33)), validators, **DRAWS[way])
    return {"tries": jobs, "OK": beacons.play(draw, jobs, np.random.default_rng(seed))[Judgement.OK]}


def lazily(name: str, kind: str, widest: bool, share: float, chooses: str, jobs: int, seed: int) -> dict[str, float]:
    """By the guess that serves best: it is the lazy one's choice."""
    evaluation = lazy.large() if name == "large" else next(one for one in lazy.digits() if one.name == name)
    rng, found = np.random.default_rng(seed), dict[str, float]()
    for guess in lazy.GUESSES:
        found[guess] = lazy.play(lazy.Lazy(evaluation, FloatKind[kind], share, chooses, guess, widest), jobs, rng)
    return {"tries": jobs, "paid": max(found.values())} | found


def framed(verifiers: int, validators: int, under_way: int, jobs: int, seed: int) -> dict[str, float]:
    framing = judges.Framing(verifiers, validators, jobs=under_way)
    return {"tries": jobs, "banned": judges.play(framing, jobs, np.random.default_rng(seed))}


def campaigns(verifiers: int, lie: str, posters: int, jobs: int, seed: int) -> dict[str, float]:
    """Campaigns of 400 jobs, the share of seats that are lied to between 2 and 50 %."""
    rng = random.Random(seed)
    numbers = {"jobs": 0, "barred": 0, "most": 0, "tries": 0, "strikes": 0}
    while numbers["jobs"] < jobs:
        campaign = contractors.Campaign(verifiers, contractors.Lie[lie], rng.uniform(0.02, 0.5), posters)
        result = contractors.play(campaign, rng)
        numbers["jobs"] += result.jobs
        numbers["barred"] += result.barred
        numbers["most"] = max(numbers["most"], result.barred)
        numbers["tries"] += result.verifiers
        numbers["strikes"] += result.strikes
    return dict(numbers)


def dissenting(dissenters: int, marks: bool, jobs: int, seed: int) -> dict[str, float]:
    rng, found = random.Random(seed), dict.fromkeys(("jobs", "seats", "not paid"), 0)
    while found["jobs"] < jobs:
        for name, count in dissent.play(dissent.Dissent(dissenters, marks), rng).items():
            found[name] += count
    return {"tries": found["jobs"], "seats": found["seats"], "not paid": found["not paid"]}


def takings(jobs: int, seed: int) -> dict[str, float]:
    """The seeds of the second settlement from 0 on, whatever the seed of the run: a graph has 5.6 jobs on average."""
    return asdict(damage.play(0, max(1, round(jobs / 5.6))))


def rounding(loss: int, jobs: int, seed: int) -> dict[str, float]:
    return dict(noise.play(loss, jobs, random.Random(seed)))


PLAYS: dict[str, Callable[..., dict[str, float]]] = {
    play.__name__: play
    for play in (
        false_claim,
        accusation,
        abstention,
        incapable,
        small_pool,
        chosen,
        lazily,
        framed,
        campaigns,
        dissenting,
        takings,
        rounding,
    )
}


# --- the run ----------------------------------------------------------------------------------------------------------------------


def tasks() -> Iterator[Task]:
    """The longest first, so that two processes end together."""
    yield Task("takings", "takings", (), 0.05)
    for lie in contractors.Lie:
        for verifiers, posters, weight in ((30, 1, 0.16), (100, 1, 0.01), (30, 3, 0.01)):
            yield Task(f"campaigns/{verifiers}/{lie.name}/{posters}", "campaigns", (verifiers, lie.name, posters), weight)
    for name in EVALUATIONS:
        for kind in ("F64", "F32"):
            for widest in (False, True):
                for chooses in lazy.PLACES_SEEN:
                    key = f"lazy/{name}/{kind}/{widest}/0.125/{chooses}"
                    yield Task(key, "lazily", (name, kind, widest, 0.125, chooses))
    for share in (0.5, 0.75, 0.875, 0.9375):
        key = f"lazy/LogisticRegression/F32/False/{share}/at random"
        yield Task(key, "lazily", ("LogisticRegression", "F32", False, share, "at random"))
    for dissenters in (1, 5, 10, 20):
        for marks in (True, False):
            yield Task(f"dissent/{dissenters}/{marks}", "dissenting", (dissenters, marks), 0.1)
    yield Task("noise/100000000000", "rounding", (100_000_000_000,))
    for pool in reversed(POOLS):
        for share in SHARES:
            many = colluders(pool, share)
            yield Task(f"paid/{pool}/{share}/2", "false_claim", (pool, many, 0.02, "FALSE"))
            yield Task(f"paid/{pool}/{share}/10", "false_claim", (pool, many, 0.10, "FALSE"))
            yield Task(f"unpaid/{pool}/{share}/2", "accusation", (pool, many, 0.02, "not paid"))
            yield Task(f"suspended/{pool}/{share}/2", "accusation", (pool, many, 0.02, "suspended"))
    yield Task("target/false", "false_claim", (100, 33, 0.02, "FALSE"), 10)
    yield Task("target/friends", "false_claim", (100, 33, 0.02, "NOMODEL"), 10)
    for pool in (50, 100):
        for share in (5, *SHARES[:5]):
            many = colluders(pool, share)
            yield Task(f"abstain/{pool}/{share}", "abstention", (pool, many))
            yield Task(f"incapable/{pool}/{share}", "incapable", (pool, many))
    for neutral in (1, 2):
        for silent in (0.02, 0.1):
            for claim in ("false", "true"):
                for symmetric in (False, True):
                    key = f"helpers/{neutral}/{silent}/{claim}/{symmetric}"
                    yield Task(key, "small_pool", (neutral, silent, claim, symmetric))
    for pool in (100, 300):
        for validators in VALIDATORS:
            for way in DRAWS:
                yield Task(f"draw/{pool}/{validators}/{way}", "chosen", (pool, validators, way))
    for verifiers, validators in FRAMED:
        for under_way in (1, 3):
            yield Task(f"framed/{verifiers}/{validators}/{under_way}", "framed", (verifiers, validators, under_way))


def played(task: Task, jobs: int, seed: int) -> tuple[str, dict[str, float]]:
    warnings.filterwarnings("ignore", module="sklearn")  # one of the classifiers is stopped before it converges
    own = seed * 2**32 + crc32(task.key.encode())
    return task.key, PLAYS[task.function](*task.arguments, max(1, round(jobs * task.weight)), own)


def _played(of: tuple[Task, int, int]) -> tuple[str, dict[str, float]]:
    return played(*of)


def play_all(jobs: int, seed: int, processes: int, say: Callable[[str], None], only: str = "") -> dict[str, dict[str, float]]:
    """Every cell whose name begins with `only`."""
    plan, cells = [task for task in tasks() if task.key.startswith(only)], dict[str, dict[str, float]]()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for key, numbers in pool.map(_played, [(task, jobs, seed) for task in plan]):
            cells[key] = numbers
            say(f"{len(cells)} of {len(plan)}: {key}")
    return cells
