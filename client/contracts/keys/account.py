"""The keys contract's part of an account: its guardians, those that are to follow them, and a recovery that is open."""

from __future__ import annotations

from learningchain.chain.contracts.keys import ComingGuardians, changes_of
from learningchain.chain.contracts.keys.duties import RecoveryAgainst, coming_guardians, guardians_at_head, recovery_against
from learningchain.chain.crypto import address
from learningchain.chain.host import Reader
from learningchain.client.api.route import AccountPart
from learningchain.client.contracts.keys.http.schema import KeysView
from learningchain.client.schema.render import Json


def of(reader: Reader, account: bytes) -> Json:
    known, changed = guardians_at_head(reader, account), changes_of(reader, account)
    return {
        "key_changes": changed.count,
        "guardians": [address(one) for one in known.guardians] if known else [],
        "guardian_threshold": known.threshold if known else 0,
        "guardian_delay": known.delay if known else 0,
        "guardians_coming": _coming(coming_guardians(reader, account)),
        "recovery_barred_until": changed.barred_until,
        "recovery": _recovery(recovery_against(reader, account)),
    }


def _coming(later: ComingGuardians | None) -> Json | None:
    if later is None:
        return None
    guardians = [address(one) for one in later.guardians]
    return {"since": later.since, "guardians": guardians, "threshold": later.threshold, "delay": later.delay}


def _recovery(against: RecoveryAgainst | None) -> Json | None:
    if against is None:
        return None
    found = against.recovery
    words = [{"guardian": address(word.guardian), "key": word.key.hex()} for word in found.words]
    return {
        "since": found.since,
        "until": found.until,
        "key": found.key.hex() or None,
        "needed": against.needed,
        "objected": found.objected,
        "words": words,
    }


PART = AccountPart(KeysView, of)
