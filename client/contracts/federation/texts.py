"""What people are told of this contract: why a message is refused and what to do, and for what rule credits move."""

from __future__ import annotations

from learningchain.chain.contracts.federation.messages import (
    FederationCode,
)
from learningchain.client.schema.explain import TextsPart

_READ = "Read the federation (GET /v1/federations/{id}) and send what fits its present state"
_NOTHING = "Nothing to do"
TEXTS: dict[int, tuple[str, str]] = {
    FederationCode.NO_SUCH_FEDERATION: (
        "there is no such federation, or it ended long ago and left the state",
        "GET /v1/federations lists those that there are",
    ),
    FederationCode.BAD_TERMS: ("a term of the federation is out of bounds", "Correct the term that the refusal names"),
    FederationCode.BAD_MODEL: (
        "the initial model has no CID of the content store, or dims and size that do not fit each other",
        "Give a safetensors file of F32 values alone, with its CID, its size and the number of its values",
    ),
    FederationCode.BAD_TARGET: ("the target is no possible loss", "Choose one within -10^9 and 10^9"),
    FederationCode.NOT_SPONSOR: ("only the sponsor of the federation may do this", "Send it from the sponsor's node"),
    FederationCode.OWN_FEDERATION: (
        "the sponsor is no member, nor who had a seat of the panel where the evaluation is hidden or outside",
        "Nothing to do: another account of another owner may join",
    ),
    FederationCode.ALREADY_MEMBER: ("this account is a member already, or waits to be one", _NOTHING),
    FederationCode.NOT_A_MEMBER: ("this account is no member, or was not admitted yet", "Join, and wait to be admitted"),
    FederationCode.FULL: (
        "the federation has as many members, waits for as many, or had as many as it ever can",
        "Ask the sponsor: a place is free when a member leaves",
    ),
    FederationCode.DUPLICATE_DATA: ("another member trains on data of this digest", "Train on your own data"),
    FederationCode.BENCHED: (
        "three updates in a row were turned away: this member is out for five starts",
        "Look why they were refused (the events fed.code), and train on again when the bench is over",
    ),
    FederationCode.WRONG_STATE: ("the state is not one for this", _READ),
    FederationCode.TOO_LATE: ("the deadline has passed on the chain clock", "Nothing to do: the window does not open again"),
    FederationCode.WRONG_ROUND: ("the federation is in another round, attempt or measurement", _READ),
    FederationCode.TOO_FEW_MEMBERS: (
        "too few members are in, or too few of them count",
        "Admit more, or wait until benches are over; where terms say vetted, members with the verifier flag count",
    ),
    FederationCode.NO_PANEL: (
        "too few may sit on the panel: a third of the verifiers, and three if there are so many; where the evaluation is hidden or "
        "outside members never do",
        "Wait until further verifiers serve federations whose machines take this model and that train no data in this one",
    ),
    FederationCode.NO_AGGREGATORS: (
        "fewer than two verifiers may aggregate",
        "Wait until verifiers serve federations whose machines take this model for every member",
    ),
    FederationCode.NOT_DRAWN: ("the sender was not drawn for this attempt", _NOTHING),
    FederationCode.ALREADY_READY: ("this aggregator is ready already", _NOTHING),
    FederationCode.KEYS_MISSING: (
        "the aggregators of this attempt are not all ready yet",
        "Wait until the attempt trains: until then nobody can be sealed to",
    ),
    FederationCode.ALREADY_COMMITTED: ("the file of this attempt stands already", "Nothing to do: one file an attempt"),
    FederationCode.BAD_FILE: (
        "the file has no CID of the content store or another size than the terms say, or the examples claimed do not fit the split",
        "Give the size of the terms; examples are claimed where the split is by samples, and only there",
    ),
    FederationCode.NO_REFERENCE: ("the terms have no reference", _NOTHING),
    FederationCode.ALREADY_SCREENED: ("this aggregator has screened already", _NOTHING),
    FederationCode.BAD_SCREEN: (
        "bits, masks, codes, points or norm are not such as this attempt asks for",
        "Check them against the files of the attempt, and the masks of this place",
    ),
    FederationCode.OUT_OF_ATTEMPT: ("the sender is not in this attempt, or not any more", "Wait for the next start"),
    FederationCode.ALREADY_SUMMED: ("this aggregator has summed already", _NOTHING),
    FederationCode.BAD_BOXES: (
        "there is not one box for each seat, or the key is one with which nothing is secret, or there is no box key",
        "Seal once for each seat in their order; a running node sends its box key by itself",
    ),
    FederationCode.NO_SEAT: ("the sender has no seat on the panel", _NOTHING),
    FederationCode.ALREADY_MEASURED: ("this seat has said its measurement already", _NOTHING),
    FederationCode.MEASURE_MISMATCH: (
        "measurement and salt do not open what this seat committed",
        "Open exactly what was committed",
    ),
    FederationCode.BAD_VOTE: ("code, measurement and opening contradict each other", "OK carries both, the others neither"),
    FederationCode.TOO_MANY_FEDERATIONS: (
        "as many federations of this root are open as the network allows",
        "Wait until one ends, or close it between rounds",
    ),
    FederationCode.TOO_OFTEN: ("it was said in this round already", "Wait for the next round"),
    FederationCode.NO_STANDING: (
        "the sender has live strikes from work of three roots",
        "Wait until one ends: GET /v1/accounts/{id} shows when",
    ),
    FederationCode.NOT_ACTIVE: (
        "a case against the sender is open",
        "GET /v1/accounts/{id} shows the case and its end; what it does already goes on",
    ),
    FederationCode.PARTS_MISSING: (
        "the digests of the sender's masks, or of the mask that it does not know, are not on the ledger yet",
        "Pin the own parts first, and wait for those of another aggregator",
    ),
    FederationCode.ALREADY_SAID: ("it was said already", _NOTHING),
    FederationCode.FEW_VERIFIERS: (
        "of the verifiers fewer than a third, or than three if there are so many, serve federations on machines that take these "
        "limits: few would choose the model, and read what owners send",
        "Lower memory, processors, eval_s, sizes or max_members, or ask verifiers to serve (learningchain fed serve on)",
    ),
    FederationCode.IN_A_CELL: (
        "the member has a cell, whose sums with and without it would tell its update",
        "Close the federation; the member itself may leave",
    ),
}
REASONS: dict[str, str] = {
    "fed.bounty.locked": "the sponsor opened the federation: the bounty is set aside until it ends (LC-FED-9)",
    "fed.fees.locked": "the sponsor opened the federation: fees, and the price of what it keeps, are set aside (LC-FED-9)",
    "fed.kept": "the price of what the federation keeps in the state is burned (LC-FED-9)",
    "fed.share": "the model came nearer to the target: a part of the bounty, by points (LC-FED-41)",
    "fed.aggregator": "this aggregator agreed on what was screened and summed (LC-FED-32)",
    "fed.panel.fee": "this seat's measurement counted (LC-FED-37)",
    "fed.bounty.back": "the federation ended: what is left of the bounty goes back to the sponsor (LC-FED-46)",
    "fed.fees.back": "the federation ended: fees that nobody earned go back to the sponsor (LC-FED-46)",
}
PART = TextsPart(TEXTS, REASONS)
