"""The machines of member, aggregator, panel and sponsor, all together on the real contract: whole federations, with real masks,
rows, sums and models; who is silent, lost, lying or begins again; what leaves a node, to whom, and what its disk has."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from learningchain.chain.codec import decode
from learningchain.chain.contracts.federation import messages, records
from learningchain.chain.contracts.federation.messages import AggregationRule, FileCode, PaySplit, Secrecy
from learningchain.chain.contracts.federation.records import EndReason, FederationState, MemberState
from learningchain.chain.host.terms import HiddenSet
from learningchain.client.contracts.federation.arithmetic import rows
from learningchain.client.contracts.federation.arithmetic.places import ROWS
from learningchain.client.contracts.federation.arithmetic.updates import most_attempts as spec_attempts
from learningchain.client.contracts.federation.roles.aggregator import AggregatorMachine
from learningchain.client.contracts.federation.roles.channel import (
    FileAnswer,
    KeyAsk,
    UpdateAnswer,
    UpdateOffer,
    decode_fed,
    encode_fed,
)
from learningchain.client.contracts.federation.roles.member import MemberMachine, most_attempts
from learningchain.client.contracts.federation.tasks import MakeUpdate, OpenUpdate
from learningchain.client.contracts.federation.wishes import SponsorWish, TrainWish
from learningchain.client.work.events import PeerSaid
from tests.federation_nodes import BLOCK_MS, HIDDEN_KEY, MACHINES, FedNode, FedWorld, Floats, raw_cid, values_in

SMALL: dict[str, Any] = {"dims": 96, "secrecy": Secrecy.OPEN}
"""Open ones may be small, and are fast."""


@pytest.fixture(autouse=True)
def same_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three aggregators draw the same rows, twice each; on this one machine once is enough."""
    write = rows.write_rows

    @lru_cache(2)
    def drawn(key: bytes, chunk: int) -> Any:
        found = np.empty((ROWS, rows.WIDTH))
        write(key, chunk, found)
        return found

    monkeypatch.setattr(rows, "write_rows", lambda key, chunk, into: np.copyto(into, drawn(key, chunk)))


def events(world: FedWorld, topic: str) -> list[Any]:
    return [one.data for one in world.ledger.events if getattr(one, "topic", "") == topic]


def check_reached(world: FedWorld) -> None:
    assert EndReason(world.now.end) is EndReason.REACHED
    assert world.now.paid == world.terms.bounty == sum(world.paid(one) for one in world.owners)


def final_loss(world: FedWorld) -> float:
    path = next(path for path in world.store.files if path.name == world.now.best_model.hex())
    x, y = world.tested
    return float(np.mean((x @ values_in(world.store.read(path)).astype(np.float64) - y) ** 2))


# --- to the target ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"secrecy": Secrecy.OPEN},
        SMALL,
        {"rule": AggregationRule.KRUM},
        SMALL | {"rule": AggregationRule.TRIMMED, "owners": 5},
        SMALL | {"rule": AggregationRule.MEDIAN, "owners": 4},
        {"reference": True, "split": PaySplit.ALIGNED, "target": 500_000_000},
        {"reference": True, "dp_milli": 1},
        {"verifiers": 2, "outside": True, "vetted": False},
    ],
    ids=["sum", "open", "small", "krum", "trimmed", "median", "aligned", "noise", "pair"],
)
def test_owners_train_to_the_target_and_are_paid(more: dict[str, Any]) -> None:
    world = FedWorld(**more)
    world.run()
    check_reached(world)
    assert world.now.r >= 2, "one round is no training"
    assert final_loss(world) * 1e9 == pytest.approx(world.now.best, rel=1e-6), "the ledger's loss is that of the model"
    assert not world.ledger.refused, "no machine sends what the ledger refuses"
    assert not events(world, "fed.void") and not events(world, "fed.silent") and not events(world, "fed.differs")
    assert {one[3] for one in events(world, "fed.code")} == {FileCode.USED}
    for node in world.nodes.values():
        told = [notice.topic for machine in node.machines.values() for notice in machine.notices()]
        assert not told, "what was said of a round is over with it"


def test_masked_and_open_sums_are_the_same_model() -> None:
    """And so are those of two runs with other masks."""
    worlds = [FedWorld(), FedWorld(secrecy=Secrecy.OPEN), FedWorld(verifiers=3)]
    for world in worlds:
        world.run()
    assert len({world.now.best_model for world in worlds}) == 1


