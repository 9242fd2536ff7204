"""What the rules draw by hash. A driver hands in the contract's own tags and field widths; the rules leave both open."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256


def tagged(tag: bytes, *parts: bytes) -> bytes:
    """LC-ID-1."""
    return sha256(bytes([len(tag)]) + tag + b"".join(parts)).digest()


@dataclass(frozen=True, slots=True)
class Hashing:
    """One tag for each use; j and r are one byte each, k four, op one."""

    order: bytes = b"lc/claim-order"
    seat: bytes = b"lc/seat"
    place: bytes = b"lc/probe"

    def order_of(self, beacon: bytes, tx: bytes, op: int) -> bytes:
        """Place of a claim among those of its height."""
        return tagged(self.order, beacon, tx, bytes([op]))

    def ticket(self, beacon: bytes, job: bytes, j: int, r: int, account: bytes) -> bytes:
        return tagged(self.seat, beacon, job, bytes([j, r]), account)

    def number(self, beacon: bytes, job: bytes, j: int, r: int, k: int) -> int:
        """The k-th number of a probe."""
        return int.from_bytes(tagged(self.place, beacon, job, bytes([j, r]), k.to_bytes(4, "big")), "big")
