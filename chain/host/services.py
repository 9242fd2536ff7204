"""What contracts do for each other: named services. One contract offers a service (`Contract.services`), any other uses it
(`host.service`), and neither knows the other.

A service is what its Protocol says. `identity` is an account, `ref` what the deed belongs to (a job).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

S = TypeVar("S")


@dataclass(frozen=True)
class Service(Generic[S]):
    """A service's name, with the type of what answers to it."""

    name: str


class Strikes(Protocol):
    """Marks for a broken duty, each of which lives for a while (LC-MEM-1)."""

    def add(self, identity: bytes, reason: str, ref: bytes) -> None: ...

    def live(self, identity: bytes) -> int: ...


class Suspensions(Protocol):
    """Accounts whose credits are frozen until the validators have judged (LC-MEM-4, LC-MEM-5)."""

    def suspend(self, identity: bytes, ref: bytes, accuser: bytes, contract: int) -> None:
        """`contract` is told how it ended, with `ref`."""
        ...

    def corroborate(self, identity: bytes, ref: bytes) -> None: ...

    def appeal_ms(self) -> int:
        """How long a suspension lasts at most."""
        ...


class Verifiers(Protocol):
    """Accounts that may judge the work of others (LC-MEM-2, LC-MEM-3)."""

    def since(self, before: int) -> list[bytes]:
        """Those that have been it since before that time of the chain clock and may be drawn, by id."""
        ...

    def count_draw(self, identity: bytes, good: bool) -> None:
        """A duty of one that was drawn was done, or not."""
        ...


@dataclass(frozen=True)
class Won:
    """A job that ended with a winner: who posted it, who won it, and the model: its content id and its bytes."""

    poster: bytes
    winner: bytes
    model: bytes
    size: int


class Winners(Protocol):
    """What jobs ended with."""

    def of(self, job: bytes) -> Won | None:
        """None where there is no such job, or it has no winner."""
        ...


STRIKES: Service[Strikes] = Service("strikes")
SUSPENSIONS: Service[Suspensions] = Service("suspensions")
VERIFIERS: Service[Verifiers] = Service("verifiers")
WINNERS: Service[Winners] = Service("winners")
