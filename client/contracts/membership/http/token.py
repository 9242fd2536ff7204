"""A token: one line that lets one machine join a network. Made by a member's node, read by `learningchain join`. Pure.

It carries the one-time private key of an open invitation (LC-MEM-21), and what a machine that knows nothing needs to reach the
network and to know that it is the right one: the chain id, which is the hash of the genesis, members with their addresses, the
key under which connections begin (LC-P2P-38), and a recent block. The inviter signed all of it. Whoever has the line may join in
its place: it is to be handed over like a password.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.crypto import SigningKey, address, verify
from learningchain.chain.errors import Malformed
from learningchain.chain.tags import Tag
from learningchain.chain.types import AccountId, Hash, Height, PublicKey, Uint
from learningchain.client import reading
from learningchain.p2p.wire import Address

PREFIX: Final = "lcjoin1"
VERSION: Final = 1
MAX_TOKEN: Final = 4_096
MAX_PEERS: Final = 4
_TOKEN = Tag("lc/token", "tokens of invitations")
_EMPTY = bytes(64)


class Contact(Wire, frozen=True):
    """A member and an address of it."""

    id: AccountId
    address: Address


class JoinToken(Wire, frozen=True):
    """LC-MEM-32: `secret` is the one-time private key, `authority` that of the network's certificate authority, `expires` of the
    chain clock, `signature` the inviter's over all the rest."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    network: Annotated[str, Meta(min_length=1, max_length=64)]
    chain_id: Hash
    contacts: Annotated[list[Contact], Meta(min_length=1, max_length=MAX_PEERS)]
    secret: Hash
    authority: Hash
    expires: Uint
    height: Height
    block_id: Hash
    inviter: AccountId
    inviter_key: PublicKey
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    @property
    def key(self) -> SigningKey:
        return SigningKey(self.secret)


def token_digest(token: JoinToken) -> bytes:
    """LC-MEM-32"""
    return _TOKEN.hash(encode(replace(token, signature=_EMPTY)))


def to_text(token: JoinToken) -> str:
    return PREFIX + base64.urlsafe_b64encode(encode(token)).decode().rstrip("=")


def parse_token(text: str) -> JoinToken:
    """LC-MEM-32. Raises `Malformed` with what is wrong: no token, cut or
    altered."""
    text = reading.one_word(text)
    if not text.startswith(PREFIX):
        raise Malformed(f"an invitation begins with {PREFIX}: copy the whole line that learningchain invite printed")
    if len(text) > MAX_TOKEN:
        raise Malformed(f"an invitation has at most {MAX_TOKEN} characters")
    body = text[len(PREFIX) :]
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        token = decode(JoinToken, raw, MAX_TOKEN)
        secret_is_key = bool(token.key)
    except (Malformed, binascii.Error, ValueError):
        raise Malformed("the invitation was altered or cut: copy the whole line again, or ask for a new one") from None
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != body or not secret_is_key:
        raise Malformed("the invitation was altered or cut: copy the whole line again, or ask for a new one")
    if not verify(token.inviter_key, token_digest(token), token.signature):
        raise Malformed(f"the invitation was altered: it is not what {address(token.inviter)} signed. Ask for a new one")
    return token
