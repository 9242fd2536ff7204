"""Small rules of the client's federations: what the journal keeps, what a deployment's shares are, what a disk is left with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.federation.messages import FederationTerms
from learningchain.chain.contracts.federation.records import FederationMember
from learningchain.chain.storage import private
from learningchain.client.api import posting
from learningchain.client.api.errors import RequestError
from learningchain.client.contracts.federation.desk import DiskDesk
from learningchain.client.contracts.federation.http import deploy_api
from learningchain.client.contracts.federation.http.input_schema import input_schema
from learningchain.client.contracts.federation.http.offers import why_not_offered
from learningchain.client.contracts.federation.http.schema import DeployRequest
from learningchain.client.contracts.prediction.http.model_schema import parse_schema
from learningchain.p2p.content.cid import Codec, cid_of, parse

NO_TERMS: Any = None
ME, FED = b"m" * 20, b"f" * 32


# --- what is offered -------------------------------------------------------------------------------------------------------------


def member(paid: int) -> FederationMember:
    return FederationMember(1, bytes(32), 0, 0, 1, 0, 0, 0, paid, 0, 0, b"")


def test_whoever_was_paid_anything_has_a_share_and_the_others_none() -> None:
    shares = deploy_api.shares_of([(b"c" * 20, member(10**15)), (b"a" * 20, member(1)), (b"b" * 20, member(0))])
    assert [(share.account[:1], share.weight) for share in shares] == [(b"a", 1), (b"c", 2**32 - 1)]
    assert deploy_api.shares_of([(b"b" * 20, member(0))]) == []


def test_a_tolerance_is_not_negative() -> None:
    assert posting.parse_not_negative("0.5") == 5 * 10**8
    with pytest.raises(ValueError, match="not negative"):
        posting.parse_not_negative("-0.5")


def test_of_a_federation_that_left_the_state_the_best_model_is_named_with_its_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it stands the ledger takes them from there, and nothing is named twice."""
    given = {"name": "digits", "kind": "number", "price": "0", "floor": "0", "tol": "0", "row_ms": 10, "start_s": 10}
    body = msgspec.convert(given, DeployRequest)
    made: list[bytes] = []

    def program(terms: FederationTerms, model: bytes) -> Any:
        made.append(model)
        return model

    monkeypatch.setattr(deploy_api, "_program", program)
    terms: Any = SimpleNamespace(model=b"initial")
    left = deploy_api.registration(body, terms, b"best", [], None)
    stands = deploy_api.registration(body, terms, b"best", [], FED)
    assert not left.source and len(left.program) == 1 and made == [b"best"]
    assert stands.source == [FED] and not stands.program


BODY = {"name": "digits", "kind": "number"}
CID = str(cid_of(Codec.RAW, b"x"))


def test_what_comes_with_an_offer_is_registered() -> None:
    given = {"schema": {"cid": CID, "size": 1}, "sample": CID, "sample_answers": CID, "previous": "ab" * 32}
    whole = deploy_api.registration(msgspec.convert(BODY | given, DeployRequest), NO_TERMS, b"best", [], FED)
    raw = parse(CID).to_bytes()
    assert (whole.schema, whole.sample, whole.sample_answers, whole.previous) == (raw, raw, raw, [b"\xab" * 32])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sample": CID}, "sample and sample_answers stand together"),
        ({"sample_answers": CID}, "sample and sample_answers stand together"),
        ({"sample": "x", "sample_answers": CID}, "sample is not valid"),
        ({"schema": {"cid": "x", "size": 1}}, "schema.cid is not valid"),
    ],
)
def test_an_offer_that_makes_no_sense_is_refused_by_the_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        deploy_api.registration(msgspec.convert(BODY | given, DeployRequest), NO_TERMS, b"best", [], FED)


AGE = {"name": "age", "datatype": "INT64", "min": 18, "about": "years"}
SEX = {"name": "sex", "datatype": "BYTES", "values": ["f", "m"]}
TRUTH = {"name": "truth", "datatype": "INT64"}


@pytest.mark.parametrize("columns", [[AGE, SEX, TRUTH], [TRUTH, AGE, SEX], [AGE, TRUTH, {**SEX, "empty": True}]])
def test_what_stands_beside_the_answer_is_a_row_of_the_model(columns: list[dict[str, Any]]) -> None:
    """An empty text is a text."""
    found = input_schema(json.dumps({"columns": columns, "separator": ";"}).encode(), "truth")
    assert json.loads(found) == {"inputs": [AGE, SEX]}
    assert parse_schema(found).columns == ["age", "sex"]


@pytest.mark.parametrize(
    ("posted", "said"),
    [
        ({"columns": [AGE, SEX]}, "no column 'truth'; it has age, sex"),
        ({"columns": [TRUTH]}, "nothing is left"),
        ({"columns": [AGE, TRUTH], "others": True}, "further columns"),
        ({"columns": [{**AGE, "empty": True}, TRUTH]}, "cells of age may be empty"),
        ({"inputs": [AGE]}, "cannot be used"),
    ],
)
def test_a_posted_schema_that_does_not_say_enough_makes_none(posted: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        input_schema(json.dumps(posted).encode(), "truth")


# --- the desk's folder -----------------------------------------------------------------------------------------------------------


def test_what_could_not_be_written_to_its_end_leaves_no_file(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 1_000
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        DiskDesk(tmp_path).write(pieces())
    assert not list(tmp_path.iterdir())


def test_what_is_made_is_on_the_disk_before_its_name_and_its_name_is_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is told of it next: after a power cut it has to be there, whole."""
    done: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda _: done.append("file"))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("name"), replace(*paths)))
    monkeypatch.setattr(private, "sync_folder", lambda folder: done.append(f"folder {folder == tmp_path}"))
    DiskDesk(tmp_path).write([b"x"])
    assert done == ["file", "name", "folder True"]


# --- who may offer a model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "end", "best_round", "paid", "name"),
    [
        ("sponsor", None, 3, False, "NOT_ENDED"),
        ("owner", None, 0, True, "NOT_ENDED"),
        ("sponsor", "REACHED", 0, False, "NO_MODEL"),
        ("sponsor", "REACHED", 3, False, None),
        ("sponsor", "ABANDONED", 3, False, None),
        ("owner", "REACHED", 3, True, "NOT_SPONSOR"),
        ("owner", "CLOSED", 3, True, "NOT_SPONSOR"),
        ("owner", "ABANDONED", 3, True, None),
        ("owner", "ABANDONED", 3, False, "NOT_SPONSOR"),
    ],
)
def test_a_model_is_the_sponsors_to_offer_or_a_paid_owners_whom_it_abandoned(
    own: str, end: str | None, best_round: int, paid: bool, name: str | None
) -> None:
    """LC-FED-53"""
    refused = why_not_offered(own, "sponsor", end=end, best_round=best_round, paid=paid)
    assert (refused and refused.name) == name
