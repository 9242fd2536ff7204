"""RegisterModel, SetPrice, RetireModel: what an owner does with a model. LC-PRE-7, 8, 11, 49."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from learningchain.chain.contracts.prediction import messages, records, retiring, store
from learningchain.chain.contracts.prediction.formulas import MAX_ROWS, PRICE_DELAY
from learningchain.chain.contracts.prediction.guards import model_of, require_active, require_live, require_owner, require_standing
from learningchain.chain.contracts.prediction.messages import (
    PredictionCode,
    Program,
    RegisterModel,
    RetireModel,
    SetPrice,
    Share,
)
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    LiveKind,
    ModelRecord,
    NamedModel,
    OwnedModel,
    OwnerRecord,
    RetireReason,
)
from learningchain.chain.contracts.prediction.tally import ModelKind
from learningchain.chain.errors import Reject
from learningchain.chain.host import TRAINED, WINNERS, Host
from learningchain.chain.host.terms import Arch, Limits, image_fault, is_cid, limit_fault

NAME = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)
KINDS, ARCHITECTURES = frozenset(ModelKind), frozenset(Arch)
BOUNDS: dict[str, tuple[int, int]] = {
    "tol": (1, messages.MAX_TOL),
    "royalty": (0, messages.MAX_ROYALTY),
    "floor": (1, messages.MAX_FLOOR),
    "slots": (1, messages.MAX_SLOTS),
    "max_rows": (1, MAX_ROWS),
    "input_cap": (1, messages.MAX_INPUT),
    "row_ms": (1, messages.MAX_ROW_MS),
    "start_s": (1, messages.MAX_START_S),
}
"""LC-PRE-49"""


def register_model(host: Host, sender: bytes, m: RegisterModel) -> None:
    """LC-PRE-7"""
    require_active(host, sender, "register a model")
    require_standing(host, sender, "register a model")
    _check_terms(host, m)
    if NAME.fullmatch(m.name) is None:
        raise Reject(PredictionCode.BAD_NAME, f"a model's name is 1 to 64 characters of a-z 0-9 . _ -, not {m.name!r}")
    for previous in m.previous:
        require_owner(model_of(host, previous), sender, "replaces it by another one")
    program = m.program[0] if m.program else _won(host, sender, m.source[0], m.shares)
    owner, params = host.get(records.owner_key(sender), OwnerRecord) or OwnerRecord(0), host.params_of(PredictionParams)
    if owner.live >= params.pred_models:
        raise Reject(PredictionCode.TOO_MANY_MODELS, f"{owner.live} of your models are live, no more are allowed")
    model = messages.model_id_of(host.tx_id, host.op_index)
    host.lock(sender, records.deposit_escrow(model), params.pred_deposit, "model.deposit.locked", model)
    _put(host, sender, model, program, m, OwnerRecord(owner.live + 1))
    host.emit("model.registered", model, sender, m.name, m.royalty, m.floor)


def _put(host: Host, sender: bytes, model: bytes, program: Program, m: RegisterModel, owner: OwnerRecord) -> None:
    """The program is kept once, with the model, wherever it came from."""
    number = store.totals(host).models
    store.count(host, models=number + 1)
    terms = replace(m, program=[])
    host.put(records.model_key(model), ModelRecord(sender, number, host.clock, program, terms))
    host.put(records.standing_key(model), records.new_standing(m.royalty, m.floor))
    host.put(records.owner_key(sender), owner)
    host.put(records.owned_key(sender, model), OwnedModel(number))
    host.put(records.name_key(sender, m.name), NamedModel(model))
    store.put_live(host, model, LiveKind.MODEL, number)


# --- terms ---------------------------------------------------------------------------------------------------------------------


def _check_terms(host: Host, m: RegisterModel) -> None:
    """LC-PRE-49"""
    for name, (low, high) in BOUNDS.items():
        value = getattr(m, name)
        if not low <= value <= high:
            raise _bad(f"{name} is {value}, it may be {low} to {high}")
    if m.kind not in KINDS:
        raise _bad(f"unknown kind of model {m.kind}")
    low, high = (messages.MIN_CLASSES, messages.MAX_CLASSES) if m.kind == ModelKind.CLASS else (0, 0)
    if not low <= m.classes <= high:
        raise _bad(f"a {ModelKind(m.kind).name} model has {low} to {high} classes, not {m.classes}")
    if bool(m.source) == bool(m.program):
        raise _bad("either a source or a program is given, and not both")
    for program in m.program:
        _check_program(program)
    for what, cid in (("schema", m.schema), ("sample", m.sample), ("sample_answers", m.sample_answers)):
        if cid and not is_cid(cid):
            raise _bad(f"{what} is a CIDv1 with sha2-256, or empty")
    if bool(m.sample) != bool(m.sample_answers):
        raise _bad("a sample comes with its answers")
    for share in m.shares:
        if not 1 <= share.weight <= messages.MAX_WEIGHT:
            raise _bad(f"a share's weight is 1 to {messages.MAX_WEIGHT}, not {share.weight}")
        host.known_account(share.account)


def _check_program(program: Program) -> None:
    if fault := image_fault(program.image):
        raise _bad(fault)
    if program.arch not in ARCHITECTURES:
        raise _bad(f"unknown processor architecture {program.arch}")
    if len(program.params.encode()) > messages.MAX_MODEL_PARAMS:
        raise _bad(f"params may have {messages.MAX_MODEL_PARAMS} bytes; put data into the image")
    if not is_cid(program.model):
        raise _bad("the model is named by a CIDv1 with sha2-256")
    limits = Limits(program.cpus_milli, program.mem_mb, 1, 1, program.size, program.tmp_mb, program.threads)
    if fault := limit_fault(limits):
        raise _bad(fault.replace("model_cap", "size"))


def _bad(text: str) -> Reject:
    return Reject(PredictionCode.BAD_MODEL_TERMS, text)


def _won(host: Host, sender: bytes, source: bytes, shares: Sequence[Share]) -> Program:
    """LC-PRE-7: what ran in a paid job of the sender, with its winner's model; or in a federation, with its best one, whose royalty
    is its owners' (LC-FED-53)."""
    won = host.service(WINNERS).of(source)
    if won is None or won.poster != sender:
        won = host.service(TRAINED).of(source, sender)
    if won is None:
        text = (
            f"{source.hex()} is no job of yours that a winner was paid for, and no federation that ended with a model which is "
            "yours to offer; or it left the state"
        )
        raise Reject(PredictionCode.BAD_SOURCE, text)
    limits = won.limits
    within = (limits.cpus_milli, limits.mem_mb, limits.tmp_mb, limits.threads)
    if won.shares is not None and tuple((share.account, share.weight) for share in shares) != won.shares:
        text = (
            f"the royalty of what a federation trained is its owners', by their pay: {len(won.shares)} shares, by account, "
            f"the largest weight {messages.MAX_WEIGHT}, the others in proportion and rounded down"
        )
        raise _bad(text)
    return Program(won.image, won.arch, won.params, won.model, won.size, *within)


