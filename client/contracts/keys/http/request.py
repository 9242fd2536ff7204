"""The request of who lost a key: one line that says which account shall get which key, with that key's signature."""

from __future__ import annotations

import re

from learningchain.chain.contracts.keys import Recover, is_proven, new_key_digest
from learningchain.chain.crypto import SigningKey, address, is_public_key, parse_address
from learningchain.chain.errors import Malformed
from learningchain.client import reading

_LINE = re.compile(r"(lc1[0-9a-z]{38})\.([0-9a-f]{66})\.([0-9a-f]{128})", re.ASCII)


def make_request(key: SigningKey, account: bytes, chain_id: bytes) -> str:
    signature = key.sign(new_key_digest(chain_id, account, key.public))
    return f"{address(account)}.{key.public.hex()}.{signature.hex()}"


def parse_request(text: str) -> Recover:
    """Raises `Malformed` with what is wrong."""
    found = _LINE.fullmatch(reading.one_word(text))
    if found is None:
        raise Malformed("a request is one line: lc1... of the account, a key in hex and its signature, with points between them")
    account, key = parse_address(found[1]), bytes.fromhex(found[2])
    if not is_public_key(key):
        raise Malformed("the request's key is no public key: copy the whole line")
    return Recover(account, key, bytes.fromhex(found[3]))


def check_request(message: Recover, chain_id: bytes) -> None:
    """Raises `Malformed` where its key did not sign for this account and network."""
    if not is_proven(chain_id, message.account, message.key, message.signature):
        raise Malformed("the request's signature does not fit: it was made for another network, or a character is wrong")
