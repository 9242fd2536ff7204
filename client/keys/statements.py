"""Statements: what an identity signs beside votes, proposals, transactions and the binding of its TLS key. LC-SIG-12.

A contract's slice lists its own in its module `statements`: by the domain, what makes the digest of a body. That one reads the body
whole and takes it only where it speaks of the signer's chain and identity: nothing is signed blind, and no body of one domain gives
a signature of another, for the domain is in the digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, NamedTuple

from learningchain.chain.errors import Malformed
from learningchain.client import contracts
from learningchain.client.contracts import PartKind

MAX_DOMAIN: Final = 32
MAX_STATEMENT: Final = 8_192


class Speaker(NamedTuple):
    """Who signs, and for which network. `key`: its public key."""

    chain_id: bytes
    id: bytes
    key: bytes


Digest = Callable[[bytes, Speaker], bytes]
"""(body, who signs) -> what is signed. Raises `Malformed` where the body is not well formed or not about who signs."""


class StatementsPart(NamedTuple):
    """What an identity signs about one contract, by its domain."""

    digests: Mapping[str, Digest]


STATEMENTS: Final = PartKind("statements", StatementsPart)


@cache
def statements() -> dict[str, Digest]:
    """Raises ValueError where two contracts want the same domain."""
    found: dict[str, Digest] = {}
    for part in contracts.parts(STATEMENTS).values():
        for domain, digest in part.digests.items():
            if domain in found or len(domain) > MAX_DOMAIN:
                raise ValueError(f"two contracts sign under {domain!r}, or it is too long")
            found[domain] = digest
    return found


def statement_digest(domain: str, body: bytes, speaker: Speaker) -> bytes:
    """Raises `Malformed`."""
    digest = statements().get(domain)
    if digest is None:
        raise Malformed(f"nothing is signed under {domain[:MAX_DOMAIN]!r}")
    if len(body) > MAX_STATEMENT:
        raise Malformed(f"a statement of {len(body)} bytes, at most {MAX_STATEMENT} are signed")
    return digest(body, speaker)
