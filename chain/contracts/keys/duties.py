"""What the ledger asks an account's owner to look at: a recovery that is open, and guardians that are to follow. Pure."""

from __future__ import annotations

from typing import NamedTuple

from learningchain.chain.contracts.keys.agreement import words_needed
from learningchain.chain.contracts.keys.records import ComingGuardians, GuardianSet, Recovery, guardians_of, recovery_of
from learningchain.chain.host import K_CHAIN, ChainRecord, Reader


class RecoveryAgainst(NamedTuple):
    """A recovery of the account: so many of its guardians agree on one key, and so many have to."""

    recovery: Recovery
    guardians: GuardianSet
    agree: int
    needed: int


def guardians_at_head(reader: Reader, account: bytes) -> GuardianSet | None:
    """Those in force at the time of the last block."""
    chain = reader.get(K_CHAIN)
    return guardians_of(reader, account, chain.clock) if isinstance(chain, ChainRecord) else None


def recovery_against(reader: Reader, account: bytes) -> RecoveryAgainst | None:
    """None where no recovery is open."""
    found, of = recovery_of(reader, account), guardians_at_head(reader, account)
    if found is None or of is None:
        return None
    agree = max(sum(w.key == word.key for w in found.words) for word in found.words)
    return RecoveryAgainst(found, of, agree, words_needed(of, objected=found.objected))


def coming_guardians(reader: Reader, account: bytes) -> ComingGuardians | None:
    """None where the guardians stay who they are."""
    of = guardians_at_head(reader, account)
    return of.coming[0] if of is not None and of.coming else None
