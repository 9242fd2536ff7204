"""Vectors of the losses of an evaluation: trees, probes, openings that pass and that do not, files (LC-LOSS)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count as counting
from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.losses import (
    MAX_EXAMPLES,
    MAX_LOSS,
    MAX_TOTAL,
    LossesOutOfRange,
    LossTree,
    Measurement,
    Opening,
    Probe,
    check_opening,
    draw_probe,
    open_losses,
    subtree_span,
)
from learningchain.sandbox.losses import MAX_LOSSES_BYTES, LossesBroken, LossesInvalid, parse_losses
from tests.unit.loss_kit import JOB, Liar, beacon, opened, showing, siblings_of, some_losses
from tests.vectors.kit import shown
from tests.vectors.records import packed

COUNTS = (1, 2, 3, 15, 16, 17, 360)
Opened = tuple[Measurement, Probe, Opening]


def losses() -> dict[str, Any]:
    return {
        "trees": [_tree(values) for values in (*map(some_losses, COUNTS), [5, -7, 2], [MAX_LOSS] * 9, [-MAX_LOSS] * 9)],
        "beyond": [{"rule": "LC-LOSS-1", "why": why, "losses": shown(values)} for why, values in _beyond()],
        "means": [_mean(total, count) for total, count in ((0, 1), (7, 2), (8, 2), (-7, 2), (-8, 2), (1, 2**20), (-1, 2**20))],
        "probes": [_probe(seed, count) for seed, count in enumerate((*COUNTS, 10_000, MAX_EXAMPLES))],
        "openings": [_opening(count, seed) for count in COUNTS for seed in range(2)],
        "wrong": [_wrong(rule, why, seed, given) for rule, why, seed, given in _wrong_openings()],
        "files": [_file(raw) for raw in GOOD_FILES],
        "bad_files": [_bad_file(raw) for raw in _bad_files()],
    }


# --- trees, probes ------------------------------------------------------------------------------------------------------------


def _tree(values: list[int]) -> dict[str, Any]:
    tree = LossTree(values)
    found = {"rule": "LC-LOSS-2", "losses": shown(values), "measurement": _measurement(tree.measurement)}
    if len(values) <= 17:
        found["nodes"] = [_node(tree, span) for span in _spans(0, len(values))]
    return found


def _spans(first: int, end: int) -> Iterator[tuple[int, int]]:
    """Of all nodes, from the root downwards, left before right."""
    yield first, end
    if end - first > 1:
        middle = (first + end) // 2
        yield from _spans(first, middle)
        yield from _spans(middle, end)


def _node(tree: LossTree, span: tuple[int, int]) -> list[Any]:
    node = tree.node(span)
    return [*span, node.hash.hex(), shown(node.total), shown(node.greatest)]


def _measurement(found: Measurement) -> dict[str, Any]:
    return {"root": found.root.hex(), "total": shown(found.total), "count": found.count, "mean": shown(found.mean)}


def _beyond() -> list[tuple[str, list[int]]]:
    most = [MAX_LOSS] * 9 + [MAX_TOTAL - 9 * MAX_LOSS]
    least = [-loss for loss in most]
    found = [
        ("a loss above 10^18", [0, MAX_LOSS + 1]),
        ("a loss below -10^18", [0, -MAX_LOSS - 1]),
        ("a total of 2^63", [*most, 1]),
        ("a total of -2^63", [*least, -1]),
        ("a total that only an inner node has", [*most, 1, *least, -1]),
    ]
    for _, values in found:
        try:
            LossTree(values)
        except LossesOutOfRange:
            continue
        raise AssertionError("this can be said")
    return found


def _mean(total: int, count: int) -> dict[str, Any]:
    return {"rule": "LC-LOSS-4", "total": total, "count": count, "mean": Measurement(bytes(32), total, count).mean}


def _drawn(seed: int) -> dict[str, Any]:
    return {"beacon": beacon(seed).hex(), "job": JOB.hex(), "audit": 0, "round": 1}


def _probe(seed: int, count: int) -> dict[str, Any]:
    audit, round_ = seed % 8, 1 + seed % 2
    probe = draw_probe(beacon(seed), JOB, audit, round_, count)
    told = {"positions": list(probe.positions), "subtrees": list(probe.subtrees)}
    spans = {"spans": [list(subtree_span(count, subtree)) for subtree in probe.subtrees]}
    return {"rule": "LC-LOSS-5"} | _drawn(seed) | {"audit": audit, "round": round_, "count": count} | told | spans


# --- openings -----------------------------------------------------------------------------------------------------------------


def _opening(count: int, seed: int) -> dict[str, Any]:
    values = some_losses(count)
    tree, probe, opening = opened(values, seed)
    losses_shown = check_opening(tree.measurement, probe, opening)
    told = {"opening": encode(opening).hex(), "shown": shown(losses_shown)}
    return {"rule": "LC-LOSS-9"} | _drawn(seed) | {"losses": values, "measurement": _measurement(tree.measurement)} | told


def _wrong(rule: str, why: str, seed: int, given: Opened) -> dict[str, Any]:
    measurement, _, opening = given
    told = {"measurement": _measurement(measurement), "opening": encode(opening).hex()}
    return {"rule": rule, "why": why} | _drawn(seed) | told


def _wrong_openings() -> Iterator[tuple[str, str, int, Opened]]:
    """(rule, what is wrong, number of the beacon, what is given): nothing else is wrong, where that can be."""
    for count in (100, 360):
        for rule, why, given in _changed(count):
            yield rule, f"of {count}: {why}", 0, given
    yield "LC-LOSS-10", "of 16: the greatest loss of another subtree", 0, _of_another_subtree()
    last = showing([3] * 360, lambda span: span[1] - 1)
    yield "LC-LOSS-14", "of 360: the last of the greatest instead of the first", 0, last
    values = some_losses(360)
    second = showing(values, lambda span: sorted(range(*span), key=lambda at: (-values[at], at))[1])
    yield "LC-LOSS-14", "of 360: the second greatest", 0, second
    yield from _lies()


def _changed(count: int) -> Iterator[tuple[str, str, Opened]]:
    tree, probe, good = opened(some_losses(count))
    measurement = tree.measurement
    first = good.siblings[0]

    def with_first(**change: Any) -> Opening:
        return replace(good, siblings=[replace(first, **change), *good.siblings[1:]])

    changed = {
        "a greatest loss less": ("LC-LOSS-10", replace(good, greatest=good.greatest[:-1])),
        "no greatest loss": ("LC-LOSS-10", replace(good, greatest=[])),
        "greatest losses in another order": ("LC-LOSS-10", replace(good, greatest=good.greatest[::-1])),
        "a leaf more": ("LC-LOSS-11", replace(good, leaves=[*good.leaves, 0])),
        "a leaf less": ("LC-LOSS-11", replace(good, leaves=good.leaves[:-1])),
        "a sibling more": ("LC-LOSS-11", replace(good, siblings=[*good.siblings, first])),
        "a sibling less": ("LC-LOSS-11", replace(good, siblings=good.siblings[:-1])),
        "another leaf": ("LC-LOSS-13", replace(good, leaves=[good.leaves[0] + 1, *good.leaves[1:]])),
        "another hash": ("LC-LOSS-13", with_first(hash=bytes(32))),
        "another total": ("LC-LOSS-13", with_first(total=first.total - 1)),
        "another greatest": ("LC-LOSS-13", with_first(greatest=first.greatest + 1)),
    }
    for why, (rule, opening) in changed.items():
        yield rule, why, (measurement, probe, opening)
    for why, other in {
        "the measurement has another root": replace(measurement, root=bytes(32)),
        "the measurement has another total": replace(measurement, total=measurement.total + 1),
        "the measurement has another count": replace(measurement, count=count + 1),
    }.items():
        yield "LC-LOSS-13", why, (other, probe, good)


def _of_another_subtree() -> Opened:
    """Sixteen losses: a subtree is one of them, and no way down tells which."""
    tree, probe, _ = opened(some_losses(16))
    other = min(set(range(16)) - set(probe.subtrees))
    drawn = probe._replace(subtrees=(other, *probe.subtrees[1:]))
    return tree.measurement, probe, open_losses(tree, drawn)


def _lies() -> Iterator[tuple[str, str, int, Opened]]:
    """What a tree was made to say from the start: the root fits."""
    values = some_losses(360)
    _, probe, good = opened(values)
    first, end = max(siblings_of(probe, good), key=lambda span: span[1] - span[0])
    honest, others = LossTree(values).node((first, end)), end - first - 1

    def lie(**says: int) -> Opened:
        return Liar(values, (first, end), **says).opened(probe)

    yield "LC-LOSS-12", "a sibling's total that its greatest loss cannot come to", 0, lie(total=(others + 1) * honest.greatest + 1)
    yield "LC-LOSS-12", "a sibling's greatest loss below the mean of its own", 0, lie(greatest=honest.total // (others + 1) - 1)
    yield "LC-LOSS-12", "a sibling's total below all that losses can be", *_too_small()
    yield "LC-LOSS-14", "a sibling beside the way says that it is greater", *_greater_beside(values)


def _too_small() -> tuple[int, Opened]:
    """A sibling of two losses below -10^18 each: that of more leaves would leave the bounds of a total."""
    values = some_losses(360)
    for seed in counting():
        _, probe, good = opened(values, seed)
        pairs = [span for span in siblings_of(probe, good) if span[1] - span[0] == 2]
        if pairs:
            greatest = LossTree(values).node(pairs[0]).greatest
            return seed, Liar(values, pairs[0], total=greatest - MAX_LOSS - 1).opened(probe)
    raise AssertionError


def _greater_beside(values: list[int]) -> tuple[int, Opened]:
    _, probe, good = opened(values)
    span = subtree_span(360, probe.subtrees[0])
    beside = [s for s in siblings_of(probe, good) if span[0] <= s[0] and s[1] <= span[1]]
    return 0, Liar(values, beside[0], greatest=max(values[slice(*span)]) + 1).opened(probe)


# --- files --------------------------------------------------------------------------------------------------------------------

GOOD_FILES = (
    b"0\n",
    b"0.5\n1\n-2.25\n",
    b"-0\n-0.0\n0.000000000000000000\n",
    b"0.0000000001\n-0.0000000001\n0.1000000001\n-0.1000000009\n",
    b"999999999.999999999999999999\n-999999999.999999999999999999\n",
)
NO_NUMBERS = (b"nan", b"NaN", b"-NAN", b"+nan", b"inf", b"-Inf", b"+INF", b"infinity", b"-Infinity", b"+INFINITY")
TOO_MUCH = (
    *(b"1e5", b"1E5", b"1e-05", b"-1.5e+300", b"0e0", b"2.5E-7", b"1000000000", b"-1000000000.5", b"0.1234567890123456789"),
    *(b"1e" + b"9" * 5_000, b"9" * 5_000, b"0." + b"3" * 5_000, b"-0e-" + b"9" * 5_000),
)
NO_LOSSES = (
    *(b"", b"\r", b"0.5\r", b"nan\r", b"\xef\xbb\xbf0.5", b" 0.5", b"0.5 ", b"\t1", b"1\x0b", b"\x00", b"1\x00", b"1_000", b"1,5"),
    *(b"0.5 0.5", b'"0.5"', b"+1", b"--1", b"-", b".", b".5", b"1.", b"1e", b"1e+", b"e5", b"01", b"-01", b"00", b"0000000001"),
    *(b"01e5", b"1.e5", b".5e5", b"+1e5", b"++inf", b"infinit", b"nanx", b"nan(0x8)", b"0x10", b"0x1p3", b"1f", b"1/2", b"null"),
    *("\u0661".encode(), "\uff11".encode(), "\u22121".encode(), "\u0130nf".encode(), b"\xb2", b"\xff", b"." * 5_000),
)


Pieces = list[tuple[bytes, int]]
"""Bytes, and how often they stand there."""
LONGEST, LAST = b"-123456789.123456789012345678\n", b"123456789.0123456789012\n"
"""So many of the first and one of the second are 24 MiB."""
FILLED: Pieces = [(LONGEST, MAX_LOSSES_BYTES // len(LONGEST)), (LAST, 1)]


def _bad_files() -> Iterator[Pieces]:
    """Bad lines behind a good one, then what the whole file makes bad."""
    for line in (*NO_NUMBERS, *TOO_MUCH, *NO_LOSSES):
        yield [(b"0.5\n" + line + b"\n", 1)]
    yield from ([(raw, 1)] for raw in (b"", b"0.5", b"0.5\n0.25", b"0.5\nnan", b"1\nnan\nx\n", b"1\nx\nnan\n"))
    yield [(b"0\n", MAX_EXAMPLES + 1)]
    yield [*FILLED, (b"0\n", 1)]
    yield [(b"1", MAX_LOSSES_BYTES - 1), (b"\n", 1)]
    yield [(b"1", MAX_LOSSES_BYTES), (b"\n", 1)]


def _file(raw: bytes) -> dict[str, Any]:
    return {"rule": "LC-LOSS-16", "file": raw.hex(), "losses": shown(list(parse_losses(raw)))}


def _bad_file(pieces: Pieces) -> dict[str, Any]:
    try:
        parse_losses(b"".join(piece * times for piece, times in pieces))
    except LossesInvalid as bad:
        told = {"rule": "LC-LOSS-17", "vote": "INVALID", "line": bad.line}
    except LossesBroken as bad:
        told = {"rule": "LC-LOSS-18", "vote": "BROKEN", "line": bad.line}
    whole = len(pieces) == 1 and pieces[0][1] == 1
    return told | {"file": packed(pieces[0][0]) if whole else [[piece.hex(), times] for piece, times in pieces]}
