"""What an identity signs about coming in: its invitations' tokens, and its own joining. LC-MEM-23, LC-MEM-32, LC-SIG-12. Pure."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.contracts.membership import join_digest
from learningchain.chain.crypto import is_public_key
from learningchain.chain.errors import Malformed
from learningchain.chain.types import Hash, PublicKey
from learningchain.client.contracts.membership.http.token import MAX_TOKEN, JoinToken, token_digest
from learningchain.client.keys.statements import Speaker, StatementsPart

TOKEN: Final = "lc/token"
JOIN: Final = "lc/join"
UNSIGNED: Final = bytes(64)


class JoinStatement(Wire, frozen=True):
    """What a newcomer signs: the network, the invitation's public key, its own."""

    chain_id: Hash
    invitation: PublicKey
    key: PublicKey


def _token(body: bytes, speaker: Speaker) -> bytes:
    token = decode(JoinToken, body, MAX_TOKEN)
    if token.signature != UNSIGNED:
        raise Malformed("the token of an invitation is signed already")
    if Speaker(token.chain_id, token.inviter, token.inviter_key) != speaker:
        raise Malformed("the token of another network's or inviter's invitation")
    return token_digest(token)


def _join(body: bytes, speaker: Speaker) -> bytes:
    found = decode(JoinStatement, body, MAX_TOKEN)
    if (found.chain_id, found.key) != (speaker.chain_id, speaker.key) or not is_public_key(found.invitation):
        raise Malformed("joining another network, with another key, or by no invitation's key")
    return join_digest(found.chain_id, found.invitation, found.key)


def token_body(token: JoinToken) -> bytes:
    return encode(replace(token, signature=UNSIGNED))


def join_body(chain_id: bytes, invitation: bytes, key: bytes) -> bytes:
    return encode(JoinStatement(chain_id, invitation, key))


PART: Final = StatementsPart({TOKEN: _token, JOIN: _join})
