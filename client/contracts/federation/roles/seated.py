"""An attempt with a seat of this node: what it has of it, and how it fetches, serves and sends what belongs to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from learningchain.chain.types import cid_text
from learningchain.client.contracts.federation.roles.channel import FileAnswer
from learningchain.client.contracts.federation.roles.looking import FederationLook
from learningchain.client.contracts.federation.roles.role import KIND
from learningchain.client.contracts.federation.tasks import MadeFile
from learningchain.client.keys.boxes import public_of
from learningchain.client.node.interface import PRIVATE
from learningchain.client.work.events import Effect, FetchContent, ServeFile, Submit
from learningchain.client.work.machine import Recalled

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.arithmetic.screening import Screening
    from learningchain.client.contracts.federation.arithmetic.small.screening import SmallScreen

PUBLIC_PIN, PRIVATE_PIN = "fed-summed", PRIVATE + "fed-sum"
"""Why what was fetched for an attempt is pinned, until it is over."""
SUMMED = 3
"""The stage of what a sum is: model and delta, or with cells the sums and the candidates."""


@dataclass
class SeatedAttempt:
    """One attempt with a seat of this node. `known`: who this node is."""

    known: Recalled
    federation: bytes
    number: int
    private: bytes = b""
    sealed: bytes = b""
    parts: dict[tuple[int, int], MadeFile] = field(default_factory=dict)
    """By stage and mask: own ones."""
    salts: list[bytes] = field(default_factory=list)
    beacon: bytes = b""
    seeds: dict[int, dict[int, bytes]] = field(default_factory=dict)
    """By the place of the file: seeds by mask."""
    reference: tuple[bytes, ...] = ()
    """The seed of the reference, when it was opened."""
    paths: dict[str, Path] = field(default_factory=dict)
    """What was fetched, by tag."""
    gone: set[str] = field(default_factory=set)
    answers: dict[int, FileAnswer] = field(default_factory=dict)
    """Of files that were looked at, by place."""
    asked: set[str] = field(default_factory=set)
    told: set[int] = field(default_factory=set)
    """Members that were told of their file, by its place."""
    screening: Screening | SmallScreen | None = None
    summed: bool = False
    why: str = ""

    @property
    def scope(self) -> str:
        return f"fed-sum:{self.federation.hex()}:{self.number}"

    def position(self, at: FederationLook) -> int:
        """This node's place among the seats, from 1 on."""
        return at.seats.index(self.known.me) + 1

    def submit(self, what: str, op: object) -> Submit:
        """Send a message of this attempt, once."""
        return Submit(KIND, f"{what}:{self.federation.hex()}:{self.number}", self.federation, op)

    def opens(self, at: FederationLook) -> bool:
        """Whether the key on the ledger is the one in memory."""
        return bool(self.private) and at.seat(self.known.me).key == public_of(self.private)

    def fetch(self, at: FederationLook, tag: str, cid: bytes, size: int, until: int = 0, who: bytes = b"") -> Iterator[Effect]:
        """Base and deltas are everybody's; updates and parts are for who sits in the attempt. `who` has it first of all."""
        pin = PUBLIC_PIN if tag == "base" or tag.startswith("delta-") else PRIVATE_PIN
        if f"fetch-{tag}" not in self.asked:
            self.asked.add(f"fetch-{tag}")
            yield FetchContent(self.scope, tag, at.id, cid_text(cid), size, until or at.now.deadline, pin=pin, holder=who)

    def serve(self, at: FederationLook) -> Iterator[Effect]:
        """Parts to the other seats, model and delta to everybody."""
        others = tuple(seat for seat in at.seats if seat != self.known.me)
        for (stage, _), made in sorted(self.parts.items()):
            yield ServeFile(at.id, made.cid, made.path, () if stage == SUMMED else others)
