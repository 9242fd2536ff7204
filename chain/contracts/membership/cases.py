"""Suspensions, from their begin to their end."""

from __future__ import annotations

from typing import Any

from chain.contracts.membership.members import strike
from chain.contracts.membership.messages import JudgeCase, MemberCode
from chain.contracts.membership.params import MemberParams
from chain.contracts.membership.records import (
    MAX_CASE_REFS,
    NUMBER,
    Case,
    CaseRef,
    case_key,
)
from chain.crypto import address
from chain.errors import Reject
from chain.host import (
    Host,
    Reader,
)
from chain.types import (
    quorum,
)


def suspend(host: Host, identity: bytes, ref: bytes, accuser: bytes, contract: int) -> None:
    """LC-MEM-4: suspend for `ref`. An account that is suspended already gets the reference added; a banned one is left as it is."""
    case = host.get(case_key(identity), Case)
    if case is not None:
        refs = [*case.refs, CaseRef(ref, contract, accuser)][:MAX_CASE_REFS]
        corroborated = case.corroborated or any(r.accuser != accuser for r in case.refs)
        host.put(case_key(identity), Case(case.until, refs, corroborated, case.confirm, case.lift))
        return
    if not host.is_active(identity):
        return
    until = host.clock + host.params_of(MemberParams).appeal
    host.freeze(identity, ref)
    host.put(case_key(identity), Case(until, [CaseRef(ref, contract, accuser)], False, [], []))
    host.schedule(until, NUMBER, identity, identity)
    host.emit("suspended", identity, ref, until)


def corroborate(host: Host, identity: bytes, ref: bytes) -> None:
    """LC-MEM-5: another claimant of the same job was honest: the job could be done."""
    case = host.get(case_key(identity), Case)
    if case is not None and not case.corroborated and any(r.ref == ref for r in case.refs):
        host.put(case_key(identity), Case(case.until, case.refs, True, case.confirm, case.lift))
        host.emit("case.corroborated", identity, ref)


def due_work(reader: Reader, identity: bytes) -> int:
    """LC-BLK-31: who asked for a suspension is told how it ended."""
    case: Any = reader.get(case_key(identity))
    return len(case.refs) if case is not None else 0


def judge_case(host: Host, sender: bytes, m: JudgeCase) -> None:
    if all(v.id != sender for v in host.validators()):
        raise Reject(MemberCode.NOT_A_VALIDATOR, "only validators judge a suspension")
    case = host.get(case_key(m.account), Case)
    if case is None:
        raise Reject(MemberCode.NO_CASE, f"{address(m.account)} is not suspended")
    if sender in (case.confirm if m.confirm else case.lift):
        raise Reject(MemberCode.ALREADY_VOTED, "this judgement is recorded already")
    confirm = sorted({*case.confirm, sender} if m.confirm else {*case.confirm} - {sender})
    lift = sorted({*case.lift} - {sender} if m.confirm else {*case.lift, sender})
    host.put(case_key(m.account), Case(case.until, case.refs, case.corroborated, confirm, lift))
    host.emit("case.judged", m.account, sender, "confirm" if m.confirm else "lift")


def close_case(host: Host, ref: bytes, at: int) -> None:
    """LC-MEM-7, 8: the appeal is over: ban, or give everything back."""
    identity = ref
    case = host.get(case_key(identity), Case)
    if case is None:
        return
    validators = host.validators()
    ids = {v.id for v in validators}
    enough = quorum(len(validators))
    confirmed = sum(v in ids for v in case.confirm) >= enough
    lifted = sum(v in ids for v in case.lift) >= enough
    banned = confirmed or (case.corroborated and not lifted)
    host.delete(case_key(identity))
    if banned:
        host.ban(identity, case.refs[0].ref)
        host.emit("banned", identity, case.refs[0].ref)
    else:
        host.unfreeze(identity, case.refs[0].ref)
        if not lifted:
            strike(host, identity, "lapsed", case.refs[0].ref)
        host.emit("reinstated", identity, case.refs[0].ref)
    host.close_case(identity, [(r.contract, r.ref) for r in case.refs], banned)


def reinstate(host: Host, identity: bytes) -> None:
    """LC-MEM-14: a parked case ends without a verdict: the account is active again, and nothing is held against it."""
    case = host.get(case_key(identity), Case)
    if case is None:
        return
    host.delete(case_key(identity))
    host.unfreeze(identity, case.refs[0].ref)
    host.emit("reinstated", identity, case.refs[0].ref)
    host.close_case(identity, [(r.contract, r.ref) for r in case.refs], False)
