"""Every vector as a function that fails where this implementation does not agree with it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.conformance import (
    answers,
    content,
    federation_file_cases,
    genesis,
    keys,
    lan,
    light,
    losses,
    machine,
    peers,
    prediction_cases,
    receipts,
    restarts,
    signer,
    snapshots,
    texts,
    trees,
    wire,
)
from tests.conformance import records as r
from tests.conformance.checks import Refused
from tests.conformance.judging_cases import formulas
from tests.conformance.wire import encode

SPEC = Path(__file__).parents[2] / "protocol_spec"
VECTORS = SPEC / "vectors"
ANY_LIMIT = 20_000_000
Case = Callable[[], None]


class Disagrees(Exception):
    """This implementation does not agree with a vector."""


def agree(condition: bool, what: str) -> None:
    if not condition:
        raise Disagrees(what)


def equal(found: object, told: object, what: str) -> None:
    agree(found == told, f"{what}: {found!r} is not {told!r}")


def refuse(call: Callable[..., object], *given: object, code: int | None = None, **named: object) -> None:
    try:
        call(*given, **named)
    except Refused as refused:
        if code is not None:
            equal(refused.code, code, "the code")
        return
    raise Disagrees("this should be refused")


@cache
def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def unhex(value: Any) -> bytes:
    """Hex, or a list of [hex, how often]."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    return b"".join(bytes.fromhex(piece) * times for piece, times in value)


def value_of(shown: Any) -> Any:
    """{"hex": …} back to bytes, {"int": …} to an integer."""
    if isinstance(shown, dict):
        return unhex(shown["hex"]) if "hex" in shown else int(shown["int"])
    return [value_of(item) for item in shown] if isinstance(shown, list) else shown


# --- encodings, texts ---------------------------------------------------------------------------------------------------------

LIMITS = {"SignedTx": 65_536, "Buckets": 4_500_000, "Peers": 32_768}