# --- afterwards ----------------------------------------------------------------------------------------------------------------


def set_price(host: Host, sender: bytes, m: SetPrice) -> None:
    """LC-PRE-8: a higher floor holds an hour later: nobody who serves by the old one is shut out at once."""
    model = model_of(host, m.model)
    require_owner(model, sender, "sets the price")
    require_live(model)
    if (m.expected_royalty, m.expected_floor) != model.price_set:
        known = "royalty {} and floor {}".format(*model.price_set)
        raise Reject(PredictionCode.PRICE_CHANGED, f"the price last set is {known} micro-credits, another one was expected")
    for name in ("royalty", "floor"):
        low, high = BOUNDS[name]
        if not low <= getattr(m, name) <= high:
            raise _bad(f"{name} is {getattr(m, name)}, it may be {low} to {high}")
    royalty, floor = model.price
    if m.floor > floor:
        at = host.clock + PRICE_DELAY
        coming = {"coming_royalty": m.royalty, "coming_floor": m.floor, "coming_at": at}
        model.change(royalty=royalty, floor=floor, **coming)
    else:
        at = host.clock
        model.change(royalty=m.royalty, floor=m.floor, coming_royalty=0, coming_floor=0, coming_at=0)
    host.emit("model.price", m.model, m.royalty, m.floor, at)


def retire_model(host: Host, sender: bytes, m: RetireModel) -> None:
    """LC-PRE-11"""
    model = model_of(host, m.model)
    require_owner(model, sender, "retires it")
    require_live(model)
    retiring.retire(model, RetireReason.OWNER)
