"""Losses of an evaluation, from `protocol_spec/losses.md` alone: tree, probe, openings, the file."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.conformance.checks import Refused, check
from tests.conformance.keys import tagged
from tests.conformance.shapes import OPENING
from tests.conformance.texts import parse_loss
from tests.conformance.wire import decode

MOST = 10**18
MAX_OPENING_BYTES = 13_056
MAX_FILE_BYTES = 25_165_824
MAX_LINES = 2**20


class Invalid(Refused):
    """The vote is INVALID. Whatever else refuses a file makes it BROKEN."""


class Node(NamedTuple):
    hash: bytes
    total: int
    greatest: int


# --- the tree -----------------------------------------------------------------------------------------------------------------


@check("LC-LOSS-1")
def a_loss_is_at_most_10_18(loss: int) -> bool:
    return abs(loss) <= MOST


@check("LC-LOSS-1")
def a_total_has_63_bits(total: int) -> bool:
    return abs(total) < 2**63


def eight(number: int) -> bytes:
    """Two's complement. What a forgotten check lets through is cut."""
    return (number % 2**64).to_bytes(8, "big")


def leaf(loss: int) -> Node:
    """LC-LOSS-2"""
    return Node(tagged("lc/loss", eight(loss)), loss, loss)


def join(count: int, left: Node, right: Node) -> Node:
    """LC-LOSS-2"""
    total = left.total + right.total
    a_total_has_63_bits(total)
    sides = [node.hash + eight(node.total) + eight(node.greatest) for node in (left, right)]
    return Node(tagged("lc/loss-node", count.to_bytes(4, "big"), *sides), total, max(left.greatest, right.greatest))


def tree(losses: list[int], start: int = 0, end: int | None = None) -> Node:
    """LC-LOSS-2: the node over the losses from `start` to `end` - 1. Raises `Invalid` by LC-LOSS-1."""
    end = len(losses) if end is None else end
    try:
        if end - start == 1:
            a_loss_is_at_most_10_18(losses[start])
            return leaf(losses[start])
        middle = (start + end) // 2
        return join(end - start, tree(losses, start, middle), tree(losses, middle, end))
    except Refused as refused:
        raise Invalid(str(refused)) from None


