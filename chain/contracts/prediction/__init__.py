"""The prediction contract: owners register trained models, members serve them, requesters ask, and who agrees is paid.

Life cycle of a request (protocol_spec/predictions.md has every row and formula):

    WAITING --pump, d blocks--> KEYS --> ANSWER --> OPEN --> AGREED | WEAK | FAILED
       |                     (private)     |  ^       |            |  appeal: APPEAL, d blocks, KEYS, ANSWER, OPEN
       v                                   v  |       v            v
     FAILED                               REDRAW    verdict -----> FINAL

    state    event                 guard                             effect
    -        RequestPrediction     active, standing, sane, enough    X locked, in the queue; WAITING until posted + wait
                                   servers, room
    WAITING  AddTip, CancelRequest its requester                     a better place; FAILED
    WAITING  pump of the model     d blocks old, seats are free      seats drawn; KEYS of a private one, else ANSWER
    KEYS     GiveKeys              a box for each seat               ANSWER
    ANSWER   CommitAnswer          has a seat, once                  the last one: the deadline is now
    ANSWER   deadline              somebody is silent, others left   REDRAW: substitutes d blocks later
    ANSWER   deadline              enough commitments                OPEN
    OPEN     OpenAnswer            opens the commitment              the last one: the deadline is now
    OPEN     deadline                                                tally: paid and AGREED, WEAK, or FAILED; of an appeal the
                                                                     verdict, FINAL
    AGREED   AppealAnswer          the first one, a bond             APPEAL: judges d blocks later
    AGREED   deadline                                                FINAL

    FAILED, FINAL                  pred_keep after the end           its result leaves the state

Every state but the ends has a deadline, so every request ends; every escrow is paid out or burned; what ended leaves the state.

    messages, formulas, params   what it takes, and the numbers      records, store    state; reading and changing it
    guards -> models, serving, requests, answers, appeals, policies  what messages do
    deadlines -> queue, pool, rounds, settling, judging, ends        what deadlines do
    tally, payouts, histories, verdicts, decisions, blinding         pure: what answers come to, and who gets what of it
    retiring                     how servers leave and models end    events            what it notes
    duties                       what is asked of whom
"""

from __future__ import annotations

from learningchain.chain.contracts.prediction import (
    answers,
    appeals,
    deadlines,
    models,
    policies,
    queue,
    requests,
    retiring,
    serving,
)
from learningchain.chain.contracts.prediction.events import EVENTS, FORMS
from learningchain.chain.contracts.prediction.messages import (
    AddTip,
    AppealAnswer,
    CancelRequest,
    CommitAnswer,
    GiveKeys,
    OpenAnswer,
    PredictionCode,
    Program,
    RegisterModel,
    RegisterPolicy,
    RequestPrediction,
    RetireModel,
    ServeModel,
    SetPrice,
    Share,
    UnserveModel,
    answer_commitment,
    challenge,
    inline_cid,
    model_id_of,
    policy_id_of,
    request_id_of,
    seed_of,
)
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    ESCROWS,
    LISTED,
    LIVE_INDEX,
    NUMBER,
    OPEN,
    REQUESTS,
    STATE,
    ModelState,
    RequestState,
)
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, ModelKind, PredictionOutcome
from learningchain.chain.host import Archive, Contract, MessageSpec, Power

WORK, SMALL = 32, 8
"""LC-PRE-53: in transfers of a batch; who sets a deadline is 32 for each of them."""
ASKING, TWO_DEADLINES, REGISTERING = 96, 64, 128


def _model(
    message: SetPrice | RetireModel | ServeModel | UnserveModel | RequestPrediction | RegisterPolicy,
) -> bytes:
    return message.model


def _request(message: AddTip | CancelRequest | GiveKeys | CommitAnswer | OpenAnswer | AppealAnswer) -> bytes:
    return message.request


CONTRACT = Contract(
    name="prediction",
    number=NUMBER,
    messages={
        RegisterModel: MessageSpec(models.register_model, work=REGISTERING, members=True),
        SetPrice: MessageSpec(models.set_price, work=SMALL, subject=_model),
        RetireModel: MessageSpec(models.retire_model, work=WORK, subject=_model),
        ServeModel: MessageSpec(serving.serve_model, work=SMALL, subject=_model, members=True),
        UnserveModel: MessageSpec(serving.unserve_model, work=SMALL, subject=_model),
        RequestPrediction: MessageSpec(
            requests.request_prediction, work=ASKING, subject=_model, members=True, allows=lambda m: m.max_charge
        ),
        AddTip: MessageSpec(requests.add_tip, work=WORK, subject=_request),
        CancelRequest: MessageSpec(requests.cancel_request, work=TWO_DEADLINES, subject=_request),
        GiveKeys: MessageSpec(answers.give_keys, urgent=True, work=TWO_DEADLINES, subject=_request, once=True),
        CommitAnswer: MessageSpec(answers.commit_answer, urgent=True, work=WORK, subject=_request, once=True),
        OpenAnswer: MessageSpec(answers.open_answer, urgent=True, work=TWO_DEADLINES, subject=_request, once=True),
        AppealAnswer: MessageSpec(appeals.appeal_answer, urgent=True, work=TWO_DEADLINES, subject=_request, members=True),
        RegisterPolicy: MessageSpec(policies.register_policy, work=WORK, subject=_model, members=True),
    },
    codes=PredictionCode,
    params=PredictionParams,
    state=STATE,
    listed=LISTED,
    indexes=(queue.Order,),
    archive=Archive(records=(b"pb/", b"pm/", b"pr/", b"pv/"), numbers=REQUESTS.prefix),
    events=EVENTS,
    forms=FORMS,
    escrows=ESCROWS,
    live=LIVE_INDEX,
    powers=frozenset({Power.MINT}),
    on_due=deadlines.on_due,
    on_banned=retiring.on_banned,
    on_give_back=deadlines.give_back,
    bound=(OPEN,),
    due_work=deadlines.due_work,
)

__all__ = [
    "CONTRACT",
    "AddTip",
    "Answer",
    "AnswerCode",
    "AppealAnswer",
    "CancelRequest",
    "CommitAnswer",
    "GiveKeys",
    "ModelKind",
    "ModelState",
    "OpenAnswer",
    "PredictionCode",
    "PredictionOutcome",
    "PredictionParams",
    "Program",
    "RegisterModel",
    "RegisterPolicy",
    "RequestPrediction",
    "RequestState",
    "RetireModel",
    "ServeModel",
    "SetPrice",
    "Share",
    "UnserveModel",
    "answer_commitment",
    "challenge",
    "inline_cid",
    "model_id_of",
    "policy_id_of",
    "request_id_of",
    "seed_of",
]
