"""Naming guardians: at once where there are none, else when those in force have had the time to speak against it."""

from __future__ import annotations

from msgspec.structs import replace

from learningchain.chain.contracts.keys.messages import KeyCode, SetGuardians
from learningchain.chain.contracts.keys.params import KeyParams
from learningchain.chain.contracts.keys.records import ComingGuardians, GuardianSet, guardians_key, guardians_of
from learningchain.chain.crypto import address
from learningchain.chain.errors import Reject
from learningchain.chain.host import MEMBERS, Host
from learningchain.chain.types import format_span


def set_guardians(host: Host, sender: bytes, m: SetGuardians) -> None:
    """LC-KEY-4: a thief of the key cannot do away with those who would take it from him; a change waits for their delay."""
    _check_guardians(host, sender, m)
    present, since = guardians_of(host.store, sender, host.clock), host.clock
    if present is None:
        _put(host, sender, GuardianSet(m.guardians, m.threshold, m.delay, []) if m.guardians else None)
    elif (m.guardians, m.threshold, m.delay) == (present.guardians, present.threshold, present.delay):
        _put(host, sender, replace(present, coming=[]))
    else:
        since = host.clock + present.delay
        _put(host, sender, replace(present, coming=[ComingGuardians(since, m.guardians, m.threshold, m.delay)]))
    host.emit("guardians", sender, len(m.guardians), m.threshold, m.delay, since)


def _put(host: Host, account: bytes, record: GuardianSet | None) -> None:
    if record is None:
        host.delete(guardians_key(account))
    else:
        host.put(guardians_key(account), record)


def _check_guardians(host: Host, sender: bytes, m: SetGuardians) -> None:
    if m.guardians != sorted(set(m.guardians)) or sender in m.guardians:
        raise Reject(KeyCode.BAD_GUARDIANS, "guardians are other accounts, in the order of their ids, each once")
    for guardian in m.guardians:
        if host.is_banned(guardian) or not host.service(MEMBERS).exists(guardian):
            raise Reject(KeyCode.BAD_GUARDIANS, f"{address(guardian)} is no member, or is banned")
    low, high = (1, len(m.guardians)) if m.guardians else (0, 0)
    if not low <= m.threshold <= high:
        raise Reject(KeyCode.BAD_THRESHOLD, f"{m.threshold} of {len(m.guardians)} guardians: use {low} to {high}")
    p = host.params_of(KeyParams)
    low, high = (p.recovery_delay_min, p.recovery_delay_max) if m.guardians else (0, 0)
    if not low <= m.delay <= high:
        raise Reject(KeyCode.BAD_DELAY, f"a delay of {format_span(m.delay)}: use {format_span(low)} to {format_span(high)}")


def take_over(host: Host, account: bytes) -> GuardianSet | None:
    """Before a recovery begins: its guardians are those in force now, for as long as it is open."""
    of = guardians_of(host.store, account, host.clock)
    if of != host.get(guardians_key(account), GuardianSet):
        _put(host, account, of)
    return of


def keep_only(host: Host, account: bytes, of: GuardianSet) -> None:
    """What the key of before asked for is void: the account has another key."""
    if of.coming:
        _put(host, account, replace(of, coming=[]))
