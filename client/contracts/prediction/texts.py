"""What people are told of this contract: why a message is refused and what to do, and for what rule credits move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from learningchain.chain.contracts.prediction.messages import PredictionCode
from learningchain.client.schema.explain import TextsPart

_READ_MODEL = "Read the model (GET /v1/models/{id})"
_READ_REQUEST = "Read the request (GET /v1/predictions/{id}) and send what fits its present state"
TEXTS: dict[int, tuple[str, str]] = {
    PredictionCode.NO_SUCH_MODEL: (
        "there is no such model, or it was retired and left the state with its last result",
        "GET /v1/models lists those that there are",
    ),
    PredictionCode.NO_SUCH_REQUEST: (
        "there is no such request, or its result left the state",
        "GET /v1/predictions/{id} tells of a request that ended",
    ),
    PredictionCode.NO_SUCH_POLICY: (
        "there is no such policy for this model, or nobody named it for so long that it was dropped",
        "Register it again, or name one of this model's",
    ),
    PredictionCode.BAD_MODEL_TERMS: ("a term of the model is out of bounds", "Correct the term that the refusal names"),
    PredictionCode.BAD_NAME: ("a model's name is 1 to 64 characters of a-z 0-9 . _ -", "Choose another name"),
    PredictionCode.BAD_SOURCE: (
        "the job is none that the sender posted and a winner was paid for, or it left the state",
        "Name an own job that ended PAID, or give image and model yourself",
    ),
    PredictionCode.NOT_OWNER: ("only the owner of the model may do this", "Send it from the owner's node"),
    PredictionCode.NOT_LIVE: ("the model is retired, or its owner is suspended or banned", "Choose another model"),
    PredictionCode.PRICE_CHANGED: (
        "the price last set is not the one that this message expects",
        _READ_MODEL + " and decide again",
    ),
    PredictionCode.TOO_MANY_MODELS: (
        "this account has as many live models as the network allows",
        "Retire one that is asked no more",
    ),
    PredictionCode.NOT_ACTIVE: (
        "a case against the sender is open",
        "GET /v1/accounts/{id} shows the case and its end; seats, and requests that wait, go on",
    ),
    PredictionCode.TOO_MANY_STRIKES: (
        "the sender has live strikes from work of three roots",
        "Wait until one ends: GET /v1/accounts/{id} shows when",
    ),
    PredictionCode.NOT_A_VERIFIER: (
        "only members with the verifier flag serve models",
        "The validators vote on the flag: learningchain propose verifier ACCOUNT on",
    ),
    PredictionCode.STAKE_TOO_SMALL: (
        "the stake would be below the least one for this model's floor",
        "Lock more: the refusal says how much",
    ),
    PredictionCode.SERVERS_FULL: ("the model has as many servers as the network allows", "Serve another model"),
    PredictionCode.NOT_SERVING: (
        "the sender does not serve this model, or is leaving it",
        "Who left serves again once its stake is back",
    ),
    PredictionCode.BAD_REQUEST: (
        "a term of the request is out of bounds",
        "Correct the term that the refusal names",
    ),
    PredictionCode.BAD_DATA_POINT: (
        "the input has no CID of the content store, another one than its bytes, or a size that the model does not take",
        "Check CID and size; at most 2048 bytes go inline",
    ),
    PredictionCode.TIP_TOO_SMALL: (
        "the tip is below floor times answers times rows",
        "Offer more, or ask for fewer answers or rows",
    ),
    PredictionCode.CHARGE_TOO_HIGH: (
        "tip, royalty and fee are above max_charge",
        "The price may have changed: read the model, then raise max_charge or choose another",
    ),
    PredictionCode.NO_SERVERS: (
        "too few nodes serve this model",
        "See who serves it (learningchain model show); have other nodes serve it (learningchain model serve), wait for them, or "
        "ask for fewer answers where some do",
    ),
    PredictionCode.QUEUE_FULL: (
        "the queue of the model is full, and all that wait come before this request",
        "Offer a higher tip and a wait of 60 s at least, or try again later",
    ),
    PredictionCode.TOO_MANY_WAITING: (
        "as many requests of this account wait for this model as the network allows",
        "Wait until one was drawn, or send more rows in one request",
    ),
    PredictionCode.NOT_REQUESTER: (
        "only the requester may do this; of an appeal's keys, only the appellant",
        "Send it from the node that asked",
    ),
    PredictionCode.WRONG_STATE: ("the state is not one for this", _READ_REQUEST),
    PredictionCode.TOO_LATE: ("the deadline has passed on the chain clock", "Nothing to do: the window does not open again"),
    PredictionCode.NOT_SEATED: ("the sender has no seat in this round", "Nothing to do"),
    PredictionCode.WRONG_ROUND: ("the request is in another round", _READ_REQUEST),
    PredictionCode.ALREADY_COMMITTED: ("the answer of this seat is committed already", "Nothing to do"),
    PredictionCode.NOT_COMMITTED: ("this seat committed no answer", "Nothing to do: the window to commit is over"),
    PredictionCode.ALREADY_OPENED: ("the answer of this seat is open already", "Nothing to do"),
    PredictionCode.ANSWER_MISMATCH: (
        "answer and salt do not open the commitment",
        "Open exactly the answer that was committed",
    ),
    PredictionCode.BAD_ANSWER: (
        "the answer has not the rows, classes or scores that the request asks for",
        "Check the answer against the model's kind and the rows of the round",
    ),
    PredictionCode.BAD_KEYS: (
        "the request is not private, or there is not one box for each seat",
        "Seal the key once for each seat of the round, in their order",
    ),
    PredictionCode.NOT_APPEALABLE: (
        "a private request is appealed by its requester alone, any other one in the first half of the time for appeals",
        "Appeal in the second half; of a private request only the requester can open the input to judges",
    ),
    PredictionCode.NO_COMMITTEE: (
        "fewer than three verifiers could judge an appeal, or too few to outweigh those who agree",
        "Nothing to do: the answer stands as it is. Ask where more verifiers do not serve the model, or for fewer answers",
    ),
    PredictionCode.BAD_POLICY: (
        "a policy is for a NUMBER model, with 1 to 32 rates that ascend from the lowest value, within bounds",
        "Correct the term that the refusal names",
    ),
    PredictionCode.NO_BOX_KEY: (
        "the sender has no box key, to which private requests are sealed",
        "A running node sends one by itself: wait a block or two",
    ),
}
REASONS: dict[str, str] = {
    "model.deposit.locked": "the owner registered the model: its deposit is set aside until the model ends (LC-PRE-7)",
    "model.deposit": "the model ended: what is left of the deposit goes back to its owner (LC-PRE-11)",
    "model.deposit.burned": "the model retired for its bad record, or its owner was banned: the deposit is burned (LC-PRE-12, 13)",
    "model.deposit.slashed": "an appeal found values of this model wrong beyond doubt: the deposit answers for them (LC-PRE-42)",
    "stake.served": "the server set this aside to answer for its answers (LC-PRE-9)",
    "stake.back": "the server left: its stake goes back (LC-PRE-10)",
    "stake.fined": "the server was silent, or a quorum knew better: a fine is burned (LC-PRE-23, 24, 33)",
    "stake.slashed": "an appeal found this server's answer wrong beyond doubt: a part of its stake is lost (LC-PRE-42)",
    "request.locked": "the requester asked: tip, royalty and fee are set aside until the request has an outcome (LC-PRE-17)",
    "tip.locked": "the requester added to the tip (LC-PRE-19)",
    "answer.paid": "this server's answer is among those that agreed (LC-PRE-30)",
    "answer.shown": "this server's answer stands open, others had no data or no key: its whole share (LC-PRE-55)",
    "answer.quarter": "this server answered as far as anybody can tell, and there is no value: a quarter of a share (LC-PRE-31)",
    "seat.paid": "the requester gave no keys: who was ready has its share (LC-PRE-22)",
    "subsidy": "new credits for an answer that agreed, at most half of what the request burned (LC-PRE-5)",
    "royalty": "the model answered: its owner's part, row by row (LC-PRE-30)",
    "royalty.kept": "the model answered: the royalty is kept until the next block shares it (LC-PRE-14)",
    "royalty.share": "a share of the model's royalty, by its weight (LC-PRE-14)",
    "request.fee": "the fee of a request is burned (LC-PRE-30 to 32)",
    "request.rest": "what the request did not cost goes back to the requester (LC-PRE-30 to 32)",
    "bond.appealed": "the appellant set aside what the judges' votes cost (LC-PRE-36)",
    "bond.more": "fewer judges were drawn than the bond would pay: the difference goes back (LC-PRE-36)",
    "bond.back": "the appeal was won, or nothing was decided: the bond goes back (LC-PRE-39, 41)",
    "bond.lost": "the appeal was lost, or no keys were given for it: what is left of the bond is burned (LC-PRE-22, 40)",
    "vote": "this verifier's vote in an appeal (LC-PRE-39 to 42)",
    "answer.right": "this server had said what the appeal found, and had gone unpaid (LC-PRE-42)",
    "slashed.pot": "of what was lost in the appeal this is nobody's: it is burned (LC-PRE-42)",
    "policy.locked": "the policy's fee is set aside while it is kept (LC-PRE-43)",
    "policy.back": "nobody named the policy for long: it is dropped, and its fee goes back (LC-PRE-43)",
}


def _proven(records: Mapping[bytes, Any], keys: Sequence[bytes]) -> tuple[list[str], list[dict[str, Any]]]:
    from learningchain.client.contracts.prediction.proven import said  # loaded where a receipt has records

    return said(records, keys)


PART = TextsPart(TEXTS, REASONS, _proven)
