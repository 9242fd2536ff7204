"""Does the tasks of federations with cells: files and numbers in, files and numbers out. Needs numpy; takes milliseconds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import masks, tensors, updates
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace, query_digest
from learningchain.client.contracts.federation.arithmetic.small import candidates, files, screening, sums
from learningchain.client.contracts.federation.arithmetic.small.field import Numbers, stream_numbers, subtract
from learningchain.client.contracts.federation.arithmetic.small.proof import proof_shape, query, view
from learningchain.client.contracts.federation.arithmetic.small.sums import BadSums, CellSum, Sums
from learningchain.client.contracts.federation.arithmetic.small.unit import unit_update
from learningchain.client.contracts.federation.arithmetic.summing import NotFinite
from learningchain.client.contracts.federation.arithmetic.updates import BadUpdate, Random
from learningchain.client.contracts.federation.roles.task_files import FileDesk, read_base
from learningchain.client.contracts.federation.small_tasks import (
    MakeSmall,
    OpenSmall,
    ProposeModels,
    ScreenSmall,
    SmallTask,
    SummedCells,
    SumSmall,
    SumSmallMasks,
    ViewShares,
)
from learningchain.client.contracts.federation.tasks import MadeFile, OpenedUpdate
from learningchain.p2p.content.dag import CHUNK, Builder


def perform(task: SmallTask, desk: FileDesk, rng: Random) -> Any:
    """What the task's docstring says. Raises BadTensors, BadSums, OSError."""
    match task:
        case MakeSmall():
            return _make(task, desk, rng)
        case OpenSmall():
            return _open(task, desk)
        case ViewShares():
            return _view(task, desk)
        case ScreenSmall():
            return _screen(task, desk)
        case SumSmallMasks():
            return _sum_masks(task, desk)
        case SumSmall():
            return _sum(task, desk)
        case ProposeModels():
            return _propose(task, desk)


def _make(task: MakeSmall, desk: FileDesk, rng: Random) -> MadeFile:
    base, layout = read_base(desk, task.base, task.dims, task.size)
    x = unit_update(base, tensors.read_model(desk.read(task.local), layout), rng)
    if task.reference:
        sealed = updates.seal_seeds(task.place, task.member, task.keys, False, rng)
        return desk.write(updates.update_file(sealed, [x.astype(np.int32)]))
    return desk.write([files.small_file(task.place, task.member, task.keys, x, rng)])


def _open(task: OpenSmall, desk: FileDesk) -> OpenedUpdate:
    file = desk.read(task.file)
    try:
        if task.reference:
            words = updates.read_update(file, task.place, task.member, task.dims)
        else:
            files.read_small(file, task.place, task.member, task.dims)
        seeds = updates.open_seeds(file, task.place, task.member, task.position, task.private, not task.reference)
    except BadUpdate as bad:
        return OpenedUpdate(bad.answer)
    if task.reference and not candidates.is_small_reference(_unmasked(words, seeds[1])):
        return OpenedUpdate("NONE")
    return OpenedUpdate("FETCHED", tuple(sorted(seeds.items())))


def _unmasked(words: masks.Words, seed: bytes) -> tuple[int, ...]:
    return tuple(int(number) for piece in masks.unmasked(words, seed) for number in piece)


def _view(task: ViewShares, desk: FileDesk) -> tuple[MadeFile, ...]:
    shape, raws = proof_shape(task.dims), [desk.read(path) for _, path in task.files]
    r = query(query_digest(task.place, task.beacon), shape)
    found = list[list[Numbers]]()
    challenges = list[Numbers]()
    shown = list[Numbers]()
    for (member, _), raw in zip(task.files, raws, strict=True):
        masked = _numbers(raw, task.place, member, task.dims)
        challenges.append(files.challenges_of(raw, task.place, member, task.dims))
        shown.append(view(shape, masked, challenges[-1], r, masked=True))
    found.append(shown)
    for seeds in task.masks:
        pairs = zip(seeds, challenges, strict=True)
        found.append([view(shape, stream_numbers(seed, shape.size), weighed, r, masked=False) for seed, weighed in pairs])
    return tuple(desk.write([sums.part_bytes(one)]) for one in found)


