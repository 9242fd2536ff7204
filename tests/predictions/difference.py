"""Where two traces of one scenario part: the first block, and what of it differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    block: int
    where: str
    """A field of the block's view, with the key in it."""
    one: str
    other: str

    def __str__(self) -> str:
        return f"block {self.block}, {self.where}: {self.one} and {self.other}"


def first(one: Sequence[Any], other: Sequence[Any]) -> Difference | None:
    """Records are compared by what they say, so those of another copy of the model are equal to ours."""
    for block, (ours, theirs) in enumerate(zip(one, other, strict=False)):
        for field in fields(ours):
            found = of_field(block, field.name, getattr(ours, field.name), getattr(theirs, field.name))
            if found is not None:
                return found
    if len(one) != len(other):
        return Difference(min(len(one), len(other)), "blocks", str(len(one)), str(len(other)))
    return None


def of_views(one: Any, other: Any) -> tuple[str, str, str] | None:
    """Of two views of one block: a place where they differ, and what each says there."""
    found = first((one,), (other,))
    return None if found is None else (found.where, found.one, found.other)


def of_field(block: int, name: str, ours: Any, theirs: Any) -> Difference | None:
    if repr(ours) == repr(theirs):
        return None
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            if repr(ours.get(key)) != repr(theirs.get(key)):
                return Difference(block, f"{name} {key!r}", repr(ours.get(key)), repr(theirs.get(key)))
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        for place in range(max(len(ours), len(theirs))):
            pair = [repr(side[place]) if place < len(side) else "nothing" for side in (ours, theirs)]
            if pair[0] != pair[1]:
                return Difference(block, f"{name} {place}", pair[0], pair[1])
    return Difference(block, name, repr(ours), repr(theirs))
