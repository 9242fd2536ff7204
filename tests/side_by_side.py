"""A contract's executable model beside its real handlers: seed after seed, each a random graph, until the two part.

Here is neither a model nor the product: a driver plays one seed through both, this goes on, counts, stops and tells.

    tests/settlement_driver.py    jobs
    tests/prediction_driver.py    requests
    tests/federation_driver.py    federations
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Differs = Callable[[Any, Any], tuple[str, str, str] | None]
"""Of the model's view of a block and the contract's: a place where they differ with what each says there, or None."""


@dataclass(frozen=True)
class Played:
    """One seed. `count` is of what the contract is about, `rows` the rules that were reached."""

    count: int
    blocks: int
    messages: int
    rows: Counter[str]
    parted: str | None
    """Where the real handlers part from the model."""


PlaySeed = Callable[[int], Played]


@dataclass
class Beside:
    """What seeds from `first` on brought, up to one at which the two part."""

    first: int
    last: int
    graphs: int = 0
    count: int = 0
    blocks: int = 0
    messages: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    parted: str = ""


def parting(blocks: Iterable[Any], mine: Iterable[Any], run: Callable[[Any], Any], differs: Differs) -> str | None:
    """The first block after which the model (`mine`, its views) and the contract (`run` carries a block out) differ, or None."""
    for height, (block, one) in enumerate(zip(blocks, mine, strict=True), 1):
        if (found := differs(one, run(block))) is not None:
            where, model, contract = found
            return f"block {height}, {where}: {model} in the model, {contract} in the contract"
    return None


def play_beside(play_seed: PlaySeed, count: int, first: int = 0, watch: Callable[[Beside], None] | None = None) -> Beside:
    """Seeds from `first` on until there were so many jobs, requests or federations, or until the model and the handlers part."""
    found = Beside(first, first - 1)
    while found.count < count and not found.parted:
        found.last += 1
        played = play_seed(found.last)
        found.graphs += 1
        found.count += played.count
        found.blocks += played.blocks
        found.messages += played.messages
        found.rows += played.rows
        found.parted = f"seed {found.last}, {played.parted}" if played.parted else ""
        if watch is not None:
            watch(found)
    return found


def show(play_seed: PlaySeed, what: str, count: int, first: int, rows: Iterable[str]) -> int:
    """On the terminal; the exit status: 1 where the model and the handlers part. `rows`: all that could be reached."""

    def tell(found: Beside) -> None:
        if found.graphs % 200 == 0:
            print(f"seed {found.last}: {found.count} {what}", file=sys.stderr, flush=True)

    began = time.process_time()
    found = play_beside(play_seed, count, first, tell)
    print(f"{found.count} {what} in {found.graphs} graphs (seeds {found.first}..{found.last}), {found.blocks} blocks,")
    print(f"{found.messages} messages, {time.process_time() - began:.0f} s of processor time")
    print("not reached:", ", ".join(row for row in rows if not found.rows[row]) or "nothing")
    print(found.parted or "the model and the handlers agree after every block")
    return 1 if found.parted else 0
