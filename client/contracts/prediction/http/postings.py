"""What requests of the API mean as messages of the contract. Plain functions; a refusal names the field."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import MAX_SCORE, Amounts
from learningchain.chain.contracts.prediction.messages import (
    MAX_INLINE,
    MAX_MODEL_PARAMS,
    PolicyRate,
    Program,
    RegisterModel,
    RegisterPolicy,
    RequestPrediction,
    Share,
    inline_cid,
)
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import ModelRecord, ModelStanding
from learningchain.chain.contracts.prediction.tally import ModelKind
from learningchain.chain.crypto import parse_address, sha256
from learningchain.chain.host import Reader, read_params
from learningchain.chain.host.terms import Arch
from learningchain.chain.types import parse_credits, parse_loss
from learningchain.client.api.errors import not_found, usage
from learningchain.client.api.posting import binary_cid, build_image, params_text, parse_not_negative
from learningchain.client.api.route import parse_field, parse_hash
from learningchain.client.contracts.prediction.http.lines import lines_of
from learningchain.client.contracts.prediction.http.schema import ModelRequest, PolicyRequest, PredictionRequest
from learningchain.client.contracts.prediction.http.views import prices
from learningchain.client.contracts.prediction.roles import private
from learningchain.client.contracts.prediction.settings import parse_model

LOWEST_START = -999_999_999 * 10**9
"""What the first rate of a policy may be written to begin at: nothing that a model says is below it but the least scores of all."""
ROWS_JSON = "rows is not valid: a row is no JSON value that this node can write. Correct rows"


# --- models --------------------------------------------------------------------------------------------------------------------


def find_model(reader: Reader, text: str) -> bytes:
    """A model by its id, or as `lc1…/name` (`~` in a path). Raises `RequestError`."""
    ref, name = parse_field("model", parse_model, text.replace("~", "/", 1))
    if name:
        named = reader.get(records.name_key(ref, name))
        if not isinstance(named, records.NamedModel):
            raise not_found(f"There is no model {text[:160]}. GET /v1/models lists the models", name="NO_SUCH_MODEL")
        ref = named.model
    if not isinstance(reader.get(records.model_key(ref)), ModelRecord):
        raise not_found(f"There is no model {ref.hex()} on this network. GET /v1/models lists the models", name="NO_SUCH_MODEL")
    return ref


def build_model(body: ModelRequest) -> RegisterModel:
    """Raises `RequestError` naming the field."""
    if (body.job is None) == (body.image is None):
        raise usage("The model is not valid: exactly one of job and image is needed. Give a paid job, or image and model")
    if body.job is not None and (body.model or body.limits or body.params):
        raise usage("The model is not valid: a job brings its model, limits and params along. Leave these out")
    if body.kind == "class" and body.classes is None:
        raise usage("classes is missing: a model of kind class says how many classes there are")
    return RegisterModel(
        name=body.name,
        source=[parse_field("job", parse_hash, body.job)] if body.job is not None else [],
        previous=[parse_field("previous", parse_hash, body.previous)] if body.previous is not None else [],
        program=[] if body.job is not None else [_program(body)],
        kind=ModelKind.CLASS if body.kind == "class" else ModelKind.NUMBER,
        classes=body.classes or 0,
        tol=parse_field("tol", parse_not_negative, body.tol),
        royalty=parse_field("price", parse_credits, body.price),
        floor=parse_field("floor", parse_credits, body.floor),
        slots=body.slots,
        max_rows=body.max_rows,
        input_cap=body.input_cap,
        row_ms=body.row_ms,
        start_s=body.start_s,
        schema=binary_cid("schema.cid", body.schema.cid) if body.schema is not None else b"",
        sample=binary_cid("sample", body.sample) if body.sample is not None else b"",
        sample_answers=binary_cid("sample_answers", body.sample_answers) if body.sample_answers is not None else b"",
        origin=[],
        shares=[Share(parse_field("shares.account", parse_address, one.account), one.weight) for one in body.shares],
    )


def _program(body: ModelRequest) -> Program:
    if body.image is None or body.model is None:
        raise usage("model is missing: beside an image stands the model's file, {cid, size}")
    limits = body.limits
    cpus = 1.0 if limits is None else limits.cpus
    threads = None if limits is None else limits.threads
    return Program(
        image=build_image(body.image, "the model"),
        arch=Arch[(limits.arch if limits is not None else "amd64").upper()],
        params=params_text(body.params, MAX_MODEL_PARAMS),
        model=binary_cid("model.cid", body.model.cid),
        size=body.model.size,
        cpus_milli=round(cpus * 1_000),
        mem_mb=512 if limits is None else limits.mem_mb,
        tmp_mb=64 if limits is None else limits.tmp_mb,
        threads=math.ceil(cpus) if threads is None else threads,
    )


# --- requests ------------------------------------------------------------------------------------------------------------------


class AskedRows(msgspec.Struct, frozen=True):
    """The rows of a request: their text, or the file that has it."""

    cid: bytes
    size: int
    rows: int
    text: bytes | None = None
    key_hash: bytes = b""
    """Of a private request, whose file is encrypted."""

    @property
    def inline(self) -> bytes:
        return self.text if self.text is not None and len(self.text) <= MAX_INLINE else b""


def asked_rows(body: PredictionRequest) -> AskedRows:
    """Raises `RequestError` unless exactly one of rows, input and data is there."""
    if sum(one is not None for one in (body.rows, body.input, body.data)) != 1:
        raise usage("The rows are not valid: exactly one of rows, input and data is needed. Give one of them")
    if body.data is not None:
        if body.count is None:
            raise usage("count is missing: beside data stands how many rows the file has")
        return AskedRows(binary_cid("data.cid", body.data.cid), body.data.size, body.count)
    try:
        if body.rows is not None:
            text = b"".join(msgspec.json.encode(row) + b"\n" for row in body.rows)
        else:
            text = (body.input or "").encode()
    except (ValueError, TypeError, RecursionError):
        raise usage(ROWS_JSON) from None
    count = len(lines_of(text))
    if not text:
        raise usage("input is empty: a request asks for one row at least")
    return AskedRows(inline_cid(text), len(text), count, text)


def asked_privately(body: PredictionRequest, rng: Callable[[int], bytes]) -> tuple[AskedRows, bytes | None]:
    """The rows as they leave the node, and the key of those that are encrypted. Raises `RequestError`."""
    asked = asked_rows(body)
    if body.key is not None:
        if asked.text is not None:
            raise usage("key is not valid: it is of data that is encrypted already. Leave it out, and say private: true")
        key = bytes.fromhex(body.key)
        return msgspec.structs.replace(asked, key_hash=sha256(key)), key
    if not body.private:
        return asked, None
    if asked.text is None:
        raise usage("private needs rows or input, which this node encrypts; data lies in the open already. Or give its key")
    key = private.new_key(rng)
    file = private.encrypted(asked.text, key, rng)
    return AskedRows(inline_cid(file), len(file), asked.rows, file, sha256(key)), key


def build_request(body: PredictionRequest, reader: Reader, asked: AskedRows, clock: int) -> RequestPrediction:
    """Raises `RequestError` naming the field. What it locks at most is what it takes now, unless the caller says so."""
    model = find_model(reader, body.model)
    standing = reader.get(records.standing_key(model))
    royalty, floor = prices(standing, clock) if isinstance(standing, ModelStanding) else (0, 0)
    least = floor * body.n * asked.rows
    tip = least if body.tip is None else parse_field("tip", parse_credits, body.tip)
    locked = Amounts(body.n, asked.rows, tip, royalty, floor, _kept_row(reader), len(asked.inline)).locked
    return RequestPrediction(
        model=model,
        cid=asked.cid,
        size=asked.size,
        inline=asked.inline,
        rows=asked.rows,
        answers=body.n,
        agree=min(2, body.n) if body.agree is None else body.agree,
        tip=tip,
        max_charge=locked if body.max_charge is None else parse_field("max_charge", parse_credits, body.max_charge),
        wait=round(body.within_s * 1_000),
        key_hash=[asked.key_hash] if asked.key_hash else [],
        policy=[] if body.policy is None else [parse_field("policy", parse_hash, body.policy)],
    )


def amounts_of(op: RequestPrediction, reader: Reader, clock: int) -> Amounts:
    """What a request would take now."""
    standing = reader.get(records.standing_key(op.model))
    royalty, floor = prices(standing, clock) if isinstance(standing, ModelStanding) else (0, 0)
    return Amounts(op.answers, op.rows, op.tip, royalty, floor, _kept_row(reader), len(op.inline))


def _kept_row(reader: Reader) -> int:
    return read_params(reader, records.NUMBER, PredictionParams).pred_row


# --- policies ------------------------------------------------------------------------------------------------------------------


def build_policy(body: PolicyRequest, reader: Reader) -> RegisterPolicy:
    """The first rate begins at the least score of all; one that is said to begin later would be widened in silence."""
    rates = [PolicyRate(parse_field("rates.start", parse_loss, one.start), one.ppm) for one in body.rates]
    if rates[0].start > LOWEST_START:
        raise usage(
            f"rates[0].start is {body.rates[0].start}, and the first rate holds from the least value of all on: write -999999999 "
            "there. Values that shall have no rate are kept out by accept and threshold"
        )
    rates[0] = PolicyRate(-MAX_SCORE, rates[0].ppm)
    return RegisterPolicy(
        model=find_model(reader, body.model),
        below=body.accept == "below",
        threshold=parse_field("threshold", parse_loss, body.threshold),
        rates=rates,
        least=body.least,
        most=body.most,
    )
