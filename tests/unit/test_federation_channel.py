"""Messages between nodes of a federation: their encoding and bounds (LC-FILE-44), and what an aggregator signs (LC-FILE-45)."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from learningchain.chain.crypto import SigningKey
from learningchain.chain.errors import Malformed
from learningchain.client.contracts.federation.roles.channel import (
    MAX_FED_MESSAGE,
    FedMessage,
    FileAnswer,
    KeyAsk,
    KeyGive,
    ShareAsk,
    ShareGive,
    UpdateAnswer,
    UpdateOffer,
    answer_digest,
    decode_fed,
    encode_fed,
    is_answer_of,
)

FEDERATION, CHAIN, MEMBER = b"f" * 32, b"c" * 32, b"m" * 20
CID = b"\x01\x55\x12\x20" + b"h" * 32
OFFER = UpdateOffer(FEDERATION, 7, CID)
MESSAGES: list[FedMessage] = [
    OFFER,
    UpdateAnswer(FEDERATION, 2**63 - 1, CID, FileAnswer.LATE, b"s" * 64),
    KeyAsk(FEDERATION),
    KeyGive(FEDERATION, b"b" * 80),
    ShareAsk(FEDERATION, 5),
    ShareGive(FEDERATION, 5, 255, b"b" * 81),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_messages_have_one_encoding_and_a_small_one(message: FedMessage) -> None:
    payload = encode_fed(message)
    assert decode_fed(payload) == message
    assert len(payload) < MAX_FED_MESSAGE // 2
    for bad in (payload[:-1], payload + b"\0", b"", payload + bytes(MAX_FED_MESSAGE)):
        with pytest.raises(Malformed):
            decode_fed(bad)


@pytest.mark.parametrize(
    "fields",
    [
        [1, FEDERATION[:-1], 7, CID],
        [1, FEDERATION, -1, CID],
        [1, FEDERATION, 7, CID[:-1]],
        [1, FEDERATION, 7, CID, 0],
        [2, FEDERATION, 7, CID, 0, b"s" * 64],
        [2, FEDERATION, 7, CID, 9, b"s" * 64],
        [2, FEDERATION, 7, CID, 1, b"s" * 63],
        [4, FEDERATION, b"b" * 79],
        [6, FEDERATION, 5, 256, b"b" * 81],
        [6, FEDERATION, 5, 1, b"b" * 80],
        [7, FEDERATION],
        [0, FEDERATION],
    ],
)
def test_what_is_out_of_bounds_is_no_message(fields: list[object]) -> None:
    with pytest.raises(Malformed):
        decode_fed(msgspec.msgpack.encode(fields))


def test_an_answer_is_signed_for_one_file_of_one_member() -> None:
    key, other = SigningKey(b"\1" * 32), SigningKey(b"\2" * 32)
    told = FEDERATION + (7).to_bytes(8, "big") + MEMBER + CID + bytes([FileAnswer.BOX])
    digest = answer_digest(CHAIN, MEMBER, OFFER, FileAnswer.BOX)
    assert digest == hashlib.sha256(b"\x0dlc/fed-answer" + CHAIN + told).digest()
    answer = UpdateAnswer(FEDERATION, 7, CID, FileAnswer.BOX, key.sign(digest))
    assert is_answer_of(key.public, CHAIN, MEMBER, answer)
    for changed in (
        {"attempt": 8},
        {"answer": FileAnswer.FETCHED},
        {"federation": b"g" * 32},
        {"cid": b"\x01\x70" + CID[2:]},
        {"signature": bytes(64)},
    ):
        assert not is_answer_of(key.public, CHAIN, MEMBER, msgspec.structs.replace(answer, **changed))
    assert not is_answer_of(other.public, CHAIN, MEMBER, answer)
    assert not is_answer_of(key.public, CHAIN, b"n" * 20, answer)
    assert not is_answer_of(key.public, b"d" * 32, MEMBER, answer)
