"""Games of attackers on the real handlers and machines: what a stranger, a sponsor, a seat or a member brings about, in figures.

Games on the rules alone, with and without the rule that answers each, are those of `tests.federation.holes`.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation import formulas, messages, pool, records, screening
from learningchain.chain.contracts.federation.messages import FederationCode, FileCode
from learningchain.chain.contracts.federation.records import EndReason, FederationState
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.host import K_SUPPLY
from learningchain.chain.host.terms import HiddenSet
from learningchain.client.contracts.federation.arithmetic.updates import update_of
from learningchain.client.contracts.federation.roles import making, member
from learningchain.client.contracts.federation.roles.channel import KeyAsk, KeyGive
from learningchain.client.contracts.federation.roles.looking import alike_in, look, was_summed
from learningchain.client.contracts.federation.roles.panel import MOST_HEARD
from learningchain.client.contracts.federation.roles.sponsor import KEY_BOX_LABEL, key_context
from learningchain.client.contracts.federation.roles.verifiers import deciders
from learningchain.client.contracts.federation.tasks import MadeFile
from learningchain.client.contracts.federation.wishes import SponsorWish, StopWish, TrainWish
from learningchain.client.keys.boxes import seal_box
from learningchain.client.work.events import PeerSaid
from tests.federation_nodes import HIDDEN_KEY, FedWorld, descend, model_file, raw_cid, values_in
from tests.played_ledger import AMPLE
from tests.unit.job_kit import CHAIN_ID

HIDDEN = HiddenSet(raw_cid(b"sealed"), sha256(b"plain").digest(), sha256(HIDDEN_KEY).digest(), 1_000)
OF_FEDERATIONS = tuple(b"f%c/" % letter for letter in b"bcegmnoprsu")
MOST_BYTES = 3.2
"""That a micro-credit keeps in the state for a month (LC-FED-1)."""


def kept(world: FedWorld) -> int:
    """Bytes of all records of federations, with their keys."""
    stored = world.ledger.store.records.items()
    return sum(len(key) + len(encode(record)) for key, record in stored if key[:3] in OF_FEDERATIONS and record is not None)


def burned(world: FedWorld) -> int:
    return int(world.ledger.get(K_SUPPLY).burned)


def say(world: FedWorld, sender: bytes, op: Any) -> Any | None:
    """In a block of its own; the refusal, if it is refused."""
    before = len(world.ledger.refused)
    world.submit(sender, op)
    world.block()
    found = [why for who, _, why in world.ledger.refused[before:] if who == sender]
    return found[0] if found else None


# --- fill ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("params", "members"), [(0, 2), (0, 128), (8_192, 8)], ids=str)
def test_whoever_opens_and_closes_pays_for_what_stays(params: int, members: int) -> None:
    world = FedWorld(owners=5)
    before, paid = kept(world), burned(world)
    for stranger in world.owners:
        terms = replace(world.terms, params="x" * params, max_members=members, min_members=2, min_sum=2, rounds=1, fee=10_000)
        world.submit(stranger, messages.OpenFederation(terms))
        world.block()
        opened = world.ledger.topics("fed.opened")[-1].ref
        assert say(world, stranger, messages.CloseFederation(opened)) is None
    stays, price = kept(world) - before, burned(world) - paid
    assert stays > 5 * (500 + params)
    print(f"{stays} bytes for {price} micro-credits")
    assert stays / price <= MOST_BYTES


def test_members_that_a_stranger_brings_along_are_paid_for_by_the_opening() -> None:
    """All accounts there are join: what their records take is less than what was burned for them."""
    world = FedWorld(owners=12, verifiers=8, admit_open=True, max_members=20)
    for who in world.verifiers:
        say(world, who, messages.JoinFederation(world.federation, sha256(who).digest(), 0))
    say(world, world.sponsor, messages.CloseFederation(world.federation))
    assert len(world.ledger.topics("fed.joined")) == 20
    assert kept(world) / burned(world) <= MOST_BYTES


def test_sets_of_a_thousand_rounds_are_not_priced() -> None:
    """What the specification leaves so (LC-FED-1): sets of two members on so many bases are 110,000 bytes beside 6,656 priced ones.
    Each takes an attempt that was summed and a model that was measured, and their fees."""
    terms = replace(FedWorld(owners=2).terms, rounds=1_000, max_members=2)
    base = raw_cid(b"a base")
    each = len(records.sets_key(bytes(32), base)) + len(encode(records.AcceptedSets(base, [b"\3"])))
    assert (formulas.kept_bytes(terms), 1_000 * each) == (6_656, 110_000)


# --- rob -------------------------------------------------------------------------------------------------------------------------


def test_a_sponsor_cannot_take_the_key_back_when_it_is_to_pay() -> None:
    world = FedWorld(hidden=[HIDDEN])
    world.run(lambda: world.now.r == 1 and world.state == FederationState.MEASURE)
    before = [seat.box for seat in world.now.panel]
    junk = [bytes(80)] * len(before)
    world.submit(world.sponsor, messages.SealKey(world.federation, junk))
    world.submit(world.sponsor, messages.SealKey(world.federation, []))
    world.block()
    assert [seat.box for seat in world.now.panel] == before
    assert {name for who, name, _ in world.ledger.refused if who == world.sponsor} == {"SealKey"}
    world.run()
    assert EndReason(world.now.end) is EndReason.REACHED and world.now.paid == world.terms.bounty


# --- read ------------------------------------------------------------------------------------------------------------------------


def measuring() -> tuple[FedWorld, bytes, bytes]:
    """A hidden federation, a seat that has the key, and another one."""
    world = FedWorld(hidden=[HIDDEN])
    world.run(lambda: world.now.r == 1 and world.state == FederationState.MEASURE)
    seats = [seat.account for seat in world.now.panel]
    return world, seats[0], seats[1]


def asked(world: FedWorld, of: bytes, by: bytes) -> list[bytes]:
    """Whom a seat answers."""
    world.mail.clear()
    world.nodes[of].give("panel", PeerSaid(by, KeyAsk(world.federation)))
    return [to for _, to, _ in world.mail]


def test_a_seat_gives_the_key_to_seats_of_its_panel_alone() -> None:
    world, seat, other = measuring()
    assert asked(world, seat, other) == [other]
    strangers = [who for who in (*world.owners, world.sponsor) if who not in [one.account for one in world.now.panel]]
    assert [asked(world, seat, who) for who in strangers] == [[]] * len(strangers)
    outside = next(iter(world.owners))
    assert asked(world, outside, other) == []


def test_a_false_key_of_another_seat_is_none() -> None:
    """A seat that lies gives it in a good box: its hash is not that of the terms."""
    world, seat, liar = measuring()
    machine: Any = world.nodes[seat].machines["panel"]
    machine._keys.clear()
    record: Any = world.now
    panel = [replace(one, box=b"") if one.account == seat else one for one in record.panel]
    world.ledger.store.put(records.federation_key(world.federation), replace(record, panel=panel))
    to = next(one.box_key for one in record.panel if one.account == seat)
    context = key_context(CHAIN_ID, world.federation, seat)
    for key, knows in ((b"f" * 32, False), (HIDDEN_KEY, True)):
        box = seal_box(key, to, b"e" * 32, KEY_BOX_LABEL, context)
        world.nodes[seat].give("panel", PeerSaid(liar, KeyGive(world.federation, box)))
        assert (world.federation in machine._keys) is knows


def test_a_flood_of_questions_is_answered_with_a_bounded_number_of_boxes() -> None:
    """What comes between two looks at the ledger is bounded, whoever asks."""
    world, seat, other = measuring()
    machine: Any = world.nodes[seat].machines["panel"]
    for _ in range(10 * MOST_HEARD):
        machine.handle(PeerSaid(other, KeyAsk(world.federation)))
    found = machine.handle(world.chain())
    assert 0 < sum(1 for one in found if type(one).__name__ == "SendPeer") <= MOST_HEARD


# --- two federations on one model ------------------------------------------------------------------------------------------------


def begin_second(world: FedWorld, initial: MadeFile | None = None) -> bytes:
    """Another sponsor opens a federation on the initial model of the first, or another one, for all owners but the last."""
    path, terms = world.initial, world.terms
    if initial is not None:
        path, terms = initial.path, replace(terms, model=initial.cid, size=initial.size)
    sponsor = world.verifiers[0]
    second = messages.federation_id_of(sha256(sponsor + bytes(8)).digest(), 0)
    world.submit(sponsor, messages.OpenFederation(terms))
    world.block()
    for one in world.owners[:3]:
        world.submit(one, world.joins(one, second))
    world.block()
    world.nodes[sponsor].wish(SponsorWish(second, str(path), b"", "", True))
    for one in world.owners[:3]:
        world.nodes[one].wish(TrainWish(second, "own", 2))
    return second


def delta_of(world: FedWorld, federation: bytes) -> NDArray[np.int32]:
    """What anybody knows of the first sum; empty where there is none."""
    found: Any = world.ledger.get(records.round_key(federation, 1))
    return np.frombuffer(b"" if found is None else world.store.read(Path("/content") / found.delta.hex()), "<i4")


def test_two_federations_on_one_model_do_not_open_who_is_in_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four owners sum in the first, three of them in the second: the difference is the fourth's update, to what the divisions cut
    off. The nodes of the three do not send twice: restarted, with their books lost, or after they left the first."""
    world = FedWorld(owners=4, verifiers=5, min_members=3, min_sum=3)
    world.run(lambda: world.now.r == 2 and world.state == FederationState.IDLE)
    world.nodes[world.sponsor].dead = True  # it starts nothing more, and the base stands
    second = begin_second(world)
    world.nodes[world.owners[0]].restart("member")
    world.nodes[world.owners[1]].lose()
    world.nodes[world.owners[1]].wish(TrainWish(second, "own", 2))
    world.nodes[world.owners[2]].wish(StopWish(world.federation))
    world.run(lambda: any(one.ref == second for one in world.ledger.topics("fed.train")))
    for one in world.owners[:3]:
        told: Any = world.nodes[one].machines["member"]
        assert f"in federation {world.federation.hex()[:12]}" in told.why_not[second]
    world.run(lambda: any(one.ref == second for one in world.ledger.topics("fed.void")))
    assert not delta_of(world, second).size and not [one for one in world.ledger.topics("fed.file") if one.ref == second]

    monkeypatch.setattr(making, "sent_in", lambda book, base, but: None)
    monkeypatch.setattr(member, "summed_in", lambda at, account: None)
    world.run(lambda: delta_of(world, second).size > 0)
    first, other = delta_of(world, world.federation), delta_of(world, second)
    base = values_in(world.store.read(world.initial))
    own: Any = world.nodes[world.owners[3]].data
    (closed,) = update_of(base, descend(base, own), world.terms.clip)
    assert np.abs(4 * first - 3 * other + 0.5 - closed).max() <= 2.5


