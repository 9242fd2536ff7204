"""Members: strikes, and who may be drawn to verify."""

from __future__ import annotations

from collections.abc import Iterable

from chain.contracts.membership.params import MemberParams
from chain.contracts.membership.records import (
    DRAWS_FAILED,
    DRAWS_KEPT,
    KEPT_STRIKES,
    MAX_SCAN,
    MAX_STRIKES,
    Member,
    member_key,
)
from chain.crypto import account_id
from chain.host import (
    GenesisAccount,
    Host,
    KVStore,
    Reader,
)


def first_members(store: KVStore, accounts: Iterable[GenesisAccount]) -> None:
    for a in accounts:
        store.put(member_key(account_id(a.key)), Member(a.verifier, 0, [], []))


def member_of(host: Host, identity: bytes) -> Member:
    return host.get(member_key(identity), Member) or Member(False, 0, [], [])


def strike(host: Host, identity: bytes, reason: str, ref: bytes) -> None:
    """LC-MEM-1"""
    m = member_of(host, identity)
    live = [end for end in m.strikes if end > host.clock]
    strikes = sorted([*live, host.clock + host.params_of(MemberParams).strike_life])[-KEPT_STRIKES:]
    host.put(member_key(identity), Member(m.verifier, m.verifier_since, strikes, m.draws))
    host.emit("strike", identity, reason, ref)


def live_strikes(host: Host, identity: bytes) -> int:
    member = host.get(member_key(identity), Member)
    return sum(end > host.clock for end in member.strikes) if member and member.strikes else 0


def verifiers(host: Host, since_before: int) -> list[bytes]:
    """LC-MEM-2: active identities with a verifier flag older than `since_before` and less than three live strikes, by id."""
    return [
        key[2:]
        for key, m in host.store.scan(b"m/", MAX_SCAN)
        if m.verifier
        and m.verifier_since < since_before
        and sum(end > host.clock for end in m.strikes) < MAX_STRIKES
        and host.is_active(key[2:])
    ]


def is_verifier(reader: Reader, identity: bytes) -> bool:
    """LC-MEM-2: silence in a committee would be struck, an abstention is not: such a node has to answer."""
    member = reader.get(member_key(identity))
    return isinstance(member, Member) and member.verifier


def record_draw(host: Host, identity: bytes, good: bool) -> None:
    """LC-MEM-3: count a committee duty done or failed; too many failures end the verifier flag."""
    m = member_of(host, identity)
    draws = [*m.draws, good][-DRAWS_KEPT:]
    keeps = m.verifier and draws.count(False) <= DRAWS_FAILED
    host.put(member_key(identity), Member(keeps, m.verifier_since, m.strikes, draws))
    if m.verifier and not keeps:
        host.emit("verifier.off", identity)
