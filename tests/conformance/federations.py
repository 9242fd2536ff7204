"""Federated training, after `protocol_spec/federation.md`: what its messages and deadlines do.

federation_state    records            federation_opening  terms                    federation_members  joining, leaving, data
federation_rounds   starts to HAVE     federation_screens  rows, screens, sums      federation_panels   measurements, settling
federation_ends     IDLE, ends         federation_rules    the formulas
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance import federation_cells as cells
from tests.conformance import federation_members as members
from tests.conformance import federation_panels as panels
from tests.conformance import federation_rounds as rounds
from tests.conformance import federation_screens as screens
from tests.conformance import membership
from tests.conformance.checks import check
from tests.conformance.federation_ends import close_federation, idle_is_over, records_leave
from tests.conformance.federation_ends import give_back as given_back
from tests.conformance.federation_opening import open_federation
from tests.conformance.federation_state import (
    CONTRACT,
    DRAW,
    END,
    HAVE,
    IDLE,
    KEY,
    MEASURE,
    OPEN,
    READY,
    ROWS,
    SCREEN,
    SUM,
    TRAIN,
    Work,
)
from tests.conformance.judging import cd
from tests.conformance.ledger import State, parked

DUE: dict[int, Callable[[Work], None]] = {
    IDLE: idle_is_over,
    DRAW: rounds.the_draw_is_due,
    KEY: panels.no_key_came,
    READY: rounds.keys_are_due,
    TRAIN: rounds.files_are_due,
    HAVE: rounds.haves_are_due,
    ROWS: rounds.rows_are_drawn,
    SCREEN: screens.screens_are_due,
    SUM: screens.sums_are_due,
    MEASURE: panels.measuring_is_over,
    OPEN: panels.openings_are_due,
    END: records_leave,
}


LIGHT = dict.fromkeys((163, 164, 178, 179, 181), 8)
WORK = LIGHT | dict.fromkeys((160, 161, 162, 165, 166, 171, 172, 173, 174, 176, 182, 183, 184), 128)
URGENT = ONCE = {*range(168, 177), 180, 182, 183, 184}


@check("LC-BLK-20", 6)
def the_federation_is_not_parked(s: State, federation: bytes) -> bool:
    return parked(s, CONTRACT, federation) is None


@check("LC-FED-9", 500)
def there_is_such_a_federation(s: State, federation: bytes) -> bool:
    return s.get(b"fb/" + federation) is not None


@check("LC-FED-9", 511)
def it_has_not_ended(work: Work) -> bool:
    return work.now.state != END


OF_FEDERATION: dict[int, Callable[..., None]] = {
    161: members.join_federation,
    162: members.admit_member,
    163: members.remove_member,
    164: members.leave_federation,
    165: members.new_data,
    166: rounds.start_round,
    167: panels.seal_key,
    168: rounds.ready_key,
    169: rounds.commit_update,
    170: rounds.refer_update,
    171: rounds.have_updates,
    172: screens.pin_parts,
    173: screens.screen_updates,
    174: screens.sum_updates,
    175: panels.commit_measure,
    176: panels.open_measure,
    177: close_federation,
    179: members.vault_model,
    180: cells.seal_parts,
    182: cells.pin_sealed,
    183: cells.sum_cells,
    184: cells.open_steps,
}


def _of_federation(tag: int, handler: Callable[..., None]) -> Callable[..., None]:
    def handle(s: State, sender: bytes, federation: bytes, *fields: Any) -> None:
        the_federation_is_not_parked(s, federation)
        there_is_such_a_federation(s, federation)
        if s.get(b"fb/" + federation) is None:
            raise membership.Disappeared(federation)
        work = Work(s, federation)
        if tag != 179:
            it_has_not_ended(work)
        handler(work, sender, *fields)
        work.save()

    return handle


HANDLERS: dict[int, Callable[..., None]] = {
    160: open_federation,
    178: members.serve_federation,
    181: cells.serve_cells,
    **{tag: _of_federation(tag, handler) for tag, handler in OF_FEDERATION.items()},
}


def on_due(s: State, ref: bytes, at: int) -> None:
    if s.get(b"fb/" + ref) is None:
        return
    work = Work(s, ref)
    now = work.now
    early = now.state in (DRAW, ROWS) and s.height < now.draw_height
    if now.deadline != at or early:
        return
    now.deadline = 0
    DUE[now.state](work)
    work.save()


def give_back(s: State, ref: bytes) -> None:
    """LC-FED-50"""
    if s.get(b"fb/" + ref) is not None:
        work = Work(s, ref)
        given_back(work)
        work.save()


def due_work(s: State, ref: bytes) -> int:
    """LC-BLK-31, without the 1"""
    record = s.get(b"fb/" + ref)
    if record is None:
        return 0
    state, left = record[0], record[-2]
    if state == END:
        return int(min(left, 1_024)) + 16
    if state in (DRAW, READY, MEASURE, OPEN):
        return 256 + cd(sum(key.startswith(b"m/") and s.get(key)[1] for key in s.records), 16)
    return 256


def work_of(message: list[Any]) -> int:
    """LC-BLK-25"""
    return WORK.get(message[0], 32)


membership.GIVE_BACK[CONTRACT] = give_back
