"""What states, ends and rules of a federation, and what joining one means, say to people, on a terminal and on a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from learningchain.client.dashboard.text import size, span

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import (
        JoiningVerifier,
        JoiningView,
        OwnAttemptView,
        OwnerPay,
        VaultView,
    )
    from learningchain.client.schema.bodies import OwnDataView

STATES = {
    "IDLE": "waits for the sponsor to start a round",
    "DRAW": "who aggregates or measures is drawn in a block to come",
    "KEY": "the sponsor opens the hidden test file to the panel",
    "READY": "the drawn aggregators make their keys",
    "TRAIN": "members train, each at home",
    "HAVE": "the aggregators say which updates they have",
    "ROWS": "what the updates are judged by is drawn in a block to come",
    "SCREEN": "the aggregators judge the updates, which none of them can open",
    "SUM": "the aggregators add up what was accepted",
    "MEASURE": "the panel measures the new model",
    "OPEN": "the panel shows what it measured",
    "END": "it is over",
}
ENDS = {
    "REACHED": "the target is met, and all of the bounty is paid",
    "ROUNDS": "all rounds, or all starts, are used up",
    "MET": "the initial model met the target already: everything went back",
    "BAD_MODEL": "the panel found that the initial model is none: everything went back",
    "NOKEY": "the sponsor did not open the hidden file in time",
    "STALLED": "three measurements came to nothing",
    "CLOSED": "the sponsor closed it",
    "ABANDONED": "the sponsor started no further round in time",
    "EXPIRED": "its time is over",
    "GIVEN_BACK": "it was given back",
}
CODES = {
    "USED": "used",
    "AWAY": "not used: an aggregator did not get it in time",
    "LARGE": "refused, LARGE: its norm is above the bound of this round",
    "EMPTY": "refused, EMPTY: it is next to nothing beside the others",
    "WRONG": "refused, WRONG: it points away from where the others, or the sponsor's reference, point",
    "STALE": "refused, STALE: it repeats what was added in one of the last rounds",
    "COPY": "refused, COPY: it is that of a member who committed earlier",
    "OUTLIER": "refused, OUTLIER: it lies among the farthest from the others",
    "UNPROVED": "refused, UNPROVED: its length is not proved",
    "IDLE": "not used: another one of its cell was refused, and a cell is summed whole or not at all",
}
VOIDS = {
    "NO_AGGREGATORS": "fewer than two aggregators were there",
    "TOO_FEW": "fewer members than needed sent an update in time: their nodes are off, or their owners wait for more members with "
    "the verifier flag (an owner sees why: learningchain fed mine)",
    "NO_SET": "the aggregators did not get the same updates",
    "NO_REFERENCE": "the sponsor's reference update was missing",
    "DISPUTE": "the aggregators contradicted each other",
    "SPLIT": "too few updates could be accepted together",
    "NOT_FINITE": "the new model has values that are no numbers",
}
OUTCOMES = {"PROGRESS": "better, and paid", "NO_PROGRESS": "not better", "REVERTED": "not better: back to the best model"}
PAY = {
    "PAID": "paid",
    "NOT_IN": "not paid: it joined later",
    "NO_FILE": "not paid: no update of it came in time",
    "REFUSED": "not paid: its update was refused",
    "NOT_ADDED": "not paid: its update was fit, but not added, for too few new ones stood beside it",
    "NOT_MEASURED": "the round is not measured yet",
    "NO_PROGRESS": "not paid yet: the model is not better; the round's points count when the next one pays",
    "REVERTED": "not paid: the model is worse, or too many rounds brought nothing; the points are gone",
    "NO_POINTS": "not paid: what it added earned no points",
}
MEMBERS = {"PENDING": "waits to be admitted", "ACTIVE": "is in", "GONE": "left"}


def became(one: OwnAttemptView) -> str:
    """What became of this node's update in an attempt."""
    if one["code"]:
        return CODES.get(one["code"], one["code"])
    return one["why"] or ("sent, not judged yet" if one["sent"] else "not sent")


def pay_text(one: OwnerPay) -> str:
    """Why an owner was paid in a round, or was not."""
    told = PAY.get(one["why"], one["why"])
    return f"{told} ({CODES.get(str(one['code']), one['code'])})" if one["why"] == "REFUSED" else told


def vault_text(found: VaultView) -> str:
    """What stands of this node's vault, in one line."""
    if not found["on"]:
        return "none: this machine lost, its local model is lost"
    made = f"of round {found['rounds'][-1]}" if found["rounds"] else "none yet"
    shared = f", its key shared by {len(found['holders'])}" if found["holders"] else ""
    lost = {
        "fetching": ", one of a lost node is fetched",
        "asking": ", its holders are asked for their shares",
        "opening": ", it is opened",
        "opened": f", opened: the local model of round {found['recovered']} is {found['path']}" if found["path"] else "",
        "failed": ", not opened",
    }.get(found["state"], "")
    return f"{made}{shared}{lost}{': ' + found['why'] if found['why'] else ''}"


# --- joining --------------------------------------------------------------------------------------------------------------------

