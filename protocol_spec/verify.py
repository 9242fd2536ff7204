"""Checks a receipt of a LearningChain network, offline. You trust one thing: the network's genesis file (or the id of one block).

    python verify.py RECEIPT genesis.json
    python verify.py RECEIPT --trust BLOCK_ID

It needs Python 3.11, `pip install ecdsa msgpack`, and nothing else: no node, no network, no word of whoever gave you the receipt.
It says what is proven and ends with 0, or "REFUSED", why, and ends with 1. The rules are those of receipts.md, in this order:

    genesis ----> its hash is the chain's id; its validators sign block 1
    handovers --> a block that more than two thirds of a set signed names the set of the next block, again and again
    block ------> more than two thirds of the set of its height signed its header
    header -----> holds the roots of three trees of hashes: transactions, receipts, state
    receipt ----> hashed with its siblings it gives the root, so it is in the block; records of the state likewise
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import ecdsa  # type: ignore[import-untyped]
import msgpack  # type: ignore[import-untyped]

# Made from the code, as constants.md is: a contract's number and name, and the parameters in their order with their defaults.
PARAMETERS = """
0 ledger block_bytes=2000000 block_txs=4096 block_work=49152 quota=2048 max_due=1536 max_due_work=8192 block_reward=0
 heartbeat=10000 max_step=60000 drift=2000 timeout_propose=1000 timeout_vote=500 timeout_step=250 timeout_max=30000
 evidence_age=10000 bandwidth_base=64 bandwidth_per_credit=16 bandwidth_window=4096000
1 credits
2 membership appeal=43200000 standing_life=2592000000 join_policy=3 invite_longest=2592000000 invite_rest=86400000
 invite_branch=1024
3 job job_min_bounty=1000000 job_rate=10 job_min_open=10000 job_max_open=2592000000 job_reveal=60000 job_key=60000
 job_vote_base=120000 job_open_votes=60000 job_max_claimants=1024 job_max_live=1024 job_max_live_bytes=4194304 job_keep=604800000
4 prediction pred_sub=20000 pred_epoch=3600000 pred_epoch_sub=100000000 pred_stake=1000000 pred_deposit=1000000 pred_fee=10000
 pred_a0=3000 pred_open=2000 pred_keys=5000 pred_appeal=600000 pred_vote_base=120000 pred_open_votes=60000 pred_keep=2592000000
 pred_servers=256 pred_models=256 pred_waiting=1024 pred_waiting_own=64 pred_row=5
5 federation fed_base=120000 fed_ready=30000 fed_open=60000 fed_pending=604800000 fed_keep=2592000000 fed_least=60000
 fed_longest=15552000000 fed_rate=10 fed_live=16 fed_dropped=64
