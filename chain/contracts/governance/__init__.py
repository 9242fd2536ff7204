"""Governance: what more than two thirds of all validators decide (LC-GOV-1 to LC-GOV-10).

A validator proposes an action, which is its yes as well; validators vote until the proposal's time is over. It is decided in the
block of the vote that brings the quorum of the set that signs that block: words of those that left the set count for nothing, those
of suspended validators count as any. Once decided, an action is done in the same block, and has its effect from the next one on.
The validator set changes once a block; what comes second waits, and is counted again in the next block.

    state    event              guard                                            effect
    -        Propose            validator, fewer than 8 open, the action can     open until `expires`, with the sender's yes
                                be done
    open     VoteProposal       validator, another word than its last            recorded; words of who left are dropped
    open     VoteProposal       the same yes again, and it decides               decided
    open     yes of > 2/3       the action changes no set, or none changed yet   done
    open     yes of > 2/3       the set changed in this block                    waits for the next block
    open     no of >= 1/3       the quorum cannot be reached any more            rejected
    open     Withdraw           its proposer                                     withdrawn
    open     its time is over                                                    expired
    waits    the next block     still more than 2/3 of the set                   done, or it waits again
    waits    the next block     otherwise                                        open, or expired where its time is over
    decided  -                  the action cannot be done any more               failed

    messages, params, records, events   what it takes, keeps and says      actions   what can be asked for      proposals   votes
    duties  whose word is waited for
"""

from __future__ import annotations

from learningchain.chain.contracts.governance.events import EVENTS, FORMS
from learningchain.chain.contracts.governance.messages import (
    MAX_OPEN,
    Action,
    ActionKind,
    AddValidator,
    Admit,
    Ban,
    GovernanceCode,
    LiftBan,
    ParamValue,
    Propose,
    Remove,
    RemoveValidator,
    SetParameters,
    SetVerifier,
    Upgrade,
    VoteProposal,
    Withdraw,
    kind_of,
)
from learningchain.chain.contracts.governance.params import GovernanceParams
from learningchain.chain.contracts.governance.proposals import WORK, give_back, on_due, propose, vote, withdraw
from learningchain.chain.contracts.governance.records import (
    NUMBER,
    OpenCount,
    OpenProposal,
    count_key,
    proposal,
    proposal_id,
    proposal_key,
    proposals,
)
from learningchain.chain.host import ALL, Contract, MessageSpec, Power

CONTRACT = Contract(
    name="governance",
    number=NUMBER,
    messages={
        Propose: MessageSpec(propose, urgent=True, work=WORK),
        VoteProposal: MessageSpec(vote, urgent=True, work=WORK, subject=lambda m: m.proposal),
        Withdraw: MessageSpec(withdraw, urgent=True, work=WORK, subject=lambda m: m.proposal),
    },
    codes=GovernanceCode,
    params=GovernanceParams,
    state={b"op/": OpenProposal, b"oc/": OpenCount},
    listed={b"op/": ALL},
    events=EVENTS,
    forms=FORMS,
    admission=frozenset({"validator.added", "validator.removed"}),
    powers=frozenset({Power.VALIDATORS, Power.PARAMS}),
    on_due=on_due,
    on_give_back=give_back,
    bound=(b"op/",),
)

__all__ = [
    "CONTRACT",
    "MAX_OPEN",
    "NUMBER",
    "WORK",
    "Action",
    "ActionKind",
    "AddValidator",
    "Admit",
    "Ban",
    "GovernanceCode",
    "GovernanceParams",
    "LiftBan",
    "OpenCount",
    "OpenProposal",
    "ParamValue",
    "Propose",
    "Remove",
    "RemoveValidator",
    "SetParameters",
    "SetVerifier",
    "Upgrade",
    "VoteProposal",
    "Withdraw",
    "count_key",
    "kind_of",
    "proposal",
    "proposal_id",
    "proposal_key",
    "proposals",
]
