"""What a block tells: typed records, in the order in which things happened. Credits that move are flows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flow:
    """Credits leave an escrow: to an account, or burned where there is none."""

    ref: bytes
    purpose: bytes
    to: bytes | None
    amount: int
    why: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """Aggregators of an attempt (attempt >= 1), or seats of the panel (attempt 0); who was there to be drawn."""

    federation: bytes
    attempt: int
    who: tuple[bytes, ...]
    pool: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Screened:
    """An agreed Screen: the code of each file by its member, and who is in the sum (nobody: VOID SPLIT)."""

    federation: bytes
    attempt: int
    codes: tuple[tuple[bytes, str], ...]
    accepted: tuple[bytes, ...]
    points: tuple[tuple[bytes, int], ...]
    """Where the split is aligned."""


@dataclass(frozen=True, slots=True)
class Summed:
    federation: bytes
    attempt: int
    by: tuple[bytes, ...]
    model: bytes


@dataclass(frozen=True, slots=True)
class CellsSummed:
    federation: bytes
    attempt: int
    by: tuple[bytes, ...]
    cells: tuple[tuple[int, frozenset[int]], ...]
    """Number and indexes of each."""


@dataclass(frozen=True, slots=True)
class Void:
    federation: bytes
    attempt: int
    why: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A loss, or none where the panel says that the model is invalid."""

    federation: bytes
    r: int
    again: int
    loss: int | None
    by: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    federation: bytes
    r: int
    pot: int
    reverted: bool


@dataclass(frozen=True, slots=True)
class Struck:
    account: bytes
    origin: bytes
    why: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed draw."""

    federation: bytes
    account: bytes
    silent: bool


@dataclass(frozen=True, slots=True)
class Benched:
    federation: bytes
    member: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    federation: bytes
    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A federation and all its records left the state."""

    federation: bytes


Event = Flow | Drawn | Screened | Summed | CellsSummed | Void | Measured | Settled | Struck | Failed | Benched | Ended | Gone
