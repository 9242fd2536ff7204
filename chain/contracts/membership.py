"""Membership: who belongs to the network, strikes, suspension and the validators' vote on a ban, evidence of double signing, and
the validators' vote on what was parked.

Members and validators come from genesis. A false claim suspends an identity: its free credits freeze and a case opens. Until the
case's end the validators may confirm it or lift it; a verdict on a job never touches the validator set.

    state      event          guard                                              effect
    -          suspend        by a contract, account active                      credits frozen, case open until clock + APPEAL
    case       suspend again  another reference                                  reference added; another accuser corroborates
    case       corroborate    by a contract, for a reference of the case         case corroborated
    case       JudgeCase      sender is a validator, once per side               counted (a changed mind moves the vote)
    case       deadline       confirmed by > 2/3 of the validators, or           banned: frozen credits burned
                              corroborated and not lifted by > 2/3
    case       deadline       otherwise                                          credits returned, one strike
    any        ReportDouble   a valid pair, in that height's set, not older      the validator leaves the set from the next
                              than evidence_age, never the last validator        height on; once per validator and height

A strike lives `strike_life` of chain clock. With three live ones an identity may not post, claim or be drawn; a verifier that
fails more than five of its last ten draws loses its verifier flag.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Any

from msgspec import Meta

from chain.codec import Wire
from chain.crypto import account_id, address
from chain.errors import Reject
from chain.host import (
    STRIKES,
    SUSPENSIONS,
    VERIFIERS,
    Contract,
    Data,
    Datum,
    Form,
    GenesisAccount,
    Host,
    KVStore,
    Listing,
    MessageSpec,
    Parked,
    Power,
    Reader,
    parked_key,
)
from chain.params import ContractParams, Span
from chain.types import (
    AccountId,
    Evidence,
    Height,
    ProposalEvidence,
    Uint,
    proposal_is_signed,
    quorum,
    signer_of,
    vote_is_signed,
)

NUMBER = 2
MAX_STRIKES = 3
"""Live strikes that stop posting, claiming and drawing."""
DRAWS_KEPT = 10
DRAWS_FAILED = 5
KEPT_STRIKES = 16
MAX_CASE_REFS = 64
RELEASE_WORK = 128
"""The last word may give back a page of stakes."""
MAX_SCAN = 65_536
"""Members that a scan looks at: the bound on a network's size."""


class MemberCode(IntEnum):
    NOT_A_VALIDATOR = 200
    NO_CASE = 201
    ALREADY_VOTED = 202
    BAD_EVIDENCE = 203
    OLD_EVIDENCE = 204
    KNOWN_EVIDENCE = 205
    LAST_VALIDATOR = 206
    NOT_PARKED = 207
    NOTHING_TO_GIVE_BACK = 208


class MemberParams(ContractParams, frozen=True, kw_only=True):
    """What genesis fixes for membership. Times in milliseconds of the chain clock."""

    appeal: Span = 3_600_000
    """APPEAL: how long a suspended identity's credits stay frozen before the verdict is final."""
    strike_life: Span = 30 * 24 * 3_600_000


class Member(Wire, frozen=True):
    """`verifier_since` is the chain clock at which the flag was set; `strikes` are the clocks at which they end; `draws` the last
    ten, oldest first, true where the duty was done."""

    verifier: bool
    verifier_since: Uint
    strikes: Annotated[list[Uint], Meta(max_length=KEPT_STRIKES)]
    draws: Annotated[list[bool], Meta(max_length=DRAWS_KEPT)]


class CaseRef(Wire, frozen=True):
    ref: Annotated[bytes, Meta(max_length=64)]
    contract: Uint
    accuser: AccountId


class Case(Wire, frozen=True):
    """An open suspension: what it is for, until when it can be judged, and how the validators judged."""

    until: Uint
    refs: Annotated[list[CaseRef], Meta(max_length=MAX_CASE_REFS)]
    corroborated: bool
    confirm: list[AccountId]
    lift: list[AccountId]


class Ejection(Wire, frozen=True):
    """A double signing at `height` that was dealt with."""

    height: Height


class JudgeCase(Wire, frozen=True, tag=64):
    """LC-MEM-6: a validator's word on an open case: `confirm` the ban, or lift it."""

    account: AccountId
    confirm: bool


class ReportDouble(Wire, frozen=True, tag=65):
    """LC-MEM-10, 11, 12"""

    evidence: Evidence


class Release(Wire, frozen=True, tag=66):
    """LC-MEM-13: a validator's word on a parked reference: run again what it missed, or (`give_back`) end it."""

    contract: Annotated[int, Meta(ge=0, le=255)]
    ref: Annotated[bytes, Meta(max_length=64)]
    give_back: bool


def member_key(identity: bytes) -> bytes:
    return b"m/" + identity


def case_key(identity: bytes) -> bytes:
    return b"mc/" + identity


def ejection_key(identity: bytes, height: int) -> bytes:
    return b"me/" + identity + height.to_bytes(8, "big")


# --- services for other contracts ---------------------------------------------------------------------------------------------


