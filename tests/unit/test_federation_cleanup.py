"""What a node that took part in a federation still has while it runs, when it has ended, and when it left the state."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from learningchain.chain.codec import read
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import of_bitmap
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.types import cid_text
from learningchain.client.contracts.federation.arithmetic.places import DELTAS
from learningchain.client.contracts.federation.audit.findings import AuditVerdict
from learningchain.client.contracts.federation.audit.replay import AuditedSum
from learningchain.client.contracts.federation.cli import auditing
from learningchain.client.contracts.federation.roles.aggregator import AggregatorMachine
from learningchain.client.contracts.federation.roles.best_round import NOTHING_NOTED, BestRound, BestRoundBook
from learningchain.client.contracts.federation.roles.cleanup import FINAL_PIN, KEEP_MS, MADE_OF_PIN, FedCleanUp
from learningchain.client.contracts.federation.roles.panel import PanelMachine
from learningchain.client.contracts.federation.roles.role import MODEL_PIN
from learningchain.client.sdk.types import NotFoundError
from learningchain.client.work.events import SERVED, Chain, EndScope, FetchContent, Forget, Keep, KeepBook, StopServing, Unpin
from learningchain.client.work.gone import GONE_MS
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
    """Of any number of rounds an aggregator serves those of the last ones, the base and the best, and what the best was made of."""
    world = FedWorld(**SMALL, target=1, rounds=12)
    part = FedCleanUp(lambda: ())
    served, made_of, most = set[bytes](), set[bytes](), 0
    while not world.now.end:
        world.block()
        one = world.ledger.get(records.round_key(world.federation, world.now.r))
        served |= {one.model, one.delta} if one is not None else set()
        gone, over = told(part, world)
        assert set(gone) <= served, "only what it may serve, and that once"
        served -= set(gone)
        assert bool(world.now.end) or not {world.now.base, world.now.best_model} & set(gone)
        if (best := best_record(world)) is not None:
            made_of = {best.base, best.delta}
        assert not made_of & set(gone), "also after the end"
        assert bool(over) is bool(world.now.end)
        most = max(most, len(served))
    assert world.now.r >= 8, "enough rounds to tell"
    assert most <= 2 * (DELTAS + 1) + 4
    assert served <= {world.now.best_model} | made_of and len(made_of) == 2
    assert not told(part, world)[0]


def test_at_the_end_only_the_best_model_and_what_it_was_made_of_stay_and_only_for_a_while() -> None:
    world = FedWorld(**SMALL)
    world.run()
    best = best_record(world)
    stays = sorted({world.now.best_model, best.base, best.delta})
    kept = tuple(Keep(cid_text(cid), KEEP_MS, why, FINAL_PIN) for cid in stays for why in (SERVED, MODEL_PIN))
    assert told(FedCleanUp(lambda: ()), world)[1] == [Forget(world.federation, kept)]
    gone, over = told(FedCleanUp(lambda: {world.federation}), world)
    assert gone and not over, "who trains in it or opened it still needs its image: the losses of the final model on own data"
    assert not FedCleanUp(lambda: ()).handle(world.chain()), "what is not held is not given up"


# --- what the best model was made of ---------------------------------------------------------------------------------------------


def best_record(world: FedWorld) -> Any:
    return world.ledger.get(records.round_key(world.federation, world.now.best_r))


def brought(said: list[Any]) -> dict[str, tuple[str, int, str]]:
    return {one.tag: (one.cid, one.max_size, one.pin) for one in said if isinstance(one, FetchContent)}


def test_members_and_sponsor_fetch_what_the_best_model_was_made_of_once_it_has_ended() -> None:
    world = FedWorld(**SMALL)
    part = FedCleanUp(lambda: {world.federation})
    while not world.now.end:
        early = brought(part.handle(held(world)))
        assert not early or world.now.best_r == 1, "while it runs the aggregators have it, but for the initial model"
        world.block()
    assert world.now.best_r > 1
    best, terms = best_record(world), world.terms
    wanted = {"base": (best.base, terms.size), "delta": (best.delta, 4 * terms.dims)}
    assert brought(part.handle(held(world))) == {tag: (cid_text(cid), size, MADE_OF_PIN) for tag, (cid, size) in wanted.items()}
    assert not part.handle(held(world)), "once"
    ended = part.handle(replace(world.chain(), held=frozenset()))
    assert ended == list(given_up(world)), "what is not held any more is not fetched either"


def given_up(world: FedWorld) -> tuple[EndScope, Unpin]:
    ref = world.federation.hex()
    return EndScope(f"fed-made-of:{ref}"), Unpin(world.federation, f"{MADE_OF_PIN}:{ref}")


def test_the_initial_model_is_kept_by_members_while_the_best_one_was_made_of_it() -> None:
    """The sponsor alone serves it, and may vanish before the end."""
    world = FedWorld(**SMALL, target=1, rounds=12)
    part = FedCleanUp(lambda: {world.federation})
    world.run(lambda: world.now.best_r == 1)
    said = part.handle(held(world))
    assert brought(said) == {"base": (cid_text(world.terms.model), world.terms.size, MADE_OF_PIN)}
    world.run(lambda: world.now.best_r > 1)
    said = part.handle(held(world))
    assert set(given_up(world)) <= set(said) and not brought(said), "another base is served by those who made it"


def test_who_leaves_keeps_nothing_for_those_who_audit() -> None:
    world, own_ones = FedWorld(**SMALL), {b""}
    own_ones.add(world.federation)
    part = FedCleanUp(lambda: own_ones)
    world.run(lambda: world.now.best_r == 1)
    assert brought(part.handle(held(world)))
    own_ones.remove(world.federation)
    assert set(given_up(world)) <= set(part.handle(held(world)))


@pytest.mark.parametrize(("noted", "stays"), [(True, True), (False, False)], ids=["seen then", "a node that came later"])
def test_what_the_best_model_was_made_of_is_known_when_its_round_has_left_the_ledger(noted: bool, stays: bool) -> None:
    """Nothing was better for a hundred rounds, and the node was started again meanwhile."""
    world = FedWorld(**SMALL)
    part, book = FedCleanUp(lambda: ()), b""
    while not world.now.end:
        world.block()
        book = next((one.blob for one in part.handle(held(world)) if isinstance(one, KeepBook)), book)
    best = best_record(world)
    known = read(BestRoundBook, book)
    assert known.rounds == [BestRound(world.federation, world.now.best_r, best.base, best.delta)]
    world.ledger.store.delete(records.round_key(world.federation, world.now.best_r))
    world.ledger.store.put(records.federation_key(world.federation), msgspec.structs.replace(world.now, r=world.now.r + 100))
    (over,) = told(FedCleanUp(lambda: (), known if noted else NOTHING_NOTED), world)[1]
    assert ({cid_text(best.base), cid_text(best.delta)} <= {one.cid for one in over.keep}) is stays
    assert cid_text(world.now.best_model) in {one.cid for one in over.keep}


def test_a_former_best_round_is_given_up_and_its_note_with_the_federation() -> None:
    world = FedWorld(**SMALL, target=1, rounds=12)
    part = FedCleanUp(lambda: ())
    world.run(lambda: world.now.best_r > 0)
    part.handle(held(world))
    (first,) = part.book.rounds
    world.run(lambda: world.now.r > first.r + DELTAS + 1 and world.now.best_r > first.r)
    assert first.delta in told(part, world)[0]
    (later,) = part.book.rounds
    assert later.r == world.now.best_r
    part.handle(replace(world.chain(), held=frozenset()))
    assert part.book == NOTHING_NOTED


class Stranger:
    """Fetches by CID from whoever still serves, and takes no part."""

    def __init__(self, world: FedWorld, disks: list[set[str]]) -> None:
        self._there = {cid_text(bytes.fromhex(path.name)): raw for path, raw in world.store.files.items()}
        self._had = set[str]().union(*disks)

    async def fetch(self, name: str, dest: Path, *, max_size: int) -> Any:
        if name not in self._had or len(self._there[name]) > max_size:
            raise NotFoundError("nobody serves it")
        dest.write_bytes(self._there[name])
        return SimpleNamespace(path=dest)


@pytest.mark.parametrize(
    ("roles", "verdict"),
    [
        ({"member"}, AuditVerdict.OK),
        ({"sponsor"}, AuditVerdict.OK),
        ({"aggregator"}, AuditVerdict.OK),
        (set[str](), AuditVerdict.UNCHECKED),
    ],
    ids=["members", "the sponsor", "aggregators", "nobody"],
)
def test_a_stranger_holds_the_final_model_against_what_it_was_made_of(roles: set[str], verdict: AuditVerdict) -> None:
    """After the end, whichever of those who took part are still there."""
    world = FedWorld(**SMALL)
    parts = {me: FedCleanUp(lambda me=me: {world.federation} & own(world, me)) for me in world.nodes}  # type: ignore[misc]
    disks = {me: set[str]() for me in world.nodes}
    while not world.now.end:
        world.block()
        for me, part in parts.items():
            disks[me] |= {cid_text(cid) for cid in world.nodes[me].served}
            for said in part.handle(held(world)):
                match said:
                    case StopServing():
                        disks[me].discard(cid_text(said.cid))
                        world.nodes[me].served.pop(said.cid, None)
                    case Forget():
                        disks[me] &= {one.cid for one in said.keep if one.pinned == SERVED}
                    case FetchContent():
                        disks[me].add(said.cid)
    now, best, terms = world.now, best_record(world), world.terms
    for me in {world.sponsor, *world.owners}:
        disks[me].add(cid_text(now.best_model))  # the own machines fetch it
    summed = AuditedSum(now.best_r, best.base, now.best_model, best.delta, best.clip, of_bitmap(best.accepted).bit_count())
    who = {me for me in world.nodes if role(world, me) in roles}
    found = asyncio.run(auditing._model(cast(Any, Stranger(world, [disks[me] for me in who])), terms, summed))
    assert found.verdict == verdict, found.why


def own(world: FedWorld, me: bytes) -> set[bytes]:
    return {world.federation} if me in {world.sponsor, *world.owners} else set()


def role(world: FedWorld, me: bytes) -> str:
    return "sponsor" if me == world.sponsor else "member" if me in world.owners else "aggregator"


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
