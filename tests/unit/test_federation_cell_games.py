"""Games of attackers on cells: aggregators that deny an owner's file, owners that have aggregators put out, one that copies what
the others found, and a seat that finds nothing better. On the real machines; docs/federation.md tells what comes of each."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from unittest.mock import ANY

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.federation import cells, messages, pool, records
from learningchain.chain.contracts.federation.messages import FederationCode, PartStage
from learningchain.chain.contracts.federation.records import EndReason, FederationState, MemberState
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.client.work.events import Submit
from tests.federation_nodes import FedWorld
from tests.unit.test_federation_cell_machines import SMALL, events, voids

OTHERS: dict[str, Any] = SMALL | {"outside": True}
"""Owners neither add up nor measure."""


def gone(world: FedWorld) -> int:
    of = [world.ledger.get(records.member_key(world.federation, one)) for one in world.owners]
    return sum(one.state == MemberState.GONE for one in of)


# --- aggregators that deny -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aggregators", "rounds", "came_to_nothing", "out"), [(4, 0, 6, 2), (5, 3, 6, 2), (6, 5, 3, 1), (7, 5, 2, 0)]
)
def test_two_aggregators_that_deny_one_owners_file_stop_a_cell_where_fewer_than_six_are_drawn_from(
    aggregators: int, rounds: int, came_to_nothing: int, out: int
) -> None:
    """The owner misses each time, and is out with three misses; then they deny the next one's. Two of four who are out end it."""
    world = FedWorld(**OTHERS | {"verifiers": aggregators, "rounds": 5, "target": 1})
    liars = [world.nodes[one] for one in world.verifiers[:2]]

    def deny() -> bool:
        for node in liars:
            for n, one in enumerate(node.outbox):
                if isinstance(one.op, messages.HaveUpdates):
                    files = bytes([one.op.files[0] & 0xFE])
                    node.outbox[n] = Submit(one.kind, one.key, one.ref, replace(one.op, files=files))
        return world.state == FederationState.END or gone(world) == 2

    world.run(deny)
    assert (len(events(world, "fed.cells.summed")), len(voids(world)), gone(world)) == (rounds, came_to_nothing, out)


# --- owners that thin the pool out -----------------------------------------------------------------------------------------------


def test_owners_put_a_third_of_the_aggregators_out_at_most() -> None:
    """They serve their files to two of three, and whoever is the third is drawn no more while others are there: two friends of
    twenty are drawn together in 3.3 of 100 attempts instead of 1.6. Without the bound they would be drawn each time."""
    world = FedWorld(**OTHERS | {"verifiers": 20})
    world.run(lambda: world.now.r == 1 and world.state == FederationState.IDLE)
    friends, honest = set(world.verifiers[:2]), world.verifiers[2:]
    context = FederationContext(world.ledger.host(), world.federation)

    def together() -> float:
        able, beacons = cells.aggregators(context), [sha256(b"beacon %d" % n).digest() for n in range(4_000)]
        found = [set(pool.draw_aggregators(context, one, 1, able, 3)) for one in beacons]
        return sum(friends <= one for one in found) / len(found)

    assert together() == pytest.approx(0.016, abs=0.005)
    context.change_cells(lacked=honest[:17])
    assert together() == pytest.approx(0.033, abs=0.005)


# --- who copies ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [PartStage.ROWS, PartStage.SUMS])
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "without seals"])
def test_an_aggregator_that_pins_what_the_others_found_is_refused_and_out(
    monkeypatch: pytest.MonkeyPatch, sealed: bool, stage: PartStage
) -> None:
    """It computes nothing, so it would pin what a liar says, too: two of the three would have said that."""
    if not sealed:
        monkeypatch.setattr(cells, "parts_seal", lambda *of: ANY)
    world = FedWorld(**OTHERS)
    world.run(lambda: world.state == FederationState.TRAIN)
    copier, others = world.nodes[world.attempt().seats[0]], world.attempt().seats[1:]
    pinned: dict[int, messages.MaskDigest] = {}

    def copy() -> bool:
        for who in others:
            ops = [one.op for one in world.nodes[who].outbox]
            pinned.update(
                {part.mask: part for op in ops if isinstance(op, messages.PinSealed) and op.stage == stage for part in op.parts}
            )
        for n, one in enumerate(copier.outbox):
            if isinstance(one.op, messages.SealParts) and one.op.stage == stage:
                copier.outbox[n] = Submit(one.kind, one.key, one.ref, replace(one.op, seal=bytes(32)))
            if isinstance(one.op, messages.PinSealed) and one.op.stage == stage:
                parts = [pinned.get(part.mask, part) for part in one.op.parts]
                copier.outbox[n] = Submit(one.kind, one.key, one.ref, replace(one.op, parts=parts))
        return world.state == FederationState.END

    world.run(copy)
    refused = [why for who, name, why in world.ledger.refused if name == "PinSealed" and who == copier.me]
    assert EndReason(world.now.end) is EndReason.REACHED
    assert ([why.code for why in refused], voids(world)) == (([FederationCode.BAD_SCREEN], ["DISPUTE"]) if sealed else ([], []))
    assert [one[2] for one in events(world, "fed.silent")] == [copier.me] * sealed


# --- one seat --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seats", "again"), [(3, 2), (5, 0)])
def test_one_seats_veto_of_what_is_better_has_it_measured_three_times_by_three_and_once_by_five(seats: int, again: int) -> None:
    """It finds the initial model as it is, and ten times the loss of each other one."""
    world = FedWorld(**OTHERS | {"verifiers": seats})
    world.run(lambda: world.state == FederationState.TRAIN)
    vetoes = world.nodes[world.now.panel[0].account]
    honest, give, whose = world.all_measured, vetoes.give, list[str]()

    def measured(effect: Any) -> list[Sequence[int]]:
        return [[10 * loss for loss in losses] if whose else losses for losses in honest(effect)]

    def given(name: str, what: Any) -> None:
        whose.append(name)
        give(name, what)
        whose.pop()

    world.all_measured, vetoes.give = measured, given  # type: ignore[method-assign,assignment]
    world.run()
    rounds = [one for one in events(world, "fed.measured") if one[0]]
    assert EndReason(world.now.end) is EndReason.REACHED and world.now.paid == world.terms.bounty
    assert rounds and not any(vetoes.me in one[4:] for one in rounds)
    assert len(events(world, "fed.again")) == again * len(rounds)
