"""What the vectors say is refused, the product refuses as well: the second implementation alone must not be the judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts.job import is_cid, is_reference
from learningchain.chain.crypto import account_id, is_public_key, parse_address, verify
from learningchain.chain.errors import InvalidBlock, InvalidTx, Malformed
from learningchain.chain.ledger.genesis import Genesis, check_genesis, from_json
from learningchain.chain.ledger.snapshot import (
    ValidatorSetChange,
    check_signed,
    decode_subroots,
    follow_validator_change,
    make_bucket,
    root_of,
)
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import _SIGNED, parse_tx
from learningchain.chain.losses import (
    BadOpening,
    LossesOutOfRange,
    LossTree,
    Measurement,
    Opening,
    check_opening,
    draw_probe,
)
from learningchain.chain.merkle import StateProof, check_key
from learningchain.chain.node.candidates import execute
from learningchain.chain.node.messages import decode_message as decode_node_message
from learningchain.chain.types import (
    Certificate,
    Header,
    ValidatorSet,
    check_certificate,
    check_validators,
    decode_block,
    parse_credits,
    parse_loss,
)
from learningchain.client.contracts.prediction.roles.private import BoxPlace, opened
from learningchain.client.keys import hidden
from learningchain.p2p.wire import parse_peers
from learningchain.sandbox.answers import AnswerForm, BadAnswer, parse_answer
from learningchain.sandbox.losses import LossesBroken, LossesInvalid, parse_losses
from tests.vectors import records
from tests.vectors.test_vectors import FOLDER

LIMIT = 20_000_000
_TYPED: Any = {f.name: f.type for f in msgspec.structs.fields(_SIGNED)}
TYPES: dict[str, Any] = {**records.kinds(), "ValidatorSet": ValidatorSet, "SignedTx": _SIGNED, "TxBody": _TYPED["body"]}
"""A transaction is decoded together with its messages."""


@cache
def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def unhex(text: Any) -> bytes:
    return records.unpacked(text)


def _taken(case: dict[str, Any]) -> bool:
    try:
        decode(TYPES[case["type"]], unhex(case["bytes"]), LIMIT)
    except Malformed:
        return False
    return True


@pytest.mark.parametrize("name", sorted({case["type"] for case in load("encodings")["refused"]}))
def test_bytes_that_are_not_canonical(name: str) -> None:
    cases = [case for case in load("encodings")["refused"] if case["type"] == name]
    assert not [case["why"] for case in cases if _taken(case)]


@pytest.mark.parametrize("case", load("encodings")["too_long"], ids=lambda c: c["type"])
def test_bytes_that_are_too_long(case: dict[str, Any]) -> None:
    readers: dict[str, Callable[[bytes], Any]] = {"SignedTx": parse_tx, "Buckets": decode_node_message, "Peers": parse_peers}
    if case["good"]:
        readers[case["type"]](unhex(case["bytes"]))
    else:
        with pytest.raises((Malformed, InvalidTx)):
            readers[case["type"]](unhex(case["bytes"]))


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


@pytest.mark.parametrize("case", load("states")["wrong"], ids=lambda c: c["why"])
def test_wrong_state_proofs(case: dict[str, Any]) -> None:
    value = None if case["value"] is None else unhex(case["value"])
    proof = decode(StateProof, unhex(case["proof"]), LIMIT)
    assert not check_key(unhex(case["root"]), unhex(case["key"]), value, proof)


# --- losses -------------------------------------------------------------------------------------------------------------------

LOSSES = load("losses")


def integer(value: Any) -> int:
    return int(value["int"]) if isinstance(value, dict) else int(value)


@pytest.mark.parametrize("case", LOSSES["beyond"], ids=lambda c: c["why"])
def test_losses_that_no_vote_can_say(case: dict[str, Any]) -> None:
    with pytest.raises(LossesOutOfRange):
        LossTree([integer(loss) for loss in case["losses"]])


@pytest.mark.parametrize("case", LOSSES["wrong"], ids=lambda c: c["why"])
def test_wrong_openings(case: dict[str, Any]) -> None:
    told = case["measurement"]
    measurement = Measurement(unhex(told["root"]), integer(told["total"]), told["count"])
    probe = draw_probe(unhex(case["beacon"]), unhex(case["job"]), case["audit"], case["round"], measurement.count)
    with pytest.raises(BadOpening):
        check_opening(measurement, probe, decode(Opening, unhex(case["opening"]), LIMIT))


def test_bad_files_of_losses() -> None:
    for case in LOSSES["bad_files"]:
        with pytest.raises({"INVALID": LossesInvalid, "BROKEN": LossesBroken}[case["vote"]]):
            parse_losses(unhex(case["file"]))


# --- answers ------------------------------------------------------------------------------------------------------------------


def test_files_that_are_no_answers() -> None:
    for case in load("answers")["none"]:
        with pytest.raises(BadAnswer):
            parse_answer(unhex(case["file"]), AnswerForm(rows=case["rows"], classes=case["model_classes"]))


def test_files_that_name_a_row() -> None:
    told = load("answers")
    for case in told["unfit"] + told["no_row"]:
        with pytest.raises(BadAnswer) as caught:
            parse_answer(unhex(case["file"]), AnswerForm(rows=case["rows"], classes=case["model_classes"]))
        assert getattr(caught.value, "row", None) == case.get("row")


# --- texts --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parse"), [("losses", parse_loss), ("credits", parse_credits)])
def test_numbers_as_text(name: str, parse: Any) -> None:
    for case in load("texts")[name]["good"]:
        assert str(parse(case["text"])) == case["value"]
    for bad in load("texts")[name]["bad"]:
        with pytest.raises(ValueError, match=r"credits|loss"):
            parse(bad)


def test_names_of_images_and_files() -> None:
    """LC-JOB-42"""
    vector = load("texts")
    assert all(map(is_reference, vector["images"]["good"]))
    assert not any(map(is_reference, vector["images"]["bad"]))
    assert all(is_cid(unhex(cid)) for cid in vector["cids"]["good"])
    assert not any(is_cid(unhex(cid)) for cid in vector["cids"]["bad"])


# --- certificates, final blocks, snapshots ------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("case", CERTIFICATES["refused_sets"], ids=lambda c: c["why"])
def test_sets_of_validators(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        check_validators(decode(ValidatorSet, unhex(case["validators"]), LIMIT))


FINALITY = load("finality")


@pytest.mark.parametrize("case", FINALITY["cases"], ids=lambda c: c["why"])
def test_final_blocks(case: dict[str, Any]) -> None:
    header, certificate = decode(Header, unhex(case["header"]), LIMIT), decode(Certificate, unhex(case["certificate"]), LIMIT)
    given = unhex(FINALITY["chain_id"]), header, certificate, decode(ValidatorSet, unhex(FINALITY["validators"]), LIMIT)
    if case["good"]:
        check_signed(*given)
    else:
        with pytest.raises(Malformed):
            check_signed(*given)


SNAPSHOTS = load("snapshots")


@pytest.mark.parametrize("case", SNAPSHOTS["refused_heads"], ids=lambda c: c["why"])
def test_heads(case: dict[str, Any]) -> None:
    with suppress(Malformed):
        assert root_of(decode_subroots(unhex(case["heads"]))) != unhex(case["state_root"])


@pytest.mark.parametrize("case", SNAPSHOTS["refused_pages"], ids=lambda c: c["why"])
def test_pages(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        make_bucket(case["number"], unhex(case["head"]), unhex(case["page"]))


@pytest.mark.parametrize("case", SNAPSHOTS["refused_handovers"], ids=lambda c: c["why"])
def test_validator_set_changes(case: dict[str, Any]) -> None:
    change = decode(ValidatorSetChange, unhex(case["handover"]), LIMIT)
    with pytest.raises(Malformed):
        follow_validator_change(unhex(SNAPSHOTS["chain_id"]), change, decode(ValidatorSet, unhex(SNAPSHOTS["validators"]), LIMIT))


# --- genesis, blocks, encrypted files -----------------------------------------------------------------------------------------

GENESIS = load("genesis")


@pytest.mark.parametrize("case", GENESIS["refused"], ids=lambda c: c["why"])
def test_genesis(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        check_genesis(decode(Genesis, unhex(case["bytes"]), LIMIT))


@pytest.mark.parametrize("case", GENESIS["refused_files"], ids=lambda c: c["why"])
def test_genesis_files(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        from_json(case["file"].encode())


def test_a_genesis_file() -> None:
    """LC-BLK-16: order and defaults."""
    assert encode(from_json(GENESIS["file"].encode())) == unhex(GENESIS["bytes"])


EXECUTIONS = load("executions")


@pytest.mark.parametrize("case", EXECUTIONS["cases"], ids=lambda c: c["name"])
def test_executions(case: dict[str, Any]) -> None:
    merged = {**EXECUTIONS["state"], **case["with"]}
    state = State.load([(unhex(key), unhex(raw)) for key, raw in merged.items() if raw is not None])
    block = decode_block(unhex(case["block"]))
    try:
        done = execute(state, block, unhex(case["parent"]), None)
    except InvalidBlock as fault:
        assert case["refused"]
        assert case["code"] == (int(fault.__cause__.code) if isinstance(fault.__cause__, InvalidTx) else None)
        assert chain_record(state).height == 39
    else:
        assert done.state_root.hex() == case["state_root"]
        assert [int(receipt.code) for receipt in done.receipts[1:]] == case["codes"]


@pytest.mark.parametrize("case", load("hidden-file")["refused"], ids=lambda c: c["why"])
def test_bad_keys_of_encrypted_files(case: dict[str, Any], tmp_path: Path) -> None:
    """LC-HIDDEN-3"""
    (tmp_path / "sealed").write_bytes(unhex(case["file"]))
    with pytest.raises(hidden.BadKey):
        hidden.decrypt(tmp_path / "sealed", tmp_path / "plain", unhex(case["key"]), unhex(case["plain_hash"]))
    assert not (tmp_path / "plain").exists()


@pytest.mark.parametrize("case", load("private-input")["boxes"], ids=lambda c: c["request"][:8])
def test_boxes_of_private_requests(case: dict[str, Any]) -> None:
    """LC-PRIV-2, 4"""
    assert _opened(case) == unhex(case["key"])


@pytest.mark.parametrize("case", load("private-input")["refused"], ids=lambda c: c["why"])
def test_bad_boxes_of_private_requests(case: dict[str, Any]) -> None:
    """LC-PRIV-4"""
    with pytest.raises(hidden.BadKey):
        _opened(case)


def _opened(case: dict[str, Any]) -> bytes:
    place = BoxPlace(unhex(case["request"]), case["round"], unhex(case["account"]))
    return opened(unhex(case["box"]), place, unhex(case["box_key"]), [unhex(case["private"])], unhex(case["key_hash"]))
