"""What a node that took part in a federation still has while it runs, when it has ended, and when it left the state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chain.contracts.federation import records
from chain.contracts.federation.records import FederationState
from client.contracts.federation.aggregator import AggregatorMachine
from client.contracts.federation.cleanup import FINAL_PIN, GONE_MS, KEEP_MS, FedCleanUp
from client.contracts.federation.looking import text_of
from client.contracts.federation.panel import PanelMachine
from client.contracts.federation.places import DELTAS
from client.contracts.federation.steps import MODEL_PIN
from client.work.events import SERVED, Chain, Forget, Keep, StopServing, Unpin
from tests.federation_nodes import FedNode, FedWorld
from tests.unit.test_federation_machines import SMALL


def held(world: FedWorld, **more: Any) -> Chain:
    return replace(world.chain(), held=frozenset({world.federation}), **more)


def told(part: FedCleanUp, world: FedWorld, **more: Any) -> tuple[list[bytes], list[Forget]]:
    said = part.handle(held(world, **more))
    return [one.cid for one in said if isinstance(one, StopServing)], [one for one in said if isinstance(one, Forget)]


def machine(node: FedNode, kind: Any) -> Any:
    return next(one for one in node.machines.values() if isinstance(one, kind))


def test_sums_that_nobody_needs_any_more_are_given_up_while_the_rounds_go_on() -> None:
    """Of any number of rounds an aggregator serves those of the last ones, the base and the best."""
    world = FedWorld(**SMALL, target=1, rounds=12)
    part = FedCleanUp(lambda: ())
    served, most = set[bytes](), 0
    while not world.now.end:
        world.block()
        one = world.ledger.get(records.round_key(world.federation, world.now.r))
        served |= {one.model, one.delta} if one is not None else set()
        gone, over = told(part, world)
        assert set(gone) <= served, "only what it may serve, and that once"
        served -= set(gone)
        assert bool(world.now.end) or not {world.now.base, world.now.best_model} & set(gone)
        assert bool(over) is bool(world.now.end)
        most = max(most, len(served))
    assert world.now.r >= 8, "enough rounds to tell"
    assert most <= 2 * (DELTAS + 1) + 2
    assert served <= {world.now.best_model}
    assert not told(part, world)[0]


def test_at_the_end_only_the_best_model_stays_and_only_for_a_while() -> None:
    world = FedWorld(**SMALL)
    world.run()
    best = text_of(world.now.best_model)
    stays = tuple(Keep(best, KEEP_MS, why, FINAL_PIN) for why in (SERVED, MODEL_PIN))
    assert told(FedCleanUp(lambda: ()), world)[1] == [Forget(world.federation, stays)]
    gone, over = told(FedCleanUp(lambda: {world.federation}), world)
    assert gone and not over, "who trains in it or opened it still needs its image: the losses of the final model on own data"
    assert not FedCleanUp(lambda: ()).handle(world.chain()), "what is not held is not given up"


def test_what_left_the_state_is_forgotten_once_that_is_sure() -> None:
    world = FedWorld(**SMALL)
    part = FedCleanUp(lambda: {world.federation})
    for key in (records.federation_key(world.federation), records.posting_key(world.federation)):
        world.ledger.store.delete(key)
    now = world.clock
    assert told(part, world) == ([], [])
    assert told(part, world, clock=now + GONE_MS - 1) == ([], [])
    assert told(part, world, clock=now + GONE_MS, recent=False) == ([], []), "a node that is behind knows nothing yet"
    assert told(part, world, clock=now + GONE_MS) == ([], [])
    assert told(part, world, clock=now + 2 * GONE_MS) == ([], [Forget(world.federation)])


def test_a_seat_of_the_panel_keeps_nothing_of_what_has_ended() -> None:
    world = FedWorld(**SMALL)
    world.run(lambda: world.state == FederationState.MEASURE and world.now.r == 1)
    seat = world.nodes[world.now.panel[0].account]
    panel = machine(seat, PanelMachine)
    panel._keys[world.federation] = bytes(32)
    assert world.federation in panel._pinned
    assert not [one for one in panel.handle(world.chain()) if isinstance(one, Unpin)], "it sits there"
    while world.state != FederationState.END:
        world.block()
    assert not panel._keys and not panel._pinned
    panel._keys[world.federation], panel._pinned[world.federation] = bytes(32), 1
    assert [one for one in panel.handle(world.chain()) if isinstance(one, Unpin)] == [
        Unpin(world.federation, f"{MODEL_PIN}:{world.federation.hex()}")
    ]
    assert not panel._keys and not panel._pinned


def test_a_sum_that_no_round_has_is_served_no_more() -> None:
    """It differed, or its attempt came to nothing: the ledger names it nowhere, so nobody would ever take it back."""
    world = FedWorld(**SMALL)
    world.run(lambda: world.state == FederationState.SUM)
    seat = world.nodes[world.attempt().seats[0]]
    machine_ = machine(seat, AggregatorMachine)
    attempt = machine_._attempts[world.federation]
    world.run(lambda: world.state == FederationState.MEASURE)
    made = {cid for cid in seat.served if cid in {world.now.model}}
    assert made, "what was recorded stays"
    other = next(iter(attempt.parts.values()))
    machine_._attempts[world.federation] = attempt
    attempt.parts[3, 1] = replace(other, cid=b"\x01\x55\x12\x20" + b"\x07" * 32)
    said = machine_.handle(world.chain())
    assert attempt.parts[3, 1].cid in [one.cid for one in said if isinstance(one, StopServing)]