def test_owners_that_see_only_their_own_data_are_better_together() -> None:
    """One owner's examples are fewer than the model has parameters."""
    world = FedWorld(target=200_000_000)
    world.run()
    x, y = world.tested
    alone = []
    for one in world.owners:
        a, b = world.nodes[one].data or (x, y)
        alone.append(float(np.mean((x @ np.linalg.lstsq(a, b, rcond=None)[0] - y) ** 2)))
    assert final_loss(world) < min(alone)


def test_a_hidden_file_is_opened_to_the_panel_alone() -> None:
    hidden = HiddenSet(raw_cid(b"sealed"), sha256(b"plain").digest(), sha256(HIDDEN_KEY).digest(), 1_000)
    world = FedWorld(hidden=[hidden])
    world.run()
    check_reached(world)
    boxes = [seat.box for seat in world.now.panel]
    assert all(boxes) and len(set(boxes)) == len(boxes)
    # A seat that has no box asks the sponsor, who answers seats alone.
    sponsor, seat = world.nodes[world.sponsor], world.now.panel[0].account
    for asks, answers in ((seat, 1), (world.owners[0], 0)):
        sponsor.give("sponsor", PeerSaid(asks, KeyAsk(world.federation)))
        assert len([one for one in world.mail if one[1] == asks]) == answers


@pytest.mark.parametrize("sponsor", [True, False], ids=["of the ledger", "of another seat"])
def test_a_seat_that_follows_has_the_key(sponsor: bool) -> None:
    """Two of five seats are silent twice. Those that follow have the key of the sponsor; where it is gone, of another seat."""
    hidden = HiddenSet(raw_cid(b"sealed"), sha256(b"plain").digest(), sha256(HIDDEN_KEY).digest(), 1_000)
    world = FedWorld(hidden=[hidden], verifiers=8)
    world.run(lambda: world.now.r == 1 and world.state == FederationState.SUM)
    first = [seat.account for seat in world.now.panel]
    world.run(lambda: world.state == FederationState.MEASURE)
    for who in first[:2]:
        world.nodes[who].dead = True
    world.nodes[world.sponsor].dead = not sponsor
    world.run(lambda: world.now.again == 2 or world.now.r == 2)
    assert world.now.again == 2 and len(world.now.panel) == 5 and not set(first[:2]) & {one.account for one in world.now.panel}
    followers = [one.account for one in world.now.panel if one.account not in first]
    world.run(lambda: world.now.r == 2 or world.state == FederationState.END)
    assert world.now.r == 2, EndReason(world.now.end)
    votes = {one[2]: one[3] for one in events(world, "fed.vote") if tuple(one[:2]) == (1, 2)}
    assert [votes[who] for who in followers] == [messages.MeasureCode.OK] * 2
    assert all(one.box for one in world.now.panel) == sponsor


def test_a_wrong_key_is_a_bad_key_and_ends_nothing_by_itself() -> None:
    hidden = HiddenSet(raw_cid(b"sealed"), sha256(b"plain").digest(), sha256(b"another").digest(), 1_000)
    world = FedWorld(hidden=[hidden])
    world.run()
    assert EndReason(world.now.end) is EndReason.STALLED
    assert {one[3] for one in events(world, "fed.vote")} == {messages.MeasureCode.BADKEY}


# --- who is silent, lost, or lies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [FederationState.READY, FederationState.TRAIN, FederationState.HAVE, FederationState.SCREEN, FederationState.SUM],
)
def test_an_aggregator_may_vanish_at_any_time(state: FederationState) -> None:
    """The round goes on with two of three; three remain for the next one."""
    world = FedWorld(verifiers=4)
    world.run(lambda: world.now.r >= 1 and world.state == state)
    lost = world.attempt().seats[0]
    world.nodes[lost].dead = True
    start = world.now.starts
    world.run(lambda: world.now.r >= 1 and world.state == FederationState.MEASURE)
    assert world.now.starts == start and not events(world, "fed.void")
    world.run()
    check_reached(world)
    assert {one[2] for one in events(world, "fed.silent")} == {lost}


