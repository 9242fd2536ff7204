"""What contracts do for each other: named services. One contract offers a service (`Contract.services`), any other uses it
(`host.service`), and neither knows the other.

A service is what its Protocol says. `identity` is an account, `ref` what the deed belongs to (a job), `owner` the account whose
work it was (a job's poster). Who bars, marks or corroborates is told apart by the *root* of the owner (LC-MEM-15): a second
identity is free, a second root is not. Services take owners and look up their roots themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from learningchain.chain.host.terms import Capacity, Image, Limits
from learningchain.chain.verification.votes import Judgement

S = TypeVar("S")


@dataclass(frozen=True)
class Service(Generic[S]):
    """A service's name, with the type of what answers to it."""

    name: str


class Standing(Protocol):
    """Strikes: marks for a broken duty, each of which lives for a while; and the verdicts on what an account delivered."""

    def root_of(self, identity: bytes) -> bytes:
        """Itself, or for an invited one the member at the root of its invitations."""
        ...

    def strike(self, identity: bytes, owner: bytes, reason: str, ref: bytes) -> None:
        """One more; of each root the last one is kept. A banned one is left as it is."""
        ...

    def live(self, identity: bytes) -> int:
        """Different roots among its live strikes."""
        ...

    def stands(self, identity: bytes) -> bool:
        """Fewer than three: it may post, claim and be drawn."""
        ...

    def judged(self, identity: bytes, owner: bytes, verdict: Judgement, ref: bytes) -> None:
        """Keep the verdict on what it delivered. To be called after `Suspensions.accuse` where the verdict is FALSE."""
        ...


class Suspensions(Protocol):
    """Accounts of which something is frozen until the judges have spoken."""

    def accuse(self, identity: bytes, owner: bytes, amount: int, ref: bytes, contract: int) -> bool:
        """A FALSE verdict: freeze min(free, amount), open a case or add to the open one.

        False where the account is banned already. `contract` is told how it ended, with `ref`.
        """
        ...

    def barred_from(self, identity: bytes, owner: bytes) -> bool:
        """Suspended in a case that work of this owner's root is part of."""
        ...

    def longest_ms(self) -> int:
        """How long a case lasts at most."""
        ...


class Verifiers(Protocol):
    """Accounts that may judge the work of others."""

    def flagged(self, owner: bytes, needed: Capacity) -> tuple[int, int]:
        """How many have the flag (active or suspended, standing, not resting, not the owner); how many of them can judge this."""
        ...

    def has_flag(self, identity: bytes) -> bool:
        """Whatever its strikes, and also where the flag rests."""
        ...

    def is_available(self, identity: bytes) -> bool:
        """It has the flag, stands and does not rest."""
        ...

    def able(self, needed: Capacity, before: int) -> list[bytes]:
        """Those that may be drawn, by id: flag and capacity from before that time of the chain clock."""
        ...

    def each_able(self, needed: Capacity, before: int) -> Iterator[bytes]:
        """The same, one by one and in no order: who counts a few looks at no more."""
        ...

    def marked(self, identities: list[bytes], owner: bytes) -> set[bytes]:
        """Those that dissented and lost in work of this owner's root again and again."""
        ...

    def record_draw(self, identity: bytes, owner: bytes, *, bad: bool, silent: bool) -> None:
        """A duty of one that was drawn: how it was done."""
        ...

    def count_vote(self, identity: bytes, owner: bytes, *, bad: bool) -> None:
        """A vote where a quorum decided, for the marks."""
        ...


class Members(Protocol):
    """Who belongs to the network. What it refuses it refuses as a message would be: by raising `Reject`."""

    def admit(self, key: bytes, root: bytes | None) -> bytes:
        """A member under this public key, with this root or as one of its own; its id. By the validators' vote (LC-MEM-24).

        Who left comes back with the root and the strikes that it had. Rejects INVITATIONS_ONLY, BAD_KEY, and KNOWN_KEY for a key
        that somebody has or had.
        """
        ...

    def remove(self, identity: bytes) -> None:
        """LC-MEM-27: it is no member any more; what it holds stays its own. Rejects NOT_A_MEMBER, STILL_A_VALIDATOR."""
        ...

    def set_verifier(self, identity: bytes, on: bool) -> None:
        """LC-MEM-28. Rejects NOT_A_MEMBER, and SAME_FLAG where it has the flag, or lacks it, already."""
        ...

    def exists(self, identity: bytes) -> bool:
        """It is a member: it came and has not left. A banned one still is."""
        ...

    def box_key(self, identity: bytes) -> bytes:
        """What others seal to it under: its X25519 key (LC-MEM-29); empty: it has none."""
        ...

    def ban(self, identity: bytes, ref: bytes) -> None:
        """All that it holds burns, an open case ends as a ban, its inviter is struck. Rejects NOT_A_MEMBER, ALREADY_BANNED."""
        ...

    def burned(self, identity: bytes) -> int | None:
        """What its ban burned; None where it is not banned."""
        ...

    def lift_ban(self, identity: bytes, amount: int, ref: bytes) -> None:
        """It is active again, and `amount` of what the ban burned is minted back. Rejects NOT_BANNED, TOO_MUCH."""
        ...


@dataclass(frozen=True)
class Won:
    """A job that ended with a winner, or a federation with a best model: who posted it, who won it (nobody alone: empty), and the
    model: its content id and its bytes. What ran: image, architecture, parameters (JSON text) and limits. `shares`: of a
    federation's model, whose the royalty is, by account and with which weight; None of a job's: its owner shares as it likes."""

    poster: bytes
    winner: bytes
    model: bytes
    size: int
    image: Image
    arch: int
    params: str
    limits: Limits
    shares: tuple[tuple[bytes, int], ...] | None = None


class Winners(Protocol):
    """What jobs ended with."""

    def of(self, job: bytes) -> Won | None:
        """None where there is no such job, or it has no winner."""
        ...


class Trained(Protocol):
    """What federations ended with."""

    def of(self, federation: bytes, account: bytes) -> Won | None:
        """None where there is no such federation, it has not ended with a model better than its first, or the best one is not this
        account's to offer."""
        ...


STANDING: Service[Standing] = Service("standing")
SUSPENSIONS: Service[Suspensions] = Service("suspensions")
VERIFIERS: Service[Verifiers] = Service("verifiers")
MEMBERS: Service[Members] = Service("members")
WINNERS: Service[Winners] = Service("winners")
TRAINED: Service[Trained] = Service("trained")