def _member(host: Host, identity: bytes) -> Member:
    return host.get(member_key(identity), Member) or Member(False, 0, [], [])


def strike(host: Host, identity: bytes, reason: str, ref: bytes) -> None:
    """LC-MEM-1"""
    m = _member(host, identity)
    live = [end for end in m.strikes if end > host.clock]
    strikes = sorted([*live, host.clock + host.params_of(MemberParams).strike_life])[-KEPT_STRIKES:]
    host.put(member_key(identity), Member(m.verifier, m.verifier_since, strikes, m.draws))
    host.emit("strike", identity, reason, ref)


def live_strikes(host: Host, identity: bytes) -> int:
    member = host.get(member_key(identity), Member)
    return sum(end > host.clock for end in member.strikes) if member and member.strikes else 0


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


def verifiers(host: Host, since_before: int) -> list[bytes]:
    """LC-MEM-2: active identities with a verifier flag older than `since_before` and less than three live strikes, by id."""
    return [
        key[2:]
        for key, m in host.store.scan(b"m/", MAX_SCAN)
        if m.verifier
        and m.verifier_since < since_before
        and sum(end > host.clock for end in m.strikes) < MAX_STRIKES
        and host.is_active(key[2:])
    ]


def record_draw(host: Host, identity: bytes, good: bool) -> None:
    """LC-MEM-3: count a committee duty done or failed; too many failures end the verifier flag."""
    m = _member(host, identity)
    draws = [*m.draws, good][-DRAWS_KEPT:]
    keeps = m.verifier and draws.count(False) <= DRAWS_FAILED
    host.put(member_key(identity), Member(keeps, m.verifier_since, m.strikes, draws))
    if m.verifier and not keeps:
        host.emit("verifier.off", identity)


class _Strikes:
    def __init__(self, host: Host) -> None:
        self._host = host

    def add(self, identity: bytes, reason: str, ref: bytes) -> None:
        strike(self._host, identity, reason, ref)

    def live(self, identity: bytes) -> int:
        return live_strikes(self._host, identity)


class _Suspensions:
    def __init__(self, host: Host) -> None:
        self._host = host

    def suspend(self, identity: bytes, ref: bytes, accuser: bytes, contract: int) -> None:
        suspend(self._host, identity, ref, accuser, contract)

    def corroborate(self, identity: bytes, ref: bytes) -> None:
        corroborate(self._host, identity, ref)

    def appeal_ms(self) -> int:
        return self._host.params_of(MemberParams).appeal


class _Verifiers:
    def __init__(self, host: Host) -> None:
        self._host = host

    def since(self, before: int) -> list[bytes]:
        return verifiers(self._host, before)

    def count_draw(self, identity: bytes, good: bool) -> None:
        record_draw(self._host, identity, good)


# --- messages -----------------------------------------------------------------------------------------------------------------


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


def report_double(host: Host, sender: bytes, m: ReportDouble) -> None:
    a, offender = m.evidence.a, signer_of(m.evidence)
    then = host.validators_at(a.height)
    if a.height + host.params.evidence_age < host.height or a.height > host.height or then is None:
        raise Reject(MemberCode.OLD_EVIDENCE, "the evidence is too old, or from a height that is not decided")
    key = next((v.key for v in then if v.id == offender), None)
    if key is None or not is_double(host.chain_id, m.evidence, key):
        raise Reject(MemberCode.BAD_EVIDENCE, "these are not two conflicting signatures of one validator of that height")
    if host.get(ejection_key(offender, a.height), Ejection) is not None:
        raise Reject(MemberCode.KNOWN_EVIDENCE, "this double signing was dealt with")
    present = host.validators()
    remaining = [v for v in present if v.id != offender]
    if not remaining:
        raise Reject(MemberCode.LAST_VALIDATOR, "the last validator cannot be removed")
    host.put(ejection_key(offender, a.height), Ejection(a.height))
    if len(remaining) == len(present):
        # It left already: another change of the set would only push older sets out of the history.
        host.emit("double.signing", offender, a.height)
        return
    host.change_validators(remaining)
    host.emit("validator.ejected", offender, a.height)


def release(host: Host, sender: bytes, m: Release) -> None:
    """LC-MEM-13"""
    validators = {v.id for v in host.validators()}
    if sender not in validators:
        raise Reject(MemberCode.NOT_A_VALIDATOR, "only validators release what is parked")
    parked = host.parked(m.contract, m.ref)
    if parked is None:
        raise Reject(MemberCode.NOT_PARKED, "it is not parked")
    contract = host.contracts.get(m.contract)
    if m.give_back and (contract is None or contract.on_give_back is None):
        raise Reject(MemberCode.NOTHING_TO_GIVE_BACK, "this contract holds nothing for its references: it can only run again")
    if sender in (parked.give_back if m.give_back else parked.retry):
        raise Reject(MemberCode.ALREADY_VOTED, "this word is recorded already")
    said = sorted({*(parked.give_back if m.give_back else parked.retry), sender} & validators)
    other = sorted(({*(parked.retry if m.give_back else parked.give_back)} - {sender}) & validators)
    host.emit("release.voted", m.ref, m.contract, sender, "give back" if m.give_back else "retry")
    if len(said) >= quorum(len(validators)):
        host.release(m.contract, m.ref, give_back=m.give_back)
    else:
        words = (other, said) if m.give_back else (said, other)
        host.put(parked_key(m.contract, m.ref), Parked(parked.height, parked.reason, parked.held, *words))