def _numbers(raw: tensors.Buffer, place: AttemptPlace, member: bytes, dims: int) -> Numbers:
    """Of a file that was opened before. Raises BadSums where the disk has another one now."""
    try:
        return files.read_small(raw, place, member, dims)
    except BadUpdate as bad:
        raise BadSums(str(bad)) from None


def _screen(task: ScreenSmall, desk: FileDesk) -> screening.SmallScreen:
    shape, count = proof_shape(task.dims), sum(file.counts for file in task.files)
    masked, *others = (_part(desk, path, count, shape.view) for path in task.parts)
    views = iter(_less(masked[place], [other[place] for other in others]) for place in range(count))
    opened = [screening.OpenedFile(file.cell, file.complete, next(views) if file.counts else None) for file in task.files]
    return screening.screen(task.place, shape, opened)


def _less(first: Numbers, others: Iterable[Numbers]) -> Numbers:
    for other in others:
        first = subtract(first, other)
    return first


def _part(desk: FileDesk, path: Path, rows: int, width: int) -> NDArray[np.uint64]:
    """What was pinned of a share. Raises BadSums."""
    found = sums.read_part(bytes(desk.read(path)), rows)
    if found.shape[1] != width:
        raise BadSums(f"a part has {found.shape[1]} numbers of each file or cell, not {width}")
    return found


def _sum_masks(task: SumSmallMasks, desk: FileDesk) -> tuple[MadeFile, ...]:
    shape = proof_shape(task.dims)

    def part(nth: int, mask: int) -> list[Numbers]:
        given = [(one.cell, one.seeds[nth], sums.cell_sigma(task.dp_milli, one.again)) for one in task.cells]
        return [sums.mask_of_cell(task.place, task.beacon, shape, cell, mask, seeds, sigma) for cell, seeds, sigma in given]

    return tuple(desk.write([sums.part_bytes(part(nth, mask))]) for nth, mask in enumerate(task.masks))


def _sum(task: SumSmall, desk: FileDesk) -> SummedCells | None:
    base, layout = read_base(desk, task.base, task.dims, task.size)
    shape = proof_shape(task.dims)
    pinned = [_part(desk, path, len(task.cells), task.dims) for path in task.parts]
    found = list[CellSum]()
    for place, (cell, paths) in enumerate(task.cells):
        masked = [np.frombuffer(desk.read(path), "<u8", shape.size, updates.OVERHEAD) for path in paths]
        try:
            found.append(CellSum(cell, len(paths), sums.cell_sum(shape, masked, [part[place] for part in pinned])))
        except NotFinite:
            return None
    reference = None
    if task.reference is not None:
        path, seed = task.reference
        reference = _unmasked(np.frombuffer(desk.read(path), "<u4", task.dims, updates.OVERHEAD), seed)
    told = Sums(tuple(found), reference)
    models = candidate_files(base, layout, told, task.radius)
    if not any(models):
        return None
    written = tuple(None if model is None else desk.write([model]) for model in models)
    return SummedCells(desk.write([sums.sums_file(task.place, told)]), written)


def candidate_files(base: NDArray[np.float32], layout: tensors.TensorLayout, told: Sums, radius: int) -> list[bytes | None]:
    """LC-FILE-62, 63; None is one with a value that is not finite."""
    found = [candidates.candidate(base, one, radius, step) for one in candidates.directions(told) for step in candidates.STEPS]
    return [None if values is None else layout.head + values.astype("<f4").tobytes() for values in found]


def _propose(task: ProposeModels, desk: FileDesk) -> MadeFile:
    base, layout = read_base(desk, task.base, task.dims, task.size)
    told = sums.read_sums(bytes(desk.read(task.sums)), task.place, task.dims)
    models = candidate_files(base, layout, told, task.radius)
    if names_of(models) != list(task.models):
        raise BadSums("the candidates that follow from base and sums are not those that the aggregators named")
    return desk.write([model for model in models if model is not None])


def names_of(models: Iterable[bytes | None]) -> list[bytes]:
    """Empty for one that is none."""
    return [b"" if model is None else _name_of(model) for model in models]


def _name_of(content: bytes) -> bytes:
    """As the content store names it."""
    builder = Builder(lambda _cid, _block: None)
    for at in range(0, len(content), CHUNK):
        builder.feed(content[at : at + CHUNK])
    return builder.finish().to_bytes()
