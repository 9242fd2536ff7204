"""Each message: refused by the first reason that applies, or carried out. Here those of a running attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import cell_messages, formulas, lists, machine, measuring, opening
from .graph import Graph
from .guards import attempt_in, drawn_seat
from .records import HAVE, KEY, MEASURE, OPENING, READY, SCREEN, SUMMING, TRAIN, Attempt, Federation, PanelSeat, Seat
from .refused import Refused, check
from .rows import CELLS
from .scenario import (
    ALIGNED,
    AWAY,
    CODES,
    MAX_LOSS,
    MEASURES,
    OK,
    ROWS_STAGE,
    SUMS_STAGE,
    USED,
    AdmitMember,
    Ban,
    CloseFederation,
    CommitMeasure,
    CommitUpdate,
    Entry,
    HaveUpdates,
    JoinFederation,
    LeaveFederation,
    Lists,
    Measure,
    Message,
    NewData,
    OpenFederation,
    OpenMeasure,
    OpenSteps,
    PinParts,
    PinSealed,
    ReadyKey,
    ReferUpdate,
    RemoveMember,
    ScreenUpdates,
    SealKey,
    SealParts,
    ServeCells,
    ServeFederation,
    SetBox,
    SetFlag,
    SetValidators,
    StartRound,
    Strike,
    SumCells,
    SumUpdates,
    Suspend,
    VaultModel,
)


def apply(graph: Graph, entry: Entry) -> str | None:
    """Carry it out; why not, where it is refused."""
    try:
        if graph.accounts[entry.sender].banned:
            raise Refused("BANNED")
        HANDLERS[type(entry.message)](graph, entry.sender, entry.message)
    except Refused as refused:
        row = f"{type(entry.message).__name__}: {refused}"
        if row in CELLS and of_cells(graph, entry.message):
            graph.reach(row)
        return str(refused)
    return None


def of_cells(graph: Graph, message: Message) -> bool:
    """Whether it is about a federation with cells, or about serving such ones."""
    if isinstance(message, OpenFederation | ServeCells):
        return isinstance(message, ServeCells) or message.terms.cells
    federation = graph.federations.get(getattr(message, "federation", b""))
    return federation is not None and federation.cells is not None


def seal_key(graph: Graph, sender: bytes, message: SealKey) -> None:
    federation = opening.by_sponsor(graph, sender, message.federation)
    lacking = [seat for seat in federation.panel if not seat.box]
    follows = federation.state == MEASURE and federation.terms.hidden and lacking
    check(federation.state == KEY or follows, "WRONG_STATE")
    check(graph.clock < federation.deadline, "TOO_LATE")
    check(message.boxes == len(lacking), "BAD_BOXES")
    for seat in lacking:
        seat.box = True
    graph.reach("key.follows" if follows else "key.sealed")
    if not follows:
        measuring.begin(graph, federation)


def ready(graph: Graph, sender: bytes, message: ReadyKey) -> None:
    federation, attempt = attempt_in(graph, message.federation, message.attempt, READY)
    seat = drawn_seat(attempt, sender)
    check(not seat.ready, "ALREADY_READY")
    check(not message.low_order, "BAD_BOXES")
    seat.ready = True
    if all(one.ready for one in attempt.seats):
        graph.reach("ready.all")
        machine.train(graph, federation)


def commit_update(graph: Graph, sender: bytes, message: CommitUpdate) -> None:
    federation = opening.live(graph, message.federation)
    check(federation.state != READY, "KEYS_MISSING")
    federation, attempt = attempt_in(graph, message.federation, message.attempt, TRAIN)
    member = federation.members.get(sender)
    check(member is not None and member.index is not None, "NOT_A_MEMBER")
    if sender not in attempt.roster:
        check(member is None or member.benched_until < attempt.number, "BENCHED")
        raise Refused("OUT_OF_ATTEMPT")
    check(sender not in attempt.files, "ALREADY_COMMITTED")
    check(message.size == formulas.update_size(federation.terms), "BAD_FILE")
    attempt.files.append(sender)
    after_file(graph, federation)


def refer(graph: Graph, sender: bytes, message: ReferUpdate) -> None:
    federation, attempt = attempt_in(graph, message.federation, message.attempt, TRAIN)
    check(sender == federation.sponsor, "NOT_SPONSOR")
    check(federation.terms.reference, "NO_REFERENCE")
    check(not attempt.referred, "ALREADY_COMMITTED")
    attempt.referred = True
    after_file(graph, federation)


def after_file(graph: Graph, federation: Federation) -> None:
    if machine.all_committed(graph, federation):
        graph.reach("commits.all")
        machine.trained(graph, federation)


def have(graph: Graph, sender: bytes, message: HaveUpdates) -> None:
    federation, attempt = attempt_in(graph, message.federation, message.attempt, HAVE)
    seat = drawn_seat(attempt, sender)
    check(seat.have is None, "ALREADY_SAID")
    check(0 <= message.bits < 2 ** len(attempt.files) and (attempt.referred or not message.reference), "BAD_SCREEN")
    seat.have = message.bits, message.reference
    if all(one.have is not None for one in attempt.seats):
        machine.decide(graph, federation)


def deciding_seat(attempt: Attempt, sender: bytes) -> Seat:
    seat = drawn_seat(attempt, sender)
    check(seat in attempt.deciding, "OUT_OF_ATTEMPT")
    return seat


def pin_parts(graph: Graph, sender: bytes, message: PinParts) -> None:
    check(opening.live(graph, message.federation).cells is None, "WRONG_STATE")
    state = SCREEN if message.stage == ROWS_STAGE else SUMMING
    federation, attempt = attempt_in(graph, message.federation, message.attempt, state)
    seat = deciding_seat(attempt, sender)
    check(not machine.pinned(attempt, seat, message.stage), "ALREADY_SAID")
    check(tuple(mask for mask, _ in message.parts) == formulas.masks(attempt.place(seat)), "BAD_SCREEN")
    for mask, digest in message.parts:
        seat.parts[message.stage, mask] = digest
    other = machine.conflict(attempt, seat, message.stage)
    if other is not None:
        machine.two_digests(graph, federation, seat, other, message.stage)


def screen(graph: Graph, sender: bytes, message: ScreenUpdates) -> None:
    if opening.live(graph, message.federation).cells is not None:
        cell_messages.screen(graph, sender, message)
        return
    federation, attempt = attempt_in(graph, message.federation, message.attempt, SCREEN)
    seat = deciding_seat(attempt, sender)
    check(seat.screen is None, "ALREADY_SCREENED")
    check(machine.pinned(attempt, seat, ROWS_STAGE) and machine.supplied(attempt, seat, ROWS_STAGE), "PARTS_MISSING")
    check(well_formed(federation, attempt, message), "BAD_SCREEN")
    seat.screen = message
    if all(one.screen is not None for one in attempt.deciding):
        machine.screened(graph, federation)


def well_formed(federation: Federation, attempt: Attempt, message: ScreenUpdates) -> bool:
    """A code for every file, AWAY for those outside the shared ones and only for them, points for those that are used."""
    if len(message.codes) != len(attempt.files) or not set(message.codes) <= set(CODES):
        return False
    if any((code == AWAY) == bool(attempt.both >> i & 1) for i, code in enumerate(message.codes)):
        return False
    if not 1 <= message.norm <= 2 * formulas.CQ:
        return False
    if federation.terms.split != ALIGNED:
        return not message.points
    return len(message.points) == len(message.codes) and all(
        0 <= points <= formulas.POINTS and (code == USED or not points)
        for points, code in zip(message.points, message.codes, strict=True)
    )


def sum_updates(graph: Graph, sender: bytes, message: SumUpdates) -> None:
    check(opening.live(graph, message.federation).cells is None, "WRONG_STATE")
    federation, attempt = attempt_in(graph, message.federation, message.attempt, SUMMING)
    seat = deciding_seat(attempt, sender)
    check(seat.sum is None, "ALREADY_SUMMED")
    check(machine.pinned(attempt, seat, SUMS_STAGE) and machine.supplied(attempt, seat, SUMS_STAGE), "PARTS_MISSING")
    seat.sum = message
    if all(one.sum is not None for one in attempt.deciding):
        machine.summed(graph, federation)


# --- measurements ---------------------------------------------------------------------------------------------------------------


def measure_in(
    graph: Graph, sender: bytes, message: CommitMeasure | OpenMeasure | OpenSteps, state: str
) -> tuple[Federation, PanelSeat]:
    federation = opening.live(graph, message.federation)
    check(federation.state == state, "WRONG_STATE")
    check((message.r, message.again) == (federation.r, federation.again), "WRONG_ROUND")
    check(graph.clock < federation.deadline, "TOO_LATE")
    seat = next((one for one in federation.panel if one.who == sender), None)
    if seat is None:
        raise Refused("NO_SEAT")
    return federation, seat


def commit_measure(graph: Graph, sender: bytes, message: CommitMeasure) -> None:
    federation, seat = measure_in(graph, sender, message, MEASURE)
    check(seat.committed is None, "ALREADY_MEASURED")
    seat.committed = message.measure
    if all(one.committed is not None for one in federation.panel):
        measuring.commits_end(graph, federation)


def open_measure(graph: Graph, sender: bytes, message: OpenMeasure | OpenSteps) -> None:
    federation, seat = measure_in(graph, sender, message, OPENING)
    check(seat.opened is None, "ALREADY_MEASURED")
    check(seat.committed == message.measure, "MEASURE_MISMATCH")
    check(lawful(federation, message.measure), "BAD_VOTE")
    seat.opened = message.measure
    if all(one.opened is not None for one in federation.panel if one.committed is not None):
        measuring.measured(graph, federation)


def lawful(federation: Federation, said: Measure | Lists) -> bool:
    """Lists are said of sums of cells, and of nothing else."""
    of_cells = federation.cells is not None and federation.r > 0
    if isinstance(said, Lists):
        return of_cells and lists.well_formed(federation, said)
    return not of_cells and said.code in MEASURES and abs(said.loss) <= MAX_LOSS and (said.code == OK or not said.loss)


# --- what other contracts tell --------------------------------------------------------------------------------------------------


def set_flag(graph: Graph, sender: bytes, message: SetFlag) -> None:
    graph.accounts[message.account].flag = message.on


def set_box(graph: Graph, sender: bytes, message: SetBox) -> None:
    graph.accounts[message.account].box = message.on


def suspend(graph: Graph, sender: bytes, message: Suspend) -> None:
    graph.accounts[message.account].suspended = message.on


def ban(graph: Graph, sender: bytes, message: Ban) -> None:
    account = graph.accounts[message.account]
    if not account.banned:
        account.banned = True
        graph.money.ban(account.id)


def strike(graph: Graph, sender: bytes, message: Strike) -> None:
    graph.strike(message.account, message.origin, "other")


def set_validators(graph: Graph, sender: bytes, message: SetValidators) -> None:
    graph.validators = message.count


HANDLERS: dict[type[Any], Callable[[Graph, bytes, Any], None]] = {
    OpenFederation: opening.open_federation,
    JoinFederation: opening.join,
    AdmitMember: opening.admit,
    RemoveMember: opening.remove,
    LeaveFederation: opening.leave,
    NewData: opening.new_data,
    StartRound: opening.start,
    CloseFederation: opening.close,
    ServeFederation: opening.serve,
    VaultModel: opening.vault,
    SealKey: seal_key,
    ReadyKey: ready,
    CommitUpdate: commit_update,
    ReferUpdate: refer,
    HaveUpdates: have,
    PinParts: pin_parts,
    ScreenUpdates: screen,
    SumUpdates: sum_updates,
    CommitMeasure: commit_measure,
    OpenMeasure: open_measure,
    OpenSteps: open_measure,
    ServeCells: opening.serve_cells,
    SealParts: cell_messages.seal,
    PinSealed: cell_messages.pin,
    SumCells: cell_messages.sum_cells,
    SetFlag: set_flag,
    SetBox: set_box,
    Suspend: suspend,
    Ban: ban,
    Strike: strike,
    SetValidators: set_validators,
}
