"""The machines of a federation with a cell, all together on the real contract, with real proofs, sums and candidates: whole
federations; who is silent, lies or begins again; what leaves a node, and to whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.federation import formulas, messages, records
from learningchain.chain.contracts.federation.cells import LACKED
from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.chain.contracts.federation.records import EndReason, FederationState, MemberState
from learningchain.chain.types import parse_loss
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace
from learningchain.client.contracts.federation.arithmetic.small.files import small_size
from learningchain.client.contracts.federation.audit.cell_replay import AuditedCellSum
from learningchain.client.contracts.federation.cli import auditing
from learningchain.client.contracts.federation.cli.watch import Story
from learningchain.client.contracts.federation.http.cell_views import describe_cells
from learningchain.client.contracts.federation.roles.quiet_runs import LAST
from learningchain.client.contracts.federation.roles.runs import run_name
from learningchain.client.contracts.federation.small_tasks import MakeSmall, SumSmallMasks, ViewShares
from learningchain.client.contracts.federation.wishes import TrainWish
from learningchain.client.work.events import Computed, Submit
from learningchain.sandbox import RunSpec
from tests.federation_attacks import small_rounds
from tests.federation_nodes import MACHINES, FedNode, FedWorld, file_of, model_file, values_in
from tests.unit.job_kit import CHAIN_ID
from tests.unit.test_federation_audit import FilesOfNode

SMALL: dict[str, Any] = {
    "owners": 4,
    "verifiers": 5,
    "dims": 21,
    "reference": True,
    "clip": 2 * 10**8,
    "dp_milli": 251,
    "round_ms": 600_000,
    "max_members": 7,
    "target": 60_000_000,
}
RUNNING = (FederationState.TRAIN, FederationState.HAVE, FederationState.ROWS, FederationState.SCREEN, FederationState.SUM)


def events(world: FedWorld, topic: str) -> list[Any]:
    return [one.data for one in world.ledger.events if getattr(one, "topic", "") == topic]


def voids(world: FedWorld) -> list[str]:
    return [records.VoidReason(one[2]).name for one in events(world, "fed.void")]


def check_reached(world: FedWorld) -> None:
    assert EndReason(world.now.end) is EndReason.REACHED
    assert world.now.paid == world.terms.bounty == sum(world.paid(one) for one in world.owners)
    path = next(path for path in world.store.files if path.name == world.now.best_model.hex())
    x, y = world.tested
    found = float(np.mean((x @ values_in(world.store.read(path)).astype(np.float64) - y) ** 2)) * 1e9
    assert found == pytest.approx(world.now.best, rel=1e-6), "the ledger's loss is that of the model"


def test_owners_of_a_small_model_train_to_the_target_and_nobody_reads_an_update() -> None:
    world = FedWorld(**SMALL)
    seen: dict[bytes, tuple[bytes, ...]] = {}
    while world.state != FederationState.END:
        world.block()
        for one in world.owners:
            seen |= world.nodes[one].served
    check_reached(world)
    assert world.now.r >= 2, "one round is no training"
    assert not world.ledger.refused, "no machine sends what the ledger refuses"
    assert not voids(world) and not events(world, "fed.missed") and not events(world, "fed.differs")
    assert {one[3] for one in events(world, "fed.code")} == {FileCode.USED}
    sizes = {
        cid: len(content) for content, cid in ((content, bytes.fromhex(path.name)) for path, content in world.store.files.items())
    }
    updates = {cid: peers for cid, peers in seen.items() if sizes[cid] == small_size(21)}
    assert len(updates) == len(world.owners) * world.now.r
    assert all(len(peers) == 3 and set(peers) <= set(world.verifiers) for peers in updates.values()), "aggregators alone"
    trained = [(who, task.place.attempt) for who, task in world.tasks if isinstance(task, MakeSmall)]
    final = run_name(f"{LAST}:{world.federation.hex()}:local")
    runs = [run for one in world.owners for run in world.nodes[one].runs if run.phase == "local" and run.run_id != final]
    assert len(set(trained)) == len(trained) and len(runs) == len(updates), "each attempt trains anew"
    for node in world.nodes.values():
        assert not [notice.topic for machine in node.machines.values() for notice in machine.notices()]


FULL = pytest.mark.full("seconds for each; of the same kind one runs always")


@pytest.mark.parametrize("who", ["verifiers", pytest.param("owners", marks=FULL), pytest.param("sponsor", marks=FULL)])
def test_nodes_that_begin_again_after_every_block_come_to_the_same_end(who: str) -> None:
    """Seals, salts, parts and lists are in the books: nothing is made twice that must be made once."""
    world = FedWorld(**SMALL)
    nodes = [world.nodes[one] for one in ([world.sponsor] if who == "sponsor" else getattr(world, who))]

    def begin_again() -> bool:
        for node in nodes:
            for name in MACHINES:
                node.restart(name)
        return world.state == FederationState.END

    world.run(begin_again)
    check_reached(world)
    assert not voids(world) and not events(world, "fed.silent")
    views = [(one, task.place.attempt) for one, task in world.tasks if isinstance(task, ViewShares)]
    assert len(set(views)) == len(views), "two views of a file open its update"


@pytest.mark.parametrize("same", [True, False], ids=["the same beacon", "another beacon"])
def test_a_node_killed_after_it_made_views_answers_no_second_query(monkeypatch: pytest.MonkeyPatch, same: bool) -> None:
    """LC-FILE-56. What it had made is lost, and so is all that it would have written afterwards. From the ledger that it knew it
    makes the very same views again; from another one none, and is silent. A second query would tell each bit of an update
    (`test_federation_small_updates`)."""
    world = FedWorld(**SMALL)
    world.run(lambda: world.state == FederationState.HAVE)
    node, killed = world.nodes[world.attempt().seats[0]], list[Any]()
    do, work = node._do, node._compute

    def computed(effect: Any) -> Any:
        if isinstance(effect.task, ViewShares) and not killed:
            killed.append(effect.task)
            node.dead = True
        return work(effect)

    monkeypatch.setattr(node, "_compute", computed)
    monkeypatch.setattr(node, "_do", lambda name, effect: None if node.dead else do(name, effect))
    world.run(lambda: node.dead)
    if not same:
        world.ledger.store.put(records.attempt_key(world.federation), replace(world.attempt(), rows=bytes(32)))
    world.block()
    node.dead = False
    node.restart("aggregator")
    world.run(lambda: world.state == FederationState.IDLE or world.now.r == 2)
    made = [task for who, task in world.tasks if who == node.me and isinstance(task, ViewShares)]
    assert made == killed * (2 if same else 1)
    assert voids(world) == ([] if same else ["DISPUTE"])
    assert [one[2] for one in events(world, "fed.silent")] == ([] if same else [node.me])


# --- several cells --------------------------------------------------------------------------------------------------------------

NINE = SMALL | {"owners": 9, "max_members": 12, "split": 4}


def test_owners_of_two_cells_train_to_the_target_and_half_is_paid_by_cells() -> None:
    """The panel measures the whole, each cell, and with the reference two directions more."""
    world = FedWorld(**NINE)
    world.run()
    check_reached(world)
    assert not voids(world) and not world.ledger.refused
    cells = [one[1:] for one in events(world, "fed.cell")]
    assert sorted(map(len, cells)) == [4, 5] and {who for cell in cells for who in cell} == set(world.owners)
    assert {len(one) for one in events(world, "fed.directions")} == {2 + 2 * 5}
    paid = [{world.paid(who) for who in cell} for cell in cells]
    assert all(max(one) - min(one) <= 2 * len(world.owners) * world.now.r for one in paid), "members of one cell are paid alike"


class OverCredit(FedWorld):
    """Nine owners of German Credit, of whom the last `bad` send the opposite of what they learn."""

    def __init__(self, seed: int, bad: int) -> None:
        self.problem, self.bad = small_rounds.credit(small_rounds.NINE, seed), bad
        more = {"dims": 19, "dp_milli": 264, "clip": 10**9, "max_members": 9, "rounds": 20, "target": 1, "patience": 3}
        super().__init__(**NINE | more)

    def trained(self, node: FedNode, spec: RunSpec) -> bytes:
        base, rows = values_in(self.store.read(file_of(spec, "model"))), self.problem.reference
        if node.me in self.owners:
            rows = self.problem.owners[self.owners.index(node.me)]
        local = small_rounds.trained(base, rows, len(node.runs))
        return model_file(2 * base - local if node.me in self.owners[len(self.owners) - self.bad :] else local)

    def measured(self, spec: RunSpec) -> Sequence[int]:
        return self._losses(values_in(self.store.read(file_of(spec, "model"))))

    def all_measured(self, spec: RunSpec) -> list[Sequence[int]]:
        raw, size = self.store.read(file_of(spec, "models")), self.terms.size
        return [self._losses(values_in(raw[at : at + size])) for at in range(0, len(raw), size)]

    def _losses(self, model: Any) -> list[int]:
        return [small_rounds.loss(model, small_rounds.Rows(x[None], y[None])) for x, y in zip(*self._hidden, strict=True)]

    @property
    def _hidden(self) -> tuple[Any, Any]:
        return self.problem.hidden.x, self.problem.hidden.y


@FULL
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_of_nine_that_send_the_opposite_cost_a_fifth_at_most_and_are_paid_as_others(seed: int) -> None:
    """German Credit, twenty rounds; docs/federation-attacks.md has the same without a ledger."""
    quiet, world = OverCredit(seed, 0), OverCredit(seed, 2)
    for one in (quiet, world):
        one.run()
        assert EndReason(one.now.end) is EndReason.ROUNDS and not voids(one) and not one.ledger.refused
    share = (world.now.initial - world.now.best) / (quiet.now.initial - quiet.now.best)
    paid = sum(world.paid(one) for one in world.owners[7:]) / world.now.paid
    assert share >= 0.8 and 0.5 * 2 / 9 < paid < 1.1 * 2 / 9


DIRECTIONS = ["all", "cell 1", "cell 2", "the reference alone", "both, half way"]


def test_what_the_panel_said_of_each_direction_is_shown_and_told() -> None:
    """The sponsor sees what its reference alone reaches."""
    world = FedWorld(**NINE | {"rounds": 1, "target": 1})
    world.run()
    members = [(who, world.ledger.get(records.member_key(world.federation, who))) for who in world.owners]
    shown = describe_cells(world.ledger.store, world.federation, members)
    assert sorted(len(cell["members"]) for cell in shown["cells"]) == [4, 5]
    assert [one["of"] for one in shown["directions"]] == DIRECTIONS
    losses = [parse_loss(one["loss"]) for one in shown["directions"] if one["loss"] is not None]
    assert [parse_loss(one["loss"] or "0") for one in shown["directions"] if one["chosen"]] == [min(losses)]
    story, line = Story("", verbose=False), ""
    for topic in ("fed.cells.summed", "fed.directions"):
        data = events(world, topic)[0]
        said = {"cells": data[3]} if topic == "fed.cells.summed" else {"r": data[0], "chosen": data[1], "found": list(data[2:])}
        line = story.take(cast(Any, {"topic": topic, "data": said})).line or ""
    assert line.startswith("round 1 reached all ") and f"the reference alone {shown['directions'][3]['loss']}" in line


def test_twelve_owners_go_without_a_reference() -> None:
    """Three cells: four directions, and each owner is paid."""
    world = FedWorld(**NINE | {"owners": 12, "verifiers": 6, "min_members": 12, "reference": False, "rounds": 2, "target": 1})
    world.run()
    assert EndReason(world.now.end) is EndReason.ROUNDS and not voids(world) and not world.ledger.refused
    assert [len(one[1:]) for one in events(world, "fed.cell")] == [4, 4, 4]
    assert {len(one) for one in events(world, "fed.directions")} == {2 + 2 * 4}
    assert world.now.best < world.now.initial and all(world.paid(one) for one in world.owners)


def test_a_cell_with_a_silent_owner_pauses_and_the_other_one_goes_on() -> None:
    world = FedWorld(**NINE)
    gone = world.owners[0]
    world.nodes[gone].dead = True
    world.run()
    check_reached(world)
    assert not voids(world) and not world.paid(gone)
    own = next(one[1:] for one in events(world, "fed.cell") if gone in one[1:])
    codes = {(FileCode(one[3]).name, one[2] in own) for one in events(world, "fed.code") if one[1] <= 4}
    assert codes == {("IDLE", True), ("USED", False)}, "while the silent one has its place"
    assert [one[1] for one in events(world, "fed.missed")] == [gone] * min(3, world.now.r)


def test_an_owner_that_serves_two_of_three_pauses_its_cell_and_is_out_after_three_attempts() -> None:
    """No honest owner misses, nothing is void, and of six aggregators two at most are out for what they lacked at a time."""
    world = FedWorld(**NINE | {"verifiers": 6})
    liar, serves = world.nodes[world.owners[3]], world._served_to

    def partly(who: bytes) -> list[bytes]:
        kept = [cid for cid, peers in liar.served.items() if len(peers) == 3 and who == peers[-1]]
        return [cid for cid in serves(who) if cid not in kept]

    world._served_to = partly  # type: ignore[method-assign]
    world.run()
    check_reached(world)
    missed = [(one[1], one[2]) for one in events(world, "fed.missed")]
    assert missed == [(liar.me, LACKED)] * min(3, world.now.r) and not voids(world) and not world.paid(liar.me)
    lacked = world.ledger.get(records.cell_key(world.federation)).lacked
    assert 0 < len(lacked) <= 3 and not events(world, "fed.excluded")


def test_a_node_sends_nothing_where_fewer_of_its_own_cell_carry_the_flag_than_it_demands() -> None:
    """Of the federation eight others do, of its cell three."""
    world = FedWorld(**NINE | {"rounds": 1, "target": 1})
    world.run(lambda: world.state == FederationState.READY)
    (four,) = [one[1:] for one in events(world, "fed.cell") if len(one) == 1 + 4]
    careful = world.nodes[four[0]]
    careful.wish(TrainWish(world.federation, "own", 4))
    told, machine = set[str](), cast(Any, careful.machines["member"])

    def summed() -> bool:
        told.update(machine.why_not.values())
        return bool(events(world, "fed.cells.summed"))

    world.run(summed)
    assert "3 other members of its cell carry the flag, and it was joined with at least 4" in told
    sent = {one[1] for one in events(world, "fed.file")}
    assert sent == set(world.owners) - {careful.me}


def test_who_left_and_joined_again_becomes_a_new_cell_with_who_was_left_alone() -> None:
    world = FedWorld(**NINE | {"target": 1, "rounds": 5})
    world.run(lambda: world.now.r == 2 and world.state == FederationState.IDLE)
    first = next(one[1:] for one in events(world, "fed.cell") if len(one) == 6)
    for one in first[:4]:
        world.submit(one, messages.LeaveFederation(world.federation))
    world.run(lambda: len(events(world, "fed.left")) == 4)
    assert [one[0] for one in events(world, "fed.cell.over")] == [next(c[0] for c in events(world, "fed.cell") if len(c) == 6)]
    machine = world.nodes[first[4]].machines["member"]
    world.run(lambda: any(one.topic == "fed.waits" and "now 1" in one.text for one in machine.notices()))
    for one in first[:4]:
        world.submit(one, world.joins(one, world.federation))
    world.run()
    cells = {one[0]: one[1:] for one in events(world, "fed.cell")}
    assert sorted(cells) == [1, 2, 3] and set(cells[3]) == set(first)
    later = [one for one in events(world, "fed.code") if one[0] == 5]
    assert {FileCode(one[3]).name for one in later if one[2] in first} == {"USED"}, "the new cell is summed beside the old one"
    assert not [one for one in machine.notices() if one.topic == "fed.waits"]
    assert not world.ledger.refused


# --- who is silent, or lies -----------------------------------------------------------------------------------------------------


@FULL
def test_a_silent_owner_misses_three_attempts_and_the_cell_goes_on_without_it() -> None:
    world = FedWorld(**SMALL)
    gone = world.owners[0]
    world.nodes[gone].dead = True
    world.run()
    assert voids(world) == ["TOO_FEW"] * 3
    assert [one[1] for one in events(world, "fed.missed")] == [gone] * 3
    assert world.ledger.get(records.member_key(world.federation, gone)).state == MemberState.GONE
    assert EndReason(world.now.end) is EndReason.REACHED and not world.paid(gone)


def test_an_owner_whose_update_is_too_long_is_found_and_its_cell_pauses() -> None:
    world = FedWorld(**SMALL)
    liar = world.nodes[world.owners[1]]

    compute: Any = liar._compute

    def lie(effect: Any) -> Any:
        made = compute(effect)
        if not isinstance(effect.task, MakeSmall):
            return made
        raw = bytearray(world.store.read(made.result.path))
        raw[600] ^= 1
        return Computed(made.scope, made.tag, world.store.write([bytes(raw)]))

    liar._compute = lie  # type: ignore[method-assign]
    world.run()
    codes = [(one[2], FileCode(one[3]).name) for one in events(world, "fed.code")]
    assert codes.count((liar.me, "UNPROVED")) == 3 and voids(world) == ["SPLIT"] * 3
    assert {code for who, code in codes if who != liar.me} == {"IDLE", "USED"}
    assert EndReason(world.now.end) is EndReason.REACHED and not world.paid(liar.me)


def changed(op: Any) -> Any:
    """Another word than the honest one."""
    match op:
        case messages.ScreenUpdates():
            return replace(op, digest=bytes(32))
        case messages.SumCells():
            return replace(op, models=[op.sums, *op.models[1:]])
        case messages.HaveUpdates():
            return replace(op, files=b"\0")
    return op


@pytest.mark.parametrize(
    ("lies", "reasons"),
    [(messages.ScreenUpdates, set[str]()), (messages.SumCells, set[str]()), (messages.HaveUpdates, {"SPLIT"})],
    ids=["screen", "sum", "have"],
)
def test_one_aggregator_that_lies_stops_an_attempt_at_most_and_is_drawn_no_more(lies: type, reasons: set[str]) -> None:
    """Of four, so that three others are there."""
    world = FedWorld(**SMALL)
    world.run(lambda: world.state == FederationState.TRAIN)
    liar = world.nodes[world.attempt().seats[0]]
    drawn = list[bytes]()

    def lie() -> bool:
        for n, one in enumerate(liar.outbox):
            if isinstance(one.op, lies):
                liar.outbox[n] = Submit(one.kind, one.key, one.ref, changed(one.op))
        if world.state == FederationState.READY:
            drawn.extend(world.attempt().seats)
        return world.state == FederationState.END

    world.run(lie)
    check_reached(world)
    assert set(voids(world)) == reasons and len(voids(world)) <= 1
    assert liar.me not in drawn, "three others are there"


def silenced(world: FedWorld, node: FedNode, kinds: tuple[type, ...]) -> Callable[[], bool]:
    def drop() -> bool:
        node.outbox = [one for one in node.outbox if not isinstance(one.op, kinds)]
        return world.state == FederationState.END

    return drop


@pytest.mark.parametrize(
    "kind",
    [
        messages.PinSealed,
        *(pytest.param(one, marks=FULL) for one in (messages.SealParts, messages.ScreenUpdates, messages.SumCells)),
    ],
)
def test_an_aggregator_that_withholds_voids_one_attempt_and_is_drawn_no_more(kind: type) -> None:
    world = FedWorld(**SMALL)
    world.run(lambda: world.state == FederationState.TRAIN)
    silent = world.nodes[world.attempt().seats[1]]
    world.run(silenced(world, silent, (kind,)))
    check_reached(world)
    assert voids(world) == ["DISPUTE"]
    assert [one[2] for one in events(world, "fed.silent")] == [silent.me]


def lying_seat(world: FedWorld, liar: FedNode) -> None:
    """Its runs find a third of each loss."""
    honest, give, lies = world.all_measured, liar.give, [False]

    def measured(effect: Any) -> Any:
        found = honest(effect)
        return [[loss // 3 for loss in losses] for losses in found] if lies[-1] else found

    def given(name: str, what: Any) -> None:
        lies.append(True)
        give(name, what)
        lies.pop()

    world.all_measured, liar.give = measured, given  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("seats", [5, pytest.param(3, marks=FULL)])
def test_a_seat_that_lies_of_losses_decides_nothing_and_is_not_paid_for_it(seats: int) -> None:
    """Of five the others are enough; of three they are so at the third time."""
    world = FedWorld(**SMALL | {"verifiers": seats})
    world.run(lambda: world.state == FederationState.TRAIN)
    liar = world.nodes[world.now.panel[0].account]
    lying_seat(world, liar)
    world.run()
    check_reached(world)
    trained = [one for one in events(world, "fed.measured") if one[0]]
    assert trained and not any(liar.me in one[4:] for one in trained)
    assert len(events(world, "fed.again")) == (0 if seats == 5 else 2 * len(trained))


# --- what an attacker gains ------------------------------------------------------------------------------------------------------


@FULL
@pytest.mark.parametrize("pool", [3, 4])
def test_one_of_three_aggregators_that_denies_a_file_stops_a_federation_and_one_of_four_costs_one_attempt(pool: int) -> None:
    """As people are told. The file's owner has its miss: nobody can say who lied, and with three misses each two owners are out."""
    world = FedWorld(**SMALL | {"verifiers": pool, "outside": True})
    world.run(lambda: world.state == FederationState.TRAIN)
    liar = world.nodes[world.attempt().seats[0]]

    def lie() -> bool:
        for n, one in enumerate(liar.outbox):
            if isinstance(one.op, messages.HaveUpdates):
                liar.outbox[n] = Submit(one.kind, one.key, one.ref, replace(one.op, files=bytes([one.op.files[0] & 0xFE])))
        return world.state == FederationState.END or len(voids(world)) == 6

    world.run(lie)
    gone = [one for one in world.owners if world.ledger.get(records.member_key(world.federation, one)).state == MemberState.GONE]
    if pool == 3:
        assert voids(world) == ["SPLIT"] * 6 and len(gone) == 2 and world.now.r == 1
    else:
        check_reached(world)
        assert voids(world) == ["SPLIT"] and not gone


