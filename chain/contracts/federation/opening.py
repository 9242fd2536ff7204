"""OpenFederation: a sponsor posts a model, a target and a bounty. LC-FED-7 to 9."""

from __future__ import annotations

from learningchain.chain.contracts.federation import cell_formulas, ends, formulas, messages, pool, records, store
from learningchain.chain.contracts.federation.guards import require_active, require_standing
from learningchain.chain.contracts.federation.messages import (
    AggregationRule,
    FederationCode,
    FederationTerms,
    OpenFederation,
    PaySplit,
    Secrecy,
)
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.contracts.federation.records import (
    FEDERATIONS,
    FederationPosting,
    FederationRecord,
    FederationsOf,
    FederationState,
    LiveFederation,
    NumberedFederation,
)
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import STANDING, Host
from learningchain.chain.host.terms import Arch, image_fault, is_cid, limit_fault
from learningchain.chain.losses import MAX_LOSS
from learningchain.chain.types import format_credits
from learningchain.chain.verification.scale import FloatKind

ARCHITECTURES, FLOATS = frozenset(Arch), frozenset(FloatKind)
RULES = {
    Secrecy.SUM: frozenset((AggregationRule.MEAN, AggregationRule.KRUM)),
    Secrecy.OPEN: frozenset(AggregationRule),
}
MAX_HIDDEN = 16 * 2**30
"""Bytes that every seat of the panel fetches: bounded like a model."""


def open_federation(host: Host, sender: bytes, m: OpenFederation) -> None:
    """LC-FED-9"""
    terms = m.terms
    require_active(host, sender, "open a federation")
    require_standing(host, sender, "open a federation")
    _check_terms(host, terms)
    _check_model(terms)
    if not -MAX_LOSS < terms.target < MAX_LOSS:
        raise Reject(FederationCode.BAD_TARGET, f"a target lies within {MAX_LOSS} of 0, both excluded, not {terms.target}")
    pool.require_able(host, sender, terms)
    root = host.service(STANDING).root_of(sender)
    own = host.get(records.root_key(root), FederationsOf) or FederationsOf(0)
    if own.live >= host.params_of(FederationParams).fed_live:
        text = f"{own.live} federations of your root are open, no more are allowed"
        raise Reject(FederationCode.TOO_MANY_FEDERATIONS, text)
    federation = FederationContext(host, messages.federation_id_of(host.tx_id, host.op_index))
    _lock(host, sender, federation.id, terms)
    host.put(records.root_key(root), FederationsOf(own.live + 1))
    number = store.totals(host).opened
    store.count(host, opened=FEDERATIONS.append(host, number, NumberedFederation(federation.id)))
    host.put(records.live_key(federation.id), LiveFederation(number))
    host.put(records.posting_key(federation.id), FederationPosting(sender, root, number, host.clock, terms))
    host.put(records.federation_key(federation.id), _new_record(terms))
    if formulas.has_cells(terms):
        host.put(records.cell_key(federation.id), records.NEW_CELLS)
    federation.emit("fed.opened", sender, terms.bounty, terms.fee, terms.target, terms.rounds, terms.ends)
    ends.idle(federation)


def _new_record(terms: FederationTerms) -> FederationRecord:
    """As an opening leaves it: the base is the initial model."""
    return FederationRecord(
        state=FederationState.IDLE,
        deadline=0,
        draw_height=0,
        r=0,
        starts=0,
        clip=terms.clip,
        indexes=0,
        base=terms.model,
        model=b"",
        initial=0,
        best=0,
        best_model=b"",
        best_r=0,
        paid=0,
        streak=0,
        last=b"",
        again=0,
        panel=[],
        panel_beacon=b"",
        probe=b"",
        pair=[],
        kept=0,
        end=0,
        ended=0,
        left=0,
        named=b"",
    )


def _lock(host: Host, sender: bytes, federation: bytes, terms: FederationTerms) -> None:
    """B, F and P, which burns; or nothing."""
    fees, free = formulas.fees_locked(terms.fee, terms.rounds), host.free(sender)
    price = formulas.price(host.params_of(FederationParams).fed_rate, terms)
    needed = terms.bounty + fees + price
    if free < needed:
        asked = f"bounty {format_credits(terms.bounty)}, fees {format_credits(fees)} and the price {format_credits(price)}"
        text = f"{asked} of what is kept need {format_credits(needed)} credits, {format_credits(free)} are free"
        raise Reject(Code.INSUFFICIENT_CREDITS, text)
    host.lock(sender, records.bounty_escrow(federation), terms.bounty, "fed.bounty.locked", federation)
    host.lock(sender, records.fee_escrow(federation), fees + price, "fed.fees.locked", federation)
    host.burn(records.fee_escrow(federation), price, "fed.kept", federation)


