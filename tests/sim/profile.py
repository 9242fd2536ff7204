"""What goes wrong in a run, drawn as a whole from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

from chain.params import Params

PARAMS = Params(
    heartbeat=2_500,
    drift=400,
    timeout_propose=300,
    timeout_vote=150,
    timeout_step=60,
    timeout_max=2_000,
    job_min_open=300,
    job_reveal=1_200,
    job_key=1_000,
    job_vote_base=1_000,
    job_open_votes=1_200,
    block_reward=7,
)
"""Short windows, so that a whole job fits into a few seconds of virtual time."""


@dataclass(frozen=True)
class Partition:
    """Between `start` and `end` nothing goes from `cut` to the others, nor back unless `one_way`."""

    start: int
    end: int
    cut: frozenset[int]
    one_way: bool

    def blocks(self, source: int, target: int, now: int) -> bool:
        if not self.start <= now < self.end or (source in self.cut) == (target in self.cut):
            return False
        return source in self.cut or not self.one_way


@dataclass(frozen=True)
class Profile:
    validators: int = 4
    heal_at: int = 3_000
    """Milliseconds after which nothing goes wrong any more; what a Byzantine validator does goes on."""
    loss: float = 0.0
    double: float = 0.0
    delay: int = 8
    """Most milliseconds on the way; the order of messages is random within it."""
    slow: tuple[tuple[int, int, int], ...] = ()
    """(source, target, more milliseconds)"""
    partitions: tuple[Partition, ...] = ()
    crashes: tuple[tuple[int, int], ...] = ()
    """(when, machine); machine -1 is a power cut of them all."""
    skew: tuple[int, ...] = ()
    """Milliseconds by which a machine's clock is wrong."""
    attacks: tuple[str, ...] = ()
    """What the last validators do, one each; the others are honest."""
    joins: tuple[tuple[int, int], ...] = ()
    """(when, machine) for those that start late."""
    sparse: bool = False
    """Machines are linked in a ring with one chord each: messages need relaying."""
    writer: tuple[int, ...] = (0, 1, 10, 200)
    """Milliseconds that the store takes for a commit."""
    transfers: int = 6
    job: bool = True

    @property
    def machines(self) -> int:
        """The validators, and one observer."""
        return self.validators + 1

    def __str__(self) -> str:
        shown = ((f.name, getattr(self, f.name)) for f in fields(self))
        return ", ".join(f"{name}={value}" for name, value in shown if value not in (0, 0.0, (), "", False))


def draw(seed: int, attacks: tuple[str, ...]) -> Profile:
    """The faults of a seed. About one run in six has a quiet network, so that faults of single kinds are seen alone."""
    r = random.Random(seed)
    n = r.choice([1, 2, 3, 4, 4, 4, 4, 4, 4, 5, 7])
    machines = n + 1
    heal = r.randint(1_500, 4_500)
    calm = r.random() < 0.16

    def maybe(chance: float) -> bool:
        return r.random() < chance

    return Profile(
        validators=n,
        heal_at=heal,
        loss=0.0 if calm or maybe(0.4) else r.uniform(0.01, 0.3),
        double=0.0 if calm or maybe(0.6) else r.uniform(0.01, 0.2),
        delay=r.choice([2, 8, 8, 30, 100]),
        slow=() if maybe(0.7) else tuple((r.randrange(machines), r.randrange(machines), r.randint(20, 300)) for _ in range(3)),
        partitions=() if calm else _partitions(r, machines, heal),
        crashes=_crashes(r, machines, heal),
        skew=() if maybe(0.5) else tuple(r.randint(-PARAMS.drift // 3, PARAMS.drift // 3) for _ in range(machines)),
        attacks=tuple(r.choice(attacks) for _ in range(r.randint(1, (n - 1) // 3))) if attacks and n >= 4 and maybe(0.45) else (),
        joins=((r.randint(300, heal), r.randrange(machines)),) if n >= 4 and maybe(0.3) else (),
        sparse=n >= 4 and maybe(0.25),
        transfers=r.randint(2, 10),
        job=maybe(0.8),
    )


def _partitions(r: random.Random, machines: int, heal: int) -> tuple[Partition, ...]:
    found = []
    for _ in range(r.choice([0, 0, 1, 1, 2])):
        start = r.randrange(heal)
        cut = frozenset(r.sample(range(machines), r.randint(1, max(1, machines // 2))))
        found.append(Partition(start, min(heal, start + r.randint(100, 2_500)), cut, r.random() < 0.4))
    return tuple(found)


def _crashes(r: random.Random, machines: int, heal: int) -> tuple[tuple[int, int], ...]:
    found = [(r.randrange(heal), r.randrange(machines)) for _ in range(r.choice([0, 0, 1, 2, 4, 8]))]
    if r.random() < 0.3:
        found += [(r.randrange(heal), -1) for _ in range(r.randint(1, 3))]
    return tuple(sorted(found))