@pytest.mark.parametrize(
    ("poison", "code"),
    [
        (lambda base, local: (2 * base - local).astype(np.float32), FileCode.WRONG),
        (lambda base, local: base.copy(), FileCode.EMPTY),
    ],
    ids=["turned", "nothing"],
)
def test_a_bad_update_is_refused_by_name_and_its_owner_is_not_paid(poison: Any, code: FileCode) -> None:
    world = FedWorld(owners=5)
    bad = world.nodes[world.owners[2]]
    bad.poison = poison
    world.run()
    check_reached(world)
    assert {one[3] for one in events(world, "fed.code") if one[2] == bad.me} == {code}
    assert world.paid(bad.me) == 0


def test_a_file_of_junk_costs_its_sender_alone() -> None:
    """It is of the right size: an aggregator that opens it says what is wrong, and the others are summed."""
    world = FedWorld(owners=5)
    bad = world.nodes[world.owners[0]]
    make = world.store.write

    def write(pieces: Any) -> Any:
        content = b"".join(pieces)
        mine = content.startswith(b"LCFU1") and content[48:68] == bad.me
        return make([_spoilt(content) if mine else content])

    world.store.write = write  # type: ignore[method-assign]
    world.run(lambda: world.now.r == 1 and world.state == FederationState.SCREEN)
    (machine,) = (world.nodes[bad.me].machines["member"],)
    assert isinstance(machine, MemberMachine)
    assert {one.answer for one in machine.answers.values()} == {FileAnswer.BOX}
    assert any(notice.topic == "fed.turned-away" for notice in machine.notices())
    world.run()
    check_reached(world)
    assert world.paid(bad.me) == 0
    assert not events(world, "fed.differs")


def _spoilt(content: bytes) -> bytes:
    """A bit of each box is another."""
    raw = bytearray(content)
    for box in range(3):
        raw[8 + 60 + 96 + 112 * box + 40] ^= 1
    return bytes(raw)


def test_a_local_model_that_is_none_leaves_no_file() -> None:
    world = FedWorld(owners=4)
    bad = world.nodes[world.owners[1]]

    def poison(base: Floats, local: Floats) -> Floats:
        local = local.copy()
        local[3] = np.nan
        return local

    bad.poison = poison
    world.run(lambda: world.now.r == 1 and world.state == FederationState.TRAIN and world.attempt().files == 3)
    assert "not finite" in bad.machines["member"].notices()[0].text
    assert not any(isinstance(task, OpenUpdate) and task.member == bad.me for _, task in world.tasks)


# --- what leaves a node ----------------------------------------------------------------------------------------------------------


def test_files_are_served_to_the_aggregators_of_the_attempt_alone_and_go_with_it() -> None:
    world = FedWorld(owners=4, reference=True)
    world.nodes[world.owners[3]].dead = True  # so there is time between the files and the end of TRAIN
    updates: set[bytes] = set()
    while world.state != FederationState.END:
        world.block()
        attempt = world.attempt()
        for node in world.nodes.values():
            for cid, peers in node.served.items():
                content = world.store.files[_path_of(world, cid)]
                if content.startswith(b"LCFU1"):
                    assert attempt is not None and set(peers) == set(attempt.seats)
                    early = world.state in (FederationState.READY, FederationState.TRAIN)
                    assert not (early and node.me == world.sponsor), "a reference that members could see before they commit"
                    assert content[48:68] == node.me
                    updates.add(cid)
    assert len(updates) >= 2 * 4
    for node in world.nodes.values():
        served = [world.store.files[_path_of(world, cid)] for cid in node.served]
        assert not any(content.startswith(b"LCFU1") for content in served)
        assert not any(len(content) in (66 * 4 * 3, 4 * 1_024) for content in served if content not in _deltas(world))


@pytest.mark.parametrize("split", [PaySplit.ALIGNED, PaySplit.EQUAL])
def test_a_sponsor_tries_its_own_reference_before_a_start(split: PaySplit) -> None:
    """Its data change one value alone: no reference. With split aligned nothing is started, and the node says why."""
    world = FedWorld(reference=True, split=split, target=500_000_000)
    sponsor = world.nodes[world.sponsor]

    def one_value(base: Any, local: Any) -> Any:
        found = base.copy()
        found[0] += 1
        return found

    sponsor.poison = one_value
    if split == PaySplit.EQUAL:
        world.run(lambda: world.now.r == 2)
        assert "other members" in sponsor.machines["sponsor"].notices()[0].text
        return
    world.run(lambda: world.now.r == 1)
    for _ in range(40):
        world.block()
    assert (world.state, world.now.starts) == (FederationState.IDLE, 1)
    assert "aligned" in sponsor.machines["sponsor"].notices()[0].text
    sponsor.poison = lambda base, local: local
    sponsor.books.clear()
    sponsor.restart("sponsor")
    sponsor.wish(SponsorWish(world.federation, str(world.initial), b"", "reference", True))
    world.run()
    check_reached(world)
    assert not sponsor.machines["sponsor"].notices()