def reinstate(host: Host, identity: bytes) -> None:
    """LC-MEM-14: a parked case ends without a verdict: the account is active again, and nothing is held against it."""
    case = host.get(case_key(identity), Case)
    if case is None:
        return
    host.delete(case_key(identity))
    host.unfreeze(identity, case.refs[0].ref)
    host.emit("reinstated", identity, case.refs[0].ref)
    host.close_case(identity, [(r.contract, r.ref) for r in case.refs], False)


def is_double(chain_id: bytes, evidence: Evidence, key: bytes) -> bool:
    """Two signatures of `key` that no honest validator makes: same type, height and round, different content."""
    if isinstance(evidence, ProposalEvidence):
        p, q = evidence.a, evidence.b
        same = (p.height, p.round, p.proposer) == (q.height, q.round, q.proposer)
        return same and p.block_id != q.block_id and all(proposal_is_signed(chain_id, x, key) for x in (p, q))
    v, w = evidence.a, evidence.b
    same = (v.type, v.height, v.round, v.validator) == (w.type, w.height, w.round, w.validator)
    return same and v.block_id != w.block_id and all(vote_is_signed(chain_id, x, key) for x in (v, w))


def is_verifier(reader: Reader, identity: bytes) -> bool:
    """LC-MEM-2: silence in a committee would be struck, an abstention is not: such a node has to answer."""
    member = reader.get(member_key(identity))
    return isinstance(member, Member) and member.verifier


def _first_members(store: KVStore, accounts: Iterable[GenesisAccount]) -> None:
    for a in accounts:
        store.put(member_key(account_id(a.key)), Member(a.verifier, 0, [], []))


_JOB = Datum("job", Form.HASH)
_CONTRACT = Datum("contract", Form.CONTRACT)
EVENTS: dict[str, Data] = {
    "strike": (Datum("reason", Form.TEXT), _JOB),
    "suspended": (_JOB, Datum("until", Form.TIME)),
    "case.corroborated": (_JOB,),
    "case.judged": (Datum("validator", Form.ID), Datum("judgement", Form.TEXT)),
    "verifier.off": (),
    "banned": (_JOB,),
    "reinstated": (_JOB,),
    "double.signing": (Datum("height"),),
    "validator.ejected": (Datum("height"),),
    "release.voted": (_CONTRACT, Datum("validator", Form.ID), Datum("word", Form.TEXT)),
}
TEXTS: dict[int, tuple[str, str]] = {
    MemberCode.NOT_A_VALIDATOR: ("only validators judge and release", "Send this from a validator's node"),
    MemberCode.NO_CASE: ("there is no open case against this account", "GET /v1/accounts/{id} shows whether a case is open"),
    MemberCode.ALREADY_VOTED: ("this word is recorded already", "Nothing to do; the opposite word would replace it"),
    MemberCode.BAD_EVIDENCE: ("the evidence shows no double signing", "Send two conflicting signatures of one validator"),
    MemberCode.OLD_EVIDENCE: ("the evidence is too old, or of a height that is not decided", "Nothing to do"),
    MemberCode.KNOWN_EVIDENCE: ("this double signing was dealt with", "Nothing to do"),
    MemberCode.LAST_VALIDATOR: ("the last validator cannot be removed", "Nothing to do"),
    MemberCode.NOT_PARKED: ("this is not parked", "GET /v1/status lists what is parked"),
    MemberCode.NOTHING_TO_GIVE_BACK: ("this contract holds nothing that could be given back", "Release it to run again"),
}
CONTRACT = Contract(
    name="membership",
    number=NUMBER,
    messages={
        JudgeCase: MessageSpec(judge_case, urgent=True, subject=lambda m: m.account),
        ReportDouble: MessageSpec(report_double, urgent=True),
        Release: MessageSpec(release, urgent=True, work=RELEASE_WORK),
    },
    codes=MemberCode,
    params=MemberParams,
    state={b"m/": Member, b"mc/": Case, b"me/": Ejection},
    listed={b"m/": Listing(lambda member: member.verifier, b"v/")},
    events=EVENTS,
    texts=TEXTS,
    forms={"Release.contract": Form.CONTRACT},
    admission=frozenset({"banned", "validator.ejected"}),
    drawn=is_verifier,
    reports=ReportDouble,
    powers=frozenset({Power.STANDING, Power.VALIDATORS, Power.RELEASE}),
    services={STRIKES: _Strikes, SUSPENSIONS: _Suspensions, VERIFIERS: _Verifiers},
    genesis=_first_members,
    on_due=close_case,
    on_give_back=reinstate,
    due_work=due_work,
)
