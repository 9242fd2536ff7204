"""What a federation may take of a node's disk and books: bounded, whatever a sponsor and its members do."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from learningchain.chain.codec import encode, read
from learningchain.chain.contracts.federation.messages import PaySplit
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.losses import LossTree
from learningchain.client.contracts.federation.roles import journal
from learningchain.client.contracts.federation.roles.member import MOST_JOINED, MemberBook
from learningchain.client.contracts.federation.roles.sponsor import MOST_OPENED, SponsorBook
from learningchain.client.contracts.federation.wishes import SponsorWish, StopWish, TrainWish, of_wish
from learningchain.client.node.interface import PRIVATE
from learningchain.client.work.events import FetchContent, Kept, ServeFile, Unpin
from tests.federation_nodes import FedNode, FedWorld
from tests.unit.test_federation_machines import SMALL


def test_what_was_fetched_for_an_attempt_or_a_round_is_unpinned_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """128 updates of a GiB each, in 2,002 attempts: they stayed on each aggregator's disk until the federation was gone."""
    world = FedWorld(**SMALL, target=1, rounds=6)
    pins: dict[tuple[bytes, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    do = FedNode._do

    def noted(node: FedNode, name: str, effect: Any) -> None:
        if isinstance(effect, FetchContent):
            pins[node.me, name][f"{effect.pin}:{effect.ref.hex()}"].add(effect.cid)
        elif isinstance(effect, Unpin):
            pins[node.me, name].pop(effect.reason, None)
        do(node, name, effect)

    monkeypatch.setattr(FedNode, "_do", noted)
    while world.state != FederationState.END:
        world.block()
        for (_, name), held in pins.items():
            if name == "aggregator" and world.state == FederationState.IDLE:
                assert not held, "the attempt is over"
            if world.now.state != FederationState.END:
                assert all(len(cids) <= 2 for reason, cids in held.items() if name != "aggregator"), (name, held)
    assert world.now.r > 3 and any(name == "aggregator" for _, name in pins)


def test_what_seats_alone_may_see_is_served_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fetches something serves it, unless it is pinned privately: two parts of one mask tell what one owner sent."""
    world = FedWorld(reference=True, split=PaySplit.ALIGNED)
    pins: dict[str, set[bool]] = defaultdict(set)
    seats, everybody = set[bytes](), set[bytes]()
    do = FedNode._do

    def noted(node: FedNode, name: str, effect: Any) -> None:
        if isinstance(effect, FetchContent) and name == "aggregator":
            pins[effect.tag.partition("-")[0]].add(effect.pin.startswith(PRIVATE))
        if isinstance(effect, ServeFile) and name == "aggregator":
            assert node.me not in effect.peers and set(effect.peers) <= set(world.attempt().seats)
            (seats if effect.peers else everybody).add(effect.cid)
        do(node, name, effect)

    monkeypatch.setattr(FedNode, "_do", noted)
    world.run(lambda: world.now.r == 2 and world.state == FederationState.MEASURE)
    assert pins == {"file": {True}, "part": {True}, "reference": {True}, "base": {False}, "delta": {False}}
    assert len(everybody) == 2 * 2 and world.now.model in everybody, "the model and the delta of each round"
    assert len(seats) == 2 * 2 * 3, "of each stage the parts of three masks"


def test_sums_that_the_ledger_did_not_take_are_served_no_more() -> None:
    """Of each attempt that two of three did not agree on a model and a delta stayed, of a GiB each."""
    world = FedWorld(**SMALL, verifiers=5)
    world.run(lambda: world.now.r == 1 and world.state == FederationState.SUM)
    odd = world.nodes[world.attempt().seats[0]]
    made: list[bytes] = []

    def other(name: str, effect: Any) -> None:
        if isinstance(effect, ServeFile) and name == "aggregator" and not effect.peers:
            made.append(effect.cid)
        do(name, effect)

    do, odd._do = odd._do, other  # type: ignore[method-assign]
    compute = odd._compute
    odd._compute = lambda effect: _another_sum(world, compute(effect))  # type: ignore[method-assign]
    world.run(lambda: world.state == FederationState.IDLE and world.now.r >= 1)
    assert len(made) == 2 and not set(made) & set(odd.served)
    taken = {world.now.best_model} | {cid for node in world.nodes.values() for cid in node.served}
    assert world.now.best_model in taken


def _another_sum(world: FedWorld, done: Any) -> Any:
    """A model that nobody else comes to."""
    if getattr(done, "tag", "") != "sum":
        return done
    files = tuple(world.store.write([world.store.read(one.path) + b" "]) for one in done.result)
    return replace(done, result=files)


def ref(n: int) -> bytes:
    return n.to_bytes(32, "big")


def test_a_members_book_can_be_read_again_however_many_federations_it_joins() -> None:
    """One more than a book may have, and the next start began it anew: nothing was trained any more, anywhere."""
    world = FedWorld(**SMALL)
    machine: Any = world.nodes[world.owners[0]].machines["member"]
    for n in range(MOST_JOINED + 9):
        machine.handle(Kept(of_wish(TrainWish(ref(n), "own", 2), bytes(16))))
    assert read(MemberBook, encode(machine.book)) == machine.book and world.federation in machine.joined
    full = MOST_JOINED + 8
    assert [one.ref for one in machine.notices() if one.topic == "fed.full"] == [ref(full)]
    machine.handle(Kept(of_wish(StopWish(ref(full)), bytes(16))))
    assert not machine.notices(), "who leaves it wants to know no more"
    machine.handle(Kept(of_wish(TrainWish(ref(full), "own", 2), bytes(16))))
    assert machine.notices()
    machine.handle(replace(world.chain(), recent=False))
    machine.handle(Kept(of_wish(TrainWish(ref(5_000), "own", 2), bytes(16))))
    assert ref(5_000) not in machine.joined, "a node that is behind does not know what left the state"
    machine.handle(world.chain())
    assert len(machine.joined) == MOST_JOINED, "a wish may come before its federation is opened here"
    machine.handle(Kept(of_wish(TrainWish(ref(5_000), "own", 2), bytes(16))))
    assert ref(5_000) in machine.joined and world.federation in machine.joined and len(machine.joined) == MOST_JOINED
    assert not machine.notices(), "the oldest that is not in the state made room"


def test_a_sponsors_book_keeps_the_keys_of_what_lives_however_many_it_opens() -> None:
    world = FedWorld(**SMALL)
    machine = world.nodes[world.sponsor].machines["sponsor"]
    for n in range(MOST_OPENED + 9):
        machine.handle(Kept(of_wish(SponsorWish(ref(n), "/initial", b"k" * 32, "", False), bytes(16))))
        if n % 64 == 0:
            machine.handle(world.chain())
    book = read(SponsorBook, encode(machine.book))
    kept = [one.federation for one in book.opened]
    assert len(kept) == MOST_OPENED and world.federation in kept and ref(MOST_OPENED + 8) in kept and ref(0) not in kept


def test_the_journal_is_no_larger_than_a_book_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST_IN_ALL", 100)
    own = journal.OwnJournal(ref(1))
    for federation in range(30):
        for attempt in range(9):
            own.trained(ref(federation), attempt, LossTree([7]).measurement)
    notes = [len(one.notes) for one in own.book.federations]
    assert sum(notes) <= 100 and own.of(ref(29)).notes and not own.of(ref(0)).notes
