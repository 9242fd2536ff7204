"""Does the tasks of the machines: files and numbers in, files and numbers out. Needs numpy; takes milliseconds to minutes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import masks, noise, reference, rows, summing, tensors, updates, vault
from learningchain.client.contracts.federation.arithmetic.masks import Words
from learningchain.client.contracts.federation.arithmetic.places import SKETCH, AttemptPlace, noise_key, rows_key
from learningchain.client.contracts.federation.arithmetic.rows import Sketches
from learningchain.client.contracts.federation.arithmetic.screening import Screening, ScreenRule, screen
from learningchain.client.contracts.federation.arithmetic.small.sums import BadSums
from learningchain.client.contracts.federation.arithmetic.tensors import BadTensors
from learningchain.client.contracts.federation.arithmetic.updates import BadUpdate, Random
from learningchain.client.contracts.federation.arithmetic.vault import BadVault
from learningchain.client.contracts.federation.roles import small_computing
from learningchain.client.contracts.federation.roles.task_files import CannotCompute, FileDesk, read_base
from learningchain.client.contracts.federation.small_tasks import SmallTask
from learningchain.client.contracts.federation.tasks import (
    FederationTask,
    MadeFile,
    MakeUpdate,
    MakeVault,
    OpenedUpdate,
    OpenUpdate,
    OpenVault,
    ReadHead,
    ReadVault,
    ReferenceFile,
    ScreenFiles,
    SketchMasks,
    SumFiles,
    SumMasks,
    TryReference,
)
from learningchain.client.keys import hidden

_PIECE = 1 << 20


def perform(task: FederationTask | SmallTask, desk: FileDesk, rng: Random) -> Any:
    """What the task's docstring says. Raises CannotCompute, OSError."""
    try:
        match task:
            case MakeUpdate():
                return _make(task, desk, rng)
            case TryReference():
                return _is_reference(task, desk)
            case OpenUpdate():
                return _open(task, desk)
            case SketchMasks():
                return _sketch(task, desk)
            case ScreenFiles():
                return _screen(task, desk)
            case SumMasks():
                return _sum_masks(task, desk)
            case SumFiles():
                return _sum(task, desk)
            case MakeVault():
                return _make_vault(task, desk)
            case ReadVault():
                return _read_vault(task, desk)
            case OpenVault():
                return _open_vault(task, desk)
            case _:
                return small_computing.perform(task, desk, rng)
    except (BadTensors, BadVault, BadSums) as bad:
        raise CannotCompute(str(bad)) from None


def _make(task: MakeUpdate, desk: FileDesk, rng: Random) -> MadeFile:
    base, layout = read_base(desk, task.base, task.dims, task.size)
    local = tensors.read_model(desk.read(task.local), layout)
    if task.secret:
        _refuse_sparse(updates.changed_values(updates.update_of(base, local, task.clip)), task.dims)
    sealed = updates.seal_seeds(task.place, task.member, task.keys, task.secret, rng)
    return desk.write(updates.update_file(sealed, updates.update_of(base, local, task.clip)))


def _refuse_sparse(changed: int, dims: int) -> None:
    """LC-FILE-8: masks hide an update, the numbers that an aggregator is shown open one of few values."""
    least = updates.least_changed(dims)
    if 0 < changed < least:
        text = f"`local` changed {changed} of {dims} values: fewer than {least} an aggregator could compute from what it is shown"
        raise CannotCompute(f"{text}, so nothing is sent. Train more of the model, or ask the sponsor for a smaller one")


def _is_reference(task: TryReference, desk: FileDesk) -> bool:
    base, layout = read_base(desk, task.base, task.dims, task.size)
    local = tensors.read_model(desk.read(task.local), layout)
    return reference.is_reference(_laid(updates.update_of(base, local, task.clip), desk))


def _open(task: OpenUpdate, desk: FileDesk) -> OpenedUpdate:
    file = desk.read(task.file)
    try:
        numbers = updates.read_update(file, task.place, task.member, task.dims)
        seeds = updates.open_seeds(
            file, task.place, task.member, task.position, task.private, task.secret, aggregators=task.aggregators
        )
    except BadUpdate as bad:
        return OpenedUpdate(bad.answer)
    if task.reference and not reference.is_reference(_opened(numbers, seeds[1], desk)):
        return OpenedUpdate("NONE")
    return OpenedUpdate("FETCHED", tuple(sorted(seeds.items())))


def _opened(numbers: Words, seed: bytes, desk: FileDesk) -> NDArray[np.int32]:
    return _laid(masks.unmasked(numbers, seed), desk)


def _laid(pieces: Iterable[NDArray[np.int32]], desk: FileDesk) -> NDArray[np.int32]:
    """A vector that is read several times: at 2^28 values it has a GiB, which is the disk's matter."""
    return np.frombuffer(desk.lay(piece.astype("<i4").tobytes() for piece in pieces), "<i4")


def _numbers(desk: FileDesk, path: Path, dims: int) -> Words:
    """The masked numbers of a file whose head was read before."""
    return np.frombuffer(desk.read(path), "<u4", dims, updates.OVERHEAD)


def _deltas(desk: FileDesk, paths: Iterable[Path], dims: int) -> list[NDArray[np.int32]]:
    return [np.frombuffer(desk.read(path), "<i4", dims) for path in paths]


