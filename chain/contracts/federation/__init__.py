"""The federation contract: a sponsor posts a model, members train it on data that stay with them, progress is paid.

Life cycle (protocol_spec/federation.md has every row and formula):

    IDLE --start, d blocks--> DRAW -> READY -> TRAIN -> HAVE -> ROWS -> SCREEN -> SUM -> MEASURE -> OPEN -> settle --> IDLE | END
                                |                                                           ^
                                +-- r = 0: the initial model ------> KEY (hidden file) -----+
    any attempt that comes to nothing: VOID --> IDLE, the same r

    state    event                  guard                              effect
    -        OpenFederation         active, standing, sane, room       B and F locked; IDLE
    any      JoinFederation, ...    its own                            members, from the next start on
    IDLE     StartRound             sponsor, r; who is needed is there DRAW, d blocks later the draw
    IDLE     deadline                                                  END ABANDONED, EXPIRED
    KEY      SealKey                a box for each seat                MEASURE; its deadline: END NOKEY
    READY    ReadyKey               drawn, once                        the last one: TRAIN; its deadline: others follow, or VOID
    TRAIN    CommitUpdate, Refer..  of the roster, once                the last one, or its deadline: HAVE or VOID
    HAVE     HaveUpdates            drawn, once                        the last one, or its deadline: ROWS or VOID
    SCREEN   PinParts, Screen...    deciding, once                     the last one, or its deadline: SUM or VOID
    SUM      PinParts, SumUpdates   deciding, once                     the last one, or its deadline: MEASURE or VOID
             with cells: SealParts by all three, then PinSealed by all three, then the Screen, or SumCells
    MEASURE  CommitMeasure          has a seat, once                   the last one, or its deadline: OPEN
    OPEN     OpenMeasure            opens the commitment               the last one, or its deadline: settled, or MEASURE again
    END      deadline                                                  its records leave the state

Every state has a deadline, so every federation ends; every escrow is paid out or burned; what ended leaves the state.

    messages, formulas, params   what it takes, and the numbers      records, store    state; reading and changing it
    guards -> opening, members, starting, aggregating, screening, measuring    what messages do
    cells, steps, cell_formulas  the same where few values are summed in a cell, from DRAW to the panel's lists
    deadlines -> the same, ends  what deadlines do                   pool              who is drawn
    duties, indexes              what is asked of whom               events            what it notes
"""

from __future__ import annotations

from learningchain.chain.contracts.federation import (
    aggregating,
    cells,
    deadlines,
    indexes,
    measuring,
    members,
    opening,
    screening,
    starting,
)
from learningchain.chain.contracts.federation.events import EVENTS, FORMS
from learningchain.chain.contracts.federation.messages import (
    AdmitMember,
    AggregationRule,
    CloseFederation,
    CommitMeasure,
    CommitUpdate,
    FederationCode,
    FederationTerms,
    FileCode,
    HaveUpdates,
    JoinFederation,
    LeaveFederation,
    MaskDigest,
    MeasureCode,
    ModelMeasure,
    NewData,
    OpenFederation,
    OpenMeasure,
    OpenSteps,
    PartStage,
    PaySplit,
    PinParts,
    PinSealed,
    ReadyKey,
    ReferUpdate,
    RemoveMember,
    ScreenUpdates,
    SealKey,
    SealParts,
    Secrecy,
    ServeCells,
    ServeFederation,
    StartRound,
    SumCells,
    SumUpdates,
    VaultModel,
    federation_id_of,
    measure_commitment,
)
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.contracts.federation.records import (
    ESCROWS,
    FEDERATIONS,
    LISTED,
    LIVE,
    LIVE_INDEX,
    NUMBER,
    STATE,
    EndReason,
    FederationState,
    MemberState,
    RoundOutcome,
    VoidReason,
)
from learningchain.chain.contracts.federation.store import BestModels
from learningchain.chain.host import TRAINED, Archive, Contract, MessageSpec

WORK, SMALL = 32, 8
"""LC-FED-52: in transfers of a batch; who sets a deadline is 32 at least."""
EVERY_MEMBER = 128
"""Joining looks at every member, opening and starting at as many verifiers as have to be able. The last word of an attempt or of a
panel decides it in its message, and may change or pay every member: as much as sharing a royalty among so many."""


def _federation(message: JoinFederation) -> bytes:
    """Of any message about one."""
    return message.federation


