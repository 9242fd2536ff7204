"""The second implementation, written from the spec alone, agrees with every vector."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ecdsa  # type: ignore[import-untyped]
import pytest

from tests.conformance import keys, light, snapshots, trees, wire
from tests.conformance.wire import Refused, decode_plain

HERE = Path(__file__).parent
VECTORS = HERE.parents[1] / "protocol_spec" / "vectors"
MODULES = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("test_"))


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def bytes_of(value: Any) -> Any:
    """{"hex": …} back to bytes."""
    if isinstance(value, dict):
        return unhex(value["hex"])
    return [bytes_of(item) for item in value] if isinstance(value, list) else value


def refused(call: Callable[..., object], *given: object, **named: object) -> bool:
    try:
        call(*given, **named)
    except Refused:
        return True
    return False


# --- it stands alone ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*MODULES, Path(__file__)], ids=lambda p: p.name)
def test_it_imports_nothing_of_the_product(path: Path) -> None:
    allowed = {"msgpack", "ecdsa", "hashlib", "typing", "collections", "itertools", "__future__"}
    if path == Path(__file__):
        allowed |= {"ast", "json", "pathlib", "pytest"}
    nodes = list(ast.walk(ast.parse(path.read_text())))
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        else:
            continue
        for name in names:
            assert name.split(".")[0] in allowed or name.startswith("tests.conformance"), f"{path.name} imports {name}"
    assert not {"__import__", "importlib", "exec", "eval"} & {n.id for n in nodes if isinstance(n, ast.Name)}


# --- encodings ----------------------------------------------------------------------------------------------------------------


def test_every_record_has_a_vector() -> None:
    assert {case["type"] for case in load("encodings")["canonical"]} == set(wire.SCHEMAS)


@pytest.mark.parametrize("case", load("encodings")["canonical"], ids=lambda c: c["type"])
def test_canonical_bytes_decode_to_the_value_and_back(case: dict[str, Any]) -> None:
    value = bytes_of(case["value"])
    assert wire.encode(value).hex() == case["bytes"]
    assert wire.decode(wire.SCHEMAS[case["type"]], unhex(case["bytes"]), 10_000_000) == value


@pytest.mark.parametrize("case", load("encodings")["canonical"], ids=lambda c: c["type"])
def test_no_prefix_of_a_record_is_a_record(case: dict[str, Any]) -> None:
    raw = unhex(case["bytes"])
    for end in range(0, len(raw), max(1, len(raw) // 50)):
        assert refused(wire.decode, wire.SCHEMAS[case["type"]], raw[:end], 10_000_000)


@pytest.mark.parametrize("case", load("encodings")["refused"], ids=lambda c: f"{c['type']}: {c['why']}")
def test_bytes_that_are_not_canonical_are_refused(case: dict[str, Any]) -> None:
    assert refused(wire.decode, wire.SCHEMAS[case["type"]], unhex(case["bytes"]), 10_000_000)


# --- keys, ids, signatures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", load("identities")["good"], ids=lambda c: c["address"])
def test_keys_ids_and_addresses(case: dict[str, Any]) -> None:
    secret = ecdsa.SigningKey.from_string(unhex(case["secret"]), curve=ecdsa.SECP256k1)
    assert secret.get_verifying_key().to_string("compressed").hex() == case["key"]
    assert keys.identity(unhex(case["key"])).hex() == case["id"]
    assert keys.address(unhex(case["id"])) == case["address"]
    assert keys.parse_address(case["address"]).hex() == case["id"]


@pytest.mark.parametrize("case", load("identities")["bad_keys"], ids=lambda c: c["why"])
def test_bad_keys_are_refused(case: dict[str, Any]) -> None:
    assert refused(keys.identity, unhex(case["key"]))


@pytest.mark.parametrize("case", load("identities")["bad_addresses"], ids=lambda c: c["why"])
def test_bad_addresses_are_refused(case: dict[str, Any]) -> None:
    assert refused(keys.parse_address, case["address"])


def test_tagged_hashes() -> None:
    for case in load("identities")["tagged"]:
        assert keys.tagged(case["tag"], *map(unhex, case["parts"])).hex() == case["hash"]


@pytest.mark.parametrize("case", load("signatures")["cases"], ids=lambda c: c["why"])
def test_signatures(case: dict[str, Any]) -> None:
    arguments = [unhex(case[name]) for name in ("key", "digest", "signature")]
    assert refused(keys.check_signature, *arguments) is not case["good"]


def test_the_library_alone_would_take_a_high_s_and_a_hybrid_key() -> None:
    """Why the protocol says which forms count."""
    case = next(c for c in load("signatures")["cases"] if c["why"] == "high s")
    verifier = ecdsa.VerifyingKey.from_string(unhex(case["key"]), curve=ecdsa.SECP256k1)
    assert verifier.verify_digest(unhex(case["signature"]), unhex(case["digest"]))
    hybrid = next(c for c in load("identities")["bad_keys"] if c["why"] == "hybrid")
    assert ecdsa.VerifyingKey.from_string(unhex(hybrid["key"]), curve=ecdsa.SECP256k1) == verifier


# --- transactions -------------------------------------------------------------------------------------------------------------


def test_signed_transactions() -> None:
    vector = load("transactions")
    chain_id, key = unhex(vector["chain_id"]), unhex(vector["key"])
    assert int.from_bytes(chain_id[:4], "big") == vector["net"]
    for case in vector["cases"]:
        raw = unhex(case["bytes"])
        body, signature = light.check_tx(chain_id, raw, key)
        assert wire.encode(body).hex() == case["body"]
        assert keys.tx_digest(chain_id, unhex(case["body"])).hex() == case["digest"]
        assert light.tx_id(raw).hex() == case["id"]
        assert raw == b"\x92" + unhex(case["body"]) + b"\xc4\x40" + signature
        assert refused(light.check_tx, bytes(32), raw, key)


@pytest.mark.parametrize("case", load("work")["cases"], ids=lambda c: c["why"])
def test_the_work_of_a_transaction(case: dict[str, Any]) -> None:
    assert light.work(unhex(case["tx"]), case["refused"]) == case["work"]
    assert (case["code"] == 0) == (case["refused"] is None)


# --- trees --------------------------------------------------------------------------------------------------------------------


def test_list_roots_and_proofs() -> None:
    for case in load("lists")["cases"]:
        items, root = [unhex(i) for i in case["items"]], unhex(case["root"])
        assert trees.list_root(items) == root
        for item, proof in zip(items, case["proofs"], strict=True):
            trees.check_item(root, item, unhex(proof))
            assert refused(trees.check_item, root, b"no such item", unhex(proof))


@pytest.mark.parametrize("case", load("lists")["wrong"], ids=lambda c: c["why"])
def test_wrong_list_proofs_are_refused(case: dict[str, Any]) -> None:
    assert refused(trees.check_item, *(unhex(case[n]) for n in ("root", "item", "proof")))


def test_state_roots_and_proofs_of_presence_and_absence() -> None:
    for case in load("states")["cases"]:
        records = {unhex(k): unhex(v) for k, v in case["records"].items()}
        root = unhex(case["root"])
        assert trees.state_root(records) == root
        for entry in case["present"]:
            key, proof = unhex(entry["key"]), unhex(entry["proof"])
            trees.check_key(root, key, records[key], proof)
            assert refused(trees.check_key, root, key, None, proof)
        for entry in case["absent"]:
            key, proof = unhex(entry["key"]), unhex(entry["proof"])
            trees.check_key(root, key, None, proof)
            assert refused(trees.check_key, root, key, b"", proof)


@pytest.mark.parametrize("case", load("states")["wrong"], ids=lambda c: c["why"])
def test_wrong_state_proofs_are_refused(case: dict[str, Any]) -> None:
    value = None if case["value"] is None else unhex(case["value"])
    assert refused(trees.check_key, unhex(case["root"]), unhex(case["key"]), value, unhex(case["proof"]))


# --- consensus ----------------------------------------------------------------------------------------------------------------


def test_votes_and_proposals() -> None:
    vector = load("votes")
    chain_id, key = unhex(vector["chain_id"]), unhex(vector["key"])
    for v in vector["votes"]:
        digest = keys.vote_digest(chain_id, v["type"], v["height"], v["round"], unhex(v["block_id"]))
        assert digest.hex() == v["digest"]
        keys.check_signature(key, digest, wire.decode(wire.VOTE, unhex(v["bytes"]), 300)[-1])
    for p in vector["proposals"]:
        digest = keys.proposal_digest(chain_id, p["height"], p["round"], p["pol_round"], unhex(p["block_id"]))
        assert digest.hex() == p["digest"]
        keys.check_signature(key, digest, wire.decode(wire.PROPOSAL, unhex(p["bytes"]), 300)[-1])


CERTIFICATES = load("certificates")


@pytest.mark.parametrize("case", CERTIFICATES["cases"], ids=lambda c: c["why"])
def test_certificates(case: dict[str, Any]) -> None:
    raw = unhex(CERTIFICATES["validators"])
    assert light.validators_hash(raw).hex() == CERTIFICATES["validators_hash"]
    chain_id, validators = unhex(CERTIFICATES["chain_id"]), light.read_validators(raw)
    certificate = unhex(case["certificate"])
    assert refused(light.check_certificate, chain_id, certificate, validators) is not case["good"]


def test_quorums() -> None:
    assert [[n, light.quorum(n)] for n, _ in CERTIFICATES["quorums"]] == CERTIFICATES["quorums"]


# --- genesis and blocks -------------------------------------------------------------------------------------------------------


def test_genesis() -> None:
    vector = load("genesis")
    chain_id, validators = light.genesis_chain(unhex(vector["bytes"]))
    assert chain_id.hex() == vector["chain_id"]
    assert validators.hex() == vector["validators"]
    records = {unhex(k): unhex(v) for k, v in vector["records"].items()}
    assert trees.state_root(records).hex() == vector["state_root"]


def test_a_state_in_pages() -> None:
    vector = load("snapshots")
    heads = snapshots.read_heads(unhex(vector["heads"]))
    assert snapshots.root(heads).hex() == vector["state_root"]
    pages = [unhex(raw) for raw in vector["pages"].values()]
    assert [snapshots.head_of(raw) for raw in pages] == heads
    assert [int.from_bytes(number, "big") for number, _, _ in heads] == [int(number) for number in vector["pages"]]
    records = {
        key: value for raw in pages for flat in [decode_plain(raw)] for key, value in zip(flat[::2], flat[1::2], strict=True)
    }
    assert trees.state_root(records).hex() == vector["state_root"]
    assert refused(snapshots.read_heads, unhex(vector["heads"])[:-1])
    assert refused(snapshots.read_heads, unhex(vector["heads"])[35:] + unhex(vector["heads"])[:35])
    assert snapshots.root(heads[1:]).hex() != vector["state_root"]


def test_handovers_lead_from_known_validators_to_others() -> None:
    vector = load("snapshots")
    chain_id, validators = unhex(vector["chain_id"]), unhex(vector["validators"])
    first, second = (unhex(raw) for raw in vector["handovers"])
    following = snapshots.follow(chain_id, first, validators)
    assert len(light.read_validators(snapshots.follow(chain_id, second, following))) == 2
    assert refused(snapshots.follow, chain_id, second, validators)
    assert refused(snapshots.follow, bytes(32), first, validators)


def test_the_chain_from_genesis_by_a_light_client() -> None:
    vector, start = load("chain"), load("genesis")
    chain_id, validators = light.genesis_chain(unhex(start["bytes"]))
    assert chain_id.hex() == vector["chain_id"]
    records = {unhex(k): unhex(v) for k, v in start["records"].items()}
    parent, time, clock = chain_id, 1_700_000_000_000, 1_700_000_000_000
    beacon, promises = keys.tagged("lc/beacon", chain_id), dict[bytes, bytes]()
    for block in vector["blocks"]:
        txs, receipts = [unhex(t) for t in block["txs"]], [unhex(r) for r in block["receipts"]]
        header = light.verify_block(
            chain_id,
            unhex(block["header"]),
            unhex(block["certificate"]),
            validators,
            txs=txs,
            receipts=receipts,
            next_validators_bytes=validators,
            parent=parent,
        )
        assert light.block_id(unhex(block["header"])).hex() == block["id"]
        for raw, proof in zip(receipts, block["receipt_proofs"], strict=True):
            light.verify_receipt(header, raw, unhex(proof))
        present = block["present"]
        light.verify_state(header, unhex(present["key"]), unhex(present["value"]), unhex(present["proof"]))
        light.verify_state(header, unhex(block["absent"]["key"]), None, unhex(block["absent"]["proof"]))
        for k, v in block["changes"].items():
            if v is None:
                records.pop(unhex(k))
            else:
                records[unhex(k)] = unhex(v)
        assert trees.state_root(records) == header.state_root
        # LC-BLK-10 and 12: the chain clock and the beacon.
        clock, time = clock + min(header.time - time, 60_000), header.time
        promise = promises.get(header.proposer)
        assert promise is None or keys.tagged("lc/beacon-commitment", header.reveal) == promise
        assert (header.reveal == bytes(32)) is (promise is None)
        promises[header.proposer] = header.commitment
        beacon = keys.sha(beacon + header.reveal)
        assert (block["clock"], block["beacon"]) == (clock, beacon.hex())
        parent = unhex(block["id"])
    assert len(promises) < len(vector["blocks"]), "one proposer had to reveal its secret"


CHAIN = load("chain")


def _verify(block: dict[str, Any], **changed: Any) -> None:
    given: dict[str, Any] = {
        "chain_id": unhex(CHAIN["chain_id"]),
        "header_bytes": unhex(block["header"]),
        "certificate_bytes": unhex(block["certificate"]),
        "validators_bytes": unhex(block["validators"]),
    }
    light.verify_block(**(given | changed))


def test_a_light_client_refuses_what_does_not_fit() -> None:
    first, _, third = CHAIN["blocks"]
    _verify(first)
    header = wire.decode_plain(unhex(first["header"]))
    validators = wire.decode_plain(unhex(first["validators"]))
    for place in range(len(header)):
        changed = list(header)
        changed[place] = changed[place] + 1 if isinstance(changed[place], int) else bytes(reversed(changed[place]))
        if changed != header:
            assert refused(_verify, first, header_bytes=wire.encode(changed)), place
    assert refused(_verify, first, certificate_bytes=unhex(third["certificate"]))
    assert refused(_verify, first, validators_bytes=wire.encode(validators[:3]))
    assert refused(_verify, first, validators_bytes=wire.encode(validators[::-1]))
    assert refused(_verify, first, chain_id=bytes(32))
    assert refused(_verify, first, parent=unhex(first["id"]))
    assert refused(_verify, first, txs=[])
    assert refused(_verify, first, receipts=[unhex(r) for r in first["receipts"]][:-1])
    assert refused(_verify, first, next_validators_bytes=wire.encode(validators[:3]))
