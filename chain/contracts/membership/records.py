"""What the state keeps of members, suspensions and evidence."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from chain.codec import Wire
from chain.types import (
    AccountId,
    Height,
    Uint,
)

NUMBER = 2
MAX_STRIKES = 3
"""Live strikes that stop posting, claiming and drawing."""
DRAWS_KEPT = 10
DRAWS_FAILED = 5
KEPT_STRIKES = 16
MAX_CASE_REFS = 64
MAX_SCAN = 65_536
"""Members that a scan looks at: the bound on a network's size."""


class Member(Wire, frozen=True):
    """`verifier_since` is the chain clock at which the flag was set; `strikes` are the clocks at which they end; `draws` the last
    ten, oldest first, true where the duty was done."""

    verifier: bool
    verifier_since: Uint
    strikes: Annotated[list[Uint], Meta(max_length=KEPT_STRIKES)]
    draws: Annotated[list[bool], Meta(max_length=DRAWS_KEPT)]


class CaseRef(Wire, frozen=True):
    ref: Annotated[bytes, Meta(max_length=64)]
    contract: Uint
    accuser: AccountId


class Case(Wire, frozen=True):
    """An open suspension: what it is for, until when it can be judged, and how the validators judged."""

    until: Uint
    refs: Annotated[list[CaseRef], Meta(max_length=MAX_CASE_REFS)]
    corroborated: bool
    confirm: list[AccountId]
    lift: list[AccountId]


class Ejection(Wire, frozen=True):
    """A double signing at `height` that was dealt with."""

    height: Height


def member_key(identity: bytes) -> bytes:
    return b"m/" + identity


def case_key(identity: bytes) -> bytes:
    return b"mc/" + identity


def ejection_key(identity: bytes, height: int) -> bytes:
    return b"me/" + identity + height.to_bytes(8, "big")