def test_a_node_remembers_an_update_of_which_rows_were_drawn_though_nothing_was_summed() -> None:
    """No accepted set tells of it, so that the ledger has no word of it: the node's book has, also after a restart."""
    world = FedWorld(owners=4, verifiers=5, min_members=3, min_sum=3)

    def unscreened() -> bool:
        for node in world.nodes.values():
            node.outbox = [one for one in node.outbox if not isinstance(one.op, messages.ScreenUpdates)]
        return bool(world.ledger.topics("fed.void"))

    world.run(unscreened)
    world.nodes[world.sponsor].dead, world.nodes[world.sponsor].outbox = True, []
    second = begin_second(world)
    for one in world.owners[:3]:
        world.nodes[one].restart("member")
    world.run(lambda: any(one.ref == second for one in world.ledger.topics("fed.void")))
    assert not [one for one in world.ledger.topics("fed.file") if one.ref == second] and not world.ledger.topics("fed.summed")


def test_of_two_federations_that_train_on_one_model_at_one_time_one_gets_the_update() -> None:
    world = FedWorld(owners=4, verifiers=5)
    second = begin_second(world)
    world.run(lambda: any(one.ref == second for one in world.ledger.topics("fed.train")))
    world.run(lambda: world.now.r == 2)
    base, sent = world.terms.model, [(one.ref, one.data[1]) for one in world.ledger.topics("fed.file")]
    assert {ref for ref, _ in sent} == {world.federation} and len(sent) == 4
    told: Any = world.nodes[world.owners[0]].machines["member"]
    assert told.book.updates.shown[0].base == base
    asks, member_of = world.verifiers[1], world.ledger.get(records.member_key(world.federation, world.owners[0]))
    world.ledger.store.put(records.member_key(world.federation, asks), replace(member_of, index=0))
    summed = [was_summed(world.ledger.store, world.federation, one, base) for one in (world.owners[0], asks)]
    assert summed == [True, False], "who waits to be admitted has no index"


