"""What an aggregator does in SCREEN and SUM of a federation with cells (LC-FED-60). Pure.

    ledger                        effect
    SCREEN, not sealed            the beacon into the book; Compute of the views of share 0 and the two own masks; Submit SealParts
    all have sealed               ServeFile of them to the other seats, Submit PinSealed
    all have pinned               FetchContent of the third mask's views, Compute of the Screen, Submit ScreenUpdates
    SUM                           the same with sums of masks; sums and candidates: ServeFile to everybody, Submit SumCells

Two views of one file at two places open its update: so the beacon is on the disk before a view is made, and another beacon finds
this node silent. Parts and salts are in the book, too: a node that starts again pins what it sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.cell_formulas import directions
from learningchain.chain.contracts.federation.duties import FederationDuty
from learningchain.chain.contracts.federation.messages import (
    STEPS,
    MaskDigest,
    PartStage,
    PinSealed,
    ScreenUpdates,
    SealParts,
    SumCells,
    parts_seal,
)
from learningchain.chain.contracts.federation.records import AcceptedSets
from learningchain.client.contracts.federation.arithmetic.places import MASKS
from learningchain.client.contracts.federation.roles.looking import FederationLook, digest_of, part_cid
from learningchain.client.contracts.federation.roles.seated import SUMMED, SeatedAttempt
from learningchain.client.contracts.federation.small_tasks import (
    CellSeeds,
    JudgedFile,
    ScreenSmall,
    SumSmall,
    SumSmallMasks,
    ViewShares,
)
from learningchain.client.work.events import Compute, Effect

MASKED = 0
"""The share that is the masked numbers themselves."""


def cell_work(at: FederationLook, mine: SeatedAttempt, asked: set[FederationDuty]) -> Iterator[Effect]:
    """What is owed now."""
    if FederationDuty.SEAL_ROWS in asked:
        yield from _seal(at, mine, PartStage.ROWS)
    if FederationDuty.PIN_ROWS in asked:
        yield from _pin(at, mine, PartStage.ROWS)
    if FederationDuty.SCREEN in asked:
        yield from _screen(at, mine)
    if FederationDuty.SEAL_SUMS in asked:
        yield from _seal(at, mine, PartStage.SUMS)
    if FederationDuty.PIN_SUMS in asked:
        yield from _pin(at, mine, PartStage.SUMS)
    if FederationDuty.SUM in asked:
        yield from _sum(at, mine)


# --- seals and parts -------------------------------------------------------------------------------------------------------------


def _shares(at: FederationLook, mine: SeatedAttempt, stage: PartStage) -> list[int]:
    """Those of which this place pins a part, in their order."""
    known = formulas.masks(mine.position(at))
    return [MASKED, *known] if stage == PartStage.ROWS else known


def _seal(at: FederationLook, mine: SeatedAttempt, stage: PartStage) -> Iterator[Effect]:
    shares = _shares(at, mine, stage)
    if any((stage, share) not in mine.parts for share in shares):
        yield from _make(at, mine, stage, shares)
    elif f"seal-{stage}" not in mine.asked:
        mine.asked.add(f"seal-{stage}")
        while len(mine.salts) < stage:
            mine.salts.append(mine.known.rng(32))
        digests = [digest_of(mine.parts[stage, share].cid) for share in shares]
        me, salt = mine.known.me, mine.salts[stage - 1]
        seal = parts_seal(mine.known.chain_id, at.id, at.now.r, mine.number, me, stage, digests, salt)
        yield mine.submit(f"seal-{int(stage)}", SealParts(at.id, mine.number, stage, seal))


def _make(at: FederationLook, mine: SeatedAttempt, stage: PartStage, shares: list[int]) -> Iterator[Effect]:
    places = at.judged if stage == PartStage.ROWS else at.accepted
    missing = any(place not in mine.seeds for place in places)
    lost = missing and not mine.opens(at)
    mine.why = "this node started again during the attempt, and the key that opens its boxes is not on its disk" if lost else ""
    tag = f"parts-{int(stage)}-" + "-".join(map(str, shares))
    if at.attempt is None or missing or tag in mine.asked:
        return
    if mine.beacon not in (b"", at.attempt.rows):
        mine.why = "views of its files were made for another beacon: a second view would open an update, so nothing is said"
        return
    mine.asked.add(tag)
    mine.beacon = at.attempt.rows
    yield Compute(mine.scope, tag, at.id, _task(at, mine, stage, places))


def _task(at: FederationLook, mine: SeatedAttempt, stage: PartStage, places: list[int]) -> ViewShares | SumSmallMasks:
    place, dims = at.place(mine.known.chain_id), at.terms.dims
    masks = formulas.masks(mine.position(at))
    if stage == PartStage.ROWS:
        files = tuple((at.files[n].account, mine.paths[f"file-{n}"]) for n in places)
        seeds = tuple(tuple(mine.seeds[n][mask] for n in places) for mask in masks)
        return ViewShares(place, mine.beacon, dims, files, seeds)
    cells = tuple(
        CellSeeds(cell.number, _summed_otherwise(at, cell), tuple(tuple(mine.seeds[n][mask] for n in inside) for mask in masks))
        for cell, inside in at.summing
    )
    return SumSmallMasks(place, mine.beacon, dims, tuple(masks), cells, at.terms.dp_milli)


def _summed_otherwise(at: FederationLook, cell: records.Cell) -> bool:
    """LC-FILE-59: another set with a common member was summed on this base."""
    found, own = at.reader.get(records.sets_key(at.id, at.now.base)), formulas.of_bitmap(cell.members)
    sets = [formulas.of_bitmap(one) for one in found.sets] if isinstance(found, AcceptedSets) else []
    return any(one != own and one & own for one in sets)


def _judged(at: FederationLook) -> tuple[JudgedFile, ...]:
    """LC-FED-59: which files count, and of which cells all do."""
    counting = {at.files[n].index for n in at.judged}
    cells = [(cell.number, {*formulas.indexes_of(formulas.of_bitmap(cell.members))}) for cell in at.cells]
    return tuple(
        JudgedFile(number, file.index in counting, members <= counting)
        for file in at.files
        for number, members in cells
        if file.index in members
    )


def _pin(at: FederationLook, mine: SeatedAttempt, stage: PartStage) -> Iterator[Effect]:
    shares = _shares(at, mine, stage)
    if any((stage, share) not in mine.parts for share in shares) or len(mine.salts) < stage:
        mine.why = "what this node sealed is not on its disk any more"
    elif f"pin-{stage}" not in mine.asked:
        mine.asked.add(f"pin-{stage}")
        yield from mine.serve(at)
        parts = [MaskDigest(share, digest_of(mine.parts[stage, share].cid)) for share in shares]
        pinned = PinSealed(at.id, mine.number, stage, parts, mine.salts[stage - 1])
        yield mine.submit(f"pin-{int(stage)}", pinned)


def _third(at: FederationLook, mine: SeatedAttempt, stage: PartStage, width: int) -> Iterator[Effect]:
    """The part of the mask that this place does not know, from one of the two that do."""
    digest = at.supplied(mine.position(at), stage, mine.known.me)
    if digest is not None:
        yield from mine.fetch(at, f"part-{int(stage)}", part_cid(digest, width), width)


def _parts(at: FederationLook, mine: SeatedAttempt, stage: PartStage) -> tuple[Path, ...]:
    """Of share 0, in stage 1, and of all three masks; nothing where one is not here."""
    own, first = mine.position(at), 0 if stage == PartStage.ROWS else 1
    paths = [
        mine.paths.get(f"part-{int(stage)}") if share == own else getattr(mine.parts.get((stage, share)), "path", None)
        for share in range(first, MASKS + 1)
    ]
    return tuple(path for path in paths if path is not None) if None not in paths else ()


# --- Screen and sum --------------------------------------------------------------------------------------------------------------


def _screen(at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
    yield from _third(at, mine, PartStage.ROWS, 8 * formulas.view_numbers(at.terms) * len(at.judged))
    parts = _parts(at, mine, PartStage.ROWS)
    if parts and "screen" not in mine.asked:
        mine.asked.add("screen")
        place = at.place(mine.known.chain_id)
        yield Compute(mine.scope, "screen", at.id, ScreenSmall(place, at.terms.dims, _judged(at), parts))
    if mine.screening is not None and "say-screen" not in mine.asked:
        mine.asked.add("say-screen")
        found = mine.screening
        yield mine.submit("screen", ScreenUpdates(at.id, mine.number, bytes(found.codes), b"", 0, found.digest))


def _sum(at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
    terms, attempt = at.terms, at.attempt
    yield from _third(at, mine, PartStage.SUMS, 8 * terms.dims * len(at.summing))
    for place in at.accepted:
        file = at.files[place]
        yield from mine.fetch(at, f"file-{place}", file.cid, formulas.update_size(terms), who=file.account)
    yield from mine.fetch(at, "base", at.now.base, terms.size, who=at.holder_of(at.now.base))
    made, parts = (SUMMED, 0) in mine.parts, _parts(at, mine, PartStage.SUMS)
    needed = [f"file-{place}" for place in at.accepted] + ["base"]
    if attempt is None or not parts or any(tag not in mine.paths for tag in needed):
        return
    if attempt.with_reference and not mine.reference:
        return  # it is being opened again, or cannot be
    if not made and "sum" not in mine.asked:
        mine.asked.add("sum")
        cells = tuple((cell.number, tuple(mine.paths[f"file-{n}"] for n in inside)) for cell, inside in at.summing)
        reference = (mine.paths["reference"], mine.reference[0]) if attempt.with_reference else None
        task = SumSmall(
            at.place(mine.known.chain_id), terms.dims, terms.size, mine.paths["base"], cells, parts, reference, at.now.clip
        )
        yield Compute(mine.scope, "sum", at.id, task)
    if (made or mine.summed) and "say-sum" not in mine.asked:
        mine.asked.add("say-sum")
        yield from mine.serve(at)
        yield mine.submit("sum", _said(at, mine))


def _said(at: FederationLook, mine: SeatedAttempt) -> SumCells:
    if (SUMMED, 0) not in mine.parts:
        return SumCells(at.id, mine.number, b"", [])
    with_reference = at.attempt is not None and at.attempt.with_reference
    count = len(STEPS) * directions(len(at.summing), with_reference)
    named = [mine.parts[SUMMED, n].cid if (SUMMED, n) in mine.parts else b"" for n in range(1, count + 1)]
    return SumCells(at.id, mine.number, mine.parts[SUMMED, 0].cid, named)
