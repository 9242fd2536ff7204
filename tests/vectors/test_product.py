"""What the vectors say is refused, the product refuses as well: the second implementation alone must not be the judge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chain.codec import decode
from chain.crypto import account_id, is_public_key, parse_address, verify
from chain.errors import Malformed
from chain.merkle import ListProof, StateProof, check_item, check_key
from chain.types import Certificate, ValidatorSet, check_certificate
from tests.vectors.base_vectors import records
from tests.vectors.test_vectors import FOLDER

LIMIT = 5_000_000
TYPES: dict[str, Any] = {name: type(value) for name, value in records()} | {"ValidatorSet": ValidatorSet}


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("case", load("encodings")["refused"], ids=lambda c: f"{c['type']}: {c['why']}")
def test_bytes_that_are_not_canonical(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decode(TYPES[case["type"]], unhex(case["bytes"]), LIMIT)


@pytest.mark.parametrize("case", load("identities")["bad_keys"], ids=lambda c: c["why"])
def test_bad_keys(case: dict[str, Any]) -> None:
    assert not is_public_key(unhex(case["key"]))
    with pytest.raises(Malformed):
        account_id(unhex(case["key"]))


@pytest.mark.parametrize("case", load("identities")["bad_addresses"], ids=lambda c: c["why"])
def test_bad_addresses(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse_address(case["address"])


@pytest.mark.parametrize("case", load("signatures")["cases"], ids=lambda c: c["why"])
def test_signatures(case: dict[str, Any]) -> None:
    assert verify(unhex(case["key"]), unhex(case["digest"]), unhex(case["signature"])) is case["good"]


@pytest.mark.parametrize("case", load("lists")["wrong"], ids=lambda c: c["why"])
def test_wrong_list_proofs(case: dict[str, Any]) -> None:
    assert not check_item(unhex(case["root"]), unhex(case["item"]), decode(ListProof, unhex(case["proof"]), LIMIT))


@pytest.mark.parametrize("case", load("states")["wrong"], ids=lambda c: c["why"])
def test_wrong_state_proofs(case: dict[str, Any]) -> None:
    value = None if case["value"] is None else unhex(case["value"])
    proof = decode(StateProof, unhex(case["proof"]), LIMIT)
    assert not check_key(unhex(case["root"]), unhex(case["key"]), value, proof)


CERTIFICATES = load("certificates")


@pytest.mark.parametrize("case", CERTIFICATES["cases"], ids=lambda c: c["why"])
def test_certificates(case: dict[str, Any]) -> None:
    validators = decode(ValidatorSet, unhex(CERTIFICATES["validators"]), LIMIT)
    certificate = decode(Certificate, unhex(case["certificate"]), LIMIT)
    try:
        check_certificate(unhex(CERTIFICATES["chain_id"]), certificate, validators)
    except Malformed:
        assert not case["good"]
    else:
        assert case["good"]
