"""The vectors of small models in `federation-files.json`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from tests.conformance import federation_small as s
from tests.conformance import federation_words as w
from tests.conformance.checks import Refused

Case = dict[str, Any]


class Disagrees(Exception):
    """This implementation does not agree with a vector of a small model."""


def _is(found: object, told: object, what: str) -> None:
    if found != told:
        raise Disagrees(f"{what}: {str(found)[:300]} is not {str(told)[:300]}")


def _read(text: str, kind: str) -> list[Any]:
    raw = bytes.fromhex(text)
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw))


def _update(case: Case) -> None:
    """LC-FILE-50"""
    _is(s.unit(_read(case["local"], "f"), _read(case["base"], "f")), _read(case["x"], "i"), "x")


def _content(case: Case) -> None:
    """LC-FILE-51 to LC-FILE-53"""
    found = s.content(_read(case["x"], "i"), _read(case["blinds"], "Q"), _read(case["challenges"], "Q"))
    _is(found, _read(case["content"], "Q"), "the content")


def _file(case: Case) -> None:
    """LC-FILE-54"""
    at = w.Place(bytes.fromhex(case["place"]), bytes.fromhex(case["member"]), case["seat"], 3, True)
    found = s.seeds(bytes.fromhex(case["file"]), case["d"], at, bytes.fromhex(case["private"]))
    told = found if isinstance(found, str) else [[j, seed.hex()] for j, seed in sorted(found.items())]
    _is(told, case["found"], "what the aggregator finds")


def _view(case: Case) -> None:
    """LC-FILE-55 to LC-FILE-57"""
    at = w.Place(bytes.fromhex(case["place"]), bytes.fromhex(case["member"]), 1, 3, True)
    seeds = [bytes.fromhex(seed) for seed in case["seeds"]]
    found = s.views(bytes.fromhex(case["file"]), at, bytes.fromhex(case["beacon"]), case["d"], seeds)
    _is(found, [_read(view, "Q") for view in case["views"]], "the views")
    _is(s.opened(found), _read(case["opened"], "Q"), "what is opened")
    _is(s.is_proved(s.opened(found)), case["proved"], "whether it is proved")


def _screen(case: Case) -> None:
    """LC-FILE-58"""
    files = [(cell, complete, None if one is None else _read(one, "Q")) for cell, complete, one in case["files"]]
    codes, digest = s.screen(bytes.fromhex(case["place"]), files, case["d"])
    _is(codes, case["codes"], "the codes")
    _is(digest.hex(), case["digest"], "the digest")


def _sum(case: Case) -> None:
    """LC-FILE-59, 60"""
    place, beacon, d, pinned = bytes.fromhex(case["place"]), bytes.fromhex(case["beacon"]), case["d"], []
    for mask, column in enumerate(case["seeds"], 1):
        known = [bytes.fromhex(seed) for seed in column]
        pinned.append(s.mask_sum(place, beacon, case["cell"], mask, known, d, case["dp_milli"], case["again"]))
    told = [_read(one, "Q") for one in case["pinned"]]
    if case["sum"] is not None:
        _is(pinned, told, "what is pinned of the masks")
    try:
        found: Any = s.cell_sum([_read(one, "Q") for one in case["files"]], told, d)
    except Refused:
        found = None
    _is(found, case["sum"] and _read(case["sum"], "i"), "the sum")


def _sum_file(case: Case) -> None:
    """LC-FILE-60"""
    try:
        cells, reference = s.sums(bytes.fromhex(case["file"]), bytes.fromhex(case["place"]), case["d"])
        found: Any = [[cell.number, cell.members, cell.s] for cell in cells]
    except Refused:
        found, reference = None, None
    _is(found, case["cells"] and [[n, members, _read(told, "i")] for n, members, told in case["cells"]], "the cells")
    _is(reference, case["reference"] and _read(case["reference"], "i"), "the reference")


def _candidate(case: Case) -> None:
    """LC-FILE-61 to LC-FILE-63"""
    cells = [s.Cell(n, members, _read(told, "i")) for n, members, told in case["cells"]]
    rho = case["reference"] and _read(case["reference"], "i")
    is_one = rho is not None and s.is_reference(rho)
    _is(is_one, case["is_reference"], "whether it is a reference")
    ways = s.directions(cells, rho if is_one else None)
    _is([[struct.pack(f"<{len(way)}q", *way).hex(), n] for way, n in ways], case["directions"], "the directions")
    for way, told in zip(ways, case["models"], strict=True):
        found = s.candidates(_read(case["base"], "f"), int(case["radius"]["int"]), way)
        packed = [None if one is None else struct.pack(f"<{len(one)}f", *one).hex() for one in found]
        _is(packed, told, "the candidates")


GROUPS: dict[str, Callable[[Case], None]] = {
    "small_updates": _update,
    "small_contents": _content,
    "small_files": _file,
    "small_views": _view,
    "small_screens": _screen,
    "small_sums": _sum,
    "small_sum_files": _sum_file,
    "small_candidates": _candidate,
}
