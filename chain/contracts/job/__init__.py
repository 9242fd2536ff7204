"""The job contract: a contractor's bounty for the lowest loss, claimed, revealed, evaluated again by others, and paid.

Life cycle (protocol_spec/job.md has every row and formula):

    OPEN ----T0---> REVEAL ----T1---> (KEY ----T2--->) AUDIT -> COMMIT -> COUNT -> PAID | REFUNDED | EMPTY
     | claims        | reveals         | hidden data    ^ draws    | sealed   | opened
     v               v                 | needs its key  | committee| votes    | votes, verdicts
    EMPTY           EMPTY                               +----------+----------+ round two, or the next candidate

    state    event                guard                      effect
    -        PostJob              credits, sane terms        bounty, fees, deposit escrowed; OPEN until T0
    OPEN     Claim                before T0, better than     claim replaced; the first one locks a stake
                                  the own last claim
    OPEN     T0                   no claim                   EMPTY
    OPEN     T0                   claims                     the best K must reveal; REVEAL until T1
    REVEAL   Reveal               opens the commitment       the model's id is known
    REVEAL   T1                                              the silent lose; finalists; KEY or AUDIT
    KEY      RevealKey            the posted hash            AUDIT
    KEY      T2                                              deposit burned, hidden data off; AUDIT
    AUDIT                                                    committee drawn; COMMIT
    COMMIT   CommitVote           in the committee, once     last one: COUNT
    COMMIT   deadline                                        COUNT
    COUNT    OpenVote             opens the commitment       last one: verdicts
    COUNT    deadline                                        verdicts: PAID, REFUNDED, round two or next candidate

    PAID, REFUNDED, EMPTY     job_keep after the end     its records leave the state

Every state but the ends has a deadline, so every job ends; every escrow is paid out or burned; what ended leaves the state.

Files: `rules` formulas, `messages` messages, codes and bounds, `records` state, `store` reading and changing records, `handlers`
what messages do, `settle` what deadlines and verdicts do, `leaving` how what ended leaves, `views` what people and clients read,
`texts` what they are told.
"""

from __future__ import annotations

from chain.contracts.job import handlers, rules, settle, views
from chain.contracts.job.handlers import check_ballot
from chain.contracts.job.messages import (
    Ballot,
    Claim,
    CommitVote,
    HiddenSet,
    JobCode,
    OpenVote,
    PostJob,
    Reveal,
    RevealKey,
    bound,
    claim_commitment,
    deposit,
    improved,
    job_id_of,
    tolerance,
    vote_code,
    vote_commitment,
)
from chain.contracts.job.params import JobParams
from chain.contracts.job.records import ESCROWS, NUMBER, STATE, JobState, claimants
from chain.contracts.job.rules import HiddenVote, OnCheat, Result, VoteCode, probe_of
from chain.contracts.job.store import Finished
from chain.contracts.job.texts import EVENTS, FORMS, TEXTS
from chain.host import ALL, WINNERS, Archive, Contract, LiveIndex, MessageSpec
from chain.host.terms import Image, ImageKind, Limits, is_cid, is_reference, model_id
from chain.verification.scale import FloatKind

WORK = 32
"""A posting writes seven records, a claim four, each with its place in the state's tree."""


def _job(message: Claim | Reveal | RevealKey | CommitVote | OpenVote) -> bytes:
    return message.job


CONTRACT = Contract(
    name="job",
    number=NUMBER,
    messages={
        PostJob: MessageSpec(handlers.post_job, work=WORK),
        Claim: MessageSpec(handlers.claim, urgent=True, work=WORK, subject=_job),
        Reveal: MessageSpec(handlers.reveal, urgent=True, work=WORK, subject=_job, once=True),
        RevealKey: MessageSpec(handlers.reveal_key, urgent=True, work=WORK, subject=_job, once=True),
        CommitVote: MessageSpec(handlers.commit_vote, urgent=True, work=WORK, subject=_job, once=True),
        OpenVote: MessageSpec(handlers.open_vote, urgent=True, work=WORK, subject=_job, once=True),
    },
    codes=JobCode,
    params=JobParams,
    state=STATE,
    listed={b"j/": ALL, b"jn/": ALL},
    archive=Archive(records=(b"jb/", b"jc/", b"jm/", b"jp/", b"jr/", b"js/"), numbers=b"jn/"),
    events=EVENTS,
    texts=TEXTS,
    forms=FORMS,
    escrows=ESCROWS,
    live=LiveIndex(b"j/", claimants),
    services={WINNERS: Finished},
    on_due=settle.on_due,
    on_case_closed=settle.on_case_closed,
    on_give_back=settle.give_back,
    due_work=settle.due_work,
)

__all__ = [
    "CONTRACT",
    "Ballot",
    "Claim",
    "CommitVote",
    "FloatKind",
    "HiddenSet",
    "HiddenVote",
    "Image",
    "ImageKind",
    "JobCode",
    "JobParams",
    "JobState",
    "Limits",
    "OnCheat",
    "OpenVote",
    "PostJob",
    "Result",
    "Reveal",
    "RevealKey",
    "VoteCode",
    "bound",
    "check_ballot",
    "claim_commitment",
    "deposit",
    "improved",
    "is_cid",
    "is_reference",
    "job_id_of",
    "model_id",
    "probe_of",
    "rules",
    "tolerance",
    "views",
    "vote_code",
    "vote_commitment",
]
