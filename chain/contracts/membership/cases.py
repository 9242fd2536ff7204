"""Suspensions, from their begin to their end."""

from __future__ import annotations

from msgspec.structs import replace

from learningchain.chain.contracts.membership.invitations import end_all
from learningchain.chain.contracts.membership.members import end_training, member_in, root_of, strike
from learningchain.chain.contracts.membership.messages import JudgeCase, MemberCode
from learningchain.chain.contracts.membership.params import MemberParams
from learningchain.chain.contracts.membership.records import (
    K_CASES,
    LONGEST_CASE,
    MAX_CASE_REFS,
    NUMBER,
    BanRecord,
    Case,
    CaseRef,
    Cases,
    ban_key,
    case_key,
    member_key,
)
from learningchain.chain.contracts.membership.verdicts import corroborated, lift_verdicts
from learningchain.chain.crypto import address
from learningchain.chain.errors import Reject
from learningchain.chain.host import K_VALIDATORS, SUSPENDED, Host, Reader, Validators
from learningchain.chain.verification.scale import ceil_div

# --- accusing -----------------------------------------------------------------------------------------------------------------


def accuse(host: Host, identity: bytes, owner: bytes, amount: int, ref: bytes, contract: int) -> bool:
    """LC-MEM-4: a FALSE verdict in work of `owner`: freeze min(free, amount), open a case or add to the open one.

    False where the account is banned, or there is none: nothing happens then.
    """
    if not host.may_act(identity):
        return False
    frozen = host.freeze(identity, amount, ref)
    entry = CaseRef(ref, contract, owner, root_of(host.store, owner))
    case = host.get(case_key(identity), Case)
    until = host.clock + host.params_of(MemberParams).appeal
    if case is None:
        _open(host, identity, entry, until, frozen)
    else:
        _add(host, identity, case, entry, until, frozen)
    return True


def _open(host: Host, identity: bytes, entry: CaseRef, until: int, frozen: int) -> None:
    number = (host.get(K_CASES, Cases) or Cases(0)).opened + 1
    host.put(K_CASES, Cases(number))
    host.put(case_key(identity), Case(number, host.clock, until, [entry], [], []))
    host.schedule(until, NUMBER, identity, identity)
    host.emit("suspended", identity, entry.ref, entry.owner, frozen, until, number)


def _add(host: Host, identity: bytes, case: Case, entry: CaseRef, until: int, frozen: int) -> None:
    """Its end moves, to LONGEST_CASE appeals after its begin at most; never back, where votes made appeals shorter meanwhile."""
    until = max(case.until, min(until, case.since + longest_ms(host)))
    host.cancel(case.until, NUMBER, identity, identity)
    host.schedule(until, NUMBER, identity, identity)
    host.put(case_key(identity), replace(case, until=until, refs=_joined(case.refs, entry)))
    host.emit("case.extended", identity, entry.ref, entry.owner, frozen, until, case.number)


def _joined(refs: list[CaseRef], entry: CaseRef) -> list[CaseRef]:
    """LC-MEM-4: a full case makes room for work of one more root, not for more of the same: nobody can fill its own case with work
    of its second identity, and then stay unbarred, unstruck and unjudged for that of others."""
    if len(refs) < MAX_CASE_REFS:
        return [*refs, entry]
    origins = [known.origin for known in refs]
    again = [place for place, origin in enumerate(origins) if origin in origins[:place]]
    if entry.origin in origins or not again:
        return refs
    return [*refs[: again[-1]], *refs[again[-1] + 1 :], entry]


def longest_ms(host: Host) -> int:
    return LONGEST_CASE * host.params_of(MemberParams).appeal


def is_barred(host: Host, identity: bytes, owner: bytes) -> bool:
    """LC-MEM-4: it is suspended in a case that work of this owner's root is part of."""
    case = host.get(case_key(identity), Case)
    origin = root_of(host.store, owner)
    return case is not None and any(entry.origin == origin for entry in case.refs)


PARTIES_AT_ONCE = 4
"""Looks for a part of a judge in a reference, in the time of one record."""


def due_work(reader: Reader, identity: bytes) -> int:
    """LC-BLK-31: who asked for a suspension is told how it ended, and each validator's part in each reference is looked for."""
    case, validators = reader.get(case_key(identity)), reader.get(K_VALIDATORS)
    if not isinstance(case, Case):
        return 0
    judges = len(validators.members) if isinstance(validators, Validators) else 0
    return len(case.refs) + ceil_div(len(case.refs) * judges, PARTIES_AT_ONCE)


# --- judging ------------------------------------------------------------------------------------------------------------------


JUDGE_WORK = 16
"""A word looks at each reference of the case for a part of its judge, and at every judge."""


def judges_of(host: Host, accused: bytes) -> set[bytes]:
    """LC-MEM-6: the validators of now, without the accused and banned ones."""
    return {v.id for v in host.validators() if v.id != accused and not host.is_banned(v.id)}


def is_party(host: Host, judge: bytes, case: Case) -> bool:
    """LC-MEM-20: suspended itself, or with a part in what the case is about."""
    account = host.account(judge)
    if account is not None and account.status == SUSPENDED:
        return True
    for entry in case.refs:
        contract = host.contracts.get(entry.contract)
        if contract is not None and contract.party is not None and contract.party(host.store, entry.ref, judge):
            return True
    return False


