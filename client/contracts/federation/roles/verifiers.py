"""Who could add up and measure in a federation now: what an owner reads before joining, and what its node minds. Pure.

Two of the three that are drawn to add up open every update, so it matters of whom they are drawn. The ledger refuses where they are
a small part of the verifiers (LC-FED-54); where few could be drawn at all, their owner decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from learningchain.chain.contracts import host_of
from learningchain.chain.contracts.federation import pool
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.contracts.membership import Member
from learningchain.chain.contracts.membership import member_key as membership_key
from learningchain.chain.host import ChainRecord, KVStore
from learningchain.chain.params import Params
from learningchain.client.contracts.federation.roles.looking import FederationLook
from learningchain.client.contracts.federation.settings import LEAST_VERIFIERS, MIN_VERIFIERS

FEW: Final = 7
"""Fewer than so many that could be drawn are shown one by one."""


class Deciders(NamedTuple):
    """Who could be drawn to add up, and to measure; by id."""

    aggregators: list[bytes]
    panel: list[bytes]


def context_of(at: FederationLook, clock: int) -> FederationContext:
    """To read with what the ledger reads by; nothing is written by it."""
    host = host_of(cast(KVStore, at.reader), Params(), ChainRecord(b"", 0, 0, clock, b""), 0, 0, clock, b"")
    return FederationContext(host, at.id)


def deciders(at: FederationLook, clock: int) -> Deciders:
    """Of the panel those, too, who sit. Members are of it only where others are too few."""
    federation = context_of(at, clock)
    found = list(pool.panel(federation))
    outside = [who for who, joined in found if not joined]
    able = outside if len(outside) >= pool.LEAST_PANEL else [who for who, _ in found]
    return Deciders(sorted(pool.aggregators(federation)), sorted({*able, *(seat.account for seat in at.now.panel)}))


def inviter_of(at: FederationLook, account: bytes) -> bytes:
    """Empty of those that nobody invited."""
    found = at.reader.get(membership_key(account))
    return found.inviter if isinstance(found, Member) else b""


def least_verifiers(settings: Mapping[str, Any]) -> int:
    """What the owner wants, among a node's settings in force, as the node tells them."""
    return int(settings[MIN_VERIFIERS]["value"]) if MIN_VERIFIERS in settings else LEAST_VERIFIERS


def too_few_to_draw(aggregators: int, least: int) -> str:
    """Why an owner that wants `least` does not train where so many could be drawn; empty where there are enough."""
    if aggregators >= least:
        return ""
    return (
        f"{aggregators} verifiers could be drawn to add up, and two of the three drawn open an update: its owner wants {least}. "
        f"Wait for others, or accept fewer (learningchain config set {MIN_VERIFIERS} N, then restart the node)"
    )
