"""Attempts that come to nothing, played on the real handlers and machines: what is fetched for nothing, and how many sums with
noise there are beside those that epsilon counts. docs/federation.md tells both."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.federation import messages
from learningchain.chain.contracts.federation.formulas import most_starts
from learningchain.chain.contracts.federation.records import FederationState, VoidReason
from learningchain.client.contracts.federation.http.meaning import epsilon, warnings
from learningchain.client.contracts.federation.tasks import OpenUpdate, SumMasks
from tests.federation_nodes import FedWorld


def play(world: FedWorld, withheld: type, while_: Callable[[], bool] = lambda: True) -> list[VoidReason]:
    """To the end, without messages of that kind; why attempts came to nothing."""

    def over() -> bool:
        for node in world.nodes.values():
            node.outbox = [one for one in node.outbox if not (isinstance(one.op, withheld) and while_())]
        return world.state == FederationState.END

    world.run(over)
    return [VoidReason(one.data[2]) for one in world.ledger.topics("fed.void")]


def test_a_sponsor_that_keeps_its_reference_has_files_fetched_for_nothing_until_no_start_is_left() -> None:
    """Three aggregators, three owners, and each start but the first, which measures the initial model."""
    world = FedWorld(owners=3, verifiers=4, rounds=3, reference=True, split=messages.PaySplit.ALIGNED)
    told = play(world, messages.ReferUpdate)
    assert told == [VoidReason.NO_REFERENCE] * (most_starts(3) - 1)
    opened = sum(isinstance(task, OpenUpdate) for _, task in world.tasks)
    paid = sum(one.amount for one in world.ledger.events if getattr(one, "reason", "") == "fed.aggregator")
    assert (opened, paid) == (63, 0)
    assert [most_starts(rounds) for rounds in (20, messages.MAX_ROUNDS)] == [42, 2_002]


def test_sums_with_noise_that_came_to_nothing_are_seen_by_aggregators_and_counted_by_no_epsilon() -> None:
    """Three on one model, which takes one of 1,536 values or more: a node sends its update so often (LC-FILE-8)."""
    world = FedWorld(owners=3, verifiers=6, dims=2_560, rounds=2, dp_milli=1_000, target=1)
    attempts = set[int]()

    def summed() -> bool:
        attempts.update(task.place.attempt for _, task in world.tasks if isinstance(task, SumMasks))
        return len(attempts) <= 3

    told = play(world, messages.SumUpdates, summed)
    assert told == [VoidReason.DISPUTE] * 3
    assert len(attempts) == most_starts(2) - 1 == 2 * 2 + 1
    terms = replace(world.terms, rounds=10)
    seen = epsilon(terms, 2 * 10 + 1)
    assert [epsilon(terms), seen] == [pytest.approx(20.2, abs=0.05), pytest.approx(32.5, abs=0.05)]
    assert any(f"epsilon is {seen:g}" in text for text in warnings(terms, 3, 3)), "who joins reads it"
