"""What a block tells: typed records, in the order in which things happened. Credits that leave an escrow are flows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flow:
    """Credits leave an escrow: to an account, or burned where there is none."""

    job: bytes
    purpose: bytes
    to: bytes | None
    amount: int


@dataclass(frozen=True, slots=True)
class StateSet:
    job: bytes
    state: str


@dataclass(frozen=True, slots=True)
class Judgement:
    job: bytes
    who: bytes
    verdict: str
    line: int


@dataclass(frozen=True, slots=True)
class FeePaid:
    job: bytes
    who: bytes
    seat: bytes


@dataclass(frozen=True, slots=True)
class Struck:
    account: bytes
    poster: bytes
    """Its root."""
    why: str


@dataclass(frozen=True, slots=True)
class Suspended:
    account: bytes
    job: bytes
    until: int
    frozen: int


@dataclass(frozen=True, slots=True)
class CaseEnded:
    """Lifted, lapsed or banned, with the words that counted."""

    account: bytes
    how: str
    confirms: int
    lifts: int
    judges: int


@dataclass(frozen=True, slots=True)
class CountsAsBan:
    account: bytes
    job: bytes


@dataclass(frozen=True, slots=True)
class Dropped:
    job: bytes
    who: bytes


@dataclass(frozen=True, slots=True)
class HiddenOff:
    job: bytes


@dataclass(frozen=True, slots=True)
class Unrepeatable:
    job: bytes
    who: bytes


@dataclass(frozen=True, slots=True)
class Rests:
    account: bytes
    until: int


Event = (
    Flow
    | StateSet
    | Judgement
    | FeePaid
    | Struck
    | Suspended
    | CaseEnded
    | CountsAsBan
    | Dropped
    | HiddenOff
    | Unrepeatable
    | Rests
)
