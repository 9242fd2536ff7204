"""Where two traces of one scenario part: what a driver of the real handlers reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from .play import BlockView, Trace


def first(mine: Trace, theirs: Trace) -> str | None:
    """The first block and the first values that differ, or nothing. Events are not compared: a contract tells its own."""
    for height, (one, other) in enumerate(zip(mine, theirs, strict=True), 1):
        for where, a, b in of_blocks(one, other):
            return f"block {height}, {where}: {a!r} here, {b!r} there"
    return None


def of_blocks(one: BlockView, other: BlockView) -> Iterator[tuple[str, Any, Any]]:
    if one.refused != other.refused:
        yield "refused", one.refused, other.refused
    if one.burned != other.burned:
        yield "burned", one.burned, other.burned
    yield from of_maps("escrow", one.escrow, other.escrow)
    yield from of_maps("account", one.accounts, other.accounts)
    yield from of_maps("job", one.jobs, other.jobs)


def of_maps(kind: str, one: Mapping[Any, Any], other: Mapping[Any, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(set(one) | set(other)):
        if key not in one or key not in other:
            yield f"{kind} {key!r}", one.get(key), other.get(key)
            continue
        a, b = one[key], other[key]
        if isinstance(a, int):
            if a != b:
                yield f"{kind} {key!r}", a, b
            continue
        for field in fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            if x != y:
                yield f"{kind} {key.hex()} {field.name}", x, y
