"""What requests of the API mean as messages: what is left out has its default, what contradicts itself is refused by its name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import MAX_SCORE
from learningchain.chain.contracts.prediction.messages import MAX_INLINE, MAX_MODEL_PARAMS, inline_cid
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import ModelRecord, NamedModel, new_standing
from learningchain.chain.contracts.prediction.tally import ModelKind
from learningchain.chain.crypto import address, sha256
from learningchain.chain.host import params_key
from learningchain.chain.host.terms import Arch, ImageKind
from learningchain.client.api.errors import RequestError
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.prediction.http.postings import (
    amounts_of,
    asked_privately,
    asked_rows,
    build_model,
    build_policy,
    build_request,
)
from learningchain.client.contracts.prediction.http.schema import ModelRequest, PolicyRequest, PredictionRequest
from tests.unit.api_kit import MODEL_CID
from tests.unit.prediction_kit import program, registration, sha

OWNER = bytes(range(20))
MODEL, HOUR = sha("model"), 3_600_000
IMAGE_ID = sha("image").hex()
ARCHIVE: dict[str, Any] = {"cid": str(MODEL_CID), "image_id": IMAGE_ID, "size": 1_000}
FILE: dict[str, Any] = {"cid": str(MODEL_CID), "size": 700}
BODY: dict[str, Any] = {"name": "digits", "kind": "number", "image": ARCHIVE, "model": FILE}


class State:
    """A reader of some records."""

    def __init__(self, **standing: int) -> None:
        now = msgspec.structs.replace(new_standing(1_000, 100), **standing)
        self.records: dict[bytes, Any] = {
            params_key(records.NUMBER): PredictionParams(),
            records.model_key(MODEL): ModelRecord(OWNER, 1, 0, program(), registration()),
            records.standing_key(MODEL): now,
            records.name_key(OWNER, "credit"): NamedModel(MODEL),
        }

    def get(self, key: bytes) -> Any:
        return self.records.get(key)


def posted(**changes: Any) -> Any:
    sent = {name: value for name, value in (BODY | changes).items() if value is not None}
    return build_model(msgspec.convert(sent, ModelRequest))


def body_of(**changes: Any) -> PredictionRequest:
    sent = {name: value for name, value in ({"model": MODEL.hex(), "rows": [[1, 2]]} | changes).items() if value is not None}
    return msgspec.convert(sent, PredictionRequest)


def asked(state: State | None = None, clock: int = 0, **changes: Any) -> Any:
    body = body_of(**changes)
    return build_request(body, state or State(), asked_rows(body), clock)  # type: ignore[arg-type]


def refused(what: Any, **changes: Any) -> str:
    with pytest.raises(RequestError) as refusal:
        what(**changes)
    return refusal.value.body.message


# --- models -------------------------------------------------------------------------------------------------------------------


def test_a_model_of_which_little_is_said_has_the_defaults_of_its_description() -> None:
    made = posted()
    (image,) = [one.image for one in made.program]
    (runs,) = made.program
    assert (made.kind, made.classes, made.tol, made.royalty, made.floor) == (ModelKind.NUMBER, 0, 1_000, 0, 10)
    assert (made.slots, made.max_rows, made.input_cap, made.row_ms, made.start_s) == (4, 256, 2**20, 50, 5)
    assert (runs.arch, runs.params, runs.cpus_milli, runs.mem_mb, runs.tmp_mb, runs.threads) == (
        Arch.AMD64,
        "{}",
        1_000,
        512,
        64,
        1,
    )
    assert (image.kind, image.reference, image.size, image.image_id.hex()) == (ImageKind.ARCHIVE, "", 1_000, IMAGE_ID)
    assert (made.source, made.previous, made.schema, made.sample, made.sample_answers, made.shares) == ([], [], b"", b"", b"", [])


def test_a_registry_s_image_is_named_by_its_digest_and_needs_no_size() -> None:
    (runs,) = posted(image={"reference": "example.org/a@sha256:" + "ab" * 32, "image_id": "sha256:" + IMAGE_ID}).program
    assert (runs.image.kind, runs.image.cid, runs.image.image_id.hex()) == (ImageKind.REGISTRY, b"", IMAGE_ID)
    assert 10**9 < runs.image.size < WorkConfig().max_image_mb << 20, "nobody downloads more, and nodes take as much by themselves"


def test_a_paid_job_is_a_model_s_source_and_brings_its_program_along() -> None:
    made = posted(job="ab" * 32, image=None, model=None, previous="cd" * 32, kind="class", classes=3)
    assert (made.source, made.program, made.previous) == ([bytes.fromhex("ab" * 32)], [], [bytes.fromhex("cd" * 32)])
    assert (made.kind, made.classes) == (ModelKind.CLASS, 3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"job": "ab" * 32, "image": None}, "a job brings its model, limits and params along"),
        ({"job": "ab" * 32, "image": None, "model": None, "limits": {}}, "a job brings its model, limits and params along"),
        ({"job": "ab" * 32, "image": None, "model": None, "params": {"a": 1}}, "a job brings its model, limits and params along"),
        ({"image": ARCHIVE | {"reference": "a@sha256:" + "ab" * 32}}, "exactly one of image.cid and image.reference"),
        ({"image": {"image_id": IMAGE_ID, "size": 1}}, "exactly one of image.cid and image.reference"),
        ({"image": {"cid": str(MODEL_CID), "image_id": IMAGE_ID}}, "an archive needs image.image_id and image.size"),
        ({"image": {"cid": str(MODEL_CID), "size": 1_000}}, "an archive needs image.image_id and image.size"),
        ({"image": ARCHIVE | {"image_id": "sha512:" + IMAGE_ID}}, "image.image_id is not valid"),
        ({"image": ARCHIVE | {"cid": "nonsense"}}, "image.cid is not valid"),
        ({"model": FILE | {"cid": "nonsense"}}, "model.cid is not valid"),
        ({"sample": "nonsense"}, "sample is not valid"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused_by_the_field(changes: dict[str, Any], named: str) -> None:
    assert named in refused(posted, **changes)


def test_settings_of_a_model_are_bounded_in_bytes_not_in_characters() -> None:
    most = "é" * ((MAX_MODEL_PARAMS - len('{"a":""}')) // 2)
    (runs,) = posted(params={"a": most}).program
    assert len(runs.params.encode()) == MAX_MODEL_PARAMS
    assert f"more than {MAX_MODEL_PARAMS} bytes" in refused(posted, params={"a": most + "é"})


# --- requests -----------------------------------------------------------------------------------------------------------------


def test_a_request_of_which_little_is_said_asks_five_of_whom_two_agree_and_locks_what_it_takes_now() -> None:
    made = asked()
    assert (made.answers, made.agree, made.rows, made.wait, made.key_hash, made.policy) == (5, 2, 1, 30_000, [], [])
    assert (made.inline, made.size, made.cid) == (b"[1,2]\n", 6, inline_cid(b"[1,2]\n"))
    assert made.tip == 100 * 5 * 1, "the floor, for each answer and row"
    assert made.max_charge == amounts_of(made, State(), 0).locked  # type: ignore[arg-type]
    assert asked(rows=[1, 2, 3]).tip == 100 * 5 * 3
    assert (asked(n=1).agree, asked(n=3).agree, asked(n=3, agree=3).agree) == (1, 2, 3)
    assert (asked(tip="0.002").tip, asked(max_charge="3").max_charge) == (2_000, 3_000_000)


def test_rows_that_are_too_long_for_the_message_do_not_go_with_it() -> None:
    text = "1" * (MAX_INLINE - 1)
    assert asked(rows=None, input=text + "\n").inline == (text + "\n").encode()
    longer = asked(rows=None, input=text + "1\n")
    assert (longer.inline, longer.size, longer.rows) == (b"", MAX_INLINE + 1, 1)


def test_a_model_is_found_by_its_id_and_by_its_owner_s_name_for_it() -> None:
    for name in (MODEL.hex(), f"{address(OWNER)}/credit", f"{address(OWNER)}~credit"):
        assert asked(model=name).model == MODEL
    for name in ("ab" * 32, f"{address(OWNER)}/other", f"{address(bytes(20))}/credit"):
        assert "There is no model" in refused(asked, model=name)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data": FILE, "count": 1}, "exactly one of rows, input and data"),
        ({"rows": None}, "exactly one of rows, input and data"),
        ({"rows": None, "data": FILE}, "count is missing"),
        ({"rows": None, "input": ""}, "one row at least"),
        ({"rows": None, "input": "\ud800"}, "rows is not valid"),
    ],
)
def test_rows_that_make_no_sense_are_refused(changes: dict[str, Any], named: str) -> None:
    assert named in refused(lambda: asked_rows(body_of(**changes)))


def test_rows_that_are_too_deep_to_be_written_are_refused() -> None:
    row: list[Any] = []
    for _ in range(100_000):
        row = [row]
    assert "rows is not valid" in refused(lambda: asked_rows(PredictionRequest(model=MODEL.hex(), rows=[row])))


def test_a_private_request_leaves_encrypted_and_names_the_hash_of_its_key() -> None:
    taken = iter(range(100))
    rows, key = asked_privately(body_of(private=True), lambda count: bytes([next(taken)]) * count)
    assert key is not None and rows.key_hash == sha256(key) and rows.text is not None and b"[1,2]" not in rows.text
    assert (rows.cid, rows.size, rows.rows) == (inline_cid(rows.text), len(rows.text), 1)
    open_, none = asked_privately(body_of(), lambda count: bytes(count))
    assert (open_.text, open_.key_hash, none) == (b"[1,2]\n", b"", None)


def test_a_key_is_of_data_that_is_encrypted_already_and_private_of_rows_that_are_not() -> None:
    key = "ab" * 32
    made, given = asked_privately(body_of(rows=None, data=FILE, count=1, key=key), bytes)
    assert (given, made.key_hash) == (bytes.fromhex(key), sha256(bytes.fromhex(key)))
    assert "say private: true" in refused(lambda: asked_privately(body_of(key=key), bytes))
    assert "data lies in the open" in refused(lambda: asked_privately(body_of(rows=None, data=FILE, count=1, private=True), bytes))


# --- policies -----------------------------------------------------------------------------------------------------------------


def test_a_policy_takes_what_is_below_or_above_and_its_first_rate_holds_from_the_least_score_of_all() -> None:
    rates = [{"start": "-999999999", "ppm": 3}, {"start": "0.5", "ppm": 4}]
    rule = {"model": MODEL.hex(), "accept": "below", "threshold": "0.2", "rates": rates, "least": 3, "most": 9}
    for accept, below in (("below", True), ("above", False)):
        made = build_policy(msgspec.convert(rule | {"accept": accept}, PolicyRequest), State())  # type: ignore[arg-type]
        assert (made.model, made.below, made.threshold, made.least, made.most) == (MODEL, below, 200_000_000, 3, 9)
        assert [(one.start, one.ppm) for one in made.rates] == [(-MAX_SCORE, 3), (500_000_000, 4)]
    late = rule | {"rates": [{"start": "-999999998.999999999", "ppm": 3}]}
    assert "rates[0].start is -999999998.999999999" in refused(
        lambda: build_policy(msgspec.convert(late, PolicyRequest), State())  # type: ignore[arg-type]
    )