# --- terms ---------------------------------------------------------------------------------------------------------------------


def _check_terms(host: Host, terms: FederationTerms) -> None:
    """LC-FED-7"""
    params = host.params_of(FederationParams)
    longest, secrecy = params.fed_longest, terms.secrecy
    bounds: dict[str, tuple[int, int]] = {
        "bounty": (1, messages.MAX_BOUNTY),
        "rounds": (1, messages.MAX_ROUNDS),
        "tol": (0, messages.MAX_TOL),
        "round_ms": (messages.MIN_ROUND_MS, longest),
        "pace_ms": (params.fed_least, longest),
        "ends": (host.clock + params.fed_least, host.clock + longest),
        "max_members": (2, messages.MOST_MEMBERS),
        "min_members": (2, terms.max_members),
        "min_sum": (1 if secrecy == Secrecy.OPEN else 2, terms.min_members),
        "clip": (messages.MIN_CLIP, messages.MAX_CLIP),
        "patience": (1, messages.MAX_PATIENCE),
        "dp_milli": (0, messages.MAX_DP_MILLI),
    }
    for name, (low, high) in bounds.items():
        value = getattr(terms, name)
        if not low <= value <= high:
            raise _bad(f"{name} is {value}, it may be {low} to {high}")
    least = formulas.least_fee(params.fed_rate, terms)
    if not least <= terms.fee <= messages.MAX_FEE:
        raise _bad(f"the fee is {terms.fee} micro-credits, for these limits and sizes it may be {least} to {messages.MAX_FEE}")
    if terms.float_kind not in FLOATS:
        raise _bad(f"unknown float kind {terms.float_kind}")
    _check_choices(terms)
    _check_program(terms)


def _check_choices(terms: FederationTerms) -> None:
    if terms.secrecy not in RULES:
        raise _bad(f"unknown secrecy {terms.secrecy}")
    if terms.rule not in RULES[Secrecy(terms.secrecy)]:
        raise _bad(f"no rule {terms.rule} with secrecy {Secrecy(terms.secrecy).name}")
    if terms.split not in frozenset(PaySplit):
        raise _bad(f"unknown split {terms.split}")
    if terms.split == PaySplit.HALF and not formulas.has_cells(terms):
        raise _bad("the split HALF is by cells: it takes a model of few values and secrecy sum")
    if formulas.has_cells(terms) and (fault := cell_formulas.cell_fault(terms)):
        raise _bad(fault)
    if terms.split == PaySplit.ALIGNED and not terms.reference:
        raise _bad("who is aligned is told by a reference: the split needs one")
    if terms.dp_milli and (terms.secrecy != Secrecy.SUM or terms.split == PaySplit.ALIGNED):
        raise _bad("noise hides sums alone: it goes with secrecy sum, and not with an aligned split")


def _check_program(terms: FederationTerms) -> None:
    if fault := image_fault(terms.image):
        raise _bad(fault)
    if terms.arch not in ARCHITECTURES:
        raise _bad(f"unknown processor architecture {terms.arch}")
    if fault := limit_fault(terms.limits):
        raise _bad(fault)
    if len(terms.params.encode()) > messages.MAX_FEDERATION_PARAMS:
        raise _bad(f"params may have {messages.MAX_FEDERATION_PARAMS} bytes; put data into the image")
    for hidden in terms.hidden:
        if not is_cid(hidden.cid) or not 1 <= hidden.size <= MAX_HIDDEN:
            raise _bad(f"the hidden file is named by a CIDv1 with sha2-256 and has 1 to {MAX_HIDDEN} bytes")
    if terms.schema and not is_cid(terms.schema):
        raise _bad("the schema is a CIDv1 with sha2-256, or empty")


def _check_model(terms: FederationTerms) -> None:
    """LC-FED-8"""
    if not 1 <= terms.dims <= messages.MAX_DIMS:
        raise Reject(FederationCode.BAD_MODEL, f"a model has 1 to {messages.MAX_DIMS} values, not {terms.dims}")
    header = terms.size - 4 * terms.dims
    if not messages.MIN_HEADER <= header <= messages.MAX_HEADER:
        text = f"of {terms.size} bytes {4 * terms.dims} are values: the header would have {header}"
        raise Reject(FederationCode.BAD_MODEL, f"{text}, it may have {messages.MIN_HEADER} to {messages.MAX_HEADER}")
    if not is_cid(terms.model):
        raise Reject(FederationCode.BAD_MODEL, "the initial model is named by a CIDv1 with sha2-256")


def _bad(text: str) -> Reject:
    return Reject(FederationCode.BAD_TERMS, text)
