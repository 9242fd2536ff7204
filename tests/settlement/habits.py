"""What random graphs are made of: parameters, members, their habits, the moods of jobs. Only weights stand here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .scenario import DAY, Limits, Member, Params

T = TypeVar("T")

SMALL = Limits()
LARGE = Limits(cpus_milli=4_000, mem_mb=8_192, image=10**9, model_cap=10**8, eval_s=3)
OTHER = Limits(arch="arm64", cpus_milli=8_000, mem_mb=8_192, image=10**9, model_cap=10**9, eval_s=60)


def weighted(rng: random.Random, choices: Sequence[tuple[int, T]]) -> T:
    return rng.choices([one for _, one in choices], [weight for weight, _ in choices])[0]


@dataclass(frozen=True, slots=True)
class Mood:
    """How one job goes, in shares of votes; `truth` weighs what candidates are: OK NEAR FALSE INVALID BROKEN NOMODEL ABSTAIN."""

    truth: tuple[int, ...] = (6, 1, 2, 1, 1, 1, 0)
    dissent: float = 0.0
    silent: float = 0.02
    off: float = 0.0
    """Leaves differ, or the number of examples."""
    scatter: float = 0.0
    """False measurements differ from each other."""
    badkey: float = 0.0
    hidden_off: float = 0.0
    malformed: float = 0.0
    reveal: float = 0.9
    key: float = 0.9
    calm: bool = False
    """Who is not silent is honest: no verdict may take a stake."""


FALSE_CLAIMS = Mood(truth=(0, 0, 1, 0, 0, 0, 0), silent=0.01)

MOODS: tuple[tuple[int, Mood], ...] = (
    (20, Mood()),
    (10, Mood(truth=(1, 0, 0, 0, 0, 0, 0), reveal=1.0, calm=True)),
    (4, Mood(truth=(1, 0, 0, 0, 0, 0, 0), silent=0.5, reveal=1.0, calm=True)),
    (10, Mood(dissent=0.12)),
    (10, Mood(dissent=0.35)),
    (6, Mood(truth=(1, 0, 1, 0, 0, 0, 0), dissent=0.2, scatter=0.3)),
    (5, Mood(truth=(1, 1, 1, 1, 1, 1, 1), dissent=1.0)),
    (6, Mood(silent=0.3)),
    (4, Mood(silent=0.8)),
    (8, Mood(off=0.2)),
    (4, Mood(off=0.6)),
    (5, Mood(truth=(1, 0, 0, 0, 0, 0, 0), badkey=0.85)),
    (3, Mood(truth=(1, 0, 0, 0, 0, 0, 0), badkey=1.0, key=1.0)),
    (4, Mood(badkey=0.15)),
    (6, Mood(hidden_off=0.3, truth=(8, 0, 1, 0, 0, 0, 0))),
    (5, Mood(malformed=0.1, off=0.05)),
    (8, FALSE_CLAIMS),
    (3, Mood(reveal=0.4, key=0.3)),
)


@dataclass(frozen=True, slots=True)
class Habit:
    """What a member does in every job but calm ones, in shares."""

    dissent: float = 0.0
    silent: float = 0.0
    abstain: float = 0.0
    off: float = 0.0
    cheat: float = 0.0


HABITS: tuple[tuple[int, Habit], ...] = (
    (70, Habit()),
    (9, Habit(dissent=0.9)),
    (7, Habit(silent=0.9)),
    (5, Habit(abstain=0.9)),
    (4, Habit(off=0.9)),
    (6, Habit(cheat=0.9)),
    (4, Habit(cheat=0.5)),
)


ANY, SEVERE, CROWDED = "any", "severe", "crowded"
"""Tempers of a graph: severe, judges confirm at once whoever is accused; crowded, many contractors post and nobody judges."""

TEMPERS = ((8, ANY), (3, SEVERE), (1, CROWDED))


def some_params(rng: random.Random, temper: str) -> Params:
    window = rng.choice((2_000, 10_000, 60_000))
    appeal = window * (rng.choice((1, 3, 8, 20, 60)) if temper == ANY else rng.choice((1, 1, 2) if temper == SEVERE else (2, 3)))
    return Params(
        b_min=rng.choice((10, 10, 1_000_000)),
        rate=rng.choice((0, 1, 10)),
        appeal=appeal,
        w_r=window,
        w_k=window,
        v0=window * rng.choice((1, 2)),
        w_o=window,
        t_min=1_000,
        t_max=30 * DAY,
        month=weighted(rng, ((3, 30 * DAY), (2, 30 * window), (1, 200 * window))),
        max_claimants=weighted(rng, ((19, 1_024), (1, 2))),
        max_due=weighted(rng, ((12, 1_536), (1, 16), (1, 1))),
    )


def some_members(rng: random.Random, temper: str) -> tuple[Member, ...]:
    """1 to 90 members in byte order of invitation: the first ones are roots, some of the others invited."""
    n = weighted(rng, ((1, rng.randint(1, 3)), (6, rng.randint(3, 8)), (10, rng.randint(8, 20)), (3, rng.randint(20, 40)), (1, 90)))
    n = n if temper == ANY else max(n, 10)
    validators = weighted(rng, ((1, 1), (3, 4), (3, 5), (1, 10), (1, n))) if temper == ANY else rng.choice((3, 4, 5))
    invited, flagged, rich = rng.choice((0.0, 0.2, 0.6)), rng.choice((0.6, 0.9, 1.0)), rng.choice((10**7, 10**9, 10**13))
    rich = 10**13 if temper == CROWDED else rich
    members: list[Member] = []
    for i in range(n):
        inviter = rng.choice(members).id if i >= max(2, validators) and rng.random() < invited else None
        members.append(
            Member(
                rng.randbytes(20),
                weighted(rng, ((1, 0), (2, rich // 1_000), (8, rich))),
                inviter,
                i < validators,
                rng.random() < flagged,
                weighted(rng, ((12, LARGE), (3, SMALL), (1, OTHER), (1, None))),
            )
        )
    return tuple(members)
