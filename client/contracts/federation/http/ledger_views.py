"""What the state says of federations, as the API's JSON. Plain functions over a reader: of the state, or of what left it.

Every one reads a bounded number of records: a federation knows 256 members at most, and a round names 128.
"""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.messages import (
    MOST_MEMBERS,
    AggregationRule,
    FederationTerms,
    MeasureCode,
    PaySplit,
    Secrecy,
)
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.contracts.federation.records import (
    DRAWING,
    AggregatorSeat,
    AttemptRecord,
    AttemptRoster,
    EndReason,
    FederationMember,
    FederationPosting,
    FederationRecord,
    FederationState,
    MemberState,
    PanelSeat,
    RoundOutcome,
    RoundRecord,
    UpdateFile,
)
from learningchain.chain.crypto import address
from learningchain.chain.host import Escrow, PastReader, Reader, escrow_key, params_at
from learningchain.chain.host.terms import LIMITS, Arch, ImageKind
from learningchain.chain.types import cid_text, format_credits, format_loss
from learningchain.chain.verification.scale import FloatKind
from learningchain.client.contracts.federation.http.cell_views import describe_cells
from learningchain.client.schema.render import Json

MILLION = 10**6
Members = Sequence[tuple[bytes, FederationMember]]
"""Of one federation, in any order."""


def _read(reader: Reader, federation: bytes) -> tuple[FederationPosting, FederationRecord] | None:
    posting, now = reader.get(records.posting_key(federation)), reader.get(records.federation_key(federation))
    return (posting, now) if isinstance(posting, FederationPosting) and isinstance(now, FederationRecord) else None


def _escrowed(reader: Reader, escrow: bytes) -> int:
    found = reader.get(escrow_key(escrow))
    return found.amount if isinstance(found, Escrow) else 0


# --- one line -------------------------------------------------------------------------------------------------------------------


def summarise(reader: Reader, federation: bytes) -> Json | None:
    """None where there is no such federation."""
    if (found := _read(reader, federation)) is None:
        return None
    posting, now = found
    terms, measured = posting.terms, bool(now.best_model)
    return {
        "id": federation.hex(),
        "number": posting.number,
        "sponsor": address(posting.sponsor),
        "state": FederationState(now.state).name,
        "end": EndReason(now.end).name if now.end else None,
        "round": now.r,
        "rounds": terms.rounds,
        "starts": now.starts,
        "bounty": format_credits(terms.bounty),
        "paid": format_credits(now.paid),
        "target": format_loss(terms.target),
        "initial": format_loss(now.initial) if measured else None,
        "best": format_loss(now.best) if measured else None,
        "joined": now.indexes,
        "max_members": terms.max_members,
        "secrecy": Secrecy(terms.secrecy).name.lower(),
        "admit": "open" if terms.admit_open else "approve",
        "opened": posting.opened,
        "ends": terms.ends,
        "deadline": None if now.end or now.state in DRAWING else now.deadline or None,
        "ended": now.ended or None,
        "left": None,
    }


# --- everything -----------------------------------------------------------------------------------------------------------------


def describe(reader: Reader, federation: bytes, members: Members) -> Json | None:
    """Everything about a federation; None where there is none."""
    found, summary = _read(reader, federation), summarise(reader, federation)
    if found is None or summary is None:
        return None
    posting, now = found
    terms = posting.terms
    params = params_at(reader, records.NUMBER, FederationParams, posting.opened)
    states = [MemberState(one.state).name.lower() for _, one in members]
    return {
        **summary,
        "terms": describe_terms(terms),
        "fee": format_credits(terms.fee),
        "bounty_left": format_credits(_escrowed(reader, records.bounty_escrow(federation))),
        "fees_left": format_credits(_escrowed(reader, records.fee_escrow(federation))),
        "most_starts": formulas.most_starts(terms.rounds),
        "latest_end": formulas.latest_end(params, terms),
        "members": {state.name.lower(): states.count(state.name.lower()) for state in MemberState},
        "clip": format_loss(now.clip),
        "streak": now.streak,
        "base": cid_text(now.base),
        "best_model": {"cid": cid_text(now.best_model), "size": terms.size} if now.best_model else None,
        "best_round": now.best_r,
        "again": now.again,
        "panel": [_seat(one) for one in now.panel],
        "attempt": _attempt(reader, federation),
        **describe_cells(reader, federation, members),
    }


def describe_terms(terms: FederationTerms) -> Json:
    image = terms.image
    hidden = [{"cid": cid_text(one.cid), "size": one.size} for one in terms.hidden]
    return {
        "image": {
            "kind": ImageKind(image.kind).name.lower(),
            "reference": image.reference,
            "cid": cid_text(image.cid),
            "image_id": image.image_id.hex(),
            "size": image.size,
        },
        "arch": Arch(terms.arch).name.lower(),
        "params": terms.params,
        "limits": {name: getattr(terms.limits, name) for name in LIMITS},
        "model": {"cid": cid_text(terms.model), "size": terms.size, "dims": terms.dims},
        "hidden": hidden[0] if hidden else None,
        "schema": cid_text(terms.schema) or None,
        "float_kind": FloatKind(terms.float_kind).name.lower(),
        "tol": format_loss(terms.tol),
        **{name: getattr(terms, name) for name in ("round_ms", "pace_ms", "min_members", "max_members", "min_sum", "vetted")},
        "secrecy": Secrecy(terms.secrecy).name.lower(),
        "rule": AggregationRule(terms.rule).name.lower(),
        "split": PaySplit(terms.split).name.lower(),
        "clip": format_loss(terms.clip),
        **{name: getattr(terms, name) for name in ("reference", "patience", "outside", "dp_milli")},
    }


