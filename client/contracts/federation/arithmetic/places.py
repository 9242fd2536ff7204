"""What hashes and boxes of a round are bound to, and the numbers that all of its arithmetic shares."""

from __future__ import annotations

from typing import NamedTuple

from learningchain.chain.tags import Tag

CQ = 2**22
"""LC-FILE-7: the whole of an update's norm: x of an update as long as the clip is this long."""
ROWS = 64
"""LC-FILE-16: rows of a sketch."""
REFERENCE_ROWS = 2
SKETCH = ROWS + REFERENCE_ROWS
"""Numbers in a sketch; the last two are zeros where there is no reference."""
MASKS = 3
MAX_DIMS = 2**28
"""LC-FILE-2: most parameters of a model."""
SEED = 32
DELTAS = 3
"""Recorded sums that STALE and the second row of the reference look back on."""

_SEED = Tag("lc/fed-seed", "seeds of masks")
_ROWS = Tag("lc/fed-rows", "rows of sketches")
_DITHER = Tag("lc/fed-dither", "dithers of reference rows")
_SCREEN = Tag("lc/fed-screen", "digests of screens")
_NOISE = Tag("lc/fed-noise", "noise of sums")
_DATA = Tag("lc/fed-data", "published digests of own data")
_GATES = Tag("lc/small-gates", "challenges of small updates")
_QUERY = Tag("lc/small-query", "places where proofs are opened")


class AttemptPlace(NamedTuple):
    """LC-FILE-1: one attempt of one federation. `chain` and `federation` are 32 bytes, `attempt` is the number of its start."""

    chain: bytes
    federation: bytes
    r: int
    attempt: int

    @property
    def within(self) -> bytes:
        """federation, r, attempt: 40 bytes."""
        return self.federation + self.r.to_bytes(4, "big") + self.attempt.to_bytes(4, "big")

    @property
    def raw(self) -> bytes:
        """72 bytes."""
        return self.chain + self.within


def seed_commitment(place: AttemptPlace, member: bytes, mask: int, seed: bytes) -> bytes:
    """LC-FILE-11"""
    return _SEED.hash(place.raw, member, bytes((mask,)), seed)


def rows_key(place: AttemptPlace, beacon: bytes) -> bytes:
    """LC-FILE-16. `beacon`: of the block that ends ROWS."""
    return _ROWS.hash(place.raw, beacon)


def dither_key(key: bytes, row: int) -> bytes:
    """LC-FILE-20. `row`: 1 or 2."""
    return _DITHER.hash(key, bytes((row,)))


def screen_digest(place: AttemptPlace, screened: bytes) -> bytes:
    """LC-FILE-31, 58"""
    return _SCREEN.hash(place.raw, screened)


def noise_key(place: AttemptPlace, mask: int, seeds: bytes) -> bytes:
    """LC-FILE-36. `seeds`: of all accepted, in the order of their commitments."""
    return _NOISE.hash(place.raw, bytes((mask,)), seeds)


def cell_noise_key(place: AttemptPlace, beacon: bytes, cell: int, mask: int, seeds: bytes) -> bytes:
    """LC-FILE-59. `beacon`: of the block that ends ROWS; `seeds`: of the members of the cell, in the order of their commitments."""
    return _NOISE.hash(place.raw, beacon, bytes((cell, mask)), seeds)


def gates_key(place: AttemptPlace, member: bytes, committed: bytes) -> bytes:
    """LC-FILE-55. `committed`: the three commitments and the masked bits, as they stand in the file."""
    return _GATES.hash(place.raw, member, committed)


def query_digest(place: AttemptPlace, beacon: bytes) -> bytes:
    """LC-FILE-56. `beacon`: of the block that ends ROWS."""
    return _QUERY.hash(place.raw, beacon)


def published_digest(federation: bytes, content: bytes) -> bytes:
    """LC-FILE-48: what stands on the ledger for own data with this digest of their contents, of one federation alone."""
    return _DATA.hash(federation, content)
