"""An own evaluation beside what a committee showed of its own: where they differ most. Pure.

A committee shows 16 losses of each evaluation, at places that nobody knew before it committed: eight examples, and the greatest
losses of eight sixteenths (of fewer than 16 examples sixteen places). Losses are in units of 1e-9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learningchain.chain.losses import subtree_span
from learningchain.chain.types import parse_loss


@dataclass(frozen=True)
class Place:
    """One place of a probe: what this machine measured there, and what the seats showed."""

    what: str
    own: int
    shown: tuple[tuple[str, int], ...]
    """(voter, loss)"""

    @property
    def difference(self) -> int:
        return max(abs(loss - self.own) for _, loss in self.shown)


@dataclass(frozen=True)
class Comparison:
    """`places`: widest difference first. `others`: voters that measured another number of examples, and theirs."""

    places: tuple[Place, ...]
    others: tuple[tuple[str, int], ...]
    means: tuple[tuple[str, str, int | None], ...]
    """(voter, vote, measured) of every open vote on the candidate."""


def compare(own: Sequence[int], rounds: Sequence[Mapping[str, Any]], claimant: str, *, hidden: bool = False) -> Comparison:
    """`rounds`: as a description of the job has them, with losses as text."""
    found: dict[str, tuple[int, list[tuple[str, int]]]] = {}
    others, means = [], []
    for round_, voter, vote in _votes(rounds, claimant):
        measured, count = (vote.get(name) for name in (("hidden_loss", "hidden_examples") if hidden else ("measured", "examples")))
        means.append((voter, str(vote.get("vote")), None if measured is None else parse_loss(measured)))
        if count not in (None, len(own)):
            others.append((voter, int(count)))
        elif shown := vote.get("hidden_shown" if hidden else "shown"):
            for (what, at), loss in zip(_places(round_, own), map(parse_loss, shown), strict=False):
                found.setdefault(what, (at, []))[1].append((voter, loss))
    places = [Place(what, at, tuple(shown)) for what, (at, shown) in found.items()]
    return Comparison(tuple(sorted(places, key=lambda place: -place.difference)), tuple(others), tuple(means))


def _votes(rounds: Sequence[Mapping[str, Any]], claimant: str) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    for round_ in rounds:
        for seat in round_.get("committee") or ():
            for vote in seat.get("votes") or () if seat.get("opened") else ():
                if vote.get("candidate") == claimant:
                    yield round_, str(seat.get("voter")), vote


def _places(round_: Mapping[str, Any], own: Sequence[int]) -> list[tuple[str, int]]:
    """What each of the 16 places of a round is, and the own loss there, in the order of the probe."""
    probe = next((probe for probe in round_.get("probes") or () if probe["examples"] == len(own)), None)
    if probe is None:
        return []
    found = [(f"example {at}", own[at]) for at in probe["positions"]]
    for subtree in probe["subtrees"]:
        first, end = subtree_span(len(own), subtree)
        found.append((f"greatest of {first} to {end - 1}", max(own[first:end])))
    return found
