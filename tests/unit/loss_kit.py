"""What tests of losses share: losses as a classifier's, drawn probes, and verifiers that lie about their trees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from msgspec.structs import replace

from learningchain.chain.losses import (
    LossNode,
    LossTree,
    Measurement,
    Opening,
    Probe,
    Span,
    _frontier,
    _join,
    draw_probe,
    open_losses,
)

JOB = b"\x07" * 32


def beacon(number: int) -> bytes:
    return hashlib.sha256(b"beacon %d" % number).digest()


def some_losses(count: int, seed: int = 0) -> list[int]:
    """As a classifier's: most are nothing, a few are large, some are equal."""
    digests = (hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(count))
    return [int.from_bytes(d[:4], "big") if d[4] < 60 else d[5] // 128 for d in digests]


def opened(values: list[int], seed: int = 0) -> tuple[LossTree, Probe, Opening]:
    tree = LossTree(values)
    probe = draw_probe(beacon(seed), JOB, 0, 1, len(values))
    return tree, probe, open_losses(tree, probe)


def showing(values: list[int], greatest: Callable[[Span], int], seed: int = 0) -> tuple[Measurement, Probe, Opening]:
    """As an honest verifier opens, but for its choice of the greatest loss of each subtree."""

    class Chosen(LossTree):
        def greatest_in(self, span: Span) -> int:
            return greatest(span)

    tree, probe = Chosen(values), draw_probe(beacon(seed), JOB, 0, 1, len(values))
    return tree.measurement, probe, open_losses(tree, probe)


def siblings_of(probe: Probe, opening: Opening) -> list[Span]:
    """The leaves that each sibling stands for."""
    spans = _frontier((0, probe.examples), sorted([*probe.positions, *opening.greatest]))
    return [span for span in spans if span[1] - span[0] > 1]


class Liar:
    """Commits to a tree in which the node over `span` says what it likes, and opens it as an honest verifier would."""

    def __init__(self, values: list[int], span: Span, **lie: int) -> None:
        self.tree, self.span, self.lie = LossTree(values), span, lie

    def node(self, span: Span) -> LossNode:
        if span == self.span:
            return replace(self.tree.node(span), **self.lie)
        if not (span[0] <= self.span[0] and self.span[1] <= span[1]):
            return self.tree.node(span)
        middle = sum(span) // 2
        return _join(self.node((span[0], middle)), self.node((middle, span[1])), span[1] - span[0])

    def opened(self, probe: Probe) -> tuple[Measurement, Probe, Opening]:
        root, opening = self.node((0, probe.examples)), open_losses(self.tree, probe)
        siblings = [self.node(span) for span in siblings_of(probe, opening)]
        return Measurement(root.hash, root.total, probe.examples), probe, replace(opening, siblings=siblings)
