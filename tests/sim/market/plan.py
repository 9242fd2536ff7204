"""What happens in a run of the market, drawn as a whole from its seed: jobs, who works, who cheats, what fails."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import Literal

from tests.network import NetworkParams
from tests.sim.profile import Partition, Profile

PARAMS = NetworkParams(
    heartbeat=4_000,
    drift=400,
    timeout_propose=300,
    timeout_vote=150,
    timeout_step=60,
    timeout_max=2_000,
    job_min_open=1_000,
    job_reveal=3_000,
    job_key=3_000,
    job_vote_base=4_000,
    job_open_votes=3_000,
    appeal=10_000,
    job_min_bounty=10,
    block_reward=7,
)
"""Windows that leave real workers a few tries: a job takes some twenty seconds of virtual time."""
Judge = Literal["corroborated", "never"]
LIARS = ("liar at random", "liar by clock", "liar by machine", "puppeteer")
"""Contractors whose programs say FALSE of honest claims."""
OPEN_MS = 6_000
"""From a posting to its expiry."""


@dataclass(frozen=True)
class MarketProfile(Profile):
    """Fewer validators and more members that work: consensus has runs of its own."""

    observers: int = 1

    @property
    def machines(self) -> int:
        return self.validators + self.observers


@dataclass(frozen=True)
class JobPlan:
    at: int
    """When it is posted."""
    by: int = 0
    """Number of the contractor."""
    bounty: int = 10_000_000
    finalists: int = 2
    on_cheat: int = 0
    hidden: str = ""
    """What the contractor does with its key: "good", "junk" (it opens other data than posted), "kept"; empty: no hidden data."""


@dataclass(frozen=True)
class Plan:
    profile: Profile
    jobs: tuple[JobPlan, ...]
    workers: int = 3
    """So many machines train; all of them verify."""
    cheats: tuple[str, ...] = ()
    """Names of the adversaries' table."""
    judge: Judge = "corroborated"
    """The validators' policy for cases."""
    attempts: int = 2
    train_s: float = 1.5
    eval_s: float = 0.3
    engine_fails: float = 0.0
    book_ms: tuple[int, ...] = (0, 1)
    """Milliseconds that one piece of work on the book takes."""
    book_cuts: float = 0.0
    """How often the power fails just before or after one."""
    full_disks: tuple[tuple[int, int, int], ...] = ()
    """(machine, start, end): its work database cannot be written."""
    calm: bool = False
    """Nothing fails: whatever is lost or struck then is a fault."""

    def __str__(self) -> str:
        shown = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name != "profile")
        return f"{self.profile}\n  " + ", ".join(f"{name}={value}" for name, value in shown if value not in (0.0, (), False))


def draw(seed: int, cheats: tuple[str, ...], attacks: tuple[str, ...]) -> Plan:
    r = random.Random(f"market {seed}")
    calm = r.random() < 0.25
    heal = 2_000 if calm else r.randint(4_000, 11_000)
    validators, observers = r.choice([(1, 3), (1, 3), (1, 4), (3, 1), (3, 2), (4, 1)])
    machines = validators + observers
    chosen = tuple(r.sample(cheats, r.choice([0, 1, 1, 2, 3]))) if cheats else ()
    jobs = [_job(r, r.randint(200, heal)) for _ in range(r.choice([0, 0, 1, 1, 2]))] + [_job(r, heal + r.randint(0, 1_000))]
    return Plan(
        profile=MarketProfile(validators=validators, observers=observers, heal_at=heal)
        if calm
        else _faults(r, validators, observers, heal, attacks),
        jobs=tuple(jobs),
        workers=r.randint(1, min(3, machines)),
        cheats=chosen,
        judge=judges_of(chosen),
        attempts=r.randint(1, 3),
        engine_fails=0.0 if calm else r.choice([0.0, 0.05, 0.2]),
        book_ms=(0, 1) if calm else r.choice([(0,), (0, 1), (1, 5, 30), (0, 0, 0, 200)]),
        book_cuts=0.0 if calm else r.choice([0.0, 0.0, 0.01, 0.04]),
        full_disks=() if calm or r.random() < 0.7 else _full_disks(r, machines, heal),
        calm=calm,
    )


def judges_of(cheats: tuple[str, ...]) -> Judge:
    """The default, but where the programs of two contractors call honest workers liars: what their own measurements cannot tell
    from the truth (the page's residual), judges that wait for people can."""
    return "never" if sum(2 if name == "colluding contractors" else name in LIARS for name in cheats) >= 2 else "corroborated"


def _job(r: random.Random, at: int) -> JobPlan:
    return JobPlan(
        at=at,
        by=r.randrange(2),
        bounty=r.randint(1, 9) * 10**6,
        finalists=r.randint(2, 4),
        on_cheat=r.randrange(2),
        hidden=r.choice(["", "", "", "good", "junk", "kept"]),
    )


def _full_disks(r: random.Random, machines: int, heal: int) -> tuple[tuple[int, int, int], ...]:
    found = []
    for _ in range(r.randint(1, 3)):
        start = r.randrange(heal)
        found.append((r.randrange(machines), start, start + r.choice([100, 1_000, 5_000])))
    return tuple(found)


def _faults(r: random.Random, validators: int, observers: int, heal: int, attacks: tuple[str, ...]) -> Profile:
    """Of the graph below: milder than in a run without a market, which is about these."""
    machines = validators + observers

    def maybe(chance: float) -> bool:
        return r.random() < chance

    partitions = []
    for _ in range(r.choice([0, 0, 1, 2])):
        start = r.randrange(heal)
        cut = frozenset(r.sample(range(machines), r.randint(1, max(1, machines // 2))))
        partitions.append(Partition(start, min(heal, start + r.randint(200, 5_000)), cut, maybe(0.4)))
    crashes = [(r.randrange(heal), r.randrange(machines)) for _ in range(r.choice([0, 1, 2, 5]))]
    if maybe(0.15):
        crashes.append((r.randrange(heal), -1))
    return MarketProfile(
        validators=validators,
        observers=observers,
        heal_at=heal,
        loss=0.0 if maybe(0.4) else r.uniform(0.01, 0.3),
        double=0.0 if maybe(0.6) else r.uniform(0.01, 0.5),
        delay=r.choice([2, 8, 8, 30, 100]),
        partitions=tuple(partitions),
        crashes=tuple(sorted(crashes)),
        skew=() if maybe(0.5) else tuple(r.randint(-PARAMS.drift // 3, PARAMS.drift // 3) for _ in range(machines)),
        attacks=(r.choice(attacks),) if attacks and validators >= 4 and maybe(0.2) else (),
        joins=((r.randint(300, heal), r.randrange(machines)),) if validators >= 4 and maybe(0.15) else (),
    )