VAULT = "after each fifth round your local model, sealed, to two members; your account's secret alone opens it"
NO_VAULT = "none: this machine lost, its local model is lost"


ALLOWED = {
    None: "pinned by this digest: it cannot change; this node has no list of programs (federation.images), so any may run",
    True: "pinned by this digest, and on this node's list of programs (federation.images)",
    False: "NOT on this node's list of programs (federation.images): this node does not run it",
}


SMALL = 1_024
"""Values below which sums are of a cell (LC-FED-55)."""


def agreement(found: JoiningView, own: OwnDataView | None, *, vault: bool) -> list[tuple[str, tuple[str, ...]]]:
    """What a data owner agrees to: names, and the lines of each. `own`: the data that are meant, where they are chosen already."""
    image, dims = found["image"], f"{found['dims']:,}"
    kept = f" ({own['name']}: {own['files']} files, {size(own['bytes'])})" if own is not None else ""
    now = found["best"] or "not measured"
    how, seen = "as it is", f"all {dims} values"
    if found["secrecy"] == "sum":
        how, seen = "masked", f"{found['sketch_numbers']} numbers made of its {dims}, to turn away what does not fit"
        if found["dims"] < SMALL:
            seen = f"{found['sketch_numbers']} random numbers, which prove that it is no longer than others and say nothing else"
    leaves = f"one file of {size(found['bytes_each_round'])}, {how}, to each of three aggregators"
    plural = "" if found["cpus_milli"] == 1_000 else "s"
    within = f"{found['cpus_milli'] / 1000:g} processor{plural}, {found['mem_mb']} MiB of memory, no network"
    runs = f"{span(1_000 * found['train_s'])} a round at most, {within}"
    return [
        ("leaves each round", (leaves, f"{found['rounds_left']} more rounds at most, and as many starts that come to nothing")),
        ("who reads it", (_readers(found),)),
        ("aggregators see", (seen,)),
        ("who adds up", _deciders(found)),
        ("on the ledger", (_public(found),)),
        ("stays here", (f"your data{kept}, the loss on them, the local model{' but for its vault' if vault else ''}",)),
        ("vault", (VAULT if vault else NO_VAULT,)),
        ("schema", (_schema(found),)),
        ("noise", (f"epsilon {found['epsilon']:g} at delta 1e-5, of the sums" if found["epsilon"] is not None else "none",)),
        ("members", (f"{found['members']} of {found['max_members']}, {found['vetted']} carry the verifier flag",)),
        ("who gets in", ("whom the sponsor admits" if found["approved_by_sponsor"] else "everybody, at once",)),
        ("bounty", (f"{found['bounty']}, {found['paid']} paid; split {found['split']} among the members of a sum",)),
        ("worst share", (f"{found['worst_share']}, were all places taken and the target met",)),
        (
            "a loss of 0 pays",
            (f"{found['pays_at_zero']} more, for all together; the target is {found['target']}, now it is {now}",),
        ),
        ("runs here", (f"{image['reference'] or image['cid']} ({size(image['size'])})", runs)),
        ("program", (found["program"], ALLOWED[found["allowed"]])),
        ("sponsor", (found["sponsor"],)),
    ]


def held_against(schema: str | None, own: Mapping[str, Any]) -> bool:
    """Whether own data were held against the schema that a federation posted: one block of content, whose name ends with the
    SHA-256 of its bytes. Raises ValueError where that is no name."""
    from learningchain.chain.errors import Malformed
    from learningchain.p2p.content.cid import parse

    if schema is None:
        return True
    try:
        return bool(own["schema"] == parse(schema).digest.hex())
    except (ValueError, Malformed) as problem:
        raise ValueError(f"the federation's schema {schema[:80]} has no name that can be fetched: {problem}") from None


def _readers(found: JoiningView) -> str:
    if found["secrecy"] == "open":
        return "the three aggregators drawn for a round read your update as it is; everybody reads sums"
    return f"nobody by itself; everybody reads sums of at least {found['readable_from']} members"


def _deciders(found: JoiningView) -> tuple[str, ...]:
    """Of how many they are drawn; where these are few, who they are."""
    adds, measures = found["aggregators"], found["panel"]
    text = f"three drawn of {adds} verifiers each round; up to five drawn of {measures} measure"
    own = f"this node trains where they are drawn of {found['min_verifiers']} or more (federation.min_verifiers)"
    return text, own, *(_verifier(one) for one in found["verifiers"])


def _verifier(one: JoiningVerifier) -> str:
    does = " and ".join(word for word, so in (("adds up", one["aggregates"]), ("measures", one["measures"])) if so)
    came = f"invited by {one['inviter']}" if one["inviter"] else "invited by nobody"
    return f"{one['account']}: {does}, {came}{', trains here, too' if one['member'] else ''}"


def _public(found: JoiningView) -> str:
    claimed = ", how many examples you claim" if found["claims_examples"] else ""
    return (
        f"that you take part, a digest of your data made for this federation alone{claimed}, which updates were used, what you earn"
    )


def _schema(found: JoiningView) -> str:
    if found["schema"] is None:
        return "none: any data that the image understands"
    return f"{found['schema']}: data that were not held against it do not join"