@FULL
def test_who_leaves_on_a_base_that_stays_is_drowned_in_four_times_the_noise() -> None:
    """LC-FED-59: a sum that comes to nothing put its set there; the next one has another member less."""
    world = FedWorld(**SMALL)
    world.run(lambda: world.state == FederationState.SUM)
    base, silent = world.now.base, world.nodes[world.attempt().seats[0]]
    world.run(lambda: silenced(world, silent, (messages.SumCells,))() or world.state == FederationState.IDLE)
    assert voids(world) == ["DISPUTE"] and world.now.base == base
    world.submit(world.owners[0], messages.LeaveFederation(world.federation))
    world.run()
    check_reached(world)
    noise = {task.place.attempt: task.cells[0].again for _, task in world.tasks if isinstance(task, SumSmallMasks)}
    assert noise == {number: number == 3 for number in noise}, "start 1 measured the initial model, 2 came to nothing"


# --- what a stranger makes again of the sums -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def last_sum() -> tuple[FedWorld, AuditedCellSum]:
    """A round of two cells with a reference: a second one, so that its base is a candidate itself."""
    world = FedWorld(**NINE | {"rounds": 2, "target": 1})
    world.run()
    found, cells = world.ledger.get(records.round_key(world.federation, 2)), world.ledger.get(records.cell_key(world.federation))
    place = AttemptPlace(CHAIN_ID, world.federation, 2, found.attempt)
    inside = tuple((cell.number, formulas.of_bitmap(cell.members).bit_count()) for cell in cells.inside)
    assert found.base != world.terms.model and len(inside) == 2
    return world, AuditedCellSum(2, found.base, b"", found.delta, found.clip, 9, place, inside, tuple(cells.models))


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({}, "OK", "20 candidates"),
        ({"clip": 10**8 + 1}, "DIFFERS", "candidate 0 is not what base and sums give"),
        ({"candidates": lambda names: (*names[:19], names[0])}, "DIFFERS", "candidate 19 is not"),
        ({"candidates": lambda names: names[:12]}, "DIFFERS", "12 candidates were signed, base and sums give 20"),
        ({"cells": lambda cells: cells[:1]}, "DIFFERS", "other cells than the ledger says"),
        ({"place": lambda place: place._replace(attempt=7)}, "DIFFERS", "cannot be read"),
        ({"base": b"gone"}, "UNCHECKED", "its base cannot be had: nobody serves it"),
        ({"delta": b"gone"}, "UNCHECKED", "its delta cannot be had: nobody serves it"),
    ],
)
async def test_the_candidates_of_cells_are_made_again_of_base_and_sums(
    last_sum: tuple[FedWorld, AuditedCellSum], changes: dict[str, Any], verdict: str, said: str
) -> None:
    """LC-FILE-60 to 63, each value to the bit: a candidate is known by its name alone."""
    world, summed = last_sum
    given = {name: change(getattr(summed, name)) if callable(change) else change for name, change in changes.items()}
    served = FilesOfNode({bytes.fromhex(path.name): raw for path, raw in world.store.files.items()})
    found = await auditing._model(cast(Any, served), world.terms, dataclasses.replace(summed, **given))
    assert (found.item, found.round, found.verdict) == ("model", 2, verdict) and said in found.why, found.why