@pytest.mark.parametrize(("off", "least"), [(0.0, 0.9999), (1e-3, 0.999), (1e-2, 0.98), (0.1, 0.6)])
def test_two_federations_on_nearly_one_model_open_who_is_in_one_of_them(off: float, least: float) -> None:
    """What no rule closes: other bytes in the header are another CID. So owners are told before they join the second one."""
    world = FedWorld(owners=4, verifiers=5, min_members=3, min_sum=3)
    world.run(lambda: world.now.r == 2)
    base = values_in(world.store.read(world.initial))
    file = model_file((base + off * np.random.default_rng(1).normal(0, 1, len(base))).astype(np.float32))
    more, end = b',"__metadata__":{"of":"another"}', 7 + int.from_bytes(file[:8], "little")
    second = begin_second(world, world.store.write([(end - 7 + len(more)).to_bytes(8, "little"), file[8:end], more, file[end:]]))
    world.run(lambda: delta_of(world, second).size > 0)
    first, other = (delta_of(world, one).astype(np.float64) for one in (world.federation, second))
    found, own = 4 * first - 3 * other, descend(base, world.nodes[world.owners[3]].data or world.tested) - base
    assert found @ own > least * np.linalg.norm(found) * np.linalg.norm(own)
    at = look(world.ledger.store, second)
    assert at is not None
    assert [alike_in(at, one) for one in (world.owners[0], world.owners[3], world.sponsor)] == [world.federation] * 2 + [None]


