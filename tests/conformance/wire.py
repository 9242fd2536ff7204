"""The canonical encoding of `protocol_spec/encoding.md` in a second implementation: on msgpack alone, importing nothing of ours.

A schema is a function that takes a decoded value and raises `Refused` unless it fits; decoding checks the schema and that the bytes
are the one encoding of the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]

Schema = Callable[[Any], None]


class Refused(Exception):
    """Bytes, keys, proofs or blocks that the protocol refuses."""


def need(condition: bool, why: str) -> None:
    if not condition:
        raise Refused(why)


def encode(value: Any) -> bytes:
    """LC-ENC-1, 2: shortest forms; no maps, floats, nil or extensions."""
    return bytes(msgpack.packb(value, use_bin_type=True))


def plain(value: Any) -> None:
    """LC-ENC-1: the types that exist."""
    if type(value) is list:
        for item in value:
            plain(item)
        return
    need(type(value) in (int, bool, str, bytes), f"{type(value).__name__} is no wire type")


def decode_plain(raw: bytes) -> Any:
    """Any canonical value, whatever its schema."""
    try:
        value = msgpack.unpackb(raw, raw=False, strict_map_key=False)
        plain(value)
        same = encode(value) == raw
    except Refused:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.exceptions.UnpackException) as e:
        raise Refused(f"not MessagePack: {e}") from None
    need(same, "not the canonical encoding")
    return value


def decode(schema: Schema, raw: bytes, limit: int) -> Any:
    """LC-ENC-3, 4."""
    need(len(raw) <= limit, "too long")
    value = decode_plain(raw)
    schema(value)
    return value


# --- schemas ------------------------------------------------------------------------------------------------------------------


def integer(low: int, high: int) -> Schema:
    def check(value: Any) -> None:
        need(type(value) is int and low <= value <= high, f"an integer from {low} to {high}")

    return check


def boolean(value: Any) -> None:
    need(type(value) is bool, "a boolean")


def binary(low: int, high: int | None = None) -> Schema:
    def check(value: Any) -> None:
        need(type(value) is bytes and low <= len(value) <= (low if high is None else high), "bytes of the right length")

    return check


def text(low: int, high: int) -> Schema:
    def check(value: Any) -> None:
        need(type(value) is str and low <= len(value) <= high, "a text of the right length")

    return check


def items(of: Schema, low: int, high: int) -> Schema:
    def check(value: Any) -> None:
        need(type(value) is list and low <= len(value) <= high, "a list of the right length")
        for item in value:
            of(item)

    return check


def record(*fields: Schema) -> Schema:
    def check(value: Any) -> None:
        need(type(value) is list and len(value) == len(fields), f"an array of {len(fields)} fields")
        for schema, item in zip(fields, value, strict=True):
            schema(item)

    return check


def tagged_record(tag: int, *fields: Schema) -> Schema:
    return record(integer(tag, tag), *fields)


def one_of(*schemas: tuple[int, Schema]) -> Schema:
    """LC-ENC-5: the first field is the tag."""
    by_tag = dict(schemas)

    def check(value: Any) -> None:
        need(type(value) is list and len(value) > 0 and type(value[0]) is int and value[0] in by_tag, "a known tag")
        by_tag[value[0]](value)

    return check


# --- LC-ENC-6: the records of the chapters blocks, transactions, consensus, credits, membership -------------------------------

MAX = 2**63 - 1
UINT, HEIGHT, ROUND = integer(0, MAX), integer(0, 2**48), integer(0, 2**31 - 1)
ID, HASH, SIGNATURE, KEY, REF = binary(20), binary(32), binary(64), binary(33), binary(0, 64)
ANY_LENGTH = 2**32 - 1

TX_BODY = record(integer(0, 2**32 - 1), ID, integer(0, 3), UINT, HEIGHT, items(plain, 1, 100))
SIGNED_TX = record(TX_BODY, SIGNATURE)
VALIDATOR = record(ID, KEY)
VALIDATOR_SET = items(VALIDATOR, 1, 128)
VOTE = record(integer(1, 2), HEIGHT, ROUND, binary(0, 32), ID, SIGNATURE)
PROPOSAL = record(HEIGHT, ROUND, integer(-1, 2**31 - 1), HASH, ID, SIGNATURE)
VOTE_EVIDENCE, PROPOSAL_EVIDENCE = tagged_record(1, VOTE, VOTE), tagged_record(2, PROPOSAL, PROPOSAL)
CERTIFICATE = record(HEIGHT, ROUND, HASH, items(integer(0, 127), 1, 128), items(SIGNATURE, 1, 128))
HEADER = record(UINT, HASH, HEIGHT, ROUND, ID, UINT, *[HASH] * 8)
BLOCK = record(HEADER, items(binary(0, 65_536), 0, 8_192))


def scalar(value: Any) -> None:
    need(type(value) in (int, bool, str, bytes), "an integer, boolean, text or bytes")


MOVED = tagged_record(1, text(0, 32), REF, REF, UINT, REF)
NOTED = tagged_record(2, text(0, 32), REF, items(scalar, 0, 32))
RECEIPT = record(HASH, UINT, items(one_of((1, MOVED), (2, NOTED)), 0, ANY_LENGTH))
LIST_PROOF = record(integer(-(2**63), 2**64 - 1), integer(-(2**63), 2**64 - 1), items(binary(0, ANY_LENGTH), 0, ANY_LENGTH))
STATE_PROOF = record(items(binary(0, ANY_LENGTH), 0, ANY_LENGTH), binary(0, ANY_LENGTH))

POSITIVE = integer(1, MAX)
PARAMS = record(*[POSITIVE] * 5, UINT, *[POSITIVE] * 17)
GENESIS_ACCOUNT = record(KEY, UINT, boolean, boolean)
GENESIS = record(UINT, text(1, 64), UINT, PARAMS, items(GENESIS_ACCOUNT, 1, 65_536), binary(0, 8192), binary(0, 8192))

ACCOUNT = record(KEY, integer(0, 2), UINT, UINT, items(UINT, 4, 4))
VALIDATORS = record(HEIGHT, VALIDATOR_SET)
CASE_REF = record(REF, UINT, ID)
HELD_DUE = record(ID, UINT)
# LC-TX-10: the messages of jobs
SMALL, INT, LOSS, CID = integer(0, 255), integer(-(2**63), MAX), integer(-(10**18), 10**18), binary(0, 64)
IMAGE = record(SMALL, text(0, 512), CID, binary(0, 32), UINT)
HIDDEN_SET = record(CID, HASH, HASH, UINT)
TERMS = (UINT, UINT, UINT, UINT, UINT, UINT, INT, UINT)
BALLOT = record(SMALL, LOSS, LOSS, SMALL, LOSS)
SCHEMAS: dict[str, Schema] = {
    "TxBody": TX_BODY,
    "SignedTx": SIGNED_TX,
    "Validator": VALIDATOR,
    "ValidatorSet": VALIDATOR_SET,
    "Vote": VOTE,
    "Proposal": PROPOSAL,
    "VoteEvidence": VOTE_EVIDENCE,
    "ProposalEvidence": PROPOSAL_EVIDENCE,
    "Certificate": CERTIFICATE,
    "Header": HEADER,
    "Block": BLOCK,
    "Moved": MOVED,
    "Noted": NOTED,
    "Receipt": RECEIPT,
    "ListProof": LIST_PROOF,
    "StateProof": STATE_PROOF,
    "Params": PARAMS,
    "GenesisAccount": GENESIS_ACCOUNT,
    "Genesis": GENESIS,
    "Transfer": tagged_record(32, ID, UINT, REF),
    "Approve": tagged_record(33, ID, UINT, UINT),
    "TransferFrom": tagged_record(34, ID, ID, UINT),
    "JudgeCase": tagged_record(64, ID, boolean),
    "ReportDouble": tagged_record(65, one_of((1, VOTE_EVIDENCE), (2, PROPOSAL_EVIDENCE))),
    "Release": tagged_record(66, SMALL, REF, boolean),
    "PostJob": tagged_record(96, IMAGE, text(0, 16_384), *TERMS, record(*[UINT] * 7), items(HIDDEN_SET, 0, 1)),
    "Claim": tagged_record(97, HASH, INT, HASH),
    "Reveal": tagged_record(98, HASH, UINT, CID, UINT, HASH),
    "RevealKey": tagged_record(99, HASH, HASH),
    "CommitVote": tagged_record(100, HASH, SMALL, SMALL, HASH),
    "OpenVote": tagged_record(101, HASH, SMALL, SMALL, items(BALLOT, 1, 8), HASH),
    "Account": ACCOUNT,
    "Escrow": record(UINT),
    "Due": record(UINT, REF),
    "HeldDue": HELD_DUE,
    "Parked": record(HEIGHT, text(0, 32), items(HELD_DUE, 0, 64), items(ID, 0, 128), items(ID, 0, 128)),
    "ChainRecord": record(HASH, HEIGHT, UINT, UINT, HASH),
    "Supply": record(UINT, UINT),
    "Validators": VALIDATORS,
    "BeaconCommitment": record(HEIGHT, HASH),
    "History": record(items(VALIDATORS, 0, 64)),
    "Allowance": record(UINT),
    "Member": record(boolean, UINT, items(UINT, 0, 16), items(boolean, 0, 10)),
    "CaseRef": CASE_REF,
    "Case": record(UINT, items(CASE_REF, 0, 64), boolean, items(ID, 0, ANY_LENGTH), items(ID, 0, ANY_LENGTH)),
    "Ejection": record(HEIGHT),
}