def _canonical(case: dict[str, Any]) -> None:
    value, raw, schema = value_of(case["value"]), unhex(case["bytes"]), r.SCHEMAS[case["type"]]
    equal(wire.encode(value), raw, "the encoding")
    equal(wire.decode(schema, raw, ANY_LIMIT), value, "the value")
    for end in range(0, len(raw), max(1, len(raw) // 25)):
        refuse(wire.decode, schema, raw[:end], ANY_LIMIT)


def _not_canonical(case: dict[str, Any]) -> None:
    refuse(wire.decode, r.SCHEMAS[case["type"]], unhex(case["bytes"]), ANY_LIMIT)


def _limited(case: dict[str, Any]) -> None:
    given = r.SCHEMAS[case["type"]], unhex(case["bytes"]), LIMITS[case["type"]]
    equal(LIMITS[case["type"]], case["limit"], "the limit")
    if case["good"]:
        wire.decode(*given)
    else:
        refuse(wire.decode, *given)


def _number(parse: Callable[[str], int], write: Callable[[int], str], case: dict[str, str]) -> None:
    equal(str(parse(case["text"])), case["value"], "the value")
    equal(write(int(case["value"])), case["written"], "the text")


def _texts(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    for name, parse, write in (
        ("losses", texts.parse_loss, texts.write_loss),
        ("credits", texts.parse_credits, texts.write_credits),
    ):
        for case in vector[name]["good"]:
            yield f"{name} {case['text']}", partial(_number, parse, write, case)
        for bad in vector[name]["bad"]:
            yield f"bad {name} {bad!r}", partial(refuse, parse, bad)
    for good in vector["images"]["good"]:
        yield f"image {good}", partial(texts.check_image, good)
    for bad in vector["images"]["bad"]:
        yield f"bad image {bad!r}", partial(refuse, texts.check_image, bad)
    for good in vector["cids"]["good"]:
        yield f"cid {good}", partial(texts.check_cid, unhex(good))
    for bad in vector["cids"]["bad"]:
        yield f"bad cid {bad}", partial(refuse, texts.check_cid, unhex(bad))


# --- keys, signatures, transactions -------------------------------------------------------------------------------------------


def _identity(case: dict[str, str]) -> None:
    equal(keys.identity(unhex(case["key"])).hex(), case["id"], "the id")
    equal(keys.address(unhex(case["id"])), case["address"], "the address")
    equal(keys.parse_address(case["address"]).hex(), case["id"], "the id of the address")


def _tagged(case: dict[str, Any]) -> None:
    equal(keys.tagged(case["tag"], *map(unhex, case["parts"])).hex(), case["hash"], "the hash")


def _signature(case: dict[str, Any]) -> None:
    given = [unhex(case[name]) for name in ("key", "digest", "signature")]
    if case["good"]:
        keys.check_signature(*given)
    else:
        refuse(keys.check_signature, *given)


def _transaction(vector: dict[str, Any], case: dict[str, Any]) -> None:
    chain_id, key, raw = unhex(vector["chain_id"]), unhex(vector["key"]), unhex(case["bytes"])
    equal(light.net_of(chain_id), vector["net"], "the network's number")
    body, signature = light.check_tx(chain_id, raw, key)
    equal(encode(body).hex(), case["body"], "the body")
    equal(keys.tx_digest(chain_id, unhex(case["body"])).hex(), case["digest"], "the digest")
    equal(light.tx_id(raw).hex(), case["id"], "the id")
    equal(raw, b"\x92" + unhex(case["body"]) + b"\xc4\x40" + signature, "the bytes")
    refuse(light.check_tx, bytes(32), raw, key)


def _position(case: dict[str, Any]) -> None:
    found = light.position(case["height"], unhex(case["parent_beacon"]), unhex(case["tx"]), case["index"])
    equal(found.hex(), case["position"], "the position")


# --- trees --------------------------------------------------------------------------------------------------------------------


def _list(case: dict[str, Any]) -> None:
    items, root = [unhex(i) for i in case["items"]], unhex(case["root"])
    equal(trees.list_root(items), root, "the root")
    for item, proof in zip(items, case["proofs"], strict=True):
        trees.check_item(root, item, unhex(proof))
        refuse(trees.check_item, root, b"no such item", unhex(proof))


def _state(case: dict[str, Any]) -> None:
    records = {unhex(k): unhex(v) for k, v in case["records"].items()}
    root = unhex(case["root"])
    equal(trees.state_root(records), root, "the root")
    for entry in case["present"]:
        key, proof = unhex(entry["key"]), unhex(entry["proof"])
        trees.check_key(root, key, records[key], proof)
        refuse(trees.check_key, root, key, None, proof)
    for entry in case["absent"]:
        key, proof = unhex(entry["key"]), unhex(entry["proof"])
        trees.check_key(root, key, None, proof)
        refuse(trees.check_key, root, key, b"", proof)


def _wrong_state(case: dict[str, Any]) -> None:
    value = None if case["value"] is None else unhex(case["value"])
    refuse(trees.check_key, unhex(case["root"]), unhex(case["key"]), value, unhex(case["proof"]))


# --- losses -------------------------------------------------------------------------------------------------------------------


def _loss_tree(case: dict[str, Any]) -> None:
    values, told = value_of(case["losses"]), case["measurement"]
    root = losses.tree(values)
    equal([root.hash.hex(), root.total, len(values)], [told["root"], value_of(told["total"]), told["count"]], "the measurement")
    equal(losses.mean(root.total, len(values)), value_of(told["mean"]), "the mean")
    for start, end, *node in case.get("nodes", []):
        found = losses.tree(values, start, end)
        equal(
            [found.hash.hex(), found.total, found.greatest], [node[0], *map(value_of, node[1:])], f"the node {start} to {end - 1}"
        )


def _loss_probe(case: dict[str, Any]) -> losses.Probe:
    count = case["count"] if "count" in case else case["measurement"]["count"]
    return losses.probe(unhex(case["beacon"]), unhex(case["job"]), case["audit"], case["round"], count)


def _drawn_losses(case: dict[str, Any]) -> None:
    probe = _loss_probe(case)
    equal([probe.positions, probe.subtrees], [case["positions"], case["subtrees"]], "the probe")
    spans = [list(losses.subtree(case["count"], number)) for number in probe.subtrees]
    equal(spans, case["spans"], "the subtrees")


def _check_opening(case: dict[str, Any]) -> list[int]:
    told = case["measurement"]
    measurement = unhex(told["root"]), value_of(told["total"]), told["count"]
    return losses.check_opening(measurement, _loss_probe(case), unhex(case["opening"]))


def _bad_losses(case: dict[str, Any]) -> None:
    try:
        losses.read_file(unhex(case["file"]))
    except Refused as refused:
        equal("INVALID" if isinstance(refused, losses.Invalid) else "BROKEN", case["vote"], "the vote")
    else:
        raise Disagrees("this should be refused")


def _losses(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    for number, case in enumerate(vector["trees"]):
        yield f"tree {number}", partial(_loss_tree, case)
    for case in vector["beyond"]:
        yield case["why"], partial(refuse, losses.tree, value_of(case["losses"]))
    for case in vector["means"]:
        yield f"mean {case['total']} {case['count']}", partial(equal, losses.mean(case["total"], case["count"]), case["mean"], "it")
    for number, case in enumerate(vector["probes"]):
        yield f"probe {number}", partial(_drawn_losses, case)
    for number, case in enumerate(vector["openings"]):
        yield f"opening {number}", lambda case=case: equal(_check_opening(case), value_of(case["shown"]), "what is shown")
    for case in vector["wrong"]:
        yield f"opening {case['why']}", partial(refuse, _check_opening, case)
    for number, case in enumerate(vector["files"]):
        yield f"file {number}", lambda case=case: equal(losses.read_file(unhex(case["file"])), value_of(case["losses"]), "it")
    for number, case in enumerate(vector["bad_files"]):
        yield f"bad file {number}", partial(_bad_losses, case)


# --- answers ------------------------------------------------------------------------------------------------------------------


def _read_answer(case: dict[str, Any]) -> tuple[list[int], list[int], int]:
    return answers.read_answer(unhex(case["file"]), case["rows"], case["model_classes"])


def _answers(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    for number, case in enumerate(vector["answers"]):
        told = case["classes"], value_of(case["scores"]), value_of(case["check"])
        yield f"answer {number}", lambda case=case, told=told: equal(_read_answer(case), told, "it")
    for number, case in enumerate(vector["none"]):
        yield f"no answer {number}", partial(refuse, _read_answer, case)
    for number, case in enumerate(vector["unfit"]):
        yield f"unfit {number}", lambda case=case: equal(answers.read_unfit(unhex(case["file"]), case["rows"]), case["row"], "it")
    for number, case in enumerate(vector["no_row"]):
        yield f"no row {number}", partial(refuse, lambda case: answers.read_unfit(unhex(case["file"]), case["rows"]), case)


# --- votes, certificates, final blocks ----------------------------------------------------------------------------------------


def _vote(vector: dict[str, Any], v: dict[str, Any]) -> None:
    digest = keys.vote_digest(unhex(vector["chain_id"]), v["type"], v["height"], v["round"], unhex(v["block_id"]))
    equal(digest.hex(), v["digest"], "the digest")
    keys.check_signature(unhex(vector["key"]), digest, wire.decode(r.VOTE, unhex(v["bytes"]), 300)[-1])


def _proposal(vector: dict[str, Any], p: dict[str, Any]) -> None:
    fields = p["height"], p["round"], p["pol_round"], unhex(p["block_id"])
    digest = keys.proposal_digest(unhex(vector["chain_id"]), *fields)
    equal(digest.hex(), p["digest"], "the digest")
    keys.check_signature(unhex(vector["key"]), digest, wire.decode(r.PROPOSAL, unhex(p["bytes"]), 300)[-1])


def _certificate(vector: dict[str, Any], case: dict[str, Any]) -> None:
    validators = light.read_validators(unhex(vector["validators"]))
    given = unhex(vector["chain_id"]), unhex(case["certificate"]), validators
    if case["good"]:
        height, round_, block, _, _ = light.check_certificate(*given)
        equal([height, round_, block.hex()], [vector[n] for n in ("height", "round", "block_id")], "what it is for")
    else:
        refuse(light.check_certificate, *given)


def _certificates(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    raw = unhex(vector["validators"])
    yield "hash of the set", lambda: equal(light.validators_hash(raw).hex(), vector["validators_hash"], "the hash")
    for n, q in vector["quorums"]:
        yield f"quorum of {n}", partial(equal, light.quorum(n), q, "the quorum")
    for case in vector["cases"]:
        yield case["why"], partial(_certificate, vector, case)
    for case in vector["refused_sets"]:
        yield f"a set {case['why']}", partial(refuse, light.read_validators, unhex(case["validators"]))


def _final(vector: dict[str, Any], case: dict[str, Any]) -> None:
    given = unhex(vector["chain_id"]), unhex(case["header"]), unhex(case["certificate"]), unhex(vector["validators"])
    if case["good"]:
        light.verify_block(*given)
    else:
        refuse(light.verify_block, *given)


# --- genesis ------------------------------------------------------------------------------------------------------------------


def defaults() -> dict[str, int]:
    """Of the parameters, from the generated chapter."""
    chapter = (SPEC / "constants.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z0-9_]+) \| ([0-9,]+) \|", chapter, re.MULTILINE)
    return {name: int(value.replace(",", "")) for name, value in rows}


def _genesis(vector: dict[str, Any]) -> None:
    raw = unhex(vector["bytes"])
    equal(genesis.chain_id(raw).hex(), vector["chain_id"], "the chain id")
    equal(light.net_of(genesis.chain_id(raw)), vector["net"], "the network's number")
    equal(genesis.first_validators(raw).hex(), vector["validators"], "the first set")
    equal({k.hex(): v.hex() for k, v in genesis.first_state(raw).items()}, vector["records"], "the first state")
    equal(trees.state_root(genesis.first_state(raw)).hex(), vector["state_root"], "the state root")


def _genesis_file(vector: dict[str, Any]) -> None:
    equal(genesis.from_file(vector["file"], defaults()).hex(), vector["bytes"], "the genesis")
    document = json.loads(vector["file"])
    kept = {name: value for name, value in document["params"].items() if value != defaults()[name]}
    short = json.dumps(document | {"params": kept})
    equal(genesis.from_file(short, defaults()).hex(), vector["bytes"], "the genesis with defaults left out")


def _left_out(case: dict[str, Any]) -> None:
    equal(genesis.from_file(case["file"], defaults()).hex(), case["bytes"], "the genesis")


def _geneses(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    yield "the first state", partial(_genesis, vector)
    yield "the file", partial(_genesis_file, vector)
    for case in vector["good"]:
        yield case["why"], partial(genesis.read_genesis, unhex(case["bytes"]))
    for case in vector["refused"]:
        yield case["why"], partial(refuse, genesis.read_genesis, unhex(case["bytes"]))
    for case in vector["files"]:
        yield f"a file with {case['why']}", partial(_left_out, case)
    for case in vector["refused_files"]:
        yield f"a file with {case['why']}", partial(refuse, genesis.from_file, case["file"], defaults())


def _restart(case: dict[str, Any]) -> None:
    old, records = unhex(case["old"]), {unhex(k): unhex(v) for k, v in case["state"].items()}
    equal(trees.state_root(records).hex(), case["state_root"], "the state that is carried")
    chosen = [unhex(one) for one in case["validators"]]
    block, root = unhex(case["block_id"]), unhex(case["state_root"])
    raw = restarts.restart(genesis.read_genesis(old), records, block, root, chosen, case["name"])
    equal(raw.hex(), case["bytes"], "the genesis")
    equal(genesis.from_file(case["file"], defaults()).hex(), case["bytes"], "the genesis of the file")
    equal(genesis.chain_id(raw).hex(), case["chain_id"], "the chain id")
    equal(trees.state_root(genesis.first_state(raw)).hex(), case["first_root"], "the root of the first state")
    validators = wire.decode(r.VALIDATOR_SET, genesis.first_validators(raw), 100_000)
    equal(validators, sorted([[one[0], one[1]] for one in validators]), "the order of the validators")


def _restarts(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    for case in vector["cases"]:
        yield case["why"], partial(_restart, case)
    for case in vector["refused"]:
        yield case["why"], partial(refuse, genesis.read_genesis, unhex(case["bytes"]))
    for case in vector["refused_files"]:
        yield f"a file with {case['why']}", partial(refuse, genesis.from_file, case["file"], defaults())


# --- receipt files ------------------------------------------------------------------------------------------------------------


def _receipt(vector: dict[str, Any], case: dict[str, Any]) -> None:
    made = genesis.from_file(vector["genesis"]["file"], defaults())
    given = unhex(case["file"]), made, unhex(case["trusted"])
    if not case["good"]:
        refuse(receipts.verify, *given)
        return
    receipts.verify(*given)
    if not case["trusted"]:
        refuse(receipts.verify, given[0], genesis.from_file(vector["other_genesis"]["file"], defaults()), b"")


def _receipts(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    for case in vector["cases"]:
        yield case["why"], partial(_receipt, vector, case)


# --- snapshots ----------------------------------------------------------------------------------------------------------------


def _buckets(vector: dict[str, Any]) -> None:
    subroots = snapshots.read_subroots(unhex(vector["heads"]), unhex(vector["state_root"]))
    equal([subroot[:2] for subroot in subroots], [snapshots.bits_of(int(n)) for n in vector["pages"]], "the numbers")
    records: dict[bytes, bytes] = {}
    for subroot, raw in zip(subroots, vector["pages"].values(), strict=True):
        flat = snapshots.read_bucket(unhex(raw), subroot)
        records.update(zip(flat[::2], flat[1::2], strict=True))
    equal(trees.state_root(records).hex(), vector["state_root"], "the root of the records")


def _wrong_bucket(case: dict[str, Any]) -> None:
    subroot = unhex(case["head"])
    refuse(snapshots.read_bucket, unhex(case["page"]), (*snapshots.bits_of(case["number"]), subroot[0], subroot[1:]))


def _set_changes(vector: dict[str, Any]) -> None:
    chain_id, validators = unhex(vector["chain_id"]), unhex(vector["validators"])
    first, second = (unhex(raw) for raw in vector["handovers"])
    following = snapshots.follow(chain_id, first, validators)
    equal(len(light.read_validators(snapshots.follow(chain_id, second, following))), 2, "validators in the end")


def _snapshots(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    yield "buckets", partial(_buckets, vector)
    yield "large buckets", partial(_buckets, vector["large"])
    yield "a bucket that is cut", partial(_buckets, vector["cut"])
    for case in vector["refused_heads"]:
        yield f"subroots: {case['why']}", partial(refuse, snapshots.read_subroots, unhex(case["heads"]), unhex(case["state_root"]))
    for case in vector["refused_pages"]:
        yield f"bucket: {case['why']}", partial(_wrong_bucket, case)
    yield "validator set changes", partial(_set_changes, vector)
    chain_id, validators = unhex(vector["chain_id"]), unhex(vector["validators"])
    for case in vector["refused_handovers"]:
        yield f"set change: {case['why']}", partial(refuse, snapshots.follow, chain_id, unhex(case["handover"]), validators)


# --- a chain, followed by a light client and by execution ---------------------------------------------------------------------


def _follow_chain(vector: dict[str, Any]) -> None:
    start = unhex(load("genesis")["bytes"])
    chain_id, validators = genesis.chain_id(start), genesis.first_validators(start)
    records, parent = genesis.first_state(start), chain_id
    for block in vector["blocks"]:
        txs, receipts, header_bytes = (
            [unhex(t) for t in block["txs"]],
            [unhex(t) for t in block["receipts"]],
            unhex(block["header"]),
        )
        header = light.verify_block(
            chain_id,
            header_bytes,
            unhex(block["certificate"]),
            validators,
            txs=txs,
            receipts=receipts,
            next_validators_bytes=validators,
            parent=parent,
        )
        equal(light.block_id(header_bytes).hex(), block["id"], "the block id")
        for raw, proof in zip(receipts, block["receipt_proofs"], strict=True):
            light.verify_receipt(header, raw, unhex(proof))
        present, absent = block["present"], block["absent"]
        light.verify_state(header, unhex(present["key"]), unhex(present["value"]), unhex(present["proof"]))
        light.verify_state(header, unhex(absent["key"]), None, unhex(absent["proof"]))
        secret = keys.beacon_secret(unhex(vector["beacon_keys"][header.proposer.hex()]), chain_id, header.height)
        equal(header.commitment, keys.tagged("lc/beacon-commitment", secret), "the commitment")
        done = machine.execute(records, parent, encode([list(header), txs]))
        equal([raw.hex() for raw in done.receipts], block["receipts"], "the receipts")
        records = {k: v for k, v in {**records, **done.put}.items() if k not in done.gone}
        told = dict(block["changes"])
        changed = {k.hex(): v.hex() for k, v in done.put.items()} | dict.fromkeys([k.hex() for k in done.gone])
        equal(changed, told, "the changes")
        chain = wire.decode(r.CHAIN_RECORD, records[b"g/"], 1_000)
        equal((chain[3], chain[4].hex()), (block["clock"], block["beacon"]), "clock and beacon")
        parent = light.block_id(header_bytes)


def _changed_headers(block: dict[str, Any], chain_id: bytes) -> None:
    """Whatever field of a header is changed, it is not the certified one."""
    fields = wire.decode_plain(unhex(block["header"]))
    for place, value in enumerate(fields):
        changed = [*fields[:place], value + 1 if isinstance(value, int) else value[::-1], *fields[place + 1 :]]
        if changed != fields:
            given = chain_id, encode(changed), unhex(block["certificate"]), unhex(block["validators"])
            refuse(light.verify_block, *given)


def _foreign_parts(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    first, second, third = vector["blocks"]
    chain_id, validators = unhex(vector["chain_id"]), wire.decode_plain(unhex(first["validators"]))
    given = [chain_id, unhex(first["header"]), unhex(first["certificate"]), unhex(first["validators"])]

    def refused(at: int = 0, value: bytes | None = None, **named: Any) -> Case:
        changed = [*given[:at], given[at] if value is None else value, *given[at + 1 :]]
        return partial(refuse, light.verify_block, *changed, **named)

    for number, block in enumerate(vector["blocks"]):
        yield f"block {number + 1} with a changed header", partial(_changed_headers, block, chain_id)
    yield "another block's certificate", refused(2, unhex(third["certificate"]))
    yield "a smaller set", refused(3, encode(validators[:3]))
    yield "another chain", refused(0, bytes(32))
    yield "another parent", refused(parent=unhex(first["id"]))
    yield "no transactions", refused(txs=[])
    yield "another order of transactions", refused(txs=[unhex(t) for t in first["txs"]][::-1])
    receipts = [unhex(t) for t in first["receipts"]]
    yield "a receipt too few", refused(receipts=receipts[:-1])
    yield "another next set", refused(next_validators_bytes=encode(validators[:3]))
    empty = [unhex(second[name]) for name in ("header", "certificate", "validators")]
    yield (
        "no receipt for a transaction that is not there",
        partial(light.verify_block, chain_id, *empty, txs=[], receipts=[unhex(second["receipts"][0])]),
    )


def _receipts_of_others(vector: dict[str, Any]) -> None:
    """LC-BLK-4: receipts with the header's root that are not one per transaction: no honest set certifies such a header."""
    header = light.Header(*[0, b"", 0, 0, b"", 0, *[b""] * 8])
    first = [unhex(t) for t in vector["blocks"][0]["receipts"]]
    txs = [unhex(t) for t in vector["blocks"][0]["txs"]]
    light.there_is_one_receipt_per_transaction_behind_the_block_s_own(first, txs)
    refuse(light.there_is_one_receipt_per_transaction_behind_the_block_s_own, first[1:], txs)
    refuse(light.there_is_one_receipt_per_transaction_behind_the_block_s_own, [first[0], *first[:0:-1]], txs)
    agree(header.version == 0, "the header")


def _chain(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    yield "from genesis", partial(_follow_chain, vector)
    yield "receipts of other transactions", partial(_receipts_of_others, vector)
    yield from _foreign_parts(vector)


# --- peers --------------------------------------------------------------------------------------------------------------------


def _packet(case: dict[str, Any]) -> None:
    if case.get("refused"):
        refuse(lambda: lan.read(unhex(case["packet"])))
        return
    said = lan.read(unhex(case["packet"]))
    expected = case.get("says")
    equal(said, expected and (unhex(expected["chain_id"]), unhex(expected["id"]), expected["port"]), "what is said")


def _sent_on_lan(vector: dict[str, Any]) -> None:
    equal(lan.question(), unhex(vector["question"]["packet"]), "the question")
    made = vector["announcement"]
    own = lan.announcement(unhex(made["chain_id"]), unhex(made["id"]), made["port"], made["host"])
    equal(own, unhex(made["packet"]), "the announcement")


def _frames(case: dict[str, Any]) -> None:
    reader = peers.Reader()

    def read() -> list[peers.Message]:
        return [message for frame in case["frames"] for message in reader.read(unhex(frame))]

    if case.get("refused"):
        refuse(read)
    else:
        equal([[c, p] for c, p in read()], [[c, unhex(p)] for c, p in case["messages"]], "the messages")


def _binding(vector: dict[str, str]) -> None:
    given = [unhex(vector[name]) for name in ("chain_id", "key_info", "value")]
    equal(peers.check_binding(*given).hex(), vector["digest"], "the digest")
    refuse(peers.check_binding, bytes(32), *given[1:])


def _turn(case: dict[str, int]) -> None:
    equal(peers.turn(case["validators"], case["height"], case["round"]), case["index"], "whose turn it is")


def _timeout(case: dict[str, Any]) -> None:
    equal(peers.timeout(case["kind"], case["round"], case["params"]), case["ms"], "the timeout")


def _time(case: dict[str, Any]) -> None:
    given = [case[name] for name in ("header_round", "round", "time", "arrival", "drift", "timeout_propose")]
    if case["in_time"]:
        peers.check_time(*given)
    else:
        refuse(peers.check_time, *given)


def _file(case: dict[str, Any]) -> None:
    """LC-CONTENT-2: the file of content.md, of which the hashes of the chunks are enough."""
    size, leaves = case["size"], []
    for number in range(max(1, -(-size // content.CHUNK))):
        part = min(content.CHUNK, size - number * content.CHUNK)
        chunk = (keys.sha(number.to_bytes(8, "big")) * 8_192)[:part]
        leaves.append((keys.sha(chunk), part))
    equal(content.file_name(leaves), case["name"], "the name")
    depth = sum(size > content.CHUNK * content.LINKS**level for level in range(3))
    equal(content.tsize(size, depth), case["bytes"], "the bytes of all blocks")


def _node(case: dict[str, Any]) -> None:
    block = unhex(case["node"])
    content.check_node(block, case["size"], case["depth"])
    equal(content.write_name(content.DAG_PB + keys.sha(block)), case["name"], "the name")


def _name(case: dict[str, str]) -> None:
    equal(content.parse_name(case["name"]).hex(), case["cid"], "the binary name")
    equal(content.write_name(unhex(case["cid"])), case["name"], "the text")


def _content(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    for case in vector["files"]:
        yield f"a file of {case['size']}", partial(_file, case)
    for case in vector["nodes"]:
        yield f"a node of {case['size']} at depth {case['depth']}", partial(_node, case)
    for case in vector["refused_nodes"]:
        yield f"node: {case['why']}", partial(refuse, content.check_node, unhex(case["node"]), case["size"], case["depth"])
    for case in vector["names"]["good"]:
        yield f"name {case['name']}", partial(_name, case)
    for case in vector["names"]["refused"]:
        yield f"name: {case['why']}", partial(refuse, content.parse_name, case["name"])


# --- work: LC-BLK-25 ----------------------------------------------------------------------------------------------------------


def _work(case: dict[str, Any]) -> None:
    messages = wire.decode(r.SIGNED_TX, unhex(case["tx"]), 65_536)[0][5]
    ran = messages if case["refused"] is None else messages[: case["refused"] + 1]
    equal(sum(machine.work_of(message) for message in ran), case["work"], "the work")
    equal(case["code"] == 0, case["refused"] is None, "whether it was refused")


# --- executions ---------------------------------------------------------------------------------------------------------------


def _records(vector: dict[str, Any], case: dict[str, Any]) -> dict[bytes, bytes]:
    merged = {**vector["state"], **case["with"]}
    return {unhex(k): unhex(v) for k, v in merged.items() if v is not None}


def _execution(vector: dict[str, Any], case: dict[str, Any]) -> None:
    given = _records(vector, case), unhex(case["parent"]), unhex(case["block"])
    if case.get("refused"):
        refuse(machine.execute, *given, code=case["code"])
        return
    done = machine.execute(*given)
    receipts = [wire.decode(r.RECEIPT, raw, 1_000_000) for raw in done.receipts]
    equal([receipt[1] for receipt in receipts[1:]], case["codes"], "the codes")
    equal([raw.hex() for raw in done.receipts], case["receipts"], "the receipts")
    changes = encode([[[k, v] for k, v in done.put.items()], done.gone])
    equal(changes.hex(), case["changes"], "the changes")
    wire.decode(r.CHANGES, changes, 9_000_000)
    equal(done.state_root.hex(), case["state_root"], "the state root")


def _marks(done: machine.Result) -> dict[str, str]:
    """Of each record that a block changed the first four bytes of its hash; nothing of one that left."""
    return {key.hex(): hashlib.sha256(raw).hexdigest()[:8] for key, raw in done.put.items()} | {key.hex(): "" for key in done.gone}


def _play(vector: dict[str, Any], play: dict[str, Any]) -> None:
    """LC-JOB: one block after the other, each on what the one before left."""
    records, parent = _records(vector, play), unhex(play["parent"])
    for number, told in enumerate(play["blocks"]):
        raw = unhex(told["block"])
        done = machine.execute(records, parent, raw)
        receipts = [wire.decode(r.RECEIPT, receipt, 1_000_000) for receipt in done.receipts]
        equal([receipt[1] for receipt in receipts[1:]], told["codes"], f"the codes of block {number}")
        equal([receipt.hex() for receipt in done.receipts], told["receipts"], f"the receipts of block {number}")
        equal(_marks(done), told["changes"], f"the changed records of block {number}")
        equal(done.state_root.hex(), told["state_root"], f"the state root of block {number}")
        records = {key: record for key, record in {**records, **done.put}.items() if key not in set(done.gone)}
        parent = light.block_id(encode(wire.decode(r.BLOCK, raw, machine.MAX_BLOCK_BYTES)[0]))


def _service(vector: dict[str, Any], case: dict[str, Any]) -> None:
    before = _records(vector, case)
    if "refused" in case:
        refuse(lambda given: machine.serve(before, case["call"], given), value_of(case["given"]), code=case["refused"])
        return
    state, result = machine.serve(before, case["call"], value_of(case["given"]))
    equal(result, value_of(case["result"]), "the result")
    equal(encode(state.events).hex(), case["events"], "the events")
    put = [[k, v] for k, v in sorted(state.records.items()) if before.get(k) != v]
    equal(encode([put, sorted(set(before) - set(state.records))]).hex(), case["changes"], "the changes")


# --- all ----------------------------------------------------------------------------------------------------------------------


def _of_files() -> Iterator[tuple[str, str, Case]]:
    groups: list[tuple[str, str, Callable[[dict[str, Any]], None]]] = [
        ("encodings", "canonical", _canonical),
        ("encodings", "refused", _not_canonical),
        ("encodings", "too_long", _limited),
        ("identities", "good", _identity),
        ("identities", "tagged", _tagged),
        ("identities", "bad_keys", lambda c: refuse(keys.identity, unhex(c["key"]))),
        ("identities", "bad_addresses", lambda c: refuse(keys.parse_address, c["address"])),
        ("signatures", "cases", _signature),
        ("transactions", "cases", lambda c: _transaction(load("transactions"), c)),
        ("transactions", "positions", _position),
        ("lists", "cases", _list),
        ("lists", "wrong", lambda c: refuse(trees.check_item, *(unhex(c[n]) for n in ("root", "item", "proof")))),
        ("states", "cases", _state),
        ("states", "wrong", _wrong_state),
        ("votes", "votes", lambda c: _vote(load("votes"), c)),
        ("votes", "proposals", lambda c: _proposal(load("votes"), c)),
        ("work", "cases", _work),
        ("frames", "cases", _frames),
        ("lan", "packets", _packet),
        ("rounds", "turns", _turn),
        ("rounds", "timeouts", _timeout),
        ("rounds", "times", _time),
        ("finality", "cases", lambda c: _final(load("finality"), c)),
        ("executions", "cases", lambda c: _execution(load("executions"), c)),
        ("executions", "services", lambda c: _service(load("executions"), c)),
    ]
    for file, group, run in groups:
        for number, case in enumerate(load(file)[group]):
            name = " ".join(str(case[n]) for n in ("type", "name", "why") if n in case)
            yield file, f"{group} {number} {name}".rstrip(), partial(run, case)
    yield "lan", "what is sent", partial(_sent_on_lan, load("lan"))
    yield "frames", "binding", partial(_binding, load("frames")["binding"])
    for file, make in (
        ("texts", _texts),
        ("certificates", _certificates),
        ("content", _content),
        ("genesis", _geneses),
        ("restarts", _restarts),
        ("snapshots", _snapshots),
        ("receipts", _receipts),
        ("signer", _signer),
        ("chain", _chain),
        ("losses", _losses),
        ("federation-files", federation_file_cases.files),
        ("answers", _answers),
        ("job", formulas),
        ("prediction", prediction_cases.formulas),
    ):
        for name, case_ in make(load(file)):
            yield file, name, case_
    for file in ("jobs", "predictions", "federations"):
        for play in load(file)["plays"]:
            yield file, play["name"], partial(_play, load(file), play)


def _signer(vector: dict[str, Any]) -> Iterator[tuple[str, Case]]:
    for number, case in enumerate(vector["conversations"]):
        yield f"conversation {number} {case['why']}", partial(_conversation, vector, case)
    for case in vector["bad_requests"]:
        yield f"no request: {case['why']}", partial(refuse, signer.request_in, unhex(case["bytes"]))


def _conversation(vector: dict[str, Any], case: dict[str, Any]) -> None:
    """Each answer is the right one, and none of the others is."""
    followed = signer.Conversation(vector, forgot=case["forgot"], transactions=case["transactions"], for_good=case["for_good"])
    for request, answer in case["said"]:
        equal(followed.follow(unhex(request), unhex(answer)), "", "what is wrong with the answer")


@cache
def cases() -> dict[str, Case]:
    """By file and name."""
    found: dict[str, Case] = {}
    for file, name, case in _of_files():
        if f"{file}: {name}" in found:
            raise ValueError(f"two vectors are called {file}: {name}")
        found[f"{file}: {name}"] = case
    return found


FILES = frozenset(
    (
        *(
            "encodings",
            "identities",
            "signatures",
            "transactions",
            "lists",
            "states",
            "votes",
            "finality",
            "executions",
            "work",
            "frames",
            "lan",
            "rounds",
            "content",
            "federation-files",
        ),
        *(
            "texts",
            "certificates",
            "genesis",
            "restarts",
            "snapshots",
            "receipts",
            "signer",
            "chain",
            "losses",
            "answers",
            "job",
            "jobs",
        ),
        *("prediction", "predictions", "federations"),
    )
)
"""What is checked here. The encrypted file needs a cipher that the standard library lacks: the product's own tests check it."""