def confirmations_needed(judges: int, counted: int, *, corroborated: bool) -> int | None:
    """LC-MEM-7: how many of `counted` judges, those who may confirm or did, ban; None where they are fewer than half of the judges.

    It is always more than a third of all judges: whoever makes others parties gets no ban by fewer than could stop the chain.
    """
    if 2 * counted < judges:
        return None
    return max(counted // 2, judges // 3) + 1 if corroborated else 2 * counted // 3 + 1


def judge_case(host: Host, sender: bytes, m: JudgeCase) -> None:
    """LC-MEM-6: the last word of each judge counts. More than half of them lift a case at once."""
    judges = judges_of(host, m.account)
    if sender not in judges:
        raise Reject(MemberCode.NOT_A_VALIDATOR, "only validators judge a suspension, and none its own")
    case = host.get(case_key(m.account), Case)
    if case is None:
        raise Reject(MemberCode.NO_CASE, f"{address(m.account)} is not suspended")
    if m.confirm and is_party(host, sender, case):
        raise Reject(MemberCode.PARTY, "a suspended validator, or one with a part in a job of the case, may lift, not confirm")
    if sender in (case.confirm if m.confirm else case.lift):
        raise Reject(MemberCode.ALREADY_VOTED, "this judgement is recorded already")
    confirm = sorted({*case.confirm, sender} if m.confirm else {*case.confirm} - {sender})
    lift = sorted({*case.lift} - {sender} if m.confirm else {*case.lift, sender})
    case = replace(case, confirm=confirm, lift=lift)
    host.put(case_key(m.account), case)
    host.emit("case.judged", m.account, sender, "confirm" if m.confirm else "lift")
    if not m.confirm and 2 * len(judges & {*case.lift}) > len(judges):
        _lift(host, m.account, case, judges)


# --- ends ---------------------------------------------------------------------------------------------------------------------


def close_case(host: Host, ref: bytes, at: int) -> None:
    """LC-MEM-7, 8: the case's time is over: ban, or lapse. A deadline from before its end was moved does nothing."""
    identity = ref
    case = host.get(case_key(identity), Case)
    if case is None or at != case.until:
        return
    judges, confirm = judges_of(host, identity), {*case.confirm}
    counted = {judge for judge in judges if judge in confirm or not is_party(host, judge, case)}
    needed = confirmations_needed(len(judges), len(counted), corroborated=corroborated(host, identity))
    if needed is not None and len(judges & confirm) >= needed:
        _ban(host, identity, case, judges)
    else:
        _lapse(host, identity, case, judges)


def _ban(host: Host, identity: bytes, case: Case, judges: set[bytes]) -> None:
    """LC-MEM-8"""
    host.delete(case_key(identity))
    _end_account(host, identity, case.refs[0].ref)
    _tell_end(host, "banned", identity, case, judges)
    _tell_contracts(host, identity, case, banned=True)


def ban_member(host: Host, identity: bytes, ref: bytes) -> None:
    """LC-MEM-30: without a case, or before the end of an open one, which ends as a ban."""
    case = host.get(case_key(identity), Case)
    if case is not None:
        host.cancel(case.until, NUMBER, identity, identity)
        _ban(host, identity, case, judges_of(host, identity))
        return
    _end_account(host, identity, ref)
    host.emit("banned", identity, ref, 0, 0, 0, 0)


def _end_account(host: Host, identity: bytes, ref: bytes) -> None:
    """LC-MEM-8: for good: its invitations end, all that it holds burns, it is no verifier any more, and its inviter is struck.

    The strike is of the invitee as its origin: one for each that was banned.
    """
    end_all(host, identity)
    account = host.known_account(identity)
    host.put(ban_key(identity), BanRecord(account.balance + account.frozen))
    host.ban(identity, ref)
    member = member_in(host.store, identity)
    host.put(member_key(identity), replace(member, verifier=False))
    end_training(host, identity)
    if member.inviter:
        strike(host, member.inviter, identity, identity, "invitee.banned", ref)


def _lapse(host: Host, identity: bytes, case: Case, judges: set[bytes]) -> None:
    """LC-MEM-8: a strike for each root whose work was part of the case, unless lifts outnumber confirmations."""
    _return(host, identity, case)
    if len(judges & {*case.lift}) <= len(judges & {*case.confirm}):
        firsts = {entry.origin: entry for entry in reversed(case.refs)}
        for entry in case.refs:
            if firsts[entry.origin] is entry:
                strike(host, identity, entry.owner, entry.origin, "lapsed", entry.ref)
    _tell_end(host, "case.lapsed", identity, case, judges)
    _tell_contracts(host, identity, case, banned=False)


def _lift(host: Host, identity: bytes, case: Case, judges: set[bytes]) -> None:
    """LC-MEM-7: more than half of the judges say so: it ends now."""
    host.cancel(case.until, NUMBER, identity, identity)
    _return(host, identity, case)
    lift_verdicts(host, identity, case.number)
    _tell_end(host, "case.lifted", identity, case, judges)
    _tell_contracts(host, identity, case, banned=False)


def reinstate(host: Host, identity: bytes) -> None:
    """LC-MEM-14: a parked case ends without a verdict: the account is active again, and nothing is held against it."""
    case = host.get(case_key(identity), Case)
    if case is not None:
        _lift(host, identity, case, judges_of(host, identity))


def _return(host: Host, identity: bytes, case: Case) -> None:
    host.delete(case_key(identity))
    host.unfreeze(identity, case.refs[0].ref)


def _tell_end(host: Host, topic: str, identity: bytes, case: Case, judges: set[bytes]) -> None:
    confirms, lifts = len(judges & {*case.confirm}), len(judges & {*case.lift})
    host.emit(topic, identity, case.refs[0].ref, case.number, confirms, lifts, len(judges))


def _tell_contracts(host: Host, identity: bytes, case: Case, *, banned: bool) -> None:
    host.close_case(identity, [(entry.contract, entry.ref) for entry in case.refs], banned)