def _seat(seat: PanelSeat) -> Json:
    return {
        "account": address(seat.account),
        "committed": bool(seat.commitment),
        "code": MeasureCode(seat.opened[0].code).name if seat.opened else None,
        "holds": bool(seat.opened) and seat.holds,
        "silent": seat.silent,
    }


def _attempt(reader: Reader, federation: bytes) -> Json | None:
    attempt, roster = reader.get(records.attempt_key(federation)), reader.get(records.roster_key(federation))
    if not isinstance(attempt, AttemptRecord) or not isinstance(roster, AttemptRoster):
        return None
    files = [reader.get(records.file_key(federation, place)) for place in range(attempt.files)]
    return {
        "attempt": attempt.number,
        "aggregators": [_aggregator(reader, federation, account) for account in attempt.seats],
        "roster": len(roster.members),
        "vetted": sum(one.vetted for one in roster.members),
        "files": [address(one.account) for one in files if isinstance(one, UpdateFile)],
        "reference": bool(attempt.reference),
    }


def _aggregator(reader: Reader, federation: bytes, account: bytes) -> Json:
    seat = reader.get(records.aggregator_key(federation, account))
    known = seat if isinstance(seat, AggregatorSeat) else records.NEW_AGGREGATOR
    return {
        "account": address(account),
        "ready": bool(known.key),
        "have": known.said_have,
        "screened": bool(known.screen),
        "summed": bool(known.sum),
    }


# --- members --------------------------------------------------------------------------------------------------------------------


def members_of(reader: Reader, federation: bytes) -> list[tuple[bytes, FederationMember]]:
    """Those that the state knows, `store.MOST_KNOWN` at most, and those that left it where the reader knows of these; by id."""
    prefix = records.MEMBERS_OF + federation
    found = dict(reader.left(prefix)) if isinstance(reader, PastReader) else {}
    found |= dict(reader.scan(prefix, 2 * MOST_MEMBERS))
    return [(key[len(prefix) :], one) for key, one in sorted(found.items()) if isinstance(one, FederationMember)]


def describe_members(reader: Reader, federation: bytes, members: Members) -> list[Json] | None:
    """By their indexes, then who was never admitted, by the time of asking. None where there is no such federation."""
    if (found := _read(reader, federation)) is None:
        return None
    posting, now = found
    ordered = sorted(members, key=lambda pair: (not pair[1].index, pair[1].index, pair[1].since, pair[0]))
    return [_member(posting.terms, now, account, one) for account, one in ordered]


def _member(terms: FederationTerms, now: FederationRecord, account: bytes, one: FederationMember) -> Json:
    return {
        "account": address(account),
        "state": MemberState(one.state).name,
        "index": one.index - 1 if one.index else None,
        "since": one.since,
        "digest": one.digest.hex(),
        "n": one.n,
        "bad": one.bad,
        "benched": one.benched_until if one.benched_until > now.starts else None,
        "points": one.points,
        "paid": format_credits(one.paid),
        "share_ppm": MILLION * one.paid // terms.bounty,
        "vault": cid_text(one.vault) or None,
    }


# --- rounds ---------------------------------------------------------------------------------------------------------------------


def describe_rounds(reader: Reader, federation: bytes, rounds: Sequence[int], members: Members) -> list[Json]:
    """Those of these rounds that were summed and that the reader knows, in this order."""
    by_index = {one.index - 1: account for account, one in members if one.index}
    found = ((r, reader.get(records.round_key(federation, r))) for r in rounds)
    return [_round(r, one, by_index) for r, one in found if isinstance(one, RoundRecord)]


def _round(r: int, one: RoundRecord, by_index: dict[int, bytes]) -> Json:
    bits = formulas.of_bitmap(one.accepted)
    accepted = [by_index[index] for index in range(MOST_MEMBERS) if bits >> index & 1 and index in by_index]
    return {
        "round": r,
        "attempt": one.attempt,
        "base": cid_text(one.base),
        "model": cid_text(one.model),
        "delta": cid_text(one.delta),
        "clip": format_loss(one.clip),
        "aggregators": [address(account) for account in one.by],
        "accepted": [address(account) for account in accepted],
        "invalid": one.invalid,
        "loss": format_loss(one.loss) if one.outcome and not one.invalid else None,
        "pot": format_credits(one.pot),
        "outcome": RoundOutcome(one.outcome).name if one.outcome else None,
        "settled": one.settled or None,
    }


def model_of_round(reader: Reader, federation: bytes, r: int | None) -> tuple[bytes, int] | None:
    """CID and bytes of the model that a round summed (0: the initial one), or of the best one (None). None where there is none."""
    if (found := _read(reader, federation)) is None:
        return None
    posting, now = found
    if r == 0:
        return posting.terms.model, posting.terms.size
    if r is None:
        return (now.best_model, posting.terms.size) if now.best_model else None
    one = reader.get(records.round_key(federation, r))
    return (one.model, posting.terms.size) if isinstance(one, RoundRecord) else None
