"""What a block tells: typed records, in the order in which things happened. Credits that move are flows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flow:
    """Credits leave an escrow, or are minted (no purpose): to an account, or burned where there is none."""

    ref: bytes
    purpose: bytes
    to: bytes | None
    amount: int
    why: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """Seats of a round, with the size of the pool."""

    request: bytes
    r: int
    seats: tuple[bytes, ...]
    pool: int


@dataclass(frozen=True, slots=True)
class Ended:
    """An answer or a failure: r=3 for what an appeal brought."""

    request: bytes
    r: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Evicted:
    request: bytes
    by: bytes


@dataclass(frozen=True, slots=True)
class Struck:
    account: bytes
    origin: bytes
    why: str


@dataclass(frozen=True, slots=True)
class Fined:
    request: bytes
    server: bytes
    amount: int
    why: str


@dataclass(frozen=True, slots=True)
class Slashed:
    """What old payees and the owner's deposit lost to an appeal."""

    request: bytes
    stakes: int
    deposit: int


@dataclass(frozen=True, slots=True)
class Decided:
    """Of each row ACCEPT, DECLINE or REFER, with its rate and whether the value is near the threshold."""

    request: bytes
    rows: tuple[tuple[str, int, bool], ...]
    ordinal: int
    asked: int


@dataclass(frozen=True, slots=True)
class Out:
    model: bytes
    server: bytes


@dataclass(frozen=True, slots=True)
class Asleep:
    model: bytes
    server: bytes


@dataclass(frozen=True, slots=True)
class Retired:
    model: bytes
    burned: bool


@dataclass(frozen=True, slots=True)
class Gone:
    """A record left the state."""

    ref: bytes


Event = Flow | Drawn | Ended | Evicted | Struck | Fined | Slashed | Decided | Out | Asleep | Retired | Gone
