"""An own evaluation beside what seats showed: which places these are, and where they differ most."""

from __future__ import annotations

from typing import Any

from learningchain.chain.losses import LossTree, draw_probe, open_losses
from learningchain.chain.types import format_loss
from learningchain.client.contracts.job.cli.comparing import compare

BEACON, JOB = bytes(range(32)), bytes(32)


def seat(name: str, losses: list[int], candidate: str = "lc1a", *, opened: bool = True, hidden: bool = False) -> dict[str, Any]:
    probe = draw_probe(BEACON, JOB, 0, 1, len(losses))
    greatest = open_losses(LossTree(losses), probe).greatest
    shown, mean = [format_loss(losses[at]) for at in (*probe.positions, *greatest)], format_loss(-(-sum(losses) // len(losses)))
    names = ("hidden_loss", "hidden_examples", "hidden_shown") if hidden else ("measured", "examples", "shown")
    vote = {"candidate": candidate, "vote": "OK", **dict(zip(names, (mean, len(losses), shown), strict=True))}
    return {"voter": name, "opened": opened, "votes": [vote]}


def round_(count: int, *seats: dict[str, Any]) -> dict[str, Any]:
    probe = draw_probe(BEACON, JOB, 0, 1, count)
    drawn = {"examples": count, "positions": list(probe.positions), "subtrees": list(probe.subtrees)}
    return {"probes": [drawn], "committee": list(seats)}


OWN = [1_000 * n for n in range(100)]
AT = draw_probe(BEACON, JOB, 0, 1, 100).positions[3]


def moved(by: int) -> list[int]:
    return [*OWN[:AT], OWN[AT] + by, *OWN[AT + 1 :]]


def test_the_same_losses_differ_nowhere() -> None:
    found = compare(OWN, [round_(100, seat("v1", OWN))], "lc1a")
    assert len(found.places) >= 14, "places may repeat" and {place.difference for place in found.places} == {0}
    assert all(place.own == place.shown[0][1] for place in found.places)
    assert found.means == (("v1", "OK", 49_500),)


def test_where_they_differ_most_comes_first_over_all_seats() -> None:
    found = compare(OWN, [round_(100, seat("v1", moved(7)), seat("v2", moved(-300)))], "lc1a")
    first = found.places[0]
    assert (first.what, first.own, first.difference) == (f"example {AT}", OWN[AT], 300)
    assert dict(first.shown) == {"v1": OWN[AT] + 7, "v2": OWN[AT] - 300}


def test_greatest_losses_are_compared_with_the_greatest_of_the_same_examples() -> None:
    found = compare(OWN, [round_(100, seat("v1", OWN))], "lc1a")
    for place in found.places:
        if place.what.startswith("greatest of "):
            first, last = map(int, place.what.removeprefix("greatest of ").split(" to "))
            assert place.own == max(OWN[first : last + 1])


def test_other_candidates_closed_seats_and_other_numbers_of_examples_are_left_out() -> None:
    seats = [seat("v1", OWN, "lc1b"), seat("v2", OWN, opened=False), seat("v3", OWN[:50])]
    found = compare(OWN, [round_(100, *seats)], "lc1a")
    assert (found.places, found.others) == ((), (("v3", 50),))
