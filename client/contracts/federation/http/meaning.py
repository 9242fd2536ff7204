"""What joining a federation means, before anybody agrees to it. Plain functions on the committed state; nothing here is a rule.

Whoever lends data asks four things: what leaves this machine, how much of it, who can read it, and what it could earn. All four
follow from the terms on the ledger; what the own data say of the posted schema is looked at by the command, beside the data.
"""

from __future__ import annotations

import math

from learningchain.chain.contracts.federation import formulas
from learningchain.chain.contracts.federation.cell_formulas import MOST_IN_CELL
from learningchain.chain.contracts.federation.messages import AggregationRule, FederationTerms, PaySplit, Secrecy
from learningchain.chain.contracts.federation.records import FederationPosting, FederationRecord, FederationState, MemberState
from learningchain.chain.crypto import address
from learningchain.chain.host import VERIFIERS, Host
from learningchain.chain.types import cid_text, format_credits, format_loss
from learningchain.client.contracts.federation.http.ledger_views import Members, describe_terms
from learningchain.client.contracts.federation.rule_warnings import screening_warnings
from learningchain.client.contracts.federation.small_words import OF_A_CELL, OF_HALVES, OF_SEVERAL_AT_REST, WITHOUT_REFERENCE
from learningchain.client.schema.render import Json

SKETCH_ROWS, REFERENCE_ROWS = 64, 2
"""Numbers of an update that the aggregators see: 64 rows, and two more where there is a reference (LC-FILE-16, 20)."""
SMALL_DIMS = 1_024
DELTA = 1e-5
"""Of the differential privacy that is told."""


def describe_joining(host: Host, federation: bytes, posting: FederationPosting, now: FederationRecord, members: Members) -> Json:
    """A `JoiningView` without `refusal`."""
    terms = posting.terms
    active = [account for account, one in members if one.state == MemberState.ACTIVE]
    available = host.service(VERIFIERS).is_available
    vetted = sum(available(account) for account in active)
    secret = terms.secrecy == Secrecy.SUM
    left = terms.bounty - now.paid
    return {
        "federation": federation.hex(),
        "sponsor": address(posting.sponsor),
        "state": FederationState(now.state).name,
        "image": describe_terms(terms)["image"],
        "secrecy": Secrecy(terms.secrecy).name.lower(),
        "dims": terms.dims,
        "bytes_each_round": formulas.update_size(terms),
        "rounds_left": max(0, terms.rounds - max(now.r, 1) + 1),
        "sketch_numbers": _shown_numbers(terms),
        "readable_from": terms.min_sum if secret else 1,
        "opens_alone": max(1, terms.min_sum - 1) if secret else 0,
        "split": PaySplit(terms.split).name.lower(),
        "claims_examples": terms.split == PaySplit.SAMPLES,
        "dp_milli": terms.dp_milli,
        "epsilon": epsilon(terms),
        "schema": cid_text(terms.schema) or None,
        "hidden": bool(terms.hidden),
        "members": len(active),
        "vetted": vetted,
        "min_members": terms.min_members,
        "max_members": terms.max_members,
        "approved_by_sponsor": not terms.admit_open,
        "bounty": format_credits(terms.bounty),
        "paid": format_credits(now.paid),
        "worst_share": format_credits(left // terms.max_members),
        "pays_at_zero": format_credits(_pays_at_zero(terms, now)),
        "best": format_loss(now.best) if now.best_model else None,
        "target": format_loss(terms.target),
        "train_s": terms.limits.train_s,
        "cpus_milli": terms.limits.cpus_milli,
        "mem_mb": terms.limits.mem_mb,
        "warnings": warnings(terms, len(active), vetted),
    }


def _shown_numbers(terms: FederationTerms) -> int:
    """Of an update, to aggregators: sketches; with a cell those that prove its length."""
    if formulas.has_cells(terms):
        return formulas.view_numbers(terms)
    return SKETCH_ROWS + (REFERENCE_ROWS if terms.reference else 0)


def _pays_at_zero(terms: FederationTerms, now: FederationRecord) -> int:
    """Micro-credits still to be paid for a model whose loss is 0: a target out of reach is never paid in full. Before the first
    measurement nothing is known, and it is the whole rest."""
    if not now.best_model or now.initial <= terms.target:
        return terms.bounty - now.paid
    return max(0, formulas.due(terms, now.initial, min(0, now.initial)) - now.paid)


def epsilon(terms: FederationTerms, sums: int = 0) -> float | None:
    """Of so many sums, or of those of all rounds together, at delta 1e-5; None without noise. Codes, norms and sketches are not
    covered."""
    if not terms.dp_milli:
        return None
    many, sigma = sums or terms.rounds, terms.dp_milli / 1_000
    return round(many / (2 * sigma**2) + math.sqrt(2 * many * math.log(1 / DELTA)) / sigma, 2)


def warnings(terms: FederationTerms, members: int, vetted: int) -> list[str]:
    """What a careful owner would want to know before agreeing."""
    found: list[str] = []
    if formulas.has_cells(terms):
        found += [*OF_A_CELL, *OF_HALVES] if terms.split == PaySplit.HALF else OF_A_CELL
        found += OF_SEVERAL_AT_REST if terms.vetted and terms.max_members > MOST_IN_CELL else ()
    elif terms.secrecy == Secrecy.OPEN:
        found.append("secrecy is open: three drawn aggregators read this node's update of every round as it is")
    elif terms.min_sum == 2:
        found.append("a sum may be of two members: each of them can compute the other's update from it")
    else:
        others = terms.min_sum - 1
        found.append(f"{others} other members who work together, or two of the three aggregators, can open this node's update")
    if terms.secrecy == Secrecy.SUM and not terms.vetted:
        found.append("members without the verifier flag count towards a sum: a sponsor may fill it with accounts of its own")
    if terms.dims < SMALL_DIMS and not formulas.has_cells(terms):
        found.append(f"the model has {terms.dims} values: sums of so few hide little")
    if not terms.dp_milli:
        found.append(
            "there is no noise (dp): an image that wants to can hide data in the update, so read its source or trust who made it"
        )
    elif not formulas.has_cells(terms):
        seen = epsilon(terms, formulas.most_starts(terms.rounds) - 1)
        found.append(
            "the noise covers the sums; codes, the norm and the numbers that aggregators see are not covered, nor are sums of "
            f"attempts that come to nothing: with all that aggregators may see epsilon is {seen:g}"
        )
    if terms.vetted and vetted < terms.min_sum:
        found.append(
            f"{vetted} of {members} members carry the verifier flag, and {terms.min_sum} are needed before anything is summed"
        )
    owners, krum = max(members, terms.min_members), terms.rule == AggregationRule.KRUM
    if not formulas.has_cells(terms):
        found += screening_warnings(owners, reference=terms.reference, krum=krum)
    elif not terms.reference:
        found += WITHOUT_REFERENCE
    if not terms.hidden and not terms.outside:
        found.append("members may sit on the panel that measures, and the test data lie in the image")
    return found
