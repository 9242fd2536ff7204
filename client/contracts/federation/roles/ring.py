"""Who keeps whose vault (LC-FILE-40): the next two ACTIVE members by index, in a ring. Plain functions on the committed state."""

from __future__ import annotations

from typing import Final

from learningchain.chain.contracts.federation.messages import MOST_MEMBERS, FederationTerms
from learningchain.chain.contracts.federation.records import MEMBERS_OF, FederationMember, MemberState
from learningchain.client.contracts.federation.arithmetic.vault import HEAD
from learningchain.client.contracts.federation.roles.looking import FederationLook
from learningchain.client.keys.hidden import OVERHEAD

KEEPERS: Final = 2
RING_MS: Final = 10_000
"""Chain clock from one look at all members to the next: they are up to twice 128."""


def most_bytes(terms: FederationTerms) -> int:
    """Of a vault file: no keeper takes more."""
    return HEAD + terms.size + OVERHEAD


def members_in(at: FederationLook) -> list[tuple[bytes, FederationMember]]:
    """Those that ever had an index, by these."""
    prefix = MEMBERS_OF + at.id
    found = [(key[len(prefix) :], one) for key, one in at.reader.scan(prefix, 2 * MOST_MEMBERS)]
    ranked = [(who, one) for who, one in found if isinstance(one, FederationMember) and one.index]
    return sorted(ranked, key=lambda pair: pair[1].index)


def keepers_of(at: FederationLook, owner: bytes) -> list[bytes]:
    """Nobody where the owner has no index."""
    members = members_in(at)
    index = next((one.index for who, one in members if who == owner), 0)
    return _behind(members, owner, index) if index else []


def kept_by(at: FederationLook, keeper: bytes) -> list[tuple[bytes, FederationMember]]:
    """Whose vaults this account is to keep: two at most. For those that left it keeps none, or accounts that come and go would fill
    the disks of two members."""
    members = members_in(at)
    owners = [(who, one) for who, one in members if who != keeper and one.vault and one.state == MemberState.ACTIVE]
    return [(who, one) for who, one in owners if keeper in _behind(members, who, one.index)]


def _behind(members: list[tuple[bytes, FederationMember]], owner: bytes, index: int) -> list[bytes]:
    others = [(who, one.index) for who, one in members if one.state == MemberState.ACTIVE and who != owner]
    ring = [who for who, own in others if own > index] + [who for who, own in others if own < index]
    return ring[:KEEPERS]
