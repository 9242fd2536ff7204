"""Membership: who belongs to the network, what their machines take, strikes and rests, suspension and the validators' word on a
ban, evidence of double signing, and the validators' word on what was parked.

Members come from genesis, by invitation or by the validators' vote (`join_policy`); validators from genesis or by vote. A FALSE
verdict on what an account delivered suspends it: a part of its credits freezes and a case opens. Until the case's end the
validators may confirm it or lift it; nobody is banned by silence, and a verdict on a job never touches the validator set.

    state   event         guard                                          effect
    -       accuse        by a contract, account not banned              min(free, amount) frozen, suspended, case open until
                                                                         clock + APPEAL
    case    accuse        by a contract                                  frozen likewise; ends at clock + APPEAL, at most
                                                                         4 * APPEAL after it opened
    case    JudgeCase     sender is a judge; no party may confirm        counted; the last word of each judge stands
    case    JudgeCase     lifted by > 1/2 of the judges                  lifted: credits returned, its verdicts count no more
    case    its end       half of the judges count, > 2/3 of those       banned: all credits burned, no verifier any more
                          confirmed; corroborated: > 1/2 of those,
                          and > 1/3 of all judges
    case    its end       otherwise                                      lapsed: credits returned; one strike for each root of
                                                                         the case, unless lifts outnumber confirmations
    -       Invite        policy, active, stands, no newcomer, fewer    open until it expires; its credits escrowed
                          than three count
    open    Join          signed by the one-time key and the newcomer,   the newcomer is a member with the inviter's root and
                          no branch above it is full                     gets the credits; the invitation was used
    open    RevokeInvite  its maker                                      over, credits returned; so at its expiry, and where its
                                                                         maker leaves or is banned
    member  Leave         no validator                                   no member: no posting, claiming, judging, inviting
    any     SetBoxKey     member, sound, another than before             its box key from now on
    any     SetCapacity   member, within bounds, not declared already    declared from now on
    any     SetTraining   member, within bounds, not declared already    declared from now on; ends with Leave and ban
    any     ReportDouble  a valid pair, in that height's set, not        the validator leaves the set from the next height on;
                          too old by blocks and time, never the last     once per validator and height

Judges are the validators of the moment but for the accused and banned ones; those who may not confirm and did not before do not
count. Where too few do, the validators may ban by a vote (governance). Corroborated: FALSE in work of two different roots
within the last month, no case of it lifted, and no OK in work of a third root.

Strikes, marks and draws carry the root of whose work it was. A strike lives a month (`standing_life`) of chain clock; with live
ones of three roots an account may not post, claim or be drawn. A verifier with more than five bad ones of its last ten draws rests
for a month and comes back with an empty record.

    messages, params, records, events  what it takes, keeps and says      members    roots, strikes, duties, what is declared
    cases      suspensions             verdicts   what a case asks of     evidence   double signing
    indexes    who can be drawn        releases   what is parked          services   what other contracts use
    invitations   made, used, ended    admission  coming, going, flags, bans and their lifting, box keys
    duties     whose word a case waits for
"""

from __future__ import annotations

from learningchain.chain.contracts.membership.admission import LEAVE_WORK, has_left, is_member, join, leave, set_box_key
from learningchain.chain.contracts.membership.cases import (
    JUDGE_WORK,
    close_case,
    confirmations_needed,
    due_work,
    judge_case,
    reinstate,
)
from learningchain.chain.contracts.membership.events import EVENTS, FORMS
from learningchain.chain.contracts.membership.evidence import report_double
from learningchain.chain.contracts.membership.indexes import Marks, Pool, Trainers, able, flagged, marked, training
from learningchain.chain.contracts.membership.invitations import (
    INVITE_WORK,
    JOIN_WORK,
    expire,
    give_back,
    invite,
    join_digest,
    revoke,
    slots_of,
)
from learningchain.chain.contracts.membership.members import (
    capacity_fault,
    first_members,
    is_verifier,
    member_in,
    root_of,
    set_capacity,
    set_training,
)
from learningchain.chain.contracts.membership.messages import (
    Invite,
    Join,
    JudgeCase,
    Leave,
    MemberCode,
    Release,
    ReportDouble,
    RevokeInvite,
    SetBoxKey,
    SetCapacity,
    SetTraining,
)
from learningchain.chain.contracts.membership.params import JoinPolicy, MemberParams
from learningchain.chain.contracts.membership.records import (
    ESCROWS,
    K_CASES,
    LONGEST_CASE,
    MAX_CASE_REFS,
    MAX_INVITATIONS,
    NUMBER,
    BanRecord,
    Branch,
    Case,
    CaseRef,
    Cases,
    Ejection,
    Invitation,
    Inviting,
    Judged,
    Member,
    PastVerdict,
    Slot,
    SlotState,
    Training,
    VotesFor,
    ban_key,
    branch_key,
    case_key,
    ejection_key,
    invitation_escrow,
    invitation_id,
    invitation_key,
    inviting_key,
    judged_key,
    member_key,
    training_key,
    votes_key,
)
from learningchain.chain.contracts.membership.releases import RELEASE_WORK, release
from learningchain.chain.contracts.membership.services import MembersService, StandingService, SuspensionsService, VerifiersService
from learningchain.chain.host import (
    ALL,
    MEMBERS,
    STANDING,
    SUSPENSIONS,
    VERIFIERS,
    Contract,
    Host,
    Listing,
    LiveIndex,
    MessageSpec,
    Power,
)


