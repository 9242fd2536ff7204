"""How a recovery ends, and what the present key can do against one: object, once."""

from __future__ import annotations

from msgspec.structs import replace

from learningchain.chain.contracts.keys.agreement import agreed_key, words_needed
from learningchain.chain.contracts.keys.messages import KeyCode, ObjectRecovery
from learningchain.chain.contracts.keys.params import KeyParams
from learningchain.chain.contracts.keys.records import (
    NUMBER,
    GuardianSet,
    Recovery,
    changes_key,
    changes_of,
    guardians_key,
    recovery_key,
)
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host

EXPIRED, VOID = "expired", "void"


def put_recovery(host: Host, account: bytes, known: Recovery | None, recovery: Recovery) -> None:
    """The open one, with its deadline in the place of that of `known`."""
    if known is None or known.until != recovery.until:
        if known is not None:
            host.cancel(known.until, NUMBER, account, account)
        host.schedule(recovery.until, NUMBER, account, account)
    host.put(recovery_key(account), recovery)


def forget_recovery(host: Host, identity: bytes) -> Recovery | None:
    """The open one, which is no more; None where none is open."""
    known = host.get(recovery_key(identity), Recovery)
    if known is not None:
        host.delete(recovery_key(identity))
        host.cancel(known.until, NUMBER, identity, identity)
    return known


def end_recovery(host: Host, identity: bytes, why: str) -> None:
    """LC-KEY-9: where one is open. After an objection none begins for as long as the guardians would have had to wait."""
    known = forget_recovery(host, identity)
    if known is None:
        return
    if known.objected:
        of = host.get(guardians_key(identity), GuardianSet)
        until = host.clock + (of.delay if of is not None else 0)
        host.put(changes_key(identity), replace(changes_of(host.store, identity), barred_until=until))
    host.emit("recovery.ended", identity, why)


def object_recovery(host: Host, sender: bytes, _m: ObjectRecovery) -> None:
    """LC-KEY-7: once in a recovery. It does not end it: a thief with the key could do that for ever."""
    known = host.get(recovery_key(sender), Recovery)
    if known is None:
        raise Reject(KeyCode.NO_RECOVERY, "no recovery of this account is open")
    if known.objected:
        raise Reject(KeyCode.OBJECTED, "this account objected to the recovery: more than two thirds of its guardians decide")
    count_objection(host, sender)


def count_objection(host: Host, account: bytes) -> None:
    """LC-KEY-7: where a recovery is open to which nobody objected: more of the guardians have to agree, and have time to."""
    known, of = host.get(recovery_key(account), Recovery), host.get(guardians_key(account), GuardianSet)
    if known is None or of is None or known.objected:
        return
    needed, gather = words_needed(of, objected=True), host.clock + host.params_of(KeyParams).recovery_gather
    key = agreed_key(known.words, needed, known.key)
    until = known.until if key else gather
    put_recovery(host, account, known, Recovery(known.since, until, known.words, key, gather, objected=True))
    host.emit("recovery.objected", account, needed, until)
