"""What the state says of models, requests and policies, as the API's JSON. Plain functions over a reader: of the state, or of what
left it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.decisions import Decision
from learningchain.chain.contracts.prediction.formulas import least_stake
from learningchain.chain.contracts.prediction.histories import silent_in_a_row
from learningchain.chain.contracts.prediction.messages import Program, RegisterModel
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.payouts import KEPT
from learningchain.chain.contracts.prediction.records import (
    ANSWERED,
    ENDED,
    ModelRecord,
    ModelServers,
    ModelStanding,
    ModelState,
    PolicyRecord,
    PredictionResult,
    PredictionSeat,
    RequestRecord,
    RequestState,
    RequestTerms,
    ServerRecord,
)
from learningchain.chain.contracts.prediction.tally import VALUED, AnswerCode, ModelKind, PredictionOutcome, is_withheld
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.crypto import address
from learningchain.chain.host import Escrow, Reader, escrow_key, read_params
from learningchain.chain.host.terms import Arch, ImageKind
from learningchain.chain.types import cid_text, format_credits, format_loss
from learningchain.client.schema.render import Json

APPEAL_ROUND = 3


def _escrowed(reader: Reader, escrow: bytes) -> int:
    found = reader.get(escrow_key(escrow))
    return found.amount if isinstance(found, Escrow) else 0


# --- models --------------------------------------------------------------------------------------------------------------------


def _model(reader: Reader, model: bytes) -> tuple[ModelRecord, ModelStanding] | None:
    found, standing = reader.get(records.model_key(model)), reader.get(records.standing_key(model))
    return (found, standing) if isinstance(found, ModelRecord) and isinstance(standing, ModelStanding) else None


def prices(standing: ModelStanding, clock: int) -> tuple[int, int]:
    """Royalty and floor in force, in micro-credits."""
    if standing.coming_at and clock >= standing.coming_at:
        return standing.coming_royalty, standing.coming_floor
    return standing.royalty, standing.floor


def summarise_model(reader: Reader, model: bytes, clock: int) -> Json | None:
    """None where there is no such model."""
    if (found := _model(reader, model)) is None:
        return None
    record, standing = found
    servers = [server for server, _ in _servers(reader, model)]
    awake = sum(one.awake and not one.out and not one.leaving for _, one in _servers(reader, model))
    royalty, floor = prices(standing, clock)
    return {
        "id": model.hex(),
        "number": record.number,
        "name": record.terms.name,
        "owner": address(record.owner),
        "state": ModelState(standing.state).name,
        "kind": ModelKind(record.terms.kind).name.lower(),
        "classes": record.terms.classes or None,
        "price": format_credits(royalty),
        "floor": format_credits(floor),
        "servers": len(servers),
        "awake": awake,
        "waiting": standing.waiting,
        "registered": record.registered,
    }


def describe_model(reader: Reader, model: bytes, clock: int) -> Json | None:
    """Everything about a model; None where there is none."""
    found, summary = _model(reader, model), summarise_model(reader, model, clock)
    if found is None or summary is None:
        return None
    record, standing = found
    coming = standing.coming_at if standing.coming_at > clock else 0
    most = max(standing.floor, standing.coming_floor)
    base = read_params(reader, records.NUMBER, PredictionParams).pred_stake
    return {
        **summary,
        "next": _price(standing.coming_royalty, standing.coming_floor) if coming else None,
        "next_from": coming or None,
        **_terms(record.terms),
        **_program(record.program),
        "deposit": format_credits(_escrowed(reader, records.deposit_escrow(model))),
        "royalties": format_credits(_escrowed(reader, records.royalty_escrow(model))),
        "stake_needed": format_credits(least_stake(base, most)),
        "members": [_server(reader, model, server, one) for server, one in _servers(reader, model)],
    }


def _price(royalty: int, floor: int) -> Json:
    return {"price": format_credits(royalty), "floor": format_credits(floor)}


def _terms(terms: RegisterModel) -> Json:
    return {
        "tol": format_loss(terms.tol),
        **{name: getattr(terms, name) for name in ("slots", "max_rows", "input_cap", "row_ms", "start_s")},
        **{name: cid_text(getattr(terms, name)) or None for name in ("schema", "sample", "sample_answers")},
        "source": terms.source[0].hex() if terms.source else None,
        "previous": terms.previous[0].hex() if terms.previous else None,
        "shares": [{"account": address(share.account), "weight": share.weight} for share in terms.shares],
    }


def _program(program: Program) -> Json:
    image = program.image
    return {
        **{name: getattr(program, name) for name in ("cpus_milli", "mem_mb", "tmp_mb", "threads", "params")},
        "arch": Arch(program.arch).name.lower(),
        "image": {
            "kind": ImageKind(image.kind).name.lower(),
            "reference": image.reference,
            "cid": cid_text(image.cid),
            "image_id": image.image_id.hex(),
            "size": image.size,
        },
        "model": {"cid": cid_text(program.model), "size": program.size},
    }


def _servers(reader: Reader, model: bytes) -> list[tuple[bytes, ServerRecord]]:
    listed = reader.get(records.servers_key(model))
    members = listed.servers if isinstance(listed, ModelServers) else []
    found = [(server, reader.get(records.server_key(model, server))) for server in members]
    return [(server, one) for server, one in found if isinstance(one, ServerRecord)]


def _server(reader: Reader, model: bytes, server: bytes, one: ServerRecord) -> Json:
    bad = sum(entry.bad for entry in one.record)
    return {
        "server": address(server),
        "state": "leaving" if one.leaving else "out" if one.out else "awake" if one.awake else "asleep",
        "since": one.since,
        "stake": format_credits(_escrowed(reader, records.stake_escrow(model, server))),
        "unfinal": one.unfinal,
        "good": len(one.record) - bad,
        "bad": bad,
        "silent": silent_in_a_row(one.silent),
    }


# --- requests ------------------------------------------------------------------------------------------------------------------


def _request(reader: Reader, request: bytes) -> tuple[RequestTerms, RequestRecord] | None:
    asked, record = reader.get(records.terms_key(request)), reader.get(records.request_key(request))
    return (asked, record) if isinstance(asked, RequestTerms) and isinstance(record, RequestRecord) else None


def summarise_request(reader: Reader, request: bytes) -> Json | None:
    """None where there is no such request."""
    if (found := _request(reader, request)) is None:
        return None
    asked, record = found
    outcome = _outcome(record)
    cost = _cost(reader, request, asked, record)
    return {
        "id": request.hex(),
        "number": asked.number,
        "model": asked.terms.model.hex(),
        "requester": address(asked.requester),
        "state": RequestState(record.state).name,
        "outcome": outcome,
        "rows": asked.terms.rows,
        "n": asked.terms.answers,
        "agree_asked": asked.terms.agree,
        "tip": format_credits(record.tip),
        "locked": format_credits(_escrowed(reader, records.charge_escrow(request))),
        "cost": None if cost is None else format_credits(cost),
        "posted": asked.posted,
        "deadline": record.deadline or None,
        "ended": record.ended or None,
    }


def _outcome(record: RequestRecord) -> str | None:
    """One that ended without an outcome was given back by a restart of the network, or by the validators."""
    if record.outcome:
        return PredictionOutcome(record.outcome).name
    return "GIVEN_BACK" if record.state in ENDED else None


def _cost(reader: Reader, request: bytes, asked: RequestTerms, record: RequestRecord) -> int | None:
    """What the requester paid in the end, in micro-credits; None while it is not known (LC-PRE-30 to LC-PRE-32)."""
    outcome = record.outcome
    if not outcome:
        return 0 if record.state in ENDED else None
    amounts = records.amounts_of(asked, record.tip)
    paid = [seat for seat in _seats(reader, request, record) if seat["round"] != APPEAL_ROUND]
    opened, payees = any(seat["code"] for seat in paid), len([seat for seat in paid if seat["paid"] != "0"])
    if outcome in VALUED:
        g = sum(bool(value.support) for value in _values(reader, request))
        return payees * (amounts.tip * g // (amounts.n * amounts.rows)) + amounts.p * g + amounts.burned
    if outcome == PredictionOutcome.NO_KEYS:
        return len(paid) * amounts.share + amounts.burned
    codes = [AnswerCode[seat["code"]] for seat in paid if seat["code"]]
    if AnswerCode.OK in codes and is_withheld(codes):
        return payees * amounts.share + amounts.royalty + amounts.burned
    if opened and outcome != PredictionOutcome.MODEL_FAULT:
        return payees * amounts.quarter + amounts.burned
    if record.evictor or outcome == PredictionOutcome.CANCELLED:
        return amounts.burned
    return amounts.kept if outcome in KEPT else 0


def describe_request(reader: Reader, request: bytes) -> Json | None:
    """Everything about a request; None where there is none."""
    found, summary = _request(reader, request), summarise_request(reader, request)
    if found is None or summary is None:
        return None
    asked, record = found
    terms, amounts, seats = asked.terms, records.amounts_of(asked, record.tip), _seats(reader, request, record)
    result = reader.get(records.result_key(request))
    known = result if isinstance(result, PredictionResult) else None
    standing = reader.get(records.standing_key(terms.model))
    return {
        **summary,
        "place": _place(reader, request, asked, record),
        "queue": standing.waiting if isinstance(standing, ModelStanding) else 0,
        "wait_until": asked.posted + terms.wait,
        "royalty": format_credits(amounts.royalty),
        "burned": format_credits(amounts.burned),
        "input": {"cid": cid_text(terms.cid), "size": terms.size, "inline": bool(terms.inline)},
        "private": bool(terms.key_hash),
        "policy": terms.policy[0].hex() if terms.policy else None,
        "round": record.round,
        "asked": record.wanted,
        "seats": seats,
        "votes": dict(Counter(seat["code"] for seat in seats if seat["code"] and seat["round"] != APPEAL_ROUND)),
        "values": _shown_values(reader, request, terms.model),
        "valued": sum(bool(value.support) for value in _values(reader, request)),
        "agree": known.agree if known is not None and known.outcome in VALUED else None,
        "decisions": [
            {
                "row": row,
                "decision": Decision(one.decision).name.lower(),
                "rate_ppm": one.rate,
                "borderline": one.borderline,
            }
            for row, one in enumerate(known.decisions if known is not None else [])
        ],
        "ordinal": asked.ordinal,
        "appeal": _appeal(reader, request, record),
    }


def _place(reader: Reader, request: bytes, asked: RequestTerms, record: RequestRecord) -> int | None:
    """Its place in the queue, counted from 1, at most as far as one looks."""
    if record.state != RequestState.WAITING:
        return None
    own = records.queue_key(asked.terms.model, record.rank, asked.position)
    prefix = records.QUEUE + asked.terms.model
    scan: Any = reader
    return 1 + len([key for key, _ in scan.scan(prefix, MAX_QUEUE) if key < own])


MAX_QUEUE = 1_024


def _seats(reader: Reader, request: bytes, record: RequestRecord) -> list[Json]:
    """Those of all rounds in the order of the draws: from the seats, or once these are gone from what became of them."""
    found: list[Json] = []
    result = reader.get(records.result_key(request))
    kept = {(one.account, one.round): one for one in result.seats} if isinstance(result, PredictionResult) else {}
    for round_ in record.rounds:
        for account in round_.seats:
            seat, ended = reader.get(records.seat_key(request, round_.round, account)), kept.get((account, round_.round))
            live = seat if isinstance(seat, PredictionSeat) else None
            code = live.answer[0].code if live is not None and live.answer else ended.code if ended is not None else 0
            paid = live.paid if live is not None else ended.paid if ended is not None else 0
            found.append(
                {
                    "server": address(account),
                    "round": round_.round,
                    "committed": bool(live.commitment) if live is not None else bool(code),
                    "opened": bool(code),
                    "code": AnswerCode(code).name if code else None,
                    "unfit": live.answer[0].unfit if live is not None and live.answer else None,
                    "paid": format_credits(paid),
                }
            )
    return found


def _values(reader: Reader, request: bytes) -> list[Any]:
    result = reader.get(records.result_key(request))
    return list(result.values) if isinstance(result, PredictionResult) and result.outcome in VALUED else []


def _shown_values(reader: Reader, request: bytes, model: bytes) -> list[Json]:
    result, found = reader.get(records.result_key(request)), reader.get(records.model_key(model))
    classes = isinstance(found, ModelRecord) and found.terms.kind == ModelKind.CLASS
    changed = {one.row: one for one in result.changed} if isinstance(result, PredictionResult) else {}
    shown = []
    for row, value in enumerate(_values(reader, request)):
        new = changed.get(row)
        said = new is not None and new.support
        shown.append(
            {
                "row": row,
                "class": value.label if value.support and classes else None,
                "score": format_loss(value.score) if value.support else None,
                "support": value.support,
                "new_class": new.label if said and classes and new is not None else None,
                "new_score": format_loss(new.score) if said and new is not None else None,
            }
        )
    return shown


def _appeal(reader: Reader, request: bytes, record: RequestRecord) -> Json | None:
    if not record.appellant:
        return None
    judges = next((len(one.seats) for one in record.rounds if one.round == APPEAL_ROUND), 0)
    return {
        "appellant": address(record.appellant),
        "bond": format_credits(_escrowed(reader, records.bond_escrow(request))),
        "rows": list(record.rows or record.named),
        "judges": judges,
        "verdict": AppealVerdict(record.appeal).name if record.appeal else None,
    }


def is_answered(reader: Reader, request: bytes) -> bool:
    record = reader.get(records.request_key(request))
    return isinstance(record, RequestRecord) and (record.state in ENDED or record.state in ANSWERED)


def is_ended(reader: Reader, request: bytes) -> bool:
    record = reader.get(records.request_key(request))
    return isinstance(record, RequestRecord) and record.state in ENDED


# --- policies ------------------------------------------------------------------------------------------------------------------


def describe_policy(reader: Reader, policy: bytes) -> Json | None:
    """None where there is none."""
    found = reader.get(records.policy_key(policy))
    if not isinstance(found, PolicyRecord):
        return None
    terms = found.terms
    return {
        "id": policy.hex(),
        "number": found.number,
        "model": terms.model.hex(),
        "owner": address(found.owner),
        "accept": "below" if terms.below else "above",
        "threshold": format_loss(terms.threshold),
        "rates": [{"start": format_loss(rate.start), "ppm": rate.ppm} for rate in terms.rates],
        "least": terms.least,
        "most": terms.most,
        "live": found.live,
        "dropped": found.due or None,
    }
