"""ServeModel, UnserveModel: who answers for a model, with which stake. LC-PRE-9, 10."""

from __future__ import annotations

from learningchain.chain.contracts.prediction import formulas, histories, messages, records, retiring
from learningchain.chain.contracts.prediction.guards import (
    model_of,
    require_active,
    require_box_key,
    require_flag,
    require_live,
    require_standing,
)
from learningchain.chain.contracts.prediction.messages import PredictionCode, ServeModel, UnserveModel
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import ServedModel, ServerRecord
from learningchain.chain.contracts.prediction.store import ModelContext
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host
from learningchain.chain.types import format_credits


def serve_model(host: Host, sender: bytes, m: ServeModel) -> None:
    """LC-PRE-9, 59"""
    model = model_of(host, m.model)
    require_live(model)
    require_active(host, sender, "serve a model")
    require_flag(host, sender)
    require_standing(host, sender, "serve a model")
    require_box_key(host, sender)
    known = model.server(sender)
    if known is not None and known.leaving:
        raise Reject(PredictionCode.NOT_SERVING, "you are leaving this model: serve it again once your stake is back")
    if known is None and len(model.servers) >= host.params_of(PredictionParams).pred_servers:
        raise Reject(PredictionCode.SERVERS_FULL, f"the model has {len(model.servers)} servers, no more are allowed")
    _check_stake(host, model, sender, m.amount)
    host.lock(sender, records.stake_escrow(model.id, sender), m.amount, "stake.served", model.id)
    if known is None:
        model.put_servers([*model.servers, sender])
        host.put(records.server_key(model.id, sender), _come(model, sender))
        host.put(records.served_key(sender, model.id), ServedModel(host.clock))
    elif known.out or not known.awake:
        silent = histories.seat_ended(known.silent, False)
        model.change_server(sender, since=max(known.since, host.clock), awake=True, out=False, silent=silent)
    host.emit("server.joined", model.id, sender, model.stake(sender))


def _come(model: ModelContext, account: bytes) -> ServerRecord:
    """LC-PRE-59: who left and is back has the record that it had, and rests on."""
    now, left = model.host.clock, model.left
    known = next((one for one in left if one.account == account), None)
    if known is None:
        return ServerRecord(now, True, False, False, 0, 0, [])
    model.put_left([one for one in left if one.account != account])
    return ServerRecord(max(known.since, now), True, False, False, 0, histories.seat_ended(known.silent, False), known.record)


def _check_stake(host: Host, model: ModelContext, sender: bytes, amount: int) -> None:
    """LC-PRE-6, 9: it answers for the highest floor that is in force or to come."""
    now = model.standing
    _, floor = model.price
    highest = max(floor, now.coming_floor)
    least, stake = formulas.least_stake(host.params_of(PredictionParams).pred_stake, highest), model.stake(sender) + amount
    if not least <= stake <= messages.MAX_STAKE:
        allowed = f"{format_credits(least)} to {format_credits(messages.MAX_STAKE)} credits"
        text = f"the stake would be {format_credits(stake)} credits; with a floor of {highest} micro-credits it is {allowed}"
        raise Reject(PredictionCode.STAKE_TOO_SMALL, text)


def unserve_model(host: Host, sender: bytes, m: UnserveModel) -> None:
    """LC-PRE-10: also of a model that is retired or parked on the way out."""
    model = model_of(host, m.model)
    known = model.server(sender)
    if known is None or model.is_leaving(sender, known):
        raise Reject(PredictionCode.NOT_SERVING, "you do not serve this model, or are leaving it")
    model.change_server(sender, leaving=True)
    host.emit("server.leaving", model.id, sender)
    retiring.let_go(model, sender)
