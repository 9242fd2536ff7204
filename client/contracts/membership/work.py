"""The membership contract's part of a node's work: it declares what the machine takes, keeps the account's box key, and tells of
cases."""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.membership import (
    Case,
    JudgeCase,
    Member,
    ReportDouble,
    SetBoxKey,
    SetCapacity,
    SetTraining,
    Training,
    case_key,
    ejection_key,
    member_key,
    training_key,
)
from learningchain.chain.host import K_CHAIN, K_CLOCK_MARKS, K_PARAMS, ChainRecord, ClockMarks, Reader
from learningchain.chain.host.ages import first_reportable
from learningchain.chain.params import Params
from learningchain.chain.types import signer_of
from learningchain.client.contracts.membership.roles.box import BoxKeys
from learningchain.client.contracts.membership.roles.capacity import KIND, Capacities
from learningchain.client.contracts.membership.roles.training import Trainings
from learningchain.client.contracts.membership.roles.watching import CaseWatch
from learningchain.client.work.machine import LedgerStatus, LedgerStatusOf, Machine, Recalled, Watch, WorkPart, knows_no_ref


def _judged(reader: Reader, me: bytes, clock: int, op: JudgeCase) -> tuple[LedgerStatus, int | None]:
    case = reader.get(case_key(op.account))
    if not isinstance(case, Case):
        return LedgerStatus.TOO_LATE, None
    if me in (case.confirm if op.confirm else case.lift):
        return LedgerStatus.STANDS, None
    # A word by hand on the other side is not overruled by a rule of this node.
    return (LedgerStatus.DISPLACED if me in (case.lift if op.confirm else case.confirm) else LedgerStatus.OPEN), None


def _reported(reader: Reader, me: bytes, clock: int, op: ReportDouble) -> tuple[LedgerStatus, int | None]:
    """LC-MEM-10: known once anybody's report is in a block, and of no use once it is too old for the next one."""
    chain, params, found, height = reader.get(K_CHAIN), reader.get(K_PARAMS), reader.get(K_CLOCK_MARKS), op.evidence.a.height
    if reader.get(ejection_key(signer_of(op.evidence), height)) is not None:
        return LedgerStatus.STANDS, None
    if not isinstance(chain, ChainRecord) or not isinstance(params, Params):
        return LedgerStatus.TOO_LATE, None
    marks = found.marks if isinstance(found, ClockMarks) else []
    gone = height < first_reportable(marks, params, chain.height + 1, chain.clock)
    return (LedgerStatus.TOO_LATE if gone else LedgerStatus.OPEN), None


def _declared(reader: Reader, me: bytes, clock: int, op: SetCapacity) -> tuple[LedgerStatus, int | None]:
    member = reader.get(member_key(me))
    if not isinstance(member, Member):
        return LedgerStatus.TOO_LATE, None
    return (LedgerStatus.STANDS if op.capacity in member.capacity else LedgerStatus.OPEN), None


def _boxed(reader: Reader, me: bytes, clock: int, op: SetBoxKey) -> tuple[LedgerStatus, int | None]:
    """LC-MEM-29"""
    member = reader.get(member_key(me))
    if not isinstance(member, Member) or member.left:
        return LedgerStatus.TOO_LATE, None
    return (LedgerStatus.STANDS if op.key == member.box_key else LedgerStatus.OPEN), None


def _trains(reader: Reader, me: bytes, clock: int, op: SetTraining) -> tuple[LedgerStatus, int | None]:
    """LC-MEM-34"""
    member, found = reader.get(member_key(me)), reader.get(training_key(me))
    if not isinstance(member, Member) or member.left:
        return LedgerStatus.TOO_LATE, None
    stands = isinstance(found, Training) and (found.arch, found.train_s) == (op.arch, op.train_s)
    return (LedgerStatus.STANDS if stands else LedgerStatus.OPEN), None


def _machines(known: Recalled) -> Sequence[Machine]:
    return Capacities(known), Trainings(known), BoxKeys(known), CaseWatch(known)


_CASES = case_key(b"")
STATUSES: dict[type, LedgerStatusOf] = {
    JudgeCase: _judged,
    ReportDouble: _reported,
    SetCapacity: _declared,
    SetTraining: _trains,
    SetBoxKey: _boxed,
}
PART = WorkPart(
    name=KIND,
    knows=knows_no_ref,
    machines=_machines,
    ledger_statuses=STATUSES,
    watch=Watch((_CASES,), _CASES, _CASES),
)
