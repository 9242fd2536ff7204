"""What an aggregator does in SCREEN and SUM of a federation without cells. Pure.

ledger      effect
SCREEN      Compute of the sketches of the two own masks, ServeFile to the other seats, Submit PinParts;
            FetchContent of the third, Compute of the Screen, Submit ScreenUpdates
SUM         the same with sums of masks; model and delta: ServeFile to everybody, Submit SumUpdates
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from learningchain.chain.contracts.federation import formulas
from learningchain.chain.contracts.federation.duties import FederationDuty
from learningchain.chain.contracts.federation.messages import (
    AggregationRule,
    MaskDigest,
    PartStage,
    PaySplit,
    PinParts,
    ScreenUpdates,
    SumUpdates,
)
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.client.contracts.federation.arithmetic.places import MASKS, SKETCH
from learningchain.client.contracts.federation.roles.looking import FederationLook, digest_of, part_cid
from learningchain.client.contracts.federation.roles.seated import SUMMED, SeatedAttempt
from learningchain.client.contracts.federation.tasks import ReferenceFile, ScreenFiles, SketchMasks, SumFiles, SumMasks
from learningchain.client.work.events import Compute, Effect

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.arithmetic.screening import Screening

SORTED = (AggregationRule.TRIMMED, AggregationRule.MEDIAN)


def sum_work(at: FederationLook, mine: SeatedAttempt, asked: set[FederationDuty]) -> Iterator[Effect]:
    """What is owed now."""
    if FederationDuty.PIN_ROWS in asked:
        yield from _pin(at, mine, PartStage.ROWS)
    if FederationDuty.SCREEN in asked:
        yield from _screen(at, mine)
    if FederationDuty.PIN_SUMS in asked:
        yield from _pin(at, mine, PartStage.SUMS)
    if FederationDuty.SUM in asked:
        yield from _sum(at, mine)


def fetch_early(at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
    """What the Screen and the Sum need of others comes while the own parts are made and pinned."""
    if at.attempt is None or mine.known.me not in at.attempt.deciding:
        return
    if at.state == FederationState.SCREEN:
        yield from _third(at, mine, PartStage.ROWS)
        yield from _bring_deltas(at, mine)
    elif at.state == FederationState.SUM:
        yield from _third(at, mine, PartStage.SUMS)
        yield from mine.fetch(at, "base", at.now.base, at.terms.size, who=at.holder_of(at.now.base))


# --- parts ------------------------------------------------------------------------------------------------------------------------


def _seeds(at: FederationLook, mine: SeatedAttempt, mask: int, places: Sequence[int]) -> tuple[bytes, ...]:
    if not at.secret and mask != 1:
        return (b"",) * len(places)
    return tuple(mine.seeds[place][mask] for place in places)


def _reference(at: FederationLook, mine: SeatedAttempt) -> ReferenceFile | None:
    if at.attempt is None or not at.attempt.with_reference:
        return None
    return ReferenceFile(mine.paths["reference"], mine.reference[0], _deltas(at, mine))


def _deltas(at: FederationLook, mine: SeatedAttempt) -> tuple[Path, ...]:
    return tuple(mine.paths[f"delta-{i}"] for i in range(len(at.deltas)))


def _bring_deltas(at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
    for i, cid in enumerate(at.deltas):
        yield from mine.fetch(at, f"delta-{i}", cid, 4 * at.terms.dims)


def _pin(at: FederationLook, mine: SeatedAttempt, stage: PartStage) -> Iterator[Effect]:
    """Sketches or sums of the two masks that this place knows."""
    masks, attempt = formulas.masks(mine.position(at)), at.attempt
    if attempt is None:
        return
    if all((stage, mask) in mine.parts for mask in masks):
        if f"pin-{stage}" not in mine.asked:
            mine.asked.add(f"pin-{stage}")
            yield from mine.serve(at)
            parts = [MaskDigest(mask, digest_of(mine.parts[stage, mask].cid)) for mask in masks]
            yield mine.submit(f"pin-{int(stage)}", PinParts(at.id, mine.number, stage, parts))
        return
    places = at.judged if stage == PartStage.ROWS else at.accepted
    missing = any(place not in mine.seeds for place in places)
    lost = missing and not mine.opens(at)
    mine.why = "this node started again during the attempt, and the key that opens its boxes is not on its disk" if lost else ""
    if missing or (attempt.with_reference and stage == PartStage.ROWS and not mine.reference):
        return
    if attempt.with_reference and stage == PartStage.ROWS:
        yield from _bring_deltas(at, mine)
        if any(f"delta-{i}" not in mine.paths for i in range(len(at.deltas))):
            return
    tag = f"parts-{int(stage)}-" + "-".join(map(str, masks))
    if tag not in mine.asked:
        mine.asked.add(tag)
        yield Compute(mine.scope, tag, at.id, _part_task(at, mine, stage, places))


def _part_task(at: FederationLook, mine: SeatedAttempt, stage: PartStage, places: Sequence[int]) -> SketchMasks | SumMasks:
    place, dims, masks = at.place(mine.known.chain_id), at.terms.dims, formulas.masks(mine.position(at))
    if stage == PartStage.ROWS:
        seeds = tuple(_seeds(at, mine, mask, places) for mask in masks)
        beacon = at.attempt.rows if at.attempt is not None else b""
        return SketchMasks(place, beacon, dims, seeds, len(places), _reference(at, mine))
    known = tuple((mask, tuple(filter(None, _seeds(at, mine, mask, places)))) for mask in masks)
    return SumMasks(place, dims, known, at.terms.dp_milli)


def _third(at: FederationLook, mine: SeatedAttempt, stage: PartStage) -> Iterator[Effect]:
    """The part of the mask that this place does not know."""
    own = mine.position(at)
    digest = at.supplied(own, stage, mine.known.me)
    if digest is not None:
        size = 4 * SKETCH * len(at.judged) if stage == PartStage.ROWS else 4 * at.terms.dims
        yield from mine.fetch(at, f"part-{int(stage)}", part_cid(digest, size), size)


def _parts(at: FederationLook, mine: SeatedAttempt, stage: PartStage) -> tuple[Path, ...]:
    """Of all three masks; nothing where one is not here."""
    own = mine.position(at)
    paths = [
        mine.paths.get(f"part-{int(stage)}") if mask == own else getattr(mine.parts.get((stage, mask)), "path", None)
        for mask in range(1, MASKS + 1)
    ]
    return tuple(path for path in paths if path is not None) if None not in paths else ()


# --- Screen and Sum ---------------------------------------------------------------------------------------------------------------


def _files(at: FederationLook, mine: SeatedAttempt, places: Sequence[int]) -> Iterator[Effect]:
    """Those of an earlier process are fetched again: their numbers are masked, and no key is needed for them."""
    for place in places:
        file = at.files[place]
        yield from mine.fetch(at, f"file-{place}", file.cid, formulas.update_size(at.terms), who=file.account)


def _screen(at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
    yield from _third(at, mine, PartStage.ROWS)
    yield from _files(at, mine, at.judged)
    yield from _bring_deltas(at, mine)
    parts, attempt = _parts(at, mine, PartStage.ROWS), at.attempt
    needed = [f"file-{place}" for place in at.judged] + [f"delta-{i}" for i in range(len(at.deltas))]
    if attempt is None or not parts or any(tag not in mine.paths for tag in needed):
        return
    if attempt.with_reference and not mine.reference:
        return  # it is being opened again, or cannot be
    aligned = at.terms.split == PaySplit.ALIGNED
    if "screen" not in mine.asked:
        mine.asked.add("screen")
        paths = tuple(mine.paths[f"file-{n}"] if n in at.judged else None for n in range(len(at.files)))
        task = ScreenFiles(
            at.place(mine.known.chain_id),
            attempt.rows,
            at.terms.dims,
            paths,
            parts,
            _deltas(at, mine),
            _reference(at, mine),
            at.terms.rule == AggregationRule.KRUM,
            aligned,
        )
        yield Compute(mine.scope, "screen", at.id, task)
    found = cast("Screening | None", mine.screening)
    if found is not None and "say-screen" not in mine.asked:
        mine.asked.add("say-screen")
        op = ScreenUpdates(at.id, mine.number, bytes(found.codes), bytes(found.points), found.norm, found.digest)
        yield mine.submit("screen", op)


def _sum(at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
    yield from _third(at, mine, PartStage.SUMS)
    yield from _files(at, mine, at.accepted)
    yield from mine.fetch(at, "base", at.now.base, at.terms.size, who=at.holder_of(at.now.base))
    parts, rule = _parts(at, mine, PartStage.SUMS), AggregationRule(at.terms.rule)
    needed = [f"file-{place}" for place in at.accepted] + ["base"]
    if not parts or any(tag not in mine.paths for tag in needed):
        return
    if rule in SORTED and any(place not in mine.seeds for place in at.accepted):
        return
    made = [mine.parts[SUMMED, n].cid for n in (1, 2) if (SUMMED, n) in mine.parts]
    if not made and "sum" not in mine.asked:
        mine.asked.add("sum")
        files = tuple(mine.paths[f"file-{place}"] for place in at.accepted)
        seeds = tuple(mine.seeds[place][1] for place in at.accepted) if rule in SORTED else ()
        terms, name = at.terms, rule.name.lower()
        task = SumFiles(terms.dims, terms.size, mine.paths["base"], files, parts, seeds, name, at.now.clip)
        yield Compute(mine.scope, "sum", at.id, task)
    if (made or mine.summed) and "say-sum" not in mine.asked:
        mine.asked.add("say-sum")
        yield from mine.serve(at)
        yield mine.submit("sum", SumUpdates(at.id, mine.number, *(made or [b"", b""])))
