"""What goes wrong in a run, drawn as a whole from its seed.

Crashes, a bad network, full and failing disks may strike everybody. What lies beyond a crash (bits that change on a disk, old
backups, clocks that jump, a key that two machines use, an attacker) strikes at most f of the validators, all kinds together.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

from tests.network import NetworkParams

PARAMS = NetworkParams(
    heartbeat=2_500,
    drift=400,
    timeout_propose=300,
    timeout_vote=150,
    timeout_step=60,
    timeout_max=2_000,
    job_min_bounty=10,
    job_min_open=300,
    job_reveal=1_200,
    job_key=1_000,
    job_vote_base=1_000,
    job_open_votes=1_200,
    block_reward=7,
    key_rest=500,
    recovery_delay_min=200,
    recovery_gather=1_500,
    block_work=25_600,
    max_due=8,
    max_due_work=12,
    job_max_live=40,
    job_keep=1_500,
    pred_a0=300,
    pred_open=800,
    pred_keys=800,
    pred_appeal=700,
    pred_vote_base=600,
    pred_open_votes=900,
    pred_keep=2_000,
    pred_epoch=1_000,
    pred_epoch_sub=200,
    pred_waiting=2,
    fed_base=800,
    fed_ready=600,
    fed_open=900,
    fed_keep=1_500,
    fed_least=200,
    fed_dropped=8,
)
"""Short windows, so that a whole job fits into a few seconds of virtual time."""
EVERYBODY = -1


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
class Link:
    """Between `start` and `end` what `source` sends to `target` is lost, or held back and delivered at the end, all at once."""

    start: int
    end: int
    source: int
    target: int
    clogged: bool


PLAIN = ("failed sync", "full disk", "failed database", "slow")
"""Mishaps that may strike everybody."""
DEEP = (
    "flipped log",
    "flipped guard",
    "flipped database",
    "misdirected write",
    "old log",
    "old database",
    "old log and database",
    "lost guard",
    "lost folder",
    "clock jump",
)
"""Mishaps that may strike at most f validators."""


@dataclass(frozen=True)
class Mishap:
    """What happens to a machine at `when`. `amount` is how slow (ms per effect), how old (ms) or by how much a clock jumps (ms)."""

    when: int
    kind: str
    machine: int
    amount: int = 0


@dataclass(frozen=True)
class Profile:
    validators: int = 4
    observers: int = 1
    heal_at: int = 3_000
    """Milliseconds after which nothing goes wrong any more; what a Byzantine validator does goes on."""
    loss: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    """How many messages leave the order of their connection, by up to `stray` milliseconds."""
    stray: int = 50
    delay: int = 8
    """Most milliseconds on the way."""
    slow: tuple[tuple[int, int, int], ...] = ()
    """(source, target, more milliseconds)"""
    partitions: tuple[Partition, ...] = ()
    links: tuple[Link, ...] = ()
    crashes: tuple[tuple[int, int], ...] = ()
    """(when, machine); machine -1 is a power cut of them all."""
    mishaps: tuple[Mishap, ...] = ()
    skew: tuple[int, ...] = ()
    """Milliseconds by which a machine's clock is wrong."""
    attacks: tuple[str, ...] = ()
    """What the last validators do, one each; the others are honest."""
    twins: tuple[int, ...] = ()
    """Validators whose key a second machine uses."""
    joins: tuple[tuple[int, int], ...] = ()
    """(when, machine) for those that start late."""
    sparse: bool = False
    """Machines are linked in a ring with one chord each: messages need relaying."""
    writer: tuple[int, ...] = (0, 1, 10, 200)
    """Milliseconds that the store takes for a commit."""
    segment: int = 64 * 1024
    """The log's file grows by this many bytes."""
    transfers: int = 6
    eager: float = 0.2
    """How likely a client begins a burst of transfers whenever it looks."""
    heights: int = 0
    """The run goes on until everybody is here."""
    job: bool = True
    comings: bool = False
    """Members invite, let in and revoke (`tests.sim.comings`)."""
    predictions: bool = False
    """Machines' accounts serve a model and ask it (`tests.sim.asking`)."""
    federations: bool = False
    """Machines' accounts train together (`tests.sim.training`)."""

    @property
    def machines(self) -> int:
        """The identities: validators and observers. The second machines of `twins` come behind them."""
        return self.validators + self.observers

    @property
    def fair(self) -> bool:
        """Whether no more is wrong than the node promises to stand."""
        struck = {m.machine for m in self.mishaps if m.kind in DEEP and m.machine < self.validators}
        named = [p.machine for p in self.mishaps] + [index for _, index in (*self.crashes, *self.joins)] + [*self.twins]
        return (
            len(self.attacks) + len({*self.twins, *struck}) <= (self.validators - 1) // 3 and max(named, default=0) < self.machines
        )

    def __str__(self) -> str:
        plain = Profile()
        shown = ((f.name, getattr(self, f.name)) for f in fields(self))
        return "Profile(" + ", ".join(f"{name}={value!r}" for name, value in shown if value != getattr(plain, name)) + ")"