def mean(total: int, count: int) -> int:
    """LC-LOSS-4"""
    return -((-total) // count)


# --- the probe ----------------------------------------------------------------------------------------------------------------


class Probe(NamedTuple):
    positions: list[int]
    subtrees: list[int]


def probe(beacon: bytes, job: bytes, audit: int, round_: int, n: int) -> Probe:
    """LC-LOSS-5, 6, 7"""

    def draw(k: int) -> int:
        return int.from_bytes(tagged("lc/loss-probe", beacon + job + bytes([audit, round_]) + k.to_bytes(4, "big")), "big")

    if n < 16:
        return Probe([draw(k) % n for k in range(16)], [])
    seen: dict[int, None] = {}
    k = 8
    while len(seen) < 8:
        seen[draw(k) % 16] = None
        k += 1
    return Probe([draw(k) % n for k in range(8)], list(seen))


def subtree(n: int, number: int) -> tuple[int, int]:
    """LC-LOSS-7"""
    start, end = 0, n
    for bit in f"{number:04b}":
        middle = (start + end) // 2
        start, end = (start, middle) if bit == "0" else (middle, end)
    return start, end


# --- openings -----------------------------------------------------------------------------------------------------------------


@check("LC-LOSS-10")
def an_opening_names_as_many_greatest_losses_as_subtrees(greatest: list[int], subtrees: list[int]) -> bool:
    return len(greatest) == len(subtrees)


@check("LC-LOSS-10")
def a_greatest_loss_stands_in_its_subtree(position: int, start: int, end: int) -> bool:
    return start <= position < end


@check("LC-LOSS-11")
def an_opening_has_the_leaves_of_the_frontier(leaves: int, needed: int) -> bool:
    return leaves == needed


@check("LC-LOSS-11")
def an_opening_has_the_siblings_of_the_frontier(siblings: int, needed: int) -> bool:
    return siblings == needed


@check("LC-LOSS-12")
def the_total_of_a_sibling_is_not_too_small(count: int, node: Node) -> bool:
    return node.total >= node.greatest - (count - 1) * MOST


@check("LC-LOSS-12")
def the_total_of_a_sibling_is_not_too_large(count: int, node: Node) -> bool:
    return node.total <= count * node.greatest


@check("LC-LOSS-13")
def an_opening_leads_to_the_root(node: Node, root: bytes) -> bool:
    return node.hash == root


@check("LC-LOSS-13")
def an_opening_has_the_total_of_the_measurement(node: Node, total: int) -> bool:
    return node.total == total


@check("LC-LOSS-14")
def the_way_of_the_greater_leads_to_the_leaf(start: int, end: int, position: int) -> bool:
    return start <= position < end


def frontier(start: int, end: int, positions: set[int]) -> list[tuple[int, int]]:
    """LC-LOSS-8"""
    if end - start == 1 or not any(start <= p < end for p in positions):
        return [(start, end)]
    middle = (start + end) // 2
    return frontier(start, middle, positions) + frontier(middle, end, positions)


def check_opening(measurement: tuple[bytes, int, int], asked: Probe, raw: bytes) -> list[int]:
    """LC-LOSS-10 to LC-LOSS-14: the losses of the 16 places."""
    root, total, n = measurement
    greatest, leaves, siblings = decode(OPENING, raw, MAX_OPENING_BYTES)
    an_opening_names_as_many_greatest_losses_as_subtrees(greatest, asked.subtrees)
    spans = [subtree(n, number) for number in asked.subtrees]
    for (start, end), position in zip(spans, greatest, strict=True):
        a_greatest_loss_stands_in_its_subtree(position, start, end)
    shown = asked.positions + greatest
    nodes = _known(frontier(0, n, set(shown)), leaves, siblings)
    top = _above(nodes, 0, n)
    an_opening_leads_to_the_root(top, root)
    an_opening_has_the_total_of_the_measurement(top, total)
    for (start, end), position in zip(spans, greatest, strict=True):
        while end - start > 1:
            middle = (start + end) // 2
            goes_left = nodes[start, middle].greatest >= nodes[middle, end].greatest
            start, end = (start, middle) if goes_left else (middle, end)
            the_way_of_the_greater_leads_to_the_leaf(start, end, position)
            if not start <= position < end:
                break
    return [nodes[position, position + 1].total for position in shown]


def _known(spans: list[tuple[int, int]], leaves: list[int], siblings: list[list[int]]) -> dict[tuple[int, int], Node]:
    """What an opening gives, by the leaves that it stands for."""
    single = [span for span in spans if span[1] - span[0] == 1]
    others = [span for span in spans if span[1] - span[0] > 1]
    an_opening_has_the_leaves_of_the_frontier(len(leaves), len(single))
    an_opening_has_the_siblings_of_the_frontier(len(siblings), len(others))
    nodes = {span: leaf(loss) for span, loss in zip(single, leaves, strict=False)}
    for (start, end), fields in zip(others, siblings, strict=False):
        nodes[start, end] = Node(*fields)  # type: ignore[arg-type]
        the_total_of_a_sibling_is_not_too_small(end - start, nodes[start, end])
        the_total_of_a_sibling_is_not_too_large(end - start, nodes[start, end])
    return nodes


def _above(nodes: dict[tuple[int, int], Node], start: int, end: int) -> Node:
    if (start, end) not in nodes:
        middle = (start + end) // 2
        nodes[start, end] = join(end - start, _above(nodes, start, middle), _above(nodes, middle, end))
    return nodes[start, end]


# --- the file -----------------------------------------------------------------------------------------------------------------

_TOO_MUCH = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_NOTHING = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


@check("LC-LOSS-18")
def a_file_has_at_most_2_20_lines(number: int) -> bool:
    return number <= MAX_LINES


@check("LC-LOSS-18")
def every_line_is_ended(rest: bytes) -> bool:
    return rest == b""


@check("LC-LOSS-18")
def a_file_has_at_most_24_mib(size: int) -> bool:
    return size <= MAX_FILE_BYTES


@check("LC-LOSS-18")
def a_file_has_a_line(losses: list[int]) -> bool:
    return losses != []


def read_file(raw: bytes) -> list[int]:
    """LC-LOSS-15 to LC-LOSS-18"""
    *lines, rest = raw[:MAX_FILE_BYTES].split(b"\n")
    losses, known = [], dict[bytes, int]()
    for number, line in enumerate(lines, 1):
        a_file_has_at_most_2_20_lines(number)
        if line not in known:
            known[line] = _line(line.decode("latin-1"))
        losses.append(known[line])
    every_line_is_ended(rest)
    a_file_has_at_most_24_mib(len(raw))
    a_file_has_a_line(losses)
    return losses


def _line(text: str) -> int:
    try:
        return parse_loss(text)
    except Refused as refused:
        if _TOO_MUCH.fullmatch(text) or _NOTHING.fullmatch(text):
            raise Invalid(str(refused)) from None
        raise
