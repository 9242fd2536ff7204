"""On which key guardians agree, and how many of them that takes. Pure.

The ledger cannot tell an owner from a thief that has its key, nor honest guardians from bad ones: it sees a key that objects and
guardians that want another one. So more guardians are needed against the key than without its objection (docs/keys.md).
"""

from __future__ import annotations

from collections import Counter

from learningchain.chain.contracts.keys.records import GuardianSet, GuardianWord
from learningchain.chain.types import quorum


def words_needed(of: GuardianSet, *, objected: bool) -> int:
    """LC-KEY-6: against an objection more than two thirds of all, and never fewer than the threshold."""
    return max(of.threshold, quorum(len(of.guardians))) if objected else of.threshold


def agreed_key(words: list[GuardianWord], needed: int, before: bytes) -> bytes:
    """LC-KEY-6: the key with the most words, where they are enough; `before` first among equals. Empty where there is none.

    `words` ascend by guardian: of others with as many, that of the first guardian.
    """
    count = Counter(word.key for word in words)
    enough = [word.key for word in words if count[word.key] >= needed]
    return max(enough, key=lambda key: (count[key], key == before), default=b"")
