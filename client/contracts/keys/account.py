"""The keys contract's part of an account: its guardians, those that are to follow them, and a recovery that is open."""

from __future__ import annotations

from learningchain.chain.contracts.keys import GuardianSet, changes_of, guardians_of, recovery_of, words_needed
from learningchain.chain.crypto import address
from learningchain.chain.host import K_CHAIN, ChainRecord, Reader
from learningchain.client.contracts.keys.http.schema import KeysView
from learningchain.client.schema.render import Json


def of(reader: Reader, account: bytes) -> Json:
    known, changed = guardians_at_head(reader, account), changes_of(reader, account)
    return {
        "key_changes": changed.count,
        "guardians": [address(one) for one in known.guardians] if known else [],
        "guardian_threshold": known.threshold if known else 0,
        "guardian_delay": known.delay if known else 0,
        "guardians_coming": _coming(known),
        "recovery_barred_until": changed.barred_until,
        "recovery": _recovery(reader, account, known),
    }


def guardians_at_head(reader: Reader, account: bytes) -> GuardianSet | None:
    """Those in force at the time of the last block."""
    chain = reader.get(K_CHAIN)
    return guardians_of(reader, account, chain.clock) if isinstance(chain, ChainRecord) else None


def _coming(known: GuardianSet | None) -> Json | None:
    if known is None or not known.coming:
        return None
    later = known.coming[0]
    guardians = [address(one) for one in later.guardians]
    return {"since": later.since, "guardians": guardians, "threshold": later.threshold, "delay": later.delay}


def _recovery(reader: Reader, account: bytes, of: GuardianSet | None) -> Json | None:
    found = recovery_of(reader, account)
    if found is None or of is None:
        return None
    words = [{"guardian": address(word.guardian), "key": word.key.hex()} for word in found.words]
    return {
        "since": found.since,
        "until": found.until,
        "key": found.key.hex() or None,
        "needed": words_needed(of, objected=found.objected),
        "objected": found.objected,
        "words": words,
    }


VIEW = KeysView