# --- who is drawn ----------------------------------------------------------------------------------------------------------------

SEATS = 60


def drawn(world: FedWorld, federation: bytes) -> list[set[bytes]]:
    """Who adds up in so many attempts."""
    context = FederationContext(world.ledger.host(), federation)
    beacons = [sha256(b"beacon %d" % attempt).digest() for attempt in range(SEATS)]
    return [set(pool.draw_aggregators(context, one, at, pool.aggregators(context), 3)) for at, one in enumerate(beacons)]


def test_limits_that_three_friends_declare_do_not_choose_who_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 GiB of memory for an image that needs none: thirty others declared 4, and no fee hangs on it."""
    world = FedWorld(verifiers=33)
    friends, sponsor = set(world.verifiers[:3]), world.owners[0]
    for one in world.verifiers:
        world.ledger.change_member(one, capacity=[replace(AMPLE, mem_mb=2**22 if one in friends else 4_096)])
    greedy = messages.OpenFederation(replace(world.terms, limits=replace(world.terms.limits, mem_mb=8_192)))
    refusal = say(world, sponsor, greedy)
    assert refusal is not None and refusal.code == FederationCode.FEW_VERIFIERS
    assert sum(friends >= one for one in drawn(world, world.federation)) == 0, "of one with limits that all declare"

    monkeypatch.setattr(pool, "least_able", lambda flagged: 0)
    assert say(world, sponsor, greedy) is None
    assert sum(friends >= one for one in drawn(world, world.ledger.topics("fed.opened")[-1].ref)) == SEATS


@pytest.mark.parametrize(
    ("rule", "all_seats", "most"), [(True, 1, 7), (False, SEATS, SEATS)], ids=["a third of the flagged", "three others"]
)
def test_three_strangers_among_ten_owners_that_verify_do_not_hold_every_seat(
    monkeypatch: pytest.MonkeyPatch, rule: bool, all_seats: int, most: int
) -> None:
    """Owners left the pool where three others stayed: then these were it, 23 percent of the verifiers."""
    if not rule:
        monkeypatch.setattr(pool, "least_able", lambda flagged: 0)
    world = FedWorld(owners=10, verifiers=5, max_members=12)
    for one in world.owners:
        world.submit(one, messages.ServeFederation(True))
    for one in world.verifiers[3:]:
        world.submit(one, messages.ServeFederation(False))
        world.ledger.set_flag(one, False)
    world.block()
    strangers = set(world.verifiers[:3])
    found = drawn(world, world.federation)
    assert (sum(one == strangers for one in found), sum(len(one & strangers) > 1 for one in found)) == (all_seats, most)


def test_three_strangers_among_ten_owners_that_verify_are_the_panel() -> None:
    """Members measure only where fewer than three others could: what they are paid hangs on it. The join page names the three."""
    world = FedWorld(owners=10, verifiers=4, max_members=12)
    sponsor, strangers = world.verifiers[3], set(world.verifiers[:3])
    second = messages.federation_id_of(sha256(sponsor + bytes(8)).digest(), 0)
    for one in world.owners:
        world.submit(one, messages.ServeFederation(True))
    world.submit(sponsor, messages.OpenFederation(world.terms))
    world.block()
    for one in world.owners:
        world.submit(one, world.joins(one, second))
    world.block()
    context, at = FederationContext(world.ledger.host(), second), look(world.ledger.store, second)
    beacons = [sha256(b"beacon %d" % draw).digest() for draw in range(SEATS)]
    assert sum(set(pool.draw_panel(context, one, 0, 5)) == strangers for one in beacons) == SEATS
    assert at is not None and deciders(at, world.clock).panel == sorted(strangers)


# --- sparse updates --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changed", "sent"), [(95, False), (96, True), (0, True)])
def test_an_owners_node_sends_no_update_of_few_values(changed: int, sent: bool) -> None:
    """Rows of three attempts, 192 numbers, are enough to compute which of 1,024 values changed, and by what, where they are few."""
    world = FedWorld(owners=4, verifiers=5, min_members=3, min_sum=3)
    one = world.owners[0]

    def few(base: NDArray[np.float32], local: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([local[:changed], base[changed:]])

    world.nodes[one].poison = few
    member_of: Any = world.nodes[one].machines["member"]
    told = set[str]()

    def until() -> bool:
        told.update(member_of.why_not.values())
        return world.now.r == 2

    world.run(until)
    assert (one in {file.data[1] for file in world.ledger.topics("fed.file")}) is sent
    assert any(f"changed {changed} of 1024 values" in why for why in told) is not sent


# --- silence ---------------------------------------------------------------------------------------------------------------------


def test_an_aggregator_that_is_ready_alone_trains_with_nobody() -> None:
    """Three of four that could be drawn are silent, and the fourth follows: an attempt of one, in which no member can seal a file,
    held the members for as long as a round may last."""
    world = FedWorld(owners=3, verifiers=4, min_members=2, min_sum=2)
    world.run(lambda: world.now.r == 1 and world.state == FederationState.READY)
    for one in world.attempt().seats:
        world.nodes[one].dead, world.nodes[one].outbox = True, []
    world.run(lambda: world.state == FederationState.IDLE)
    assert [one.data[2] for one in world.ledger.topics("fed.void")] == [records.VoidReason.NO_AGGREGATORS]
    assert not world.ledger.topics("fed.train") and world.ledger.topics("fed.ready")


@pytest.mark.parametrize("rule", [True, False], ids=["once an hour", "each time"])
def test_an_outage_of_minutes_takes_no_verifier_out_for_a_month(monkeypatch: pytest.MonkeyPatch, rule: bool) -> None:
    """A sponsor starts attempt after attempt while three verifiers are down: each window was a failed draw, six are too many."""
    if not rule:
        monkeypatch.setattr(formulas, "UNREADY_ONCE", 0)
    world = FedWorld(owners=3, verifiers=3, min_members=2, min_sum=2, rounds=20)
    world.run(lambda: world.now.r == 1 and world.state == FederationState.IDLE)
    for one in world.verifiers:
        world.nodes[one].dead = True
    began = world.ledger.clock
    world.run(lambda: world.ledger.clock > began + 300_000)
    rests = world.ledger.topics("verifier.rests")
    assert len(world.ledger.topics("fed.void")) >= 6
    assert len(rests) == (0 if rule else 3)


@pytest.mark.parametrize(("row", "benched"), [(screening.LEAVES_ROW, 0), ((FileCode.AWAY,), 1)], ids=["now", "before"])
def test_an_update_that_is_next_to_nothing_benches_nobody(monkeypatch: pytest.MonkeyPatch, row: Any, benched: int) -> None:
    """Who has learned what its data say sends hardly anything, round after round; before, the third such update put it out."""
    monkeypatch.setattr(screening, "LEAVES_ROW", row)
    world = FedWorld(owners=4, target=0)
    world.nodes[world.owners[0]].poison = lambda base, local: base.copy()
    world.run(lambda: world.now.r == 5)
    told = [one.data[3] for one in world.ledger.topics("fed.code") if one.data[2] == world.owners[0]]
    assert told[:3] == [FileCode.EMPTY] * 3
    assert len(world.ledger.topics("fed.benched")) == benched
