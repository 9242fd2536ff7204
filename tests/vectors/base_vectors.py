"""Vectors of the base: encodings, identities, signatures, transactions, the two trees."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import coincurve
import msgspec

from chain.codec import encode
from chain.contracts import base, credits, membership
from chain.contracts.job import messages as job
from chain.crypto import account_id, address, tagged
from chain.ledger.genesis import Genesis, GenesisAccount
from chain.ledger.tx import sign_tx
from chain.merkle import list_root, prove_item
from chain.params import Params
from chain.types import (
    PRECOMMIT,
    PREVOTE,
    Block,
    Certificate,
    Header,
    Moved,
    Noted,
    Proposal,
    ProposalEvidence,
    Receipt,
    SignedTx,
    TxBody,
    Validator,
    Vote,
    VoteEvidence,
    net_of,
    tx_digest,
    tx_id,
)
from tests.unit.plain_tree import prove_key, root_of, update
from tests.vectors.kit import id_of, key_of, plain, shown, wider

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
H = [bytes([n]) * 32 for n in range(16)]
SIG = b"\x11" * 64
A, B = b"\xaa" * 20, b"\xbb" * 20
CHAIN = hashlib.sha256(b"vector chain").digest()


def records() -> list[tuple[str, Any]]:
    """One or more of every record that is hashed, signed or stored by base, credits and membership."""
    transfer = credits.Transfer(B, 1_500_000, b"rent")
    body = TxBody(0x01020304, A, 3, 300, 70_000, [msgspec.Raw(encode(transfer))])
    vote, nil = Vote(PREVOTE, 5, 0, H[1], A, SIG), Vote(PREVOTE, 5, 0, b"", A, SIG)
    proposal = Proposal(5, 2, -1, H[1], A, SIG)
    again = Proposal(5, 2, 1, H[2], A, SIG)
    header = Header(1, CHAIN, 5, 0, A, 1_700_000_000_000, *H[2:10])
    key, key2 = key_of("a").public, key_of("b").public
    validators = [Validator(A, key), Validator(B, key2)]
    receipt = Receipt(H[3], 0, [Moved("transfer", A, B, 2**63 - 1, b""), Noted("approve", A, [B, 0, -1, "ö", True])])
    account = base.Account(key, 0, 10**12, 0, [0, 127, 128, 65_536])
    case = membership.Case(99, [membership.CaseRef(H[1], 3, B)], False, [A], [])
    genesis = Genesis(1, "größe", 1, Params(), [GenesisAccount(key, 5, True, False)], b"cert", b"")
    found: list[tuple[str, Any]] = [
        ("TxBody", body),
        ("SignedTx", SignedTx(body, SIG)),
        ("Validator", validators[0]),
        ("ValidatorSet", validators),
        ("Vote", vote),
        ("Vote", nil),
        ("Vote", Vote(PRECOMMIT, 2**48, 2**31 - 1, H[1], A, SIG)),
        ("Proposal", proposal),
        ("Proposal", again),
        ("VoteEvidence", VoteEvidence(vote, nil)),
        ("ProposalEvidence", ProposalEvidence(proposal, again)),
        ("Certificate", Certificate(5, 0, H[1], [0, 2, 3], [SIG, SIG, SIG])),
        ("Header", header),
        ("Block", Block(header, [encode(SignedTx(body, SIG)), b""])),
        ("Moved", Moved("mint", b"", A, 0, b"x")),
        ("Noted", Noted("", b"", [])),
        ("Receipt", Receipt(bytes(32), 101, [])),
        ("Receipt", receipt),
        ("ListProof", prove_item([b"a", b"b", b"c"], 1)),
        ("StateProof", prove_key(None, b"a/x")),
        ("Params", Params()),
        ("GenesisAccount", genesis.accounts[0]),
        ("Genesis", genesis),
        ("Transfer", transfer),
        ("Approve", credits.Approve(B, 0, 2**63 - 1)),
        ("TransferFrom", credits.TransferFrom(A, B, 1)),
        ("JudgeCase", membership.JudgeCase(A, True)),
        ("Release", membership.Release(3, H[1], True)),
        ("ReportDouble", membership.ReportDouble(VoteEvidence(vote, nil))),
        ("Account", account),
        ("Escrow", base.Escrow(2**32)),
        ("Due", base.Due(3, H[1])),
        ("HeldDue", base.HeldDue(A, 7)),
        ("Parked", base.Parked(5, "KeyError", [base.HeldDue(A, 7)], [A], [B])),
        ("ChainRecord", base.ChainRecord(CHAIN, 5, 6, 7, H[1])),
        ("Supply", base.Supply(10, 3)),
        ("Validators", base.Validators(6, validators)),
        ("BeaconCommitment", base.BeaconCommitment(5, H[1])),
        ("History", base.History([base.Validators(1, validators)])),
        ("Allowance", credits.Allowance(255)),
        ("Member", membership.Member(True, 256, [1, 65_535], [True, False])),
        ("CaseRef", case.refs[0]),
        ("Case", case),
        ("Ejection", membership.Ejection(5)),
    ]
    return found + job_messages()


def job_messages() -> list[tuple[str, Any]]:
    """The messages of jobs, each in the forms that it has."""
    cid = b"\x01\x55\x12\x20" + H[1]
    limits = job.Limits(2_000, 1_024, 600, 60, 10_000_000, 64, 1)
    by_name = job.Image(1, "registry.example/digits@sha256:" + "0" * 64, b"", b"", 5_000_000)
    archive = job.Image(2, "", cid, H[2], 5_000_000)
    terms = (5_000_000, 1_000, 3, 1_700_000_060_000, 1, 0, -5, 0, limits)
    opened = [job.Ballot(1, 123_456_789, 120_000_000, 0, 0), job.Ballot(4, 0, 0, 2, 0)]
    return [
        ("PostJob", job.PostJob(by_name, '{"epochs":3}', *terms, [])),
        ("PostJob", job.PostJob(archive, "", *terms, [job.HiddenSet(cid, H[3], H[4], 77)])),
        ("Claim", job.Claim(H[1], -123_456_789, H[2])),
        ("Reveal", job.Reveal(H[1], 2, cid, 1_000_000, H[3])),
        ("RevealKey", job.RevealKey(H[1], H[2])),
        ("CommitVote", job.CommitVote(H[1], 0, 1, H[2])),
        ("OpenVote", job.OpenVote(H[1], 1, 2, opened, H[3])),
    ]


def _refused() -> list[dict[str, str]]:
    transfer = encode(credits.Transfer(A, 100, b"x"))
    found = [{"type": "Transfer", "why": why, "bytes": raw.hex()} for why, raw in wider(transfer).items()]
    target, memo = b"\xc4\x14" + A, b"\xc4\x01x"
    bodies = {
        "amount in two bytes": b"\x94\x20" + target + b"\xcc\x64" + memo,
        "amount in nine bytes": b"\x94\x20" + target + b"\xcf" + (100).to_bytes(8, "big") + memo,
        "amount as a signed integer": b"\x94\x20" + target + b"\xd0\x64" + memo,
        "amount as a float": b"\x94\x20" + target + b"\xcb\x40\x59" + bytes(6) + memo,
        "amount as a boolean": b"\x94\x20" + target + b"\xc3" + memo,
        "amount as text": b"\x94\x20" + target + b"\xa3100" + memo,
        "amount negative": b"\x94\x20" + target + b"\xff" + memo,
        "amount 2^63": b"\x94\x20" + target + b"\xcf" + (2**63).to_bytes(8, "big") + memo,
        "another tag": b"\x94\x1f" + target + b"\x64" + memo,
        "tag in two bytes": b"\x94\xcc\x20" + target + b"\x64" + memo,
        "target of 19 bytes": b"\x94\x20\xc4\x13" + A[1:] + b"\x64" + memo,
        "target as text": b"\x94\x20\xb4" + b"a" * 20 + b"\x64" + memo,
        "target with a length of two bytes": b"\x94\x20\xc5\x00\x14" + A + b"\x64" + memo,
        "memo of 65 bytes": b"\x94\x20" + target + b"\x64\xc4\x41" + bytes(65),
        "memo missing, nil": b"\x94\x20" + target + b"\x64\xc0",
    }
    found += [{"type": "Transfer", "why": why, "bytes": raw.hex()} for why, raw in bodies.items()]
    vote = [PREVOTE, 5, 0, H[1], A, SIG]
    for why, place, value in (
        ("type 3", 0, 3),
        ("type 0", 0, 0),
        ("height 2^48 + 1", 1, 2**48 + 1),
        ("round 2^31", 2, 2**31),
        ("block id of 33 bytes", 3, bytes(33)),
        ("signature of 63 bytes", 5, SIG[1:]),
    ):
        found.append({"type": "Vote", "why": why, "bytes": encode([*vote[:place], value, *vote[place + 1 :]]).hex()})
    event = [H[1], 0, [[2, "t", b"", [1.5]]]]
    found.append({"type": "Receipt", "why": "a float among an event's data", "bytes": encode(event).hex()})
    found.append(
        {"type": "Receipt", "why": "a list among an event's data", "bytes": encode([H[1], 0, [[2, "t", b"", [[1]]]]]).hex()}
    )
    found.append({"type": "Receipt", "why": "an unknown event", "bytes": encode([H[1], 0, [[3, "t", b"", []]]]).hex()})
    found.append({"type": "ValidatorSet", "why": "an empty set", "bytes": encode([]).hex()})
    text = encode([H[1], 0, [[2, "tt", b"", []]]]).replace(b"tt", b"\xc3\x28")
    found.append({"type": "Receipt", "why": "a text that is not UTF-8", "bytes": text.hex()})
    return found


def encodings() -> dict[str, Any]:
    good = [{"type": kind, "value": shown(plain(value)), "bytes": encode(value).hex()} for kind, value in records()]
    return {"canonical": good, "refused": _refused()}


# --- identities ---------------------------------------------------------------------------------------------------------------


def identities() -> dict[str, Any]:
    good = []
    for name in ("a", "b", "c"):
        key = key_of(name)
        identity = account_id(key.public)
        good.append({"secret": key.secret.hex(), "key": key.public.hex(), "id": identity.hex(), "address": address(identity)})
    point = coincurve.PublicKey(key_of("a").public)
    uncompressed = point.format(compressed=False)
    bad_keys = {
        "uncompressed": uncompressed,
        "hybrid": bytes([6 + (uncompressed[-1] & 1)]) + uncompressed[1:],
        "without its head": uncompressed[1:],
        "x alone": uncompressed[1:33],
        "head 4 with 33 bytes": b"\x04" + uncompressed[1:33],
        "head 6 with 33 bytes": b"\x06" + uncompressed[1:33],
        "head 0, the point at infinity": bytes(33),
        "x not on the curve": b"\x02" + (5).to_bytes(32, "big"),
        "x not below the field's prime": b"\x02" + b"\xff" * 32,
        "a byte behind the end": key_of("a").public + b"\x00",
        "empty": b"",
    }
    text = address(id_of("a"))
    swapped = text[:10] + text[11] + text[10] + text[12:]
    bad_addresses = {
        "upper case": text.upper(),
        "mixed case": text[:-1] + text[-1].upper(),
        "one character changed": text[:-1] + ("q" if text[-1] != "q" else "p"),
        "two characters swapped": swapped,
        "one character less": text[:-1],
        "one character more": text + "q",
        "bech32, not bech32m": _bech32(id_of("a")),
        "another prefix": "bc1" + text[3:],
        "a character outside the set": text[:-1] + "b",
        "a space behind": text + " ",
        "empty": "",
    }
    return {
        "good": good,
        "bad_keys": [{"why": why, "key": key.hex()} for why, key in bad_keys.items()],
        "bad_addresses": [{"why": why, "address": value} for why, value in bad_addresses.items()],
        "tagged": [
            {"tag": tag, "parts": [p.hex() for p in parts], "hash": tagged(tag.encode(), *parts).hex()}
            for tag, parts in (("lc/id", [b""]), ("lc/tx", [CHAIN, b"body"]), ("x" * 255, [b"1", b"2"]))
        ],
    }


def _bech32(identity: bytes) -> str:
    """The address with the older checksum (final constant 1)."""
    text = address(identity)
    last = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    difference = 0x2BC830A3 ^ 1
    digits = [last.index(c) ^ (difference >> shift & 31) for c, shift in zip(text[-6:], (25, 20, 15, 10, 5, 0), strict=True)]
    return text[:-6] + "".join(last[d] for d in digits)


def signatures() -> dict[str, Any]:
    key, digest = key_of("a"), hashlib.sha256(b"message").digest()
    good = key.sign(digest)
    r, s = good[:32], int.from_bytes(good[32:], "big")
    high = r + (ORDER - s).to_bytes(32, "big")
    cases: list[tuple[str, bytes, bytes, bytes, bool]] = [
        ("good", key.public, digest, good, True),
        ("good, another digest", key.public, H[5], key.sign(H[5]), True),
        ("high s", key.public, digest, high, False),
        ("wrong digest", key.public, H[5], good, False),
        ("another key", key_of("b").public, digest, good, False),
        ("r = 0", key.public, digest, bytes(32) + good[32:], False),
        ("s = 0", key.public, digest, r + bytes(32), False),
        ("r = order", key.public, digest, ORDER.to_bytes(32, "big") + good[32:], False),
        ("s = order", key.public, digest, r + ORDER.to_bytes(32, "big"), False),
        ("all zero", key.public, digest, bytes(64), False),
        ("63 bytes", key.public, digest, good[:-1], False),
        ("65 bytes, with a recovery byte", key.public, digest, good + b"\x00", False),
        ("a digest of 31 bytes", key.public, digest[:-1], good, False),
        ("uncompressed key", coincurve.PublicKey(key.public).format(compressed=False), digest, good, False),
    ]
    bit = bytearray(good)
    bit[40] ^= 1
    cases.append(("one bit changed", key.public, digest, bytes(bit), False))
    names = ("why", "key", "digest", "signature", "good")
    return {"cases": [dict(zip(names, (w, k.hex(), d.hex(), s_.hex(), ok), strict=True)) for w, k, d, s_, ok in cases]}


def transactions() -> dict[str, Any]:
    key = key_of("a")
    ops = [msgspec.Raw(encode(credits.Transfer(id_of("b"), 1_000_000, b"hello")))]
    cases = []
    for why, body in (
        ("one transfer", TxBody(net_of(CHAIN), id_of("a"), 0, 0, 10, ops)),
        ("two messages, lane 3", TxBody(net_of(CHAIN), id_of("a"), 3, 70_000, 500, ops * 2)),
    ):
        raw = sign_tx(key, CHAIN, body)
        signed = {"digest": tx_digest(CHAIN, encode(body)).hex(), "bytes": raw.hex(), "id": tx_id(raw).hex()}
        cases.append({"why": why, "body": encode(body).hex(), **signed})
    return {"chain_id": CHAIN.hex(), "net": net_of(CHAIN), "key": key.public.hex(), "cases": cases}


# --- trees --------------------------------------------------------------------------------------------------------------------


def lists() -> dict[str, Any]:
    cases = []
    for count in (0, 1, 2, 3, 4, 5, 8, 13):
        items = [hashlib.sha256(bytes([n])).digest()[: n + 1] for n in range(count)]
        proofs = [encode(prove_item(items, i)).hex() for i in range(count)]
        cases.append({"items": [i.hex() for i in items], "root": list_root(items).hex(), "proofs": proofs})
    items = [b"a", b"b", b"c"]
    right = prove_item(items, 1)
    inner = hashlib.sha256(b"\x00a").digest() + hashlib.sha256(b"\x00b").digest()
    wrong = {
        "another item": (b"x", right),
        "another index": (b"b", type(right)(0, 3, right.path)),
        "index outside": (b"b", type(right)(3, 3, right.path)),
        "negative index": (b"b", type(right)(-1, 3, right.path)),
        "count zero": (b"b", type(right)(0, 0, right.path)),
        "a sibling too few": (b"b", type(right)(1, 3, right.path[:-1])),
        "a sibling too many": (b"b", type(right)(1, 3, [*right.path, bytes(32)])),
        "an inner node as an item": (inner, type(right)(0, 2, right.path[1:])),
    }
    root = list_root(items).hex()
    return {
        "cases": cases,
        "wrong": [{"why": w, "root": root, "item": i.hex(), "proof": encode(p).hex()} for w, (i, p) in wrong.items()],
    }


def states() -> dict[str, Any]:
    """Records and proofs; the proofs of absence end at another leaf or at an empty place."""
    rng = random.Random(7)
    cases = []
    for count in (0, 1, 2, 3, 7, 40):
        content = {b"a/" + rng.randbytes(20): rng.randbytes(rng.randint(0, 40)) for _ in range(count)}
        changes = sorted((hashlib.sha256(k).digest(), hashlib.sha256(v).digest()) for k, v in content.items())
        tree = update(None, changes)
        present = [{"key": k.hex(), "proof": encode(prove_key(tree, k)).hex()} for k in sorted(content)[:5]]
        absent = [b"a/" + rng.randbytes(20) for _ in range(4)]
        absent_ = [{"key": k.hex(), "proof": encode(prove_key(tree, k)).hex()} for k in absent]
        record = {k.hex(): v.hex() for k, v in sorted(content.items())}
        cases.append({"records": record, "root": root_of(tree).hex(), "present": present, "absent": absent_})
    return {"cases": cases, "wrong": _wrong_proofs()}


def _wrong_proofs() -> list[dict[str, Any]]:
    content = {b"k/%d" % n: b"v%d" % n for n in range(9)}
    leaves = sorted((hashlib.sha256(k).digest(), hashlib.sha256(v).digest()) for k, v in content.items())
    tree = update(None, leaves)
    key, value = b"k/4", b"v4"
    path = hashlib.sha256(key).digest()
    good = prove_key(tree, key)
    kind = type(good)
    absent = prove_key(tree, b"k/none")
    foreign = next(prove_key(tree, k) for k in (b"k/none%d" % n for n in range(99)) if prove_key(tree, k).other)
    wrong: list[tuple[str, bytes, bytes | None, Any]] = [
        ("another value", key, b"v5", good),
        ("a present key shown as absent", key, None, good),
        ("absent by its own leaf", key, None, kind(good.siblings, path + hashlib.sha256(value).digest())),
        ("absent by a leaf from elsewhere", key, None, foreign),
        ("an absent key shown as present", b"k/none", b"", absent),
        ("presence with another leaf", key, value, kind(good.siblings, foreign.other)),
        ("a sibling changed", key, value, kind([bytes(32), *good.siblings[1:]], b"")),
        ("a sibling too few", key, value, kind(good.siblings[1:], b"")),
        ("siblings in reverse", key, value, kind(good.siblings[::-1], b"")),
        ("another leaf of 63 bytes", b"k/none", None, kind(absent.siblings, bytes(63))),
        ("257 siblings", key, value, kind([bytes(32)] * 257, b"")),
    ]
    root = root_of(tree).hex()
    return [
        {"why": w, "root": root, "key": k.hex(), "value": None if v is None else v.hex(), "proof": encode(p).hex()}
        for w, k, v, p in wrong
    ]