def _rows(
    place: AttemptPlace, beacon: bytes, dims: int, vectors: list[Iterator[Words]], given: ReferenceFile | None, desk: FileDesk
) -> Sketches:
    key, more = rows_key(place, beacon), None
    if given is not None:
        rho = _opened(_numbers(desk, given.file, dims), given.seed, desk)
        more = reference.reference_rows(key, rho, _deltas(desk, given.deltas, dims))
    return rows.sketches(key, vectors, dims, more)


def _sketch(task: SketchMasks, desk: FileDesk) -> tuple[MadeFile, ...]:
    """What an open update has not is zeros, and so is its sketch: no row is drawn for it."""
    seeds, n = [seed for one in task.masks for seed in one], task.files
    there = [place for place, seed in enumerate(seeds) if seed]
    found = np.zeros((len(seeds), SKETCH), np.uint32)
    if there:
        vectors = [masks.stream_pieces(seeds[place], task.dims, rows.WIDTH) for place in there]
        found[there] = _rows(task.place, task.beacon, task.dims, vectors, task.reference, desk)
    return tuple(desk.write([rows.part_bytes(found[i * n : i * n + n])]) for i in range(len(task.masks)))


def _screen(task: ScreenFiles, desk: FileDesk) -> Screening:
    judged = [path for path in task.files if path is not None]
    deltas = [delta.view(np.uint32) for delta in _deltas(desk, task.deltas, task.dims)]
    vectors = [rows.in_chunks(_numbers(desk, path, task.dims)) for path in judged] + [rows.in_chunks(one) for one in deltas]
    found = _rows(task.place, task.beacon, task.dims, vectors, task.reference, desk)
    try:
        parts = [rows.read_part(bytes(desk.read(path)), len(judged)) for path in task.parts]
    except ValueError as bad:
        raise CannotCompute(str(bad)) from None
    own = iter(rows.unmasked_sketches(found[: len(judged)], parts))
    old = rows.unmasked_sketches(found[len(judged) :], [])
    rule = ScreenRule(task.reference is not None, task.krum, task.aligned)
    return screen(task.place, rule, [None if path is None else next(own) for path in task.files], list(old))


def _sum_masks(task: SumMasks, desk: FileDesk) -> tuple[MadeFile, ...]:
    found = []
    for number, seeds in task.masks:
        added: Iterable[NDArray[np.int64]] = ()
        if task.dp_milli:
            key = noise_key(task.place, number, b"".join(seeds))
            added = noise.noise(key, noise.sigma_of(task.dp_milli), task.dims)
        pieces = masks.mask_sum(seeds, task.dims, added)
        found.append(desk.write(piece.astype("<u4").tobytes() for piece in pieces))
    return tuple(found)


def _sum(task: SumFiles, desk: FileDesk) -> tuple[MadeFile, MadeFile] | None:
    base, layout = read_base(desk, task.base, task.dims, task.size)
    files, rule = [_numbers(desk, path, task.dims) for path in task.files], cast(summing.Rule, task.rule)
    if task.rule in ("trimmed", "median"):
        total = summing.sorted_sum([masks.unmasked(file, seed) for file, seed in zip(files, task.seeds, strict=True)], rule)
    else:
        total = summing.masked_sum(files, [_words(desk, path, task.dims) for path in task.parts])
    model, delta = [layout.head], []
    try:
        for piece in summing.next_model(base, total, task.clip, summing.divisor(rule, len(files))):
            model.append(piece.model)
            delta.append(piece.delta)
    except summing.NotFinite:
        return None
    return desk.write(model), desk.write(delta)


def _make_vault(task: MakeVault, desk: FileDesk) -> MadeFile:
    file = memoryview(desk.read(task.local))
    _check_model(file, task.dims, task.size)
    pieces = (bytes(file[at : at + _PIECE]) for at in range(0, len(file), _PIECE))
    return desk.write(chain([task.head], hidden.seal_pieces(pieces, task.key, task.nonce)))


def _read_vault(task: ReadVault, desk: FileDesk) -> ReadHead:
    raw = bytes(memoryview(desk.read(task.file))[: vault.HEAD])
    place = vault.place_of(raw, task.federation, task.member)
    return ReadHead(place.r, vault.read_vault(raw, place))


def _open_vault(task: OpenVault, desk: FileDesk) -> MadeFile | None:
    file = memoryview(desk.read(task.file))[task.head :]
    key = next((key for key in task.keys if hidden.is_key_of(file, key)), None)
    if key is None:
        return None
    found = desk.write(hidden.unseal_pieces(file, key))
    _check_model(memoryview(desk.read(found.path)), task.dims, task.size)
    return found


def _check_model(file: memoryview, dims: int, size: int) -> None:
    layout = tensors.read_layout(file)
    if (layout.dims, layout.size) != (dims, size):
        raise CannotCompute(f"the model has {layout.dims} values in {layout.size} bytes, the terms say {dims} in {size}")
    tensors.read_model(file, layout)


def _words(desk: FileDesk, path: Path, dims: int) -> Iterator[Words]:
    raw = desk.read(path)
    if len(raw) != 4 * dims:
        raise CannotCompute(f"the sum of a mask of {dims} values has {4 * dims} bytes, not {len(raw)}")
    whole = np.frombuffer(raw, "<u4")
    return (whole[at : at + length] for at, length in masks.pieces(dims))
