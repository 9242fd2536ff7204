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

    messages, params, records, texts   what it takes, keeps and says      members    strikes, who may be drawn
    cases      suspensions             evidence   double signing          releases   what is parked
    services   what other contracts use
"""

from __future__ import annotations

from chain.contracts.membership.cases import close_case, corroborate, due_work, judge_case, reinstate, suspend
from chain.contracts.membership.evidence import report_double
from chain.contracts.membership.members import first_members, is_verifier, record_draw, strike, verifiers
from chain.contracts.membership.messages import JudgeCase, MemberCode, Release, ReportDouble
from chain.contracts.membership.params import MemberParams
from chain.contracts.membership.records import NUMBER, Case, CaseRef, Ejection, Member, case_key, ejection_key, member_key
from chain.contracts.membership.releases import RELEASE_WORK, release
from chain.contracts.membership.services import StrikesService, SuspensionsService, VerifiersService
from chain.contracts.membership.texts import EVENTS, FORMS, TEXTS
from chain.host import STRIKES, SUSPENSIONS, VERIFIERS, Contract, Listing, MessageSpec, Power

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
    forms=FORMS,
    admission=frozenset({"banned", "validator.ejected"}),
    drawn=is_verifier,
    reports=ReportDouble,
    powers=frozenset({Power.STANDING, Power.VALIDATORS, Power.RELEASE}),
    services={STRIKES: StrikesService, SUSPENSIONS: SuspensionsService, VERIFIERS: VerifiersService},
    genesis=first_members,
    on_due=close_case,
    on_give_back=reinstate,
    due_work=due_work,
)

__all__ = [
    "CONTRACT",
    "NUMBER",
    "RELEASE_WORK",
    "Case",
    "CaseRef",
    "Ejection",
    "JudgeCase",
    "Member",
    "MemberCode",
    "MemberParams",
    "Release",
    "ReportDouble",
    "case_key",
    "corroborate",
    "ejection_key",
    "member_key",
    "record_draw",
    "reinstate",
    "strike",
    "suspend",
    "verifiers",
]
