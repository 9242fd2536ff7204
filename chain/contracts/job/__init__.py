"""The job contract: a contractor's bounty for the lowest loss, claimed, revealed, evaluated again by others, and paid.

Life cycle (protocol_spec/job.md has every row and formula):

    OPEN ---T0--> REVEAL ---T1--> (KEY ---T2--->) DRAW --d blocks--> COMMIT -> COUNT -> PAID | REFUNDED | EMPTY
     | claims       | reveals       | hidden data  ^  committee      | sealed  | opened
     v              v               | needs a key  |  drawn          | votes   | votes, verdicts
    EMPTY          EMPTY                           +---------------- +---------+ round two, or the next candidate

    state    event                guard                          effect
    -        PostJob              credits, sane terms, enough    bounty, fees, bond, deposit escrowed; OPEN until T0
                                  who can judge
    OPEN     CancelJob, ExtendJob its contractor, no claim       EMPTY; a later T0
    OPEN     Claim                before T0, better than the     claim replaced; the first one locks the full stake or none
                                  own last claim
    OPEN     T0                   no claim                       EMPTY
    OPEN     T0                   claims                         their order is drawn, the best K must reveal; REVEAL until T1
    REVEAL   Reveal               opens the commitment           the model's id is known; the last one: T1 is now
    REVEAL   T1                                                  the silent lose; finalists; KEY or DRAW
    KEY      RevealKey            the posted hash                DRAW
    KEY      T2                                                  deposit burned, hidden data off; DRAW
    DRAW     d blocks later                                      committees by that block's beacon; COMMIT
    COMMIT   CommitVote           has a seat, once               the last one: the deadline is now
    COMMIT   deadline                                            the probe is drawn; COUNT
    COUNT    OpenVote             opens the commitment, the      one column is shown; the last one: the deadline
                                  proof holds                    is now
    COUNT    deadline                                            verdicts: PAID, REFUNDED, round two or next candidate

    PAID, REFUNDED, EMPTY         job_keep after the end         its records leave the state

What is long (ranks, verdicts, fees) is always a deadline's, never a message's: so it is weighed, and bounded in a block.
Every state but the ends has a deadline, so every job ends; every escrow is paid out or burned; what ended leaves the state.

    messages  messages, codes and bounds    params  what genesis fixes    records  state    store  reading and changing it
    guards -> posting, claiming, voting     what messages do
    deadlines -> claims, draws, verdicts    what deadlines do: T0 to T2, committees, verdicts and what follows
    rewards, ends, leaving                  who is paid and struck, where escrows go, how what ended leaves
    duties, events                          what machines are to do, what it notes
"""

from __future__ import annotations

from learningchain.chain.contracts.job import claiming, deadlines, ends, posting, voting
from learningchain.chain.contracts.job.events import EVENTS, FORMS
from learningchain.chain.contracts.job.messages import (
    OPEN_VOTE_MOST,
    WORK,
    Ballot,
    CancelJob,
    Claim,
    CommitVote,
    ExtendJob,
    JobCode,
    OnCheat,
    OpenVote,
    PostJob,
    Reveal,
    RevealKey,
    ballot_code,
    bound,
    claim_commitment,
    deposit,
    improved,
    job_id_of,
    open_vote_work,
    tolerance,
    vote_commitment,
)
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.job.records import ESCROWS, NUMBER, STATE, JobState, Line, Result, claimants, is_party
from learningchain.chain.contracts.job.store import Finished
from learningchain.chain.contracts.job.voting import check_ballot
from learningchain.chain.host import ALL, WINNERS, Archive, Contract, LiveIndex, MessageSpec
from learningchain.chain.host.terms import Arch, Capacity, HiddenSet, Image, ImageKind, Limits, is_cid, is_reference, model_id
from learningchain.chain.verification.scale import FloatKind
from learningchain.chain.verification.votes import BallotCode


def _job(message: Claim | Reveal | RevealKey | CommitVote | OpenVote | CancelJob | ExtendJob) -> bytes:
    return message.job


CONTRACT = Contract(
    name="job",
    number=NUMBER,
    messages={
        PostJob: MessageSpec(posting.post_job, work=WORK, members=True),
        Claim: MessageSpec(claiming.claim, urgent=True, work=WORK, subject=_job, members=True),
        Reveal: MessageSpec(claiming.reveal, urgent=True, work=WORK, subject=_job, once=True),
        RevealKey: MessageSpec(claiming.reveal_key, urgent=True, work=WORK, subject=_job, once=True),
        CommitVote: MessageSpec(voting.commit_vote, urgent=True, work=WORK, subject=_job, once=True),
        OpenVote: MessageSpec(
            voting.open_vote, urgent=True, work=open_vote_work, work_most=OPEN_VOTE_MOST, subject=_job, once=True
        ),
        CancelJob: MessageSpec(posting.cancel_job, work=WORK, subject=_job),
        ExtendJob: MessageSpec(posting.extend_job, work=WORK, subject=_job),
    },
    codes=JobCode,
    params=JobParams,
    state=STATE,
    listed={b"j/": ALL, b"jn/": ALL},
    archive=Archive(records=(b"jb/", b"jc/", b"jm/", b"jp/", b"jr/", b"js/"), numbers=b"jn/"),
    events=EVENTS,
    forms=FORMS,
    escrows=ESCROWS,
    live=LiveIndex(b"j/", claimants),
    services={WINNERS: Finished},
    on_due=deadlines.on_due,
    on_case_closed=deadlines.on_case_closed,
    on_give_back=ends.give_back,
    bound=(b"j/",),
    due_work=deadlines.due_work,
    party=is_party,
)

__all__ = [
    "CONTRACT",
    "Arch",
    "Ballot",
    "BallotCode",
    "CancelJob",
    "Capacity",
    "Claim",
    "CommitVote",
    "ExtendJob",
    "FloatKind",
    "HiddenSet",
    "Image",
    "ImageKind",
    "JobCode",
    "JobParams",
    "JobState",
    "Limits",
    "Line",
    "OnCheat",
    "OpenVote",
    "PostJob",
    "Result",
    "Reveal",
    "RevealKey",
    "ballot_code",
    "bound",
    "check_ballot",
    "claim_commitment",
    "deposit",
    "improved",
    "is_cid",
    "is_reference",
    "job_id_of",
    "model_id",
    "tolerance",
    "vote_commitment",
]
