"""The vectors of `federation-files.json`: models, updates, masks, rows, Screens, sums, noise and shares in bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.conformance import federation_files as f
from tests.conformance import federation_small_cases
from tests.conformance import federation_words as w
from tests.conformance.checks import Refused
from tests.conformance.keys import tagged

Case = dict[str, Any]


class Disagrees(Exception):
    """This implementation does not agree with a vector."""


def _is(found: object, told: object, what: str) -> None:
    if found != told:
        raise Disagrees(f"{what}: {str(found)[:300]} is not {str(told)[:300]}")


def _read(text: str, kind: str) -> list[Any]:
    raw = bytes.fromhex(text)
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw))


def _model(case: Case) -> None:
    """LC-FILE-2 to LC-FILE-4"""
    raw = b"".join(bytes.fromhex(piece) * times for piece, times in case["file"])
    try:
        found: Any = [[one.name, one.shape, one.begin, one.end] for one in f.read_model(raw)]
    except Refused:
        found = None
    _is(found, case["tensors"], "the tensors")


def _update(case: Case) -> None:
    """LC-FILE-7"""
    found = f.update(_read(case["local"], "f"), _read(case["base"], "f"), int(case["clip"]["int"]))
    _is(found, _read(case["x"], "i"), "x")


def _masked(case: Case) -> None:
    """LC-FILE-9, 10"""
    found = f.masked(_read(case["x"], "i"), [bytes.fromhex(seed) for seed in case["seeds"]])
    _is(found, _read(case["masked"], "I"), "what is masked")


def _commitment(case: Case) -> None:
    """LC-FILE-11"""
    place, member, seed = (bytes.fromhex(case[name]) for name in ("place", "member", "seed"))
    _is(f.commitment(place, member, case["j"], seed).hex(), case["commitment"], "the commitment")


def _sketch(case: Case) -> None:
    """LC-FILE-16, 17"""
    vector = f.numbers(f.Stream(bytes.fromhex(case["vector_seed"])).take(4 * case["d"]), "I")
    found = f.sketches([vector], bytes.fromhex(case["key"]))[0]
    _is(found, _read(case["sketch"], "I"), "the sketch")


def _reference(case: Case) -> None:
    """LC-FILE-18 to LC-FILE-20"""
    reference = _read(case["reference"], "i")
    _is(f.is_reference(reference), case["is_reference"], "whether it is a reference")
    if not case["is_reference"]:
        return
    key = bytes.fromhex(case["key"])
    new = f.without_deltas(reference, [_read(delta, "i") for delta in case["deltas"]])
    for i, (rho, told) in enumerate(zip((reference, new), case["rows"], strict=True), 1):
        _is(f.reference_row(rho, tagged("lc/fed-dither", key, bytes([i]))), _read(told, "i"), f"row {i}")


def _screen(case: Case) -> None:
    """LC-FILE-23 to LC-FILE-32"""
    files = [None if one is None else _read(one, "i") for one in case["sketches"]]
    deltas = [_read(one, "i") for one in case["deltas"]]
    found = f.screen(files, deltas, case["reference"], case["krum"], case["aligned"])
    _is(found.codes, case["codes"], "the codes")
    _is(found.points if case["aligned"] else [], case["points"], "the points")
    _is(found.norm, case["norm"], "the norm")
    _is(tagged("lc/fed-screen", bytes.fromhex(case["place"]), found.told).hex(), case["digest"], "the digest")


def _sum(case: Case) -> None:
    """LC-FILE-33 to LC-FILE-35"""
    total, q = f.summed(case["aggregation"], [_read(one, "i") for one in case["updates"]])
    delta, model = f.stepped(_read(case["base"], "f"), total, q, int(case["clip"]["int"]))
    _is(q, case["q"], "q")
    _is(delta, _read(case["delta"], "i"), "the delta")
    _is(struct.pack(f"<{len(model)}f", *model).hex(), case["model"], "the model")


def _noise(case: Case) -> None:
    """LC-FILE-36 to LC-FILE-39"""
    found = f.noise(bytes.fromhex(case["key"]), case["sigma"], case["d"])
    _is(found, _read(case["noise"], "q"), "the noise")


def _shares(case: Case) -> None:
    """LC-FILE-41"""
    shares = [bytes.fromhex(share) for share in case["shares"]]
    _is(f.joined(shares).hex(), case["key"], "the key")


def _update_file(case: Case) -> None:
    """LC-FILE-11 to LC-FILE-15"""
    at = w.Place(bytes.fromhex(case["place"]), bytes.fromhex(case["member"]), case["seat"], case["seats"], case["secret"])
    found = w.seeds(bytes.fromhex(case["file"]), case["d"], at, bytes.fromhex(case["private"]))
    told = found if isinstance(found, str) else [[j, seed.hex()] for j, seed in sorted(found.items())]
    _is(told, case["found"], "what the aggregator finds")


def _refused(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Refused:
        return None


def _vault(case: Case) -> None:
    """LC-FILE-42, 43"""
    owner = w.Owner(bytes.fromhex(case["federation"]), bytes.fromhex(case["member"]), case["r"])
    found = _refused(lambda: w.head(bytes.fromhex(case["file"]), owner))
    told = None if found is None else [found.needed, [holder.hex() for holder, _ in found.holders], found.size]
    _is(told, case["head"], "the head")
    if found is None:
        return
    key = _refused(lambda: w.own_key(found, owner, bytes.fromhex(case["secret"])).hex())
    _is(key, case["key"], "the owner's key")
    for place, (private, share) in enumerate(zip(case["privates"], case["shares"], strict=True), 1):
        _is(_refused(lambda: w.share(found, owner, place, bytes.fromhex(private)).hex()), share, f"share {place}")  # noqa: B023


def _given(case: Case) -> None:
    """LC-FILE-43"""
    owner = w.Owner(bytes.fromhex(case["federation"]), bytes.fromhex(case["member"]), case["r"])
    box, holder, private = (bytes.fromhex(case[name]) for name in ("box", "holder", "private"))
    found = _refused(lambda: w.given_share(box, owner, case["place"], holder, private).hex())
    _is(found, case["share"], "the share that was given")


def _word(case: Case) -> None:
    """LC-FILE-44"""
    told = _refused(lambda: w.word(bytes.fromhex(case["bytes"])))
    said = case["message"] and [int(one["int"]) if isinstance(one, dict) else one for one in case["message"]]
    _is(told and [one.hex() if isinstance(one, bytes) else one for one in told], said, "the message")


def _answer(case: Case) -> None:
    """LC-FILE-45"""
    chain, member, key = (bytes.fromhex(case[name]) for name in ("chain", "member", "key"))
    _is(w.is_answer(chain, member, w.word(bytes.fromhex(case["bytes"])), key), case["holds"], "whether it signed")


def _key(case: Case) -> None:
    """LC-FILE-46"""
    box, private, place, key_hash = (bytes.fromhex(case[name]) for name in ("box", "private", "place", "key_hash"))
    _is(_refused(lambda: w.hidden_key(box, private, place, key_hash).hex()), case["key"], "the key")


def _seed(case: Case) -> None:
    """LC-FILE-47"""
    _is(w.local_seed(bytes.fromhex(case["within"])), int(case["seed"]["int"]), "the seed")


def _own_data(case: Case) -> None:
    """LC-FILE-48"""
    content = w.own_data([bytes.fromhex(file) for file in case["files"]])
    _is(content.hex(), case["content"], "the digest of the contents")
    _is(w.published(bytes.fromhex(case["federation"]), content).hex(), case["published"], "what is published")


GROUPS: dict[str, Callable[[Case], None]] = {
    "models": _model,
    "updates": _update,
    "masks": _masked,
    "commitments": _commitment,
    "sketches": _sketch,
    "references": _reference,
    "screens": _screen,
    "sums": _sum,
    "noises": _noise,
    "shares": _shares,
    "update_files": _update_file,
    "vaults": _vault,
    "given_shares": _given,
    "words": _word,
    "answers": _answer,
    "keys": _key,
    "seeds": _seed,
    "own_data": _own_data,
    **federation_small_cases.GROUPS,
}


def files(vector: dict[str, list[Case]]) -> Iterator[tuple[str, Callable[[], None]]]:
    for group, run in GROUPS.items():
        for number, case in enumerate(vector[group]):
            yield f"{group} {number}", partial(run, case)