def _on_due(host: Host, ref: bytes, at: int) -> None:
    """A case by its account, or an invitation by its id."""
    if len(ref) == 32:
        expire(host, ref, at)
    else:
        close_case(host, ref, at)


def _give_back(host: Host, ref: bytes) -> None:
    if len(ref) == 32:
        give_back(host, ref)
    else:
        reinstate(host, ref)


CONTRACT = Contract(
    name="membership",
    number=NUMBER,
    messages={
        JudgeCase: MessageSpec(judge_case, urgent=True, work=JUDGE_WORK, subject=lambda m: m.account),
        ReportDouble: MessageSpec(report_double, urgent=True),
        Release: MessageSpec(release, urgent=True, work=RELEASE_WORK),
        SetCapacity: MessageSpec(set_capacity, members=True),
        Invite: MessageSpec(invite, work=INVITE_WORK, members=True),
        RevokeInvite: MessageSpec(revoke, work=LEAVE_WORK, subject=lambda m: m.invitation),
        Join: MessageSpec(join, work=JOIN_WORK, subject=lambda m: invitation_id(m.invitation), members=True),
        Leave: MessageSpec(leave, work=LEAVE_WORK, for_good=True),
        SetBoxKey: MessageSpec(set_box_key, members=True),
        SetTraining: MessageSpec(set_training, members=True),
    },
    codes=MemberCode,
    params=MemberParams,
    state={
        b"m/": Member,
        b"mb/": BanRecord,
        b"mc/": Case,
        b"me/": Ejection,
        b"mj/": Judged,
        b"mk/": Invitation,
        K_CASES: Cases,
        b"mq/": Inviting,
        b"mt/": Branch,
        b"mv/": VotesFor,
        b"mw/": Training,
    },
    listed={b"m/": Listing(lambda member: member.verifier, b"v/"), b"mc/": ALL, b"mk/": ALL, b"mv/": ALL, b"mw/": ALL},
    indexes=(Pool, Marks, Trainers),
    events=EVENTS,
    forms=FORMS,
    admission=frozenset({"banned", "ban.lifted", "joined", "left", "validator.ejected"}),
    drawn=is_verifier,
    gone=has_left,
    flags=b"m/",
    reports=ReportDouble,
    powers=frozenset({Power.STANDING, Power.VALIDATORS, Power.RELEASE, Power.ACCOUNTS, Power.MINT}),
    services={STANDING: StandingService, SUSPENSIONS: SuspensionsService, VERIFIERS: VerifiersService, MEMBERS: MembersService},
    genesis=first_members,
    on_due=_on_due,
    on_give_back=_give_back,
    escrows=ESCROWS,
    bound=(b"mk/",),
    forgotten=(b"me/",),
    live=LiveIndex(b"mk/"),
    due_work=due_work,
)

__all__ = [
    "CONTRACT",
    "INVITE_WORK",
    "JOIN_WORK",
    "JUDGE_WORK",
    "K_CASES",
    "LEAVE_WORK",
    "LONGEST_CASE",
    "MAX_CASE_REFS",
    "MAX_INVITATIONS",
    "NUMBER",
    "RELEASE_WORK",
    "BanRecord",
    "Branch",
    "Case",
    "CaseRef",
    "Cases",
    "Ejection",
    "Invitation",
    "Invite",
    "Inviting",
    "Join",
    "JoinPolicy",
    "JudgeCase",
    "Judged",
    "Leave",
    "Member",
    "MemberCode",
    "MemberParams",
    "PastVerdict",
    "Release",
    "ReportDouble",
    "RevokeInvite",
    "SetBoxKey",
    "SetCapacity",
    "SetTraining",
    "Slot",
    "SlotState",
    "Training",
    "VotesFor",
    "able",
    "ban_key",
    "branch_key",
    "capacity_fault",
    "case_key",
    "confirmations_needed",
    "ejection_key",
    "flagged",
    "has_left",
    "invitation_escrow",
    "invitation_id",
    "invitation_key",
    "inviting_key",
    "is_member",
    "join_digest",
    "judged_key",
    "marked",
    "member_in",
    "member_key",
    "reinstate",
    "root_of",
    "slots_of",
    "training",
    "training_key",
    "votes_key",
]