CONTRACT = Contract(
    name="federation",
    number=NUMBER,
    messages={
        OpenFederation: MessageSpec(opening.open_federation, work=EVERY_MEMBER, members=True),
        JoinFederation: MessageSpec(members.join_federation, work=EVERY_MEMBER, subject=_federation, members=True),
        AdmitMember: MessageSpec(members.admit_member, work=EVERY_MEMBER, subject=_federation),
        RemoveMember: MessageSpec(members.remove_member, work=SMALL, subject=_federation),
        LeaveFederation: MessageSpec(members.leave_federation, work=SMALL, subject=_federation),
        NewData: MessageSpec(members.new_data, work=EVERY_MEMBER, subject=_federation),
        StartRound: MessageSpec(starting.start_round, work=EVERY_MEMBER, subject=_federation),
        SealKey: MessageSpec(measuring.seal_key, work=WORK, subject=_federation),
        ReadyKey: MessageSpec(aggregating.ready_key, urgent=True, work=WORK, subject=_federation, once=True),
        CommitUpdate: MessageSpec(aggregating.commit_update, urgent=True, work=WORK, subject=_federation, once=True),
        ReferUpdate: MessageSpec(aggregating.refer_update, urgent=True, work=WORK, subject=_federation, once=True),
        HaveUpdates: MessageSpec(aggregating.have_updates, urgent=True, work=EVERY_MEMBER, subject=_federation, once=True),
        PinParts: MessageSpec(screening.pin_parts, urgent=True, work=EVERY_MEMBER, subject=_federation, once=True),
        ScreenUpdates: MessageSpec(screening.screen_updates, urgent=True, work=EVERY_MEMBER, subject=_federation, once=True),
        SumUpdates: MessageSpec(screening.sum_updates, urgent=True, work=EVERY_MEMBER, subject=_federation, once=True),
        CommitMeasure: MessageSpec(measuring.commit_measure, urgent=True, work=WORK, subject=_federation, once=True),
        OpenMeasure: MessageSpec(measuring.open_measure, urgent=True, work=EVERY_MEMBER, subject=_federation, once=True),
        CloseFederation: MessageSpec(starting.close_federation, work=WORK, subject=_federation),
        ServeFederation: MessageSpec(members.serve_federation, work=SMALL, members=True),
        VaultModel: MessageSpec(members.vault_model, work=SMALL, subject=_federation),
        SealParts: MessageSpec(cells.seal_parts, urgent=True, work=WORK, subject=_federation, once=True),
        ServeCells: MessageSpec(cells.serve_cells, work=SMALL, members=True),
        PinSealed: MessageSpec(cells.pin_sealed, urgent=True, work=EVERY_MEMBER, subject=_federation, once=True),
        SumCells: MessageSpec(cells.sum_cells, urgent=True, work=EVERY_MEMBER, subject=_federation, once=True),
        OpenSteps: MessageSpec(measuring.open_steps, urgent=True, work=EVERY_MEMBER, subject=_federation, once=True),
    },
    codes=FederationCode,
    params=FederationParams,
    state=STATE,
    listed=LISTED,
    services={TRAINED: BestModels},
    indexes=indexes.INDEXES,
    archive=Archive(records=(b"fb/", b"fm/", b"fp/", b"fr/"), numbers=FEDERATIONS.prefix),
    events=EVENTS,
    forms=FORMS,
    escrows=ESCROWS,
    live=LIVE_INDEX,
    on_due=deadlines.on_due,
    on_give_back=deadlines.give_back,
    bound=(LIVE,),
    due_work=deadlines.due_work,
)

__all__ = [
    "CONTRACT",
    "AdmitMember",
    "AggregationRule",
    "CloseFederation",
    "CommitMeasure",
    "CommitUpdate",
    "EndReason",
    "FederationCode",
    "FederationParams",
    "FederationState",
    "FederationTerms",
    "FileCode",
    "HaveUpdates",
    "JoinFederation",
    "LeaveFederation",
    "MaskDigest",
    "MeasureCode",
    "MemberState",
    "ModelMeasure",
    "NewData",
    "OpenFederation",
    "OpenMeasure",
    "OpenSteps",
    "PartStage",
    "PaySplit",
    "PinParts",
    "PinSealed",
    "ReadyKey",
    "ReferUpdate",
    "RemoveMember",
    "RoundOutcome",
    "ScreenUpdates",
    "SealKey",
    "SealParts",
    "Secrecy",
    "ServeCells",
    "ServeFederation",
    "StartRound",
    "SumCells",
    "SumUpdates",
    "VaultModel",
    "VoidReason",
    "federation_id_of",
    "measure_commitment",
]