SPEED = Profile(observers=0, heal_at=1, transfers=10_000, eager=1.0, heights=10, job=False)
"""What the simulator's speed is told for: four nodes, ten heights, nothing but transfers."""


def draw(seed: int, attacks: tuple[str, ...]) -> Profile:
    """The faults of a seed. About one run in six has a quiet network, so that faults of single kinds are seen alone."""
    r = random.Random(seed)
    n = r.choice([1, 2, 3, 4, 4, 4, 4, 4, 4, 5, 7])
    machines = n + 1
    heal = r.randint(1_500, 4_500)
    calm = r.random() < 0.16

    def maybe(chance: float) -> bool:
        return r.random() < chance

    chosen, twins, struck = _beyond_crashes(r, n, attacks)
    return Profile(
        validators=n,
        heal_at=heal,
        loss=0.0 if calm or maybe(0.4) else r.uniform(0.01, 0.3),
        double=0.0 if calm or maybe(0.5) else r.uniform(0.01, 0.5),
        reorder=0.0 if calm or maybe(0.5) else r.uniform(0.01, 0.5),
        stray=r.choice([20, 50, 200]),
        delay=r.choice([2, 8, 8, 30, 100]),
        slow=() if maybe(0.7) else tuple((r.randrange(machines), r.randrange(machines), r.randint(20, 300)) for _ in range(3)),
        partitions=() if calm else _partitions(r, machines, heal),
        links=() if calm or maybe(0.5) else _links(r, machines, heal),
        crashes=_crashes(r, machines, heal),
        mishaps=_mishaps(r, machines, struck, heal),
        skew=() if maybe(0.5) else tuple(r.randint(-PARAMS.drift // 3, PARAMS.drift // 3) for _ in range(machines + len(twins))),
        attacks=chosen,
        twins=twins,
        joins=((r.randint(300, heal), r.randrange(machines)),) if n >= 4 and maybe(0.3) else (),
        sparse=n >= 4 and maybe(0.25),
        segment=r.choice([16, 64]) * 1024,
        transfers=r.randint(2, 10),
        job=maybe(0.8),
        comings=maybe(0.4),
        predictions=maybe(0.25),
        federations=maybe(0.2),
    )


def _beyond_crashes(r: random.Random, n: int, attacks: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...], list[int]]:
    """Attackers, shared keys, and machines that deep mishaps strike: at most f validators, and the observer."""
    f = (n - 1) // 3
    chosen: list[str] = []
    twins: list[int] = []
    struck: list[int] = [n] if r.random() < 0.4 else []
    for i in range(f):
        what = r.random()
        if what < 0.4 and attacks:
            chosen.append(r.choice(attacks))
        elif what < 0.5:
            twins.append(i)
        elif what < 0.8:
            struck.append(i)
    return tuple(chosen), tuple(twins), struck


def _partitions(r: random.Random, machines: int, heal: int) -> tuple[Partition, ...]:
    found = []
    for _ in range(r.choice([0, 0, 1, 1, 2])):
        start = r.randrange(heal)
        cut = frozenset(r.sample(range(machines), r.randint(1, max(1, machines // 2))))
        found.append(Partition(start, min(heal, start + r.randint(100, 2_500)), cut, r.random() < 0.4))
    return tuple(found)


def _links(r: random.Random, machines: int, heal: int) -> tuple[Link, ...]:
    found = []
    for _ in range(r.randint(1, 4)):
        start = r.randrange(heal)
        source, target = r.sample(range(machines), 2)
        found.append(Link(start, min(heal, start + r.randint(100, 2_000)), source, target, r.random() < 0.6))
    return tuple(found)


def _crashes(r: random.Random, machines: int, heal: int) -> tuple[tuple[int, int], ...]:
    found = [(r.randrange(heal), r.randrange(machines)) for _ in range(r.choice([0, 0, 1, 2, 4, 8]))]
    if r.random() < 0.3:
        found += [(r.randrange(heal), EVERYBODY) for _ in range(r.randint(1, 3))]
    return tuple(sorted(found))


def _mishaps(r: random.Random, machines: int, struck: list[int], heal: int) -> tuple[Mishap, ...]:
    found = [_mishap(r, r.choice(PLAIN), r.randrange(machines), heal) for _ in range(r.choice([0, 0, 1, 2]))]
    for machine in struck:
        found += [_mishap(r, r.choice(DEEP), machine, heal) for _ in range(r.randint(1, 3))]
    return tuple(sorted(found, key=lambda m: (m.when, m.machine, m.kind)))


def _mishap(r: random.Random, kind: str, machine: int, heal: int) -> Mishap:
    when = r.randrange(100, heal)
    amount = 0
    if kind == "slow":
        amount = r.randint(1, 12)
    elif kind.startswith("old"):
        amount = r.randint(50, max(50, when - 50))
    elif kind == "clock jump":
        amount = r.choice([-1, 1]) * r.choice([500, 5_000, 60_000, 3_600_000])
    return Mishap(when, kind, machine, amount)