6 governance proposal_life=2592000000
7 keys key_rest=3600000 recovery_delay_min=86400000 recovery_delay_max=7776000000 recovery_gather=1209600000
"""
sha = lambda raw: hashlib.sha256(raw).digest()  # noqa: E731
amount = lambda micro: f"{micro // 10**6}.{micro % 10**6:06d}".rstrip("0").rstrip(".")  # noqa: E731
encode, ORDER = msgpack.packb, ecdsa.SECP256k1.order
KIND, VERSION, PRECOMMIT, MAX_BYTES = "learningchain receipt", 1, 2, 16_000_000


def need(holds: bool, why: str) -> None:
    if not holds:
        raise ValueError(why)


# Shapes: a type; a number: so many bytes; a pair: from so many bytes to so many; a list: a record; {n: shape}: up to n of these.
HEADER = [int, 32, int, int, 20, int, *[32] * 8]
PROTOCOL, CHAIN, HEIGHT, ROUND, PROPOSER, TIME, _, TX_ROOT, RECEIPT_ROOT, STATE_ROOT, SIGNED_BY, NEXT_SET, *_ = range(14)
CERTIFICATE, VALIDATORS, PATH = [int, int, 32, {128: int}, {128: 64}], {128: [20, 33]}, {16: [bool, 32]}
RECEIPT, RECORD = [(0, 10**6), PATH, (0, 65_536), PATH], [(1, 255), {1: (0, 10**7)}, [{256: 32}, (0, 64)]]
HANDOVER = [HEADER, CERTIFICATE, VALIDATORS]
FILE = [str, int, {1: [HEADER, VALIDATORS]}, {1_024: HANDOVER}, HEADER, CERTIFICATE, {1: RECEIPT}, {16: RECORD}]


def fits(value, shape) -> bool:
    if isinstance(shape, type):
        return type(value) is shape and (shape is not int or 0 <= value < 2**63)
    if isinstance(shape, list):
        return type(value) is list and len(value) == len(shape) and all(map(fits, value, shape))
    if isinstance(shape, dict):
        ((most, kind),) = shape.items()
        return type(value) is list and len(value) <= most and all(fits(item, kind) for item in value)
    low, high = shape if isinstance(shape, tuple) else (shape, shape)
    return type(value) is bytes and low <= len(value) <= high


def decode(raw: bytes, what: str):
    """Every value has one encoding: bytes that are another one of the same value are refused."""
    value = msgpack.unpackb(raw, raw=False)
    need(encode(value) == raw, f"{what} is not in its one encoding")
    return value


def tagged(tag: str, *parts: bytes) -> bytes:
    """Hashes for different purposes never meet (LC-ID-1)."""
    return sha(bytes([len(tag)]) + tag.encode() + b"".join(parts))


def values_of(given: dict, line: list[str]) -> list[int]:
    """Parameters in their order; what the file leaves out has its default."""
    known = dict(part.split("=") for part in line)
    need(set(given) <= set(known), "the genesis file has parameters that this verify.py does not know")
    return [given.get(name, int(default)) for name, default in known.items()]


def read_genesis(raw: bytes):
    """The chain's id, the validators of block 1, the network's name (LC-BLK-9, 16, 32, 37)."""
    need(len(raw) <= MAX_BYTES, "the genesis file is too long")
    g, lines = json.loads(raw), [line.split() for line in PARAMETERS.strip().replace("\n ", " ").splitlines()]
    contracts = g.get("contracts", {})
    need(set(contracts) <= {line[1] for line in lines}, "the genesis file has contracts that this verify.py does not know")
    sections = [[int(number), values_of(contracts.get(name, {}), line)] for number, name, *line in lines[1:]]
    rows = [(a["key"], Decimal(a["credits"]), a["validator"], a["verifier"]) for a in g["accounts"]]
    accounts = [[bytes.fromhex(key), int(credits * 10**6), *flags] for key, credits, *flags in rows]
    head = [g["version"], g["name"], g["time"], values_of(g["params"], lines[0][2:]), accounts]
    whole = [*head, g["ca_cert"].encode(), g["ca_key"].encode(), sections]
    validators = sorted([tagged("lc/id", key)[:20], key] for key, _, validator, _ in accounts if validator)
    if b := g.get("base"):  # a network that goes on from the state of another one (LC-BLK-37, 40)
        validators, records = [[[*map(bytes.fromhex, pair)] for pair in b[what].items()] for what in ("validators", "records")]
        chain_id, block, root = (bytes.fromhex(b[what]) for what in ("chain_id", "block_id", "state_root"))
        whole.append([chain_id, b["height"], block, root, b["clock"], validators, records])
    return tagged("lc/genesis", encode(whole)), validators, g["name"]


def check_final(chain: bytes, header: list, certificate: list, validators: list) -> None:
    """More than two thirds of the validators of this height signed this header, and it is one that they may sign."""
    height, round_, block, signers, signatures = certificate
    need(header[PROTOCOL] == 1, "the header is of a protocol version that this verify.py does not know")
    need(header[CHAIN] == chain, "the header is of another chain")
    need(height == header[HEIGHT] and block == tagged("lc/block", encode(header)), "the certificate is for another block")
    need(header[SIGNED_BY] == set_hash(validators), f"block {height} is signed by another validator set")
    need(round_ >= header[ROUND], "the certificate is of a round before the block was proposed")
    need(header[PROPOSER] == validators[(height + header[ROUND]) % len(validators)][0], "it was not the proposer's turn")
    need(len(signers) == len(signatures), "a certificate has one signature for each signer")
    need(all(a < b for a, b in pairwise(signers)), "a signer stands twice, or out of order")
    need(len(signers) >= 2 * len(validators) // 3 + 1, f"{len(signers)} of {len(validators)} validators signed: too few")
    digest = tagged("lc/vote", chain, encode([PRECOMMIT, height, round_, block]))
    for signer, signature in zip(signers, signatures, strict=True):
        need(signer < len(validators), "there is no such signer")
        need(0 < int.from_bytes(signature[32:], "big") <= ORDER // 2, "of a signature's two forms the one with the low s counts")
        key = ecdsa.VerifyingKey.from_string(validators[signer][1], curve=ecdsa.SECP256k1, valid_encodings=("compressed",))
        need(key.verify_digest(signature, digest), "a signature is not good")  # that call raises, too


def set_hash(validators: list) -> bytes:
    ids = [v[0] for v in validators]
    need(len(ids) > 0 and all(a < b for a, b in pairwise(ids)), "a validator set is sorted by id, each once")
    return tagged("lc/validators", encode(validators))


def list_root(item: bytes, path: list) -> bytes:
    node = sha(b"\0" + item)
    for left, sibling in path:
        node = sha(b"\1" + (sibling + node if left else node + sibling))
    return node


def state_root(key: bytes, record: bytes | None, siblings: list, other: bytes) -> bytes:
    """The root that the state has if it holds this record under the key, or nothing (None)."""
    path = int.from_bytes(sha(key), "big")
    if record is not None:
        need(other == b"", "a proof of a record shows no other leaf")
        node = sha(b"\2" + sha(key) + sha(record))
    elif other:  # another leaf stands where the key would: on its way, and not its own
        deep, apart = len(siblings), path ^ int.from_bytes(other[:32], "big")
        need(len(other) == 64 and 0 < apart < 1 << 256 - deep, "the other leaf does not stand where the key would")
        node = sha(b"\2" + other)
    else:
        node = bytes(32)
    for depth in reversed(range(len(siblings))):
        node = sha(b"\3" + (siblings[depth] + node if path >> (255 - depth) & 1 else node + siblings[depth]))
    return node


def check(raw: bytes, genesis: bytes, trust: bytes = b"") -> list[str]:
    """What the file proves, in words (LC-LIGHT-2 to LC-LIGHT-6). Whatever it raises, it proves nothing."""
    need(len(raw) <= MAX_BYTES, "the receipt file is too long")
    found = decode(raw, "the receipt file")
    need(fits(found, FILE) and found[0] == KIND and found[1] == VERSION, f"this is no receipt file of version {VERSION}")
    _, _, trusted, handovers, header, certificate, receipts, records = found
    need(bool(receipts or records), "the file shows nothing")
    if not trust:
        need(not trusted, "the file begins at a trusted block: say --trust and the id of a block that you know")
        chain, validators, name = read_genesis(genesis)
        height, since = 0, f'the genesis of network "{name}"'
        need(header[CHAIN] == chain, f"the receipt is of chain {header[CHAIN].hex()}, this genesis makes chain {chain.hex()}")
    else:
        need(bool(trusted) and tagged("lc/block", encode(trusted[0][0])) == trust, "the file does not begin at the trusted block")
        (begin, validators), since = trusted[0], f"block {trust.hex()}"
        need(set_hash(validators) == begin[NEXT_SET], "the trusted block names another validator set")
        chain, height = begin[CHAIN], begin[HEIGHT]
    for change, signed, following in handovers:
        need(height < change[HEIGHT] < header[HEIGHT], "the handovers do not ascend to the block")
        check_final(chain, change, signed, validators)
        need(set_hash(following) == change[NEXT_SET] != change[SIGNED_BY], "a handover is to another set than its header names")
        validators, height = following, change[HEIGHT]
    need(header[HEIGHT] > height, "the block is not above the trusted one")
    check_final(chain, header, certificate, validators)
    when = datetime.fromtimestamp(header[TIME] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    count = f"{len(certificate[3])} of its {len(validators)} validators"
    said = [f"Block {header[HEIGHT]} of {when} is final: {count} signed it, as they follow from {since}."]
    for shown in receipts:
        said += check_receipt(header, *shown)
    need(all(a[0] < b[0] for a, b in pairwise(records)), "the records are not in the order of their keys")
    for key, record, (siblings, other) in records:
        holds = state_root(key, record[0] if record else None, siblings, other) == header[STATE_ROOT]
        need(holds, f"the state does not hold this under key {key.hex()}")
        held = f"the record {record[0].hex()}" if record else "nothing"
        if record and key[:2] == b"a/" and len(key) == 22:
            held = "{} free and {} frozen credits of account {}".format(*map(amount, decode(record[0], "it")[2:4]), party(key[2:]))
        said.append(f"After it the state holds under key {key.hex()} {held}.")
    return said


def check_receipt(header: list, receipt: bytes, path: list, tx: bytes, tx_path: list) -> list[str]:
    need(list_root(receipt, path) == header[RECEIPT_ROOT], "the receipt does not stand in the block")
    of, code, events = decode(receipt, "the receipt")
    if not tx:
        need(of == bytes(32) and not tx_path, "the receipt is of a transaction that the file does not hold")
        return ["By itself (deadlines, rewards) it did this:", *map(event_words, events)]
    need(tagged("lc/txid", tx) == of, "the receipt is that of another transaction")
    need(list_root(of, tx_path) == header[TX_ROOT], "the transaction does not stand in the block")
    outcome = "was applied:" if code == 0 else f"was REFUSED with code {code} (codes.md) and changed nothing."
    by = party(decode(tx, "the transaction")[0][1])
    return [f"Transaction {of.hex()} of {by} stands in it and {outcome}", *map(event_words, events)]


def party(raw: bytes) -> str:
    """An account as its address (bech32m, LC-ID-6), anything else in hex."""
    if len(raw) != 20:
        return raw.hex() or "nobody"
    letters, number = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", int.from_bytes(raw, "big")
    data, check = [number >> (155 - 5 * i) & 31 for i in range(32)], 1
    for value in [3, 3, 0, 12, 3, *data, *[0] * 6]:  # "lc", spread out, and room for the checksum
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= factor if top >> i & 1 else 0
    return "lc1" + "".join(letters[d] for d in data + [(check ^ 0x2BC830A3) >> 5 * (5 - i) & 31 for i in range(6)])


def event_words(event: list) -> str:
    if event[0] == 1:
        _, reason, source, target, credits, ref = event
        both = f"from {party(source) if source else 'nobody (minted)'} to {party(target) if target else 'nobody (burned)'}"
        return f"  {reason!a}: {amount(credits)} credits {both}, reference {ref.hex() or 'none'}"
    _, topic, ref, data = event
    return f"  {topic!a} of {party(ref)}: {', '.join(party(d) if isinstance(d, bytes) else ascii(d) for d in data)}"


if __name__ == "__main__":
    if len(words := sys.argv[1:]) not in (2, 3) or (len(words) == 3) != (words[1] == "--trust"):
        sys.exit(__doc__)
    try:
        trust = bytes.fromhex(words[2]) if len(words) == 3 else b""
        told = check(Path(words[0]).read_bytes(), b"" if trust else Path(words[1]).read_bytes(), trust)
    except Exception as e:  # whatever cannot be read is not proven
        sys.exit(f"REFUSED: {e} ({type(e).__name__})")
    print("PROVEN", *told, sep="\n")
