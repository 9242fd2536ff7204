"""Looks for a smaller profile that fails in the same way: what is left is what the failure needs.

Greedy: of all the steps that make a profile smaller, the first one that still fails is taken, until none does. Less going wrong
means another order of events, so a step is tried with a few seeds; the result names its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.sim.profile import Profile

LISTS = ("attacks", "twins", "mishaps", "crashes", "partitions", "links", "slow", "joins", "skew")
PLAIN: dict[str, Any] = {"loss": 0.0, "double": 0.0, "reorder": 0.0, "sparse": False, "job": False, "segment": Profile().segment}
TRIES = 4
"""Seeds for every step: the one that failed last, and the next ones."""

Runs = Callable[[int, Profile], str]
"""The fault of a run, empty for a good one."""


def kind(fault: str) -> str:
    """A fault without its numbers: what was broken, not where."""
    return re.sub(r"\(.*|\d+|\[.*?\]", "", fault)[:60]


def _with(p: Profile, name: str, value: Any) -> Profile:
    changes: dict[str, Any] = {name: value}
    return replace(p, **changes)


def smaller(p: Profile) -> Iterator[Profile]:
    """Every step, the largest first."""
    for name in LISTS:
        items = getattr(p, name)
        if len(items) > 1:
            yield _with(p, name, ())
            yield _with(p, name, items[: len(items) // 2])
            yield _with(p, name, items[len(items) // 2 :])
        if name != "skew" or len(items) == 1:
            yield from (_with(p, name, items[:i] + items[i + 1 :]) for i in range(len(items)))
    for name, plain in PLAIN.items():
        if getattr(p, name) != plain:
            yield _with(p, name, plain)
    yield from _fewer(p)
    yield from _shorter(p)


def _fewer(p: Profile) -> Iterator[Profile]:
    """Machines: the last validator goes, or the observer."""
    if p.validators > 1:
        yield _renumbered(p, replace(p, validators=p.validators - 1), p.validators - 1)
    if p.observers and not p.job:
        yield _renumbered(p, replace(p, observers=p.observers - 1), p.machines - 1)


def _renumbered(p: Profile, new: Profile, gone: int) -> Profile:
    """Without what names the machine that went; those behind it move up."""

    def moved(index: int) -> int:
        return index - (index > gone)

    return replace(
        new,
        crashes=tuple((when, moved(i)) for when, i in p.crashes if i != gone),
        joins=tuple((when, moved(i)) for when, i in p.joins if i != gone),
        mishaps=tuple(replace(m, machine=moved(m.machine)) for m in p.mishaps if m.machine != gone),
        links=tuple(
            replace(x, source=moved(x.source), target=moved(x.target)) for x in p.links if gone not in (x.source, x.target)
        ),
        slow=tuple((moved(a), moved(b), ms) for a, b, ms in p.slow if gone not in (a, b)),
        partitions=tuple(replace(x, cut=frozenset(moved(i) for i in x.cut - {gone})) for x in p.partitions if x.cut != {gone}),
        twins=tuple(i for i in p.twins if i != gone),
        skew=tuple(ms for i, ms in enumerate(p.skew) if i != gone),
    )


def _shorter(p: Profile) -> Iterator[Profile]:
    for name, least in (("heal_at", 200), ("transfers", 1), ("heights", 1), ("delay", 2), ("stray", 10)):
        value = getattr(p, name)
        for smaller_ in (least, value // 2, value - max(1, value // 8)):
            if least <= smaller_ < value:
                yield _within(_with(p, name, smaller_))


def _within(p: Profile) -> Profile:
    """Faults end when the graph is healed."""
    return replace(
        p,
        crashes=tuple(c for c in p.crashes if c[0] < p.heal_at),
        joins=tuple(c for c in p.joins if c[0] < p.heal_at),
        mishaps=tuple(m for m in p.mishaps if m.when < p.heal_at),
        partitions=tuple(replace(x, end=min(x.end, p.heal_at)) for x in p.partitions if x.start < p.heal_at),
        links=tuple(replace(x, end=min(x.end, p.heal_at)) for x in p.links if x.start < p.heal_at),
    )


def shrink(seed: int, profile: Profile, runs: Runs, tell: Callable[[str], None] = lambda _: None) -> tuple[int, Profile]:
    """The seed and the profile of a smallest run that fails in the same way. `profile` must fail with `seed`."""
    wanted = kind(runs(seed, profile))
    found = True
    while found:
        found = False
        for step in smaller(profile):
            if step == profile or not step.fair:
                continue
            again = next((s for s in range(seed, seed + TRIES) if kind(runs(s, step)) == wanted), None)
            if again is not None:
                seed, profile, found = again, step, True
                tell(f"seed {seed}: {profile}")
                break
    return seed, profile
