"""The losses of one evaluation, one for each example: a Merkle-sum tree over them, and openings of a few.

A verifier commits to everything that it measured before anybody knows which examples it must show:

    losses ---LossTree---> Measurement (root, total, count)           stands in a ballot, sealed
    beacon ---draw_probe---> Probe (positions, subtrees)              the same for every seat of a round
    LossTree, Probe ---open_losses---> Opening                        shown when votes are opened
    Measurement, Probe, Opening ---check_opening---> 16 losses        compared between seats

Every node carries the sum and the greatest loss of the leaves below it, and its hash covers both of its children with theirs. So
the root binds each loss, the total and the count, and the greatest loss of a subtree is a place that nobody can choose after the
draw: it is found from the node of the subtree downwards, on the side of the greater child. What a node says of leaves that no
opening shows is not proved; it is bound.

A loss is an integer in units of 1e-9. Pure functions; contracts and clients use them alike. Spec: protocol_spec/losses.md.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import count as counting
from struct import Struct
from typing import Annotated, NamedTuple

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.crypto import short_sha256
from learningchain.chain.tags import Tag
from learningchain.chain.types import Hash

MAX_LOSS = 10**18
"""LC-LOSS-1: largest loss and, with a minus, the least: nine digits before the point."""
MAX_TOTAL = 2**63 - 1
"""LC-LOSS-1: largest sum of any node and, with a minus, the least."""
MAX_EXAMPLES = 2**20
"""LC-LOSS-1: examples of one evaluation."""
PLACES = 16
"""LC-LOSS-6: losses that an opening shows, a place each."""
SUBTREE_DEPTH = 4
"""LC-LOSS-7: depth of the subtrees whose greatest losses are shown; there are 16 of them."""
SUBTREES = 8
"""LC-LOSS-7: subtrees that are drawn."""
MAX_LEAVES = 3 * PLACES
"""Leaves of an opening: each that is shown and at most two beside it (three leaves split into one and two)."""
MAX_SIBLINGS = 240
"""Nodes of an opening: 16 paths that part at depth four, with one at each depth from 5 to 19 beside each (2^20 leaves)."""

Loss = Annotated[int, Meta(ge=-MAX_LOSS, le=MAX_LOSS)]
Total = Annotated[int, Meta(ge=-MAX_TOTAL, le=MAX_TOTAL)]
Position = Annotated[int, Meta(ge=0, le=MAX_EXAMPLES - 1)]
Span = tuple[int, int]
"""Leaves from the first up to, but without, the second."""


class LossesOutOfRange(ValueError):
    """A loss or the sum of a node is larger than a vote can say: the evaluation is INVALID (LC-LOSS-1)."""


class BadOpening(ValueError):
    """An opening that does not show what the probe asks for; the text says why (LC-LOSS-10 to LC-LOSS-14)."""


class Measurement(Wire, frozen=True):
    """What one evaluation measured: the root of its tree, the sum of its losses, the number of its examples (LC-LOSS-3)."""

    root: Hash
    total: Total
    count: Annotated[int, Meta(ge=1, le=MAX_EXAMPLES)]

    @property
    def mean(self) -> int:
        """The measured loss: total / count, rounded up (LC-LOSS-4)."""
        return -(-self.total // self.count)


class LossNode(Wire, frozen=True):
    """A node of the tree: its hash, the sum and the greatest of the losses below it (LC-LOSS-2)."""

    hash: Hash
    total: Total
    greatest: Loss


class Opening(Wire, frozen=True):
    """Some leaves with one Merkle multiproof (LC-LOSS-9): what the root needs besides them, left to right.

    `greatest` are positions, one for each subtree of the probe in its order.
    """

    greatest: Annotated[list[Position], Meta(max_length=SUBTREES)]
    leaves: Annotated[list[Loss], Meta(min_length=1, max_length=MAX_LEAVES)]
    siblings: Annotated[list[LossNode], Meta(max_length=MAX_SIBLINGS)]


# --- the tree -----------------------------------------------------------------------------------------------------------------

_LEAF, _NODE = Tag("lc/loss", "leaves of losses").domain, Tag("lc/loss-node", "nodes above them").domain
_DRAW = Tag("lc/loss-probe", "probes of losses")
_pack = Struct(">I32sqq32sqq").pack


def _leaf(loss: int) -> LossNode:
    return LossNode(short_sha256(_LEAF + loss.to_bytes(8, "big", signed=True)).digest(), loss, loss)


def _join(left: LossNode, right: LossNode, count: int) -> LossNode:
    """The node above two, over `count` leaves (LC-LOSS-2). Raises LossesOutOfRange."""
    total = left.total + right.total
    if not -MAX_TOTAL <= total <= MAX_TOTAL:
        raise LossesOutOfRange(f"the losses of {count} examples add up to more than 63 bits hold")
    packed = _pack(count, left.hash, left.total, left.greatest, right.hash, right.total, right.greatest)
    greatest = left.greatest if left.greatest >= right.greatest else right.greatest
    return LossNode(short_sha256(_NODE + packed).digest(), total, greatest)


class LossTree:
    """The tree over the losses of one evaluation.

    Only the losses (8 bytes each) and the nodes over 256 leaves and more are kept: an opening computes the few others anew.
    2^20 losses take 1.8 s and 11 MB, their opening 17 ms and its check 0.8 ms; 360 take 1 ms, 0.6 ms and 0.2 ms.
    """

    _KEPT = 256

    def __init__(self, losses: Sequence[int]) -> None:
        """1 to MAX_EXAMPLES losses; ValueError for another number, LossesOutOfRange for what LC-LOSS-1 does not allow."""
        if not 1 <= len(losses) <= MAX_EXAMPLES:
            raise ValueError(f"an evaluation has 1 to {MAX_EXAMPLES:,} losses, not {len(losses):,}")
        if max(losses) > MAX_LOSS or min(losses) < -MAX_LOSS:
            raise LossesOutOfRange("a loss lies from -10^9 to 10^9")
        self.losses = array("q", losses)
        self._kept: dict[Span, LossNode] = {}
        root = self.node((0, len(losses)))
        self.measurement = Measurement(root.hash, root.total, len(losses))

    def node(self, span: Span) -> LossNode:
        """The node over a span that halving the tree leads to (LC-LOSS-2)."""
        first, end = span
        if end - first == 1:
            return _leaf(self.losses[first])
        if (kept := self._kept.get(span)) is not None:
            return kept
        middle = (first + end) // 2
        made = _join(self.node((first, middle)), self.node((middle, end)), end - first)
        if end - first >= self._KEPT:
            self._kept[span] = made
        return made

    def greatest_in(self, span: Span) -> int:
        """Position of the first of the greatest losses of a span."""
        return self.losses.index(max(self.losses[slice(*span)]), *span)


# --- the probe ----------------------------------------------------------------------------------------------------------------


class Probe(NamedTuple):
    """Which 16 losses of so many examples are to be shown: those at `positions`, then the greatest of each of `subtrees`."""

    examples: int
    positions: tuple[int, ...]
    subtrees: tuple[int, ...]


def draw_probe(beacon: bytes, job: bytes, audit: int, round_: int, count: int) -> Probe:
    """LC-LOSS-5, 6, 7. `beacon` and `job` are 32 bytes, `audit` and `round_` at most 255. `count` is of examples."""

    def drawn(number: int) -> int:
        digest = _DRAW.hash(beacon, job, bytes((audit, round_)), number.to_bytes(4, "big"))
        return int.from_bytes(digest, "big")

    if count < PLACES:
        return Probe(count, tuple(drawn(k) % count for k in range(PLACES)), ())
    positions = tuple(drawn(k) % count for k in range(PLACES - SUBTREES))
    subtrees: list[int] = []
    for k in counting(PLACES - SUBTREES):  # eleven draws on average; one probe in 10^67 needs more than 200
        if (subtree := drawn(k) % 2**SUBTREE_DEPTH) not in subtrees:
            subtrees.append(subtree)
        if len(subtrees) == SUBTREES:
            break
    return Probe(count, positions, tuple(subtrees))


def subtree_span(count: int, subtree: int) -> Span:
    """The leaves of a subtree at depth four; 0 is the leftmost (LC-LOSS-7). `count` is 16 or more, so there is a leaf."""
    first, end = 0, count
    for depth in reversed(range(SUBTREE_DEPTH)):
        middle = (first + end) // 2
        first, end = (middle, end) if subtree >> depth & 1 else (first, middle)
    return first, end


# --- openings -----------------------------------------------------------------------------------------------------------------


def _frontier(span: Span, shown: list[int]) -> Iterator[Span]:
    """What is needed to compute the node over `span` so that the leaves `shown` (ascending) stand in it, left to right.

    LC-LOSS-8: single leaves, and whole subtrees of two leaves and more with nothing to show.
    """
    first, end = span
    if end - first == 1 or bisect_left(shown, first) == bisect_left(shown, end):
        yield span
    else:
        middle = (first + end) // 2
        yield from _frontier((first, middle), shown)
        yield from _frontier((middle, end), shown)


def _is_leaf(span: Span) -> bool:
    return span[1] - span[0] == 1


def open_losses(tree: LossTree, probe: Probe) -> Opening:
    """LC-LOSS-9: the opening that a probe asks for. Raises ValueError where the probe is for another number of examples."""
    count = len(tree.losses)
    if probe.examples != count:
        raise ValueError(f"a probe of {probe.examples} losses cannot open {count}")
    greatest = [tree.greatest_in(subtree_span(count, subtree)) for subtree in probe.subtrees]
    needed = list(_frontier((0, count), sorted([*probe.positions, *greatest])))
    leaves = [tree.losses[span[0]] for span in needed if _is_leaf(span)]
    return Opening(greatest, leaves, [tree.node(span) for span in needed if not _is_leaf(span)])


def check_opening(measurement: Measurement, probe: Probe, opening: Opening) -> list[int]:
    """LC-LOSS-10 to LC-LOSS-14: the 16 losses that an opening shows, in the order of the probe. Raises BadOpening.

    What passes is the one opening that the measurement's author can make. ValueError: the probe is for another count.
    """
    count = measurement.count
    if probe.examples != count:
        raise ValueError(f"a probe of {probe.examples} losses cannot check an opening of {count}")
    if len(opening.greatest) != len(probe.subtrees):
        raise BadOpening(f"it names {len(opening.greatest)} greatest losses, not {len(probe.subtrees)}")
    spans = [subtree_span(count, subtree) for subtree in probe.subtrees]
    if not all(first <= at < end for (first, end), at in zip(spans, opening.greatest, strict=True)):
        raise BadOpening("a greatest loss lies outside its subtree")
    shown = [*probe.positions, *opening.greatest]
    nodes = _given(list(_frontier((0, count), sorted(shown))), opening)
    try:
        root = _folded(nodes, (0, count))
    except LossesOutOfRange as beyond:
        raise BadOpening(str(beyond)) from None
    if root.hash != measurement.root:
        raise BadOpening("it does not lead to the root")
    if root.total != measurement.total:
        raise BadOpening(f"its losses add up to {root.total}, not {measurement.total}")
    for span, at in zip(spans, opening.greatest, strict=True):
        if not _is_greatest(nodes, span, at):
            raise BadOpening(f"the loss at {at} is not the first of the greatest from {span[0]} to {span[1] - 1}")
    return [nodes[at, at + 1].total for at in shown]


def _given(needed: list[Span], opening: Opening) -> dict[Span, LossNode]:
    """The nodes that an opening gives, by span: those that are needed, each possible (LC-LOSS-11, 12). Raises BadOpening."""
    single = sum(map(_is_leaf, needed))
    wanted, found = (single, len(needed) - single), (len(opening.leaves), len(opening.siblings))
    if wanted != found:
        raise BadOpening(f"it has {found[0]} leaves and {found[1]} siblings, not {wanted[0]} and {wanted[1]}")
    leaves, siblings = iter(opening.leaves), iter(opening.siblings)
    nodes: dict[Span, LossNode] = {}
    for span in needed:
        nodes[span] = node = _leaf(next(leaves)) if _is_leaf(span) else next(siblings)
        others = span[1] - span[0] - 1
        if not node.greatest - others * MAX_LOSS <= node.total <= node.greatest + others * node.greatest:
            raise BadOpening(f"no {others + 1} losses up to {node.greatest} add up to {node.total}")
    return nodes


def _folded(nodes: dict[Span, LossNode], span: Span) -> LossNode:
    """The node over a span, from those below it; all nodes on the way are added to `nodes` (LC-LOSS-13)."""
    if span not in nodes:
        first, end = span
        middle = (first + end) // 2
        nodes[span] = _join(_folded(nodes, (first, middle)), _folded(nodes, (middle, end)), end - first)
    return nodes[span]


def _is_greatest(nodes: dict[Span, LossNode], span: Span, at: int) -> bool:
    """Does the way down on the side of the greater child, the left one of equals, lead from a span to this leaf (LC-LOSS-14)?"""
    first, end = span
    while end - first > 1:
        middle = (first + end) // 2
        left, right = nodes[first, middle], nodes[middle, end]
        first, end = (first, middle) if left.greatest >= right.greatest else (middle, end)
        if not first <= at < end:
            return False
    return True


def opening_hashes(opening: Opening) -> int:
    """Hashes that checking an opening takes: its leaves and the nodes above; the draws of the probe are not among them."""
    return 2 * len(opening.leaves) + len(opening.siblings) - 1
