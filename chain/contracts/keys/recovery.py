"""Recovery: guardians' words on a new key, until the account gets it or the time is over."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.keys.agreement import agreed_key, words_needed
from learningchain.chain.contracts.keys.guardians import keep_only, take_over
from learningchain.chain.contracts.keys.messages import KeyCode, Recover
from learningchain.chain.contracts.keys.params import KeyParams
from learningchain.chain.contracts.keys.records import (
    GuardianSet,
    GuardianWord,
    Recovery,
    changes_key,
    changes_of,
    guardians_key,
    recovery_key,
)
from learningchain.chain.contracts.keys.recovery_end import EXPIRED, VOID, end_recovery, forget_recovery, put_recovery
from learningchain.chain.contracts.keys.rotation import check_new_key
from learningchain.chain.crypto import address
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import Host, Reader

RETRY_MS = 10_000
"""After which a recovery is tried again that a change of the validator set was in the way of."""


def recover(host: Host, sender: bytes, m: Recover) -> None:
    """LC-KEY-5: the last word of each guardian counts."""
    of = take_over(host, m.account)
    if of is None or sender not in of.guardians:
        raise Reject(KeyCode.NOT_A_GUARDIAN, f"{address(m.account)} did not name {address(sender)} as a guardian")
    if host.is_banned(m.account):
        raise Reject(KeyCode.ACCOUNT_BANNED, f"{address(m.account)} is banned: it has nothing to recover")
    known = host.get(recovery_key(m.account), Recovery)
    barred_until = changes_of(host.store, m.account).barred_until
    if known is None and host.clock < barred_until and not of.coming:
        raise Reject(KeyCode.RECOVERY_BARRED, f"the owner objected to one: none begins before {barred_until}")
    check_new_key(host, m.account, m.key, m.signature)
    word = GuardianWord(sender, m.key)
    words = known.words if known is not None else []
    if word in words:
        raise Reject(KeyCode.SAME_WORD, "this word is recorded already")
    words = sorted([*(w for w in words if w.guardian != sender), word], key=lambda w: w.guardian)
    put_recovery(host, m.account, known, _with_words(host, of, known, words))
    needed = words_needed(of, objected=known is not None and known.objected)
    host.emit("recovery.word", m.account, sender, m.key, sum(w.key == m.key for w in words), needed)


def _with_words(host: Host, of: GuardianSet, known: Recovery | None, words: list[GuardianWord]) -> Recovery:
    """LC-KEY-6: the delay begins anew where another key has enough words, and ends where the one that had them has no more."""
    if known is None:
        gather = host.clock + host.params_of(KeyParams).recovery_gather
        known = Recovery(host.clock, gather, [], b"", gather, objected=False)
    key = agreed_key(words, words_needed(of, objected=known.objected), known.key)
    if key == known.key:
        until = known.until
    else:
        until = host.clock + of.delay if key else known.gather
    return replace(known, until=until, words=words, key=key)


def on_due(host: Host, account: bytes, at: int) -> None:
    """LC-KEY-8: the account gets the key on which the guardians agreed. A deadline from before it was moved does nothing."""
    known = host.get(recovery_key(account), Recovery)
    of = host.get(guardians_key(account), GuardianSet)
    if known is None or of is None or at != known.until:
        return
    if not known.key:
        end_recovery(host, account, EXPIRED)
        return
    words = sum(w.key == known.key and not host.is_banned(w.guardian) for w in known.words)
    too_few = words < words_needed(of, objected=known.objected)
    if too_few or host.is_banned(account) or host.key_owner(known.key) is not None:
        end_recovery(host, account, VOID)
        return
    try:
        host.change_key(account, known.key)
    except Reject as refusal:
        if refusal.code != Code.NOT_ALLOWED:
            raise
        put_recovery(host, account, None, replace(known, until=host.clock + RETRY_MS))
        return
    forget_recovery(host, account)
    keep_only(host, account, of)
    changes = changes_of(host.store, account)
    host.put(changes_key(account), replace(changes, count=changes.count + 1))
    host.emit("key.recovered", account, known.key, changes.count + 1)


def due_work(reader: Reader, account: bytes) -> int:
    """LC-BLK-31: whether a guardian is banned is looked up for each word."""
    known: Any = reader.get(recovery_key(account))
    return len(known.words) if known is not None else 0


def end_parked(host: Host, account: bytes) -> None:
    """LC-KEY-9: a parked recovery ends without a new key."""
    end_recovery(host, account, VOID)