def _path_of(world: FedWorld, cid: bytes) -> Any:
    return next(path for path in world.store.files if path.name == cid.hex())


def _deltas(world: FedWorld) -> set[bytes]:
    rounds = [world.ledger.get(records.round_key(world.federation, r)) for r in range(1, world.now.r + 1)]
    return {world.store.files[_path_of(world, one.delta)] for one in rounds if one is not None}


def test_no_disk_has_the_key_of_an_attempt_nor_a_seed() -> None:
    world = FedWorld()
    world.run()
    secrets = {task.private for _, task in world.tasks if isinstance(task, OpenUpdate)}
    assert len(secrets) >= 6
    for node in world.nodes.values():
        for blob in node.books.values():
            assert not any(secret in blob for secret in secrets)


def test_books_are_canonical_and_empty_out() -> None:
    world = FedWorld()
    world.run()
    for node in world.nodes.values():
        for name, (_, kind) in MACHINES.items():
            kept = node.books.get(f"federation.{name}")
            if kept is not None:
                assert decode(kind, kept, 1 << 16) == node.machines[name].book
        assert not node.machines["aggregator"].book.attempts  # type: ignore[attr-defined]
        assert not node.machines["panel"].book.sealed  # type: ignore[attr-defined]


def test_a_member_that_wants_company_waits_for_it() -> None:
    """Three others with the flag are not there: nothing is trained, and it says why."""
    world = FedWorld()
    careful = world.nodes[world.owners[0]]
    careful.wish(TrainWish(world.federation, "own", 3))
    world.run(lambda: world.now.r == 1 and world.state == FederationState.TRAIN)
    for _ in range(3):
        world.block()
    assert not any(isinstance(task, MakeUpdate) and who == careful.me for who, task in world.tasks)
    assert "2 other members carry the flag" in careful.machines["member"].notices()[0].text
    careful.wish(TrainWish(world.federation, "own", 2))
    world.block()
    assert not careful.machines["member"].notices(), "what is no longer so is not told"
    assert any(isinstance(task, MakeUpdate) and who == careful.me for who, task in world.tasks)


def test_an_attempt_that_went_on_while_the_node_was_off_counts_as_one_that_showed_rows() -> None:
    """LC-FILE-8 bounds what of an update can be shown: what nobody here saw is taken for the worse."""
    world = FedWorld(**SMALL, owners=4)
    world.nodes[world.owners[3]].dead = True
    world.run(lambda: world.now.r == 1 and world.state == FederationState.TRAIN and world.attempt().files == 3)
    off, base, starts = world.nodes[world.owners[0]], world.now.base, world.now.starts
    off.dead = True
    world.run(lambda: world.state == FederationState.IDLE)
    assert world.now.starts == starts
    off.dead = False
    off.restart("member")
    off.look()
    book = off.machines["member"].book.updates  # type: ignore[attr-defined]
    assert not book.made and [(one.base, one.attempts) for one in book.shown] == [(base, 1)]


def test_the_same_local_model_is_sent_again_and_not_too_often() -> None:
    """Attempts that two lost aggregators void after the rows are drawn: LC-FILE-8."""
    assert all(most_attempts(dims) == spec_attempts(dims) for dims in (1, 1_024, 10_000, 2**28))
    world = FedWorld(verifiers=3)
    for one in world.verifiers[:2]:
        _mute(world.nodes[one])
    world.run(lambda: world.now.starts >= 6 and world.state == FederationState.TRAIN)
    made = [task for who, task in world.tasks if isinstance(task, MakeUpdate) and who == world.owners[0]]
    assert len(made) == most_attempts(1_024) == 3
    assert len({task.local for task in made}) == 1 and len(world.nodes[world.owners[0]].runs) == 1
    assert "as many attempts" in world.nodes[world.owners[0]].machines["member"].notices()[0].text


def _mute(node: FedNode) -> None:
    """It does its part until rows are pinned, and then nothing."""
    node_do = node._do

    def do(name: str, effect: Any) -> None:
        if not isinstance(getattr(effect, "op", None), messages.PinParts):
            node_do(name, effect)

    node._do = do  # type: ignore[method-assign]


# --- messages --------------------------------------------------------------------------------------------------------------------


def training(**more: Any) -> tuple[FedWorld, FedNode, UpdateOffer]:
    """Files stand, and the first owner's was offered."""
    world = FedWorld(owners=4, **more)
    world.nodes[world.owners[3]].dead = True
    world.run(lambda: world.now.r == 1 and world.state == FederationState.TRAIN and world.attempt().files == 3)
    own = world.nodes[world.owners[0]]
    made = own.machines["member"].book.updates.made[0]  # type: ignore[attr-defined]
    return world, own, UpdateOffer(world.federation, world.now.starts, made.cid)


def test_only_what_an_aggregator_of_the_attempt_signed_is_an_answer() -> None:
    world, own, _ = training()
    world.block()
    machine, seat = own.machines["member"], world.attempt().seats[0]
    assert isinstance(machine, MemberMachine)
    stands = dict(machine.answers)
    assert stands
    good = next(one for key, one in stands.items() if key[2] == seat)
    forged = UpdateAnswer(good.federation, good.attempt, good.cid, FileAnswer.BOX, good.signature)
    for sender, answer in ((seat, forged), (world.owners[1], good)):
        own.give("member", PeerSaid(sender, answer))
        assert machine.answers == stands


# --- begun again -----------------------------------------------------------------------------------------------------------------


def outcome(world: FedWorld) -> tuple[Any, ...]:
    return world.now.end, world.now.best_model, world.now.best, tuple(world.paid(one) for one in world.owners)


def plain() -> FedWorld:
    return FedWorld(reference=True, **SMALL)


@pytest.mark.parametrize("name", ["member", "panel", "sponsor"])
def test_a_machine_goes_on_from_its_book_as_if_nothing_had_been(name: str) -> None:
    """After every third block all nodes' machines of one kind are made anew: in three runs after every block."""
    usual = plain()
    usual.run()
    check_reached(usual)
    for phase in range(3):
        world = plain()
        while world.state != FederationState.END:
            world.block()
            if world.clock // BLOCK_MS % 3 == phase:
                for node in world.nodes.values():
                    node.restart(name)
        assert outcome(world) == outcome(usual)
        assert not any(events(world, topic) for topic in ("fed.void", "fed.unopened", "fed.silent"))


@pytest.mark.parametrize("state", ["READY", "TRAIN", "HAVE", "ROWS", "SCREEN", "SUM", "MEASURE"])
def test_an_aggregator_that_begins_again_goes_on(state: str) -> None:
    """Its key is in its book, sealed: it opens the files once more, pins, screens and sums, and is paid like the others."""
    world = plain()
    seats: list[bytes] = []

    def there() -> bool:
        seats[:] = world.attempt().seats if world.attempt() is not None else seats
        return world.now.r >= 1 and world.state.name == state

    world.run(there)
    world.nodes[seats[0]].restart("aggregator")
    world.run()
    check_reached(world)
    for topic in ("fed.void", "fed.differs", "fed.silent"):
        assert not events(world, topic)
    assert not any(node.machines["aggregator"].notices() for node in world.nodes.values())


def test_members_that_left_and_return_keep_what_they_are() -> None:
    world = FedWorld(owners=4, **SMALL)
    left = world.owners[3]
    world.run(lambda: world.now.r == 1 and world.state == FederationState.MEASURE)
    world.submit(left, messages.LeaveFederation(world.federation))
    world.run()
    check_reached(world)
    assert world.ledger.get(records.member_key(world.federation, left)).state == MemberState.GONE
    assert world.paid(left) > 0, "what it earned stays its own"


# --- the channel -----------------------------------------------------------------------------------------------------------------


def test_machines_hear_any_number_of_messages_and_keep_a_bounded_number() -> None:
    world, own, offer = training()
    seat = world.nodes[world.attempt().seats[0]]
    machine = seat.machines["aggregator"]
    assert isinstance(machine, AggregatorMachine)
    for n in range(1_000):
        machine.handle(PeerSaid(own.me, UpdateOffer(world.federation, n, offer.cid)))
    world.mail.clear()
    seat.look()
    assert len(world.mail) == 256
    assert all(len(payload) <= 512 for _, _, payload in world.mail)
    assert encode_fed(decode_fed(world.mail[0][2])) == world.mail[0][2]
